#include "config.h"

#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LOG_LINE_MAX 1024
#define LOG_GATE_MS 1000

static const char *const level_names[] = { "debug", "info", "warn", "error" };
static atomic_int threshold = LOG_LEVEL_INFO;
static atomic_int out_fd = STDERR_FILENO;

void
log_set_level(enum log_level level)
{
	atomic_store(&threshold, (int)level);
}

enum log_level
log_get_level(void)
{
	return (enum log_level)atomic_load(&threshold);
}

const char *
log_level_name(enum log_level level)
{
	return level_names[level];
}

int
log_level_parse(const char *name, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void
log_set_fd(int fd)
{
	atomic_store(&out_fd, fd);
}

/* A line feed inside a message (a key, an origin's text) must not be able to
 * forge a line of its own. */
static void
mask_control(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

static size_t
put_head(char *line, size_t size, enum log_level level)
{
	int64_t now_ms = clock_wall_ms();
	time_t sec = (time_t)(now_ms / 1000);
	struct tm tm;
	size_t n;

	gmtime_r(&sec, &tm);
	n = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(line + n, size - n, ".%03dZ %-5s ", (int)(now_ms % 1000),
	    level_names[level]);
	return n;
}

static void
vlog(enum log_level level, uint64_t swallowed, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX];
	size_t head = put_head(line, sizeof line, level), n;
	ssize_t rc;

	vsnprintf(line + head, sizeof line - head - 48, fmt, ap);
	mask_control(line + head);
	n = strlen(line);
	if (swallowed != 0)
		n += (size_t)snprintf(line + n, sizeof line - n, " (and %llu like it)",
		    (unsigned long long)swallowed);
	line[n++] = '\n';
	rc = write(atomic_load(&out_fd), line, n);
	(void)rc; /* nobody is left to be told that the log is gone */
}

void
log_write(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if ((int)level < atomic_load_explicit(&threshold, memory_order_relaxed))
		return;
	va_start(ap, fmt);
	vlog(level, 0, fmt, ap);
	va_end(ap);
}

void
log_limited(struct log_gate *gate, enum log_level level, const char *fmt, ...)
{
	int64_t now_ms, next;
	va_list ap;

	if ((int)level < atomic_load_explicit(&threshold, memory_order_relaxed))
		return;
	now_ms = clock_mono_ms();
	next = atomic_load(&gate->next_ms);
	if (now_ms < next ||
	    !atomic_compare_exchange_strong(&gate->next_ms, &next, now_ms + LOG_GATE_MS)) {
		atomic_fetch_add(&gate->swallowed, 1);
		return;
	}
	va_start(ap, fmt);
	vlog(level, atomic_exchange(&gate->swallowed, 0), fmt, ap);
	va_end(ap);
}
