/* advice.h - what the limit of memory is worth: the curves of stats/mrc.h in terms of
 * the process's limit, with what origins took. Any loop may ask. */
#ifndef PANNIER_SERVER_ADVICE_H
#define PANNIER_SERVER_ADVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "stats/mrc.h"
#include "stats/sims.h"

struct server;
struct config;
struct metrics;

/* What the sample may take, of a process with this limit; 0: none is kept. */
uint64_t advice_bytes(const struct config *cfg, uint64_t limit);
/* Begins to learn, where the configuration says so. Before the loops are made. 0 or
 * -errno. */
int advice_start(struct server *s, const struct config *cfg) MUST_CHECK;
/* Tells the curves how many reads there were. Once a second, and before they are looked
 * at. */
void advice_count(struct server *s, int64_t now_ms);

/* Forgets all that was learnt. */
void advice_reset(struct server *s, int64_t now_ms);

/* Memory times these, by quarters; the one for the memory there is is ADVICE_NOW. */
#define ADVICE_POINTS 17
#define ADVICE_NOW 6
#define ADVICE_ENOUGH 200 /* sampled references, below which it is too early */

/* By number, below ADVICE_POINTS, and below SIM_SIZES. Pure. */
double advice_factor(unsigned i);
double advice_size_factor(unsigned i);
const char *advice_policy_name(unsigned i); /* below SIM_POLICIES */

struct advice_point {
	double factor;
	uint64_t memory_bytes; /* the limit */
	uint64_t cache_bytes;  /* what entries may have of it; 0: the process does not fit */
	double hit_rate;
	/* Against the present limit, an hour; below 0: more. */
	double misses_saved, origin_ms_saved;
};

/* What a policy of eviction would give at the factors of advice_size_factor(). */
struct advice_policy {
	bool told[SIM_SIZES]; /* false: too little is known */
	double hit_rate[SIM_SIZES];
};

struct advice {
	enum sim_policy eviction; /* that the points are of: LRU for a namespace */
	struct advice_policy policies[SIM_POLICIES]; /* of everything only */
	struct sims_result sims;
	struct advice_point points[ADVICE_POINTS];
	struct mrc_curve curve;
	struct mrc_stats sample;
	double reads_per_second;
	bool has_origin; /* so that origin_ms_saved means something */
};

/* The point of a factor that there is. Pure. */
const struct advice_point *advice_point_of(const struct advice *a, double factor);
/* Milliseconds of origins' time, or misses where there is no origin, that are saved an
 * hour for each MiB between the present limit and the point's; for the present one
 * itself, up to the next point. Pure. */
double advice_per_mib(const struct advice *a, const struct advice_point *p);

/* Of a namespace (its stats_id), or MRC_ALL. False: advice is off (out->sample is
 * zero), or nothing was read yet. After advice_count(). */
bool advice_of(struct server *s, unsigned ns, struct advice *out);
/* The least limit of memory for a hit rate; 0: none up to the largest point's. */
uint64_t advice_memory_for(struct server *s, const struct advice *a, double hit_rate);
/* Sentences that a person can act on, to the end of `text`. 0 or -ENOMEM. */
int advice_say(const struct advice *a, struct buf *text) MUST_CHECK;

/* advice_metrics.c: all of it, in any of the formats. */
void advice_metrics(struct metrics *m, struct server *s);

#endif
