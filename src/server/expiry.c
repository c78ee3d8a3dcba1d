#include "config.h"

#include "server/expiry.h"

#include "base/parse.h"

/* Times may be as far off as 64 bits reach, so the difference is taken only
 * where it cannot overflow. */
static int64_t
mono_of_absolute(const struct call *c, int64_t unix_ms)
{
	int64_t unix_now = unix_of_mono_ms(c->now_ms);

	return unix_ms <= unix_now ? c->now_ms : c->now_ms + (unix_ms - unix_now);
}

/* Only what is some hundred million years off needs the clock to see that it
 * is too far. */
static bool
relative_overflows(const struct call *c, int64_t ms)
{
	return ms > INT64_MAX / 2 && ms > INT64_MAX - unix_of_mono_ms(c->now_ms);
}

/* The limits are Redis's, which keeps Unix time in milliseconds. */
enum expiry_status
expiry_parse(const struct call *c, struct slice text, unsigned form, int64_t *expires_ms)
{
	int64_t n;

	if (parse_i64(text, &n) != 0)
		return EXPIRY_NOT_INTEGER;
	if (n <= 0 && !(form & EXPIRY_SIGNED))
		return EXPIRY_OUT_OF_RANGE;
	if ((form & EXPIRY_SECONDS) && __builtin_mul_overflow(n, 1000, &n))
		return EXPIRY_OUT_OF_RANGE;
	if (form & EXPIRY_ABSOLUTE) {
		*expires_ms = mono_of_absolute(c, n);
		return EXPIRY_GOOD;
	}
	if (relative_overflows(c, n))
		return EXPIRY_OUT_OF_RANGE;
	*expires_ms = c->now_ms + MAX(n, 0);
	return EXPIRY_GOOD;
}

void
expiry_refuse(struct call *c, enum expiry_status why)
{
	if (why == EXPIRY_NOT_INTEGER)
		call_not_integer(c);
	else
		call_invalid_expire(c);
}
