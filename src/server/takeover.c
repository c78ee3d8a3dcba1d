#include "config.h"

#include "server/takeover.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pack.h"
#include "net/inherit.h"
#include "net/peer.h"
#include "server/handover_state.h"
#include "server/handover_wire.h"

#define GREETING_MS 10000
/* The other one has a limit of its own, which is shorter but in extreme configurations. */
#define STATE_MS (11 * 60 * 1000)
#define CLIENTS_MS 10000
#define CLIENTS_MAX 1000000

struct takeover {
	int fd;
	pid_t pid;
	bool contents;
	struct cache_past past; /* its fd is ours */
	int64_t begun_us;
};

static int say(char *err, size_t err_size, int rc, const char *fmt, ...) PRINTF(4, 5);

static int
say(char *err, size_t err_size, int rc, const char *fmt, ...)
{
	int n = snprintf(err, err_size, "take-over: ");
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err + n, err_size - (size_t)n, fmt, ap);
	va_end(ap);
	return rc;
}

/* --- the beginning --------------------------------------------------------------------- */

static int
connect_to(const char *path, char *err, size_t err_size)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof sun.sun_path)
		return say(err, err_size, -ENAMETOOLONG, "%s is longer than a Unix socket's path "
		    "may be", path);
	memcpy(sun.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return say(err, err_size, -errno, "%s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&sun, sizeof sun) != 0) {
		int rc = -errno;

		close(fd);
		return say(err, err_size, rc, "%s: %s", path, strerror(-rc));
	}
	return fd;
}

static MUST_CHECK int
check_peer(struct takeover *t, const char *path, char *err, size_t err_size)
{
	struct peer who;
	int rc = peer_read(t->fd, &who);

	if (rc != 0)
		return say(err, err_size, rc, "%s: %s", path, strerror(-rc));
	if (who.uid != geteuid() && who.uid != 0)
		return say(err, err_size, -EPERM, "%s: process %d there runs as user %u, and this "
		    "one as %u; both have to be the same", path, (int)who.pid, who.uid,
		    (unsigned)geteuid());
	t->pid = who.pid;
	return 0;
}

static MUST_CHECK int
hello(struct takeover *t)
{
	struct buf body;
	struct packer p = { .to = &body };
	int rc;

	buf_init(&body);
	pack_u64(&p, HANDOVER_PROTOCOL);
	pack_u64(&p, cache_layout());
	pack_text(&p, PACKAGE_VERSION);
	rc = p.failed ? -ENOMEM : handover_send(t->fd, HANDOVER_HELLO, buf_slice(&body), NULL, 0,
	    GREETING_MS);
	buf_fini(&body);
	return rc;
}

/* Receives what the next message has to be. */
static MUST_CHECK int
expect(struct takeover *t, enum handover_type type, struct handover_message *m, int64_t wait_ms,
    char *err, size_t err_size)
{
	int rc = handover_receive(t->fd, m, wait_ms);
	struct slice why;

	if (rc != 0)
		return say(err, err_size, rc, "process %d: %s", (int)t->pid, handover_error(rc));
	if (m->type == type)
		return 0;
	why = buf_slice(&m->body);
	if (m->type == HANDOVER_REFUSED || m->type == HANDOVER_GIVEN_UP)
		say(err, err_size, 0, "process %d goes on: %.*s", (int)t->pid,
		    (int)MIN(why.len, 200), why.ptr);
	else
		say(err, err_size, 0, "process %d: %s", (int)t->pid, handover_error(-EPROTO));
	handover_message_fini(m);
	return -ECANCELED;
}

static MUST_CHECK int
take_listeners(struct handover_message *m, struct unpacker *u, char *err, size_t err_size)
{
	inherit_lend(true);
	for (unsigned i = 1; i < m->n_fds; i++) {
		bool kept = unpack_u64(u) != 0;
		int rc = inherit_add(m->fds[i], kept, err, err_size);

		if (rc != 0)
			return rc;
		m->fds[i] = -1;
	}
	return 0;
}

