/* A turn of the loop is: wait (epoll_wait), the callbacks of what came, and
 * then turn_end(), which runs what was posted and deferred. libev calls turn()
 * in the place where it would invoke the callbacks, once before each wait, so
 * nothing can be left over when the loop sleeps. (A prepare watcher does the
 * same for 100 instructions more a turn.)
 *
 * The clock: libev reads the monotonic clock before and after each wait, but
 * shows it only as wall time, ev_now(), which is that plus an offset that
 * follows the system's clock from time to time. Two more readings would cost
 * 1 % of what a bare server spends on a request. So the loop reads the clock
 * itself only every 20 ms, and counts on from there by ev_now(). Should the
 * system's clock be moved in between, the loop's is off by at most these 20 ms
 * until the next reading; it never goes back.
 *
 * Posting: a stack that any thread pushes on and that the loop takes as a
 * whole and turns round, so that there is no node to reclaim and no ABA, and
 * the order of one sender is kept. Only who finds the stack empty wakes the
 * loop, and libev writes to its eventfd only if the loop is about to sleep. A
 * wake-up cannot be lost: the loop takes the stack in each turn before it
 * sleeps, and who pushes on it later finds it empty. */
#include "config.h"

#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"

/* Tasks that tasks give rise to run in the same turn, but sockets must get
 * their turn as well. */
#define TASK_ROUNDS 16
/* A probe for idleness costs one epoll_wait() that does not wait. */
#define IDLE_PROBE_US 10000
/* How far ev_now() is trusted. */
#define CLOCK_TRUST_S 0.02
/* A longer turn is rare enough to ask the clock how long it was. */
#define LAG_DOUBT_S 0.005

struct task_queue {
	struct loop_task *head, **tail;
};

struct loop {
	struct ev_loop *ev;
	int64_t now_us;
	int64_t now_ms;
	double turn_ev;      /* ev_now() when this turn began */
	double read_ev;      /* ev_now() when the clock was read, */
	int64_t read_us;     /* and what it showed */
	_Atomic(double) max_lag_s; /* the loop adds, any thread takes */
	unsigned ready;      /* descriptors' events in this turn */
	bool crowded;        /* several in the last one */
	struct task_queue deferred;
	bool (*idle_fn)(void *arg);
	void *idle_arg;
	int64_t idle_probed_us;
	struct ev_idle idle;   /* active while idle_fn waits to be called */
	struct ev_idle again;  /* active while tasks are left for the next turn */
	struct ev_async wake;
	unsigned index;
	_Atomic(uintptr_t) thread; /* lock_self() of who runs it, or 0 */
	atomic_bool stop;
	char pad[64]; /* other threads write behind it */
	_Atomic(struct loop_task *) posted;
};

