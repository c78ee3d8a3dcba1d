#include "config.h"

#include "unit/suite.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/util.h"
#include "proto/binary.h"

#define MAX_FRAME 100000

/* --- bytes written as hex ------------------------------------------------------- */

static char *
hex(const char *text, size_t *len)
{
	char *out = malloc(strlen(text) + 1);
	unsigned byte;
	int read;

	*len = 0;
	while (sscanf(text, " %2x%n", &byte, &read) == 1) {
		out[(*len)++] = (char)byte;
		text += read;
	}
	return out;
}

static void
show_value(struct buf *to, const struct binary_frame *f, const struct binary_value *v);

static void
show_inside(struct buf *to, const struct binary_frame *f, const struct binary_value *v, uint64_t n)
{
	struct binary_cursor c = binary_elements(f, v);
	struct binary_value inner;

	for (uint64_t i = 0; i < n; i++) {
		binary_next(&c, &inner);
		show_value(to, f, &inner);
	}
}

static void
show_value(struct buf *to, const struct binary_frame *f, const struct binary_value *v)
{
	switch (v->kind) {
	case BINARY_NIL:
		ck_assert_int_eq(buf_printf(to, " nil"), 0);
		break;
	case BINARY_FLAG:
		ck_assert_int_eq(buf_printf(to, v->n ? " true" : " false"), 0);
		break;
	case BINARY_UINT:
		ck_assert_int_eq(buf_printf(to, " %llu", (unsigned long long)v->n), 0);
		break;
	case BINARY_INT:
		ck_assert_int_eq(buf_printf(to, " %lld", (long long)v->n), 0);
		break;
	case BINARY_BYTES:
		ck_assert_int_eq(buf_printf(to, " '%.*s'", (int)v->n, v->ptr), 0);
		break;
	case BINARY_ARRAY:
		ck_assert_int_eq(buf_printf(to, " ["), 0);
		show_inside(to, f, v, v->n);
		ck_assert_int_eq(buf_printf(to, " ]"), 0);
		break;
	case BINARY_MAP:
		ck_assert_int_eq(buf_printf(to, " {"), 0);
		show_inside(to, f, v, 2 * v->n);
		ck_assert_int_eq(buf_printf(to, " }"), 0);
		break;
	case BINARY_OTHER:
		ck_assert_int_eq(buf_printf(to, " other"), 0);
		break;
	}
}

static void
show_frame(struct buf *to, const struct binary_frame *f)
{
	ck_assert_int_eq(buf_printf(to, "<%u %u", f->a, f->b), 0);
	for (uint32_t i = 0; i < MIN(f->argc, BINARY_ARGS); i++)
		show_value(to, f, &f->argv[i]);
	if (f->argc > BINARY_ARGS)
		ck_assert_int_eq(buf_printf(to, " ..."), 0);
	if (f->has_options)
		show_value(to, f, &f->options);
	ck_assert_int_eq(buf_printf(to, ">"), 0);
}

/* All frames of the input as text, and the error at its end, or what is missing.
 * Each block is of its own, so that a sanitizer sees who reads behind it. */
static char *
read_all(const char *data, size_t len, size_t step)
{
	struct binary_parser ps = { .max_frame = MAX_FRAME };
	struct binary_batch *b = malloc(sizeof *b);
	enum parse_status status = PARSE_DONE;
	size_t done = 0, have = 0, used;
	struct buf to;

	buf_init(&to);
	while (have < len && status != PARSE_ERROR) {
		have = MIN(have + step, len);
		do {
			char *copy = malloc(have - done + 1);

			memcpy(copy + 1, data + done, have - done);
			status = binary_parse(&ps, copy + 1, have - done, b, &used);
			for (unsigned i = 0; i < b->n; i++)
				show_frame(&to, &b->req[i]);
			ck_assert(status != PARSE_MORE || ps.need > have - done - used);
			done += used;
			free(copy);
		} while (status == PARSE_DONE && done < have);
	}
	if (status == PARSE_ERROR)
		ck_assert_int_eq(buf_printf(&to, "! %s", ps.error), 0);
	else if (status == PARSE_MORE)
		ck_assert_int_eq(buf_printf(&to, "? %zu", ps.need), 0);
	ck_assert_int_eq(buf_append(&to, "", 1), 0);
	free(b);
	return buf_data(&to);
}

struct scene {
	const char *input, *found;
};

