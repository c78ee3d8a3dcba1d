/* LCS: the longest common subsequence of two values, by the usual table of
 * the lengths for all pairs of prefixes. The table takes four bytes for each
 * pair and the time goes with it, so its size is bounded: a loop must not
 * spend more than some milliseconds on one request. */
#include "config.h"

#include "server/call.h"

#include <errno.h>

#include "base/mem.h"
#include "base/parse.h"
#include "server/server.h"

#define LCS_BYTES_MAX (16u << 20) /* of the table */

struct lcs_args {
	bool len, idx, with_match_len;
	int64_t min_match_len;
};

struct lcs {
	struct slice a, b; /* copies, owned */
	uint32_t *table;   /* [(a.len + 1) * (b.len + 1)], owned */
	char *common;      /* owned; NULL: nobody asked */
	struct buf ranges; /* of struct range */
};

/* Positions of the first and last byte in a and b. */
struct range {
	uint32_t a_first, a_last, b_first;
};

static bool
lcs_args_parse(struct call *c, struct lcs_args *out)
{
	*out = (struct lcs_args){ 0 };
	for (uint32_t i = 3; i < c->argc; i++) {
		struct slice word = c->argv[i];

		if (slice_caseeq(word, SLICE("idx"))) {
			out->idx = true;
		} else if (slice_caseeq(word, SLICE("len"))) {
			out->len = true;
		} else if (slice_caseeq(word, SLICE("withmatchlen"))) {
			out->with_match_len = true;
		} else if (!slice_caseeq(word, SLICE("minmatchlen")) || ++i == c->argc) {
			call_syntax_error(c);
			return false;
		} else if (parse_i64(c->argv[i], &out->min_match_len) != 0) {
			call_not_integer(c);
			return false;
		}
	}
	if (out->idx && out->len)
		reply_error(c->reply,
		    "ERR If you want both the length and indexes, please just use IDX.");
	return !(out->idx && out->len);
}

/* A copy: two keys are never open at once. */
static int
copy_value(struct call *c, struct slice key, struct slice *out)
{
	struct store_cursor cur;
	char *copy = NULL;

	*out = (struct slice){ NULL, 0 };
	if (store_open(c->store, key, STORE_TOUCH | STORE_COUNT, &cur) == CACHE_HIT)
		out->len = cur.c.value.len;
	if (out->len > 0 && out->len <= LCS_BYTES_MAX)
		copy = mem_slicedup(cur.c.value);
	store_close(&cur);
	out->ptr = copy;
	return copy == NULL && out->len > 0 && out->len <= LCS_BYTES_MAX ? -ENOMEM : 0;
}

static void
lcs_free(struct lcs *l)
{
	mem_free((char *)l->a.ptr);
	mem_free((char *)l->b.ptr);
	mem_free(l->table);
	mem_free(l->common);
	buf_fini(&l->ranges);
}

static inline uint32_t *
cell(const struct lcs *l, uint32_t i, uint32_t j)
{
	return &l->table[(size_t)i * (l->b.len + 1) + j];
}

static void
fill_table(struct lcs *l)
{
	for (uint32_t i = 1; i <= l->a.len; i++)
		for (uint32_t j = 1; j <= l->b.len; j++) {
			if (l->a.ptr[i - 1] == l->b.ptr[j - 1])
				*cell(l, i, j) = *cell(l, i - 1, j - 1) + 1;
			else
				*cell(l, i, j) = MAX(*cell(l, i - 1, j), *cell(l, i, j - 1));
		}
}

static int
add_range(struct lcs *l, const struct range *r, int64_t min_len)
{
	return r->a_last - r->a_first + 1 >= min_len ? buf_append(&l->ranges, r, sizeof *r) : 0;
}

/* From the ends of both back to their beginnings, as Redis goes: which of
 * several common subsequences is found depends on the way. */
