/* redis_link.h - a stream of bytes to a Redis server: name, connection, TLS. Nothing
 * in it blocks. Belongs to one loop; lies in what uses it. */
#ifndef PANNIER_ORIGIN_REDIS_LINK_H
#define PANNIER_ORIGIN_REDIS_LINK_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/slice.h"
#include "net/loop.h"
#include "origin/redis_tls.h"
#include "origin/resolve.h"

#define REDIS_HOST_MAX 255

/* Where a server is. */
struct redis_address {
	bool is_unix, tls;
	unsigned port;
	char host[REDIS_HOST_MAX + 1];      /* a name or address without []; the socket's path */
	char name[REDIS_HOST_MAX + 16];     /* for messages: "10.0.0.1:6379", "unix:/path" */
};

/* 0, or -EINVAL: longer than any host. */
int redis_address_tcp(struct redis_address *a, struct slice host, unsigned port, bool tls)
    MUST_CHECK;
int redis_address_unix(struct redis_address *a, struct slice path) MUST_CHECK;

struct redis_link {
	const struct redis_address *to; /* the user's */
	struct loop *loop;
	struct redis_tls *tls;
	struct watch watch;
	struct resolve *lookup;
	struct resolve_answer found;
	struct redis_tls_session *session;
	enum { LINK_CLOSED, LINK_RESOLVING, LINK_CONNECTING, LINK_SECURING, LINK_UP } stage;
	unsigned next;        /* of the addresses found */
	int fd;
	bool read_waits_write, write_waits_read; /* as TLS may */
	char error[256];      /* of the last failure: what, without where */
	void (*up)(struct redis_link *l);
	void (*ready)(struct redis_link *l, int events); /* LINK_UP */
	void (*failed)(struct redis_link *l); /* before it was up; error says why */
};

/* Begins: up() or failed() is called once, later. Or -errno with error set. */
int redis_link_open(struct redis_link *l, struct loop *loop, const struct redis_address *to,
    struct redis_tls *tls) MUST_CHECK;
/* No callback comes any more. Never waits. */
void redis_link_close(struct redis_link *l);
/* What it was doing when its time was over: "no connection to 10.0.0.1:6379". */
void redis_link_doing(const struct redis_link *l, char *text, size_t size);

/* Of one that is up. Bytes, 0 at its end, -EAGAIN, or another -errno with error set. */
ssize_t redis_link_read(struct redis_link *l, void *to, size_t room) MUST_CHECK;
ssize_t redis_link_write(struct redis_link *l, const void *from, size_t n) MUST_CHECK;
/* Reading is always wanted; this says whether writing is. */
void redis_link_want_write(struct redis_link *l, bool yes);

#endif
