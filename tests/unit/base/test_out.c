#include "config.h"

#include "unit/suite.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/out.h"

#define IOVS 8

/* What refs point to; their token is where in it. */
static char pool[1 << 16];
static int released;
static uint64_t last_token;

static void
release(void *owner, uint64_t token)
{
	ck_assert_ptr_eq(owner, pool);
	released++;
	last_token = token;
}

static struct out_ref
ref_at(size_t at, size_t len)
{
	return (struct out_ref){ pool + at, len, release, pool, at };
}

static void
setup(void)
{
	for (size_t i = 0; i < sizeof pool; i++)
		pool[i] = (char)('a' + i % 23);
	released = 0;
}

/* Takes what a socket that accepts `most` bytes would: through iovecs. */
static size_t
take(struct out *o, char *to, size_t most)
{
	struct iovec iov[IOVS];
	int n = out_iov(o, iov, IOVS);
	size_t got = 0;

	ck_assert_int_le(n, IOVS);
	for (int i = 0; i < n && got < most; i++) {
		size_t part = MIN(iov[i].iov_len, most - got);

		ck_assert_uint_ne(iov[i].iov_len, 0);
		memcpy(to + got, iov[i].iov_base, part);
		got += part;
	}
	out_consume(o, got);
	return got;
}

static const char *
take_all(struct out *o)
{
	static char text[4096];
	size_t n = 0, got;

	while ((got = take(o, text + n, sizeof text - 1 - n)) != 0)
		n += got;
	text[n] = '\0';
	return text;
}

START_TEST(copied_bytes_and_refs_keep_their_order)
{
	struct out o;
	struct out_ref first = ref_at(0, 3), second = ref_at(23, 2);

	out_init(&o);
	out_append(&o, "<", 1);
	out_append_ref(&o, &first);
	out_append(&o, ">", 1);
	out_append_ref(&o, &second);
	out_append_ref(&o, &first);
	out_append(&o, "!", 1);
	ck_assert_uint_eq(out_len(&o), 11);
	ck_assert_str_eq(take_all(&o), "<abc>ababc!");
	ck_assert_uint_eq(out_len(&o), 0);
	ck_assert_int_eq(released, 3);
	out_fini(&o);
}
END_TEST

START_TEST(a_ref_is_released_with_its_last_byte_and_not_before)
{
	struct out o;
	struct out_ref ref = ref_at(46, 4);
	char got[8];

	out_init(&o);
	out_append_ref(&o, &ref);
	ck_assert_uint_eq(take(&o, got, 3), 3);
	ck_assert_int_eq(released, 0);
	ck_assert_uint_eq(out_len(&o), 1);
	ck_assert_uint_eq(take(&o, got, 8), 1);
	ck_assert_int_eq(got[0], 'd');
	ck_assert_int_eq(released, 1);
	ck_assert_uint_eq(last_token, 46);
	out_fini(&o);
	ck_assert_int_eq(released, 1);
}
END_TEST

START_TEST(a_dropped_queue_releases_what_it_holds)
{
	struct out o;
	struct out_ref ref = ref_at(0, 4), empty = ref_at(0, 0);
	char got[2];

	out_init(&o);
	out_append_ref(&o, &ref);
	out_append_ref(&o, &ref);
	out_append_ref(&o, &empty);
	ck_assert_int_eq(released, 1); /* there is nothing to write of the empty one */
	take(&o, got, 2);
	out_reset(&o);
	ck_assert_int_eq(released, 3);
	ck_assert_uint_eq(out_len(&o), 0);
	out_append_ref(&o, &ref);
	out_fini(&o);
	ck_assert_int_eq(released, 4);
}
END_TEST

START_TEST(moving_puts_all_of_it_behind)
{
	struct out to, from;
	struct out_ref ref = ref_at(0, 3);
	char got[2];

	out_init(&to);
	out_init(&from);
	out_append(&from, "1", 1);
	out_append_ref(&from, &ref);
	out_append(&from, "2", 1);
	take(&from, got, 2); /* into the ref */
	out_append(&to, "0", 1);
	out_move(&to, &from);
	ck_assert_uint_eq(out_len(&from), 0);
	ck_assert_str_eq(take_all(&to), "0bc2");
	out_append(&from, "x", 1);
	out_move(&to, &from);
	ck_assert_str_eq(take_all(&to), "x");
	out_fini(&to);
	out_fini(&from);
	ck_assert_int_eq(released, 1);
}
END_TEST

START_TEST(without_memory_the_queue_is_marked_and_the_ref_released)
{
	for (unsigned long n = 1; n <= 2; n++) {
		struct out o;
		struct out_ref ref = ref_at(0, 3);

		released = 0;
		out_init(&o);
		mem_fail_nth(n, 0);
		out_append(&o, "abc", 3);
		out_append_ref(&o, &ref);
		mem_fail_nth(0, 0);
		ck_assert(out_failed(&o));
		ck_assert_int_eq(released, 1);
		out_append_ref(&o, &ref); /* stays marked */
		ck_assert_int_eq(released, 2);
		out_fini(&o);
		ck_assert(!out_failed(&o));
	}
}
END_TEST

