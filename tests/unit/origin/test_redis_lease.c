/* What a lease is called at the server, and what is sent for it. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>

#include "base/mem.h"
#include "origin/redis_lease.h"
#include "origin/redis_slot.h"

static void
check_name(const char *key, bool cluster, const char *want)
{
	struct buf name;

	buf_init(&name);
	ck_assert_int_eq(redis_lease_name(slice_str(key), cluster, &name), 0);
	ck_assert(slice_eq(buf_slice(&name), slice_str(want)));
	ck_assert_uint_eq(redis_slot(buf_slice(&name)), redis_slot(slice_str(key)));
	buf_fini(&name);
}

START_TEST(lease_lies_in_the_slot_of_its_key)
{
	check_name("user:42", true, "pannier:lease:{user:42}");
	check_name("user:{7}:name", true, "pannier:lease:user:{7}:name");
	check_name("{a}{b}", true, "pannier:lease:{a}{b}");
	check_name("a}b{c}d", true, "pannier:lease:a}b{c}d");
	check_name("user:42", false, "pannier:lease:{user:42}");
}
END_TEST

START_TEST(key_that_no_name_stands_beside_has_none_in_a_cluster)
{
	static const char *const keys[] = { "a}b", "a{}b", "}{", "{" };
	struct buf name;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		buf_init(&name);
		ck_assert_int_eq(redis_lease_name(slice_str(keys[i]), true, &name), -EINVAL);
		buf_clear(&name);
		ck_assert_int_eq(redis_lease_name(slice_str(keys[i]), false, &name), 0);
		buf_fini(&name);
	}
}
END_TEST

START_TEST(name_without_memory_is_an_error)
{
	struct buf name;

	buf_init(&name);
	mem_fail_nth(1, 0);
	ck_assert_int_eq(redis_lease_name(SLICE("user:42"), true, &name), -ENOMEM);
	mem_fail_nth(0, 0);
	buf_fini(&name);
}
END_TEST

static void
check_args(const struct redis_lease_request *rq, const char *const *want)
{
	for (uint32_t i = 0; i < rq->argc; i++)
		ck_assert_msg(want[i] != NULL && (*want[i] == '*' ||
		    slice_eq(rq->argv[i], slice_str(want[i]))), "argument %u is %.*s", i,
		    (int)rq->argv[i].len, rq->argv[i].ptr);
	ck_assert_ptr_null(want[rq->argc]);
}

START_TEST(requests_are_those_of_set_nx_and_of_scripts_that_compare_the_token)
{
	struct origin_request rq = { .op = ORIGIN_ACQUIRE, .etag = SLICE("token"),
		.value = SLICE("v"), .ttl_ms = 1500 };
	struct redis_lease_request out;

	redis_lease_request(&rq, SLICE("k"), SLICE("l"), &out);
	check_args(&out, (const char *const[]){ "SET", "l", "token", "NX", "PX", "1500", NULL });
	rq.op = ORIGIN_RELEASE;
	redis_lease_request(&rq, SLICE("k"), SLICE("l"), &out);
	check_args(&out, (const char *const[]){ "EVAL", "*", "1", "l", "token", NULL });
	rq.op = ORIGIN_FILL;
	redis_lease_request(&rq, SLICE("k"), SLICE("l"), &out);
	check_args(&out, (const char *const[]){ "EVAL", "*", "2", "k", "l", "token", "v", "1500",
	    NULL });
	rq.etag = SLICE("");
	redis_lease_request(&rq, SLICE("k"), SLICE("l"), &out);
	check_args(&out, (const char *const[]){ "SET", "k", "v", "NX", "PX", "1500", NULL });
	rq.ttl_ms = 0;
	redis_lease_request(&rq, SLICE("k"), SLICE("l"), &out);
	check_args(&out, (const char *const[]){ "SET", "k", "v", "NX", NULL });
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("redis_lease");

	SUITE_ADD(s, "lease", lease_lies_in_the_slot_of_its_key,
	    key_that_no_name_stands_beside_has_none_in_a_cluster, name_without_memory_is_an_error,
	    requests_are_those_of_set_nx_and_of_scripts_that_compare_the_token);
	return suite_main(s);
}
