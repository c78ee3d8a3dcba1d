#include "config.h"

#include "unit/suite.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/util.h"
#include "proto/resp.h"

static const struct resp_limits redis_limits = {
	.max_args = INT32_MAX, .max_bulk = 512u << 20, .max_inline = 65536
};

/* Inputs, what is found in them (words as <length>bytes, requests in brackets)
 * and the error that ends them. */
struct scene {
	struct slice input;
	struct slice found;
	const char *error;
};
#define SCENE(input, found, error) \
	{ { input, sizeof(input) - 1 }, { found, sizeof(found) - 1 }, error }

#define BAD_COUNT "Protocol error: invalid multibulk length"
#define BAD_BULK "Protocol error: invalid bulk length"
#define NO_BULK(c) "Protocol error: expected '$', got '" c "'"
#define BAD_QUOTES "Protocol error: unbalanced quotes in request"
#define PING "*1\r\n$4\r\nPING\r\n"

/* As Redis 7.0.15 answers. */
static const struct scene scenes[] = {
	SCENE(PING, "[<4>PING]", NULL),
	SCENE("*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n", "[<3>GET <16>key:000000000001]", NULL),
	SCENE("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n" PING, "[<3>SET <1>k <0>][<4>PING]", NULL),
	SCENE("*2\r\n$4\r\nECHO\r\n$7\r\na\r\n*1\r\n\r\n" PING, "[<4>ECHO <7>a\r\n*1\r\n][<4>PING]", NULL),
	SCENE("*1\r\n$0\r\n\r\nPING\r\n", "[<0>][<4>PING]", NULL),
	/* Counts of nothing, then something else. */
	SCENE("*0\r\n", "", NULL),
	SCENE("*0\r\nPING\r\n", "[<4>PING]", NULL),
	SCENE("*0\r\n" PING, "[<4>PING]", NULL),
	SCENE("*-1\r\n" PING, "[<4>PING]", NULL),
	SCENE("*-10\r\nPING\r\n", "[<4>PING]", NULL),
	SCENE("*-2147483649\r\nPING\r\n", "[<4>PING]", NULL),
	SCENE("\r\n" PING "\r\n*0\r\n\n" PING, "[<4>PING][<4>PING]", NULL),
	SCENE("\r\n", "", NULL),
	SCENE("\n", "", NULL),
	/* Whatever is behind a CR, or behind a bulk. */
	SCENE("*1\rX$4\rYPINGzz" PING, "[<4>PING][<4>PING]", NULL),
	/* Counts. */
	SCENE("*3000000000\r\n", "", BAD_COUNT),
	SCENE("*2147483648\r\n", "", BAD_COUNT),
	SCENE("*-9223372036854775809\r\nPING\r\n", "", BAD_COUNT),
	SCENE("*\r\n", "", BAD_COUNT),
	SCENE("*+1\r\n", "", BAD_COUNT),
	SCENE("*01\r\n", "", BAD_COUNT),
	SCENE("*-0\r\nPING\r\n", "", BAD_COUNT),
	SCENE("* 1\r\n", "", BAD_COUNT),
	SCENE("*1 \r\n", "", BAD_COUNT),
	SCENE("*1\n$4\r\nPING\r\n", "", BAD_COUNT),
	SCENE("*x\r\n", "", BAD_COUNT),
	SCENE("*1\r\n$-10\r\n", "", BAD_BULK),
	SCENE("*1\r\n$-1\r\n", "", BAD_BULK),
	SCENE("*1\r\n$2000000000\r\n", "", BAD_BULK),
	SCENE("*1\r\n$536870913\r\n", "", BAD_BULK),
	SCENE("*1\r\n$99999999999999999999\r\n", "", BAD_BULK),
	SCENE("*1\r\n$blabla\r\n", "", BAD_BULK),
	SCENE("*1\r\n$\r\n", "", BAD_BULK),
	SCENE("*1\r\n$00\r\n\r\n", "", BAD_BULK),
	SCENE("*2\r\n$4\r\nECHO\r\n$x\r\n", "", BAD_BULK),
	SCENE("*1\r\nfoo\r\n", "", NO_BULK("f")),
	SCENE("*1\r\n\r\n", "", NO_BULK("\r")),
	SCENE("*1\r\n\xff\r\n", "", NO_BULK("\xff")),
	SCENE("*1\r\n*1\r\n", "", NO_BULK("*")),
	SCENE(PING "*1\r\nx\r\n", "[<4>PING]", NO_BULK("x")),
	SCENE(PING "PING\r\n" PING "*y\r\n" PING, "[<4>PING][<4>PING][<4>PING]", BAD_COUNT),
	/* Inline. */
	SCENE("PING\r\n", "[<4>PING]", NULL),
	SCENE("PING\n", "[<4>PING]", NULL),
	SCENE("PING\r\r\n", "[<4>PING]", NULL),
	SCENE(" \t PING \t\r\n", "[<4>PING]", NULL),
	SCENE("SET k v\r\nGET k\r\n", "[<3>SET <1>k <1>v][<3>GET <1>k]", NULL),
	SCENE("ECHO a\rb\r\n", "[<4>ECHO <1>a <1>b]", NULL),
	SCENE("ECHO a\x0b\x0c\r\n", "[<4>ECHO <3>a\x0b\x0c]", NULL),
	SCENE("\x0b\x0c" "ECHO \x0c\x0b" "a\r\n", "[<4>ECHO <1>a]", NULL),
	SCENE("ECHO \"\"\r\n", "[<4>ECHO <0>]", NULL),
	SCENE("ECHO ''\r\n", "[<4>ECHO <0>]", NULL),
	SCENE("ECHO \"a b\"\r\n", "[<4>ECHO <3>a b]", NULL),
	SCENE("ECHO a\"b c\"\r\n", "[<4>ECHO <4>ab c]", NULL),
	SCENE("ECHO \"a\"\x0b\r\n", "[<4>ECHO <1>a]", NULL),
	SCENE("ECHO \"\\x41\\n\\r\\t\\b\\a\\q\\\\\\\"\"\r\n", "[<4>ECHO <9>A\n\r\t\b\aq\\\"]", NULL),
	SCENE("ECHO \"\\x4\" \"\\xzz\" \"\\x4g\"\r\n", "[<4>ECHO <2>x4 <3>xzz <3>x4g]", NULL),
	SCENE("ECHO \"\\xAf\\xfA\"\r\n", "[<4>ECHO <2>\xaf\xfa]", NULL),
	SCENE("ECHO 'a\\'b\\n\"'\r\n", "[<4>ECHO <6>a'b\\n\"]", NULL),
	SCENE("\"PING\"\r\n'ECHO' \"x\"\r\n", "[<4>PING][<4>ECHO <1>x]", NULL),
	SCENE("ECHO \"a\r\n", "", BAD_QUOTES),
	SCENE("ECHO 'a\r\n", "", BAD_QUOTES),
	SCENE("ECHO \"a\"b\r\n", "", BAD_QUOTES),
	SCENE("ECHO \"a\"\"b\"\r\n", "", BAD_QUOTES),
	SCENE("ECHO 'a'b\r\n", "", BAD_QUOTES),
	SCENE("ECHO \"a\\\"\r\n", "", BAD_QUOTES),
	SCENE("ECHO 'a\\'\r\n", "", BAD_QUOTES),
	SCENE("ECHO \"\\\r\n", "", BAD_QUOTES),
	SCENE("foo\"\r\n", "", BAD_QUOTES),
	SCENE(PING "ECHO 'x\r\n", "[<4>PING]", BAD_QUOTES),
};

