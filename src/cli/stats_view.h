/* stats_view.h - INFO as a page for people. */
#ifndef PANNIER_CLI_STATS_VIEW_H
#define PANNIER_CLI_STATS_VIEW_H

#include <stdio.h>

#include "cli/info_doc.h"

/* 0 or -ENOMEM. `from`: the daemon's address. */
int stats_view(const struct info_doc *d, const char *from, FILE *to) MUST_CHECK;

/* "3d 4h", "12m 5s"; "48.2MiB"; "1,234,567": out has VIEW_TEXT bytes. */
#define VIEW_TEXT 40
const char *view_age(int64_t seconds, char *out);
const char *view_bytes(int64_t bytes, char *out);
const char *view_count(int64_t n, char *out);
/* "93.1 %", or "-" of nothing. */
const char *view_share(int64_t part, int64_t whole, char *out);
/* "0.85 ms", "1.20 s" */
const char *view_us(int64_t us, char *out);

#endif
