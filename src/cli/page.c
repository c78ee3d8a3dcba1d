#include "config.h"

#include "cli/page.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define LINE_SIZE 1024

void
page_init(struct page *p, unsigned width, bool utf8)
{
	*p = (struct page){ .width = width, .utf8 = utf8 };
	buf_init(&p->text);
}

void
page_fini(struct page *p)
{
	buf_fini(&p->text);
	mem_free(p->lines);
	*p = (struct page){ 0 };
}

void
page_clear(struct page *p)
{
	buf_clear(&p->text);
	p->n = 0;
	p->failed = false;
}

/* Bytes of the character at s (RFC 3629), 0 where there is none. */
static size_t
character(const char *s)
{
	const unsigned char *c = (const unsigned char *)s;
	size_t n = 0;

	if (*c < 0x80)
		n = 1;
	else if (*c >= 0xc2 && *c < 0xf5)
		n = *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;
	if (*c < ' ' || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0))
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* In place, since nothing grows; answers the length, without blanks at the end. */
static size_t
clean(const struct page *p, char *line)
{
	char *to = line;
	const char *s = line;

	for (unsigned width = 0; *s != '\0' && (p->width == 0 || width < p->width); width++) {
		size_t n = character(s);

		if (n == 0 || (n > 1 && !p->utf8)) {
			*to++ = '?';
		} else {
			memmove(to, s, n);
			to += n;
		}
		s += MAX(n, 1);
	}
	while (to > line && to[-1] == ' ')
		to--;
	return (size_t)(to - line);
}

static MUST_CHECK bool
has_room(struct page *p)
{
	unsigned cap = p->cap != 0 ? 2 * p->cap : 64;
	void *more;

	if (p->n < p->cap)
		return true;
	more = mem_realloc(p->lines, cap * sizeof *p->lines);
	if (more == NULL)
		return false;
	p->lines = more;
	p->cap = cap;
	return true;
}

void
page_add(struct page *p, enum page_style style, const char *fmt, ...)
{
	char line[LINE_SIZE];
	size_t at = buf_len(&p->text), len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	len = clean(p, line);
	if (!has_room(p) || buf_append(&p->text, line, len) != 0)
		p->failed = true;
	else
		p->lines[p->n++] = (struct page_line){ at, len, style };
}

struct slice
page_text(const struct page *p, unsigned line)
{
	const struct page_line *l = &p->lines[line];

	return slice_of(buf_data(&p->text) + l->at, l->len);
}

/* --- drawings -------------------------------------------------------------------------- */

/* Where there is no Unicode. */
static const char ascii_bar[] = "#-", ascii_columns[] = " .:-=+*#";

void
page_bar(const struct page *p, double share, unsigned width, char *out)
{
	double bounded = share > 0 ? MIN(share, 1) : 0;
	unsigned full = (unsigned)(bounded * width + 0.5);

	for (unsigned i = 0; i < width; i++) {
		if (!p->utf8)
			*out++ = ascii_bar[i >= full];
		else
			out = stpcpy(out, i < full ? "\u2588" : "\u2591");
	}
	*out = '\0';
}

void
page_column(const struct page *p, double share, char *out)
{
	double bounded = share > 0 ? MIN(share, 1) : 0;
	unsigned step = (unsigned)(bounded * 7 + 0.5);

	if (!p->utf8)
		snprintf(out, 4, "%c", ascii_columns[step]);
	else /* U+2581 to U+2588 are eighths of a block */
		snprintf(out, 4, "\xe2\x96%c", 0x81 + (int)step);
}
