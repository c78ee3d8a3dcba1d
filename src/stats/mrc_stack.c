#include "config.h"

#include "stats/mrc_stack.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"

/* --- memory ------------------------------------------------------------------- */

static uint32_t
slots_of(uint32_t keys)
{
	return 2 * keys;
}

uint64_t
mrc_stack_memory(uint32_t keys)
{
	const struct mrc_stack *s = NULL;

	return (keys + 1) * sizeof *s->keys + keys * sizeof *s->chains +
	    (slots_of(keys) + 1) * (sizeof *s->tree + sizeof *s->slots);
}

int
mrc_stack_init(struct mrc_stack *s, uint32_t keys)
{
	assert(keys >= 2 && keys <= MRC_KEYS_MAX);
	*s = (struct mrc_stack){ .max = keys, .n_chains = keys };
	s->keys = mem_calloc(keys + 1, sizeof *s->keys);
	s->chains = mem_calloc(keys, sizeof *s->chains);
	s->tree = mem_calloc(slots_of(keys) + 1, sizeof *s->tree);
	s->slots = mem_calloc(slots_of(keys) + 1, sizeof *s->slots);
	if (s->keys == NULL || s->chains == NULL || s->tree == NULL || s->slots == NULL) {
		mrc_stack_fini(s);
		return -ENOMEM;
	}
	mrc_stack_clear(s);
	return 0;
}

void
mrc_stack_fini(struct mrc_stack *s)
{
	mem_free(s->keys);
	mem_free(s->chains);
	mem_free(s->tree);
	mem_free(s->slots);
	*s = (struct mrc_stack){ 0 };
}

void
mrc_stack_clear(struct mrc_stack *s)
{
	memset(s->chains, 0, s->n_chains * sizeof *s->chains);
	memset(s->tree, 0, (slots_of(s->max) + 1) * sizeof *s->tree);
	memset(s->slots, 0, (slots_of(s->max) + 1) * sizeof *s->slots);
	for (uint32_t i = 1; i <= s->max; i++)
		s->keys[i] = (struct mrc_key){ .next = (uint16_t)(i < s->max ? i + 1 : 0) };
	s->spare = 1;
	s->n = 0;
	s->bytes = 0;
	s->next_slot = s->oldest_slot = 1;
}

/* --- by hash -------------------------------------------------------------------- */

/* The low half of the hash says whether a key is sampled, the high one where it is. */
static uint16_t *
chain_of(const struct mrc_stack *s, uint64_t hash)
{
	return &s->chains[(hash >> 32) * s->n_chains >> 32];
}

struct mrc_key *
mrc_stack_find(const struct mrc_stack *s, uint64_t hash)
{
	for (uint16_t i = *chain_of(s, hash); i != 0; i = s->keys[i].next)
		if (s->keys[i].hash == hash)
			return &s->keys[i];
	return NULL;
}

struct mrc_key *
mrc_stack_at(const struct mrc_stack *s, uint32_t i)
{
	return s->keys[i].slot != 0 ? &s->keys[i] : NULL;
}

/* --- by moment ------------------------------------------------------------------ */

static void
tree_add(struct mrc_stack *s, uint32_t slot, uint64_t bytes)
{
	for (; slot <= slots_of(s->max); slot += slot & -slot)
		s->tree[slot] += bytes; /* modulo 2^64: what is added may be negative */
}

/* The bytes of this moment and all before it. */
static uint64_t
tree_sum(const struct mrc_stack *s, uint32_t slot)
{
	uint64_t bytes = 0;

	for (; slot != 0; slot &= slot - 1)
		bytes += s->tree[slot];
	return bytes;
}

/* In linear time, from what lies in the slots. */
static void
tree_build(struct mrc_stack *s)
{
	uint32_t n = slots_of(s->max);

	memset(s->tree, 0, (n + 1) * sizeof *s->tree);
	for (uint32_t i = 1; i <= n; i++) {
		uint32_t up = i + (i & -i);

		if (s->slots[i] != 0)
			s->tree[i] += s->keys[s->slots[i]].bytes;
		if (up <= n)
			s->tree[up] += s->tree[i];
	}
}

/* Moments that are nobody's any more are taken out. There are at least as many as
 * keys, so this comes once in at least so many uses. */
static void
renumber(struct mrc_stack *s)
{
	uint32_t to = 1;

	for (uint32_t from = 1; from < s->next_slot; from++) {
		uint16_t i = s->slots[from];

		if (i == 0)
			continue;
		s->slots[from] = 0;
		s->slots[to] = i;
		s->keys[i].slot = (uint16_t)to++;
	}
	s->next_slot = to;
	s->oldest_slot = 1;
	tree_build(s);
}

static void
place(struct mrc_stack *s, struct mrc_key *k, uint32_t bytes)
{
	if (s->next_slot > slots_of(s->max))
		renumber(s);
	k->slot = (uint16_t)s->next_slot++;
	k->bytes = bytes;
	s->slots[k->slot] = (uint16_t)(k - s->keys);
	tree_add(s, k->slot, bytes);
	s->bytes += bytes;
}

static void
displace(struct mrc_stack *s, struct mrc_key *k)
{
	tree_add(s, k->slot, -(uint64_t)k->bytes);
	s->bytes -= k->bytes;
	s->slots[k->slot] = 0;
	k->slot = 0;
}

/* --- keys ------------------------------------------------------------------------- */

struct mrc_key *
mrc_stack_add(struct mrc_stack *s, uint64_t hash, uint32_t bytes)
{
	uint16_t i = s->spare, *chain = chain_of(s, hash);
	struct mrc_key *k = &s->keys[i];

	assert(i != 0);
	s->spare = k->next;
	*k = (struct mrc_key){ .hash = hash, .next = *chain };
	*chain = i;
	s->n++;
	place(s, k, bytes);
	return k;
}

void
mrc_stack_drop(struct mrc_stack *s, struct mrc_key *k)
{
	uint16_t i = (uint16_t)(k - s->keys), *link = chain_of(s, k->hash);

	while (*link != i)
		link = &s->keys[*link].next;
	*link = k->next;
	displace(s, k);
	k->next = s->spare;
	s->spare = i;
	s->n--;
}

void
mrc_stack_use(struct mrc_stack *s, struct mrc_key *k, uint32_t bytes)
{
	displace(s, k);
	place(s, k, bytes);
}

uint64_t
mrc_stack_above(const struct mrc_stack *s, const struct mrc_key *k)
{
	return s->bytes - tree_sum(s, k->slot);
}

struct mrc_key *
mrc_stack_oldest(struct mrc_stack *s)
{
	if (s->n == 0)
		return NULL;
	while (s->slots[s->oldest_slot] == 0)
		s->oldest_slot++;
	return &s->keys[s->slots[s->oldest_slot]];
}
