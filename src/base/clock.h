/* clock.h - the only two places that ask the system for the time. All logic
 * takes times as arguments, so that tests never wait. Thread-safe. */
#ifndef PANNIER_BASE_CLOCK_H
#define PANNIER_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
/* Unix time. Only for what clients or people see: never for time to live. */
int64_t clock_wall_ms(void);
int64_t clock_wall_us(void);

#endif
