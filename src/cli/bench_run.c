#include "config.h"

#include "cli/bench_run.h"

#include <errno.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

/* What the watching thread knows of the last interval. */
struct watcher {
	struct bench_run *run;
	struct bench_result *result;
	int64_t start_us, last_us;
	int64_t ops, gets, hits;
	struct histogram_sum sum; /* of all workers, at last_us */
	unsigned cap;             /* of result->moments */
};

static int64_t
total(const struct bench_run *run, size_t offset)
{
	int64_t n = 0;

	for (unsigned i = 0; i < run->n_workers; i++)
		n += counter_get((const struct counter *)((const char *)&run->workers[i].tally +
		    offset));
	return n;
}

#define TOTAL(run, field) total(run, offsetof(struct bench_tally, field))

static void
sum_latency(const struct bench_run *run, struct histogram_sum *get, struct histogram_sum *set)
{
	for (unsigned i = 0; i < run->n_workers; i++) {
		histogram_sum_add(get, &run->workers[i].get_us);
		histogram_sum_add(set, &run->workers[i].set_us);
	}
}

/* What came to `now` since `before`. Its max is the whole run's, so the
 * interval's is taken from the highest step that got something. */
static void
interval_latency(struct histogram_sum *now, const struct histogram_sum *before,
    struct bench_moment *m)
{
	uint64_t count = 0;

	if (now->buckets == NULL)
		return;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t old = before->buckets == NULL ? 0 : before->buckets[i];

		/* Less than before: the end of the warm-up cleared it. */
		now->buckets[i] -= MIN(old, now->buckets[i]);
		count += now->buckets[i];
	}
	if (count == 0)
		return;
	m->p50_us = histogram_quantile(now, 0.5);
	m->p99_us = histogram_quantile(now, 0.99);
	m->max_us = histogram_quantile(now, 1);
}

static int64_t
grown(int64_t now, int64_t *before)
{
	int64_t n = now >= *before ? now - *before : now;

	*before = now;
	return n;
}

static bool
keep_moment(struct watcher *w, const struct bench_moment *m)
{
	struct bench_result *r = w->result;

	if (r->n_moments == w->cap) {
		unsigned cap = w->cap == 0 ? 64 : w->cap * 2;
		struct bench_moment *more = mem_realloc(r->moments, cap * sizeof *more);

		if (more == NULL)
			return false;
		r->moments = more;
		w->cap = cap;
	}
	r->moments[r->n_moments++] = *m;
	return true;
}

static void
end_interval(struct watcher *w, int64_t now_us, bench_watch *watch, void *arg)
{
	struct bench_moment m = { .at_s = (double)(now_us - w->start_us) / 1e6,
		.seconds = (double)(now_us - w->last_us) / 1e6 };
	struct histogram_sum sum, step;

	m.ops = grown(TOTAL(w->run, gets) + TOTAL(w->run, sets), &w->ops);
	m.gets = grown(TOTAL(w->run, gets), &w->gets);
	m.hits = grown(TOTAL(w->run, hits), &w->hits);
	histogram_sum_init(&sum);
	histogram_sum_init(&step);
	sum_latency(w->run, &sum, &sum);
	sum_latency(w->run, &step, &step);
	interval_latency(&step, &w->sum, &m);
	histogram_sum_fini(&step);
	histogram_sum_fini(&w->sum);
	w->sum = sum;
	w->last_us = now_us;
	/* Without memory the time line has a gap; the figures are whole. */
	if (m.seconds > 0 && keep_moment(w, &m) && watch != NULL)
		watch(arg, &m);
}

/* True: all workers have ended. */
static bool
wait_until(struct bench_run *run, int64_t until_us)
{
	struct timespec ts = { until_us / 1000000, until_us % 1000000 * 1000 };
	bool ended;

	pthread_mutex_lock(&run->mutex);
	while (run->running > 0 &&
	    pthread_cond_timedwait(&run->ended, &run->mutex, &ts) != ETIMEDOUT)
		;
	ended = run->running == 0;
	pthread_mutex_unlock(&run->mutex);
	return ended;
}

#define LOOK_US 100000 /* how often an interruption is looked for */

static void
watch_run(struct watcher *w, const atomic_bool *interrupted, bench_watch *watch, void *arg)
{
	int64_t interval_us = (int64_t)(w->run->opts->interval * 1e6);
	int64_t next_us = w->start_us + interval_us;
	bool ended;

	do {
		ended = wait_until(w->run, MIN(next_us, clock_mono_us() + LOOK_US));
		if (atomic_load(interrupted))
			atomic_store(&w->run->stop, true);
		if (ended || clock_mono_us() >= next_us) {
			end_interval(w, clock_mono_us(), watch, arg);
			next_us += interval_us;
		}
	} while (!ended);
	histogram_sum_fini(&w->sum);
}

