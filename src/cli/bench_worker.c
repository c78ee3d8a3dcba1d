/* A worker is one thread with an epoll loop and some connections.
 *
 * Closed loop: a connection sends --pipeline requests, waits until all are
 * answered, and sends the next ones, as an application with a pipeline does.
 * Sending one as soon as one is answered would let a server that answers in
 * small pieces choose its own batches, and the figures would compare batches.
 *
 * Open loop: bench_pace says when each request is due. One that finds no
 * connection with room waits, and the wait counts, since its time starts when
 * it was due. No queue is needed for that: the pace just falls behind. */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/bench_run.h"

#define EVENTS_MAX 256
#define LOOK_MS 100 /* how often stop and timeouts are looked at */

static uint64_t
share(uint64_t all, unsigned parts, unsigned index)
{
	return all / parts + (index < all % parts);
}

static bool
open_loop(const struct bench_worker *w)
{
	return w->pace.interval_us > 0;
}

static int
conns_open(struct bench_worker *w)
{
	const struct bench_opts *o = w->run->opts;

	for (unsigned i = 0; i < w->n_conns; i++) {
		struct bench_conn *c = &w->conns[i];
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
		/* Twice: the SETs that misses ask for come on top. */
		int rc = bench_conn_open(c, o->socket, (unsigned)o->pipeline * 2,
		    w->run->wire.protocol, w->fault, sizeof w->fault);

		c->worker = w;

		if (rc != 0)
			return rc;
		if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
			return bench_fault(w, -errno, "epoll: %s", strerror(errno));
	}
	return 0;
}

int
bench_worker_init(struct bench_worker *w, struct bench_run *run, unsigned index)
{
	const struct bench_opts *o = run->opts;
	unsigned threads = run->n_workers;
	struct epoll_event ev = { .events = EPOLLIN };

	w->run = run;
	w->index = index;
	w->rng.state = draw_mix(o->seed * 1000003 + index);
	w->left = share(o->requests, threads, index);
	w->warmup_left = share(o->warmup, threads, index);
	w->n_conns = o->herd != 0 ? (unsigned)o->herd : (unsigned)share(o->clients, threads, index);
	w->conns = mem_calloc(w->n_conns, sizeof *w->conns);
	w->ready = mem_calloc(w->n_conns, sizeof(struct bench_conn *));
	w->dirty = mem_calloc(w->n_conns, sizeof(struct bench_conn *));
	if (w->conns == NULL || w->ready == NULL || w->dirty == NULL)
		return bench_fault(w, -ENOMEM, "no memory for %u connections", w->n_conns);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (w->epoll < 0 || w->timer < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->timer, &ev) != 0)
		return bench_fault(w, -errno, "epoll or timer: %s", strerror(errno));
	return conns_open(w);
}

void
bench_worker_fini(struct bench_worker *w)
{
	for (unsigned i = 0; w->conns != NULL && i < w->n_conns; i++)
		bench_conn_close(&w->conns[i]);
	if (w->epoll > 0)
		close(w->epoll);
	if (w->timer > 0)
		close(w->timer);
	histogram_fini(&w->get_us);
	histogram_fini(&w->set_us);
	mem_free(w->conns);
	mem_free(w->ready);
	mem_free(w->dirty);
}

static bool
stopped(const struct bench_worker *w)
{
	return atomic_load_explicit(&w->run->stop, memory_order_relaxed);
}

/* Nothing new is sent from now on. */
static bool
stopping(const struct bench_worker *w, int64_t now_us)
{
	return w->left == 0 || now_us >= w->run->end_us || stopped(w);
}

/* --- sending --------------------------------------------------------------- */

static bool
draw_set(struct bench_worker *w)
{
	const struct bench_opts *o = w->run->opts;

	if (o->cache_aside || o->ratio.set == 0)
		return false;
	return draw_below(draw_next(&w->rng), o->ratio.get + o->ratio.set) >= o->ratio.get;
}

static int
ask_next(struct bench_worker *w, struct bench_conn *c, int64_t start_us, int64_t now_us)
{
	struct bench_op op = { .start_us = start_us, .set = draw_set(w) };

	op.id = bench_keys_next(&w->run->keys, &w->rng, op.set);
	w->left--;
	return bench_ask(w, c, &op, now_us);
}

static int
ask_owed(struct bench_worker *w, struct bench_conn *c, int64_t now_us)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < c->n_owed; i++) {
		struct bench_op op = { .id = c->owed[i], .start_us = now_us, .set = true,
			.owed = true };

		rc = bench_ask(w, c, &op, now_us);
	}
	c->n_owed = 0;
	return rc;
}

static int
refill(struct bench_worker *w, struct bench_conn *c, int64_t now_us)
{
	unsigned pipeline = (unsigned)w->run->opts->pipeline;
	int rc = ask_owed(w, c, now_us);

	while (rc == 0 && c->n_ops < pipeline && !stopping(w, now_us))
		rc = ask_next(w, c, now_us, now_us);
	return rc == 0 ? bench_flush(w, c) : rc;
}

/* --- the open loop ----------------------------------------------------------- */

static void
make_ready(struct bench_worker *w, struct bench_conn *c)
{
	if (c->queued || c->n_ops >= w->run->opts->pipeline)
		return;
	c->queued = true;
	w->ready[(w->ready_head + w->n_ready++) % w->n_conns] = c;
}

static void
make_dirty(struct bench_worker *w, struct bench_conn *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	w->dirty[w->n_dirty++] = c;
}

