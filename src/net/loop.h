/* loop.h - a thread's event loop. libev lives in src/net alone.
 *
 * Everything here belongs to the loop's own thread, but for loop_post() and
 * loop_stop(), which any thread may call. */
#ifndef PANNIER_NET_LOOP_H
#define PANNIER_NET_LOOP_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

struct loop;

/* Work for a loop. Embedded in what it is about; the sender gives it away
 * with loop_post() and gets it back when run() is called. run() may free. */
struct loop_task {
	struct loop_task *next;
	void (*run)(struct loop *l, struct loop_task *t);
};

/* 0, -ENOMEM, or -errno of the descriptors. `index` is for names and logs. */
int loop_new(unsigned index, struct loop **out) MUST_CHECK;
/* Only when it does not run. Tasks still posted are run first. */
void loop_free(struct loop *l);
/* Until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* When it does not run, or in one of its tasks: what is posted and deferred is done now. */
void loop_run_tasks(struct loop *l);

unsigned loop_index(const struct loop *l);
/* Whether the caller is the loop's thread; true for all while it does not run,
 * so that it can be set up and taken down from outside. */
bool loop_here(const struct loop *l);
/* Milliseconds, monotonic, read once for each turn of the loop. */
int64_t loop_now_ms(const struct loop *l);
int64_t loop_now_us(const struct loop *l);
/* More than one descriptor was ready in the turn before: likely in this one too. */
bool loop_is_crowded(const struct loop *l);
/* Longest time that one turn's callbacks took, since the last call. Any thread. */
int64_t loop_take_max_lag_us(struct loop *l);

/* The one door between threads: t->run() is called on l's thread, soon, in
 * the order of one sender's posts. Never fails and never allocates. Posting
 * a task again before it ran is a bug. */
void loop_post(struct loop *l, struct loop_task *t);
/* From the loop's own thread: runs when this turn's events are all served;
 * so does what a deferred task defers. */
void loop_defer(struct loop *l, struct loop_task *t);
/* Whether any is posted or deferred. From another thread only while the loop's waits for it. */
bool loop_has_tasks(const struct loop *l);
/* `fn` is called when a turn found nothing to do and would sleep; it answers
 * whether it wants to be called again before the loop sleeps. One only. After
 * it answered no, it is asked again 10 ms later at the earliest, and only by a
 * loop that is awake: what must happen in any case needs a timer. */
void loop_set_idle(struct loop *l, bool (*fn)(void *arg), void *arg);

/* --- timers: one shot ---------------------------------------------------- */

struct timer {
	struct ev_timer ev;
	struct loop *loop;
	void (*fire)(struct timer *t);
	int64_t due_us;
};

void timer_init(struct timer *t, struct loop *l, void (*fire)(struct timer *t));
/* (Re)arms: fires once, delay_ms from loop_now_ms() (below 0 is 0), and never
 * before that clock shows it. */
void timer_start(struct timer *t, int64_t delay_ms);
void timer_stop(struct timer *t); /* also if it does not run */
bool timer_armed(const struct timer *t);

/* --- descriptors --------------------------------------------------------- */

/* WATCH_FAILED comes alone, instead of the others: the kernel refuses to watch
 * the descriptor (no memory, too many watches), and nothing more will come. */
enum { WATCH_READ = 1, WATCH_WRITE = 2, WATCH_FAILED = 4 };

struct watch {
	struct ev_io ev;
	struct loop *loop;
	void (*ready)(struct watch *w, int events);
};

void watch_init(struct watch *w, struct loop *l, int fd, void (*ready)(struct watch *, int));
void watch_set(struct watch *w, int events); /* 0 stops; before close(fd) */
int watch_events(const struct watch *w);

/* --- signals: on one loop only -------------------------------------------- */

struct signal_watch {
	struct ev_signal ev;
	struct loop *loop;
	void (*fire)(struct signal_watch *w);
};

void signal_watch_start(struct signal_watch *w, struct loop *l, int signum,
    void (*fire)(struct signal_watch *w));
void signal_watch_stop(struct signal_watch *w);

#endif
