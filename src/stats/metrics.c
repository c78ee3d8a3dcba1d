#include "config.h"

#include "stats/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_PREFIX "pannier_"

/* Upper bounds of buckets, in seconds: from a hit to an origin that hangs. */
static const double bounds[] = { 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3,
	2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 };

static PRINTF(2, 3) void
put(struct metrics *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (buf_vprintf(&m->text, fmt, ap) != 0)
		m->failed = true;
	va_end(ap);
}

static bool
is_json(const struct metrics *m)
{
	return m->format == METRICS_JSON;
}

void
metrics_begin(struct metrics *m, enum metrics_format format)
{
	*m = (struct metrics){ .format = format, .first_family = true };
	buf_init(&m->text);
	if (is_json(m))
		put(m, "{");
}

static void
end_family(struct metrics *m)
{
	if (is_json(m) && m->name != NULL)
		put(m, "]}");
}

int
metrics_end(struct metrics *m)
{
	end_family(m);
	if (is_json(m))
		put(m, "}\n");
	else if (m->format == METRICS_OPENMETRICS)
		put(m, "# EOF\n");
	return m->failed ? -ENOMEM : 0;
}

const char *
metrics_content_type(enum metrics_format format)
{
	switch (format) {
	case METRICS_OPENMETRICS:
		return "application/openmetrics-text; version=1.0.0; charset=utf-8";
	case METRICS_JSON:
		return "application/json";
	default:
		return "text/plain; version=0.0.4; charset=utf-8";
	}
}

/* Seconds and bytes are what OpenMetrics wants told. */
static const char *
unit_of(const char *name)
{
	size_t len = strlen(name);

	if (len > 8 && strcmp(name + len - 8, "_seconds") == 0)
		return "seconds";
	return len > 6 && strcmp(name + len - 6, "_bytes") == 0 ? "bytes" : NULL;
}

/* In the older format a counter's family has the name of its values. */
void
metrics_family(struct metrics *m, const char *name, enum metric_type type, const char *help)
{
	static const char *const types[] = { "gauge", "counter", "histogram" };
	bool total = type == METRIC_COUNTER && m->format == METRICS_PROMETHEUS;

	end_family(m);
	m->name = name;
	m->type = type;
	m->first_value = true;
	if (is_json(m)) {
		put(m, "%s\n\"" NAME_PREFIX "%s\": {\"type\": \"%s\", \"values\": [",
		    m->first_family ? "" : ",", name, types[type]);
	} else {
		put(m, "# HELP " NAME_PREFIX "%s%s %s\n", name, total ? "_total" : "", help);
		put(m, "# TYPE " NAME_PREFIX "%s%s %s\n", name, total ? "_total" : "", types[type]);
		if (m->format == METRICS_OPENMETRICS && unit_of(name) != NULL)
			put(m, "# UNIT " NAME_PREFIX "%s %s\n", name, unit_of(name));
	}
	m->first_family = false;
}

/* Names come from key prefixes, which may be any bytes. What could end a label, and what
 * no reader should have to guess at, is written as \xXX. */
static void
put_text(struct metrics *m, const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			put(m, "\\%c", c);
		else if (c >= ' ' && c < 0x7f)
			put(m, "%c", c);
		else
			put(m, "\\\\x%02x", c);
	}
}

/* "name{label="text"} ", or what stands before a value of JSON. le NULL: no bucket. */
static void
put_head(struct metrics *m, const char *suffix, const char *label, const char *text,
    const char *le)
{
	put(m, NAME_PREFIX "%s%s", m->name, suffix);
	if (label == NULL && le == NULL) {
		put(m, " ");
		return;
	}
	put(m, "{");
	if (label != NULL) {
		put(m, "%s=\"", label);
		put_text(m, text);
		put(m, "\"%s", le != NULL ? "," : "");
	}
	if (le != NULL)
		put(m, "le=\"%s\"", le);
	put(m, "} ");
}

static void
put_json_head(struct metrics *m, const char *label, const char *text)
{
	put(m, "%s{", m->first_value ? "" : ", ");
	m->first_value = false;
	if (label == NULL)
		return;
	put(m, "\"%s\": \"", label);
	put_text(m, text);
	put(m, "\", ");
}

static const char *
suffix_of(const struct metrics *m)
{
	return m->type == METRIC_COUNTER ? "_total" : "";
}

void
metrics_int(struct metrics *m, const char *label, const char *text, int64_t value)
{
	if (is_json(m)) {
		put_json_head(m, label, text);
		put(m, "\"value\": %" PRId64 "}", value);
		return;
	}
	put_head(m, suffix_of(m), label, text, NULL);
	put(m, "%" PRId64 "\n", value);
}

void
metrics_double(struct metrics *m, const char *label, const char *text, double value)
{
	if (is_json(m)) {
		put_json_head(m, label, text);
		put(m, "\"value\": %.15g}", value);
		return;
	}
	put_head(m, suffix_of(m), label, text, NULL);
	put(m, "%.15g\n", value);
}

static void
put_quantiles(struct metrics *m, const struct histogram_sum *h, double unit)
{
	put(m, "\"count\": %" PRId64 ", \"sum\": %.15g, \"p50\": %.15g, \"p90\": %.15g, "
	    "\"p99\": %.15g, \"p999\": %.15g, \"max\": %.15g}", h->count, (double)h->sum * unit,
	    (double)histogram_quantile(h, 0.5) * unit, (double)histogram_quantile(h, 0.9) * unit,
	    (double)histogram_quantile(h, 0.99) * unit,
	    (double)histogram_quantile(h, 0.999) * unit, (double)histogram_max(h) * unit);
}

/* The count is that of the last bucket, so that the two agree whatever is added
 * meanwhile. */
void
metrics_histogram(struct metrics *m, const char *label, const char *text,
    const struct histogram_sum *h, double unit)
{
	uint64_t all = histogram_at_most(h, INT64_MAX);
	char le[32];

	if (is_json(m)) {
		put_json_head(m, label, text);
		put_quantiles(m, h, unit);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
		snprintf(le, sizeof le, "%g", bounds[i]);
		put_head(m, "_bucket", label, text, le);
		put(m, "%" PRIu64 "\n", histogram_at_most(h, (int64_t)(bounds[i] / unit + 0.5)));
	}
	put_head(m, "_bucket", label, text, "+Inf");
	put(m, "%" PRIu64 "\n", all);
	put_head(m, "_sum", label, text, NULL);
	put(m, "%.15g\n", (double)h->sum * unit);
	put_head(m, "_count", label, text, NULL);
	put(m, "%" PRIu64 "\n", all);
}
