/* table.h - text in aligned columns, the first to the left, the others to the
 * right. What does not fit into a cell is cut. */
#ifndef PANNIER_CLI_TABLE_H
#define PANNIER_CLI_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/util.h"

#define TABLE_COLUMNS 16
#define TABLE_CELL 72
#define TABLE_ROW 2048 /* bytes, for any row */

struct table {
	char (*cells)[TABLE_CELL]; /* owned */
	unsigned columns;
	unsigned n, cap;           /* cells */
	bool failed;               /* no memory for some */
};

void table_init(struct table *t, unsigned columns);
void table_fini(struct table *t);
/* The next cell, row by row. */
void table_add(struct table *t, const char *fmt, ...) PRINTF(2, 3);
void table_print(const struct table *t, FILE *to);

/* Of as many columns, from the left, as fit into `width` characters (0: all, and at least
 * one). */
struct table_layout {
	unsigned columns;
	int widths[TABLE_COLUMNS];
};
struct table_layout table_lay_out(const struct table *t, unsigned width);
unsigned table_rows(const struct table *t);
/* A row as text, cut where it does not fit. */
void table_row(const struct table *t, const struct table_layout *l, unsigned row, char *out,
    size_t size);

#endif