/* Ours alone: Redis takes NUL for a line's end and waits for ever, and waits
 * for a line end before it sees that '$' is missing. */
static const struct scene own_scenes[] = {
	SCENE("\0PING\r\n", "[<5>\0PING]", NULL),
	SCENE("PING\0 x\r\n", "[<5>PING\0 <1>x]", NULL),
	SCENE("\0\r\n", "[<1>\0]", NULL),
	SCENE("ECHO \"a\0b\"\r\n", "[<4>ECHO <3>a\0b]", NULL),
	SCENE("*\0\r\n", "", BAD_COUNT),
	SCENE("*1\0\r\n", "", BAD_COUNT),
	SCENE("*1\r\n$\0\r\n", "", BAD_BULK),
	SCENE("*1\r\nfoo", "", NO_BULK("f")),
	SCENE("*1\r\n\0", "", NO_BULK(" ")),
};

/* A connection: the parser, and input that was not used yet, in a block of
 * exactly its size, so that a sanitizer sees every byte read too much. */
struct reader {
	struct resp_parser parser;
	struct batch batch;
	char *data;
	size_t len;
	size_t need;    /* the parser is not asked before so many bytes are here */
	bool lazy;      /* mind `need` */
	struct buf found;
	const char *error;
};

static void
reader_init(struct reader *r, const struct resp_limits *limits)
{
	memset(r, 0, sizeof *r);
	resp_parser_init(&r->parser, limits);
	batch_init(&r->batch);
}

