/* impl.h - what the library's parts know of each other. */
#ifndef PANNIER_CLIENT_IMPL_H
#define PANNIER_CLIENT_IMPL_H

#include <stdbool.h>

#include <pannier.h>

#include "proto/binary.h"

#define PANNIER_VERSION "1.0.0"
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MOST_MS 2000
#define TIMEOUT_MOST_MS 3600000
#define PREFACE_LINE 200       /* bytes kept of what answers in another protocol */
#define ABANDONED_MOST 1024    /* requests given up without a reply: the peer hangs */
#define SEND_QUEUE_MOST ((size_t)1 << 30)

struct pannier_options {
	char *path;         /* unix; or */
	char *host, *port;
	char *password;     /* NULL: none */
	size_t password_len;
	uint32_t timeout_ms, connect_timeout_ms;
	uint64_t max_reply;
	pannier_metrics *metrics;
	void *metrics_arg;
	int64_t (*now_us)(void);    /* tests put others in their place */
	uint32_t (*random)(void *); /* any 32 bits */
	uint32_t seed;
};

/* 0 or a failure with *to freed. The default address is looked for here. */
int options_copy(struct pannier_options *to, const struct pannier_options *from) MUST_CHECK;
void options_fini(struct pannier_options *o);

static inline struct slice
slice_from(struct pannier_bytes b)
{
	return slice_of(b.ptr, b.len);
}

static inline struct pannier_bytes
bytes_from(struct slice s)
{
	return pannier_bytes(s.ptr, s.len);
}

/* 0, or PANNIER_E_ARGS with *why, or PANNIER_E_NOMEM; o is as it was then. The frame is
 * appended to o. timeout_ms: what the request waits. */
int request_write(struct out *o, uint32_t id, const struct pannier_request *r,
    uint32_t timeout_ms, const char **why) MUST_CHECK;
/* How many items its reply may have. */
size_t request_items(const struct pannier_request *r);
/* Whether it may be sent again where the connection ended without a reply. */
bool request_may_repeat(const struct pannier_request *r);

/* What a frame means as the reply to op, slices into the frame. Failures are a status.
 * reply_fini() gives back what it allocated. */
void reply_read(const struct binary_frame *f, enum pannier_op op, size_t n_items,
    struct pannier_reply *out);
void reply_fini(struct pannier_reply *r);
void reply_failure(struct pannier_reply *r, int status, const char *text);
/* With copies of all that it points to; NULL: no memory. */
struct pannier_reply *reply_copy(const struct pannier_reply *r) MUST_CHECK;

struct offer {
	uint32_t version;
	uint64_t max_frame;
	struct pannier_bytes error;
};
/* The body of a preface's frame. NULL, or what is wrong. */
const char *offer_read(const char *body, size_t len, struct offer *out) MUST_CHECK;

/* Of client.c. */
const struct pannier_options *client_options(const struct pannier_client *c);

/* Whether it is open: a request goes out at once. */
bool conn_is_open(const struct pannier_conn *c);

#endif
