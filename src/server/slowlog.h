/* slowlog.h - the slow commands that are kept for SLOWLOG GET. One for the
 * daemon, thread-safe: a lock of its own, under which nothing is locked. */
#ifndef PANNIER_SERVER_SLOWLOG_H
#define PANNIER_SERVER_SLOWLOG_H

#include <pthread.h>

#include "base/list.h"
#include "proto/msg.h"

struct session;

struct slowlog {
	pthread_mutex_t lock;
	struct list entries; /* newest first */
	size_t n, bytes;
	uint64_t next_id;
};

/* What all entries take, with their arguments. */
#define SLOWLOG_BYTES_MAX (256u << 10)

void slowlog_init(struct slowlog *l);
void slowlog_fini(struct slowlog *l);
struct slow_what {
	const struct slice *argv;
	uint32_t argc;
	int64_t spent_us;
	unsigned of;       /* the request is the likely one of so many; 1: it was this one */
	const char *cause; /* a literal */
};
/* Without memory it is not kept. max_len: of the whole log. */
void slowlog_add(struct slowlog *l, const struct session *s, const struct slow_what *what,
    uint64_t max_len);
/* Whether an argument of a request is a password: for nobody to see. Pure. */
bool slowlog_is_secret(const struct slice *argv, uint32_t argc, uint32_t i);
size_t slowlog_len(struct slowlog *l);
void slowlog_reset(struct slowlog *l);
/* Writes at most n entries, newest first, in at most about max_bytes; each with its cause
 * as one field more, or as Redis has them. */
void slowlog_reply(struct slowlog *l, size_t n, size_t max_bytes, bool causes, struct reply *r);

#endif
