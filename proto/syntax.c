#include "config.h"

#include "proto/syntax.h"

#include <ctype.h>
#include <errno.h>

/* A recursive descent over the table's own texts, so depth is no danger.
 *
 *   sequence:     { word | "[" alternatives "]" | "<" alternatives ">" } [ "..." ]
 *   alternatives: sequence { "|" sequence }
 */
struct parser {
	const char *p;
	struct syntax_arg *args;
	unsigned n, max;
	bool repeats; /* the sequence ended with "..." */
	bool failed;
};

static void alternatives(struct parser *ps);

const char *
syntax_type_name(enum syntax_type type)
{
	static const char *const names[] = { "string", "integer", "key", "pattern", "unix-time",
		"pure-token", "oneof", "block" };

	return names[type];
}

/* --- nodes ------------------------------------------------------------------------ */

static const struct {
	const char *name;
	enum syntax_type type;
} types[] = {
	{ "key", SYNTAX_KEY },
	{ "key1", SYNTAX_KEY },
	{ "key2", SYNTAX_KEY },
	{ "newkey", SYNTAX_KEY },
	{ "source", SYNTAX_KEY },
	{ "destination", SYNTAX_KEY },
	{ "destkey", SYNTAX_KEY },
	{ "pattern", SYNTAX_PATTERN },
	{ "bit", SYNTAX_INTEGER },
	{ "client-id", SYNTAX_INTEGER },
	{ "timeout", SYNTAX_INTEGER },
	{ "count", SYNTAX_INTEGER },
	{ "cursor", SYNTAX_INTEGER },
	{ "decrement", SYNTAX_INTEGER },
	{ "destination-db", SYNTAX_INTEGER },
	{ "end", SYNTAX_INTEGER },
	{ "increment", SYNTAX_INTEGER },
	{ "index", SYNTAX_INTEGER },
	{ "len", SYNTAX_INTEGER },
	{ "milliseconds", SYNTAX_INTEGER },
	{ "numkeys", SYNTAX_INTEGER },
	{ "offset", SYNTAX_INTEGER },
	{ "protover", SYNTAX_INTEGER },
	{ "seconds", SYNTAX_INTEGER },
	{ "start", SYNTAX_INTEGER },
	{ "unix-time-milliseconds", SYNTAX_UNIX_TIME },
	{ "unix-time-seconds", SYNTAX_UNIX_TIME },
};

static enum syntax_type
type_of(struct slice name)
{
	for (unsigned i = 0; i < ARRAY_LEN(types); i++)
		if (slice_eq(name, slice_str(types[i].name)))
			return types[i].type;
	return SYNTAX_STRING;
}

static void
set_name(struct syntax_arg *arg, struct slice name, bool lower)
{
	size_t n = MIN(name.len, SYNTAX_NAME_MAX - 1);

	for (size_t i = 0; i < n; i++)
		arg->name[i] = lower ? (char)tolower((unsigned char)name.ptr[i]) : name.ptr[i];
	arg->name[n] = '\0';
}

/* A new node at `at`; what is there moves up. NULL: too many. */
static struct syntax_arg *
insert(struct parser *ps, unsigned at, enum syntax_type type, unsigned size)
{
	struct syntax_arg *arg = &ps->args[at];

	if (ps->n == ps->max) {
		ps->failed = true;
		return NULL;
	}
	memmove(arg + 1, arg, (ps->n - at) * sizeof *arg);
	*arg = (struct syntax_arg){ .type = type, .size = size };
	ps->n++;
	return arg;
}

static void
add_token(struct parser *ps, struct slice token)
{
	struct syntax_arg *arg = insert(ps, ps->n, SYNTAX_PURE_TOKEN, 1);

	if (arg == NULL)
		return;
	set_name(arg, token, true);
	arg->token = token;
}

static unsigned
siblings(const struct parser *ps, unsigned first)
{
	unsigned count = 0;

	for (unsigned i = first; i < ps->n; i += ps->args[i].size)
		count++;
	return count;
}

/* --- groups ----------------------------------------------------------------------- */

/* Names of groups stand nowhere in the text. Redis mostly joins those of the
 * members; these are the rest. */
static const struct {
	const char *first_token, *name;
	unsigned size; /* of the whole group; 0: whatever it is */
} oneof_names[] = {
	{ "ASYNC", "async", 0 },
	{ "BYTE", "index_unit", 0 },
	{ "EX", "expiration", 0 },
	{ "NX", "condition", 0 },
	{ "ON", "status", 3 },
	{ "YES", "mode", 3 },
};

static bool
known_oneof(struct syntax_arg *group)
{
	for (unsigned i = 0; i < ARRAY_LEN(oneof_names); i++)
		if (slice_eq(group[1].token, slice_str(oneof_names[i].first_token)) &&
		    (oneof_names[i].size == 0 || oneof_names[i].size == group->size)) {
			set_name(group, slice_str(oneof_names[i].name), false);
			return true;
		}
	return false;
}

/* Likewise for blocks, by their first member. */
static bool
known_block(struct syntax_arg *group)
{
	if (strcmp(group[1].name, "start") == 0)
		set_name(group, SLICE("index"), false);
	else if (strcmp(group[1].name, "end") == 0)
		set_name(group, SLICE("end_index"), false);
	return group->name[0] != '\0';
}