static const struct scene frames[] = {
	{ "05 93 01 07 a1 6b", "<1 7 'k'>" },
	{ "06 93 01 07 c4 01 6b", "<1 7 'k'>" },
	{ "08 93 01 cd 01 00 c4 01 6b", "<1 256 'k'>" },
	{ "0a 93 01 ce ff ff ff ff c4 01 6b", "<1 4294967295 'k'>" },
	{ "04 93 01 07 a0", "<1 7 ''>" },
	{ "05 93 01 07 c4 00", "<1 7 ''>" },
	{ "05 93 01 07 a1 6b 03 92 0e 01 05 93 01 08 a1 6c", "<1 7 'k'><14 1><1 8 'l'>" },
	{ "09 94 02 01 c4 01 6b c4 01 76", "<2 1 'k' 'v'>" },
	{ "07 94 01 07 a1 6b 81 02 c3", "! an element is longer than its frame" },
	{ "08 94 01 07 a1 6b 81 02 c3", "<1 7 'k' { 2 true }>" },
	{ "03 92 0e cc", "! an element is longer than its frame" },
	/* Every form of a number, of a length, of a header. */
	{ "0d 93 01 cf 00 00 00 00 00 00 00 07 a1 6b", "<1 7 'k'>" },
	{ "06 93 01 d0 07 a1 6b", "<1 7 'k'>" },
	{ "07 93 01 d1 00 07 a1 6b", "<1 7 'k'>" },
	{ "07 93 cd 00 01 07 a1 6b", "<1 7 'k'>" },
	{ "cc 05 93 01 07 a1 6b", "<1 7 'k'>" },
	{ "cd 00 05 93 01 07 a1 6b", "<1 7 'k'>" },
	{ "ce 00 00 00 05 93 01 07 a1 6b", "<1 7 'k'>" },
	{ "07 dc 00 03 01 07 a1 6b", "<1 7 'k'>" },
	{ "09 dd 00 00 00 03 01 07 a1 6b", "<1 7 'k'>" },
	{ "0a 93 01 07 db 00 00 00 01 6b c0", "! bytes stand behind the array in its frame" },
	{ "09 93 01 07 db 00 00 00 01 6b", "<1 7 'k'>" },
	/* Numbers at their edges. */
	{ "05 93 05 01 e0 01", "! bytes stand behind the array in its frame" },
	{ "04 93 05 01 e0", "<5 1 -32>" },
	{ "04 93 05 01 ff", "<5 1 -1>" },
	{ "05 93 05 01 d0 80", "<5 1 -128>" },
	{ "06 93 05 01 d1 ff 7f", "<5 1 -129>" },
	{ "08 93 05 01 d2 80 00 00 00", "<5 1 -2147483648>" },
	{ "0c 93 05 01 d3 80 00 00 00 00 00 00 00", "<5 1 -9223372036854775808>" },
	{ "0c 93 05 01 cf ff ff ff ff ff ff ff ff", "<5 1 18446744073709551615>" },
	{ "0c 93 05 01 d3 7f ff ff ff ff ff ff ff", "<5 1 9223372036854775807>" },
	/* What no request has, but is well-formed. */
	{ "04 93 01 07 c0", "<1 7 nil>" },
	{ "05 94 01 07 c2 c3", "<1 7 false true>" },
	{ "08 93 01 07 ca 00 00 00 00", "<1 7 other>" },
	{ "0c 93 01 07 cb 00 00 00 00 00 00 00 00", "<1 7 other>" },
	{ "06 93 01 07 d4 01 00", "<1 7 other>" },
	{ "06 93 01 07 c7 00 05", "<1 7 other>" },
	{ "08 93 01 07 c7 02 05 00 00", "<1 7 other>" },
	{ "14 93 01 07 d8 05 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", "! an element is longer than its frame" },
	{ "15 93 01 07 d8 05 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", "<1 7 other>" },
	{ "08 98 01 07 01 02 03 04 05 06", "! an element is longer than its frame" },
	{ "09 98 01 07 01 02 03 04 05 06", "<1 7 1 2 3 4 ...>" },
	{ "07 93 07 01 92 a1 6b a0", "<7 1 [ 'k' '' ]>" },
	{ "05 93 01 07 91 90", "<1 7 [ [ ] ]>" },
	{ "06 93 01 07 91 91 90", "<1 7 [ [ [ ] ] ]>" },
	{ "07 93 01 07 91 91 91 90", "! arrays and maps may have 4 levels" },
	{ "05 94 01 07 80 80", "<1 7 { } { }>" },
	{ "08 94 01 07 81 02 c3 a1 6b", "<1 7 { 2 true } 'k'>" },
};

