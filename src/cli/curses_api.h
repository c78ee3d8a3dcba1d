/* curses_api.h - ncurses, of wide characters, loaded when `pannier top` draws: the daemon
 * does not carry it, and runs where it is not installed. To use a further function, add
 * a row to the table. Main thread. */
#ifndef PANNIER_CLI_CURSES_API_H
#define PANNIER_CLI_CURSES_API_H

#include <stddef.h>

#define NCURSES_NOMACROS 1
#define NCURSES_WIDECHAR 1
#include <curses.h>

/* Of <term.h>, which also has a thousand macros with names such as `lines`. */
struct term;
int setupterm(const char *name, int fd, int *found);
struct term *set_curterm(struct term *t);
int del_curterm(struct term *t);

#define CURSES_API(FN) \
	FN(setupterm) \
	FN(set_curterm) \
	FN(del_curterm) \
	FN(newterm) \
	FN(delscreen) \
	FN(endwin) \
	FN(newwin) \
	FN(delwin) \
	FN(wresize) \
	FN(getmaxx) \
	FN(getmaxy) \
	FN(cbreak) \
	FN(noecho) \
	FN(keypad) \
	FN(nodelay) \
	FN(set_escdelay) \
	FN(curs_set) \
	FN(has_colors) \
	FN(start_color) \
	FN(use_default_colors) \
	FN(init_pair) \
	FN(wattr_set) \
	FN(wmove) \
	FN(waddnstr) \
	FN(werase) \
	FN(wrefresh) \
	FN(wgetch)

struct curses_api {
#define CURSES_API_MEMBER(name) __typeof__(name) *name;
	CURSES_API(CURSES_API_MEMBER)
#undef CURSES_API_MEMBER
};

/* Loads the library at the first call. NULL: err says why, in one line. */
const struct curses_api *curses_api_get(char *err, size_t err_size);

#endif