static MUST_CHECK int
take_welcome(struct takeover *t, struct handover_message *m, char *err, size_t err_size)
{
	struct unpacker u = { .from = buf_slice(&m->body) };
	uint64_t protocol = unpack_u64(&u), layout = unpack_u64(&u);
	struct slice version = unpack_bytes(&u), why = unpack_bytes(&u);
	int rc;

	cache_past_unpack(&u, &t->past);
	if (u.failed || m->n_fds < 1 || protocol != HANDOVER_PROTOCOL)
		return say(err, err_size, -EPROTO, "process %d: %s", (int)t->pid,
		    handover_error(-EPROTO));
	rc = take_listeners(m, &u, err, err_size);
	if (rc != 0)
		return rc;
	t->past.fd = m->fds[0];
	m->fds[0] = -1;
	t->contents = why.len == 0 && layout == cache_layout();
	log_info("take-over from process %d, version %.*s, begins", (int)t->pid,
	    (int)MIN(version.len, 32), version.ptr);
	if (why.len != 0)
		log_warn("take-over: without contents: %.*s", (int)MIN(why.len, 200), why.ptr);
	else if (!t->contents)
		log_warn("take-over: without contents: version %.*s lays them out in another way",
		    (int)MIN(version.len, 32), version.ptr);
	return 0;
}

