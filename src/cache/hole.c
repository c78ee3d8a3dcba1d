#include "config.h"

#include "cache/hole.h"

#include <assert.h>
#include <string.h>

/* Holes in segments that are being emptied or walked, met in a row. */
#define TRIES_MAX 4

static struct entry *
at(const struct pool *p, uint32_t ref)
{
	return arena_at(p->arena, ref);
}

static uint32_t *
head_of(struct pool *p, uint32_t bytes)
{
	return &p->holes[bytes >> REF_SHIFT];
}

/* In a hole, newer and older are the neighbours in the list of its size. */
void
hole_add(struct pool *p, uint32_t ref)
{
	struct entry *e = at(p, ref);
	uint32_t word = entry_word(e), *head = head_of(p, word_bytes(word));

	assert(lock_held(&p->lock));
	link_set(&e->newer, 0);
	link_set(&e->older, *head);
	if (*head != 0)
		link_set(&at(p, *head)->newer, ref);
	*head = ref;
	entry_set_word(e, word_with_state(word, ENTRY_HOLE));
	p->segs[pool_seg_of(p, ref)].holes++;
}

void
hole_drop(struct pool *p, uint32_t ref)
{
	struct entry *e = at(p, ref);
	uint32_t word = entry_word(e);

	assert(lock_held(&p->lock));
	if (e->newer != 0)
		link_set(&at(p, e->newer)->older, e->older);
	else
		*head_of(p, word_bytes(word)) = e->older;
	if (e->older != 0)
		link_set(&at(p, e->older)->newer, e->newer);
	entry_set_word(e, word_with_state(word, ENTRY_DEAD));
	p->segs[pool_seg_of(p, ref)].holes--;
}

uint32_t
hole_take(struct pool *p, uint32_t bytes)
{
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		uint32_t ref = *head_of(p, bytes);

		if (ref == 0)
			return 0;
		hole_drop(p, ref);
		if (pool_holes_ok(p, pool_seg_of(p, ref)))
			return ref;
	}
	return 0;
}

void
holes_reset(struct pool *p)
{
	assert(lock_held(&p->lock));
	memset(p->holes, 0, sizeof p->holes);
}
