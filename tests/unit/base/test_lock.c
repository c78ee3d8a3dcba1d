#include "config.h"

#include "unit/suite.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/lock.h"

#define THREADS 4
#define ROUNDS 5000

START_TEST(a_lock_knows_its_holder)
{
	struct lock l;

	lock_init(&l);
	ck_assert(!lock_held(&l));
	lock_acquire(&l);
	ck_assert(lock_held(&l));
	lock_release(&l);
	ck_assert(!lock_held(&l));
	ck_assert(lock_try(&l));
	ck_assert(lock_held(&l));
	lock_release(&l);
	lock_fini(&l);
}
END_TEST

static void *
look_from_elsewhere(void *arg)
{
	struct lock *l = arg;

	return lock_held(l) || lock_try(l) ? l : NULL;
}

START_TEST(another_thread_neither_holds_nor_gets_it)
{
	struct lock l;
	pthread_t t;
	void *got;

	lock_init(&l);
	lock_acquire(&l);
	ck_assert_int_eq(pthread_create(&t, NULL, look_from_elsewhere, &l), 0);
	pthread_join(t, &got);
	ck_assert_ptr_null(got);
	lock_release(&l);
	lock_fini(&l);
}
END_TEST

struct shared {
	struct lock lock;
	long n;
};

static void *
add_many(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		lock_acquire(&s->lock);
		s->n++;
		lock_release(&s->lock);
	}
	return NULL;
}

START_TEST(one_thread_at_a_time_is_inside)
{
	struct shared s = { .n = 0 };
	pthread_t t[THREADS];

	lock_init(&s.lock);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, add_many, &s), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(s.n, (long)THREADS * ROUNDS);
	lock_fini(&s.lock);
}
END_TEST

#ifndef NDEBUG
static void
no_core_file(void)
{
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
}

START_TEST(taking_it_twice_stops_the_program)
{
	struct lock l;

	no_core_file();
	lock_init(&l);
	lock_acquire(&l);
	lock_acquire(&l);
}
END_TEST

START_TEST(releasing_what_one_does_not_hold_stops_the_program)
{
	struct lock l;

	no_core_file();
	lock_init(&l);
	lock_release(&l);
}
END_TEST
#endif

int
main(void)
{
	Suite *s = suite_create("lock");

	SUITE_ADD(s, "holder", a_lock_knows_its_holder, another_thread_neither_holds_nor_gets_it,
	    one_thread_at_a_time_is_inside);
#ifndef NDEBUG
	TCase *tc = tcase_create("misuse");

	tcase_add_test_raise_signal(tc, taking_it_twice_stops_the_program, SIGABRT);
	tcase_add_test_raise_signal(tc, releasing_what_one_does_not_hold_stops_the_program, SIGABRT);
	suite_add_tcase(s, tc);
#endif
	return suite_main(s);
}
