#include "config.h"

#include "unit/suite.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/out.h"

/* Each ref's token is its bit in `released`. */
static uint64_t released;
static int released_twice;

static void
release(void *owner, uint64_t token)
{
	ck_assert_ptr_eq(owner, &released);
	if ((released & token) != 0)
		released_twice++;
	released |= token;
}

static const char letters[] = "abcdefghijklmnopqrstuvwxyz";

static void
append_ref(struct out *o, size_t from, size_t len, unsigned bit)
{
	const struct out_ref ref = { letters + from, len, release, &released,
		UINT64_C(1) << bit };

	out_append_ref(o, &ref);
}

static void
append_text(struct out *o, const char *text)
{
	out_append(o, text, strlen(text));
}

static void
reset(void)
{
	released = 0;
	released_twice = 0;
}

/* Copies and refs of many lengths, next to each other in every order. */
static const char mixed_text[] = "01abc2345dxefghijklmnop67qr89yz!";

static void
append_mixed(struct out *o)
{
	append_text(o, "01");
	append_ref(o, 0, 3, 0);
	append_text(o, "2345");
	append_ref(o, 3, 1, 1);
	append_text(o, "x");
	append_ref(o, 4, 5, 2);
	append_ref(o, 9, 7, 3); /* two refs with nothing in between */
	append_text(o, "6");
	append_text(o, "7");
	append_ref(o, 16, 2, 4);
	append_text(o, "8");
	append_text(o, "9");
	append_ref(o, 24, 2, 5);
	append_text(o, "!");
}

/* Takes what a socket takes that accepts `step` bytes at a time. */
static size_t
drain(struct out *o, size_t step, int n_iov, char *to)
{
	size_t len = 0;

	while (out_len(o) != 0) {
		struct iovec iov[16];
		int n = out_iov(o, iov, n_iov);
		size_t left = step, taken = 0;

		ck_assert_int_gt(n, 0);
		ck_assert_int_le(n, n_iov);
		for (int i = 0; i < n && left != 0; i++) {
			size_t take = MIN(iov[i].iov_len, left);

			ck_assert_uint_ne(iov[i].iov_len, 0);
			memcpy(to + len + taken, iov[i].iov_base, take);
			taken += take;
			left -= take;
		}
		len += taken;
		out_consume(o, taken);
	}
	return len;
}

static void
gives(struct out *o, size_t step, int n_iov, const char *want)
{
	char got[4096];
	size_t before = out_len(o), n = drain(o, step, n_iov, got);

	ck_assert_uint_eq(before, strlen(want));
	ck_assert_uint_eq(n, strlen(want));
	ck_assert_int_eq(memcmp(got, want, n), 0);
	ck_assert_int_eq(out_iov(o, &(struct iovec){ 0 }, 1), 0);
}

START_TEST(copies_and_refs_come_out_in_order_whatever_the_socket_takes)
{
	struct out o;

	out_init(&o);
	for (size_t step = 1; step <= 40; step++) {
		for (int n_iov = 1; n_iov <= 16; n_iov++) {
			reset();
			append_mixed(&o);
			gives(&o, step, n_iov, mixed_text);
			ck_assert_uint_eq(released, 0x3f);
			ck_assert_int_eq(released_twice, 0);
		}
	}
	out_fini(&o);
}
END_TEST

START_TEST(appending_goes_on_while_a_part_is_sent)
{
	struct out o;
	char want[200];

	for (size_t sent = 0; sent <= sizeof mixed_text - 1; sent++) {
		reset();
		out_init(&o);
		append_mixed(&o);
		out_consume(&o, sent);
		append_mixed(&o);
		snprintf(want, sizeof want, "%s%s", mixed_text + sent, mixed_text);
		gives(&o, 7, 16, want);
		ck_assert_uint_eq(released, 0x3f);
		out_fini(&o);
	}
}
END_TEST

START_TEST(moving_joins_two_queues_of_which_parts_are_sent)
{
	char want[200];

	for (size_t a = 0; a <= sizeof mixed_text - 1; a++) {
		for (size_t b = 0; b <= sizeof mixed_text - 1; b++) {
			struct out to, from;

			out_init(&to);
			out_init(&from);
			append_mixed(&to);
			append_mixed(&from);
			out_consume(&to, a);
			out_consume(&from, b);
			reset();
			out_move(&to, &from);
			ck_assert_uint_eq(out_len(&from), 0);
			snprintf(want, sizeof want, "%s%s", mixed_text + a, mixed_text + b);
			gives(&to, 9, 5, want);
			append_mixed(&from); /* usable on */
			gives(&from, 9, 5, mixed_text);
			out_fini(&to);
			out_fini(&from);
		}
	}
}
END_TEST

START_TEST(moving_few_bytes_out_of_much_memory_leaves_the_memory)
{
	struct out to, from;

	out_init(&to);
	out_init(&from);
	ck_assert_ptr_nonnull(out_reserve(&from, 100000));
	append_text(&from, "few");
	out_move(&to, &from);
	ck_assert_uint_le(out_mem_bytes(&to), 1024);
	ck_assert_uint_ge(out_mem_bytes(&from), 100000);
	gives(&to, 1, 1, "few");
	append_text(&from, "few");
	mem_fail_nth(1, 1);
	out_fini(&to);
	out_move(&to, &from); /* no memory for a copy: it goes along after all */
	mem_fail_nth(0, 0);
	ck_assert(!out_failed(&to));
	gives(&to, 1, 1, "few");
	out_shrink(&to, 100000);
	ck_assert_uint_ge(out_mem_bytes(&to), 100000);
	out_shrink(&to, 1000);
	ck_assert_uint_eq(out_mem_bytes(&to), 0);
	out_fini(&to);
	out_fini(&from);
}
END_TEST

START_TEST(refused_memory_marks_the_queue_and_releases_what_is_handed_over)
{
	for (unsigned long n = 1;; n++) {
		struct out o, to;
		bool seen;

		reset();
		out_init(&o);
		out_init(&to);
		append_text(&to, "first");
		mem_fail_nth(n, 0);
		append_mixed(&o);
		out_move(&to, &o);
		seen = mem_fail_seen() >= n;
		mem_fail_nth(0, 0);
		ck_assert(!out_failed(&o));
		ck_assert_int_eq(out_failed(&to), seen);
		out_fini(&o);
		out_fini(&to);
		ck_assert_uint_eq(released, 0x3f);
		ck_assert_int_eq(released_twice, 0);
		if (!seen)
			break;
		ck_assert_uint_lt(n, 20);
	}
}
END_TEST

START_TEST(many_refs_cost_no_more_each_than_few)
{
	enum { REFS = 200000 };
	struct out o;

	reset();
	out_init(&o);
	for (int i = 0; i < REFS; i++) { /* quadratic, this would take minutes */
		append_text(&o, "-");
		append_ref(&o, 0, 2, 0);
	}
	ck_assert_uint_eq(out_len(&o), 3 * REFS);
	out_consume(&o, 3 * REFS - 1);
	gives(&o, 1, 1, "b");
	out_fini(&o);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("out drain");

	SUITE_ADD(s, "order", copies_and_refs_come_out_in_order_whatever_the_socket_takes,
	    appending_goes_on_while_a_part_is_sent,
	    moving_joins_two_queues_of_which_parts_are_sent, many_refs_cost_no_more_each_than_few);
	SUITE_ADD(s, "memory", moving_few_bytes_out_of_much_memory_leaves_the_memory,
	    refused_memory_marks_the_queue_and_releases_what_is_handed_over);
	return suite_main(s);
}
