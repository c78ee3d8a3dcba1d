/* bench_run.h - a run of the load generator: its workers, each a thread with
 * connections of its own, and what came out.
 *
 * The caller's thread watches and never touches a worker's connections. */
#ifndef PANNIER_CLI_BENCH_RUN_H
#define PANNIER_CLI_BENCH_RUN_H

#include <pthread.h>
#include <stdatomic.h>

#include "cli/bench_conn.h"
#include "cli/bench_gen.h"
#include "cli/bench_trace.h"
#include "cli/bench_wire.h"
#include "stats/counter.h"
#include "stats/histogram.h"

#define BENCH_FAULT_MAX 256

/* Told of each answer; must not ask or flush. */
typedef void bench_told(struct bench_worker *w, struct bench_conn *c, const struct bench_op *op,
    enum bench_answer answer);

/* Counts of a worker; its thread writes, any reads. */
#define BENCH_TALLY(X) \
	X(gets) X(sets) X(hits) X(misses) \
	X(errors) /* error replies */ \
	X(wrong)  /* values that --verify found wrong */ \
	X(bytes_in) X(bytes_out)

struct bench_tally {
#define X(name) struct counter name;
	BENCH_TALLY(X)
#undef X
};

struct bench_worker {
	struct bench_run *run;
	unsigned index;
	pthread_t thread;
	struct bench_conn *conns; /* owned */
	unsigned n_conns;
	int epoll;
	int timer;                /* open loop; -1 */
	struct draw rng;
	struct bench_pace pace;
	uint64_t left;            /* requests still to send */
	uint64_t warmup_left;
	uint64_t under_way;
	int64_t from_us, to_us;   /* what the figures cover */
	struct bench_conn **ready; /* open loop: a ring of those with room, [n_conns] */
	unsigned ready_head, n_ready;
	struct bench_conn **dirty; /* [n_conns] */
	unsigned n_dirty;
	struct bench_tally tally;
	struct histogram get_us, set_us;
	uint64_t herds;           /* done; and how many of them got nothing, */
	int64_t loads, loads_max; /* in all and in the worst herd */
	bench_told *told;
	struct herd *herd;        /* of bench_herd.c */
	int lib_rc;               /* -errno of what libpannier told of */
	int rc;                   /* -errno of what ended it */
	char fault[BENCH_FAULT_MAX]; /* the first error, in words */
};

struct bench_run {
	const struct bench_opts *opts;
	struct bench_wire wire;
	struct bench_keys keys;
	struct bench_values values;
	struct bench_worker *workers; /* owned */
	unsigned n_workers;
	int64_t end_us;       /* of --seconds; INT64_MAX: none */
	atomic_bool stop;     /* a worker failed, or the user has enough */
	pthread_mutex_t mutex;
	pthread_cond_t ended; /* a worker ended */
	unsigned running;     /* under mutex */
};

/* One interval of the time line. */
struct bench_moment {
	double at_s;       /* its end */
	double seconds;    /* its length */
	int64_t ops, gets, hits;
	int64_t p50_us, p99_us, max_us; /* max_us: of the step that it fell into */
};

struct bench_result {
	double seconds;
	int64_t gets, sets, hits, misses, errors, wrong, bytes_in, bytes_out;
	struct histogram_sum all_us, get_us, set_us;
	struct bench_moment *moments; /* owned */
	unsigned n_moments;
	uint64_t unsent;    /* open loop: requests that were due and never went */
	uint64_t herds;
	int64_t loads, loads_max; /* as a worker's */
	int rc;
	char fault[BENCH_FAULT_MAX];
};

/* Called at the end of each interval, on the caller's thread. */
typedef void bench_watch(void *arg, const struct bench_moment *m);

/* Runs what opts say, without --fill. `interrupted` is looked at now and
 * then: true ends the run early, with figures. Answers result->rc: 0;
 * -ECONNREFUSED and others of connect; -EPROTO for replies that are none;
 * -ETIMEDOUT. Error replies and wrong values are counted only. */
int bench_run(const struct bench_opts *o, const struct bench_trace *trace,
    const atomic_bool *interrupted, bench_watch *watch, void *arg, struct bench_result *out);
void bench_result_fini(struct bench_result *r);

/* --- bench_worker.c ------------------------------------------------------ */

/* Connects. 0 or -errno with w->fault set. */
int bench_worker_init(struct bench_worker *w, struct bench_run *run, unsigned index) MUST_CHECK;
void bench_worker_fini(struct bench_worker *w);
/* The thread's function. */
void *bench_worker_main(void *worker);

/* --- bench_op.c: what both kinds of load do with a request ----------------
 * Failures are -errno with w->fault set. */

/* Keeps the first fault in words; answers rc. */
int bench_fault(struct bench_worker *w, int rc, const char *fmt, ...) PRINTF(3, 4);
/* Appends a request to c's output and to what is under way. */
int bench_ask(struct bench_worker *w, struct bench_conn *c, const struct bench_op *op,
    int64_t now_us) MUST_CHECK;
/* Writes what the socket takes, and watches for room where that is not all. */
int bench_flush(struct bench_worker *w, struct bench_conn *c) MUST_CHECK;
/* Reads once, at w->to_us; counts and verifies the replies that are complete then, and
 * tells w->told of each. -EAGAIN: nothing was there. */
int bench_receive(struct bench_worker *w, struct bench_conn *c) MUST_CHECK;
/* One of them. 0 or -EPROTO: it is none to that request. */
int bench_answered(struct bench_worker *w, struct bench_conn *c, const struct bench_op *op,
    const struct bench_reply *r) MUST_CHECK;

/* --- bench_herd.c ---------------------------------------------------------- */

/* All herds, in the worker's thread. 0 or -errno with w->fault set. */
int bench_herd(struct bench_worker *w) MUST_CHECK;

#endif
