#include "config.h"

#include "cli/table.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "base/mem.h"
#include "config/text.h"

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
text_width(const char *s)
{
	int n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

struct table_layout
table_lay_out(const struct table *t, unsigned width)
{
	struct table_layout l = { .columns = t->columns };
	int sum = 0;

	for (unsigned i = 0; i < t->n; i++)
		l.widths[i % t->columns] = MAX(l.widths[i % t->columns], text_width(t->cells[i]));
	for (unsigned i = 0; i < t->columns; i++) {
		sum += l.widths[i] + (i != 0 ? 2 : 0);
		if (width != 0 && i != 0 && sum > (int)width) {
			l.columns = i;
			break;
		}
	}
	return l;
}

unsigned
table_rows(const struct table *t)
{
	return t->n / t->columns;
}

void
table_row(const struct table *t, const struct table_layout *l, unsigned row, char *out,
    size_t size)
{
	struct text line = text_in(out, size);

	for (unsigned i = 0; i < l->columns; i++) {
		const char *cell = t->cells[row * t->columns + i];
		int pad = l->widths[i] - text_width(cell);

		if (i == 0)
			text_add(&line, "%s%*s", cell, t->columns > 1 ? pad : 0, "");
		else
			text_add(&line, "  %*s%s", pad, "", cell);
	}
}

void
table_print(const struct table *t, FILE *to)
{
	struct table_layout l = table_lay_out(t, 0);
	char line[TABLE_ROW];

	for (unsigned i = 0; i < table_rows(t); i++) {
		table_row(t, &l, i, line, sizeof line);
		fprintf(to, "%s\n", line);
	}
}
