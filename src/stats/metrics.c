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

void
metrics_printf(struct metrics *m, const char *fmt, ...)
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
		metrics_printf(m, "{");
}

static void
end_family(struct metrics *m)
{
	if (is_json(m) && m->name != NULL)
		metrics_printf(m, "]}");
}

int
metrics_end(struct metrics *m)
{
	end_family(m);
	if (is_json(m))
		metrics_printf(m, "}\n");
	else if (m->format == METRICS_OPENMETRICS)
		metrics_printf(m, "# EOF\n");
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
	m->also_label = NULL;
	if (is_json(m)) {
		metrics_printf(m, "%s\n\"" NAME_PREFIX "%s\": {\"type\": \"%s\", \"values\": [",
		    m->first_family ? "" : ",", name, types[type]);
	} else {
		const char *suffix = total ? "_total" : "";

		metrics_printf(m, "# HELP " NAME_PREFIX "%s%s %s\n", name, suffix, help);
		metrics_printf(m, "# TYPE " NAME_PREFIX "%s%s %s\n", name, suffix, types[type]);
		if (m->format == METRICS_OPENMETRICS && unit_of(name) != NULL)
			metrics_printf(m, "# UNIT " NAME_PREFIX "%s %s\n", name, unit_of(name));
	}
	m->first_family = false;
}

static bool
is_plain(char c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

/* Names come from key prefixes, which may be any bytes. What could end a label, and what
 * no reader should have to guess at, is written as \xXX. */
void
metrics_slice(struct metrics *m, struct slice text)
{
	size_t i = 0, n;

	metrics_printf(m, "\"");
	while (i < text.len) {
		for (n = 0; i + n < text.len && is_plain(text.ptr[i + n]); n++)
			;
		metrics_printf(m, "%.*s", (int)n, text.ptr + i);
		i += n;
		if (i < text.len && (text.ptr[i] == '"' || text.ptr[i] == '\\'))
			metrics_printf(m, "\\%c", text.ptr[i++]);
		else if (i < text.len)
			metrics_printf(m, "\\\\x%02x", (unsigned char)text.ptr[i++]);
	}
	metrics_printf(m, "\"");
}

void
metrics_string(struct metrics *m, const char *text)
{
	metrics_slice(m, slice_str(text));
}

void
metrics_also(struct metrics *m, const char *label, const char *text)
{
	m->also_label = label;
	m->also_text = text;
}

void
metrics_member(struct metrics *m, const char *name)
{
	end_family(m);
	m->name = NULL;
	metrics_printf(m, "%s\n\"%s\": ", m->first_family ? "" : ",", name);
	m->first_family = false;
}

/* "name{label="text"} ", or what stands before a value of JSON. le NULL: no bucket. */
static void
put_head(struct metrics *m, const char *suffix, const char *label, const char *text,
    const char *le)
{
	const char *labels[] = { label, m->also_label, le != NULL ? "le" : NULL };
	const char *texts[] = { text, m->also_text, le }, *before = "{";

	metrics_printf(m, NAME_PREFIX "%s%s", m->name, suffix);
	for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
		if (labels[i] == NULL)
			continue;
		metrics_printf(m, "%s%s=", before, labels[i]);
		metrics_string(m, texts[i]);
		before = ",";
	}
	metrics_printf(m, "%s ", *before == ',' ? "}" : "");
}

/* In JSON nothing clashes with it. */
static const char *
json_label(const char *label)
{
	return strcmp(label, METRICS_NAMESPACE) == 0 ? "namespace" : label;
}

static void
put_json_head(struct metrics *m, const char *label, const char *text)
{
	const char *labels[] = { label, m->also_label }, *texts[] = { text, m->also_text };

	metrics_printf(m, "%s{", m->first_value ? "" : ", ");
	m->first_value = false;
	for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
		if (labels[i] == NULL)
			continue;
		metrics_printf(m, "\"%s\": ", json_label(labels[i]));
		metrics_string(m, texts[i]);
		metrics_printf(m, ", ");
	}
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
		metrics_printf(m, "\"value\": %" PRId64 "}", value);
		return;
	}
	put_head(m, suffix_of(m), label, text, NULL);
	metrics_printf(m, "%" PRId64 "\n", value);
}

void
metrics_double(struct metrics *m, const char *label, const char *text, double value)
{
	if (is_json(m)) {
		put_json_head(m, label, text);
		metrics_printf(m, "\"value\": %.15g}", value);
		return;
	}
	put_head(m, suffix_of(m), label, text, NULL);
	metrics_printf(m, "%.15g\n", value);
}

static void
put_quantiles(struct metrics *m, const struct histogram_sum *h, double unit)
{
	metrics_printf(m, "\"count\": %" PRId64 ", \"sum\": %.15g, \"p50\": %.15g, \"p90\": %.15g, "
	    "\"p99\": %.15g, \"p999\": %.15g, \"max\": %.15g", h->count, (double)h->sum * unit,
	    (double)histogram_quantile(h, 0.5) * unit, (double)histogram_quantile(h, 0.9) * unit,
	    (double)histogram_quantile(h, 0.99) * unit,
	    (double)histogram_quantile(h, 0.999) * unit, (double)histogram_max(h) * unit);
}

/* What no percentile can do: who keeps an earlier answer subtracts it, and has the
 * histogram of the time between. */
static void
put_steps(struct metrics *m, const struct histogram_sum *h, double unit)
{
	struct histogram_step steps[HISTOGRAM_STEPS];
	unsigned n = histogram_steps(h, steps);

	metrics_printf(m, ", \"buckets\": [");
	for (unsigned i = 0; i < n; i++)
		metrics_printf(m, "%s[%.6g, %.6g, %" PRIu64 "]", i == 0 ? "" : ", ",
		    (double)steps[i].from * unit, (double)steps[i].below * unit, steps[i].n);
	metrics_printf(m, "]}");
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
		put_steps(m, h, unit);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
		snprintf(le, sizeof le, "%g", bounds[i]);
		put_head(m, "_bucket", label, text, le);
		metrics_printf(m, "%" PRIu64 "\n",
		    histogram_at_most(h, (int64_t)(bounds[i] / unit + 0.5)));
	}
	put_head(m, "_bucket", label, text, "+Inf");
	metrics_printf(m, "%" PRIu64 "\n", all);
	put_head(m, "_sum", label, text, NULL);
	metrics_printf(m, "%.15g\n", (double)h->sum * unit);
	put_head(m, "_count", label, text, NULL);
	metrics_printf(m, "%" PRIu64 "\n", all);
}