static const struct scene bad[] = {
	{ "00", "a frame has at least one byte" },
	{ "ce 00 00 00 00", "a frame has at least one byte" },
	{ "80", "a frame begins with its length" },
	{ "a0", "a frame begins with its length" },
	{ "cf 00 00 00 00 00 00 00 01", "a frame begins with its length" },
	{ "d0 01", "a frame begins with its length" },
	{ "e0", "a frame begins with its length" },
	{ "c1", "a frame begins with its length" },
	{ "ce ff ff ff ff", "the frame is longer than max_frame" },
	{ "ce 00 01 86 a1", "the frame is longer than max_frame" },
	{ "03 82 0e 01", "a frame must hold one array" },
	{ "01 0e", "a frame must hold one array" },
	{ "01 c1", "0xc1 begins no element" },
	{ "01 90", "a request is [op, id, ...]" },
	{ "02 91 0e", "a request is [op, id, ...]" },
	{ "01 92", "an element is longer than its frame" },
	{ "02 92 0e", "an element is longer than its frame" },
	{ "04 92 0e 01 00", "bytes stand behind the array" },
	{ "04 93 0e 01 c1", "0xc1 begins no element" },
	{ "05 dd 10 00 00 00", "an element is longer than its frame" },
	{ "05 dd ff ff ff ff", "an element is longer than its frame" },
	{ "08 93 01 07 dd ff ff ff ff", "an element is longer than its frame" },
	{ "08 93 01 07 df ff ff ff ff", "an element is longer than its frame" },
	{ "08 93 01 07 df 80 00 00 00", "an element is longer than its frame" },
	{ "08 93 01 07 c6 ff ff ff ff", "an element is longer than its frame" },
	{ "08 93 01 07 db ff ff ff ff", "an element is longer than its frame" },
	{ "08 93 01 07 c9 ff ff ff ff", "an element is longer than its frame" },
	{ "07 93 01 07 c4 ff 00 00", "an element is longer than its frame" },
	{ "05 93 01 07 a2 6b", "an element is longer than its frame" },
	{ "03 92 a0 01", "op must be an integer" },
	{ "03 92 ff 01", "op must be an integer" },
	{ "0b 92 cf 00 00 00 01 00 00 00 00 01", "op must be an integer" },
	{ "03 92 0e c0", "id must be an integer" },
	{ "0b 92 0e cf 00 00 00 01 00 00 00 00", "id must be an integer" },
};

START_TEST(frames_are_read_in_any_pieces)
{
	const struct scene *s = &frames[_i];
	size_t len;
	char *data = hex(s->input, &len);

	for (size_t step = 1; step <= len; step++) {
		char *found = read_all(data, len, step);

		ck_assert_msg(strcmp(found, s->found) == 0, "%s by %zu: %s, not %s", s->input, step,
		    found, s->found);
		mem_free(found);
	}
	free(data);
}
END_TEST

START_TEST(broken_frames_are_told_apart)
{
	const struct scene *s = &bad[_i];
	size_t len;
	char *data, *found;
	char text[200];

	snprintf(text, sizeof text, "03 92 0e 01 %s", s->input);
	data = hex(text, &len);
	for (size_t step = 1; step <= len; step++) {
		found = read_all(data, len, step);
		snprintf(text, sizeof text, "<14 1>! %s", s->found);
		ck_assert_msg(strncmp(found, text, strlen(text)) == 0, "%s by %zu: %s, not %s",
		    s->input, step, found, text);
		mem_free(found);
	}
	free(data);
}
END_TEST

START_TEST(half_a_frame_asks_for_the_rest)
{
	size_t len;
	char *data = hex("09 94 02 01 c4 01 6b c4 01 76", &len), *found;
	struct binary_parser ps = { .max_frame = MAX_FRAME };
	struct binary_batch b;
	size_t used;

	for (size_t n = 1; n < len; n++) {
		ck_assert_int_eq(binary_parse(&ps, data, n, &b, &used), PARSE_MORE);
		ck_assert_uint_eq(used, 0);
		ck_assert_uint_eq(ps.need, len);
	}
	free(data);
	data = hex("cd 40 00", &len);
	for (size_t n = 1; n <= len; n++) {
		ck_assert_int_eq(binary_parse(&ps, data, n, &b, &used), PARSE_MORE);
		ck_assert_uint_eq(ps.need, n < 3 ? n + 1 : 3 + 0x4000);
	}
	free(data);
	found = read_all("", 0, 1);
	ck_assert_str_eq(found, "");
	mem_free(found);
}
END_TEST

