/* meta.h - what the store keeps of an origin's answer beside its value: the
 * record of the entry (cache_put_record()), as bytes and as a struct. Pure.
 *
 * A record is a few bytes where the answer said little: two of flags, numbers of
 * seven bits a byte (the lowest first, as LEB128), and texts behind their length. It is
 * read with every use of a fetched value, so it is made to be read in place. */
#ifndef PANNIER_STORE_META_H
#define PANNIER_STORE_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/util.h"

#define META_UNSAID (-1) /* the answer said nothing: the namespace's holds */
#define META_ETAG_MAX 256
#define META_DATE_MAX 64
#define META_TAGS_MAX 128 /* more: the entry counts as having every tag */
#define META_MAX 1024     /* bytes of any record */

enum meta_kind {
	META_VALUE,
	META_NEGATIVE,    /* the origin has none; the entry is no value, and nobody but
	                   * the miss of a reader sees it */
	META_UNCACHEABLE, /* the last answer could not be kept; likewise */
	META_KINDS
};

struct meta {
	enum meta_kind kind;
	bool validate;     /* no-cache: is no answer until the origin was asked */
	bool no_stale;     /* must-revalidate: is no answer when its time is over */
	bool any_tag;      /* has more tags than are kept: each of them may be one */
	int64_t stored_ms; /* monotonic: when the answer came, or was renewed */
	int64_t age_ms;    /* what it was old then, by its Age */
	int64_t took_ms;   /* the fetch */
	int64_t ttl_ms;    /* as said; META_UNSAID */
	int64_t swr_ms, sie_ms; /* stale-while-revalidate, stale-if-error; META_UNSAID */
	/* To ask with; empty: none. Longer than META_ETAG_MAX and META_DATE_MAX they are
	 * left out. */
	struct slice etag, last_modified;
	/* Hashes, of four bytes each in host order, not aligned. */
	const unsigned char *tags;
	unsigned n_tags;
};

/* A value of which nothing is known but that it is one. */
void meta_init(struct meta *m);
/* How many bytes it takes, written to out. */
size_t meta_encode(const struct meta *m, unsigned char out[META_MAX]);
/* Slices and tags point into the record. False: it is none, and *m is as meta_init()
 * makes it; so is it for an empty one. */
bool meta_decode(struct slice record, struct meta *m);
/* Its took_ms alone; 0 where it is none. */
int64_t meta_took_ms(struct slice record);
/* Whether the tag with this hash may be one of them. */
bool meta_has_tag(const struct meta *m, uint32_t tag);

/* The hashes of a list as Surrogate-Key and Cache-Tag have it, with blanks or commas
 * between; the tags of *m are then these. `room` holds META_TAGS_MAX of them. */
void meta_set_tags(struct meta *m, struct slice list, uint32_t *room);
/* FNV-1a: tags are not chosen by those who would gain by a collision, and all that one
 * costs is a value fetched once more. */
uint32_t meta_tag_hash(struct slice tag);

#endif