START_TEST(a_mark_moves_along_and_moving_to_an_empty_queue_needs_no_memory)
{
	struct out to, from;
	struct out_ref ref = ref_at(0, 3);

	out_init(&to);
	out_init(&from);
	out_append(&from, "abc", 3);
	out_append_ref(&from, &ref);
	mem_fail_nth(1, 1);
	out_move(&to, &from);
	mem_fail_nth(0, 0);
	ck_assert(!out_failed(&to));
	ck_assert_str_eq(take_all(&to), "abcabc");

	mem_fail_nth(1, 0);
	out_append_ref(&from, &ref);
	out_append(&from, pool, 4096);
	mem_fail_nth(0, 0);
	ck_assert(out_failed(&from));
	out_append(&to, "x", 1);
	out_move(&to, &from);
	ck_assert(out_failed(&to));
	ck_assert(!out_failed(&from));
	out_fini(&to);
	out_fini(&from);
}
END_TEST

START_TEST(memory_comes_back_when_the_queue_is_empty)
{
	struct out o;
	struct out_ref ref = ref_at(0, 3);

	out_init(&o);
	out_append(&o, pool, sizeof pool);
	for (int i = 0; i < 100; i++)
		out_append_ref(&o, &ref);
	ck_assert_uint_gt(out_mem_bytes(&o), sizeof pool);
	out_consume(&o, out_len(&o));
	out_shrink(&o, 1024);
	ck_assert_uint_le(out_mem_bytes(&o), 1024);
	out_fini(&o);
}
END_TEST

/* --- against a model: a plain array of what must come out ------------------- */

struct model {
	struct out a, b; /* b's content is moved behind a's now and then */
	char want_a[1 << 18], want_b[1 << 16];
	size_t a_head, a_tail, b_tail;
	int refs;
};

static uint32_t
draw(uint32_t *rng, uint32_t below)
{
	*rng = *rng * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)*rng * below) >> 32);
}

static void
model_append(struct model *m, uint32_t *rng, bool to_b)
{
	struct out *o = to_b ? &m->b : &m->a;
	size_t len = 1 + draw(rng, 600), at = draw(rng, sizeof pool - 600);

	if (draw(rng, 3) == 0) {
		struct out_ref ref = ref_at(at, len);

		out_append_ref(o, &ref);
		m->refs++;
	} else {
		out_append(o, pool + at, len);
	}
	memcpy(to_b ? m->want_b + m->b_tail : m->want_a + m->a_tail, pool + at, len);
	*(to_b ? &m->b_tail : &m->a_tail) += len;
}

static void
model_move(struct model *m)
{
	out_move(&m->a, &m->b);
	memcpy(m->want_a + m->a_tail, m->want_b, m->b_tail);
	m->a_tail += m->b_tail;
	m->b_tail = 0;
}

static void
model_take(struct model *m, size_t most)
{
	static char got[1 << 18];
	size_t n = take(&m->a, got, most);

	ck_assert_uint_eq(n == 0, m->a_head == m->a_tail);
	ck_assert_mem_eq(got, m->want_a + m->a_head, n);
	m->a_head += n;
	ck_assert_uint_eq(out_len(&m->a), m->a_tail - m->a_head);
	if (m->a_head == m->a_tail)
		m->a_head = m->a_tail = 0;
}

static void
model_step(struct model *m, uint32_t *rng)
{
	switch (draw(rng, 8)) {
	case 0: case 1: case 2:
		if (m->a_tail + 1000 < sizeof m->want_a)
			model_append(m, rng, false);
		break;
	case 3: case 4:
		if (m->b_tail + 1000 < sizeof m->want_b)
			model_append(m, rng, true);
		break;
	case 5:
		if (m->a_tail + m->b_tail < sizeof m->want_a)
			model_move(m);
		break;
	default:
		model_take(m, 1 + draw(rng, 3000));
		break;
	}
}

START_TEST(any_mix_of_appends_moves_and_partial_writes_keeps_every_byte)
{
	static struct model m;
	uint32_t rng = 1;

	out_init(&m.a);
	out_init(&m.b);
	for (int i = 0; i < 100000; i++)
		model_step(&m, &rng);
	model_move(&m);
	while (m.a_tail != 0)
		model_take(&m, sizeof m.want_a);
	ck_assert_int_gt(m.refs, 1000);
	ck_assert_int_eq(released, m.refs);
	out_fini(&m.a);
	out_fini(&m.b);
}
END_TEST

static void
add_tests(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, copied_bytes_and_refs_keep_their_order);
	tcase_add_test(tc, a_ref_is_released_with_its_last_byte_and_not_before);
	tcase_add_test(tc, a_dropped_queue_releases_what_it_holds);
	tcase_add_test(tc, moving_puts_all_of_it_behind);
	tcase_add_test(tc, without_memory_the_queue_is_marked_and_the_ref_released);
	tcase_add_test(tc, a_mark_moves_along_and_moving_to_an_empty_queue_needs_no_memory);
	tcase_add_test(tc, memory_comes_back_when_the_queue_is_empty);
	tcase_add_test(tc, any_mix_of_appends_moves_and_partial_writes_keeps_every_byte);
}

int
main(void)
{
	Suite *s = suite_create("out");
	TCase *tc = tcase_create("out");

	add_tests(tc);
	suite_add_tcase(s, tc);
	return suite_main(s);
}