static void
reader_fini(struct reader *r)
{
	resp_parser_fini(&r->parser);
	batch_fini(&r->batch);
	free(r->data);
	buf_fini(&r->found);
}

static void
note_requests(struct reader *r)
{
	for (unsigned i = 0; i < r->batch.n; i++) {
		const struct request *req = &r->batch.req[i];

		ck_assert_uint_ge(req->argc, 1);
		for (uint32_t k = 0; k < req->argc; k++) {
			ck_assert_int_eq(buf_printf(&r->found, "%s<%zu>", k ? " " : "[", req->argv[k].len), 0);
			ck_assert_int_eq(buf_append(&r->found, req->argv[k].ptr, req->argv[k].len), 0);
		}
		ck_assert_int_eq(buf_append(&r->found, "]", 1), 0);
	}
}

static void
drop_front(struct reader *r, size_t n)
{
	char *rest = malloc(r->len - n + 1);

	ck_assert_ptr_nonnull(rest);
	memcpy(rest, r->data + n, r->len - n);
	free(r->data);
	r->data = realloc(rest, MAX(r->len - n, 1));
	r->len -= n;
}

/* What is taken alone is what the parser finds. */
static void
compare_single(const struct reader *r, const struct resp_single *one, size_t used)
{
	const struct request *req = &r->batch.req[0];

	ck_assert_uint_eq(r->batch.n, 1);
	ck_assert_uint_eq(used, r->len);
	ck_assert_uint_eq(one->req.argc, req->argc);
	ck_assert_uint_eq(one->req.wire_len, req->wire_len);
	for (uint32_t i = 0; i < req->argc; i++)
		ck_assert(slice_eq(one->req.argv[i], req->argv[i]));
}

static enum parse_status
parse_once(struct reader *r)
{
	size_t used = SIZE_MAX;
	struct resp_single one;
	bool single = r->parser.stage == RESP_FRESH &&
	    resp_take_single(r->parser.limits, r->data, r->len, &one);
	enum parse_status status = resp_parse(&r->parser, r->data, r->len, &r->batch, &used);

	if (single)
		compare_single(r, &one, used);
	ck_assert_uint_le(used, r->len);
	if (r->batch.n != 0)
		ck_assert_uint_le(r->batch.req[r->batch.n - 1].wire_len, used);
	if (status == PARSE_DONE)
		ck_assert(used == r->len || r->batch.n == BATCH_MAX);
	if (status == PARSE_MORE) {
		ck_assert_uint_gt(r->parser.need, r->len - used);
		r->need = r->parser.need;
	}
	note_requests(r);
	drop_front(r, used);
	return status;
}

static void
feed(struct reader *r, const char *data, size_t len)
{
	enum parse_status status;

	if (r->error != NULL)
		return;
	r->data = realloc(r->data, r->len + len + 1);
	memcpy(r->data + r->len, data, len);
	r->len += len;
	r->data = realloc(r->data, MAX(r->len, 1));
	if (r->lazy && r->len < r->need)
		return;
	r->need = 0;
	do {
		status = parse_once(r);
		ck_assert_int_ne(status, PARSE_NOMEM);
	} while (status == PARSE_DONE && r->len != 0);
	if (status == PARSE_ERROR)
		r->error = r->parser.error;
}

static void
expect(const struct reader *r, const struct scene *s, size_t cut)
{
	struct slice found = buf_slice(&r->found);

	ck_assert_msg(slice_eq(found, s->found), "'%.*s' cut at %zu: found '%.*s', not '%.*s'",
	    (int)s->input.len, s->input.ptr, cut, (int)found.len, found.ptr, (int)s->found.len,
	    s->found.ptr);
	if (s->error == NULL)
		ck_assert_msg(r->error == NULL, "%s: %s", s->input.ptr, r->error);
	else
		ck_assert_str_eq(r->error ? r->error : "no error", s->error);
}

