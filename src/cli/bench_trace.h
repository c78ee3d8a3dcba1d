/* bench_trace.h - streams of requests to replay: 32-bit big-endian numbers. */
#ifndef PANNIER_CLI_BENCH_TRACE_H
#define PANNIER_CLI_BENCH_TRACE_H

#include <stdint.h>

#include "base/util.h"

struct bench_trace {
	uint32_t *ids; /* owned */
	uint64_t n;
};

/* Reads all of it; what ends in .xz goes through xz(1). 0 or -errno with a
 * sentence in err. */
int bench_trace_load(const char *path, struct bench_trace *out, char *err, size_t err_size)
    MUST_CHECK;
void bench_trace_fini(struct bench_trace *t);

#endif
