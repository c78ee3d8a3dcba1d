#include "config.h"

#include "origin/redis_tls.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "net/loop.h"
#include "origin/dynlib.h"
#include "origin/resolve.h"

#define SSL_LIBRARY "libssl.so.3"

/* Part of OpenSSL 3's interface and ABI (ssl.h, tls1.h, x509_vfy.h). */
#define SSL_FILETYPE_PEM 1
#define SSL_VERIFY_NONE 0
#define SSL_VERIFY_PEER 1
#define SSL_CTRL_MODE 33
#define SSL_CTRL_SET_TLSEXT_HOSTNAME 55
#define SSL_CTRL_SET_MIN_PROTO_VERSION 123
#define TLSEXT_NAMETYPE_host_name 0L
#define TLS1_2_VERSION 0x0303L
#define SSL_MODE_ENABLE_PARTIAL_WRITE 1L
#define SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER 2L
#define SSL_MODE_RELEASE_BUFFERS 16L /* an idle connection holds no 34 KB */
#define SSL_ERROR_SSL 1
#define SSL_ERROR_WANT_READ 2
#define SSL_ERROR_WANT_WRITE 3
#define SSL_ERROR_SYSCALL 5
#define SSL_ERROR_ZERO_RETURN 6
#define X509_V_OK 0L

/* FN(what it returns, name, arguments); those of libcrypto are found through libssl,
 * which depends on it. */
#define SSL_API(FN) \
	FN(const void *, TLS_client_method, (void)) \
	FN(void *, SSL_CTX_new, (const void *method)) \
	FN(void, SSL_CTX_free, (void *ctx)) \
	FN(long, SSL_CTX_ctrl, (void *ctx, int cmd, long larg, void *parg)) \
	FN(void, SSL_CTX_set_verify, (void *ctx, int mode, void *callback)) \
	FN(void *, X509_STORE_new, (void)) \
	FN(int, X509_STORE_set_default_paths, (void *store)) \
	FN(void, SSL_CTX_set1_cert_store, (void *ctx, void *store)) \
	FN(int, SSL_CTX_load_verify_locations, (void *ctx, const char *file, const char *dir)) \
	FN(int, SSL_CTX_use_certificate_chain_file, (void *ctx, const char *file)) \
	FN(int, SSL_CTX_use_PrivateKey_file, (void *ctx, const char *file, int type)) \
	FN(int, SSL_CTX_check_private_key, (const void *ctx)) \
	FN(void *, SSL_new, (void *ctx)) \
	FN(void, SSL_free, (void *ssl)) \
	FN(int, SSL_set_fd, (void *ssl, int fd)) \
	FN(long, SSL_ctrl, (void *ssl, int cmd, long larg, void *parg)) \
	FN(int, SSL_set1_host, (void *ssl, const char *name)) \
	FN(void *, SSL_get0_param, (void *ssl)) \
	FN(int, X509_VERIFY_PARAM_set1_ip_asc, (void *param, const char *address)) \
	FN(void, SSL_set_connect_state, (void *ssl)) \
	FN(int, SSL_do_handshake, (void *ssl)) \
	FN(int, SSL_read, (void *ssl, void *to, int n)) \
	FN(int, SSL_write, (void *ssl, const void *from, int n)) \
	FN(int, SSL_shutdown, (void *ssl)) \
	FN(int, SSL_get_error, (const void *ssl, int rc)) \
	FN(long, SSL_get_verify_result, (const void *ssl)) \
	FN(const char *, X509_verify_cert_error_string, (long error)) \
	FN(unsigned long, ERR_get_error, (void)) \
	FN(const char *, ERR_reason_error_string, (unsigned long error)) \
	FN(void, ERR_clear_error, (void))

struct ssl_api {
#define SSL_API_MEMBER(type, name, args) type (*name) args;
	SSL_API(SSL_API_MEMBER)
#undef SSL_API_MEMBER
};

static struct {
	pthread_once_t once;
	struct ssl_api api;
	bool usable;
	char error[256];
} ssl = { .once = PTHREAD_ONCE_INIT };