static void
expect_whole(const struct reader *r, const struct scene *s)
{
	/* Without an error, nothing may be left over. */
	if (s->error == NULL)
		ck_assert_uint_eq(r->len, 0);
	expect(r, s, 0);
}

static void
play_whole(const struct scene *s)
{
	struct reader r;

	reader_init(&r, &redis_limits);
	feed(&r, s->input.ptr, s->input.len);
	expect_whole(&r, s);
	reader_fini(&r);
}

static void
play_cut(const struct scene *s, size_t cut, bool lazy)
{
	struct reader r;

	reader_init(&r, &redis_limits);
	r.lazy = lazy;
	feed(&r, s->input.ptr, cut);
	feed(&r, s->input.ptr + cut, s->input.len - cut);
	expect(&r, s, cut);
	reader_fini(&r);
}

static void
play_bytewise(const struct scene *s, bool lazy)
{
	struct reader r;

	reader_init(&r, &redis_limits);
	r.lazy = lazy;
	for (size_t i = 0; i < s->input.len; i++)
		feed(&r, s->input.ptr + i, 1);
	expect_whole(&r, s);
	reader_fini(&r);
}

START_TEST(input_is_understood_as_redis_understands_it)
{
	for (unsigned i = 0; i < ARRAY_LEN(scenes); i++)
		play_whole(&scenes[i]);
	for (unsigned i = 0; i < ARRAY_LEN(own_scenes); i++)
		play_whole(&own_scenes[i]);
}
END_TEST

START_TEST(a_cut_anywhere_changes_nothing)
{
	for (unsigned i = 0; i < ARRAY_LEN(scenes) + ARRAY_LEN(own_scenes); i++) {
		const struct scene *s = i < ARRAY_LEN(scenes) ? &scenes[i] :
		    &own_scenes[i - ARRAY_LEN(scenes)];

		for (size_t cut = 0; cut <= s->input.len; cut++) {
			play_cut(s, cut, false);
			play_cut(s, cut, true);
		}
		play_bytewise(s, false);
		play_bytewise(s, true);
	}
}
END_TEST

/* All scenes without an error, one behind the other. */
static struct buf
corpus(void)
{
	struct buf all;

	buf_init(&all);
	for (unsigned i = 0; i < ARRAY_LEN(scenes); i++)
		if (scenes[i].error == NULL)
			ck_assert_int_eq(buf_append(&all, scenes[i].input.ptr, scenes[i].input.len), 0);
	for (unsigned i = 0; i < ARRAY_LEN(own_scenes); i++)
		if (own_scenes[i].error == NULL)
			ck_assert_int_eq(buf_append(&all, own_scenes[i].input.ptr, own_scenes[i].input.len), 0);
	return all;
}

START_TEST(the_whole_corpus_cut_anywhere_gives_the_same_requests)
{
	struct buf all = corpus();
	struct reader whole, r;

	reader_init(&whole, &redis_limits);
	feed(&whole, buf_data(&all), buf_len(&all));
	ck_assert_uint_eq(whole.len, 0);
	ck_assert_ptr_null(whole.error);
	for (size_t cut = 0; cut <= buf_len(&all); cut++) {
		reader_init(&r, &redis_limits);
		feed(&r, buf_data(&all), cut);
		feed(&r, buf_data(&all) + cut, buf_len(&all) - cut);
		ck_assert_ptr_null(r.error);
		ck_assert(slice_eq(buf_slice(&r.found), buf_slice(&whole.found)));
		reader_fini(&r);
	}
	reader_fini(&whole);
	buf_fini(&all);
}
END_TEST

/* --- limits --------------------------------------------------------------------- */

static const char *
error_of(const struct resp_limits *limits, const void *data, size_t len)
{
	static char text[64];
	struct reader r;

	reader_init(&r, limits);
	feed(&r, data, len);
	snprintf(text, sizeof text, "%s", r.error ? r.error : "");
	reader_fini(&r);
	return text;
}

