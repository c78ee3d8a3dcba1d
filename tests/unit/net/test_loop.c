#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"

static struct loop *
new_loop(void)
{
	struct loop *l = NULL;

	ck_assert_int_eq(loop_new(0, &l), 0);
	return l;
}

/* --- posting ---------------------------------------------------------------- */

enum { SENDERS = 4, POSTS = 20000 };

struct sender {
	struct loop *loop;
	struct receiver *receiver;
	pthread_t thread;
	struct post {
		struct loop_task task;
		struct sender *from;
		int n;
	} *posts;
	int next; /* what the loop expects from this sender */
};

struct receiver {
	struct sender senders[SENDERS];
	int got;
};

static void
receive(struct loop *l, struct loop_task *t)
{
	struct post *p = container_of(t, struct post, task);
	struct sender *s = p->from;

	ck_assert(loop_here(l));
	ck_assert_int_eq(p->n, s->next);
	s->next++;
	if (++s->receiver->got == SENDERS * POSTS)
		loop_stop(l);
}

static void *
send_posts(void *arg)
{
	struct sender *s = arg;

	for (int i = 0; i < POSTS; i++)
		loop_post(s->loop, &s->posts[i].task);
	return NULL;
}

START_TEST(posts_of_four_threads_all_arrive_each_senders_in_order)
{
	struct loop *l = new_loop();
	struct receiver r = { .got = 0 };

	for (int i = 0; i < SENDERS; i++) {
		struct sender *s = &r.senders[i];

		s->loop = l;
		s->receiver = &r;
		s->posts = mem_calloc(POSTS, sizeof *s->posts);
		for (int k = 0; k < POSTS; k++)
			s->posts[k] = (struct post){ { NULL, receive }, s, k };
		ck_assert_int_eq(pthread_create(&s->thread, NULL, send_posts, s), 0);
	}
	loop_run(l);
	ck_assert_int_eq(r.got, SENDERS * POSTS);
	for (int i = 0; i < SENDERS; i++) {
		pthread_join(r.senders[i].thread, NULL);
		mem_free(r.senders[i].posts);
	}
	loop_free(l);
}
END_TEST

/* Each loop sleeps while the other works: one wake-up lost would hang it. */
struct pingpong {
	struct loop_task task;
	struct loop *loops[2];
	int left;
};

static void
bounce(struct loop *l, struct loop_task *t)
{
	struct pingpong *p = container_of(t, struct pingpong, task);

	if (p->left-- == 0) {
		loop_stop(p->loops[0]);
		loop_stop(p->loops[1]);
	} else {
		loop_post(p->loops[l == p->loops[0]], t);
	}
}

static void *
run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

START_TEST(no_wake_up_is_lost_between_two_loops)
{
	struct pingpong p = { .task.run = bounce, .left = 20000 };
	pthread_t thread;

	p.loops[0] = new_loop();
	p.loops[1] = new_loop();
	loop_post(p.loops[0], &p.task);
	pthread_create(&thread, NULL, run_loop, p.loops[1]);
	loop_run(p.loops[0]);
	pthread_join(thread, NULL);
	ck_assert_int_eq(p.left, -1);
	loop_free(p.loops[0]);
	loop_free(p.loops[1]);
}
END_TEST

struct note {
	struct loop_task task;
	char letter;
};

static char notes[64];

static void
write_note(struct loop *l UNUSED, struct loop_task *t)
{
	size_t n = strlen(notes);

	notes[n] = container_of(t, struct note, task)->letter;
	notes[n + 1] = '\0';
}

static void
stop_loop(struct loop *l, struct loop_task *t UNUSED)
{
	loop_stop(l);
}

START_TEST(a_stop_before_the_run_is_not_lost_and_posts_before_it_run)
{
	struct loop *l = new_loop();
	struct note a = { { NULL, write_note }, 'a' };

	loop_post(l, &a.task);
	loop_stop(l);
	loop_run(l);
	ck_assert_str_eq(notes, "a");
	loop_free(l);
}
END_TEST

START_TEST(tasks_still_posted_run_when_the_loop_is_freed)
{
	struct loop *l = new_loop();
	struct note a = { { NULL, write_note }, 'a' }, b = { { NULL, write_note }, 'b' };

	loop_post(l, &a.task);
	loop_defer(l, &b.task);
	loop_free(l);
	ck_assert_str_eq(notes, "ab");
}
END_TEST