START_TEST(more_frames_than_a_batch_holds_come_in_turns)
{
	enum { N = 2 * BATCH_MAX + 3 };
	char data[4 * N];
	struct binary_parser ps = { .max_frame = MAX_FRAME };
	struct binary_batch b;
	size_t used, done = 0;
	unsigned seen = 0;

	for (int i = 0; i < N; i++)
		memcpy(data + 4 * i, (char[]){ 3, (char)0x92, 14, (char)(i % 100) }, 4);
	while (done < sizeof data) {
		ck_assert_int_eq(binary_parse(&ps, data + done, sizeof data - done, &b, &used),
		    PARSE_DONE);
		for (unsigned i = 0; i < b.n; i++, seen++) {
			ck_assert_uint_eq(b.req[i].b, seen % 100);
			ck_assert_uint_eq(b.req[i].wire_len, 4 * (i + 1));
		}
		done += used;
	}
	ck_assert_uint_eq(seen, N);
}
END_TEST

/* --- requests ------------------------------------------------------------------------ */

static bool
check_of(const char *input, struct binary_options *o, struct binary_refusal *why)
{
	static struct binary_batch b;
	static char copy[4096];
	struct binary_parser ps = { .max_frame = MAX_FRAME };
	size_t len, used;
	char *data = hex(input, &len);

	memcpy(copy, data, len);
	free(data);
	ck_assert_int_eq(binary_parse(&ps, copy, len, &b, &used), PARSE_DONE);
	ck_assert_uint_eq(b.n, 1);
	return binary_check(&b.req[0], 10, o, why);
}

static const char *const sound[] = {
	"05 93 01 07 a1 6b",                      /* GET */
	"08 95 02 07 a1 6b a1 76 c0",             /* SET, ttl nil */
	"08 95 02 07 a1 6b a1 76 01",
	"10 95 02 07 a1 6b a1 76 cf 00 00 80 00 00 00 00 00", /* 2^47 */
	"05 93 04 07 a1 6b",                      /* TOUCH */
	"06 94 05 07 a1 6b ff",                   /* INCR -1 */
	"04 93 07 07 90",                         /* GET_MANY of none */
	"08 93 08 07 92 a1 6b a1 76",             /* SET_MANY */
	"03 92 0c 07",                            /* FLUSH */
	"03 92 0e 07",                            /* PING */
	"04 93 0e 07 80",                         /* with no options */
	"04 93 0f 07 05",                         /* CANCEL */
	"07 94 0b 07 a1 6b a1 74",                /* RELEASE */
};

static const struct refused {
	const char *input, *text;
	enum binary_error code;
} refused[] = {
	{ "03 92 00 07", "there is no operation 0", BINARY_ERROR_unknown },
	{ "03 92 11 07", "there is no operation 17", BINARY_ERROR_unknown },
	{ "07 92 ce ff ff ff ff 07", "there is no operation 4294967295", BINARY_ERROR_unknown },
	{ "03 92 01 07", "GET: wants 1 to 1 arguments", BINARY_ERROR_args },
	{ "07 94 01 07 a1 6b a1 6b", "GET: wants 1 to 1 arguments", BINARY_ERROR_args },
	{ "04 93 01 07 c0", "GET: argument 1 must be bytes", BINARY_ERROR_args },
	{ "0f 93 01 07 ab 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b 6b", "GET: argument 1 must be bytes",
	    BINARY_ERROR_args },
	{ "08 95 02 07 a1 6b a1 76 00", "SET: argument 3 must be a time to live", BINARY_ERROR_args },
	{ "10 95 02 07 a1 6b a1 76 cf 00 00 80 00 00 00 00 01",
	    "SET: argument 3 must be a time to live", BINARY_ERROR_args },
	{ "08 95 02 07 a1 6b a1 76 ff", "SET: argument 3 must be a time to live", BINARY_ERROR_args },
	{ "06 94 05 07 a1 6b c0", "INCR: argument 2 must be an integer", BINARY_ERROR_args },
	{ "0e 94 05 07 a1 6b cf 80 00 00 00 00 00 00 00", "INCR: argument 2 must be an integer",
	    BINARY_ERROR_args },
	{ "05 93 07 07 91 05", "GET_MANY: argument 1 must be an array of keys", BINARY_ERROR_args },
	{ "05 93 07 07 a1 6b", "GET_MANY: argument 1 must be an array of keys", BINARY_ERROR_args },
	{ "06 93 08 07 91 a1 6b", "SET_MANY: argument 1 must be an array", BINARY_ERROR_args },
	{ "06 94 0b 07 a1 6b a0", "RELEASE: argument 2 must be a token", BINARY_ERROR_args },
	{ "04 93 0f 07 ff", "CANCEL: argument 1 must be an integer", BINARY_ERROR_args },
	{ "08 94 01 07 a1 6b 81 04 c3", "GET: has no option 4", BINARY_ERROR_args },
	{ "08 94 01 07 a1 6b 81 63 c3", "GET: has no option 99", BINARY_ERROR_args },
	{ "08 94 01 07 a1 6b 81 c0 c3", "GET: options are a map whose keys", BINARY_ERROR_args },
	{ "09 94 01 07 a1 6b 81 a1 6d c3", "GET: options are a map whose keys", BINARY_ERROR_args },
	{ "0a 94 01 07 a1 6b 82 02 c3 02 c2", "GET: meta is given twice", BINARY_ERROR_args },
	{ "08 94 01 07 a1 6b 81 02 01", "GET: meta must be a flag", BINARY_ERROR_args },
	{ "0c 94 01 07 a1 6b 81 01 ce 00 36 ee 81", "GET: deadline_ms must be an integer of 0 to",
	    BINARY_ERROR_args },
	{ "0a 95 02 07 a1 6b a1 76 81 06 a0", "SET: if_token must be bytes of 1 to 16",
	    BINARY_ERROR_args },
	{ "0c 95 02 07 a1 6b a1 76 82 04 c3 05 c3", "SET: at most one condition", BINARY_ERROR_args },
};

