/* redis_tls.h - TLS over a socket that does not block, by OpenSSL 3, which is loaded
 * when the first connection wants it: a plain cache does not carry its 6 MB.
 *
 * A context may be shared by the connections of one loop; a session belongs to one
 * connection. Peers are verified: the chain, and the name or address. */
#ifndef PANNIER_ORIGIN_REDIS_TLS_H
#define PANNIER_ORIGIN_REDIS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/slice.h"
#include "base/util.h"

struct redis_tls_opts {
	const char *ca_file;   /* NULL: what the system trusts */
	const char *cert_file; /* NULL: no client certificate */
	const char *key_file;  /* NULL: in cert_file */
	bool trust_all;        /* any certificate will do: for tests */
	const char *server_name; /* NULL: the host that is connected to */
};

struct redis_tls;
struct redis_tls_session;

/* Reads the files. 0, -ENOMEM, -ENOTSUP (no OpenSSL) or -EINVAL (a file is not what
 * it should be), with one line in err. The options' texts outlive it. */
int redis_tls_new(const struct redis_tls_opts *o, struct redis_tls **out, char *err,
    size_t err_size) MUST_CHECK;
void redis_tls_free(struct redis_tls *t); /* NULL is fine; sessions may outlive it */

/* Over a connected socket, which stays the caller's. NULL: no memory. */
struct redis_tls_session *redis_tls_open(struct redis_tls *t, int fd, struct slice host)
    MUST_CHECK;
void redis_tls_close(struct redis_tls_session *s); /* says good-bye, never waits */

/* These answer -EAGAIN where the socket is not ready; *events is then what to wait
 * for, of loop.h. Other failures have a line in err. */
int redis_tls_handshake(struct redis_tls_session *s, int *events, char *err, size_t err_size)
    MUST_CHECK;
/* Bytes read, 0 at the end. */
ssize_t redis_tls_read(struct redis_tls_session *s, void *to, size_t room, int *events, char *err,
    size_t err_size) MUST_CHECK;
ssize_t redis_tls_write(struct redis_tls_session *s, const void *from, size_t n, int *events,
    char *err, size_t err_size) MUST_CHECK;

#endif
