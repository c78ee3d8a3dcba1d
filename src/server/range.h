/* range.h - first and last position as GETRANGE, BITCOUNT and BITPOS take
 * them: from 0, or from -1 at the end backwards, both included. */
#ifndef PANNIER_SERVER_RANGE_H
#define PANNIER_SERVER_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* Two positions in front of a short value would both become 0, where there is
 * something; GETRANGE and BITCOUNT look at this first. */
static inline bool
range_reversed(int64_t start, int64_t end)
{
	return start < 0 && end < 0 && start > end;
}

/* To 0 <= *start <= *end < len; false: nothing lies in between. */
static inline bool
range_clamp(int64_t *start, int64_t *end, uint64_t len)
{
	int64_t n = (int64_t)len;

	if (*start < 0)
		*start = *start + n < 0 ? 0 : *start + n;
	if (*end < 0)
		*end = *end + n < 0 ? 0 : *end + n;
	if (*end >= n)
		*end = n - 1;
	return *start <= *end;
}

#endif