int
takeover_begin(const char *path, struct takeover **out, char *err, size_t err_size)
{
	struct takeover *t = mem_zalloc(sizeof *t);
	struct handover_message m;
	int rc;

	*out = NULL;
	if (t == NULL)
		return say(err, err_size, -ENOMEM, "out of memory");
	t->past.fd = -1;
	t->fd = connect_to(path, err, err_size);
	if (t->fd == -ENOENT || t->fd == -ECONNREFUSED) {
		mem_free(t);
		return 1;
	}
	rc = t->fd < 0 ? t->fd : check_peer(t, path, err, err_size);
	if (rc == 0) {
		rc = hello(t);
		if (rc == -EPIPE)
			rc = 0; /* it has left a word why */
		if (rc != 0)
			say(err, err_size, 0, "process %d: %s", (int)t->pid, handover_error(rc));
	}
	if (rc == 0)
		rc = expect(t, HANDOVER_WELCOME, &m, GREETING_MS, err, err_size);
	if (rc == 0) {
		rc = take_welcome(t, &m, err, err_size);
		handover_message_fini(&m);
	}
	if (rc != 0) {
		inherit_close();
		takeover_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

static bool
has_quotas(const struct config *cfg)
{
	for (unsigned i = 0; i < cfg->n_namespaces; i++)
		if (cfg->namespaces[i].min_memory != 0 || cfg->namespaces[i].max_memory != 0)
			return true;
	return false;
}

void
takeover_choose(struct takeover *t, const struct config *cfg)
{
	const char *why = NULL;

	if (t == NULL || !t->contents)
		return;
	if (t->past.policy != (uint64_t)cfg->eviction)
		why = "eviction is another one";
	else if (has_quotas(cfg))
		why = "namespaces have min_memory or max_memory";
	if (why == NULL)
		return;
	log_warn("take-over: without contents: %s", why);
	t->contents = false;
}

const struct cache_past *
takeover_past(const struct takeover *t)
{
	return t != NULL && t->contents ? &t->past : NULL;
}

void
takeover_free(struct takeover *t)
{
	if (t == NULL)
		return;
	if (t->fd >= 0)
		close(t->fd);
	if (t->past.fd >= 0)
		close(t->past.fd);
	mem_free(t);
}

/* --- the end --------------------------------------------------------------------------- */

/* What comes with a STATE message. */
struct arrival {
	uint64_t bytes;
	unsigned n;
	int *fds;
	void *mem; /* mapped, bytes */
};

static MUST_CHECK int
map_state(struct arrival *a, struct handover_message *m)
{
	struct unpacker u = { .from = buf_slice(&m->body) };
	uint64_t n;

	a->bytes = unpack_u64(&u);
	n = unpack_u64(&u);
	if (u.failed || m->n_fds != 1 || n > CLIENTS_MAX || a->bytes == 0)
		return -EPROTO;
	a->fds = mem_calloc(n + 1, sizeof *a->fds);
	a->mem = mmap(NULL, a->bytes, PROT_READ, MAP_PRIVATE, m->fds[0], 0);
	if (a->mem == MAP_FAILED)
		a->mem = NULL;
	if (a->fds == NULL || a->mem == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < n; i++)
		a->fds[i] = -1;
	a->n = (unsigned)n;
	return 0;
}

static MUST_CHECK int
receive_clients(struct takeover *t, struct arrival *a, char *err, size_t err_size)
{
	struct handover_message m;
	unsigned got = 0;

	while (got < a->n) {
		int rc = expect(t, HANDOVER_CLIENTS, &m, CLIENTS_MS, err, err_size);

		if (rc != 0)
			return rc;
		for (unsigned i = 0; i < m.n_fds && got < a->n; i++) {
			a->fds[got++] = m.fds[i];
			m.fds[i] = -1;
		}
		if (m.n_fds == 0)
			got = a->n + 1;
		handover_message_fini(&m);
	}
	return got == a->n ? 0 : say(err, err_size, -EPROTO, "process %d: %s", (int)t->pid,
	    handover_error(-EPROTO));
}

static void
arrival_fini(struct arrival *a)
{
	for (unsigned i = 0; a->fds != NULL && i < a->n; i++)
		if (a->fds[i] >= 0)
			close(a->fds[i]);
	mem_free(a->fds);
	if (a->mem != NULL)
		munmap(a->mem, a->bytes);
}

static MUST_CHECK int
receive_state(struct takeover *t, struct arrival *a, char *err, size_t err_size)
{
	struct handover_message m;
	int rc = expect(t, HANDOVER_STATE, &m, STATE_MS, err, err_size);

	if (rc != 0)
		return rc;
	t->begun_us = clock_mono_us();
	rc = map_state(a, &m);
	handover_message_fini(&m);
	if (rc != 0)
		return say(err, err_size, rc, "process %d: %s", (int)t->pid, handover_error(rc));
	return receive_clients(t, a, err, err_size);
}

/* Where this can be said, everything is ours. If the other one has given up it has closed
 * the way, and left a word; if it was killed it has left none, and there is nobody but us. */
static MUST_CHECK int
say_taken(struct takeover *t, char *err, size_t err_size)
{
	struct handover_message m;
	int rc = handover_send(t->fd, HANDOVER_TAKEN, slice_of("", 0), NULL, 0, CLIENTS_MS);

	if (rc != -EPIPE)
		return rc == 0 ? 0 : say(err, err_size, rc, "process %d: %s", (int)t->pid,
		    handover_error(rc));
	rc = handover_receive(t->fd, &m, 0);
	if (rc != 0) {
		log_warn("take-over: process %d has ended before it was told", (int)t->pid);
		return 0;
	}
	handover_message_fini(&m);
	return say(err, err_size, -ECANCELED, "process %d goes on: it did not wait any longer",
	    (int)t->pid);
}

int
takeover_finish(struct takeover *t, struct server *s, char *err, size_t err_size)
{
	uint64_t contents = t->contents;
	struct arrival a = { 0 };
	unsigned lost = 0;
	int rc = handover_send(t->fd, HANDOVER_READY, slice_of(&contents, sizeof contents), NULL, 0,
	    GREETING_MS);

	if (rc != 0)
		return say(err, err_size, rc, "process %d: %s", (int)t->pid, handover_error(rc));
	rc = receive_state(t, &a, err, err_size);
	if (rc == 0) {
		rc = handover_state_unpack(s, slice_of(a.mem, a.bytes), a.fds, a.n, &lost);
		for (unsigned i = 0; i < a.n; i++)
			a.fds[i] = -1;
		if (rc != 0)
			say(err, err_size, 0, "what process %d told of its state: %s", (int)t->pid,
			    handover_error(rc));
	}
	if (rc == 0)
		rc = say_taken(t, err, err_size);
	arrival_fini(&a);
	if (rc != 0)
		return rc;
	inherit_lend(false);
	inherit_discard();
	log_info("took over from process %d: %u clients, %llu entries, in %.1f ms", (int)t->pid,
	    a.n - lost, (unsigned long long)cache_count(store_cache(s->store)),
	    (double)(clock_mono_us() - t->begun_us) / 1e3);
	if (lost != 0)
		log_warn("take-over: %u clients were on listeners that are no more, and are closed",
		    lost);
	return 0;
}
