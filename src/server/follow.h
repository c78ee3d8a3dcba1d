/* follow.h - the machine's and the cgroup's limits, looked at again each second, so that
 * `memory: auto` follows when the pod is resized in place.
 *
 * A higher limit is used at once. A lower one is reached in steps, the memory watch's
 * (memory.h): about a sixteenth each 100 ms, so that no client waits for all the evicting.
 * The CPU quota is not followed: threads are made at the start.
 *
 * Where memory is short (pressure.h), the process gives back what it can do without. */
#ifndef PANNIER_SERVER_FOLLOW_H
#define PANNIER_SERVER_FOLLOW_H

#include <stdatomic.h>
#include <stdint.h>

#include "config/machine.h"
#include "server/pressure.h"

struct server;

struct follow {
	struct machine seen;          /* at the last look; under config_lock, as the rest */
	_Atomic(uint64_t) auto_bytes; /* what `memory: auto` comes to; any thread reads */
	struct pressure pressure;     /* loop 0's */
	uint64_t warned_memory, warned_limit; /* of that it was told */
};

/* Before memory is planned. */
void follow_init(struct follow *f);
/* Each second, on loop 0. Locks config_lock. */
void follow_second(struct server *s);
/* Looks now, where memory is to become auto: what was seen up to a second ago may be more
 * than the cgroup has, and using that would end the process. Under config_lock. */
void follow_look_locked(struct server *s);
/* Tells, once, where the configured memory is above what there is. Under config_lock. */
void follow_warn_locked(struct server *s, uint64_t memory);

#endif