START_TEST(a_line_without_end_is_too_big_at_64_KiB)
{
	static char line[70000];

	memset(line, '1', sizeof line);
	ck_assert_str_eq(error_of(&redis_limits, line, 65536), "");
	ck_assert_str_eq(error_of(&redis_limits, line, 65537), "Protocol error: too big inline request");
	line[0] = '*';
	ck_assert_str_eq(error_of(&redis_limits, line, 65536), "");
	ck_assert_str_eq(error_of(&redis_limits, line, 65537),
	    "Protocol error: too big mbulk count string");
	memset(line + 1, '\0', sizeof line - 1);
	ck_assert_str_eq(error_of(&redis_limits, line, 65537),
	    "Protocol error: too big mbulk count string");
	memcpy(line, "*1\r\n$", 5);
	ck_assert_str_eq(error_of(&redis_limits, line, 65540), "");
	ck_assert_str_eq(error_of(&redis_limits, line, 65541),
	    "Protocol error: too big bulk count string");
}
END_TEST

START_TEST(the_longest_inline_request_is_served_however_it_is_cut)
{
	static char line[65538];
	struct reader r;

	memset(line, 'x', 65536);
	line[65536] = '\n';
	for (size_t cut = 65000; cut <= 65537; cut++) {
		reader_init(&r, &redis_limits);
		feed(&r, line, cut);
		feed(&r, line + cut, 65537 - cut);
		ck_assert_ptr_null(r.error);
		ck_assert(slice_has_prefix(buf_slice(&r.found), SLICE("[<65536>xxx")));
		reader_fini(&r);
	}
	line[65536] = 'x';
	line[65537] = '\n';
	ck_assert_str_eq(error_of(&redis_limits, line, 65538), "Protocol error: too big inline request");
}
END_TEST

static bool
is_single(const struct resp_limits *limits, const char *text)
{
	struct resp_single one;

	return resp_take_single(limits, text, strlen(text), &one);
}

