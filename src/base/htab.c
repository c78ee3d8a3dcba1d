#include "config.h"

#include "base/htab.h"

#include <errno.h>

#include "base/mem.h"

#define SLOTS_MIN 16

static struct htab_node **
slot_of(const struct htab *t, uint64_t hash)
{
	return &t->slots[hash & (t->n_slots - 1)];
}

static void
push(struct htab *t, struct htab_node *node)
{
	struct htab_node **slot = slot_of(t, node->hash);

	node->next = *slot;
	*slot = node;
}

static int
grow(struct htab *t)
{
	struct htab bigger = { .n_slots = t->n_slots != 0 ? 2 * t->n_slots : SLOTS_MIN, .n = t->n };

	bigger.slots = mem_calloc(bigger.n_slots, sizeof(struct htab_node *));
	if (bigger.slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_slots; i++)
		for (struct htab_node *node = t->slots[i], *next; node != NULL; node = next) {
			next = node->next;
			push(&bigger, node);
		}
	mem_free(t->slots);
	*t = bigger;
	return 0;
}

void
htab_fini(struct htab *t)
{
	mem_free(t->slots);
	*t = (struct htab){ 0 };
}

int
htab_add(struct htab *t, struct htab_node *node, uint64_t hash)
{
	if (t->n >= t->n_slots && grow(t) != 0 && t->n_slots == 0)
		return -ENOMEM;
	node->hash = hash;
	push(t, node);
	t->n++;
	return 0;
}

void
htab_del(struct htab *t, struct htab_node *node)
{
	struct htab_node **at = slot_of(t, node->hash);

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	t->n--;
}

static struct htab_node *
first_of(struct htab_node *node, uint64_t hash)
{
	while (node != NULL && node->hash != hash)
		node = node->next;
	return node;
}

struct htab_node *
htab_first(const struct htab *t, uint64_t hash)
{
	return t->n != 0 ? first_of(*slot_of(t, hash), hash) : NULL;
}

struct htab_node *
htab_next(const struct htab_node *node)
{
	return first_of(node->next, node->hash);
}

struct htab_node *
htab_any(const struct htab *t, size_t *hand)
{
	for (size_t i = 0; t->n != 0 && i < t->n_slots; i++) {
		size_t slot = (*hand + i) & (t->n_slots - 1);

		if (t->slots[slot] != NULL) {
			*hand = slot;
			return t->slots[slot];
		}
	}
	return NULL;
}
