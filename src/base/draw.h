/* draw.h - pseudo-random numbers, fast and good enough for load, jitter and
 * choices; not for secrets. splitmix64, http://prng.di.unimi.it/splitmix64.c.
 * Pure: who owns the state also owns the thread rule. Same seed, same numbers. */
#ifndef PANNIER_BASE_DRAW_H
#define PANNIER_BASE_DRAW_H

#include <stdint.h>

struct draw {
	uint64_t state; /* any seed */
};

static inline uint64_t
draw_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static inline uint64_t
draw_next(struct draw *d)
{
	return draw_mix(d->state += 0x9e3779b97f4a7c15u);
}

/* A 64-bit draw made one of 0 to n-1. */
static inline uint64_t
draw_below(uint64_t draw, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)draw * n) >> 64);
}

/* A 64-bit draw made one of [0, 1). */
static inline double
draw_unit(uint64_t draw)
{
	return (double)(draw >> 11) * 0x1p-53;
}

#endif
