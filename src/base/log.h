/* log.h - what the daemon tells its operator, on standard error, a line each:
 * `2026-11-21T20:30:51.123Z warn  origin users: connect refused`.
 *
 * Thread-safe; a line is written with one write(2). Never log values or
 * secrets. Messages that traffic can cause go through log_limited(). */
#ifndef PANNIER_BASE_LOG_H
#define PANNIER_BASE_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/util.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* One for each place that logs because of traffic; static, zeroed. */
struct log_gate {
	_Atomic(int64_t) next_ms;
	_Atomic(uint64_t) swallowed;
};

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* "debug", "info", "warn", "error"; the parse answers -EINVAL otherwise. */
const char *log_level_name(enum log_level level);
int log_level_parse(const char *name, enum log_level *out) MUST_CHECK;
/* Where lines go; 2 unless told. Tests point it elsewhere. */
void log_set_fd(int fd);

void log_write(enum log_level level, const char *fmt, ...) PRINTF(2, 3);
/* At most one line a second from each gate; the next one says how many it
 * stands for. */
void log_limited(struct log_gate *gate, enum log_level level, const char *fmt, ...)
    PRINTF(3, 4);

#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
