/* top_screen.h - a page on a terminal, by ncurses. One, of the main thread. */
#ifndef PANNIER_CLI_TOP_SCREEN_H
#define PANNIER_CLI_TOP_SCREEN_H

#include "cli/page.h"

struct top_screen;

/* Takes standard input and output. Colours unless NO_COLOR is set (https://no-color.org)
 * or the terminal has none. 0, or -errno with err set. */
int top_screen_open(bool colours, struct top_screen **out, char *err, size_t err_size)
    MUST_CHECK;
/* Leaves the terminal as it was. NULL is fine. */
void top_screen_close(struct top_screen *s);

unsigned top_screen_width(const struct top_screen *s);
unsigned top_screen_height(const struct top_screen *s);
/* The first `stays` lines, then those from stays + *scroll on, as far as there is room,
 * and at the bottom `foot`'s line. *scroll is made smaller where it is too far. */
void top_screen_draw(struct top_screen *s, const struct page *p, unsigned stays,
    unsigned *scroll, const struct page *foot);
/* Of the body, how many lines it has with so many that stay. */
unsigned top_screen_body(const struct top_screen *s, unsigned stays);
/* The next key that was pressed (top_ui.h); -1: none. 0: none for us, or another size. */
int top_screen_key(struct top_screen *s);

#endif
