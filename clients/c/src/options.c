/* options.c - what a connection is made of, and where the sidecar is. */
#include "config.h"

#include <stdlib.h>
#include <time.h>
#include <sys/un.h>

#include "base/mem.h"
#include "clients/c/src/impl.h"

#define DEFAULT_ADDRESS "/run/pannier/pannier.sock"

static int64_t
monotonic_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* xorshift, seeded by time and address: clients of one host must not come back at once. */
static uint32_t
jitter(void *arg)
{
	uint32_t *seed = arg, x = *seed;

	if (x == 0) {
		struct timespec t;

		clock_gettime(CLOCK_MONOTONIC, &t);
		x = (uint32_t)t.tv_nsec ^ (uint32_t)(uintptr_t)seed ^ 0x9e3779b9u;
		x = x != 0 ? x : 1;
	}
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *seed = x;
}

struct pannier_options *
pannier_options_new(void)
{
	struct pannier_options *o = mem_zalloc(sizeof *o);

	if (o == NULL)
		return NULL;
	o->timeout_ms = 1000;
	o->connect_timeout_ms = 250;
	o->max_reply = (uint64_t)1 << 30;
	o->now_us = monotonic_us;
	o->random = jitter;
	return o;
}

static void
forget_address(struct pannier_options *o)
{
	mem_free(o->path);
	mem_free(o->host);
	mem_free(o->port);
	o->path = o->host = o->port = NULL;
}

void
options_fini(struct pannier_options *o)
{
	forget_address(o);
	mem_free(o->password);
	o->password = NULL;
}

void
pannier_options_free(struct pannier_options *o)
{
	if (o == NULL)
		return;
	options_fini(o);
	mem_free(o);
}

static int
take_path(struct pannier_options *o, const char *path)
{
	char *copy;

	if (*path == '\0' || strlen(path) >= sizeof ((struct sockaddr_un *)0)->sun_path)
		return PANNIER_E_ARGS;
	copy = mem_strdup(path);
	if (copy == NULL)
		return PANNIER_E_NOMEM;
	forget_address(o);
	o->path = copy;
	return 0;
}

/* HOST:PORT, [HOST]:PORT */
static int
take_host(struct pannier_options *o, const char *given)
{
	const char *colon = strrchr(given, ':');
	struct slice host = slice_of(given, colon != NULL ? (size_t)(colon - given) : 0);
	char *copy, *port;

	if (host.len > 2 && given[0] == '[' && colon[-1] == ']')
		host = slice_of(given + 1, host.len - 2);
	if (host.len == 0 || colon[1] == '\0' || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
	    strlen(colon + 1) > 5 || atoi(colon + 1) < 1 || atoi(colon + 1) > 65535)
		return PANNIER_E_ARGS;
	copy = mem_slicedup(host);
	port = mem_strdup(colon + 1);
	if (copy == NULL || port == NULL) {
		mem_free(copy);
		mem_free(port);
		return PANNIER_E_NOMEM;
	}
	forget_address(o);
	o->host = copy;
	o->port = port;
	return 0;
}

int
pannier_options_address(struct pannier_options *o, const char *address)
{
	if (strncmp(address, "unix:", 5) == 0)
		return take_path(o, address + 5);
	if (strncmp(address, "tcp:", 4) == 0)
		return take_host(o, address + 4);
	return *address == '/' || *address == '.' ? take_path(o, address) : PANNIER_E_ARGS;
}

int
pannier_options_password(struct pannier_options *o, struct pannier_bytes password)
{
	char *copy = mem_slicedup(slice_from(password));

	if (copy == NULL)
		return PANNIER_E_NOMEM;
	mem_free(o->password);
	o->password = copy;
	o->password_len = password.len;
	return 0;
}

static int
take_ms(uint32_t *to, uint32_t ms)
{
	if (ms == 0 || ms > TIMEOUT_MOST_MS)
		return PANNIER_E_ARGS;
	*to = ms;
	return 0;
}

int
pannier_options_timeout(struct pannier_options *o, uint32_t ms)
{
	return take_ms(&o->timeout_ms, ms);
}

int
pannier_options_connect_timeout(struct pannier_options *o, uint32_t ms)
{
	return take_ms(&o->connect_timeout_ms, ms);
}

int
pannier_options_max_reply(struct pannier_options *o, uint64_t bytes)
{
	if (bytes < 1024 || bytes > UINT32_MAX)
		return PANNIER_E_ARGS;
	o->max_reply = bytes;
	return 0;
}

void
pannier_options_metrics(struct pannier_options *o, pannier_metrics *metrics, void *arg)
{
	o->metrics = metrics;
	o->metrics_arg = arg;
}

static bool
dup_or_null(char **to, const char *from)
{
	*to = from != NULL ? mem_strdup(from) : NULL;
	return (from == NULL) == (*to == NULL);
}

int
options_copy(struct pannier_options *to, const struct pannier_options *from)
{
	const char *env = getenv("PANNIER_SOCKET");
	int rc = PANNIER_E_NOMEM;
	bool ok;

	*to = *from;
	to->path = to->host = to->port = to->password = NULL;
	ok = dup_or_null(&to->path, from->path) && dup_or_null(&to->host, from->host) &&
	    dup_or_null(&to->port, from->port);
	if (ok && from->password != NULL)
		ok = pannier_options_password(to,
		    pannier_bytes(from->password, from->password_len)) == 0;
	if (ok)
		rc = to->path != NULL || to->host != NULL ? 0 :
		    pannier_options_address(to, env != NULL && *env != '\0' ? env : DEFAULT_ADDRESS);
	if (rc != 0)
		options_fini(to);
	return rc;
}
