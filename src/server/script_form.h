/* script_form.h - one form for all texts of a script that differ in nothing
 * but how they are written: white space, comments, semicolons, quotes, and the
 * case of the words in calls of Redis.
 *
 * A list of Lua's words (Lua 5.1 manual, section 2.1), with a space between. Not a
 * parser: what no template equals is not run. */
#ifndef PANNIER_SERVER_SCRIPT_FORM_H
#define PANNIER_SERVER_SCRIPT_FORM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define SCRIPT_FORM_MAX 1024 /* no template is longer */
#define SCRIPT_MARKS 6

struct script_form {
	size_t len;
	/* The lines where it can fail, which error replies tell: calls of Redis and sums, in
	 * the order of the text. */
	unsigned n_marks;
	uint32_t lines[SCRIPT_MARKS];
	char text[SCRIPT_FORM_MAX];
};

/* False: it can be none of ours. */
bool script_form(struct slice script, struct script_form *out);

#endif
