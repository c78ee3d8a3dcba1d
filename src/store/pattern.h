/* pattern.h - many prefixes and tags against one key after the other: which of them
 * match? Pure; a set is immutable once it is built, and any thread may ask it.
 *
 * Prefixes are sorted, and each knows the longest other one that it begins with. The
 * one that is the last not behind the key in that order, or one that it begins with, is
 * the longest that matches; the rest are those that this begins with. So a key
 * costs a binary search, however many there are. */
#ifndef PANNIER_STORE_PATTERN_H
#define PANNIER_STORE_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/util.h"

struct pattern {
	struct slice prefix; /* borrowed; ptr NULL: a tag */
	uint64_t tag;
	void *of;            /* the caller's */
	uint32_t begins_with; /* the set's own: 1 + the index of a shorter one, or 0 */
};

/* `all` is the caller's, and is sorted here. */
struct pattern_set {
	struct pattern *all;   /* prefixes first, then tags */
	uint32_t n_prefixes, n_tags;
};
void pattern_set_init(struct pattern_set *set, struct pattern *all, uint32_t n);

/* Calls fn for each pattern that matches, until it answers true; whether it did. A
 * pattern that is there twice is met twice. */
typedef bool pattern_met_fn(void *arg, const struct pattern *p);
bool pattern_set_ask_key(const struct pattern_set *set, struct slice key, pattern_met_fn *fn,
    void *arg);
bool pattern_set_ask_tag(const struct pattern_set *set, uint64_t tag, pattern_met_fn *fn,
    void *arg);
/* Likewise for every tag there is. */
bool pattern_set_ask_tags(const struct pattern_set *set, pattern_met_fn *fn, void *arg);

#endif
