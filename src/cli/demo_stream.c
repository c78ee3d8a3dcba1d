/* Act two: everyday traffic. Two threads send GETs at a steady rate over many
 * connections, with keys by Zipf's law, while others ask the backend's twin
 * directly, so that both latencies are measured in the same seconds. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/bench_gen.h"
#include "cli/demo_parts.h"
#include "cli/demo_show.h"

#define WORKERS DEMO_WORKERS
#define CONNS DEMO_WORKER_CONNS
#define EVENTS 128

struct worker {
	struct stream *stream;
	pthread_t thread;
	unsigned index;
	int epoll;
	struct demo_conn conns[CONNS];
	unsigned n_open;
	struct demo_conn *idle[CONNS];
	unsigned n_idle;
	struct draw rng;
	double owed;         /* requests that are due */
	int64_t last_us;
	struct counter answered, errors, wrong;
	struct histogram us, recent_us; /* all, and of this second */
	_Atomic(int) rc;
};

struct stream {
	struct demo *demo;
	struct bench_zipf zipf;
	atomic_bool stop;
	unsigned n_workers;
	struct worker workers[WORKERS];
};

/* --- a worker's thread ---------------------------------------------------------- */

static int
worker_ask(struct worker *w, int64_t now_us)
{
	struct stream *s = w->stream;
	int rc = 0;

	w->owed += (double)(now_us - w->last_us) * DEMO_RATE / (WORKERS * 1e6);
	w->last_us = now_us;
	/* What could not be sent in time is not made up for in a burst. */
	w->owed = MIN(w->owed, (double)CONNS);
	for (; w->owed >= 1 && w->n_idle > 0 && rc == 0; w->owed--) {
		uint64_t id = bench_zipf_draw(&s->zipf, &w->rng);

		rc = demo_conn_ask(w->idle[--w->n_idle], id, now_us);
	}
	return rc;
}

static bool
is_right(struct slice value, uint64_t id)
{
	char begin[64];
	int n = snprintf(begin, sizeof begin, "{\"id\":\"%llu\",", (unsigned long long)id);

	return value.len == DEMO_VALUE_BYTES && memcmp(value.ptr, begin, (size_t)n) == 0;
}

static int
worker_read(struct worker *w, struct demo_conn *c)
{
	struct slice value;
	int64_t us;
	bool error;
	int rc = demo_conn_read(c, &value, &error);

	if (rc <= 0)
		return rc;
	us = clock_mono_us() - c->sent_us;
	counter_inc(&w->answered);
	if (error)
		counter_inc(&w->errors);
	else if (!is_right(value, c->id))
		counter_inc(&w->wrong);
	histogram_add(&w->us, us);
	histogram_add(&w->recent_us, us);
	w->idle[w->n_idle++] = c;
	return 0;
}

/* Ends when it is told to and all that was asked is answered. */
static int
worker_run(struct worker *w)
{
	struct epoll_event events[EVENTS];
	int rc = 0;

	w->last_us = clock_mono_us();
	for (;;) {
		int n;

		if (!atomic_load_explicit(&w->stream->stop, memory_order_relaxed))
			rc = worker_ask(w, clock_mono_us());
		else if (w->n_idle == w->n_open)
			return 0;
		if (rc != 0)
			return rc;
		n = epoll_wait(w->epoll, events, EVENTS, 1);
		for (int i = 0; i < n && rc == 0; i++)
			rc = worker_read(w, events[i].data.ptr);
		if (rc != 0)
			return rc;
	}
}

static void *
worker_main(void *arg)
{
	struct worker *w = arg;

	atomic_store(&w->rc, worker_run(w));
	return NULL;
}