static void
queue_init(struct task_queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

static void
queue_push(struct task_queue *q, struct loop_task *t)
{
	t->next = NULL;
	*q->tail = t;
	q->tail = &t->next;
}

static void
run_all(struct loop *l, struct loop_task *t)
{
	while (t != NULL) {
		struct loop_task *next = t->next; /* run() may free t */

		t->run(l, t);
		t = next;
	}
}

/* Newest first becomes oldest first. */
static struct loop_task *
turn_round(struct loop_task *t)
{
	struct loop_task *head = NULL;

	while (t != NULL) {
		struct loop_task *next = t->next;

		t->next = head;
		head = t;
		t = next;
	}
	return head;
}

static bool
tasks_left(const struct loop *l)
{
	return l->deferred.head != NULL ||
	    atomic_load_explicit(&l->posted, memory_order_relaxed) != NULL;
}

static void
run_tasks(struct loop *l)
{
	for (unsigned i = 0; i < TASK_ROUNDS && tasks_left(l); i++) {
		struct loop_task *deferred;

		if (atomic_load_explicit(&l->posted, memory_order_relaxed) != NULL)
			run_all(l, turn_round(atomic_exchange_explicit(&l->posted, NULL,
			    memory_order_acquire)));
		deferred = l->deferred.head;
		queue_init(&l->deferred);
		run_all(l, deferred);
	}
}

static void
set_now(struct loop *l, int64_t now_us)
{
	/* A timer may have moved it some microseconds ahead. */
	if (now_us <= l->now_us)
		return;
	l->now_us = now_us;
	l->now_ms = now_us / 1000;
}

static void
read_clock(struct loop *l)
{
	double now_ev = ev_now(l->ev), passed = now_ev - l->read_ev;

	if (unlikely(!(passed >= 0 && passed < CLOCK_TRUST_S))) {
		l->read_ev = now_ev;
		l->read_us = clock_mono_us();
		passed = 0;
	}
	l->turn_ev = now_ev;
	set_now(l, l->read_us + (int64_t)(passed * 1e6));
}

static void
turn_end(struct loop *l)
{
	if (tasks_left(l)) {
		run_tasks(l);
		if (unlikely(tasks_left(l)))
			ev_idle_start(l->ev, &l->again);
	}
	if (l->idle_fn != NULL && l->now_us - l->idle_probed_us >= IDLE_PROBE_US)
		ev_idle_start(l->ev, &l->idle);
	if (unlikely(atomic_load_explicit(&l->stop, memory_order_acquire)))
		ev_break(l->ev, EVBREAK_ALL);
}

static void
turn(struct ev_loop *ev)
{
	struct loop *l = ev_userdata(ev);

	read_clock(l);
	l->crowded = l->ready > 1;
	l->ready = 0;
	ev_invoke_pending(ev);
	turn_end(l);
}

/* libev has just read its clock again, and will wait now. */
static void
before_wait(struct ev_loop *ev) EV_NOEXCEPT
{
	struct loop *l = ev_userdata(ev);
	double lag_s = ev_now(ev) - l->turn_ev;
	double max_s = atomic_load_explicit(&l->max_lag_s, memory_order_relaxed);

	if (likely(lag_s <= max_s))
		return;
	/* Or was it the system's clock that was moved? */
	if (lag_s > LAG_DOUBT_S)
		lag_s = (double)(clock_mono_us() - l->now_us) / 1e6;
	while (lag_s > max_s && !atomic_compare_exchange_weak_explicit(&l->max_lag_s, &max_s,
	    lag_s, memory_order_relaxed, memory_order_relaxed))
		;
}

static void
on_idle(struct ev_loop *ev, struct ev_idle *w, int events UNUSED)
{
	struct loop *l = w->data;

	l->idle_probed_us = l->now_us;
	if (l->idle_fn == NULL || !l->idle_fn(l->idle_arg))
		ev_idle_stop(ev, w);
}

static void
on_again(struct ev_loop *ev, struct ev_idle *w, int events UNUSED)
{
	ev_idle_stop(ev, w); /* it only kept the loop from sleeping */
}

static void
on_wake(struct ev_loop *ev UNUSED, struct ev_async *w UNUSED, int events UNUSED)
{
	/* turn() does the work. */
}

static void
hooks_start(struct loop *l)
{
	ev_idle_init(&l->idle, on_idle);
	ev_idle_init(&l->again, on_again);
	ev_async_init(&l->wake, on_wake);
	l->idle.data = l;
	ev_async_start(l->ev, &l->wake);
	ev_set_userdata(l->ev, l);
	ev_set_invoke_pending_cb(l->ev, turn);
	ev_set_loop_release_cb(l->ev, before_wait, NULL);
}

int
loop_new(unsigned index, struct loop **out)
{
	struct loop *l = mem_zalloc(sizeof *l);

	if (l == NULL)
		return -ENOMEM;
	errno = 0;
	l->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV | EVFLAG_NOTIMERFD);
	if (l->ev == NULL) {
		int rc = errno != 0 ? -errno : -ENOMEM;

		mem_free(l);
		return rc;
	}
	l->index = index;
	queue_init(&l->deferred);
	atomic_init(&l->posted, NULL);
	atomic_init(&l->stop, false);
	atomic_init(&l->thread, 0);
	atomic_init(&l->max_lag_s, 0);
	hooks_start(l);
	read_clock(l);
	*out = l;
	return 0;
}

bool
loop_has_tasks(const struct loop *l)
{
	return tasks_left(l);
}

void
loop_run_tasks(struct loop *l)
{
	assert(loop_here(l));
	while (tasks_left(l))
		run_tasks(l);
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	loop_run_tasks(l);
	ev_loop_destroy(l->ev);
	mem_free(l);
}

void
loop_run(struct loop *l)
{
	atomic_store(&l->thread, lock_self());
	ev_now_update(l->ev);
	ev_run(l->ev, 0);
	atomic_store(&l->stop, false);
	atomic_store(&l->thread, 0);
}

void
loop_stop(struct loop *l)
{
	atomic_store_explicit(&l->stop, true, memory_order_release);
	ev_async_send(l->ev, &l->wake);
}

unsigned
loop_index(const struct loop *l)
{
	return l->index;
}

static uintptr_t
loop_thread(const struct loop *l)
{
	return atomic_load_explicit(&l->thread, memory_order_relaxed);
}

bool
loop_here(const struct loop *l)
{
	uintptr_t thread = loop_thread(l);

	return thread == 0 || thread == lock_self();
}

