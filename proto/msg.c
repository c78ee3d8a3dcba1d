#include "config.h"

#include "proto/msg.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/parse.h"
#include "proto/binary.h"

/* --- batches ------------------------------------------------------------------ */

/* What a batch keeps from one read to the next. */
#define ARGS_MIN 512

void
batch_init(struct batch *b)
{
	b->n = 0;
	b->args = NULL;
	b->args_used = b->args_cap = 0;
	b->scratch = NULL;
	b->scratch_used = b->scratch_cap = 0;
}

void
batch_fini(struct batch *b)
{
	mem_free(b->args);
	mem_free(b->scratch);
	batch_init(b);
}

void
batch_shrink(struct batch *b)
{
	if (b->args_cap > BATCH_ARGS_KEEP) {
		mem_free(b->args);
		b->args = NULL;
		b->args_cap = 0;
	}
	if (b->scratch_cap > BATCH_SCRATCH_KEEP) {
		mem_free(b->scratch);
		b->scratch = NULL;
		b->scratch_cap = 0;
	}
}

int
batch_grow_args(struct batch *b, size_t n)
{
	size_t cap = MAX(MAX(2 * b->args_cap, ARGS_MIN), b->args_used + n);
	struct slice *args = mem_realloc(b->args, cap * sizeof *args);
	struct slice *at = args;

	if (args == NULL)
		return -ENOMEM;
	/* Requests lie one behind the other. */
	for (unsigned i = 0; i < b->n; i++) {
		b->req[i].argv = at;
		at += b->req[i].argc;
	}
	b->args = args;
	b->args_cap = cap;
	return 0;
}

int
batch_grow_scratch(struct batch *b, size_t n)
{
	size_t cap = MAX(2 * b->scratch_cap, b->scratch_used + n);
	uintptr_t from = (uintptr_t)b->scratch, to = from + b->scratch_used;
	char *scratch = mem_alloc(cap);

	if (scratch == NULL)
		return -ENOMEM;
	if (b->scratch_used != 0)
		memcpy(scratch, b->scratch, b->scratch_used);
	for (size_t i = 0; i < b->args_used; i++) {
		uintptr_t at = (uintptr_t)b->args[i].ptr;

		if (at >= from && at < to)
			b->args[i].ptr = scratch + (at - from);
	}
	mem_free(b->scratch);
	b->scratch = scratch;
	b->scratch_cap = cap;
	return 0;
}

/* --- heads -------------------------------------------------------------------- */

#define C(d) (char)('0' + (d))
#define ONE(o) { { '$', C(o), '\r', '\n' }, 4 }
#define TWO(t, o) { { '$', C(t), C(o), '\r', '\n' }, 5 }
#define THREE(h, t, o) { { '$', C(h), C(t), C(o), '\r', '\n' }, 6 }
#define TEN(M, ...) \
	M(__VA_ARGS__ 0), M(__VA_ARGS__ 1), M(__VA_ARGS__ 2), M(__VA_ARGS__ 3), \
	    M(__VA_ARGS__ 4), M(__VA_ARGS__ 5), M(__VA_ARGS__ 6), M(__VA_ARGS__ 7), \
	    M(__VA_ARGS__ 8), M(__VA_ARGS__ 9)
#define TENS(t) TEN(TWO, t, )
#define HUNDRED_TEN(h, t) TEN(THREE, h, t, )
#define HUNDRED(h) \
	HUNDRED_TEN(h, 0), HUNDRED_TEN(h, 1), HUNDRED_TEN(h, 2), HUNDRED_TEN(h, 3), \
	    HUNDRED_TEN(h, 4), HUNDRED_TEN(h, 5), HUNDRED_TEN(h, 6), HUNDRED_TEN(h, 7), \
	    HUNDRED_TEN(h, 8), HUNDRED_TEN(h, 9)

const struct reply_head reply_heads[REPLY_HEADS] = {
	TEN(ONE, ), TENS(1), TENS(2), TENS(3), TENS(4), TENS(5), TENS(6), TENS(7), TENS(8),
	TENS(9), HUNDRED(1), HUNDRED(2), HUNDRED(3), HUNDRED(4), HUNDRED(5), HUNDRED(6),
	HUNDRED(7), HUNDRED(8), HUNDRED(9),
};

size_t
reply_head_long(char *p, char type, int64_t n)
{
	size_t len = 1 + format_i64(p + 1, n);

	p[0] = type;
	memcpy(p + len, "\r\n", 2);
	return len + 2;
}

void
reply_bulk_long(struct reply *r, struct slice s)
{
	char *p = out_reserve(r->out, s.len + REPLY_HEAD_MAX);
	size_t head;

	if (p == NULL)
		return;
	head = reply_head(p, '$', s.len);
	if (s.len != 0)
		memcpy(p + head, s.ptr, s.len);
	memcpy(p + head + s.len, "\r\n", 2);
	out_commit(r->out, head + s.len + 2);
}

static void
put_head(struct reply *r, char type, uint64_t n)
{
	char *p = out_reserve(r->out, REPLY_HEAD_MAX);

	if (p != NULL)
		out_commit(r->out, reply_head(p, type, n));
}