static int
worker_connect(struct worker *w, const char *socket_path)
{
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0)
		return -errno;
	for (; w->n_open < CONNS; w->n_open++) {
		struct demo_conn *c = &w->conns[w->n_open];
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
		int rc = demo_conn_open(c, socket_path);

		if (rc != 0)
			return rc;
		w->idle[w->n_idle++] = c;
		if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
			rc = -errno;
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* --- figures ------------------------------------------------------------------------ */

struct totals {
	int64_t answered, errors, wrong;
	struct demo_figures figures;
};

static int
take_totals(struct stream *s, struct totals *t)
{
	*t = (struct totals){ .answered = 0 };
	for (unsigned i = 0; i < WORKERS; i++) {
		t->answered += counter_get(&s->workers[i].answered);
		t->errors += counter_get(&s->workers[i].errors);
		t->wrong += counter_get(&s->workers[i].wrong);
	}
	return demo_figures(s->demo, &t->figures);
}

static double
share(int64_t part, int64_t rest)
{
	return part + rest > 0 ? (double)part / (double)(part + rest) : 0;
}

/* One second: what came since `then`. */
static void
show_second(struct stream *s, unsigned second, const struct totals *begin,
    const struct totals *then, const struct totals *now)
{
	char all[SHOW_MAX], rate[SHOW_MAX], hits[SHOW_MAX], backend[SHOW_MAX], waited[SHOW_MAX],
	    p50[SHOW_MAX], p99[SHOW_MAX];
	const struct demo_figures *a = &then->figures, *b = &now->figures;
	struct histogram_sum us;

	histogram_sum_init(&us);
	for (unsigned i = 0; i < WORKERS; i++) {
		histogram_sum_add(&us, &s->workers[i].recent_us);
		histogram_reset(&s->workers[i].recent_us);
	}
	show_live(second >= s->demo->opts->seconds,
	    "  %4u s %10s %9s %9s %11s %11s %10s %10s", second,
	    show_count(all, (uint64_t)(now->answered - begin->answered)),
	    show_count(rate, (uint64_t)(now->answered - then->answered)),
	    show_share(hits, share(b->hits - a->hits, b->misses - a->misses)),
	    show_count(backend, b->backend_requests - a->backend_requests),
	    show_count(waited, (uint64_t)(b->coalesced - begin->figures.coalesced)),
	    show_us(p50, histogram_quantile(&us, 0.5)),
	    show_us(p99, histogram_quantile(&us, 0.99)));
	histogram_sum_fini(&us);
}

static void
show_compared(const char *what, const char *with, const char *without)
{
	show_line("  %-24s %14s %14s", what, with, without);
}

static void
show_summary(struct stream *s, const struct totals *begin, const struct totals *end,
    const struct histogram_sum *direct)
{
	uint64_t asked = (uint64_t)(end->answered - begin->answered);
	uint64_t reached = end->figures.backend_requests - begin->figures.backend_requests;
	char a[SHOW_MAX], b[SHOW_MAX];
	struct histogram_sum us;

	histogram_sum_init(&us);
	for (unsigned i = 0; i < WORKERS; i++)
		histogram_sum_add(&us, &s->workers[i].us);
	show_title("What the backend had to bear in these %u seconds", s->demo->opts->seconds);
	show_compared("", "with pannier", "without");
	show_compared("its requests", show_count(a, reached), show_count(b, asked));
	show_compared("a client's p50", show_us(a, histogram_quantile(&us, 0.5)),
	    show_us(b, histogram_quantile(direct, 0.5)));
	show_compared("a client's p99", show_us(a, histogram_quantile(&us, 0.99)),
	    show_us(b, histogram_quantile(direct, 0.99)));
	show_gap();
	show_line("  Without: each GET is a request; latency of %s requests that went straight to",
	    show_count(a, (uint64_t)direct->count));
	show_line("  an unloaded twin of the backend in the same seconds.");
	if (reached > 0)
		show_line("  One in %.0f GETs reached the backend.",
		    (double)asked / (double)reached);
	if (end->errors + end->wrong > 0)
		show_line("  %s error replies, %s wrong values.",
		    show_count(a, (uint64_t)end->errors), show_count(b, (uint64_t)end->wrong));
	histogram_sum_fini(&us);
}

/* --- the act --------------------------------------------------------------------------- */

static int
stream_start(struct stream *s)
{
	int rc = 0;

	for (unsigned i = 0; i < WORKERS && rc == 0; i++)
		rc = worker_connect(&s->workers[i], s->demo->opts->socket);
	for (unsigned i = 0; i < WORKERS && rc == 0; i++) {
		rc = -pthread_create(&s->workers[i].thread, NULL, worker_main, &s->workers[i]);
		s->n_workers += rc == 0;
	}
	return rc;
}

/* What ended a worker before its time, or 0. */
static int
stream_join(struct stream *s)
{
	int rc = 0;

	atomic_store(&s->stop, true);
	for (unsigned i = 0; i < s->n_workers; i++) {
		pthread_join(s->workers[i].thread, NULL);
		if (s->workers[i].rc != 0)
			rc = s->workers[i].rc;
	}
	s->n_workers = 0;
	return rc;
}

static int
stream_watch(struct stream *s, const struct totals *begin)
{
	struct totals then = *begin, now;
	int64_t from_us = clock_mono_us();

	for (unsigned second = 1; second <= s->demo->opts->seconds; second++) {
		int rc;

		if (sidecar_wait(s->demo->sidecar, from_us + (int64_t)second * 1000000))
			return -EINTR;
		rc = take_totals(s, &now);
		if (rc != 0)
			return rc;
		show_second(s, second, begin, &then, &now);
		then = now;
	}
	return 0;
}

static void
stream_free(struct stream *s)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *w = &s->workers[i];

		for (unsigned k = 0; k < w->n_idle; k++)
			demo_conn_close(w->idle[k]);
		for (unsigned k = 0; k < w->n_open; k++)
			demo_conn_close(&w->conns[k]);
		if (w->epoll >= 0)
			close(w->epoll);
		histogram_fini(&w->us);
		histogram_fini(&w->recent_us);
	}
	mem_free(s);
}