START_TEST(the_usual_request_is_taken_alone)
{
	struct resp_limits two = redis_limits, short_bulk = redis_limits;

	two.max_args = 2;
	short_bulk.max_bulk = 2;
	ck_assert(is_single(&redis_limits, PING));
	ck_assert(is_single(&redis_limits, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"));
	ck_assert(is_single(&redis_limits, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n"));
	ck_assert(is_single(&two, "*2\r\n$1\r\na\r\n$1\r\nb\r\n"));
	ck_assert(!is_single(&two, "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"));
	ck_assert(!is_single(&short_bulk, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"));
	ck_assert(!is_single(&redis_limits, PING PING));
	ck_assert(!is_single(&redis_limits, PING "\r"));
	ck_assert(!is_single(&redis_limits, "*1\r\n$4\r\nPING\r"));
	ck_assert(!is_single(&redis_limits, "PING\r\n"));
	ck_assert(!is_single(&redis_limits, ""));
	/* As many as there is room for, and one more. */
	ck_assert(is_single(&redis_limits, "*8\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n"
	    "$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n"));
	ck_assert(!is_single(&redis_limits, "*9\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n"
	    "$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n"));
}
END_TEST

START_TEST(own_limits_and_those_before_auth_are_kept)
{
	const struct resp_limits own = { .max_args = 3, .max_bulk = 5, .max_inline = 100 };
	const struct resp_limits shy = {
		.max_args = 3, .max_bulk = 5, .max_inline = 100, .unauthenticated = true
	};
	const char *text = "*3\r\n$5\r\nabcde\r\n$1\r\na\r\n$1\r\nb\r\n";

	ck_assert_str_eq(error_of(&own, text, strlen(text)), "");
	ck_assert_str_eq(error_of(&own, "*4\r\n", 4), BAD_COUNT);
	ck_assert_str_eq(error_of(&own, "*1\r\n$6\r\nabcdef\r\n", 16), BAD_BULK);
	ck_assert_str_eq(error_of(&shy, "*4\r\n", 4), "Protocol error: unauthenticated multibulk length");
	ck_assert_str_eq(error_of(&shy, "*3000000000\r\n", 13), BAD_COUNT);
	ck_assert_str_eq(error_of(&shy, "*1\r\n$6\r\n", 8), "Protocol error: unauthenticated bulk length");
	ck_assert_str_eq(error_of(&shy, "*1\r\n$600000000\r\n", 16), BAD_BULK);
}
END_TEST

START_TEST(limits_lowered_meanwhile_do_not_break_an_open_request)
{
	struct resp_limits limits = redis_limits;
	struct reader r;

	reader_init(&r, &limits);
	feed(&r, "*3\r\n$8\r\n12345678\r\n$1\r\na\r\n$3\r\nab", 31);
	limits = (struct resp_limits){ .max_args = 2, .max_bulk = 2, .max_inline = 2 };
	feed(&r, "c\r\n", 3);
	ck_assert_ptr_null(r.error);
	ck_assert(slice_eq(buf_slice(&r.found), SLICE("[<8>12345678 <1>a <3>abc]")));
	reader_fini(&r);
}
END_TEST

/* --- cost ------------------------------------------------------------------------- */

/* Every prefix of the input in turn, a byte longer each time, from one block.
 * A parser that looks again at what it has seen would not end. */
static void
dribble(const struct buf *all, uint32_t argc)
{
	struct resp_parser p;
	struct batch b;
	size_t used, n;

	resp_parser_init(&p, &redis_limits);
	batch_init(&b);
	/* An assertion for each would cost more than all the rest. */
	for (n = 1; n < buf_len(all); n++)
		if (resp_parse(&p, buf_data(all), n, &b, &used) != PARSE_MORE || used != 0)
			break;
	ck_assert_uint_eq(n, buf_len(all));
	ck_assert_int_eq(resp_parse(&p, buf_data(all), buf_len(all), &b, &used), PARSE_DONE);
	ck_assert_uint_eq(b.n, 1);
	ck_assert_uint_eq(b.req[0].argc, argc);
	batch_fini(&b);
	resp_parser_fini(&p);
}

START_TEST(a_dribbled_request_is_not_looked_at_again_and_again)
{
	struct buf all;

	buf_init(&all);
	ck_assert_int_eq(buf_append(&all, "*1\r\n$4194304\r\n", 14), 0);
	ck_assert_int_eq(buf_reserve(&all, (4u << 20) + 2), 0);
	memset(buf_tail(&all), 'x', (4u << 20) + 2);
	buf_commit(&all, (4u << 20) + 2);
	dribble(&all, 1);
	buf_clear(&all);
	ck_assert_int_eq(buf_append(&all, "*1000000\r\n", 10), 0);
	ck_assert_int_eq(buf_reserve(&all, 7000000), 0);
	for (unsigned i = 0; i < 1000000; i++) {
		memcpy(buf_tail(&all), "$1\r\nx\r\n", 7);
		buf_commit(&all, 7);
	}
	dribble(&all, 1000000);
	buf_fini(&all);
}
END_TEST

START_TEST(need_spares_looking_before_the_bulk_is_here)
{
	struct reader r;

	reader_init(&r, &redis_limits);
	feed(&r, "*2\r\n$3\r\nGET\r\n$1000\r\nxyz", 23);
	ck_assert_uint_eq(r.need, 4 + 9 + 7 + 1000 + 2);
	reader_fini(&r);
	reader_init(&r, &redis_limits);
	feed(&r, PING "*2\r\n$3\r\nGET\r\n$1000\r\nxyz", 14 + 23);
	ck_assert_uint_eq(r.need, 4 + 9 + 7 + 1000 + 2);
	reader_fini(&r);
}
END_TEST

START_TEST(announced_arguments_get_no_memory)
{
	struct reader r;

	reader_init(&r, &redis_limits);
	mem_fail_nth(1, 1);
	feed(&r, "*1000000\r\n$536870912\r\nabc", 25);
	mem_fail_nth(0, 0);
	ck_assert_ptr_null(r.error);
	ck_assert_uint_eq(r.batch.args_cap, 0);
	reader_fini(&r);
}
END_TEST

START_TEST(a_full_batch_leaves_the_rest_for_the_next_call)
{
	static char many[3 * BATCH_MAX * 6];
	struct resp_parser p;
	struct batch b;
	size_t used;

	for (unsigned i = 0; i < 3 * BATCH_MAX; i++)
		memcpy(many + i * 6, "PING\r\n", 6);
	resp_parser_init(&p, &redis_limits);
	batch_init(&b);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(resp_parse(&p, many, sizeof many - i * 6 * BATCH_MAX, &b, &used), PARSE_DONE);
		ck_assert_uint_eq(b.n, BATCH_MAX);
		ck_assert_uint_eq(used, 6 * BATCH_MAX);
		ck_assert_uint_eq(b.req[1].wire_len, 12);
	}
	ck_assert_int_eq(resp_parse(&p, many, 0, &b, &used), PARSE_DONE);
	ck_assert_uint_eq(b.n + used, 0);
	batch_fini(&b);
}
END_TEST

START_TEST(after_a_reset_input_may_begin_anywhere)
{
	struct resp_parser p;
	struct batch b;
	size_t used;

	resp_parser_init(&p, &redis_limits);
	batch_init(&b);
	ck_assert_int_eq(resp_parse(&p, "*2\r\n$4\r\nECHO\r\n$9\r\nab", 21, &b, &used), PARSE_MORE);
	resp_parser_reset(&p);
	ck_assert_int_eq(resp_parse(&p, PING, 14, &b, &used), PARSE_DONE);
	ck_assert_uint_eq(b.n, 1);
	batch_fini(&b);
}
END_TEST

/* --- memory ----------------------------------------------------------------------- */

/* Feeds all, with allocation n failing, and once more where that shows. */
static bool
found_despite_failure(const struct buf *all, unsigned long n, int onwards, struct slice expected)
{
	enum parse_status status;
	struct reader r;
	bool failed = false;

	reader_init(&r, &redis_limits);
	r.data = malloc(buf_len(all));
	r.len = buf_len(all);
	memcpy(r.data, buf_data(all), r.len);
	ck_assert_int_eq(buf_reserve(&r.found, expected.len + 64), 0);
	mem_fail_nth(n, onwards);
	do {
		status = parse_once(&r);
		if (status == PARSE_NOMEM) {
			failed = true;
			mem_fail_nth(0, 0);
		}
	} while (status == PARSE_NOMEM || (status == PARSE_DONE && r.len != 0));
	mem_fail_nth(0, 0);
	ck_assert_int_eq(status, PARSE_DONE);
	ck_assert(slice_eq(buf_slice(&r.found), expected));
	reader_fini(&r);
	return failed;
}

START_TEST(without_memory_a_request_is_refused_and_nothing_is_lost)
{
	struct buf all = corpus();
	struct reader r;
	unsigned long n;

	ck_assert_int_eq(buf_append(&all, "*600\r\n", 6), 0);
	for (unsigned i = 0; i < 600; i++)
		ck_assert_int_eq(buf_append(&all, "$0\r\n\r\n", 6), 0);
	for (unsigned i = 0; i < 50; i++)
		ck_assert_int_eq(buf_append(&all, "ECHO \"a \\x20 quoted word\" 'and \\'one more'\n", 43), 0);
	reader_init(&r, &redis_limits);
	feed(&r, buf_data(&all), buf_len(&all));
	ck_assert_ptr_null(r.error);
	for (int onwards = 0; onwards < 2; onwards++) {
		for (n = 1; found_despite_failure(&all, n, onwards, buf_slice(&r.found)); n++)
			;
		ck_assert_uint_gt(n, 4);
	}
	reader_fini(&r);
	buf_fini(&all);
}
END_TEST

START_TEST(memory_of_a_large_request_is_given_back)
{
	struct reader r;
	struct buf all;

	buf_init(&all);
	ck_assert_int_eq(buf_append(&all, "*100000\r\n", 9), 0);
	for (unsigned i = 0; i < 100000; i++)
		ck_assert_int_eq(buf_append(&all, "$0\r\n\r\n", 6), 0);
	reader_init(&r, &redis_limits);
	feed(&r, buf_data(&all), buf_len(&all));
	ck_assert_uint_ge(r.batch.args_cap, 100000);
	feed(&r, PING, 14);
	ck_assert_uint_lt(r.batch.args_cap, 10000);
	reader_fini(&r);
	buf_fini(&all);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("resp");

	SUITE_ADD(s, "framing", input_is_understood_as_redis_understands_it,
	    a_cut_anywhere_changes_nothing, the_whole_corpus_cut_anywhere_gives_the_same_requests);
	SUITE_ADD(s, "limits", a_line_without_end_is_too_big_at_64_KiB,
	    the_longest_inline_request_is_served_however_it_is_cut,
	    the_usual_request_is_taken_alone, own_limits_and_those_before_auth_are_kept,
	    limits_lowered_meanwhile_do_not_break_an_open_request);
	SUITE_ADD(s, "cost", a_dribbled_request_is_not_looked_at_again_and_again,
	    need_spares_looking_before_the_bulk_is_here, announced_arguments_get_no_memory,
	    a_full_batch_leaves_the_rest_for_the_next_call, after_a_reset_input_may_begin_anywhere);
	SUITE_ADD(s, "memory", without_memory_a_request_is_refused_and_nothing_is_lost,
	    memory_of_a_large_request_is_given_back);
	return suite_main(s);
}
