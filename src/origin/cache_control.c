#include "config.h"

#include "origin/cache_control.h"

#include "base/util.h"
#include "origin/http_date.h"

/* RFC 9111, 1.2.2: what does not fit is taken as 2^31. */
#define DELTA_MAX (INT64_C(1) << 31)

void
cache_control_init(struct cache_control *c)
{
	*c = (struct cache_control){ .max_age_s = -1, .age_s = -1, .date_s = -1, .expires_s = -1,
		.swr_s = -1, .sie_s = -1 };
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct slice
trim(struct slice s)
{
	while (s.len != 0 && is_blank(s.ptr[0]))
		s = slice_skip(s, 1);
	while (s.len != 0 && is_blank(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

/* delta-seconds; -1: is none. */
static int64_t
delta_parse(struct slice s)
{
	int64_t v = 0;

	if (s.len == 0)
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return -1;
		v = MIN(v * 10 + (s.ptr[i] - '0'), DELTA_MAX);
	}
	return v;
}

/* Where the member of a list that begins at s ends: at a comma, but for those
 * in quotes. */
static size_t
member_len(struct slice s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++) {
		if (quoted && s.ptr[i] == '\\')
			i++;
		else if (s.ptr[i] == '"')
			quoted = !quoted;
		else if (s.ptr[i] == ',' && !quoted)
			return i;
	}
	return s.len;
}

/* An argument may come as a token or quoted, whatever was asked for (5.2). */
static struct slice
unquote(struct slice s)
{
	if (s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"')
		return slice_of(s.ptr + 1, s.len - 2);
	return s;
}

static void
apply_directive(struct cache_control *c, struct slice name, struct slice arg)
{
	if (slice_caseeq(name, SLICE("no-store"))) {
		c->no_store = true;
	} else if (slice_caseeq(name, SLICE("no-cache"))) {
		/* With field names it forbids less (5.2.2.4), but a cache may
		 * take it as if it had none. */
		c->no_cache = true;
	} else if (slice_caseeq(name, SLICE("must-understand"))) {
		c->must_understand = true;
	} else if (slice_caseeq(name, SLICE("must-revalidate"))) {
		c->must_revalidate = true;
	} else if (slice_caseeq(name, SLICE("max-age")) && c->max_age_s < 0) {
		/* The first counts; what is no number means stale (4.2.1). */
		c->max_age_s = MAX(delta_parse(unquote(arg)), 0);
	} else if (slice_caseeq(name, SLICE("stale-while-revalidate")) && c->swr_s < 0) {
		c->swr_s = MAX(delta_parse(unquote(arg)), 0);
	} else if (slice_caseeq(name, SLICE("stale-if-error")) && c->sie_s < 0) {
		c->sie_s = MAX(delta_parse(unquote(arg)), 0);
	}
}

static void
apply_cache_control(struct cache_control *c, struct slice value)
{
	while (value.len != 0) {
		size_t len = member_len(value);
		struct slice member = trim(slice_of(value.ptr, len));
		const char *eq = member.len ? memchr(member.ptr, '=', member.len) : NULL;
		size_t name_len = eq != NULL ? (size_t)(eq - member.ptr) : member.len;

		apply_directive(c, slice_of(member.ptr, name_len),
		    slice_skip(member, eq != NULL ? name_len + 1 : member.len));
		value = slice_skip(value, MIN(len + 1, value.len));
	}
}

static void
apply_vary(struct cache_control *c, struct slice value)
{
	while (value.len != 0) {
		size_t len = member_len(value);

		if (slice_eq(trim(slice_of(value.ptr, len)), SLICE("*")))
			c->vary_any = true;
		value = slice_skip(value, MIN(len + 1, value.len));
	}
}

void
cache_control_field(struct cache_control *c, struct slice name, struct slice value)
{
	int64_t when;

	if (slice_caseeq(name, SLICE("cache-control"))) {
		apply_cache_control(c, value);
	} else if (slice_caseeq(name, SLICE("vary"))) {
		apply_vary(c, value);
	} else if (slice_caseeq(name, SLICE("age"))) {
		/* The first of a list counts; a bad one is passed over (5.1). */
		if (c->age_s < 0)
			c->age_s = delta_parse(trim(slice_of(value.ptr, member_len(value))));
	} else if (slice_caseeq(name, SLICE("date"))) {
		if (c->date_s < 0 && http_date_parse(value, &when) == 0 && when >= 0)
			c->date_s = when;
	} else if (slice_caseeq(name, SLICE("expires"))) {
		/* Whatever cannot be read, "0" above all, is a time past (5.3). */
		if (c->expires_s < 0)
			c->expires_s = http_date_parse(value, &when) == 0 ? MAX(when, 0) : 0;
	}
}

/* 4.2.1 but for s-maxage; -1: not said. */
static int64_t
lifetime_s(const struct cache_control *c, int64_t now_unix_s)
{
	if (c->max_age_s >= 0)
		return c->max_age_s;
	if (c->expires_s < 0)
		return -1;
	return MAX(c->expires_s - (c->date_s >= 0 ? c->date_s : now_unix_s), 0);
}

/* The age is what Age says and what the answer took (4.2.3). The RFC's other
 * bound, now minus Date, is left out: it needs clocks that agree, and a pod
 * whose clock runs a few minutes ahead would find everything stale and keep
 * nothing. Vary: * never matches a later request (4.1). */
static int64_t
left_ms(const struct cache_control *c, int64_t now_unix_s, int64_t took_ms)
{
	int64_t lifetime = lifetime_s(c, now_unix_s);

	if (lifetime < 0)
		return CACHE_CONTROL_UNSAID;
	return MAX((lifetime - MAX(c->age_s, 0)) * 1000 - MAX(took_ms, 0), 0);
}

/* must-understand: whoever knows the status, and we keep none but a few, passes
 * over the no-store that stands beside it (5.2.2.3). */
static bool
may_not_be_kept(const struct cache_control *c)
{
	return (c->no_store && !c->must_understand) || c->vary_any;
}

int64_t
cache_control_ttl_ms(const struct cache_control *c, int64_t now_unix_s, int64_t took_ms)
{
	return may_not_be_kept(c) || c->no_cache ? 0 : left_ms(c, now_unix_s, took_ms);
}

void
cache_control_validity(const struct cache_control *c, int64_t now_unix_s, int64_t took_ms,
    struct origin_validity *v)
{
	v->ttl_ms = cache_control_ttl_ms(c, now_unix_s, took_ms);
	v->swr_ms = c->swr_s >= 0 ? c->swr_s * 1000 : ORIGIN_TTL_UNSAID;
	v->sie_ms = c->sie_s >= 0 ? c->sie_s * 1000 : ORIGIN_TTL_UNSAID;
	v->age_ms = MAX(c->age_s, 0) * 1000 + MAX(took_ms, 0);
	v->no_store = may_not_be_kept(c);
	v->validate = c->no_cache;
	v->no_stale = c->no_cache || c->must_revalidate;
	v->vary_any = c->vary_any;
}
