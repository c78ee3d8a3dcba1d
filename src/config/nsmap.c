/* nsmap.c - the namespace of a key: the longest configured prefix.
 *
 * It stands on the path of every GET: 20 instructions by callgrind, whether
 * the key is routed or not, for prefixes of up to eight bytes. An index by the
 * key's first byte names the candidates, which lie longest first and end in a
 * sentinel that fits every key and means "default". A candidate's first eight
 * bytes are compared as one masked word; only longer prefixes call memcmp.
 * Rejected: a trie, whose dependent loads cost more than three such compares,
 * and configurations have a few prefixes.
 *
 * <config.h> is the build's: in this directory "config.h" would be ours. */
#include <config.h>

#include "config/config.h"

#include <stdlib.h>

#include "base/mem.h"

#define HEAD 8

struct candidate {
	uint64_t head, mask; /* the first bytes of the prefix; mask 0: sentinel */
	const char *rest;    /* the bytes behind them */
	uint32_t len;
	uint32_t index;
};

struct nsmap {
	uint16_t first[256]; /* where the candidates of that first byte begin */
	struct candidate *candidates;
	char *text;
};

/* Bytes 0..n-1 of a word in memory order, the others zero. */
static uint64_t
word_of(const char *s, size_t n)
{
	uint64_t w = 0;

	memcpy(&w, s, MIN(n, HEAD));
	return w;
}

/* As word_of(), without a call: two overlapping loads fill a word from 4 to 7
 * bytes. */
static inline uint64_t
key_head(struct slice key)
{
	unsigned char w[HEAD] = { 0 };
	uint64_t head;

	if (likely(key.len >= HEAD)) {
		memcpy(&head, key.ptr, HEAD);
		return head;
	}
	if (key.len >= 4) {
		memcpy(w, key.ptr, 4);
		memcpy(w + key.len - 4, key.ptr + key.len - 4, 4);
	} else {
		w[0] = (unsigned char)key.ptr[0];
		if (key.len > 1)
			w[1] = (unsigned char)key.ptr[1];
		if (key.len > 2)
			w[2] = (unsigned char)key.ptr[2];
	}
	memcpy(&head, w, HEAD);
	return head;
}

static inline bool
candidate_fits(const struct candidate *c, struct slice key, uint64_t head)
{
	if (((head ^ c->head) & c->mask) != 0 || key.len < c->len)
		return false;
	return c->len <= HEAD || memcmp(key.ptr + HEAD, c->rest, c->len - HEAD) == 0;
}

/* Short keys and long prefixes. Apart, so that the others pay for no saved
 * registers. */
static __attribute__((noinline)) unsigned
search(const struct candidate *c, struct slice key)
{
	uint64_t head = key_head(key);

	while (!candidate_fits(c, key, head))
		c++;
	return c->index;
}

unsigned
nsmap_find(const struct nsmap *m, struct slice key)
{
	const struct candidate *c;
	uint64_t head;

	if (unlikely(key.len == 0))
		return 0;
	c = &m->candidates[m->first[(unsigned char)key.ptr[0]]];
	if (key.len < HEAD)
		return c->mask == 0 ? 0 : search(c, key);
	memcpy(&head, key.ptr, HEAD);
	while (((head ^ c->head) & c->mask) != 0)
		c++;
	return c->len <= HEAD ? c->index : search(c, key);
}

/* By first byte, then longest first, then in the order of the configuration. */
static int
candidate_order(const void *pa, const void *pb)
{
	const struct candidate *a = pa, *b = pb;
	unsigned char fa = *(const unsigned char *)&a->head, fb = *(const unsigned char *)&b->head;

	if (fa != fb)
		return fa < fb ? -1 : 1;
	if (a->len != b->len)
		return a->len > b->len ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

/* Each first byte gets its run of candidates, and a sentinel behind it; the
 * one behind the last run serves all bytes that start no prefix. */
static unsigned
spread(struct nsmap *m, const struct candidate *sorted, unsigned n)
{
	unsigned char byte, last = 0;
	unsigned at = 0;

	for (unsigned i = 0; i < n; i++) {
		byte = *(const unsigned char *)&sorted[i].head;
		if (i == 0 || byte != last) {
			at += i != 0;
			m->first[byte] = (uint16_t)at;
		}
		last = byte;
		m->candidates[at++] = sorted[i];
	}
	return at;
}

static void
fill(struct nsmap *m, const struct config *c, struct candidate *scratch)
{
	char *text = m->text;
	unsigned n = 0, end;

	for (unsigned i = 0; i < c->n_namespaces; i++) {
		const char *prefix = c->namespaces[i].prefix;
		size_t len = strlen(prefix);

		if (len == 0)
			continue;
		memcpy(text, prefix, len);
		scratch[n++] = (struct candidate){
			.head = word_of(text, len),
			.mask = word_of("\xff\xff\xff\xff\xff\xff\xff\xff", len),
			.rest = text + MIN(len, HEAD),
			.len = (uint32_t)len,
			.index = i,
		};
		text += len;
	}
	qsort(scratch, n, sizeof *scratch, candidate_order);
	memset(m->first, 0xff, sizeof m->first);
	end = spread(m, scratch, n);
	for (unsigned b = 0; b < ARRAY_LEN(m->first); b++)
		if (m->first[b] == UINT16_MAX)
			m->first[b] = (uint16_t)end;
}

struct nsmap *
nsmap_new(const struct config *c)
{
	struct nsmap *m = mem_zalloc(sizeof *m);
	struct candidate *scratch = mem_calloc(c->n_namespaces + 1, sizeof *scratch);
	size_t bytes = 0;

	for (unsigned i = 0; i < c->n_namespaces; i++)
		bytes += strlen(c->namespaces[i].prefix);
	if (m != NULL) {
		m->candidates = mem_calloc(2 * (size_t)c->n_namespaces + 1, sizeof *m->candidates);
		m->text = mem_alloc(bytes);
	}
	if (m == NULL || scratch == NULL || m->candidates == NULL || m->text == NULL) {
		nsmap_free(m);
		mem_free(scratch);
		return NULL;
	}
	fill(m, c, scratch);
	mem_free(scratch);
	return m;
}

void
nsmap_free(struct nsmap *m)
{
	if (m == NULL)
		return;
	mem_free(m->candidates);
	mem_free(m->text);
	mem_free(m);
}