/* Requests that were due, and for which no connection ever had room. */
static uint64_t
unsent(const struct bench_worker *w)
{
	int64_t late_us = MIN(w->run->end_us, w->to_us) - bench_pace_due_us(&w->pace);

	if (w->pace.interval_us <= 0 || late_us <= 0)
		return 0;
	return MIN(w->left, (uint64_t)((double)late_us / w->pace.interval_us));
}

static void
collect(struct bench_run *run, struct bench_result *r)
{
	int64_t from_us = INT64_MAX, to_us = 0;

#define X(name) r->name = TOTAL(run, name);
	BENCH_TALLY(X)
#undef X
	sum_latency(run, &r->all_us, &r->all_us);
	sum_latency(run, &r->get_us, &r->set_us);
	for (unsigned i = 0; i < run->n_workers; i++) {
		struct bench_worker *w = &run->workers[i];

		from_us = MIN(from_us, w->from_us);
		to_us = MAX(to_us, w->to_us);
		r->herds += w->herds;
		r->loads += w->loads;
		r->loads_max = MAX(r->loads_max, w->loads_max);
		r->unsent += unsent(w);
		if (r->fault[0] == '\0')
			memcpy(r->fault, w->fault, sizeof r->fault);
		if (r->rc == 0)
			r->rc = w->rc;
	}
	r->seconds = to_us > from_us ? (double)(to_us - from_us) / 1e6 : 0;
}

/* One descriptor for each connection may be more than the soft limit. */
static void
raise_descriptor_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

/* All connections stand before the first thread starts. */
static int
workers_init(struct bench_run *run, struct bench_result *r)
{
	int rc = 0;

	run->workers = mem_calloc(run->n_workers, sizeof *run->workers);
	if (run->workers == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < run->n_workers; i++)
		run->workers[i].epoll = run->workers[i].timer = -1;
	for (unsigned i = 0; rc == 0 && i < run->n_workers; i++) {
		rc = bench_worker_init(&run->workers[i], run, i);
		if (rc != 0)
			memcpy(r->fault, run->workers[i].fault, sizeof r->fault);
	}
	return rc;
}

static int
workers_start(struct bench_run *run, struct bench_result *r)
{
	unsigned started = 0;
	int rc = 0;

	run->running = run->n_workers;
	while (rc == 0 && started < run->n_workers) {
		struct bench_worker *w = &run->workers[started];

		rc = -pthread_create(&w->thread, NULL, bench_worker_main, w);
		started += rc == 0;
	}
	if (rc == 0)
		return 0;
	atomic_store(&run->stop, true);
	for (unsigned i = 0; i < started; i++)
		pthread_join(run->workers[i].thread, NULL);
	snprintf(r->fault, sizeof r->fault, "a thread: %s", strerror(-rc));
	return rc;
}

static void
run_fini(struct bench_run *run)
{
	for (unsigned i = 0; run->workers != NULL && i < run->n_workers; i++)
		bench_worker_fini(&run->workers[i]);
	mem_free(run->workers);
	bench_values_fini(&run->values);
	pthread_cond_destroy(&run->ended);
	pthread_mutex_destroy(&run->mutex);
}

static int
run_init(struct bench_run *run, const struct bench_opts *o, const struct bench_trace *trace)
{
	pthread_condattr_t attr;

	*run = (struct bench_run){ .opts = o };
	run->n_workers = o->herd != 0 ? 1 : (unsigned)o->threads;
	atomic_init(&run->stop, false);
	pthread_mutex_init(&run->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&run->ended, &attr);
	pthread_condattr_destroy(&attr);
	bench_wire_init(&run->wire, o);
	bench_keys_init(&run->keys, o, trace->ids, trace->n);
	return bench_values_init(&run->values, o->value_size.max);
}

int
bench_run(const struct bench_opts *o, const struct bench_trace *trace,
    const atomic_bool *interrupted, bench_watch *watch, void *arg, struct bench_result *out)
{
	struct bench_run run;
	struct watcher w = { .run = &run, .result = out };

	*out = (struct bench_result){ 0 };
	histogram_sum_init(&w.sum);
	raise_descriptor_limit();
	out->rc = run_init(&run, o, trace);
	if (out->rc == 0)
		out->rc = workers_init(&run, out);
	if (out->rc == 0) {
		w.start_us = w.last_us = clock_mono_us();
		run.end_us = o->seconds > 0 ? w.start_us + (int64_t)(o->seconds * 1e6) : INT64_MAX;
		out->rc = workers_start(&run, out);
	}
	if (out->rc == 0) {
		watch_run(&w, interrupted, watch, arg);
		for (unsigned i = 0; i < run.n_workers; i++)
			pthread_join(run.workers[i].thread, NULL);
		collect(&run, out);
	}
	run_fini(&run);
	if (out->rc != 0 && out->fault[0] == '\0')
		snprintf(out->fault, sizeof out->fault, "%s", strerror(-out->rc));
	return out->rc;
}

void
bench_result_fini(struct bench_result *r)
{
	histogram_sum_fini(&r->all_us);
	histogram_sum_fini(&r->get_us);
	histogram_sum_fini(&r->set_us);
	mem_free(r->moments);
	r->moments = NULL;
}
