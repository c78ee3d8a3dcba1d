/* stats.h - the counters of stats.def, by loop, namespace and origin.
 *
 * A loop writes its own struct stats_loop; anybody sums over loops when
 * asked. Namespaces and origins are numbered for the life of the process:
 * a reload that brings a name back finds its number, and its counts, again. */
#ifndef PANNIER_STATS_STATS_H
#define PANNIER_STATS_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "stats/counter.h"
#include "stats/histogram.h"
#include "stats/tally.h"

#define STATS_NAMESPACES CACHE_CLASSES
#define STATS_ORIGINS 64
#define STATS_COMMANDS 256 /* at least CMD_COUNT; asserted by the server */

/* What is timed by namespace. */
enum stats_time {
	STATS_FETCH_US,   /* fetches that were answered, whole: queue and retries included */
	STATS_WAIT_US,    /* reads that waited, for a fetch or a lease, until their answer */
	STATS_COMMAND_NS, /* handlers of commands that were timed, by their first key */
	STATS_TIMES
};

struct stats_times {
	struct histogram h[STATS_TIMES];
};

struct stats_ns {
#define NS_STAT(name, help) struct counter name;
#include "stats/stats.def"
	_Atomic(struct stats_times *) times; /* made at the first */
};

struct stats_origin {
#define ORIGIN_STAT(name, help) struct counter name;
#include "stats/stats.def"
	struct histogram latency_us; /* of requests that were answered */
};

struct stats_command {
	struct counter calls, usec, rejected, failed;
	struct histogram latency_ns; /* of calls that were timed: not of all */
};

/* Error replies of one kind: those that begin with one word. */
#define STATS_ERRORS 129 /* the last one is for all further kinds, as of Redis's 128 */
#define STATS_ERROR_NAME 32

struct stats_error {
	char name[STATS_ERROR_NAME]; /* written once */
	struct counter n;
};

struct stats_base;

struct stats_loop {
#define LOOP_STAT(name, help) struct counter name;
#include "stats/stats.def"
	/* Heap tables, zero pages until touched. */
	struct stats_ns *ns;            /* [STATS_NAMESPACES] */
	struct stats_origin *origins;   /* [STATS_ORIGINS] */
	struct stats_command *commands; /* [STATS_COMMANDS] */
	struct cache_tally *tally;      /* [CACHE_CLASSES] */
	struct stats_error *errors;     /* [STATS_ERRORS] */
	atomic_uint n_errors;           /* of those, with a name */
	struct stats_base *base;        /* what the last reset found, under its lock */
};

/* 0 or -ENOMEM. */
int stats_loop_init(struct stats_loop *s) MUST_CHECK;
void stats_loop_fini(struct stats_loop *s);

/* An error reply was sent that begins with this word ("" or a long one: counted
 * as ERR). The loop's own. */
void stats_error(struct stats_loop *s, const char *word);

/* It took so long. Without memory it is not counted. The loop's own. */
void stats_ns_time(struct stats_loop *s, unsigned id, enum stats_time which, int64_t value);

/* Names of namespaces and origins by number; number 0 of namespaces is
 * "default". Thread-safe (a lock of its own for the *_id() calls, which come
 * at start and reload only; counts and names are read without it).
 * The number, or -ENOSPC where the table is full, or -ENOMEM. */
struct stats_names;
struct stats_names *stats_names_new(void); /* NULL: no memory */
void stats_names_free(struct stats_names *s);
int stats_ns_id(struct stats_names *s, const char *name) MUST_CHECK;
int stats_origin_id(struct stats_names *s, const char *name) MUST_CHECK;
unsigned stats_ns_count(const struct stats_names *s);
unsigned stats_origin_count(const struct stats_names *s);
/* Good as long as s; id is below the count. */
const char *stats_ns_name(const struct stats_names *s, unsigned id);
const char *stats_origin_name(const struct stats_names *s, unsigned id);

/* Sums over loops, in numbers that nobody writes any more. */
struct stats_sum_loop {
#define LOOP_STAT(name, help) int64_t name;
#include "stats/stats.def"
};
struct stats_sum_ns {
#define NS_STAT(name, help) int64_t name;
#include "stats/stats.def"
	int64_t stored, evicted, over_max, expired, refused, entries, bytes; /* cache_tally */
};
struct stats_sum_origin {
#define ORIGIN_STAT(name, help) int64_t name;
#include "stats/stats.def"
	struct histogram_sum latency_us;
};
struct stats_sum_command {
	int64_t calls, usec, rejected, failed;
};
struct stats_sum_error {
	char name[STATS_ERROR_NAME];
	int64_t n;
};

/* Each sets all of *out. The one of an origin holds memory afterwards: the
 * caller owes histogram_sum_fini(&out->latency_us). */
void stats_sum_loop(struct stats_loop *const *loops, unsigned n, struct stats_sum_loop *out);
void stats_sum_ns(struct stats_loop *const *loops, unsigned n, unsigned id,
    struct stats_sum_ns *out);
void stats_sum_origin(struct stats_loop *const *loops, unsigned n, unsigned id,
    struct stats_sum_origin *out);
void stats_sum_command(struct stats_loop *const *loops, unsigned n, unsigned id,
    struct stats_sum_command *out);
/* The caller owes histogram_sum_fini(). */
void stats_sum_latency(struct stats_loop *const *loops, unsigned n, unsigned id,
    struct histogram_sum *out);
void stats_sum_time(struct stats_loop *const *loops, unsigned n, unsigned id, enum stats_time which,
    struct histogram_sum *out);
/* Its count and sum alone. */
void stats_sum_time_totals(struct stats_loop *const *loops, unsigned n, unsigned id,
    enum stats_time which, int64_t *count, int64_t *sum);
/* Kinds of errors that there were, by name; how many. */
unsigned stats_sum_errors(struct stats_loop *const *loops, unsigned n,
    struct stats_sum_error out[STATS_ERRORS]);
/* CONFIG RESETSTAT: what was counted so far is subtracted from now on. The
 * gauges (entries, bytes) are left alone. Thread-safe against the loops. */
void stats_reset(struct stats_loop *const *loops, unsigned n);

/* hits / (hits + misses), or 0 where there were none. */
double stats_hit_rate(int64_t hits, int64_t misses);

#endif