static int
walk_back(struct lcs *l, int64_t min_len)
{
	uint32_t i = (uint32_t)l->a.len, j = (uint32_t)l->b.len, n = *cell(l, i, j);
	struct range r = { 0 };
	bool open = false;
	int rc = 0;

	while (i > 0 && j > 0 && rc == 0) {
		if (l->a.ptr[i - 1] != l->b.ptr[j - 1]) {
			if (open)
				rc = add_range(l, &r, min_len);
			open = false;
			if (*cell(l, i - 1, j) > *cell(l, i, j - 1))
				i--;
			else
				j--;
			continue;
		}
		i--;
		j--;
		l->common[--n] = l->a.ptr[i];
		if (!open)
			r = (struct range){ i, i, j };
		r.a_first = i;
		r.b_first = j;
		open = true;
	}
	return open && rc == 0 ? add_range(l, &r, min_len) : rc;
}

static void
reply_pair(struct reply *r, uint32_t first, uint32_t last)
{
	reply_array(r, 2);
	reply_int(r, first);
	reply_int(r, last);
}

static void
reply_ranges(struct reply *r, const struct lcs *l, const struct lcs_args *args)
{
	size_t n = buf_len(&l->ranges) / sizeof(struct range);

	reply_map(r, 2);
	reply_bulk_str(r, "matches");
	reply_array(r, n);
	for (size_t i = 0; i < n; i++) {
		struct range m;
		uint32_t more;

		memcpy(&m, buf_data(&l->ranges) + i * sizeof m, sizeof m);
		more = m.a_last - m.a_first;
		reply_array(r, args->with_match_len ? 3 : 2);
		reply_pair(r, m.a_first, m.a_last);
		reply_pair(r, m.b_first, m.b_first + more);
		if (args->with_match_len)
			reply_int(r, (int64_t)more + 1);
	}
	reply_bulk_str(r, "len");
	reply_int(r, *cell(l, (uint32_t)l->a.len, (uint32_t)l->b.len));
}

/* 0, -E2BIG, -ENOMEM. */
static int
lcs_compute(struct lcs *l, const struct lcs_args *args, uint64_t bytes_max)
{
	uint64_t cells;

	if (__builtin_mul_overflow((uint64_t)l->a.len + 1, (uint64_t)l->b.len + 1, &cells) ||
	    cells > bytes_max / sizeof *l->table)
		return -E2BIG;
	l->table = mem_calloc(cells, sizeof *l->table);
	if (l->table == NULL)
		return -ENOMEM;
	fill_table(l);
	if (args->len)
		return 0;
	l->common = mem_alloc(*cell(l, (uint32_t)l->a.len, (uint32_t)l->b.len) + 1);
	return l->common != NULL ? walk_back(l, args->min_match_len) : -ENOMEM;
}

static void
lcs_reply(struct reply *r, const struct lcs *l, const struct lcs_args *args)
{
	uint32_t len = *cell(l, (uint32_t)l->a.len, (uint32_t)l->b.len);

	if (args->idx)
		reply_ranges(r, l, args);
	else if (args->len)
		reply_int(r, len);
	else
		reply_bulk(r, slice_of(l->common, len));
}

void
cmd_lcs(struct call *c)
{
	uint64_t bytes_max = MIN((uint64_t)LCS_BYTES_MAX, c->sl->limits.max_bulk);
	struct lcs l = { 0 };
	struct lcs_args args;
	int rc;

	if (!lcs_args_parse(c, &args))
		return;
	buf_init(&l.ranges);
	rc = copy_value(c, c->argv[1], &l.a);
	if (rc == 0)
		rc = copy_value(c, c->argv[2], &l.b);
	if (rc == 0)
		rc = lcs_compute(&l, &args, bytes_max);
	if (rc == 0)
		lcs_reply(c->reply, &l, &args);
	else if (rc == -E2BIG)
		reply_error(c->reply, "ERR Insufficient memory, transient memory for LCS exceeds "
		                      "proto-max-bulk-len");
	else
		call_put_failed(c, rc);
	lcs_free(&l);
}