START_TEST(sound_requests_pass)
{
	struct binary_options o;
	struct binary_refusal why;

	ck_assert_msg(check_of(sound[_i], &o, &why), "%s: %s", sound[_i], why.text);
	ck_assert_uint_eq(o.given, 0);
}
END_TEST

START_TEST(others_are_refused_with_a_reason)
{
	const struct refused *r = &refused[_i];
	struct binary_options o;
	struct binary_refusal why;

	ck_assert_msg(!check_of(r->input, &o, &why), "%s", r->input);
	ck_assert_int_eq(why.code, r->code);
	ck_assert_msg(strncmp(why.text, r->text, strlen(r->text)) == 0, "%s", why.text);
}
END_TEST

START_TEST(options_are_read)
{
	struct binary_options o;
	struct binary_refusal why;

	ck_assert(check_of("0b 94 01 07 a1 6b 82 02 c3 01 cc 80", &o, &why));
	ck_assert(binary_given(&o, BINARY_OPTION_meta));
	ck_assert(binary_given(&o, BINARY_OPTION_deadline_ms));
	ck_assert_int_eq(o.deadline_ms, 128);
	ck_assert(check_of("0d 95 02 07 a1 6b a1 76 82 04 c2 07 a1 77", &o, &why));
	ck_assert(!binary_given(&o, BINARY_OPTION_if_absent));
	ck_assert(slice_eq(o.if_value, SLICE("w")));
	ck_assert(check_of("0b 95 05 07 a1 6b 01 82 0a fe 09 05", &o, &why));
	ck_assert_int_eq(o.initial, -2);
	ck_assert_int_eq(o.ttl_ms, 5);
	ck_assert(check_of("0c 96 02 07 a1 6b a1 76 05 81 08 a1 74", &o, &why));
	ck_assert(slice_eq(o.lease, SLICE("t")));
}
END_TEST

START_TEST(every_operation_has_its_row)
{
	unsigned found = 0;

	for (unsigned i = 0; i < BINARY_OPS; i++)
		found += binary_ops[i].name != NULL;
	ck_assert_uint_eq(found, 16);
	ck_assert_str_eq(binary_ops[BINARY_OP_set_many].name, "SET_MANY");
	for (unsigned i = 1; i < BINARY_OPS; i++)
		ck_assert_uint_le(strlen(binary_ops[i].types), BINARY_ARGS);
	ck_assert_str_eq(binary_error_code(BINARY_ERROR_overload), "OVERLOAD");
}
END_TEST

/* --- writing -------------------------------------------------------------------------- */

