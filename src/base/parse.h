/* parse.h - numbers, sizes and durations as people and protocols write them.
 * Pure. All answer 0, or -EINVAL (not of that form) or -ERANGE (does not fit)
 * with *out untouched. The whole slice must be used up. */
#ifndef PANNIER_BASE_PARSE_H
#define PANNIER_BASE_PARSE_H

#include <stdint.h>

#include "base/slice.h"
#include "base/util.h"

/* As Redis's string2ll: decimal, an optional '-', no '+', no leading zeros,
 * no spaces. */
int parse_i64(struct slice s, int64_t *out) MUST_CHECK;
int parse_u64(struct slice s, uint64_t *out) MUST_CHECK;
/* "262144", "256KiB", "256MiB", "4GiB"; also kb mb gb (powers of 1024, as
 * redis.conf has it) and k m g (powers of 1000). Case does not matter. */
int parse_bytes(struct slice s, uint64_t *out) MUST_CHECK;
/* "250ms", "300s", "5m", "2h", "1d"; "0" needs no unit. Milliseconds. */
int parse_duration_ms(struct slice s, int64_t *out) MUST_CHECK;

/* Shortest exact form, "256MiB" or "262145"; returns its length. */
#define FORMAT_MAX 32 /* bytes that out must have */
size_t format_bytes(char *out, uint64_t bytes);
size_t format_duration_ms(char *out, int64_t ms);
/* Decimal without NUL; returns the length, at most 20. */
size_t format_i64(char *out, int64_t value);
size_t format_u64(char *out, uint64_t value);

#endif
