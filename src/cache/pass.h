/* pass.h - one process's cache becomes another's, in place: the arena is handed over
 * by its descriptor, and what lies outside of it (counters, heads, the policy's
 * statistics) by a description. Nothing is copied, and memory is never held twice.
 *
 *   old                                 new
 *   cache_pass_begin(): descriptor,
 *   shape                          ->   cache_new() with opts.past: maps it, and touches
 *                                       nothing yet
 *   (no thread calls the cache any
 *   more) cache_pass_end(): the rest ->   cache_pass_take(): it is the new one's
 *   cache_free() at most
 *
 * Until the new one has taken it, the old one may go on as if nothing had happened; as
 * soon as one of them has changed anything the other must not even read. Nothing may be
 * pinned. Watches and notices are not passed: they are the sessions'. */
#ifndef PANNIER_CACHE_PASS_H
#define PANNIER_CACHE_PASS_H

#include "base/pack.h"
#include "cache/cache.h"

/* Of what lies in the arena and of the description; another number, or another size of
 * what lies there, is another layout, which cannot be taken. */
#define CACHE_LAYOUT 1

/* What the new one needs to make its cache: where and how large everything is. */
struct cache_past {
	int fd;                  /* the arena's; cache_new() duplicates it */
	uint64_t bytes;          /* of address space */
	uint64_t reserve_pages, least_pages; /* of a budget */
	uint64_t granules;       /* of large values */
	uint64_t policy;         /* enum cache_policy */
	uint64_t policy_shard_bytes;
	uint64_t shards;
	uint64_t seed;
};

/* Whether it has no quotas, by which entries lie in queues that are not passed. */
bool cache_may_pass(struct cache *c);
/* A number for all that must be the same in both programs. */
uint64_t cache_layout(void);
/* fd is the cache's own. Any time. */
void cache_pass_begin(const struct cache *c, struct cache_past *out);
void cache_past_pack(struct packer *p, const struct cache_past *past);
void cache_past_unpack(struct unpacker *u, struct cache_past *past);

/* No other thread is in the cache. False: something is pinned still, or being dumped. */
bool cache_pass_end(const struct cache *c, struct packer *p) MUST_CHECK;
/* Into a cache that was made with opts.past, before any other call. 0; -EINVAL: this is
 * no description, or none of this arena; the cache is good for cache_free() alone then. */
int cache_pass_take(struct cache *c, struct unpacker *u) MUST_CHECK;
/* Counts all entries by class into t's tallies: for who has other classes than the old
 * process. Takes as long as reading each entry does. */
void cache_recount(struct cache *c, struct cache_thread *t);

#endif
