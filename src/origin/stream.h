/* stream.h - a stream of messages that say what is old, from a broker.
 *
 * Libraries for brokers block, so each stream has a thread of its own. It reads a batch
 * of messages, hands the changes to the sink, waits until they are applied, and only
 * then tells the broker that it has them: so each is applied at least once. When the
 * connection is lost it comes back by itself, after a time that grows and that chance
 * spreads. Where messages may have been missed meanwhile, that is a gap, which the sink
 * is told of before anything that came after it.
 *
 * Knows no cache. stream_new() and stream_free() from one thread; what others may call
 * says so. */
#ifndef PANNIER_ORIGIN_STREAM_H
#define PANNIER_ORIGIN_STREAM_H

#include <stdatomic.h>

#include "base/slice.h"
#include "config/config.h"
#include "stats/stats.h"

struct stream;

/* Who applies what streams say. */
struct stream_sink {
	/* On the stream's thread; to be answered by stream_applied(). */
	void (*apply)(void *arg, struct stream *s);
	void *arg;
};

/* What there is to apply, from apply() until stream_applied(): */
bool stream_has_gap(const struct stream *s);
struct slice stream_changes(const struct stream *s); /* for stream_format_next() */
/* Any thread. */
void stream_applied(struct stream *s);

/* Loads the library and reads the password: 0, or -errno with err set, one line. `cfg` must
 * live as long as the stream. */
int stream_new(const struct config_stream *cfg, const struct stream_sink *sink,
    struct stream **out, char *err, size_t err_size) MUST_CHECK;
/* From now on it calls the sink. 0 or -errno. */
int stream_start(struct stream *s) MUST_CHECK;
/* Its thread has ended, and calls the sink no more, when this returns. */
void stream_stop(struct stream *s);
void stream_free(struct stream *s); /* after stream_stop(); NULL is fine */

/* Any thread. */
const struct config_stream *stream_config(const struct stream *s);
bool stream_is_connected(const struct stream *s);
#define STREAM_STAT(name, help) uint64_t name;
struct stream_sum {
#include "stats/stats.def"
};

void stream_sum(const struct stream *s, struct stream_sum *out);

#endif
