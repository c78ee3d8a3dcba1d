/* suite.h - the main() of every unit test: run the suites, print what failed.
 * Forks for each test unless CK_FORK=no, so that one crash fails one test. */
#ifndef PANNIER_TESTS_SUITE_H
#define PANNIER_TESTS_SUITE_H

#include <check.h>
#include <stdlib.h>

static inline int
suite_main(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A test case with one test function in it per name. */
#define SUITE_ADD(suite, name, ...) SUITE_ADD_FIXTURE(suite, name, NULL, NULL, __VA_ARGS__)

/* Likewise, with functions that are called before and after each of them. */
#define SUITE_ADD_FIXTURE(suite, name, setup, teardown, ...) \
	do { \
		TCase *tc_ = tcase_create(name); \
		const TTest *const tests_[] = { __VA_ARGS__ }; \
		tcase_set_timeout(tc_, 60); \
		tcase_add_checked_fixture(tc_, setup, teardown); \
		for (size_t i_ = 0; i_ < sizeof tests_ / sizeof *tests_; i_++) \
			tcase_add_test(tc_, tests_[i_]); \
		suite_add_tcase(suite, tc_); \
	} while (0)

#endif