/* What was written, as a client reads it. */
static const struct binary_frame *
read_reply(const struct out *o)
{
	static struct binary_batch b;
	struct binary_parser ps = { .max_frame = UINT32_MAX, .replies = true };
	struct slice s = out_copied(o);
	size_t used;

	ck_assert_ptr_nonnull(s.ptr);
	ck_assert_int_eq(binary_parse(&ps, s.ptr, s.len, &b, &used), PARSE_DONE);
	ck_assert_uint_eq(used, s.len);
	ck_assert_uint_eq(b.n, 1);
	return &b.req[0];
}

START_TEST(a_value_of_any_length_comes_back)
{
	static const size_t lengths[] = { 0, 1, 31, 32, 119, 120, 121, 122, 127, 128, 245, 246, 250,
		255, 256, 257, 65525, 65535, 65536, 100000 };
	static const uint32_t ids[] = { 0, 1, 119, 120, 121, 127, 128, 255, 256, 65535, 65536,
		UINT32_MAX };
	char *value = malloc(100000);
	struct out o;

	memset(value, 'v', 100000);
	for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
		for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
			const struct binary_frame *f;
			size_t len;

			out_init(&o);
			binary_reply_value(&o, ids[i], BINARY_hit, slice_of(value, lengths[l]));
			f = read_reply(&o);
			ck_assert_uint_eq(f->a, ids[i]);
			ck_assert_uint_eq(f->b, BINARY_hit);
			ck_assert_uint_eq(f->argc, 1);
			ck_assert(slice_eq(binary_bytes(&f->argv[0]), slice_of(value, lengths[l])));
			/* Where there is room already, the bytes are the same. */
			len = out_len(&o);
			out_reset(&o);
			ck_assert_ptr_nonnull(out_reserve(&o, len + 200));
			binary_reply_value(&o, ids[i], BINARY_hit, slice_of(value, lengths[l]));
			ck_assert_uint_eq(out_len(&o), len);
			ck_assert(slice_eq(binary_bytes(&read_reply(&o)->argv[0]),
			    slice_of(value, lengths[l])));
			out_fini(&o);
		}
	}
	free(value);
}
END_TEST

START_TEST(a_hit_costs_at_most_ten_bytes)
{
	char value[60000] = "";
	struct out o;

	for (size_t len = 0; len <= sizeof value; len += len < 300 ? 1 : 997) {
		out_init(&o);
		binary_reply_value(&o, len < 256 ? 65535 : 127, BINARY_hit, slice_of(value, len));
		ck_assert_uint_le(out_len(&o), len + 10);
		out_fini(&o);
	}
}
END_TEST

START_TEST(a_status_comes_back)
{
	static const uint32_t ids[] = { 0, 127, 128, 65536, UINT32_MAX };
	struct out o;

	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		const struct binary_frame *f;

		out_init(&o);
		binary_reply(&o, ids[i], BINARY_stored);
		f = read_reply(&o);
		ck_assert_uint_eq(f->a, ids[i]);
		ck_assert_uint_eq(f->b, BINARY_stored);
		ck_assert_uint_eq(f->argc, 0);
		out_fini(&o);
	}
}
END_TEST

START_TEST(an_error_is_one_line)
{
	struct out o;
	struct reply r = { .out = &o, .wire = WIRE_BINARY, .id = 5 };
	const struct binary_frame *f;
	char word[700];

	out_init(&o);
	reply_error(&r, "ORIGIN it said: %s", "a\r\nb\x01");
	ck_assert(r.failed);
	ck_assert_str_eq(r.code, "ORIGIN");
	f = read_reply(&o);
	ck_assert_uint_eq(f->a, 5);
	ck_assert_uint_eq(f->b, BINARY_error);
	ck_assert(slice_eq(binary_bytes(&f->argv[0]), SLICE("ORIGIN")));
	ck_assert(slice_eq(binary_bytes(&f->argv[1]), SLICE("it said: a  b ")));
	out_reset(&o);
	reply_error(&r, "nothingbutaword");
	ck_assert(slice_eq(binary_bytes(&read_reply(&o)->argv[0]), SLICE("ERR")));
	out_reset(&o);
	memset(word, 'x', sizeof word);
	word[sizeof word - 1] = '\0';
	reply_error(&r, "ERR %s", word);
	ck_assert_uint_lt(out_len(&o), 600);
	ck_assert(slice_eq(binary_bytes(&read_reply(&o)->argv[0]), SLICE("ERR")));
	out_reset(&o);
	binary_write_last(&o, "over");
	f = read_reply(&o);
	ck_assert(f->nil_a);
	ck_assert(slice_eq(binary_bytes(&f->argv[0]), SLICE("PROTOCOL")));
	out_fini(&o);
}
END_TEST

