/* top_rows.h - the tables of `pannier top`: what their columns show, and in which order
 * their rows stand. Pure. */
#ifndef PANNIER_CLI_TOP_ROWS_H
#define PANNIER_CLI_TOP_ROWS_H

#include "cli/top_ui.h"

/* Columns that are shown, the name's included. */
unsigned top_shown_columns(enum top_table_id table);
/* The table's rows that the filter lets through, in their order, with a line of titles,
 * as lines of the page. */
void top_rows(const struct top_ui *ui, const struct top_sample *s, enum top_table_id table,
    struct page *p);
/* Keys that are read much, `most` at the most, likewise; they stay in their order. */
void top_key_rows(const struct top_ui *ui, const struct top_sample *s, unsigned most,
    struct page *p);
/* "1.2k": at most five characters up to a million. */
const char *top_number(double n, char *out, size_t size);
/* "850us", "1.2ms" */
const char *top_micros(double us, char *out, size_t size);

#endif
