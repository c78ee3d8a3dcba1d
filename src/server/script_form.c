#include "config.h"

#include "server/script_form.h"

#include <ctype.h>

#include "base/util.h"

enum word_kind { WORD_END, WORD_NAME, WORD_NUMBER, WORD_STRING, WORD_SIGN, WORD_BAD };

struct word {
	enum word_kind kind;
	struct slice text; /* of strings, what stands between the quotes */
};

struct reader {
	const char *p, *end;
	uint32_t line;
};

/* --- words ------------------------------------------------------------------------ */

static int
peek(const struct reader *r, size_t ahead)
{
	return (size_t)(r->end - r->p) > ahead ? (unsigned char)r->p[ahead] : -1;
}

/* "\r\n" and "\n\r" end one line, as Lua counts. */
static void
take(struct reader *r)
{
	int c = peek(r, 0), next = peek(r, 1);

	r->p++;
	if (c != '\n' && c != '\r')
		return;
	r->line++;
	if ((next == '\n' || next == '\r') && next != c)
		r->p++;
}

/* "[[" or "[==[": how many equals signs; -1: none begins here. */
static int
long_bracket(const struct reader *r)
{
	int level = 0;

	if (peek(r, 0) != '[')
		return -1;
	while (peek(r, (size_t)level + 1) == '=')
		level++;
	return peek(r, (size_t)level + 1) == '[' ? level : -1;
}

static bool
closes(const struct reader *r, int level)
{
	if (peek(r, 0) != ']' || peek(r, (size_t)level + 1) != ']')
		return false;
	for (int i = 0; i < level; i++)
		if (peek(r, (size_t)i + 1) != '=')
			return false;
	return true;
}

/* Its content; false: it does not end. */
static bool
take_long(struct reader *r, int level, struct slice *out)
{
	r->p += level + 2;
	if (peek(r, 0) == '\n' || peek(r, 0) == '\r')
		take(r);
	out->ptr = r->p;
	while (peek(r, 0) >= 0 && !closes(r, level))
		take(r);
	out->len = (size_t)(r->p - out->ptr);
	r->p += MIN(level + 2, r->end - r->p);
	return out->ptr + out->len < r->end;
}

static bool
take_comment(struct reader *r)
{
	struct slice ignored;
	int level;

	r->p += 2;
	level = long_bracket(r);
	if (level >= 0)
		return take_long(r, level, &ignored);
	while (peek(r, 0) >= 0 && peek(r, 0) != '\n' && peek(r, 0) != '\r')
		r->p++;
	return true;
}

/* Semicolons too: they mean nothing between statements. */
static bool
take_blanks(struct reader *r)
{
	for (;;) {
		int c = peek(r, 0);

		if (c == '-' && peek(r, 1) == '-') {
			if (!take_comment(r))
				return false;
		} else if (c == ';' || c == ' ' || (c >= '\t' && c <= '\r')) {
			take(r);
		} else {
			return true;
		}
	}
}

/* One with a backslash in it is none of ours. */
static enum word_kind
take_quoted(struct reader *r, struct slice *out)
{
	int quote = peek(r, 0), c;

	r->p++;
	out->ptr = r->p;
	while ((c = peek(r, 0)) != quote) {
		if (c < ' ' || c == '\\' || c == '"' || c == '\'')
			return WORD_BAD;
		r->p++;
	}
	out->len = (size_t)(r->p - out->ptr);
	r->p++;
	return WORD_STRING;
}

static enum word_kind
take_sign(struct reader *r, struct slice *out)
{
	static const char *const pairs[] = { "==", "~=", "<=", ">=", ".." };
	size_t len = 1;

	if (strchr("+-*/%^#<>=(){}[]:,.~", peek(r, 0)) == NULL || peek(r, 0) == '\0')
		return WORD_BAD;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (peek(r, 0) == pairs[i][0] && peek(r, 1) == pairs[i][1])
			len = 2;
	*out = slice_of(r->p, len);
	r->p += len;
	return WORD_SIGN;
}

static bool
in_name(int c)
{
	return c == '_' || (c >= 0 && c < 0x80 && isalnum(c));
}

