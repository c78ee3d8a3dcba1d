#include "config.h"

#include "base/parse.h"

#include <errno.h>
#include <stdio.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit byte_units[] = {
	{ "GiB", 1ull << 30 }, { "MiB", 1ull << 20 }, { "KiB", 1ull << 10 }, { "B", 1 },
	{ "gb", 1ull << 30 }, { "mb", 1ull << 20 }, { "kb", 1ull << 10 },
	{ "g", 1000000000 }, { "m", 1000000 }, { "k", 1000 },
};

static const struct unit time_units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};

int
parse_u64(struct slice s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.len == 0 || (s.len > 1 && s.ptr[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		unsigned d = (unsigned char)s.ptr[i] - (unsigned)'0';

		if (d > 9)
			return -EINVAL;
		if (v > (UINT64_MAX - d) / 10)
			return -ERANGE;
		v = v * 10 + d;
	}
	*out = v;
	return 0;
}

int
parse_i64(struct slice s, int64_t *out)
{
	uint64_t v;
	bool negative = s.len > 1 && s.ptr[0] == '-';
	int rc = parse_u64(negative ? slice_skip(s, 1) : s, &v);

	if (rc != 0)
		return rc;
	if (negative && v == 0)
		return -EINVAL; /* "-0" */
	if (v > (uint64_t)INT64_MAX + negative)
		return -ERANGE;
	*out = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

static int
parse_with_unit(struct slice s, const struct unit *units, size_t n, uint64_t max, uint64_t *out)
{
	size_t digits = 0;
	uint64_t v;
	int rc;

	while (digits < s.len && s.ptr[digits] >= '0' && s.ptr[digits] <= '9')
		digits++;
	rc = parse_u64(slice_of(s.ptr, digits), &v);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		if (!slice_caseeq(slice_skip(s, digits), slice_str(units[i].name)))
			continue;
		if (v > max / units[i].factor)
			return -ERANGE;
		*out = v * units[i].factor;
		return 0;
	}
	return -EINVAL;
}

int
parse_bytes(struct slice s, uint64_t *out)
{
	if (parse_u64(s, out) == 0)
		return 0;
	return parse_with_unit(s, byte_units, ARRAY_LEN(byte_units), UINT64_MAX, out);
}

int
parse_duration_ms(struct slice s, int64_t *out)
{
	uint64_t v;
	int rc;

	if (slice_eq(s, SLICE("0"))) {
		*out = 0;
		return 0;
	}
	rc = parse_with_unit(s, time_units, ARRAY_LEN(time_units), INT64_MAX, &v);
	if (rc == 0)
		*out = (int64_t)v;
	return rc;
}

static size_t
format_with_unit(char *out, uint64_t v, const struct unit *units, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v != 0 && v % units[i].factor == 0)
			return (size_t)snprintf(out, FORMAT_MAX, "%llu%s",
			    (unsigned long long)(v / units[i].factor), units[i].name);
	return (size_t)snprintf(out, FORMAT_MAX, "0");
}

size_t
format_bytes(char *out, uint64_t bytes)
{
	if (bytes % 1024 != 0)
		return (size_t)snprintf(out, FORMAT_MAX, "%llu", (unsigned long long)bytes);
	return format_with_unit(out, bytes, byte_units, 3);
}

size_t
format_duration_ms(char *out, int64_t ms)
{
	return format_with_unit(out, (uint64_t)ms, time_units, ARRAY_LEN(time_units));
}

size_t
format_u64(char *out, uint64_t value)
{
	char digits[20];
	size_t n = 0, len;

	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	for (len = 0; n > 0; len++)
		out[len] = digits[--n];
	return len;
}

size_t
format_i64(char *out, int64_t value)
{
	if (value >= 0)
		return format_u64(out, (uint64_t)value);
	out[0] = '-';
	return 1 + format_u64(out + 1, 0 - (uint64_t)value);
}
