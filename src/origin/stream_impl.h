/* stream_impl.h - what stream.c and the kinds of brokers share. Nobody else includes it. */
#ifndef PANNIER_ORIGIN_STREAM_IMPL_H
#define PANNIER_ORIGIN_STREAM_IMPL_H

#include <pthread.h>

#include "base/buf.h"
#include "config/password.h"
#include "origin/stream.h"

#define STREAM_RPC_MS 5000 /* for any answer of a broker */
#define STREAM_WAIT_MS 5000 /* for a message, at a time */

/* A kind of broker; all on the stream's thread. Failures are told to stream_fail(). */
struct stream_ops {
	const char *name;
	int (*prepare)(char *err, size_t err_size); /* loads the library; any thread */
	/* Ready to receive(). Calls stream_gap() where messages may have been missed. */
	bool (*open)(struct stream *s);
	/* Waits for messages, at most STREAM_WAIT_MS or until wake(), and takes those that
	 * are there, at most cfg->prefetch: stream_take(). */
	bool (*receive)(struct stream *s);
	/* All that was taken is applied. */
	bool (*ack)(struct stream *s);
	void (*close)(struct stream *s); /* also after open() failed */
	void (*wake)(struct stream *s);  /* any thread, between stream_start() and _stop() */
};
extern const struct stream_ops stream_rabbitmq, stream_kafka;

struct stream {
	const struct config_stream *cfg;
	const struct stream_ops *kind;
	struct stream_sink sink;
	struct password password;
	pthread_t thread;
	bool started;
	/* Under the lock: */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopping, applied;
	/* The thread's; the sink reads the first two while it applies: */
	bool gap;
	struct buf changes;
	unsigned n_taken;
	unsigned failures;   /* in a row */
	unsigned endpoint;   /* the next to try */
	int wake_fd;         /* an eventfd */
	void *broker;        /* the kind's own */
	atomic_bool connected;
#define STREAM_STAT(name, help) _Atomic(uint64_t) name;
#include "stats/stats.def"

};

bool stream_is_stopping(struct stream *s);
/* One message. False: it is malformed, which was counted and logged. */
bool stream_take(struct stream *s, struct slice message);
void stream_gap(struct stream *s);
/* From now on messages come; close() is the end of it. */
void stream_connected(struct stream *s);
/* Logs what went wrong with the connection, at a bounded rate; answers false. */
bool stream_fail(struct stream *s, const char *fmt, ...) PRINTF(2, 3);

#endif