static void
put_text(struct reply *r, const char *text)
{
	out_append(r->out, text, strlen(text));
}

/* --- simple replies ------------------------------------------------------------- */

void
reply_status(struct reply *r, const char *text)
{
	put_text(r, "+");
	put_text(r, text);
	put_text(r, "\r\n");
}

#define ERROR_ROOM 256 /* most texts fit, and are formatted once */

static void
set_code(struct reply *r, const char *text, size_t n)
{
	const char *end = memchr(text, ' ', MIN(n, sizeof r->code));
	size_t len = end != NULL ? (size_t)(end - text) : 0;

	memcpy(r->code, text, len);
	r->code[len] = '\0';
}

static void
binary_verror(struct reply *r, const char *fmt, va_list ap)
{
	char text[512];
	const char *space;

	vsnprintf(text, sizeof text, fmt, ap);
	set_code(r, text, strlen(text));
	space = strchr(text, ' ');
	binary_reply_error(r->out, r->id, r->code[0] != '\0' ? r->code : "ERR",
	    r->code[0] != '\0' ? space + 1 : text);
}

void
reply_verror(struct reply *r, const char *fmt, va_list ap)
{
	va_list again;
	char *p;
	int n;

	r->failed = true;
	r->code[0] = '\0';
	if (r->wire == WIRE_BINARY) {
		binary_verror(r, fmt, ap);
		return;
	}
	va_copy(again, ap);
	p = out_reserve(r->out, ERROR_ROOM);
	n = p != NULL ? vsnprintf(p + 1, ERROR_ROOM - 1, fmt, ap) : -1;
	if (n >= ERROR_ROOM - 3) {
		p = out_reserve(r->out, (size_t)n + 4);
		if (p != NULL)
			vsnprintf(p + 1, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	if (p == NULL || n < 0)
		return;
	p[0] = '-';
	for (int i = 1; i <= n; i++)
		if ((unsigned char)p[i] < ' ' || p[i] == 0x7f)
			p[i] = ' ';
	set_code(r, p + 1, (size_t)n);
	memcpy(p + 1 + n, "\r\n", 2);
	out_commit(r->out, (size_t)n + 3);
}

void
reply_error(struct reply *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	reply_verror(r, fmt, ap);
	va_end(ap);
}

void
reply_bulk_str(struct reply *r, const char *s)
{
	reply_bulk(r, slice_str(s));
}

void
reply_bulk_i64(struct reply *r, int64_t n)
{
	char text[FORMAT_MAX];

	reply_bulk(r, slice_of(text, format_i64(text, n)));
}

void
reply_bulk_ref(struct reply *r, const struct out_ref *ref)
{
	put_head(r, '$', ref->len);
	out_append_ref(r->out, ref);
	put_text(r, "\r\n");
}

void
reply_nil_array(struct reply *r)
{
	put_text(r, r->wire == WIRE_RESP3 ? "_\r\n" : "*-1\r\n");
}

void
reply_bool(struct reply *r, bool yes)
{
	if (r->wire == WIRE_RESP3)
		put_text(r, yes ? "#t\r\n" : "#f\r\n");
	else
		reply_int(r, yes);
}

void
reply_double(struct reply *r, double d)
{
	char text[40];

	/* The C library's word for infinity is not asked: clients know these. */
	if (isinf(d))
		snprintf(text, sizeof text, "%s", d > 0 ? "inf" : "-inf");
	else
		snprintf(text, sizeof text, "%.17g", d);
	if (r->wire == WIRE_RESP3) {
		put_text(r, ",");
		put_text(r, text);
		put_text(r, "\r\n");
	} else {
		reply_bulk_str(r, text);
	}
}

void
reply_verbatim(struct reply *r, struct slice text)
{
	if (r->wire != WIRE_RESP3) {
		reply_bulk(r, text);
		return;
	}
	put_head(r, '=', text.len + 4);
	put_text(r, "txt:");
	out_append(r->out, text.ptr, text.len);
	put_text(r, "\r\n");
}

void
reply_verbatim_ref(struct reply *r, const struct out_ref *ref)
{
	if (r->wire != WIRE_RESP3) {
		reply_bulk_ref(r, ref);
		return;
	}
	put_head(r, '=', ref->len + 4);
	put_text(r, "txt:");
	out_append_ref(r->out, ref);
	put_text(r, "\r\n");
}

/* --- aggregates ----------------------------------------------------------------- */

void
reply_array(struct reply *r, size_t n)
{
	put_head(r, '*', n);
}

void
reply_map(struct reply *r, size_t pairs)
{
	if (r->wire == WIRE_RESP3)
		put_head(r, '%', pairs);
	else
		put_head(r, '*', 2 * pairs);
}

void
reply_set(struct reply *r, size_t n)
{
	put_head(r, r->wire == WIRE_RESP3 ? '~' : '*', n);
}

void
reply_push(struct reply *r, size_t n)
{
	put_head(r, r->wire == WIRE_RESP3 ? '>' : '*', n);
}