static int
flush_dirty(struct bench_worker *w)
{
	int rc = 0;

	for (unsigned i = 0; i < w->n_dirty; i++) {
		w->dirty[i]->dirty = false;
		if (rc == 0)
			rc = bench_flush(w, w->dirty[i]);
	}
	w->n_dirty = 0;
	return rc;
}

/* Wakes the loop when the next request is due; not while none could go. */
static int
arm_timer(struct bench_worker *w, int64_t now_us)
{
	struct itimerspec when = { 0 };
	int64_t due = bench_pace_due_us(&w->pace);

	if (w->n_ready > 0 && !stopping(w, now_us)) {
		due = MAX(MIN(due, w->run->end_us), 1);
		when.it_value.tv_sec = due / 1000000;
		when.it_value.tv_nsec = due % 1000000 * 1000;
	}
	if (timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
		return bench_fault(w, -errno, "timer: %s", strerror(errno));
	return 0;
}

/* Sends what is due as far as there is room. */
static int
send_due(struct bench_worker *w, int64_t now_us)
{
	int rc = 0;

	assert(w->n_conns > 0);
	while (rc == 0 && w->n_ready > 0 && bench_pace_due_us(&w->pace) <= now_us &&
	    !stopping(w, now_us)) {
		struct bench_conn *c = w->ready[w->ready_head];

		w->ready_head = (w->ready_head + 1) % w->n_conns;
		w->n_ready--;
		c->queued = false;
		rc = ask_next(w, c, bench_pace_due_us(&w->pace), now_us);
		bench_pace_advance(&w->pace, &w->rng);
		make_ready(w, c);
		make_dirty(w, c);
	}
	if (rc == 0)
		rc = flush_dirty(w);
	return rc == 0 ? arm_timer(w, now_us) : rc;
}

/* --- receiving ----------------------------------------------------------------- */

static void
told(struct bench_worker *w, struct bench_conn *c, const struct bench_op *op,
    enum bench_answer answer)
{
	if (answer == BENCH_NOTHING && w->run->opts->cache_aside)
		c->owed[c->n_owed++] = op->id;
}

static int
readable(struct bench_worker *w, struct bench_conn *c)
{
	int rc = bench_receive(w, c);

	if (rc != 0)
		return rc == -EAGAIN ? 0 : rc;
	if (!open_loop(w))
		return c->n_ops == 0 ? refill(w, c, w->to_us) : 0;
	make_ready(w, c);
	if (c->n_owed > 0)
		make_dirty(w, c);
	return ask_owed(w, c, w->to_us);
}

static int
look_for_timeouts(struct bench_worker *w, int64_t now_us)
{
	int64_t limit_us = (int64_t)(w->run->opts->timeout * 1e6);

	for (unsigned i = 0; i < w->n_conns; i++) {
		const struct bench_conn *c = &w->conns[i];

		if (c->n_ops > 0 && now_us - c->last_us > limit_us)
			return bench_fault(w, -ETIMEDOUT, "no reply for %g s",
			    w->run->opts->timeout);
	}
	return 0;
}

/* --- the loop -------------------------------------------------------------------- */

static int
start(struct bench_worker *w)
{
	int rc = 0;

	w->from_us = w->to_us = clock_mono_us();
	bench_pace_init(&w->pace, w->run->opts, w->index, &w->rng, w->from_us);
	for (unsigned i = 0; rc == 0 && i < w->n_conns; i++) {
		if (open_loop(w))
			make_ready(w, &w->conns[i]);
		else
			rc = refill(w, &w->conns[i], w->from_us);
	}
	if (rc == 0 && open_loop(w))
		rc = send_due(w, w->from_us);
	return rc;
}

static int
turn(struct bench_worker *w, int64_t *looked_us)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(w->epoll, events, EVENTS_MAX, LOOK_MS), rc = 0;
	int64_t now_us;

	if (n < 0)
		return errno == EINTR ? 0 : bench_fault(w, -errno, "epoll: %s", strerror(errno));
	for (int i = 0; rc == 0 && i < n; i++) {
		struct bench_conn *c = events[i].data.ptr;

		if (c == NULL)
			continue; /* the timer: send_due() sets it anew */
		if (events[i].events & EPOLLOUT)
			rc = bench_flush(w, c);
		if (rc == 0 && (events[i].events & ~(uint32_t)EPOLLOUT))
			rc = readable(w, c);
	}
	now_us = clock_mono_us();
	if (rc == 0 && open_loop(w))
		rc = send_due(w, now_us);
	if (rc == 0 && now_us - *looked_us > LOOK_MS * 1000) {
		*looked_us = now_us;
		rc = look_for_timeouts(w, now_us);
	}
	return rc;
}

static int
serve(struct bench_worker *w)
{
	int64_t looked_us = 0;
	int rc = start(w);

	while (rc == 0 && !stopped(w) && (w->under_way > 0 || !stopping(w, clock_mono_us())))
		rc = turn(w, &looked_us);
	return rc;
}

void *
bench_worker_main(void *worker)
{
	struct bench_worker *w = worker;
	struct bench_run *run = w->run;

	/* Timers shall be exact: the wait that they add would be measured. */
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	w->told = told;
	w->rc = run->opts->herd != 0 ? bench_herd(w) : serve(w);
	if (w->rc != 0)
		atomic_store(&run->stop, true);
	pthread_mutex_lock(&run->mutex);
	run->running--;
	pthread_cond_signal(&run->ended);
	pthread_mutex_unlock(&run->mutex);
	return NULL;
}