static void
count_release(void *owner, uint64_t token)
{
	(void)token;
	++*(int *)owner;
}

START_TEST(a_frame_holds_what_is_sent_by_reference)
{
	static char value[20000];
	int released = 0;
	struct out_ref ref = { value, sizeof value, count_release, &released, 0 };
	struct binary_mark m;
	struct iovec iov[8];
	struct binary_parser ps = { .max_frame = UINT32_MAX, .replies = true };
	struct binary_batch b;
	struct out o;
	struct buf all;
	size_t used;
	int n;

	memset(value, 'v', sizeof value);
	out_init(&o);
	buf_init(&all);
	binary_reply(&o, 1, BINARY_miss);
	for (int i = 0; i < 2; i++) {
		m = binary_begin(&o);
		binary_put_array(&o, 4);
		binary_put_uint(&o, 7);
		binary_put_uint(&o, BINARY_hit);
		binary_put_ref(&o, &ref);
		binary_put_nil(&o);
		binary_end(&o, m);
	}
	n = out_iov(&o, iov, 8);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(buf_append(&all, iov[i].iov_base, iov[i].iov_len), 0);
	ck_assert_uint_eq(buf_len(&all), out_len(&o));
	ck_assert_int_eq(binary_parse(&ps, buf_data(&all), buf_len(&all), &b, &used), PARSE_DONE);
	ck_assert_uint_eq(b.n, 3);
	ck_assert_uint_eq(b.req[2].argv[0].n, sizeof value);
	ck_assert_int_eq(b.req[2].argv[1].kind, BINARY_NIL);
	buf_fini(&all);
	out_fini(&o);
	ck_assert_int_eq(released, 2);
}
END_TEST

START_TEST(without_memory_the_output_is_marked)
{
	struct out o;

	for (unsigned n = 1; n < 4; n++) {
		out_init(&o);
		mem_fail_nth(n, 1);
		for (int i = 0; i < 50; i++) {
			binary_reply_value(&o, 1, BINARY_hit, SLICE("0123456789"));
			binary_reply(&o, 1000, BINARY_miss);
			binary_reply_error(&o, 1, "OOM", "out of memory");
		}
		mem_fail_nth(0, 0);
		ck_assert(out_failed(&o));
		out_fini(&o);
	}
}
END_TEST

/* --- the preface ---------------------------------------------------------------------- */

static const struct hello_scene {
	const char *input;
	uint32_t version;
	const char *client, *error;
} hellos[] = {
	{ "c1 0a 92 a7 70 61 6e 6e 69 65 72 01", 1, "", NULL },
	{ "c1 0b 93 a7 70 61 6e 6e 69 65 72 01 80", 1, "", NULL },
	{ "c1 cc 0a 92 a7 70 61 6e 6e 69 65 72 01", 1, "", NULL },
	{ "c1 14 93 a7 70 61 6e 6e 69 65 72 01 81 a6 63 6c 69 65 6e 74 a1 78", 1, "x", NULL },
	{ "c1 10 93 a7 70 61 6e 6e 69 65 72 09 81 a3 6d 69 6e 01", 1, "", NULL },
	{ "c1 10 93 a7 70 61 6e 6e 69 65 72 01 81 a1 78 91 91 c0", 1, "", NULL },
	{ "c1 10 93 a7 70 61 6e 6e 69 65 72 01 81 a1 78 91 90 c0", 0, "", "bytes stand behind" },
	{ "c1 10 93 a7 70 61 6e 6e 69 65 72 09 81 a3 6d 69 6e 02", 0, "", "no version" },
	{ "c1 10 93 a7 70 61 6e 6e 69 65 72 01 81 a3 6d 69 6e 02", 0, "", "min is" },
	{ "c1 0a 92 a7 70 61 6e 6e 69 65 73 01", 0, "", "the protocol's name" },
	{ "c1 0a 92 a7 70 61 6e 6e 69 65 72 00", 0, "", "the version" },
	{ "c1 0a 92 a7 70 61 6e 6e 69 65 72 c0", 0, "", "the version" },
	{ "c1 09 91 a7 70 61 6e 6e 69 65 72", 0, "", "a preface is" },
	{ "c1 14 93 a7 70 61 6e 6e 69 65 72 01 81 a6 63 6c 69 65 6e 74 a1 20", 0, "", "client is" },
	{ "c1 13 93 a7 70 61 6e 6e 69 65 72 01 81 a6 63 6c 69 65 6e 74 a0", 0, "", "client is" },
	{ "c1 0f 93 a7 70 61 6e 6e 69 65 72 01 81 91 91 91 c0", 0, "", "arrays and maps" },
	{ "c1 0c 93 a7 70 61 6e 6e 69 65 72 01 81 90", 0, "", "an element" },
	{ "c1 00", 0, "", "a frame has" },
	{ "c1 c1", 0, "", "a frame begins" },
	{ "c1 cd 04 01", 0, "", "a preface has at most" },
	{ "c1 05 dd 10 00 00 00", 0, "", "a preface is" },
};

