/* fuzz_resp.c - any bytes as requests: read whole, cut in two, and one by one,
 * they must be the same requests and end with the same error. And as replies:
 * a length must not depend on what follows, and the walk must end there. */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/util.h"
#include "proto/resp.h"

/* Small, so that inputs of some hundred bytes pass them. */
static const struct resp_limits limits = { .max_args = 40, .max_bulk = 200, .max_inline = 60 };

#define CHECK(cond) \
	do { \
		if (!(cond)) \
			check_failed(#cond, __LINE__); \
	} while (0)

NORETURN static void
check_failed(const char *cond, int line)
{
	fprintf(stderr, "fuzz_resp.c:%d: %s\n", line, cond);
	abort();
}

struct reader {
	struct resp_parser parser;
	struct batch batch;
	struct buf found; /* requests, and the error that ended them */
	bool ended;
};

static void
note(struct reader *r)
{
	for (unsigned i = 0; i < r->batch.n; i++) {
		const struct request *req = &r->batch.req[i];

		CHECK(req->argc >= 1 && req->argc <= MAX(limits.max_args, limits.max_inline));
		CHECK(buf_printf(&r->found, "%u:", req->argc) == 0);
		for (uint32_t k = 0; k < req->argc; k++) {
			CHECK(buf_printf(&r->found, "%zu=", req->argv[k].len) == 0);
			CHECK(buf_append(&r->found, req->argv[k].ptr, req->argv[k].len) == 0);
		}
	}
}

/* Reads n bytes from a block of that size; how many are used. */
static size_t
read_some(struct reader *r, const uint8_t *data, size_t n)
{
	size_t done = 0, used;
	enum parse_status status;

	do {
		char *copy = malloc(n - done + 1);

		memcpy(copy + 1, data + done, n - done);
		status = resp_parse(&r->parser, copy + 1, n - done, &r->batch, &used);
		CHECK(status != PARSE_NOMEM && used <= n - done);
		CHECK(status != PARSE_MORE || r->parser.need > n - done - used);
		note(r);
		free(copy);
		done += used;
	} while (status == PARSE_DONE && done < n);
	if (status == PARSE_ERROR) {
		CHECK(buf_printf(&r->found, "error: %s", r->parser.error) == 0);
		r->ended = true;
	}
	return done;
}

static struct buf
requests(const uint8_t *data, size_t n, size_t first, size_t step)
{
	struct reader r = { .ended = false };
	size_t done = 0, have = MIN(first, n);

	resp_parser_init(&r.parser, &limits);
	batch_init(&r.batch);
	for (;;) {
		done += read_some(&r, data + done, have - done);
		if (r.ended || have == n)
			break;
		have = MIN(have + step, n);
	}
	batch_fini(&r.batch);
	resp_parser_fini(&r.parser);
	return r.found;
}

static void
check_requests(const uint8_t *data, size_t n)
{
	struct buf whole = requests(data, n, n, n);
	size_t cuts[][2] = { { n / 2, n }, { n ? data[n - 1] % n : 0, n }, { 1, 1 }, { 3, 7 } };

	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		struct buf cut = requests(data, n, cuts[i][0], MAX(cuts[i][1], 1));

		CHECK(slice_eq(buf_slice(&whole), buf_slice(&cut)));
		buf_fini(&cut);
	}
	buf_fini(&whole);
}

static void
check_reply(const char *data, size_t n)
{
	int64_t len = resp_reply_len(data, n, limits.max_bulk);
	struct resp_value v;
	int64_t owed = 1;
	size_t pos = 0;

	if (len <= 0)
		return;
	CHECK((size_t)len <= n);
	CHECK(resp_reply_len(data, (size_t)len, limits.max_bulk) == len);
	CHECK(resp_reply_len(data, (size_t)len - 1, limits.max_bulk) == 0);
	while (resp_reply_next(slice_of(data, (size_t)len), &pos, &v)) {
		owed--;
		if (v.type == RESP_ARRAY || v.type == RESP_SET || v.type == RESP_PUSH)
			owed += v.n;
		else if (v.type == RESP_MAP)
			owed += 2 * v.n;
		else
			CHECK(v.text.len == 0 ||
			    (v.text.ptr >= data && v.text.ptr + v.text.len <= data + len));
	}
	CHECK(owed == 0 && pos == (size_t)len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *copy = malloc(n + 1);

	check_requests(data, n);
	memcpy(copy + 1, data, n);
	check_reply(copy + 1, n);
	free(copy);
	return 0;
}
