#include "config.h"

#include "cli/demo_show.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool on_terminal, in_colour, live_open;

const char *
show_count(char out[SHOW_MAX], uint64_t n)
{
	char digits[SHOW_MAX];
	int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
	char *to = out;

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return out;
}

const char *
show_us(char out[SHOW_MAX], int64_t us)
{
	double ms = (double)us / 1e3;

	if (ms < 10)
		snprintf(out, SHOW_MAX, "%.2f ms", ms);
	else if (ms < 100)
		snprintf(out, SHOW_MAX, "%.1f ms", ms);
	else if (ms < 1000)
		snprintf(out, SHOW_MAX, "%.0f ms", ms);
	else
		snprintf(out, SHOW_MAX, "%.1f s", ms / 1e3);
	return out;
}

const char *
show_share(char out[SHOW_MAX], double share)
{
	if (share < 1 && share > 0.999)
		share = 0.999;
	snprintf(out, SHOW_MAX, "%.1f %%", share * 100);
	return out;
}

const char *
show_shell_word(char *out, size_t size, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789/._-+:@%,=";
	size_t n = 0;

	if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
		snprintf(out, size, "%s", word);
		return out;
	}
	out[n++] = '\'';
	for (; *word != '\0' && n + 6 < size; word++) {
		if (*word == '\'') {
			memcpy(out + n, "'\\''", 4);
			n += 4;
		} else {
			out[n++] = *word;
		}
	}
	out[n++] = '\'';
	out[n] = '\0';
	return out;
}

void
show_init(void)
{
	const char *term = getenv("TERM");

	on_terminal = isatty(STDOUT_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
	in_colour = on_terminal && getenv("NO_COLOR") == NULL;
	live_open = false;
}

void
show_break(void)
{
	if (live_open)
		putchar('\n');
	live_open = false;
	fflush(stdout);
}

void
show_line(const char *fmt, ...)
{
	va_list ap;

	show_break();
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

void
show_gap(void)
{
	show_line("%s", "");
}

void
show_title(const char *fmt, ...)
{
	va_list ap;

	show_break();
	fputs(in_colour ? "\n\033[1;32m" : "\n", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	fputs(in_colour ? "\033[0m\n\n" : "\n\n", stdout);
	fflush(stdout);
}

void
show_live(bool last, const char *fmt, ...)
{
	va_list ap;

	if (on_terminal)
		fputs("\r\033[K", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	live_open = on_terminal && !last;
	if (!live_open)
		putchar('\n');
	fflush(stdout);
}
