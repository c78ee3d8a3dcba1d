#include <config.h>

#include "config/text.h"

#include <ctype.h>
#include <errno.h>

#include "base/parse.h"
#include "config/config.h"

#define QUOTE_MAX 60 /* bytes of input that an error repeats */
#define WORD_MAX 48  /* longer words are compared to nothing */
#define HELP_WIDTH 80

void
text_vadd(struct text *t, const char *fmt, va_list ap)
{
	int n = vsnprintf(t->out + t->len, t->size - t->len, fmt, ap);

	if (n > 0)
		t->len = MIN(t->len + (size_t)n, t->size - 1);
}

void
text_add(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_vadd(t, fmt, ap);
	va_end(ap);
}

/* ASCII's and Unicode's: U+0080 to U+009F are 0xc2 and one more byte. */
static bool
is_control(struct slice s, size_t i)
{
	const unsigned char *at = (const unsigned char *)s.ptr + i;

	return *at < ' ' || *at == 0x7f || (*at == 0xc2 && i + 1 < s.len && at[1] < 0xa0) ||
	    (*at < 0xa0 && i > 0 && at[-1] == 0xc2);
}

/* Other bytes from 0x80 on pass: they are UTF-8, the file's check saw to it. */
void
text_quote(struct text *t, struct slice input)
{
	size_t n = MIN(input.len, (size_t)QUOTE_MAX);

	/* Never cut within a character. */
	while (n < input.len && n > 0 && ((unsigned char)input.ptr[n] & 0xc0) == 0x80)
		n--;
	text_add(t, "\"");
	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)input.ptr[i];

		if (ch == '"' || ch == '\\')
			text_add(t, "\\%c", ch);
		else if (is_control(input, i))
			text_add(t, "\\x%02x", ch);
		else
			text_add(t, "%c", ch);
	}
	text_add(t, n < input.len ? "...\"" : "\"");
}

static int
fold(char ch)
{
	return ch == '_' ? '-' : tolower((unsigned char)ch);
}

/* Damerau and Levenshtein's distance: letters put in, left out, exchanged, or
 * swapped with their neighbour. Both at most WORD_MAX long. */
static unsigned
distance(struct slice a, struct slice b)
{
	unsigned rows[3][WORD_MAX + 1], *before = rows[0], *last = rows[1], *now = rows[2], *spare;

	for (size_t j = 0; j <= b.len; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a.len; i++) {
		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b.len; j++) {
			int x = fold(a.ptr[i - 1]), y = fold(b.ptr[j - 1]);

			now[j] = MIN(last[j], now[j - 1]) + 1;
			now[j] = MIN(now[j], last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == fold(b.ptr[j - 2]) && y == fold(a.ptr[i - 2]))
				now[j] = MIN(now[j], before[j - 2] + 1);
		}
		spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[b.len];
}

const char *
nearest(struct slice word, const char *const *candidates, size_t n)
{
	const char *best = NULL;
	unsigned least = 0;

	for (size_t i = 0; i < n; i++) {
		struct slice c = slice_str(candidates[i]);
		unsigned d;

		if (word.len > WORD_MAX || c.len > WORD_MAX)
			continue;
		d = distance(word, c);
		if (d <= (MAX(word.len, c.len) + 2) / 3 && d < c.len &&
		    (best == NULL || d < least)) {
			best = candidates[i];
			least = d;
		}
	}
	return best;
}

void
help_row(FILE *to, const char *head, const char *prose)
{
	int column = fprintf(to, "  %s", head);

	if (column >= HELP_COLUMN - 1) {
		fputc('\n', to);
		column = 0;
	}
	column += fprintf(to, "%*s", HELP_COLUMN - column, "");
	while (*prose != '\0') {
		int word = (int)strcspn(prose, " ");

		if (column > HELP_COLUMN && column + 1 + word > HELP_WIDTH)
			column = fprintf(to, "\n%*s", HELP_COLUMN, "") - 1;
		else if (column > HELP_COLUMN)
			column += fprintf(to, " ");
		column += fprintf(to, "%.*s", word, prose);
		prose += word + (prose[word] == ' ');
	}
	fputc('\n', to);
}

int
share_parse(struct slice s, uint64_t *out)
{
	uint64_t pct;

	if (s.len == 0 || s.ptr[s.len - 1] != '%')
		return parse_bytes(s, out);
	if (parse_u64(slice_of(s.ptr, s.len - 1), &pct) != 0 || pct < 1 || pct > 100)
		return -EINVAL;
	*out = CONFIG_SHARE(pct);
	return 0;
}
