/* info.h - what INFO keeps between two calls: rates and peaks.
 *
 * Written by info_sample() alone, on one loop; read on any. */
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
};

/* Once a second, always from the same loop. */
void info_sample(struct server *s);

#endif
