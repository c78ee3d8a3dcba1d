/* near.h - how far what was read from a shared tier may be believed: the part of
 * it that is arithmetic (doc/near.md says why it is right).
 *
 * A value that was fetched while its tier's channel of invalidations is live is
 * verified: its change will be heard of, so it lives as long as the tier says. One
 * fetched while there is no channel is believed for unverified_max from the moment
 * that its fetch began. When the channel is lost, a walk makes what was verified
 * stale: that is served until unverified_max after the last proof of the
 * channel, while fetches replace it at a bounded rate.
 *
 * One struct near for each tier, for the life of the process. Any thread. */
#ifndef PANNIER_STORE_NEAR_H
#define PANNIER_STORE_NEAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

struct near;

struct near_opts {
	int64_t unverified_max_ms;
	uint32_t revalidate_per_s; /* fetches that replace what is unverified; at least 1 */
};

/* Not verified yet. NULL: no memory. */
struct near *near_new(const struct near_opts *o) MUST_CHECK;
void near_free(struct near *n); /* NULL is fine */
/* A reload. What is unverified already keeps its time. */
void near_configure(struct near *n, const struct near_opts *o);

/* --- the channel, one thread at a time ---------------------------------------- */

/* What a walk is to make stale: it expired at `lost_ms`, which stands for this walk in
 * each of the entries, and is served until `until_ms`, while fetches replace it. After
 * a loss: what was to live longer than that. After a channel is back: what was not,
 * which may be unverified; each until its own end. */
struct near_loss {
	int64_t lost_ms;
	int64_t until_ms;
	bool back;
};

/* From a fetch that begins now on, every write is heard of. True: that was not so before,
 * and a walk with *out is to follow, for what was read meanwhile. */
bool near_verified(struct near *n, int64_t now_ms, struct near_loss *out);
bool near_is_verified(const struct near *n);
/* "verified" or "unverified"; NULL: "off". */
const char *near_state_name(const struct near *n);

/* Any thread: an answer came from a server that is not among those that have channels,
 * so there may be more of them. Nothing is verified until near_verified() is said again;
 * what is here already was told of by those that had its keys, and stays. */
void near_moved(struct near *n);
/* Whether that was said since it was last asked. */
bool near_take_moved(struct near *n);

/* Writes after proof_ms may not have been heard of. A walk with *out is to follow;
 * where until_ms is not after now_ms, one that drops. Also where it was not
 * verified: then there is nothing to walk for, and the answer is false. */
bool near_lost(struct near *n, int64_t proof_ms, int64_t now_ms, struct near_loss *out);

/* --- a fetch ------------------------------------------------------------------------ */

/* Before anything of it is sent: under whose eyes it begins. */
uint64_t near_begin(const struct near *n);
/* Until when what came of it may be kept, of what its tier allows (CACHE_NEVER is 0 here
 * too); NEAR_NOT_KEPT: not at all, for there is a channel by now, so that who reads next
 * gets something better. Within the shard's lock in which it is put: else a loss and
 * its walk could come in between. */
#define NEAR_NOT_KEPT (-1)
int64_t near_expiry(const struct near *n, uint64_t begun, int64_t begun_ms, int64_t expires_ms);

/* --- what is stale ---------------------------------------------------------------- */

/* Whether an entry that expired at expired_ms is stale by a loss, and may still be
 * served. */
bool near_may_serve(struct near *n, int64_t expired_ms, int64_t now_ms);
/* Such a one is about to be fetched anew, in the background: whether it is its turn. */
bool near_may_refresh(struct near *n, int64_t now_ms);

/* For statistics. */
struct near_counts {
	uint64_t losses;    /* of a channel that was live */
	uint64_t refreshed; /* turns given by near_may_refresh() */
	uint64_t deferred;  /* and not given, for their rate */
};
void near_counts(const struct near *n, struct near_counts *out);

#endif
