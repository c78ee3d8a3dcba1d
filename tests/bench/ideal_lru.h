/* ideal_lru.h - exact LRU by bytes, with ends in time, of entries without overhead:
 * what the curves of src/stats/mrc.h are compared with. Keys are numbers from 0 on. */
#ifndef PANNIER_TESTS_IDEAL_LRU_H
#define PANNIER_TESTS_IDEAL_LRU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

struct ideal_lru {
	uint32_t n_keys;
	uint32_t *prev, *next; /* [n_keys + 1]; the last one is the list's head; itself: out */
	uint64_t *bytes;
	int64_t *expires_ms;
	uint64_t used, capacity;
};

/* Running out of memory ends the program: it is for tests. */
static inline void
ideal_init(struct ideal_lru *l, uint32_t n_keys, uint64_t capacity)
{
	*l = (struct ideal_lru){ .n_keys = n_keys, .capacity = capacity };
	l->prev = mem_calloc(n_keys + 1, sizeof *l->prev);
	l->next = mem_calloc(n_keys + 1, sizeof *l->next);
	l->bytes = mem_calloc(n_keys + 1, sizeof *l->bytes);
	l->expires_ms = mem_calloc(n_keys + 1, sizeof *l->expires_ms);
	if (l->prev == NULL || l->next == NULL || l->bytes == NULL || l->expires_ms == NULL)
		abort();
	for (uint32_t k = 0; k <= n_keys; k++)
		l->prev[k] = l->next[k] = k;
}

static inline void
ideal_fini(struct ideal_lru *l)
{
	mem_free(l->prev);
	mem_free(l->next);
	mem_free(l->bytes);
	mem_free(l->expires_ms);
}

static inline bool
ideal_has(const struct ideal_lru *l, uint32_t k)
{
	return l->next[k] != k;
}

static inline void
ideal_unlink(struct ideal_lru *l, uint32_t k)
{
	l->next[l->prev[k]] = l->next[k];
	l->prev[l->next[k]] = l->prev[k];
	l->prev[k] = l->next[k] = k;
}

static inline void
ideal_drop(struct ideal_lru *l, uint32_t k)
{
	if (!ideal_has(l, k))
		return;
	l->used -= l->bytes[k];
	ideal_unlink(l, k);
}

static inline void
ideal_use(struct ideal_lru *l, uint32_t k)
{
	uint32_t head = l->n_keys;

	ideal_unlink(l, k);
	l->next[k] = l->next[head];
	l->prev[k] = head;
	l->prev[l->next[k]] = k;
	l->next[head] = k;
}

/* Whether it was a hit; expires_ms 0: never. */
static inline bool
ideal_read(struct ideal_lru *l, uint32_t k, int64_t now_ms)
{
	if (ideal_has(l, k) && l->expires_ms[k] != 0 && l->expires_ms[k] <= now_ms)
		ideal_drop(l, k);
	if (!ideal_has(l, k))
		return false;
	ideal_use(l, k);
	return true;
}

static inline void
ideal_put(struct ideal_lru *l, uint32_t k, uint64_t bytes, int64_t expires_ms)
{
	ideal_drop(l, k);
	if (bytes > l->capacity)
		return;
	l->bytes[k] = bytes;
	l->expires_ms[k] = expires_ms;
	l->used += bytes;
	ideal_use(l, k);
	while (l->used > l->capacity)
		ideal_drop(l, l->prev[l->n_keys]);
}

/* What is over by then gives its room back. */
static inline void
ideal_expire(struct ideal_lru *l, int64_t now_ms)
{
	for (uint32_t k = 0; k < l->n_keys; k++)
		if (l->expires_ms[k] != 0 && l->expires_ms[k] <= now_ms)
			ideal_drop(l, k);
}

#endif