static struct stream *
stream_new(struct demo *d)
{
	struct stream *s = mem_zalloc(sizeof *s);

	if (s == NULL)
		return NULL;
	s->demo = d;
	bench_zipf_init(&s->zipf, DEMO_KEYS, DEMO_SKEW);
	for (unsigned i = 0; i < WORKERS; i++) {
		s->workers[i].stream = s;
		s->workers[i].index = i;
		s->workers[i].epoll = -1;
		s->workers[i].rng.state = 42 + i;
	}
	return s;
}

static int
stream_run(struct stream *s)
{
	struct totals begin, end;
	struct histogram_sum direct_us;
	struct direct direct;
	int rc, joined;

	rc = take_totals(s, &begin);
	if (rc == 0)
		rc = stream_start(s);
	if (rc != 0) {
		stream_join(s);
		return rc;
	}
	direct_start(&direct, backend_port(s->demo->twin));
	rc = stream_watch(s, &begin);
	joined = stream_join(s);
	direct_stop(&direct, &direct_us);
	if (rc == 0)
		rc = joined;
	if (rc == 0)
		rc = take_totals(s, &end);
	if (rc == 0)
		show_summary(s, &begin, &end, &direct_us);
	histogram_sum_fini(&direct_us);
	return rc;
}

int
demo_stream(struct demo *d, char *err, size_t err_size)
{
	struct stream *s = stream_new(d);
	char a[SHOW_MAX], b[SHOW_MAX];
	int rc;

	if (s == NULL) {
		snprintf(err, err_size, "no memory");
		return -ENOMEM;
	}
	show_title("2. Everyday traffic: %s GETs a second, %s keys by Zipf's law (%.2f), living "
	    DEMO_TTL,
	    show_count(a, DEMO_RATE), show_count(b, DEMO_KEYS), DEMO_SKEW);
	show_line("  %6s %10s %9s %9s %11s %11s %10s %10s", "time", "requests", "req/s", "hit rate",
	    "backend/s", "coalesced", "p50", "p99");
	rc = stream_run(s);
	if (rc != 0)
		snprintf(err, err_size, "the traffic broke off: %s", strerror(-rc));
	stream_free(s);
	return rc;
}
