/* page.h - lines of text with a style each, at most so wide: what a terminal shows and
 * a file gets. Text is UTF-8; what is not, and control characters, become '?', so that no
 * name of a key can speak to the terminal. One thread. */
#ifndef PANNIER_CLI_PAGE_H
#define PANNIER_CLI_PAGE_H

#include <stdbool.h>

#include "base/buf.h"
#include "cli/table.h"

enum page_style { PAGE_PLAIN, PAGE_TITLE, PAGE_HEAD, PAGE_DIM, PAGE_GOOD, PAGE_WARN, PAGE_ALARM };

struct page_line {
	size_t at, len; /* in text */
	enum page_style style;
};

struct page {
	unsigned width; /* characters; 0: any */
	bool utf8;      /* else other characters than ASCII's become '?' */
	bool failed;    /* no memory for some */
	struct buf text;
	struct page_line *lines; /* owned */
	unsigned n, cap;
};

void page_init(struct page *p, unsigned width, bool utf8);
void page_fini(struct page *p);
/* Without its lines; keeps the memory. */
void page_clear(struct page *p);

void page_add(struct page *p, enum page_style style, const char *fmt, ...) PRINTF(3, 4);
struct slice page_text(const struct page *p, unsigned line);

/* A bar for a share of 0 to 1, `width` characters: `out` has 3 * width + 1 bytes. */
void page_bar(const struct page *p, double share, unsigned width, char *out);
/* A column of 0 to 1 in one character; likewise 4 bytes. */
void page_column(const struct page *p, double share, char *out);

#endif
