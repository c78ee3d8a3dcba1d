/* cache_control.h - how long an answer of HTTP may be kept: RFC 9111 for a
 * private cache. Pure; the time is an argument.
 *
 * pannier is the cache of one application: nobody else reads it and its
 * requests carry nobody's credentials, which makes it a private cache (RFC
 * 9111, 1). So `private` answers are kept, and s-maxage, which is for shared
 * caches (5.2.2.10), is passed over, as is proxy-revalidate (5.2.2.8). */
#ifndef PANNIER_ORIGIN_CACHE_CONTROL_H
#define PANNIER_ORIGIN_CACHE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "origin/origin.h"

#define CACHE_CONTROL_UNSAID ORIGIN_TTL_UNSAID /* take the namespace's ttl */

/* What the fields of one answer say. */
struct cache_control {
	bool no_store, no_cache, must_revalidate, must_understand, vary_any;
	int64_t max_age_s; /* -1: none */
	int64_t swr_s, sie_s; /* stale-while-revalidate, stale-if-error (RFC 5861); -1: none */
	int64_t age_s;     /* -1: none */
	int64_t date_s;    /* -1: none that can be read */
	int64_t expires_s; /* -1: none; 0: unreadable, which means "already over" */
};

void cache_control_init(struct cache_control *c);
/* A header field, in the order of their coming; others than Cache-Control,
 * Age, Date, Expires and Vary are passed over. `value` has no blanks around. */
void cache_control_field(struct cache_control *c, struct slice name, struct slice value);
/* What is left of its freshness: milliseconds, 0: nothing, or it must not be used
 * without asking, or not be stored; or CACHE_CONTROL_UNSAID. took_ms: from the
 * request's start to the answer's end; now_unix_s stands for a Date that is missing. */
int64_t cache_control_ttl_ms(const struct cache_control *c, int64_t now_unix_s, int64_t took_ms);
/* All that it says, but for validators and tags, which are left as they are. */
void cache_control_validity(const struct cache_control *c, int64_t now_unix_s, int64_t took_ms,
    struct origin_validity *v);

#endif
