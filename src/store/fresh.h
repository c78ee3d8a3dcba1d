/* fresh.h - what of an origin's answer is kept, for how long, and what it is good for
 * when its time is over: RFC 9111 and RFC 5861 as a namespace has them. Pure; time and
 * randomness are arguments.
 *
 * Three kinds of entries (meta.h). A value is there until its expiry, and then stale for
 * the longest of what it may be served or asked with for. That the origin has none, and
 * that an answer could not be kept, are entries that are stale from the start: only who
 * asks for stale ones, the miss of a reader, sees them. */
#ifndef PANNIER_STORE_FRESH_H
#define PANNIER_STORE_FRESH_H

#include "config/config.h"
#include "origin/origin.h"
#include "store/meta.h"

struct fresh_keep {
	bool kept;          /* false: nothing is stored */
	int64_t expires_ms; /* of the entry; 0: never */
	int64_t stale_ms;   /* how long it stays after that */
	struct meta meta;
	uint32_t tags[META_TAGS_MAX]; /* meta.tags points here */
};

/* Of an answer with the status OK, NOT_FOUND or NOT_MODIFIED. `old` is what is known of
 * the value that the last of these renews, else NULL; its slices end up in k->meta. */
void fresh_keep(const struct config_namespace *ns, const struct origin_result *r,
    const struct meta *old, int64_t now_ms, uint64_t random, struct fresh_keep *k);

/* What can be done with an entry that is stale. */
enum {
	FRESH_SERVE = 1 << 0, /* an answer now, while it is fetched anew */
	FRESH_SPARE = 1 << 1, /* an answer if the fetch fails */
	FRESH_FOUND = 1 << 2, /* an answer now, without a fetch: that there is none */
	FRESH_PASS = 1 << 3,  /* says that requests need not wait for one another */
	FRESH_ASK = 1 << 4,   /* has what to ask with */
	FRESH_LOST = 1 << 5,  /* is stale because its tier's channel was lost; near.h says
	                       * whose turn it is to be fetched anew */
};
unsigned fresh_uses(const struct config_namespace *ns, const struct meta *m, int64_t expires_ms,
    int64_t now_ms);

/* Whether a hit is to be renewed before its end, by chance: XFetch. */
bool fresh_early(const struct config_namespace *ns, struct slice record, int64_t left_ms,
    uint64_t random);

/* How old a value is that came with this: its own age, and the time since. */
int64_t fresh_age_ms(const struct meta *m, int64_t now_ms);

/* How long what clients store in such a namespace is kept when its time is over. */
static inline int64_t
fresh_grace_ms(const struct config_namespace *ns)
{
	if (ns->origin == NULL)
		return ns->grace_ms;
	return MAX(ns->swr_ms, ns->sie_ms);
}

#endif
