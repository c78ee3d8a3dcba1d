/* clock.h - the only two places that ask the system for the time. All logic
 * takes times as arguments, so that tests never wait. Thread-safe. */
#ifndef PANNIER_BASE_CLOCK_H
#define PANNIER_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
int64_t clock_mono_ns(void);
/* Unix time. Only for what clients or people see: never for time to live. */
int64_t clock_wall_ms(void);
int64_t clock_wall_us(void);

/* The processor's own counter, which costs a handful of instructions where the
 * clock costs dozens. It only tells more from less: its unit is unknown, and
 * that of another core, or after a sleep, may be another one. */
static inline uint64_t
clock_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return (uint64_t)clock_mono_ns();
#endif
}

#endif
