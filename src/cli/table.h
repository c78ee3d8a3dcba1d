/* table.h - text in aligned columns, the first to the left, the others to the
 * right. What does not fit into a cell is cut. */
#ifndef PANNIER_CLI_TABLE_H
#define PANNIER_CLI_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/util.h"

#define TABLE_COLUMNS 16
#define TABLE_CELL 72

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

#endif