static struct word
next_word(struct reader *r)
{
	struct word w = { .kind = WORD_END };
	int c, level;

	if (!take_blanks(r)) {
		w.kind = WORD_BAD;
		return w;
	}
	c = peek(r, 0);
	level = long_bracket(r);
	if (c < 0) {
		return w;
	} else if (level >= 0) {
		/* A quote in it could make it look like several words. */
		w.kind = take_long(r, level, &w.text) && (w.text.len == 0 ||
		    memchr(w.text.ptr, '"', w.text.len) == NULL) ? WORD_STRING : WORD_BAD;
	} else if (c == '"' || c == '\'') {
		w.kind = take_quoted(r, &w.text);
	} else if (in_name(c)) {
		w.kind = c >= '0' && c <= '9' ? WORD_NUMBER : WORD_NAME;
		w.text.ptr = r->p;
		while (in_name(peek(r, 0)) || (w.kind == WORD_NUMBER && peek(r, 0) == '.'))
			r->p++;
		w.text.len = (size_t)(r->p - w.text.ptr);
	} else {
		w.kind = take_sign(r, &w.text);
	}
	return w;
}

/* --- the form ---------------------------------------------------------------------- */

struct writer {
	struct script_form *out;
	struct word before[3];  /* the last words, the latest first */
	unsigned depth, called; /* of parentheses; where the call that we are in began */
	bool summing;           /* the next word is what is added */
};

static bool
is_word(const struct word *w, enum word_kind kind, const char *text)
{
	return w->kind == kind && slice_eq(w->text, slice_str(text));
}

static bool
put(struct writer *w, struct slice s, bool lower)
{
	struct script_form *f = w->out;

	if (s.len > sizeof f->text - f->len)
		return false;
	for (size_t i = 0; i < s.len; i++)
		f->text[f->len++] = lower ? (char)tolower((unsigned char)s.ptr[i]) : s.ptr[i];
	return true;
}

/* Words of other calls keep their case: "OK" is an answer. */
static bool
put_word(struct writer *w, const struct word *word)
{
	static const char mark = '"';
	bool string = word->kind == WORD_STRING;
	struct slice quote = slice_of(&mark, string);

	return put(w, slice_of(" ", w->out->len != 0), false) && put(w, quote, false) &&
	    put(w, word->text, string && w->called != 0) && put(w, quote, false);
}

static bool
mark(struct writer *w, uint32_t line)
{
	if (w->out->n_marks == SCRIPT_MARKS)
		return false;
	w->out->lines[w->out->n_marks++] = line;
	return true;
}

static bool
begins_call(const struct writer *w)
{
	return (is_word(&w->before[0], WORD_NAME, "call") ||
	    is_word(&w->before[0], WORD_NAME, "pcall")) &&
	    is_word(&w->before[1], WORD_SIGN, ".") && is_word(&w->before[2], WORD_NAME, "redis");
}

/* Not a sign of a number: something to add to stands before it. */
static bool
is_sum(const struct writer *w, const struct word *word)
{
	const struct word *last = &w->before[0];

	if (!is_word(word, WORD_SIGN, "+") && !is_word(word, WORD_SIGN, "-"))
		return false;
	return (last->kind == WORD_NAME && !is_word(last, WORD_NAME, "return")) ||
	    last->kind == WORD_NUMBER || is_word(last, WORD_SIGN, ")") ||
	    is_word(last, WORD_SIGN, "]");
}

/* Redis names the line of a call's parenthesis, and of a sum's last word. */
static bool
follow(struct writer *w, const struct word *word, uint32_t line)
{
	bool ok = true;

	if (w->summing)
		ok = mark(w, line);
	w->summing = is_sum(w, word);
	if (is_word(word, WORD_SIGN, "(")) {
		w->depth++;
		if (w->called == 0 && begins_call(w)) {
			w->called = w->depth;
			ok = ok && mark(w, line);
		}
	} else if (is_word(word, WORD_SIGN, ")")) {
		if (w->called == w->depth)
			w->called = 0;
		w->depth -= w->depth > 0;
	}
	w->before[2] = w->before[1];
	w->before[1] = w->before[0];
	w->before[0] = *word;
	return ok;
}

bool
script_form(struct slice script, struct script_form *out)
{
	struct reader r = { .p = script.ptr, .end = script.ptr + script.len, .line = 1 };
	struct writer w = { .out = out };

	out->len = 0;
	out->n_marks = 0;
	for (;;) {
		struct word word = next_word(&r);

		if (word.kind == WORD_END)
			return out->len != 0;
		if (word.kind == WORD_BAD || !follow(&w, &word, r.line) || !put_word(&w, &word))
			return false;
	}
}
