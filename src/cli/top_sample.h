/* top_sample.h - what `pannier top` knows of a daemon at one moment (top.def), and what
 * changed between two. Pure: the texts come from top_feed.h. */
#ifndef PANNIER_CLI_TOP_SAMPLE_H
#define PANNIER_CLI_TOP_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/util.h"

#define TOP_COLUMNS 32
#define TOP_BUCKETS 40    /* of latency: bucket i ends at top_bucket_us(i) */
#define TOP_STATE_SIZE 12 /* "half-open" */

/* Columns of rows: TOTAL_hits, NS_hits, ORIGIN_requests, COMMAND_calls ... */
#define TOTAL(id, kind, section, field) TOTAL_##id,
enum {
#include "cli/top.def"
	TOTAL_COLUMNS
};
#undef TOTAL
#define NS(id, kind) NS_##id,
enum {
#include "cli/top.def"
	NS_COLUMNS
};
#undef NS
#define ORIGIN(id, kind) ORIGIN_##id,
enum {
#include "cli/top.def"
	ORIGIN_COLUMNS
};
#undef ORIGIN
#define COMMAND(id, kind) COMMAND_##id,
enum {
#include "cli/top.def"
	COMMAND_COLUMNS
};
#undef COMMAND

enum top_kind { COUNTER, GAUGE };

struct top_column {
	const char *name;
	enum top_kind kind;
	const char *section, *field; /* of totals */
};

struct top_row {
	char *name;                 /* owned; as it is, any bytes but NUL; NULL: of totals */
	char state[TOP_STATE_SIZE]; /* of an origin: its breaker, "" where it has none */
	int64_t n[TOP_COLUMNS];
};

enum top_table_id { TOP_NAMESPACES, TOP_ORIGINS, TOP_COMMANDS, TOP_TABLES };

struct top_table {
	struct top_row *rows; /* owned */
	unsigned n;
};

/* What each table's rows have. TOP_TABLES: the totals. */
const struct top_column *top_columns(unsigned table, unsigned *n);
/* "namespaces" */
const char *top_table_name(unsigned table);

/* A key that is read much, as PANNIER.HOTKEYS tells of it. */
struct top_key {
	struct slice key, namespace;
	double reads_per_second, error, share;
};

/* As it is: counters since the daemon began to count. As a difference: counters of the
 * interval, gauges at its end. */
struct top_sample {
	int64_t time_us;         /* monotonic, when it was asked for */
	double seconds;          /* of a difference; of a sample how long the daemon is up */
	bool since_start;        /* it is no difference */
	bool restarted;          /* in this interval the daemon was another one, or counted anew */
	char version[24], run_id[48];
	struct top_row totals;
	struct top_table tables[TOP_TABLES];
	char *hot_keys; /* owned: the reply, for top_next_key(); NULL: it was refused */
	size_t hot_keys_len;
	bool has_latency;
	int64_t latency[TOP_BUCKETS]; /* calls that took so long, and longer than the last */
};

/* INFO's text. 0 or -ENOMEM; *out must be freed in both cases. */
int top_sample_read(struct slice info, int64_t now_us, struct top_sample *out) MUST_CHECK;
/* Adds what LATENCY HISTOGRAM replied, in RESP2; another reply is none. */
void top_sample_latency(struct top_sample *s, struct slice reply);
/* Likewise PANNIER.HOTKEYS. 0 or -ENOMEM. */
int top_sample_hot_keys(struct top_sample *s, struct slice reply) MUST_CHECK;
void top_sample_fini(struct top_sample *s);
/* What happened between two samples. A counter that went down began anew: all of it is
 * new. Names that are in `to` alone too. before NULL: since the start. 0 or -ENOMEM; *out
 * must be freed in both cases. */
int top_sample_diff(const struct top_sample *before, const struct top_sample *to,
    struct top_sample *out) MUST_CHECK;

/* The keys, hottest first: the next one, borrowed from s; false: there is none. *pos is 0
 * at first. */
bool top_next_key(const struct top_sample *s, size_t *pos, struct top_key *out);
/* How long the calls of a bucket took at most: as Redis has it. */
int64_t top_bucket_us(unsigned bucket);
/* The bucket's that a share q (0 to 1) of all calls is not above; 0: there were none. */
int64_t top_latency_us(const struct top_sample *s, double q);
/* Of a difference. */
double top_rate(const struct top_sample *s, int64_t n);

#endif
