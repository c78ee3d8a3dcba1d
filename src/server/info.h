/* info.h - what INFO keeps between two calls: rates, peaks, and where counting
 * began anew. Rates are written by info_sample() alone; any loop reads. */
#ifndef PANNIER_SERVER_INFO_H
#define PANNIER_SERVER_INFO_H

#include <stdint.h>

#include "stats/counter.h"

struct server;

struct info_sampler {
	/* What was there at the last sample, and when; 0: there was none. */
	int64_t last_us, last_commands, last_input_bytes, last_output_bytes;
	struct counter ops_per_sec, input_bytes_per_sec, output_bytes_per_sec;
	struct counter peak_bytes; /* of used_memory, as far as it was looked at */
	/* Of the network, at the last CONFIG RESETSTAT. */
	struct counter input_bytes_reset, output_bytes_reset;
};

/* Once a second, always from the same loop. */
void info_sample(struct server *s);
/* CONFIG RESETSTAT: stats_reset(), and what is counted elsewhere; event_us is
 * timing_look()'s. */
void info_reset(struct server *s, int64_t event_us);
/* Bytes read from clients and written to them, since the last reset. */
int64_t info_input_bytes(const struct server *s);
int64_t info_output_bytes(const struct server *s);

#endif
