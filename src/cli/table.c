#include "config.h"

#include "cli/table.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "base/mem.h"

void
table_init(struct table *t, unsigned columns)
{
	assert(columns <= TABLE_COLUMNS);
	*t = (struct table){ .columns = columns };
}

void
table_fini(struct table *t)
{
	mem_free(t->cells);
	*t = (struct table){ 0 };
}

void
table_add(struct table *t, const char *fmt, ...)
{
	va_list ap;

	if (t->n == t->cap) {
		unsigned cap = t->cap != 0 ? 2 * t->cap : 8 * t->columns;
		void *more = mem_realloc(t->cells, cap * sizeof *t->cells);

		t->failed |= more == NULL;
		if (more == NULL)
			return;
		t->cells = more;
		t->cap = cap;
	}
	va_start(ap, fmt);
	vsnprintf(t->cells[t->n++], TABLE_CELL, fmt, ap);
	va_end(ap);
}

/* Characters, not bytes, so that names in UTF-8 stay aligned. */
static int
width(const char *s)
{
	int n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void
table_print(const struct table *t, FILE *to)
{
	int widths[TABLE_COLUMNS] = { 0 };

	for (unsigned i = 0; i < t->n; i++)
		widths[i % t->columns] = MAX(widths[i % t->columns], width(t->cells[i]));
	for (unsigned i = 0; i < t->n; i++) {
		int pad = widths[i % t->columns] - width(t->cells[i]);

		if (i % t->columns == 0)
			fprintf(to, "%s%*s", t->cells[i], t->columns > 1 ? pad : 0, "");
		else
			fprintf(to, "  %*s%s", pad, "", t->cells[i]);
		if (i % t->columns == t->columns - 1)
			fputc('\n', to);
	}
}
