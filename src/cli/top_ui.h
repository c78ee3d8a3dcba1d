/* top_ui.h - what `pannier top` shows of what it knows, and what keys change in that.
 * Pure. */
#ifndef PANNIER_CLI_TOP_UI_H
#define PANNIER_CLI_TOP_UI_H

#include "cli/page.h"
#include "cli/top_sample.h"

#define TOP_FILTER_SIZE 64
#define TOP_HISTORY 120
#define TOP_INTERVAL_MIN_MS 100
#define TOP_INTERVAL_MAX_MS 3600000

enum top_pane { PANE_ALL, PANE_NAMESPACES, PANE_ORIGINS, PANE_LATENCY, PANE_KEYS,
	PANE_COMMANDS, PANES };

struct top_order {
	unsigned column; /* 0: the name */
	bool reverse;
};

struct top_ui {
	enum top_pane pane;
	struct top_order order[TOP_TABLES];
	char filter[TOP_FILTER_SIZE]; /* rows whose name has it; "": all */
	bool typing;                  /* the filter */
	bool paused, help, quit;
	int interval_ms;
	unsigned scroll;              /* lines of the body above the screen */
	double hit_rates[TOP_HISTORY], rates[TOP_HISTORY]; /* newest last; hit rate -1: none */
	unsigned n_history;
};

/* Keys beside characters. */
enum { TOP_KEY_UP = 0x1000, TOP_KEY_DOWN, TOP_KEY_PAGE_UP, TOP_KEY_PAGE_DOWN, TOP_KEY_HOME,
	TOP_KEY_END, TOP_KEY_BACKSPACE, TOP_KEY_NEXT, TOP_KEY_BACK };

void top_ui_init(struct top_ui *ui, int interval_ms);
/* page_lines: how many of the body the screen shows. */
void top_ui_key(struct top_ui *ui, int key, unsigned page_lines);
/* A difference for the two lines of history. */
void top_ui_remember(struct top_ui *ui, const struct top_sample *s);

/* Appends the lines that always stay (of s NULL only the first), then those of the pane;
 * answers how many stay. `from`: the address. */
unsigned top_view(const struct top_ui *ui, const struct top_sample *s, const char *from,
    struct page *p);
/* All of it, without panes, as text. */
void top_view_all(const struct top_ui *ui, const struct top_sample *s, const char *from,
    struct page *p);
/* One line: what keys there are, or what is being typed, or `trouble`, where it is not
 * NULL. */
void top_view_foot(const struct top_ui *ui, const char *trouble, struct page *p);

/* One object in a line; doc/operations.md has its members. */
void top_json(const struct top_sample *s, const char *from, int64_t wall_ms, FILE *to);
/* Likewise, where there is no sample. */
void top_json_trouble(const char *trouble, const char *from, int64_t wall_ms, FILE *to);

#endif
