/* bench_wire.h - requests and replies of the load generator, in the protocols
 * that it speaks itself; libpannier speaks the binary one (bench_lib.h). Made for
 * speed: a request is a copied head with the digits of its key written in; a reply is
 * looked at only as far as it must be. */
#ifndef PANNIER_CLI_BENCH_WIRE_H
#define PANNIER_CLI_BENCH_WIRE_H

#include "base/buf.h"
#include "cli/bench_opts.h"

struct bench_wire {
	enum bench_protocol protocol;
	/* "*2..GET..key:0000", "*3..SET..key:0000"; of memcached "get key:0000"; of the
	 * binary protocol the key alone. */
	char get_head[320], set_head[320];
	size_t get_head_len, set_head_len;
};

enum bench_answer { BENCH_VALUE, BENCH_NOTHING, BENCH_STORED, BENCH_ERROR };

struct bench_reply {
	enum bench_answer answer;
	struct slice text; /* the value, or the error's words */
};

/* When a written key ends; both 0: never. */
struct bench_expiry {
	int64_t ttl_ms;
	int64_t at_unix_ms;
};

void bench_wire_init(struct bench_wire *w, const struct bench_opts *o);
/* BENCH_BINARY: key number id, at most 256 bytes; its length. */
size_t bench_wire_key(const struct bench_wire *w, char *at, uint64_t id);
/* The others: append one request, for key number id. 0 or -ENOMEM. */
int bench_wire_get(const struct bench_wire *w, struct buf *out, uint64_t id) MUST_CHECK;
int bench_wire_set(const struct bench_wire *w, struct buf *out, uint64_t id, struct slice value,
    const struct bench_expiry *expiry) MUST_CHECK;
/* The reply at the start of data: its length, 0 where more is needed, or
 * -EPROTO where it is none. */
int64_t bench_wire_reply(const struct bench_wire *w, struct slice data, struct bench_reply *out);

#endif
