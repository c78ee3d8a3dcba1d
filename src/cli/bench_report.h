/* bench_report.h - a run's result, for people and for programs. */
#ifndef PANNIER_CLI_BENCH_REPORT_H
#define PANNIER_CLI_BENCH_REPORT_H

#include <stdio.h>

#include "cli/bench_run.h"

void bench_report_text(FILE *to, const struct bench_opts *o, const struct bench_result *r);
/* One object. Latency in microseconds; "curve" holds [share, latency] pairs,
 * denser towards 1, as HdrHistogram prints them. */
void bench_report_json(FILE *to, const struct bench_opts *o, const struct bench_result *r);
/* A line of progress. */
void bench_report_moment(FILE *to, const struct bench_moment *m);

#endif
