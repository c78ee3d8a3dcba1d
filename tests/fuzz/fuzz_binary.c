/* fuzz_binary.c - any bytes as frames of the binary protocol: read whole, cut in
 * two, and one by one, they must be the same requests and end with the same error;
 * each is checked, and its elements walked through. And as a preface, and as what
 * a server sends: the length must not depend on what follows. */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "proto/binary.h"

/* Small, so that inputs of some hundred bytes pass them. */
#define MAX_FRAME 300
#define MAX_VALUE 100

#define CHECK(cond) \
	do { \
		if (!(cond)) \
			check_failed(#cond, __LINE__); \
	} while (0)

NORETURN static void
check_failed(const char *cond, int line)
{
	fprintf(stderr, "fuzz_binary.c:%d: %s\n", line, cond);
	abort();
}

/* --- elements -------------------------------------------------------------------- */

static void
note_value(struct buf *to, const struct binary_frame *f, const struct binary_value *v,
    const char *begin, unsigned level);

static void
note_inside(struct buf *to, const struct binary_frame *f, const struct binary_value *v,
    const char *begin, unsigned level)
{
	uint64_t n = v->kind == BINARY_MAP ? 2 * v->n : v->n;
	struct binary_cursor c = binary_elements(f, v);
	struct binary_value inner;

	CHECK(level <= BINARY_DEPTH && n <= MAX_FRAME);
	for (uint64_t i = 0; i < n; i++) {
		binary_next(&c, &inner);
		CHECK(c.p <= c.end);
		note_value(to, f, &inner, begin, level);
	}
}

static void
note_value(struct buf *to, const struct binary_frame *f, const struct binary_value *v,
    const char *begin, unsigned level)
{
	CHECK(buf_printf(to, " %d:%llu", (int)v->kind, (unsigned long long)v->n) == 0);
	if (v->kind == BINARY_BYTES) {
		CHECK(v->ptr >= begin && v->ptr + v->n <= (const char *)f->end);
		CHECK(buf_append(to, v->ptr, v->n) == 0);
	} else if (v->kind == BINARY_ARRAY || v->kind == BINARY_MAP) {
		note_inside(to, f, v, begin, level + 1);
	}
}

static void
note_checked(struct buf *to, const struct binary_frame *f)
{
	struct binary_refusal why = { .text = "" };
	struct binary_options o;
	bool fine = binary_check(f, MAX_VALUE, &o, &why);

	CHECK(fine || why.text[0] != '\0');
	CHECK(!f->is_get || fine == (f->argv[0].n <= MAX_VALUE));
	CHECK(!f->is_set || fine == binary_set_fits(f, MAX_VALUE));
	CHECK(!fine || f->argc <= BINARY_ARGS);
	CHECK(buf_printf(to, fine ? " good %x" : " bad %d %s", fine ? (int)o.given : (int)why.code,
	    why.text) == 0);
	if (fine)
		CHECK(binary_ttl(f, 1) >= 0 && binary_ttl(f, 2) >= 0);
}

static void
note_frame(struct buf *to, const struct binary_frame *f, const char *begin, bool replies)
{
	CHECK(buf_printf(to, "\n%u %u %u", f->a, f->b, f->argc) == 0);
	for (uint32_t i = 0; i < MIN(f->argc, BINARY_ARGS); i++)
		note_value(to, f, &f->argv[i], begin, 1);
	if (f->has_options)
		note_value(to, f, &f->options, begin, 1);
	if (!replies)
		note_checked(to, f);
}

/* --- streams ------------------------------------------------------------------------ */

/* All that is found, where it comes in pieces. */
static struct buf
read_all(const uint8_t *data, size_t n, size_t first, size_t step, bool replies)
{
	struct binary_parser ps = { .max_frame = MAX_FRAME, .replies = replies };
	enum parse_status status = PARSE_DONE;
	size_t done = 0, have = MIN(first, n), used;
	static struct binary_batch b;
	struct buf to;

	buf_init(&to);
	for (;;) {
		char *copy = malloc(have - done + 1);

		memcpy(copy + 1, data + done, have - done);
		status = binary_parse(&ps, copy + 1, have - done, &b, &used);
		CHECK(status != PARSE_NOMEM && used <= have - done);
		CHECK(status != PARSE_MORE || ps.need > have - done - used);
		for (unsigned i = 0; i < b.n; i++)
			note_frame(&to, &b.req[i], copy + 1, replies);
		free(copy);
		done += used;
		if (status == PARSE_ERROR || (have == n && (status == PARSE_MORE || done == n)))
			break;
		if (status == PARSE_MORE || done == have)
			have = MIN(have + step, n);
	}
	if (status == PARSE_ERROR)
		CHECK(buf_printf(&to, "\nerror: %s", ps.error) == 0);
	return to;
}

static void
check_stream(const uint8_t *data, size_t n, bool replies)
{
	struct buf whole = read_all(data, n, n, n, replies);
	size_t cuts[][2] = { { n / 2, n }, { n ? data[n - 1] % n : 0, n }, { 1, 1 }, { 3, 7 } };

	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		struct buf cut = read_all(data, n, cuts[i][0], MAX(cuts[i][1], 1), replies);

		CHECK(slice_eq(buf_slice(&whole), buf_slice(&cut)));
		buf_fini(&cut);
	}
	buf_fini(&whole);
}

/* One plain GET is found either way, or neither. */
static void
check_single(const uint8_t *data, size_t n)
{
	struct binary_parser ps = { .max_frame = MAX_FRAME };
	static struct binary_batch b;
	struct binary_frame f;
	size_t used;

	if (!binary_take_get((const char *)data, n, &f))
		return;
	CHECK(binary_parse(&ps, (const char *)data, n, &b, &used) == PARSE_DONE);
	CHECK(used == n && b.n == 1 && b.req[0].is_get && b.req[0].b == f.b);
	CHECK(slice_eq(binary_bytes(&b.req[0].argv[0]), binary_bytes(&f.argv[0])));
}

static void
check_hello(const uint8_t *data, size_t n)
{
	struct binary_hello h;
	size_t used, need;
	char *copy = malloc(n + 1);

	memcpy(copy + 1, data, n);
	copy[0] = (char)BINARY_MAGIC;
	need = binary_hello_read(copy, n + 1, &h, &used);
	CHECK(need == 0 || (need > n + 1 && need <= n + 1 + BINARY_HELLO_MAX + 5));
	if (need == 0) {
		CHECK(used <= n + 1 && (h.version == 0) == (h.error != NULL));
		CHECK(h.client.len <= BINARY_CLIENT_MAX);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	check_stream(data, n, false);
	check_stream(data, n, true);
	check_single(data, n);
	check_hello(data, n);
	return 0;
}
