/* Names are looked up in threads: one that hangs stops nobody. getaddrinfo() is the
 * test's. */
#include "config.h"

#include "unit/suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>

#include "base/mem.h"
#include "origin/redis_conn.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned waiting; /* under lock */
static bool hang;
static unsigned addresses;

/* In place of the C library's. */
int
getaddrinfo(const char *name, const char *service UNUSED, const struct addrinfo *hints UNUSED,
    struct addrinfo **res)
{
	struct addrinfo *all = calloc(MAX(addresses, 1), sizeof *all);
	struct sockaddr_in *sin = calloc(1, sizeof *sin);

	ck_assert_str_eq(name, "redis.test");
	pthread_mutex_lock(&lock);
	waiting++;
	pthread_cond_broadcast(&changed);
	while (hang)
		pthread_cond_wait(&changed, &lock);
	waiting--;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	sin->sin_family = AF_INET;
	sin->sin_port = htons(1);
	sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned i = 0; i < addresses; i++)
		all[i] = (struct addrinfo){ .ai_family = AF_INET, .ai_addrlen = sizeof *sin,
			.ai_addr = (struct sockaddr *)sin,
			.ai_next = i + 1 < addresses ? &all[i + 1] : NULL };
	*res = all;
	if (addresses != 0)
		return 0;
	free(sin);
	free(all);
	return EAI_NONAME;
}

void
freeaddrinfo(struct addrinfo *ai)
{
	free(ai->ai_addr);
	free(ai);
}

static struct loop *loop;
static unsigned found, calls;
static const char *error;

static void
setup(void)
{
	ck_assert_int_eq(loop_new(0, &loop), 0);
	addresses = 1;
}

static void
release(void)
{
	pthread_mutex_lock(&lock);
	hang = false;
	pthread_cond_broadcast(&changed);
	while (waiting > 0)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void
wait_for_lookups(unsigned n)
{
	pthread_mutex_lock(&lock);
	while (waiting < n)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void
teardown(void)
{
	release();
	loop_free(loop);
}

static void
on_done(void *arg UNUSED, const struct resolve_answer *a)
{
	calls++;
	found = a->n;
	error = a->n == 0 ? a->error : NULL;
	loop_stop(loop);
}

static struct resolve *
ask(void)
{
	struct resolve *r = NULL;

	ck_assert_int_eq(resolve_start(loop, SLICE("redis.test"), 1, on_done, NULL, &r), 0);
	return r;
}

START_TEST(a_name_has_addresses)
{
	addresses = 3;
	ask();
	loop_run(loop);
	ck_assert_uint_eq(found, 3);
}
END_TEST

START_TEST(of_many_addresses_some_are_kept)
{
	addresses = 50;
	ask();
	loop_run(loop);
	ck_assert_uint_eq(found, RESOLVE_ADDRESSES_MAX);
}
END_TEST

START_TEST(an_unknown_name_says_so)
{
	addresses = 0;
	ask();
	loop_run(loop);
	ck_assert_uint_eq(found, 0);
	ck_assert_str_eq(error, gai_strerror(EAI_NONAME));
}
END_TEST

START_TEST(what_is_taken_back_is_not_answered)
{
	hang = true;
	resolve_cancel(ask());
	release();
	ask();
	loop_run(loop);
	ck_assert_uint_eq(calls, 1);
}
END_TEST

START_TEST(a_loop_may_end_while_answers_come)
{
	for (int i = 0; i < 50; i++) {
		struct resolve *r = ask();

		for (int k = 0; k < i; k++)
			sched_yield();
		resolve_cancel(r);
		loop_free(loop);
		ck_assert_int_eq(loop_new(0, &loop), 0);
	}
	ck_assert_uint_eq(calls, 0);
}
END_TEST

START_TEST(lookups_that_hang_are_bounded)
{
	struct resolve *r[RESOLVE_THREADS_MAX], *more;

	hang = true;
	for (int i = 0; i < RESOLVE_THREADS_MAX; i++)
		r[i] = ask();
	ck_assert_int_eq(resolve_start(loop, SLICE("redis.test"), 1, on_done, NULL, &more), -EAGAIN);
	wait_for_lookups(RESOLVE_THREADS_MAX);
	for (int i = 0; i < RESOLVE_THREADS_MAX; i++)
		resolve_cancel(r[i]);
}
END_TEST

START_TEST(without_memory_nothing_is_begun)
{
	struct resolve *r;

	mem_fail_nth(1, 0);
	ck_assert_int_eq(resolve_start(loop, SLICE("redis.test"), 1, on_done, NULL, &r), -ENOMEM);
	mem_fail_nth(0, 0);
}
END_TEST

/* --- a connection that wants a name ------------------------------------------------ */

static char why_down[300];

static void
on_down(void *arg UNUSED, bool unreached, const char *why)
{
	ck_assert(unreached);
	strncpy(why_down, why, sizeof why_down - 1);
	loop_stop(loop);
}

START_TEST(a_name_server_that_stalls_holds_no_connection_past_its_time)
{
	struct redis_address to;
	struct redis_conn *c;

	hang = true;
	ck_assert_int_eq(redis_address_tcp(&to, SLICE("redis.test"), 1, false), 0);
	ck_assert_int_eq(redis_conn_open(&(struct redis_conn_opts){ .loop = loop, .to = &to,
	    .connect_ms = 30, .ping_ms = 1000, .silent_ms = 1000, .down = on_down }, &c), 0);
	wait_for_lookups(1);
	loop_run(loop);
	ck_assert_str_eq(why_down, "redis.test not resolved within 30 ms");
	redis_conn_close(c);
}
END_TEST

START_TEST(numbers_are_not_looked_up)
{
	struct resolve_address a;

	ck_assert(resolve_number(SLICE("127.0.0.1"), 1, &a));
	ck_assert(resolve_number(SLICE("::1"), 1, &a));
	ck_assert(resolve_number(SLICE("[::1]"), 1, &a));
	ck_assert(!resolve_number(SLICE("redis.test"), 1, &a));
	ck_assert(!resolve_number(SLICE(""), 1, &a));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("resolve");

	SUITE_ADD_FIXTURE(s, "names", setup, teardown, a_name_has_addresses,
	    of_many_addresses_some_are_kept, an_unknown_name_says_so,
	    what_is_taken_back_is_not_answered, a_loop_may_end_while_answers_come,
	    lookups_that_hang_are_bounded, without_memory_nothing_is_begun,
	    a_name_server_that_stalls_holds_no_connection_past_its_time,
	    numbers_are_not_looked_up);
	return suite_main(s);
}
