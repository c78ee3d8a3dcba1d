/* units.h - times for the tests of src/resil, in microseconds, and the ends of the clock. */
#ifndef PANNIER_TESTS_RESIL_UNITS_H
#define PANNIER_TESTS_RESIL_UNITS_H

#include <stdint.h>

#include "base/draw.h"
#include "base/util.h"

#define MS 1000ll
#define S (1000 * MS)
#define MINUTE (60 * S)
/* Some moment; nothing may depend on which. */
#define T0 (1234 * S)

static const int64_t clock_edges[] UNUSED = {
	INT64_MIN, INT64_MIN + 1, INT64_MIN / 2, -S, -1, 0, 1, S, T0, INT64_MAX / 1024,
	INT64_MAX / 1000, INT64_MAX / 2, INT64_MAX - 1, INT64_MAX,
};

/* Draws at both ends and between. */
static const uint64_t draw_edges[] UNUSED = {
	0, 1, UINT64_MAX / 2, UINT64_MAX / 2 + 1, UINT64_MAX - 1, UINT64_MAX
};

#define EACH(edges, x) for (size_t i_##x = 0; i_##x < ARRAY_LEN(edges); i_##x++)

#endif
