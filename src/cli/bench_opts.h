/* bench_opts.h - what `pannier bench` was asked to do (bench.def). */
#ifndef PANNIER_CLI_BENCH_OPTS_H
#define PANNIER_CLI_BENCH_OPTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/slice.h"
#include "base/util.h"

#define BENCH_REQUESTS_DEFAULT 100000
#define BENCH_VALUE_MAX (512u << 20)

/* The order of the words in bench.def. */
enum bench_protocol { BENCH_RESP, BENCH_MEMCACHE, BENCH_BINARY };
enum bench_arrivals { BENCH_EVEN, BENCH_POISSON };

enum bench_sizes_kind { BENCH_FIXED, BENCH_SIZES_UNIFORM, BENCH_LOGUNIFORM };

struct bench_sizes {
	enum bench_sizes_kind kind;
	uint64_t min, max; /* both may be drawn */
};

struct bench_span {
	int64_t min_ms, max_ms;
};

struct bench_ratio {
	uint32_t get, set;
};

#define BENCH_FIELD_TEXT const char *
#define BENCH_FIELD_COUNT uint64_t
#define BENCH_FIELD_REAL double
#define BENCH_FIELD_FLAG bool
#define BENCH_FIELD_CHOICE int
#define BENCH_FIELD_SIZES struct bench_sizes
#define BENCH_FIELD_SPAN struct bench_span
#define BENCH_FIELD_RATIO struct bench_ratio

/* Texts point into argv. In the order of the table:
 * NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct bench_opts {
#define OPTION(name, long_name, letter, kind, arg, def, help) BENCH_FIELD_##kind name;
#include "cli/bench.def"
#undef OPTION
};

enum bench_parsed {
	BENCH_PARSED,
	BENCH_HELP,  /* --help was asked for: print bench_opts_help() */
	BENCH_WRONG, /* err says what */
};

enum bench_parsed bench_opts_parse(int argc, char **argv, struct bench_opts *out, char *err,
    size_t err_size) MUST_CHECK;
void bench_opts_help(FILE *to);

/* The pieces, for tests: 0, -EINVAL or -ERANGE. */
int bench_sizes_parse(struct slice s, struct bench_sizes *out) MUST_CHECK;
int bench_span_parse(struct slice s, struct bench_span *out) MUST_CHECK;
int bench_ratio_parse(struct slice s, struct bench_ratio *out) MUST_CHECK;

#endif