static void
name_group(struct syntax_arg *group)
{
	size_t len = 0;

	if (group->type == SYNTAX_ONEOF ? known_oneof(group) : known_block(group))
		return;
	for (unsigned i = 1; i < group->size; i += group[i].size) {
		if (group->type == SYNTAX_BLOCK && group[i].optional) {
			set_name(group, SLICE("arguments"), false);
			return;
		}
		if (i > 1 && len < SYNTAX_NAME_MAX - 1)
			group->name[len++] = '_';
		for (const char *p = group[i].name; *p != '\0' && len < SYNTAX_NAME_MAX - 1; p++)
			group->name[len++] = *p;
	}
}

static struct syntax_arg *
wrap(struct parser *ps, unsigned first, enum syntax_type type)
{
	struct syntax_arg *group = insert(ps, first, type, ps->n - first + 1);

	if (group != NULL)
		name_group(group);
	return group;
}

/* A oneof behind a token is called after it, where it is not all tokens. */
static void
bind_token(struct syntax_arg *arg, struct slice token)
{
	arg->token = token;
	if (arg->type != SYNTAX_ONEOF)
		return;
	for (unsigned i = 1; i < arg->size; i += arg[i].size)
		if (arg[i].type != SYNTAX_PURE_TOKEN)
			set_name(arg, token, true);
}

/* The group at `at` says "what stands in front of me may be repeated": it goes,
 * and that becomes multiple. `first`: where the sequence begins. */
static void
fold_repetition(struct parser *ps, unsigned first, unsigned at)
{
	struct syntax_arg *again = &ps->args[at];
	bool block = again->type == SYNTAX_BLOCK, token = again->token.len != 0;
	unsigned size = block ? again->size - 1 : again->size;
	unsigned from = at - MIN(size, at);
	struct syntax_arg *arg = &ps->args[from];

	if (size > at - first || strcmp(arg->name, again[block].name) != 0) {
		ps->failed = true;
		return;
	}
	ps->n = at;
	if (block)
		arg = wrap(ps, from, SYNTAX_BLOCK);
	if (arg == NULL)
		return;
	arg->multiple = true;
	arg->multiple_token = token;
}

static void
group(struct parser *ps, unsigned first, char close)
{
	unsigned at = ps->n;
	bool repeats;

	ps->p++;
	alternatives(ps);
	repeats = ps->repeats;
	ps->repeats = false;
	if (*ps->p != close || ps->n == at)
		ps->failed = true;
	if (ps->failed)
		return;
	ps->p++;
	if (repeats)
		fold_repetition(ps, first, at);
	else
		ps->args[at].optional = close == ']';
}

/* --- sequences -------------------------------------------------------------------- */

static struct slice
take_word(struct parser *ps, bool *is_token)
{
	const char *begin = ps->p;

	*is_token = true;
	while (*ps->p != '\0' && strchr(" []<>|", *ps->p) == NULL)
		*is_token &= !islower((unsigned char)*ps->p++);
	return slice_of(begin, (size_t)(ps->p - begin));
}

/* A token waits for what follows it: at, or nothing. */
struct pending {
	struct slice token; /* len 0: none */
	unsigned at;
};

static void
settle(struct parser *ps, struct pending *t)
{
	if (t->token.len == 0)
		return;
	if (ps->n > t->at)
		bind_token(&ps->args[t->at], t->token);
	else
		add_token(ps, t->token);
	t->token.len = 0;
}

static void
word(struct parser *ps, struct pending *t)
{
	bool is_token;
	struct slice text = take_word(ps, &is_token);
	struct syntax_arg *arg;

	if (slice_eq(text, SLICE("..."))) {
		ps->repeats = true;
	} else if (is_token) {
		settle(ps, t);
		*t = (struct pending){ text, ps->n };
	} else {
		arg = insert(ps, ps->n, type_of(text), 1);
		if (arg != NULL)
			set_name(arg, text, false);
	}
}

/* Of a group, all becomes one node; at the top, each stays for itself. */
static void
sequence(struct parser *ps, bool grouped)
{
	unsigned first = ps->n;
	struct pending t = { .at = 0 };

	while (!ps->failed && *ps->p != '\0' && strchr("]>|", *ps->p) == NULL) {
		if (*ps->p == ' ')
			ps->p++;
		else if (*ps->p == '[')
			group(ps, first, ']');
		else if (*ps->p == '<')
			group(ps, first, '>');
		else
			word(ps, &t);
	}
	/* A token at the front of several belongs to all of them. */
	if (!ps->failed && grouped && t.at != first)
		settle(ps, &t);
	if (!ps->failed && grouped && siblings(ps, first) > 1)
		wrap(ps, first, SYNTAX_BLOCK);
	if (!ps->failed)
		settle(ps, &t);
}

static void
alternatives(struct parser *ps)
{
	unsigned first = ps->n, at;

	for (;;) {
		at = ps->n;
		sequence(ps, true);
		if (ps->n == at)
			ps->failed = true;
		if (ps->failed || *ps->p != '|')
			break;
		ps->p++;
	}
	if (!ps->failed && siblings(ps, first) > 1)
		wrap(ps, first, SYNTAX_ONEOF);
}

static void
number_keys(struct syntax_arg *args, unsigned n)
{
	unsigned keys = 0;

	for (unsigned i = 0; i < n; i++) {
		args[i].nth_key = keys;
		keys += args[i].type == SYNTAX_KEY;
	}
}

int
syntax_parse(const char *text, struct syntax_arg *out, unsigned max)
{
	struct parser ps = { .p = text, .args = out, .max = max };

	sequence(&ps, false);
	number_keys(out, ps.n);
	return ps.failed || *ps.p != '\0' || ps.repeats ? -EINVAL : (int)ps.n;
}
