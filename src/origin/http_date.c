#include "config.h"

#include "origin/http_date.h"

#include <errno.h>
#include <stdbool.h>

struct date {
	int year, month, day, hour, minute, second; /* month: 1 to 12 */
};

/* Days since 1970-01-01 in the proleptic Gregorian calendar, counted in eras
 * of 400 years that begin on 1 March (Howard Hinnant, "chrono-Compatible
 * Low-Level Date Algorithms"). timegm() is no standard and reads the zone. */
static int64_t
days_of(const struct date *d)
{
	int64_t y = d->year - (d->month <= 2);
	int64_t era = y / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (d->month + (d->month > 2 ? -3 : 9)) + 2) / 5 + d->day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	    day_of_year - 719468;
}

static int
days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* A second of 60 is a leap second. */
static int
date_seconds(const struct date *d, int64_t *out)
{
	if (d->day < 1 || d->day > days_in_month(d->year, d->month) || d->hour > 23 ||
	    d->minute > 59 || d->second > 60)
		return -EINVAL;
	*out = days_of(d) * 86400 + d->hour * 3600 + d->minute * 60 + d->second;
	return 0;
}

static bool
take_text(struct slice *s, struct slice text)
{
	if (!slice_has_prefix(*s, text))
		return false;
	*s = slice_skip(*s, text.len);
	return true;
}

/* Exactly n digits; with `padded`, a blank may stand for a leading zero. */
static bool
take_number(struct slice *s, size_t n, bool padded, int *out)
{
	int v = 0;

	if (s->len < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = padded && i == 0 && s->ptr[0] == ' ' ? '0' : s->ptr[i];

		if (c < '0' || c > '9')
			return false;
		v = v * 10 + (c - '0');
	}
	*s = slice_skip(*s, n);
	*out = v;
	return true;
}

static bool
take_month(struct slice *s, int *out)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int m = 0; m < 12; m++) {
		if (take_text(s, slice_of(names + m * 3, 3))) {
			*out = m + 1;
			return true;
		}
	}
	return false;
}

static bool
take_time(struct slice *s, struct date *d)
{
	return take_number(s, 2, false, &d->hour) && take_text(s, SLICE(":")) &&
	    take_number(s, 2, false, &d->minute) && take_text(s, SLICE(":")) &&
	    take_number(s, 2, false, &d->second);
}

/* Behind the name of the day: "06 Nov 1994 08:49:37 GMT". */
static bool
take_imf(struct slice s, struct date *d)
{
	return take_number(&s, 2, false, &d->day) && take_text(&s, SLICE(" ")) &&
	    take_month(&s, &d->month) && take_text(&s, SLICE(" ")) &&
	    take_number(&s, 4, false, &d->year) && take_text(&s, SLICE(" ")) &&
	    take_time(&s, d) && slice_eq(s, SLICE(" GMT"));
}

/* "06-Nov-94 08:49:37 GMT" */
static bool
take_rfc850(struct slice s, struct date *d)
{
	if (!take_number(&s, 2, false, &d->day) || !take_text(&s, SLICE("-")) ||
	    !take_month(&s, &d->month) || !take_text(&s, SLICE("-")) ||
	    !take_number(&s, 2, false, &d->year))
		return false;
	d->year += d->year < 70 ? 2000 : 1900;
	return take_text(&s, SLICE(" ")) && take_time(&s, d) && slice_eq(s, SLICE(" GMT"));
}

/* "Nov  6 08:49:37 1994" */
static bool
take_asctime(struct slice s, struct date *d)
{
	return take_month(&s, &d->month) && take_text(&s, SLICE(" ")) &&
	    take_number(&s, 2, true, &d->day) && take_text(&s, SLICE(" ")) && take_time(&s, d) &&
	    take_text(&s, SLICE(" ")) && take_number(&s, 4, false, &d->year) && s.len == 0;
}

/* The name of the day is passed over: nothing depends on it. */
int
http_date_parse(struct slice s, int64_t *out)
{
	struct date d;
	size_t name = 0;

	while (name < s.len && ((s.ptr[name] | 32) >= 'a' && (s.ptr[name] | 32) <= 'z'))
		name++;
	if (name < 3)
		return -EINVAL;
	s = slice_skip(s, name);
	if (take_text(&s, SLICE(", "))) {
		if (!take_imf(s, &d) && !take_rfc850(s, &d))
			return -EINVAL;
	} else if (!take_text(&s, SLICE(" ")) || !take_asctime(s, &d)) {
		return -EINVAL;
	}
	return date_seconds(&d, out);
}
