/* Everything in a pattern but '*' stands for exactly one character. So when a
 * mismatch comes it is enough to go back to the last '*' and let it swallow
 * one character more: what an earlier '*' could swallow in addition, the last
 * one can swallow too. One place to go back to, no recursion, and at most
 * pattern times text steps, where Redis's first matcher took exponential time
 * for "a*a*a*a*b" (CVE-2022-36021) and overran its stack for long patterns
 * (CVE-2024-31228). */
#include "config.h"

#include "base/glob.h"

static int
fold(char ch, bool nocase)
{
	if (nocase && ch >= 'A' && ch <= 'Z')
		return ch - 'A' + 'a';
	return ch;
}

/* Bounds are compared as signed characters and may stand in either order, as
 * in Redis on x86. */
static bool
in_range(char from, char to, char ch, bool nocase)
{
	signed char a = (signed char)fold(from, nocase);
	signed char b = (signed char)fold(to, nocase);
	signed char c = (signed char)fold(ch, nocase);

	/* Redis orders the bounds before it folds them. */
	if ((signed char)from > (signed char)to)
		return c >= b && c <= a;
	return c >= a && c <= b;
}

/* *p stands behind the '['; afterwards behind the ']', or at the end of a
 * pattern that lacks it. */
static bool
class_match(struct slice *p, char ch, bool nocase)
{
	bool negated = p->len > 0 && p->ptr[0] == '^';
	bool match = false;

	if (negated)
		*p = slice_skip(*p, 1);
	while (p->len > 0) {
		if (p->ptr[0] == '\\' && p->len >= 2) {
			match |= p->ptr[1] == ch;
			*p = slice_skip(*p, 2);
		} else if (p->ptr[0] == ']') {
			*p = slice_skip(*p, 1);
			break;
		} else if (p->len >= 3 && p->ptr[1] == '-') {
			match |= in_range(p->ptr[0], p->ptr[2], ch, nocase);
			*p = slice_skip(*p, 3);
		} else {
			match |= fold(p->ptr[0], nocase) == fold(ch, nocase);
			*p = slice_skip(*p, 1);
		}
	}
	return match != negated;
}

/* Takes one element that is no '*' off the front of *p. */
static bool
element_match(struct slice *p, char ch, bool nocase)
{
	char first = p->ptr[0];

	*p = slice_skip(*p, 1);
	if (first == '?')
		return true;
	if (first == '[')
		return class_match(p, ch, nocase);
	if (first == '\\' && p->len > 0) {
		first = p->ptr[0];
		*p = slice_skip(*p, 1);
	}
	return fold(first, nocase) == fold(ch, nocase);
}

static struct slice
skip_stars(struct slice p)
{
	while (p.len > 0 && p.ptr[0] == '*')
		p = slice_skip(p, 1);
	return p;
}

static bool
spend(uint64_t *steps, uint64_t n)
{
	if (*steps < n) {
		*steps = 0;
		return false;
	}
	*steps -= n;
	return true;
}

enum glob_result
glob_match(struct slice pattern, struct slice text, bool nocase, uint64_t *steps)
{
	struct slice star = { NULL, 0 }, star_text = { NULL, 0 }, p = pattern, t = text;

	if (text.len == 0)
		return pattern.len == 0 ? GLOB_YES : GLOB_NO;
	while (t.len > 0) {
		size_t before = p.len;
		bool match;

		if (p.len > 0 && p.ptr[0] == '*') {
			star = p = skip_stars(p);
			star_text = t;
		}
		match = p.len > 0 && element_match(&p, t.ptr[0], nocase);
		if (!spend(steps, 1 + before - p.len))
			return GLOB_SPENT;
		if (star.ptr != NULL && star.len == 0)
			return GLOB_YES;
		if (match) {
			t = slice_skip(t, 1);
		} else if (star.ptr == NULL) {
			return GLOB_NO;
		} else {
			p = star;
			t = star_text = slice_skip(star_text, 1);
		}
	}
	return skip_stars(p).len == 0 ? GLOB_YES : GLOB_NO;
}
