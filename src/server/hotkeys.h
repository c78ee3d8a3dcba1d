/* hotkeys.h - which keys are read most, over all loops (store/hot.h). Any loop may ask. */
#ifndef PANNIER_SERVER_HOTKEYS_H
#define PANNIER_SERVER_HOTKEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "stats/topk.h"

struct server;
struct metrics;

#define HOTKEYS_SHOWN 10
#define HOTKEYS_KEY_MAX (TOPK_KEY_BYTES + 32) /* of hotkeys_name() */

struct hotkeys {
	double reads_per_second; /* of all that was asked about */
	double sampled;          /* reads that it is told from, old ones counted for less */
	struct topk_item *items; /* owned; most first; reads, over and variance are by the
	                          * second */
	unsigned n;
	bool off;                /* none are followed */
};

/* Those of the namespaces (numbers of statistics) that `wants` says yes to. 0 or -ENOMEM; the
 * caller owes hotkeys_fini(). */
int hotkeys_take(struct server *s, int64_t now_ms, bool (*wants)(void *arg, unsigned ns),
    void *arg, struct hotkeys *out) MUST_CHECK;
void hotkeys_fini(struct hotkeys *h);
/* How far the truth may be away, in 95 of 100 cases: reads a second. */
double hotkeys_error(const struct topk_item *it);
/* Reads of one key, of which old ones count less; 0: it is not followed. */
double hotkeys_reads(struct server *s, uint64_t hash, int64_t now_ms);
void hotkeys_reset(struct server *s, int64_t now_ms);
/* The key, with "... (n more bytes)" where it is cut. Into text; a slice of it. */
struct slice hotkeys_name(const struct topk_item *it, char text[HOTKEYS_KEY_MAX]);
/* The member "hot_keys" of /stats.json, where the configuration permits it. */
void hotkeys_json(struct metrics *m, struct server *s);

#endif
