/* htab.h - a hash table of nodes that lie in the caller's structs, in chains.
 * Knows hashes only: the caller compares. Not thread-safe. */
#ifndef PANNIER_BASE_HTAB_H
#define PANNIER_BASE_HTAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

struct htab_node {
	struct htab_node *next;
	uint64_t hash;
};

struct htab {
	struct htab_node **slots; /* owned; a power of two of them, or none */
	size_t n_slots, n;
};

/* A zeroed one is empty. */
void htab_fini(struct htab *t); /* the nodes are not its own */
/* 0, or -ENOMEM, which only an empty table can answer: one that cannot grow
 * gets longer chains. */
int htab_add(struct htab *t, struct htab_node *node, uint64_t hash) MUST_CHECK;
void htab_del(struct htab *t, struct htab_node *node);
/* Some node, from slot *hand on, round and round; moves *hand to where it was
 * found. NULL: there is none. */
struct htab_node *htab_any(const struct htab *t, size_t *hand);
/* The nodes of that hash, one after the other; NULL: no more. */
struct htab_node *htab_first(const struct htab *t, uint64_t hash);
struct htab_node *htab_next(const struct htab_node *node);

#endif
