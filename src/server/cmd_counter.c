/* INCR, DECR, INCRBY, DECRBY: a value that is a 64-bit number in its shortest
 * decimal form. INCRBYFLOAT: one that is a decimal fraction. The time to live
 * stays as it is. */
#include "config.h"

#include "server/call.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/parse.h"
#include "server/value.h"

static void
add(struct call *c, int64_t delta)
{
	static const struct value_start start = { .number = 0, .expires_ms = CACHE_NEVER };
	struct store_cursor cur;
	enum cache_result found = call_open(c, STORE_WRITE, &cur);
	int64_t sum;
	int rc = value_add(&cur, found, &start, delta, &sum);

	store_close(&cur);
	if (rc == 0)
		reply_int(c->reply, sum);
	else if (rc == -EINVAL)
		call_not_integer(c);
	else if (rc == -ERANGE)
		reply_error(c->reply, "ERR increment or decrement would overflow");
	else
		call_put_failed(c, rc);
}

void
cmd_incr(struct call *c)
{
	add(c, 1);
}

void
cmd_decr(struct call *c)
{
	add(c, -1);
}

void
cmd_incrby(struct call *c)
{
	int64_t delta;

	if (parse_i64(c->argv[2], &delta) != 0)
		call_not_integer(c);
	else
		add(c, delta);
}

void
cmd_decrby(struct call *c)
{
	int64_t delta;

	if (parse_i64(c->argv[2], &delta) != 0)
		call_not_integer(c);
	else if (delta == INT64_MIN)
		reply_error(c->reply, "ERR decrement would overflow");
	else
		add(c, -delta);
}

/* --- fractions ---------------------------------------------------------------- */

#define FLOAT_CHARS (5 * 1024) /* the longest long double, and Redis's bound on input */

/* As Redis reads them: anything that strtold() takes whole, but NaN, and what
 * is too large or too small. */
static bool
float_parse(struct slice s, long double *out)
{
	char text[FLOAT_CHARS];
	char *end;

	if (s.len == 0 || s.len >= sizeof text || isspace((unsigned char)s.ptr[0]))
		return false;
	memcpy(text, s.ptr, s.len);
	text[s.len] = '\0';
	errno = 0;
	*out = strtold(text, &end);
	if (end != text + s.len || errno == EINVAL || isnan(*out))
		return false;
	return errno != ERANGE || (!isinf(*out) && fpclassify(*out) != FP_ZERO);
}

/* 17 digits behind the point, without the zeros at their end. */
static size_t
float_format(char text[FLOAT_CHARS], long double value)
{
	size_t len = (size_t)snprintf(text, FLOAT_CHARS, "%.17Lf", value);

	while (text[len - 1] == '0')
		len--;
	if (text[len - 1] == '.')
		len--;
	if (len == 2 && memcmp(text, "-0", 2) == 0) {
		text[0] = '0';
		len = 1;
	}
	return len;
}

/* NULL: *sum is the new number, else the error. */
static const char *
float_add(const struct store_cursor *cur, enum cache_result found, struct slice increment,
    long double *sum)
{
	long double old = 0, delta;

	if ((found == CACHE_HIT && !float_parse(cur->c.value, &old)) ||
	    !float_parse(increment, &delta))
		return "ERR value is not a valid float";
	*sum = old + delta;
	if (isnan(*sum) || isinf(*sum))
		return "ERR increment would produce NaN or Infinity";
	return NULL;
}

void
cmd_incrbyfloat(struct call *c)
{
	char text[FLOAT_CHARS];
	struct slice part = { text, 0 };
	struct store_cursor cur;
	enum cache_result found = call_open(c, STORE_WRITE | STORE_TOUCH, &cur);
	const char *error;
	long double sum;
	int rc = 0;

	error = float_add(&cur, found, c->argv[2], &sum);
	if (error == NULL) {
		part.len = float_format(text, sum);
		rc = cache_put(&cur.c, &part, 1,
		    found == CACHE_HIT ? cur.c.expires_ms : CACHE_NEVER);
	}
	store_close(&cur);
	if (error != NULL)
		reply_error(c->reply, "%s", error);
	else if (rc != 0)
		call_put_failed(c, rc);
	else
		reply_bulk(c->reply, part);
}