START_TEST(prefaces)
{
	const struct hello_scene *s = &hellos[_i];
	struct binary_hello h;
	size_t len, used, need;
	char *data = hex(s->input, &len);

	for (size_t n = 1; n < len; n++) {
		char *copy = malloc(n);

		memcpy(copy, data, n);
		need = binary_hello_read(copy, n, &h, &used);
		ck_assert_msg(need > n && need <= len, "%s at %zu: %zu", s->input, n, need);
		free(copy);
	}
	ck_assert_uint_eq(binary_hello_read(data, len, &h, &used), 0);
	ck_assert_uint_eq(used, len);
	ck_assert_msg(h.version == s->version, "%s: %u, %s", s->input, h.version, h.error);
	if (s->error != NULL)
		ck_assert_msg(strncmp(h.error, s->error, strlen(s->error)) == 0, "%s", h.error);
	ck_assert(h.version == 0 || slice_eq(h.client, slice_str(s->client)));
	free(data);
}
END_TEST

START_TEST(a_preface_that_is_written_can_be_read)
{
	static const char *const features[] = { "auth", "lease" };
	const struct binary_offer offer = { .server = "pannier 1", .id = 7, .max_frame = 1 << 20,
		.max_value = 1 << 19, .max_waiting = 1024, .features = features, .n_features = 2 };
	struct binary_hello h;
	struct out o;
	struct slice s;
	size_t used;

	out_init(&o);
	binary_write_hello(&o, "bench-1");
	s = out_copied(&o);
	ck_assert_uint_eq(binary_hello_read(s.ptr, s.len, &h, &used), 0);
	ck_assert_uint_eq(h.version, BINARY_VERSION);
	ck_assert(slice_eq(h.client, SLICE("bench-1")));
	out_reset(&o);
	binary_write_hello(&o, NULL);
	s = out_copied(&o);
	ck_assert_uint_eq(s.len, 12);
	ck_assert_uint_eq(binary_hello_read(s.ptr, s.len, &h, &used), 0);
	out_reset(&o);
	/* An offer has the shape of a preface, and keys that a reader passes over. */
	binary_write_offer(&o, &offer);
	s = out_copied(&o);
	ck_assert_uint_eq(binary_hello_read(s.ptr, s.len, &h, &used), 0);
	ck_assert_uint_eq(h.version, BINARY_VERSION);
	out_reset(&o);
	binary_write_refusal(&o, "why\nnot");
	s = out_copied(&o);
	ck_assert_uint_eq(binary_hello_read(s.ptr, s.len, &h, &used), 0);
	ck_assert_uint_eq(h.version, 0);
	out_fini(&o);
}
END_TEST

static void
add_loop(Suite *s, const char *name, const TTest *t, size_t n)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, t, 0, (int)n);
	suite_add_tcase(s, tc);
}

int
main(void)
{
	Suite *s = suite_create("binary");

	add_loop(s, "frames", frames_are_read_in_any_pieces, ARRAY_LEN(frames));
	add_loop(s, "bad frames", broken_frames_are_told_apart, ARRAY_LEN(bad));
	add_loop(s, "sound", sound_requests_pass, ARRAY_LEN(sound));
	add_loop(s, "refused", others_are_refused_with_a_reason, ARRAY_LEN(refused));
	add_loop(s, "hellos", prefaces, ARRAY_LEN(hellos));
	SUITE_ADD(s, "more frames", half_a_frame_asks_for_the_rest,
	    more_frames_than_a_batch_holds_come_in_turns);
	SUITE_ADD(s, "requests", options_are_read, every_operation_has_its_row);
	SUITE_ADD(s, "writing", a_value_of_any_length_comes_back, a_hit_costs_at_most_ten_bytes,
	    a_status_comes_back, an_error_is_one_line, a_frame_holds_what_is_sent_by_reference,
	    without_memory_the_output_is_marked, a_preface_that_is_written_can_be_read);
	return suite_main(s);
}
