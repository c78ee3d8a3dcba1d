/* list.h - an intrusive, circular, doubly linked list. A node in no list
 * points at itself, so that list_del() may be called twice. */
#ifndef PANNIER_BASE_LIST_H
#define PANNIER_BASE_LIST_H

#include <stdbool.h>

#include "base/util.h"

struct list {
	struct list *prev, *next;
};

static inline void
list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool
list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void
list_push_tail(struct list *l, struct list *node)
{
	node->prev = l->prev;
	node->next = l;
	l->prev->next = node;
	l->prev = node;
}

static inline void
list_push_head(struct list *l, struct list *node)
{
	list_push_tail(l->next, node);
}

static inline void
list_del(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* The first node taken out, or NULL. */
static inline struct list *
list_pop_head(struct list *l)
{
	struct list *node = l->next;

	if (node == l)
		return NULL;
	list_del(node);
	return node;
}

/* All nodes of `from` go to the tail of `to`; `from` is empty afterwards. */
static inline void
list_splice_tail(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_foreach(it, l) \
	for (struct list *it = (l)->next; it != (l); it = it->next)
/* The loop's body may list_del() and free the current node. */
#define list_foreach_safe(it, l) \
	for (struct list *it = (l)->next, *it##_next = it->next; it != (l); \
	    it = it##_next, it##_next = it->next)

#endif