/* What the system trusts, for all loops: to read it may take 40 ms. */
static struct {
	pthread_once_t once;
	void *store; /* counted and locked by OpenSSL; NULL: it could not be read */
} trusted = { .once = PTHREAD_ONCE_INIT };

struct redis_tls {
	struct redis_tls_opts opts;
	void *ctx;
};

struct redis_tls_session {
	void *ssl;
	bool up;
};

static void
load(void)
{
	static const struct dynlib_fn functions[] = {
#define SSL_API_ROW(type, name, args) { #name, offsetof(struct ssl_api, name) },
		SSL_API(SSL_API_ROW)
#undef SSL_API_ROW
	};
	char why[200];

	ssl.usable = dynlib_load(SSL_LIBRARY, "libssl3", functions, ARRAY_LEN(functions), &ssl.api,
	    why, sizeof why) == 0;
	if (!ssl.usable)
		snprintf(ssl.error, sizeof ssl.error, "rediss needs OpenSSL 3: %s", why);
}

/* The last error that OpenSSL noted in this thread, and forgets all. */
static const char *
take_reason(void)
{
	unsigned long error = ssl.api.ERR_get_error();
	const char *reason = error != 0 ? ssl.api.ERR_reason_error_string(error) : NULL;

	ssl.api.ERR_clear_error();
	return reason != NULL ? reason : "no reason given";
}

static void
load_trusted(void)
{
	void *store = ssl.api.X509_STORE_new();

	if (store != NULL && ssl.api.X509_STORE_set_default_paths(store) == 1)
		trusted.store = store;
}

/* --- contexts ---------------------------------------------------------------- */

