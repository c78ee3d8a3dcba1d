/* metrics.h - metrics as text: the Prometheus text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/), OpenMetrics 1.0.0
 * (https://prometheus.io/docs/specs/om/open_metrics_spec/), or JSON.
 *
 * Families are written one after the other, each with all of its values. Names are
 * without "pannier_" and, of counters, without "_total". Pure; one thread at a
 * time. Running out of memory is noted, and told at the end. */
#ifndef PANNIER_STATS_METRICS_H
#define PANNIER_STATS_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/util.h"
#include "stats/histogram.h"

/* The label of a namespace. In Kubernetes `namespace`, `pod`, `container` and others are
 * those of the target: Prometheus would rename ours. In JSON it is "namespace". */
#define METRICS_NAMESPACE "ns"

enum metrics_format { METRICS_PROMETHEUS, METRICS_OPENMETRICS, METRICS_JSON };
enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_HISTOGRAM };

struct metrics {
	struct buf text;
	enum metrics_format format;
	bool failed; /* no memory for some line */
	/* The family that is being written: */
	const char *name;
	enum metric_type type;
	bool first_family, first_value;
	const char *also_label, *also_text;
};

void metrics_begin(struct metrics *m, enum metrics_format format);
/* 0 with all of it in m->text, or -ENOMEM. The caller owes buf_fini() either way. */
int metrics_end(struct metrics *m) MUST_CHECK;
/* The Content-Type of a format. */
const char *metrics_content_type(enum metrics_format format);

/* `name` must end in its unit, "_bytes" or "_seconds", where it has one. */
void metrics_family(struct metrics *m, const char *name, enum metric_type type, const char *help);
/* A second label of the values that follow, until there is another or the family ends;
 * borrowed as long. */
void metrics_also(struct metrics *m, const char *label, const char *text);
/* A value of that family. label NULL: it has none; the text of a label may be any
 * bytes: what is no UTF-8 and no printable character is written as \xXX. */
void metrics_int(struct metrics *m, const char *label, const char *text, int64_t value);
void metrics_double(struct metrics *m, const char *label, const char *text, double value);
/* Of METRIC_HISTOGRAM; its values are of `unit` seconds each (1e-6: microseconds). */
void metrics_histogram(struct metrics *m, const char *label, const char *text,
    const struct histogram_sum *h, double unit);

/* JSON alone: a member beside the families, whose value is written by these. */
void metrics_member(struct metrics *m, const char *name);
void metrics_printf(struct metrics *m, const char *fmt, ...) PRINTF(2, 3);
/* With quotes; as the text of a label. */
void metrics_string(struct metrics *m, const char *text);
void metrics_slice(struct metrics *m, struct slice text);

#endif