/* --- deferring --------------------------------------------------------------- */

static struct note note_c = { { NULL, write_note }, 'c' };
static struct note note_d = { { NULL, write_note }, 'd' };

static void
defer_more(struct loop *l, struct loop_task *t)
{
	write_note(l, t);
	loop_defer(l, &note_c.task);
	loop_post(l, &note_d.task);
}

START_TEST(deferred_tasks_run_in_order_and_so_does_what_they_defer_and_post)
{
	struct loop *l = new_loop();
	struct note a = { { NULL, defer_more }, 'a' }, b = { { NULL, write_note }, 'b' };

	loop_defer(l, &a.task);
	loop_defer(l, &b.task);
	loop_stop(l);
	loop_run(l); /* one turn */
	ck_assert_str_eq(notes, "abdc");
	loop_free(l);
}
END_TEST

static void
defer_again(struct loop *l, struct loop_task *t)
{
	loop_defer(l, t);
}

static void
stop_when_ready(struct watch *w, int events)
{
	ck_assert_int_eq(events, WATCH_READ);
	watch_set(w, 0);
	loop_stop(w->loop);
}

START_TEST(a_task_that_defers_itself_for_ever_does_not_starve_sockets)
{
	struct loop *l = new_loop();
	struct loop_task forever = { NULL, defer_again };
	struct watch w;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	watch_init(&w, l, fds[0], stop_when_ready);
	watch_set(&w, WATCH_READ);
	loop_defer(l, &forever);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	loop_run(l);
	forever.run = stop_loop; /* lets loop_free() come to an end */
	loop_free(l);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* --- timers ------------------------------------------------------------------- */

struct alarm {
	struct timer timer;
	char letter;
	int64_t due_ms;
	bool last;
};

static void
ring(struct timer *t)
{
	struct alarm *a = container_of(t, struct alarm, timer);
	size_t n = strlen(notes);

	ck_assert(!timer_armed(t));
	ck_assert_int_ge(loop_now_ms(t->loop), a->due_ms);
	notes[n] = a->letter;
	notes[n + 1] = '\0';
	if (a->last)
		loop_stop(t->loop);
}

static void
set_alarm(struct alarm *a, struct loop *l, char letter, int64_t delay_ms)
{
	*a = (struct alarm){ .letter = letter, .due_ms = loop_now_ms(l) + delay_ms };
	timer_init(&a->timer, l, ring);
	timer_start(&a->timer, delay_ms);
	ck_assert(timer_armed(&a->timer));
}

START_TEST(timers_fire_once_in_order_and_never_before_the_clock_shows_it)
{
	struct loop *l = new_loop();
	struct alarm a, b, c, d;

	set_alarm(&a, l, 'a', 12);
	set_alarm(&b, l, 'b', 3);
	set_alarm(&c, l, 'c', -5);
	set_alarm(&d, l, 'd', 1);
	timer_stop(&d.timer);
	timer_stop(&d.timer);
	c.due_ms = loop_now_ms(l);
	a.last = true;
	loop_run(l);
	ck_assert_str_eq(notes, "cba");
	loop_free(l);
}
END_TEST

START_TEST(a_timer_started_again_fires_at_its_new_time_only)
{
	struct loop *l = new_loop();
	struct alarm a, b;

	set_alarm(&a, l, 'a', 1);
	set_alarm(&b, l, 'b', 4);
	a.due_ms = loop_now_ms(l) + 9;
	a.last = true;
	timer_start(&a.timer, 9);
	loop_run(l);
	ck_assert_str_eq(notes, "ba");
	loop_free(l);
}
END_TEST

/* --- the clock, lag, idleness --------------------------------------------------- */

static void
burn_5_ms(struct loop *l, struct loop_task *t)
{
	int64_t at_us = loop_now_us(l), until_us = clock_mono_us() + 5000;

	(void)t;
	while (clock_mono_us() < until_us)
		;
	ck_assert_int_eq(loop_now_us(l), at_us); /* still the same turn */
	ck_assert_int_eq(loop_now_ms(l), at_us / 1000);
}

START_TEST(the_longest_turn_is_measured_and_the_clock_stands_still_in_it)
{
	struct loop *l = new_loop();
	struct loop_task burn = { NULL, burn_5_ms };
	struct alarm a;

	loop_defer(l, &burn);
	set_alarm(&a, l, 'a', 1);
	a.last = true;
	loop_run(l);
	/* libev sets its clock right now and then, by what the reading of two clocks differs. */
	ck_assert_int_ge(loop_take_max_lag_us(l), 4000);
	ck_assert_int_eq(loop_take_max_lag_us(l), 0);
	loop_free(l);
}
END_TEST

struct idle_work {
	struct loop *loop;
	int left;
	bool busy;
};

static bool
work_when_idle(void *arg)
{
	struct idle_work *w = arg;

	ck_assert(!w->busy);
	if (--w->left == 0)
		loop_stop(w->loop);
	return w->left > 0;
}

START_TEST(idle_work_goes_on_until_it_says_that_it_is_done)
{
	struct loop *l = new_loop();
	struct idle_work w = { .loop = l, .left = 5 };

	loop_set_idle(l, work_when_idle, &w);
	loop_run(l);
	ck_assert_int_eq(w.left, 0);
	loop_free(l);
}
END_TEST

struct slow_reader {
	struct watch watch;
	struct idle_work *idle;
};

static void
read_one(struct watch *w, int events UNUSED)
{
	struct slow_reader *r = container_of(w, struct slow_reader, watch);
	char c;

	ck_assert_int_eq(read(w->ev.fd, &c, 1), 1);
	r->idle->busy = c != 'z';
}

START_TEST(idle_work_waits_while_sockets_have_something)
{
	struct loop *l = new_loop();
	struct idle_work w = { .loop = l, .left = 1, .busy = true };
	struct slow_reader in = { .idle = &w };
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ck_assert_int_eq(write(fds[1], "abcdefghz", 9), 9);
	watch_init(&in.watch, l, fds[0], read_one);
	watch_set(&in.watch, WATCH_READ);
	loop_set_idle(l, work_when_idle, &w);
	loop_run(l);
	ck_assert(!w.busy);
	loop_free(l);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* --- signals, memory -------------------------------------------------------------- */

static void
on_usr1(struct signal_watch *w)
{
	signal_watch_stop(w);
	loop_stop(w->loop);
}

START_TEST(a_signal_reaches_its_loop)
{
	struct loop *l = new_loop();
	struct signal_watch w;

	signal_watch_start(&w, l, SIGUSR1, on_usr1);
	ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
	loop_run(l);
	loop_free(l);
}
END_TEST

START_TEST(a_loop_refused_for_memory_leaves_nothing_behind)
{
	struct loop *l = NULL;

	mem_fail_nth(1, 0);
	ck_assert_int_eq(loop_new(0, &l), -ENOMEM);
	ck_assert_ptr_null(l);
	mem_fail_nth(0, 0);
	loop_free(NULL);
}
END_TEST

START_TEST(a_loop_runs_again_after_a_stop)
{
	struct loop *l = new_loop();
	struct loop_task stop = { NULL, stop_loop };

	for (int i = 0; i < 3; i++) {
		loop_post(l, &stop);
		loop_run(l);
	}
	ck_assert_uint_eq(loop_index(l), 0);
	loop_free(l);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("loop");

	SUITE_ADD(s, "post", posts_of_four_threads_all_arrive_each_senders_in_order,
	    no_wake_up_is_lost_between_two_loops,
	    a_stop_before_the_run_is_not_lost_and_posts_before_it_run,
	    tasks_still_posted_run_when_the_loop_is_freed);
	SUITE_ADD(s, "defer",
	    deferred_tasks_run_in_order_and_so_does_what_they_defer_and_post,
	    a_task_that_defers_itself_for_ever_does_not_starve_sockets);
	SUITE_ADD(s, "timer", timers_fire_once_in_order_and_never_before_the_clock_shows_it,
	    a_timer_started_again_fires_at_its_new_time_only);
	SUITE_ADD(s, "clock", the_longest_turn_is_measured_and_the_clock_stands_still_in_it,
	    idle_work_goes_on_until_it_says_that_it_is_done,
	    idle_work_waits_while_sockets_have_something);
	SUITE_ADD(s, "life", a_signal_reaches_its_loop,
	    a_loop_refused_for_memory_leaves_nothing_behind, a_loop_runs_again_after_a_stop);
	return suite_main(s);
}