static int PRINTF(3, 4)
refuse(char *err, size_t err_size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, err_size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int
read_files(void *ctx, const struct redis_tls_opts *o, char *err, size_t err_size)
{
	const char *key = o->key_file != NULL ? o->key_file : o->cert_file;

	if (o->ca_file != NULL && ssl.api.SSL_CTX_load_verify_locations(ctx, o->ca_file, NULL) != 1)
		return refuse(err, err_size, "ca_file %s: no certificates in PEM form: %s",
		    o->ca_file, take_reason());
	if (o->ca_file == NULL) {
		pthread_once(&trusted.once, load_trusted);
		if (trusted.store == NULL)
			return refuse(err, err_size, "no certificates of the system: %s",
			    take_reason());
		ssl.api.SSL_CTX_set1_cert_store(ctx, trusted.store);
	}
	if (o->cert_file == NULL)
		return 0;
	if (ssl.api.SSL_CTX_use_certificate_chain_file(ctx, o->cert_file) != 1)
		return refuse(err, err_size, "cert_file %s: no certificate in PEM form: %s",
		    o->cert_file, take_reason());
	if (ssl.api.SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return refuse(err, err_size, "key_file %s: no private key in PEM form: %s", key,
		    take_reason());
	if (ssl.api.SSL_CTX_check_private_key(ctx) != 1)
		return refuse(err, err_size, "key_file %s is not the key of cert_file %s", key,
		    o->cert_file);
	return 0;
}

int
redis_tls_new(const struct redis_tls_opts *o, struct redis_tls **out, char *err, size_t err_size)
{
	struct redis_tls *t;
	int rc;

	pthread_once(&ssl.once, load);
	if (!ssl.usable) {
		snprintf(err, err_size, "%s", ssl.error);
		return -ENOTSUP;
	}
	t = mem_zalloc(sizeof *t);
	if (t == NULL)
		return -ENOMEM;
	t->opts = *o;
	t->ctx = ssl.api.SSL_CTX_new(ssl.api.TLS_client_method());
	if (t->ctx == NULL) {
		redis_tls_free(t);
		return -ENOMEM;
	}
	ssl.api.SSL_CTX_ctrl(t->ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
	ssl.api.SSL_CTX_ctrl(t->ctx, SSL_CTRL_MODE, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS, NULL);
	ssl.api.SSL_CTX_set_verify(t->ctx, o->trust_all ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
	    NULL);
	rc = read_files(t->ctx, o, err, err_size);
	if (rc != 0) {
		redis_tls_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

void
redis_tls_free(struct redis_tls *t)
{
	if (t == NULL)
		return;
	if (t->ctx != NULL)
		ssl.api.SSL_CTX_free(t->ctx);
	mem_free(t);
}

/* --- sessions ----------------------------------------------------------------- */

/* RFC 6066, 3: an address is never sent as the server's name. */
static bool
set_name(void *s, struct slice host)
{
	struct resolve_address number;
	char name[256];

	if (host.len >= 2 && host.ptr[0] == '[')
		host = slice_of(host.ptr + 1, host.len - 2);
	if (host.len >= sizeof name)
		return false;
	memcpy(name, host.ptr, host.len);
	name[host.len] = '\0';
	if (resolve_number(host, 0, &number))
		return ssl.api.X509_VERIFY_PARAM_set1_ip_asc(ssl.api.SSL_get0_param(s), name) == 1;
	return ssl.api.SSL_ctrl(s, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
	    name) == 1 && ssl.api.SSL_set1_host(s, name) == 1;
}

struct redis_tls_session *
redis_tls_open(struct redis_tls *t, int fd, struct slice host)
{
	struct redis_tls_session *s = mem_zalloc(sizeof *s);

	if (s == NULL)
		return NULL;
	s->ssl = ssl.api.SSL_new(t->ctx);
	if (t->opts.server_name != NULL)
		host = slice_str(t->opts.server_name);
	if (s->ssl == NULL || ssl.api.SSL_set_fd(s->ssl, fd) != 1 || !set_name(s->ssl, host)) {
		redis_tls_close(s);
		return NULL;
	}
	ssl.api.SSL_set_connect_state(s->ssl);
	return s;
}

void
redis_tls_close(struct redis_tls_session *s)
{
	if (s == NULL)
		return;
	if (s->ssl != NULL && s->up)
		ssl.api.SSL_shutdown(s->ssl);
	if (s->ssl != NULL)
		ssl.api.SSL_free(s->ssl);
	ssl.api.ERR_clear_error();
	mem_free(s);
}

/* What a call that answered rc <= 0 meant. 0: the end. */
static int
explain(struct redis_tls_session *s, int rc, int error, int *events, char *err, size_t err_size)
{
	long verdict;

	switch (ssl.api.SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		*events = WATCH_READ;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		*events = WATCH_WRITE;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		snprintf(err, err_size, "%s", error != 0 ? strerror(error) : "closed");
		break;
	default:
		verdict = ssl.api.SSL_get_verify_result(s->ssl);
		if (verdict != X509_V_OK && !s->up)
			snprintf(err, err_size, "its certificate is refused: %s",
			    ssl.api.X509_verify_cert_error_string(verdict));
		else
			snprintf(err, err_size, "TLS: %s", take_reason());
	}
	s->up = false; /* no good-bye after an error, as OpenSSL asks */
	ssl.api.ERR_clear_error();
	return -EPROTO;
}

int
redis_tls_handshake(struct redis_tls_session *s, int *events, char *err, size_t err_size)
{
	int rc;

	ssl.api.ERR_clear_error();
	errno = 0;
	rc = ssl.api.SSL_do_handshake(s->ssl);
	if (rc == 1) {
		s->up = true;
		return 0;
	}
	rc = explain(s, rc, errno, events, err, err_size);
	if (rc != 0)
		return rc;
	snprintf(err, err_size, "closed during the TLS handshake");
	return -EPROTO;
}

ssize_t
redis_tls_read(struct redis_tls_session *s, void *to, size_t room, int *events, char *err,
    size_t err_size)
{
	int rc;

	ssl.api.ERR_clear_error();
	errno = 0;
	rc = ssl.api.SSL_read(s->ssl, to, (int)MIN(room, (size_t)INT_MAX));
	return rc > 0 ? rc : explain(s, rc, errno, events, err, err_size);
}

ssize_t
redis_tls_write(struct redis_tls_session *s, const void *from, size_t n, int *events, char *err,
    size_t err_size)
{
	int rc;

	ssl.api.ERR_clear_error();
	errno = 0;
	rc = ssl.api.SSL_write(s->ssl, from, (int)MIN(n, (size_t)INT_MAX));
	return rc > 0 ? rc : explain(s, rc, errno, events, err, err_size);
}
