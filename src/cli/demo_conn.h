/* demo_conn.h - a client's connection to the sidecar, as any application has
 * one: RESP over the Unix socket, one request at a time. One thread's. */
#ifndef PANNIER_CLI_DEMO_CONN_H
#define PANNIER_CLI_DEMO_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct demo_conn {
	int fd;         /* -1: not open; non-blocking */
	uint64_t id;    /* of the key asked for last */
	int64_t sent_us;
	bool waiting;
	struct buf in;
};

/* 0 or -errno. */
int demo_conn_open(struct demo_conn *c, const char *socket_path) MUST_CHECK;
void demo_conn_close(struct demo_conn *c);
/* GET user:ID. 0 or -errno. */
int demo_conn_ask(struct demo_conn *c, uint64_t id, int64_t now_us) MUST_CHECK;
/* Reads what is there. 1: *value is the answer, good until the next call,
 * *error whether it is one; 0: not here yet; or -errno. */
int demo_conn_read(struct demo_conn *c, struct slice *value, bool *error) MUST_CHECK;

/* INFO of one section, waiting for it. The caller owns *text; 0 or -errno. */
int demo_conn_info(struct demo_conn *c, const char *section, struct buf *text) MUST_CHECK;
/* The number behind "field=" on the line that begins "line:"; -1: none. */
int64_t demo_info_field(struct slice info, const char *line, const char *field);

#endif
