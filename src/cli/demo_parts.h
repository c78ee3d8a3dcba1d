/* demo_parts.h - the pieces that demo.c puts together. For src/cli/demo*.c. */
#ifndef PANNIER_CLI_DEMO_PARTS_H
#define PANNIER_CLI_DEMO_PARTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/backend.h"
#include "cli/demo_conn.h"
#include "stats/histogram.h"

#define DEMO_NAMESPACE "users"     /* as INFO calls it */
#define DEMO_KEYS 5000             /* of the everyday traffic */
#define DEMO_SKEW 0.99
#define DEMO_RATE 20000            /* GETs a second that it aims at, */
#define DEMO_WORKERS 2             /* in so many threads, */
#define DEMO_WORKER_CONNS 512      /* each over so many connections */
#define DEMO_CONNS (DEMO_WORKERS * DEMO_WORKER_CONNS)
#define DEMO_COLD_ID 1000000u      /* the herd's key; no other traffic has it */
#define DEMO_TTL "5s"
#define DEMO_VALUE_BYTES 400

struct demo_opts {
	char socket[108];
	unsigned latency_ms;
	unsigned seconds;
	unsigned herd;
	bool stay;
};

/* --- the sidecar, in a thread ------------------------------------------------ */

struct sidecar {
	struct server *server;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ended;  /* under lock: a signal stopped it, or sidecar_stop() */
	int rc;      /* of server_run(), once it ended */
};

/* The configuration that it runs with, as a file would say it. 0 or -ENOMEM. */
int sidecar_config(const struct demo_opts *o, uint16_t backend_port, struct buf *yaml) MUST_CHECK;
/* 0 or -errno with err set. */
int sidecar_start(struct slice yaml, struct sidecar **out, char *err, size_t err_size) MUST_CHECK;
/* Until it ended or the monotonic time has come (INT64_MAX: no limit).
 * Whether it ended. */
bool sidecar_wait(struct sidecar *s, int64_t until_us);
/* Stops it if need be, and frees it. What server_run() answered. */
int sidecar_end(struct sidecar *s);

/* --- what the parts share ------------------------------------------------------ */

struct demo {
	const struct demo_opts *opts;
	struct backend *backend; /* behind the sidecar */
	struct backend *twin;    /* the same, asked directly, for comparison */
	struct sidecar *sidecar;
	struct demo_conn control; /* for INFO */
	struct buf info;
};

/* Counters of the namespace, by INFO; those it does not have are -1. */
struct demo_figures {
	int64_t hits, misses, coalesced;
	uint64_t backend_requests;
};

/* 0 or -errno. */
int demo_figures(struct demo *d, struct demo_figures *out) MUST_CHECK;

/* --- acts: 0, or -errno with err set ------------------------------------------- */

int demo_herd(struct demo *d, char *err, size_t err_size) MUST_CHECK;
int demo_stream(struct demo *d, char *err, size_t err_size) MUST_CHECK;

/* --- straight to the backend ------------------------------------------------------ */

#define DEMO_DIRECT_THREADS 8

/* Clients without a sidecar, which ask the twin one after the other. */
struct direct {
	uint16_t port;
	atomic_bool stop;
	unsigned n;
	struct direct_client {
		struct direct *direct;
		pthread_t thread;
		unsigned seed;
		struct histogram us;
	} clients[DEMO_DIRECT_THREADS];
};

void direct_start(struct direct *d, uint16_t port);
/* Waits for what is under way. */
void direct_stop(struct direct *d, struct histogram_sum *us);

#endif
