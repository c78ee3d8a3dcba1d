#include "config.h"

#include "cli/top_screen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/curses_api.h"
#include "cli/top_ui.h"

struct top_screen {
	const struct curses_api *api;
	SCREEN *screen;
	WINDOW *window; /* all of it */
	bool colours;
};

/* By enum page_style: what monochrome terminals show, and a colour (0: the usual one). */
static const struct {
	attr_t attributes;
	short colour;
} styles[] = {
	[PAGE_TITLE] = { WA_BOLD, 0 },
	[PAGE_HEAD] = { WA_REVERSE, 0 },
	[PAGE_DIM] = { WA_DIM, 0 },
	[PAGE_GOOD] = { WA_NORMAL, COLOR_GREEN },
	[PAGE_WARN] = { WA_BOLD, COLOR_YELLOW },
	[PAGE_ALARM] = { WA_BOLD, COLOR_RED },
};

/* A pair for each style, by its number. */
static void
set_colours(struct top_screen *s)
{
	s->colours = s->api->has_colors() && s->api->start_color() == OK;
	if (s->colours && s->api->use_default_colors() != OK)
		s->colours = false;
	for (unsigned i = 0; s->colours && i < ARRAY_LEN(styles); i++)
		if (styles[i].colour != 0)
			s->api->init_pair((short)i, styles[i].colour, -1);
}

/* newterm() of one that is not leaves memory behind. */
static bool
is_known(const struct curses_api *api)
{
	int found;

	if (api->setupterm(NULL, STDOUT_FILENO, &found) != OK)
		return false;
	api->del_curterm(api->set_curterm(NULL));
	return true;
}

int
top_screen_open(bool colours, struct top_screen **out, char *err, size_t err_size)
{
	const struct curses_api *api = curses_api_get(err, err_size);
	struct top_screen *s = mem_zalloc(sizeof *s);
	const char *term = getenv("TERM");

	if (api == NULL || s == NULL) {
		mem_free(s);
		if (api != NULL)
			snprintf(err, err_size, "out of memory");
		return api == NULL ? -ENOENT : -ENOMEM;
	}
	s->api = api;
	s->screen = is_known(api) ? api->newterm(NULL, stdout, stdin) : NULL;
	s->window = s->screen != NULL ? api->newwin(0, 0, 0, 0) : NULL;
	if (s->window == NULL) {
		top_screen_close(s);
		snprintf(err, err_size, "no such terminal is known here: TERM=%s; "
		    "set another one, or use --once", term != NULL ? term : "");
		return -ENOTTY;
	}
	api->cbreak();
	api->noecho();
	api->keypad(s->window, TRUE);
	api->nodelay(s->window, TRUE);
	api->set_escdelay(25); /* ms; else Esc waits for a second */
	api->curs_set(0);
	if (colours)
		set_colours(s);
	*out = s;
	return 0;
}

void
top_screen_close(struct top_screen *s)
{
	if (s == NULL)
		return;
	if (s->window != NULL) {
		s->api->werase(s->window);
		s->api->wrefresh(s->window);
		s->api->delwin(s->window);
	}
	if (s->screen != NULL) {
		s->api->endwin();
		s->api->delscreen(s->screen);
	}
	mem_free(s);
}

unsigned
top_screen_width(const struct top_screen *s)
{
	return (unsigned)MAX(s->api->getmaxx(s->window), 1);
}

unsigned
top_screen_height(const struct top_screen *s)
{
	return (unsigned)MAX(s->api->getmaxy(s->window), 1);
}

/* Lines that stay: half of a low screen at most. */
static unsigned
head_of(const struct top_screen *s, unsigned stays)
{
	unsigned height = top_screen_height(s);

	return stays + 3 <= height ? stays : MIN(stays, height / 2);
}

unsigned
top_screen_body(const struct top_screen *s, unsigned stays)
{
	unsigned taken = head_of(s, stays) + 1, height = top_screen_height(s);

	return height > taken ? height - taken : 0;
}

static void
draw_line(struct top_screen *s, const struct page *p, unsigned line, unsigned y)
{
	enum page_style style = p->lines[line].style;
	short pair = s->colours && styles[style].colour != 0 ? (short)style : 0;
	struct slice text = page_text(p, line);

	s->api->wattr_set(s->window, styles[style].attributes, pair, NULL);
	if (s->api->wmove(s->window, (int)y, 0) == OK)
		s->api->waddnstr(s->window, text.ptr, (int)text.len);
	s->api->wattr_set(s->window, WA_NORMAL, 0, NULL);
}

void
top_screen_draw(struct top_screen *s, const struct page *p, unsigned stays, unsigned *scroll,
    const struct page *foot)
{
	unsigned head = MIN(head_of(s, stays), p->n), body = top_screen_body(s, stays);
	unsigned more = p->n > stays ? p->n - stays : 0;

	*scroll = MIN(*scroll, more > body ? more - body : 0);
	s->api->werase(s->window);
	for (unsigned i = 0; i < head; i++)
		draw_line(s, p, i, i);
	for (unsigned i = 0; i < body && i + *scroll < more; i++)
		draw_line(s, p, stays + *scroll + i, head + i);
	if (foot->n > 0)
		draw_line(s, foot, 0, top_screen_height(s) - 1);
	s->api->wrefresh(s->window);
}

/* ncurses has made its own window fit, but not this one. */
static void
fit(struct top_screen *s)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row > 0 && w.ws_col > 0)
		s->api->wresize(s->window, w.ws_row, w.ws_col);
}

int
top_screen_key(struct top_screen *s)
{
	static const struct {
		int theirs, ours;
	} keys[] = {
		{ KEY_UP, TOP_KEY_UP }, { KEY_DOWN, TOP_KEY_DOWN }, { KEY_PPAGE, TOP_KEY_PAGE_UP },
		{ KEY_NPAGE, TOP_KEY_PAGE_DOWN }, { KEY_HOME, TOP_KEY_HOME },
		{ KEY_END, TOP_KEY_END }, { KEY_BACKSPACE, TOP_KEY_BACKSPACE },
		{ KEY_RIGHT, TOP_KEY_NEXT }, { KEY_LEFT, TOP_KEY_BACK }, { KEY_BTAB, TOP_KEY_BACK },
		{ KEY_ENTER, '\n' },
	};
	int key = s->api->wgetch(s->window);

	if (key == ERR)
		return -1;
	if (key == KEY_RESIZE)
		fit(s);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (keys[i].theirs == key)
			return keys[i].ours;
	return key <= 0xff ? key : 0;
}