int64_t
loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

int64_t
loop_now_us(const struct loop *l)
{
	return l->now_us;
}

bool
loop_is_crowded(const struct loop *l)
{
	return l->crowded;
}

int64_t
loop_take_max_lag_us(struct loop *l)
{
	return (int64_t)(atomic_exchange_explicit(&l->max_lag_s, 0, memory_order_relaxed) * 1e6);
}

void
loop_post(struct loop *l, struct loop_task *t)
{
	struct loop_task *top = atomic_load_explicit(&l->posted, memory_order_relaxed);

	do {
		t->next = top;
	} while (!atomic_compare_exchange_weak_explicit(&l->posted, &top, t,
	    memory_order_release, memory_order_relaxed));
	/* Its own thread takes the stack before it sleeps, without being told. */
	if (top == NULL && loop_thread(l) != lock_self())
		ev_async_send(l->ev, &l->wake);
}

void
loop_defer(struct loop *l, struct loop_task *t)
{
	assert(loop_here(l));
	queue_push(&l->deferred, t);
}

void
loop_set_idle(struct loop *l, bool (*fn)(void *arg), void *arg)
{
	l->idle_fn = fn;
	l->idle_arg = arg;
	l->idle_probed_us = 0;
	if (fn == NULL)
		ev_idle_stop(l->ev, &l->idle);
}

/* --- timers ---------------------------------------------------------------- */

static void
on_timer(struct ev_loop *ev UNUSED, struct ev_timer *w, int events UNUSED)
{
	struct timer *t = w->data;

	/* libev read its clock a moment after the loop did: who set a deadline
	 * by loop_now_ms() must not find, when woken, that it is not yet over. */
	set_now(t->loop, t->due_us);
	t->fire(t);
}

void
timer_init(struct timer *t, struct loop *l, void (*fire)(struct timer *t))
{
	ev_timer_init(&t->ev, on_timer, 0., 0.);
	t->ev.data = t;
	t->loop = l;
	t->fire = fire;
	t->due_us = 0;
}

void
timer_start(struct timer *t, int64_t delay_ms)
{
	struct ev_loop *ev = t->loop->ev;

	assert(loop_here(t->loop));
	ev_timer_stop(ev, &t->ev);
	delay_ms = MAX(delay_ms, 0);
	t->due_us = t->loop->now_us + delay_ms * 1000;
	ev_timer_set(&t->ev, (double)delay_ms / 1e3, 0.);
	ev_timer_start(ev, &t->ev);
}

void
timer_stop(struct timer *t)
{
	ev_timer_stop(t->loop->ev, &t->ev);
}

bool
timer_armed(const struct timer *t)
{
	return ev_is_active(&t->ev);
}

/* --- descriptors ------------------------------------------------------------ */

static void
on_io(struct ev_loop *ev UNUSED, struct ev_io *w, int events)
{
	struct watch *watch = w->data;

	watch->loop->ready++;
	watch->ready(watch, (events & EV_ERROR) != 0 ? WATCH_FAILED : events);
}

void
watch_init(struct watch *w, struct loop *l, int fd, void (*ready)(struct watch *, int))
{
	ev_io_init(&w->ev, on_io, fd, 0);
	w->ev.data = w;
	w->loop = l;
	w->ready = ready;
}

void
watch_set(struct watch *w, int events)
{
	struct ev_loop *ev = w->loop->ev;

	assert(loop_here(w->loop));
	if (events == watch_events(w))
		return;
	/* libev tells epoll at the end of the turn, and only of a difference. */
	ev_io_stop(ev, &w->ev);
	ev_io_modify(&w->ev, events);
	if (events != 0)
		ev_io_start(ev, &w->ev);
}

int
watch_events(const struct watch *w)
{
	return ev_is_active(&w->ev) ? w->ev.events & (WATCH_READ | WATCH_WRITE) : 0;
}

/* --- signals ---------------------------------------------------------------- */

static void
on_signal(struct ev_loop *ev UNUSED, struct ev_signal *s, int events UNUSED)
{
	struct signal_watch *w = s->data;

	w->fire(w);
}

void
signal_watch_start(struct signal_watch *w, struct loop *l, int signum,
    void (*fire)(struct signal_watch *w))
{
	ev_signal_init(&w->ev, on_signal, signum);
	w->ev.data = w;
	w->loop = l;
	w->fire = fire;
	ev_signal_start(l->ev, &w->ev);
}

void
signal_watch_stop(struct signal_watch *w)
{
	ev_signal_stop(w->loop->ev, &w->ev);
}
