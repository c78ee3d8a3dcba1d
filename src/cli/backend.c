/* A request that must wait holds no thread: its connection is suspended and
 * stands in a heap by the time at which it is due, from which one thread
 * resumes it. libmicrohttpd then calls the handler once more. */
#include "config.h"

#include "cli/backend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/mhd_api.h"

#define CONNECTIONS_MAX 8192
#define CONNECTION_BYTES 8192 /* libmicrohttpd's for a request: GETs are short */

struct request {
	struct MHD_Connection *connection;
	struct backend *backend;
	int64_t due_us;
	bool delayed;
	bool failing;
};

struct backend {
	const struct mhd_api *mhd;
	struct backend_opts opts;
	struct MHD_Daemon *daemon;
	uint16_t port;
	_Atomic(uint64_t) requests, open, peak, drawn;
	pthread_t clock_thread;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t changed;
	struct request **heap; /* the earliest first */
	size_t heap_len, heap_cap;
	bool stopping;
};

/* --- what waits: a binary heap, under the lock ---------------------------------- */

static bool
heap_push(struct backend *b, struct request *r)
{
	size_t i = b->heap_len;

	if (i == b->heap_cap) {
		size_t cap = MAX(2 * b->heap_cap, 64);
		struct request **bigger = mem_realloc(b->heap, cap * sizeof *bigger);

		if (bigger == NULL)
			return false;
		b->heap = bigger;
		b->heap_cap = cap;
	}
	b->heap_len++;
	for (; i > 0 && b->heap[(i - 1) / 2]->due_us > r->due_us; i = (i - 1) / 2)
		b->heap[i] = b->heap[(i - 1) / 2];
	b->heap[i] = r;
	return true;
}

static struct request *
heap_pop(struct backend *b)
{
	struct request *first = b->heap[0], *last = b->heap[--b->heap_len];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < b->heap_len) {
		if (child + 1 < b->heap_len && b->heap[child + 1]->due_us < b->heap[child]->due_us)
			child++;
		if (b->heap[child]->due_us >= last->due_us)
			break;
		b->heap[i] = b->heap[child];
		i = child;
	}
	b->heap[i] = last;
	return first;
}

/* Until something is due, or is put in front, or the backend stops. */
static void
wait_for_due(struct backend *b)
{
	struct timespec until;

	if (b->heap_len == 0) {
		pthread_cond_wait(&b->changed, &b->lock);
		return;
	}
	until.tv_sec = b->heap[0]->due_us / 1000000;
	until.tv_nsec = b->heap[0]->due_us % 1000000 * 1000;
	pthread_cond_timedwait(&b->changed, &b->lock, &until);
}

static void *
clock_main(void *arg)
{
	struct backend *b = arg;

	pthread_mutex_lock(&b->lock);
	while (!b->stopping || b->heap_len > 0) {
		struct MHD_Connection *c;

		if (!b->stopping && (b->heap_len == 0 || b->heap[0]->due_us > clock_mono_us())) {
			wait_for_due(b);
			continue;
		}
		c = heap_pop(b)->connection;
		pthread_mutex_unlock(&b->lock);
		b->mhd->resume_connection(c);
		pthread_mutex_lock(&b->lock);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

/* --- requests -------------------------------------------------------------------- */

/* SplitMix64 of a counter: no state to lock. */
static uint64_t
draw(struct backend *b)
{
	uint64_t x = (atomic_fetch_add(&b->drawn, 1) + 1) * 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static int64_t
draw_latency_us(struct backend *b)
{
	int64_t median_us = (int64_t)b->opts.latency_ms * 1000;
	uint64_t x = draw(b);

	if (x % 50 == 0)
		return 4 * median_us;
	return median_us / 2 + median_us * (int64_t)((x >> 16) % 1001) / 1000;
}

/* Puts the request off. False: no memory for it, answer at once. */
static bool
request_delay(struct request *r)
{
	struct backend *b = r->backend;
	int64_t latency_us = draw_latency_us(b);
	bool put_off = false;

	r->delayed = true;
	if (latency_us <= 0)
		return false;
	r->due_us = clock_mono_us() + latency_us;
	pthread_mutex_lock(&b->lock);
	if (!b->stopping && heap_push(b, r)) {
		/* Under the lock, or it could be resumed before it is suspended. */
		b->mhd->suspend_connection(r->connection);
		pthread_cond_signal(&b->changed);
		put_off = true;
	}
	pthread_mutex_unlock(&b->lock);
	return put_off;
}

static enum MHD_Result
send_body(struct request *r, unsigned status, char *body, size_t len,
    enum MHD_ResponseMemoryMode mode)
{
	struct backend *b = r->backend;
	struct MHD_Response *response = b->mhd->create_response_from_buffer(len, body, mode);
	enum MHD_Result ok;
	char text[48];

	if (response == NULL) {
		mem_free(mode == MHD_RESPMEM_MUST_FREE ? body : NULL);
		return MHD_NO;
	}
	b->mhd->add_response_header(response, "Content-Type", "application/json");
	if (b->opts.max_age_s >= 0 && status == 200) {
		snprintf(text, sizeof text, "max-age=%d", b->opts.max_age_s);
		b->mhd->add_response_header(response, "Cache-Control", text);
	}
	ok = b->mhd->queue_response(r->connection, status, response);
	b->mhd->destroy_response(response);
	return ok;
}

static enum MHD_Result
send_error(struct request *r, unsigned status, const char *text)
{
	return send_body(r, status, (char *)text, strlen(text), MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result
request_answer(struct request *r, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len;
	char *body;

	if (r->failing)
		return send_error(r, 503, "{\"error\":\"overloaded\"}");
	if (slash == NULL || strncmp(slash, "/missing", 8) == 0)
		return send_error(r, 404, "{\"error\":\"no such thing\"}");
	body = backend_body(path, r->backend->opts.value_bytes, &len);
	if (body == NULL)
		return send_error(r, 500, "{\"error\":\"no memory\"}");
	return send_body(r, 200, body, len, MHD_RESPMEM_MUST_FREE);
}

static void
request_count(struct backend *b)
{
	uint64_t now = atomic_fetch_add(&b->open, 1) + 1, peak = atomic_load(&b->peak);

	atomic_fetch_add(&b->requests, 1);
	while (now > peak && !atomic_compare_exchange_weak(&b->peak, &peak, now))
		;
}

/* Called when the head is read, when the (empty) body is, and when the
 * connection was resumed. */
static enum MHD_Result
on_request(void *arg, struct MHD_Connection *c, const char *path, const char *method,
    const char *version UNUSED, const char *upload UNUSED, size_t *upload_len, void **slot)
{
	struct backend *b = arg;
	struct request *r = *slot;

	if (r == NULL) {
		r = mem_zalloc(sizeof *r);
		if (r == NULL)
			return MHD_NO;
		*r = (struct request){ .connection = c, .backend = b,
			.failing = draw(b) % 100 < b->opts.fail_percent };
		*slot = r;
		request_count(b);
		return MHD_YES;
	}
	if (*upload_len != 0) {
		*upload_len = 0;
		return MHD_YES;
	}
	if (strcmp(method, "GET") != 0)
		return send_error(r, 405, "{\"error\":\"only GET\"}");
	if (!r->delayed && request_delay(r))
		return MHD_YES;
	return request_answer(r, path);
}

static void
on_completed(void *arg, struct MHD_Connection *c UNUSED, void **slot,
    enum MHD_RequestTerminationCode how UNUSED)
{
	struct backend *b = arg;

	if (*slot == NULL)
		return;
	atomic_fetch_sub(&b->open, 1);
	mem_free(*slot);
	*slot = NULL;
}

/* --- the daemon ------------------------------------------------------------------- */

static int
daemon_start(struct backend *b, char *err, size_t err_size)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(b->opts.port) };
	unsigned pool = b->opts.threads > 1 ? b->opts.threads : 0;
	const union MHD_DaemonInfo *info;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	errno = 0;
	b->daemon = b->mhd->start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME,
	    b->opts.port, NULL, NULL, on_request, b,
	    MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at,
	    MHD_OPTION_NOTIFY_COMPLETED, on_completed, b,
	    MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
	    MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096u,
	    MHD_OPTION_THREAD_POOL_SIZE, pool, MHD_OPTION_END);
	if (b->daemon == NULL) {
		int rc = errno != 0 ? -errno : -ENOMEM;
		char words[64];

		snprintf(err, err_size, "the backend cannot listen on 127.0.0.1:%u: %s",
		    b->opts.port, strerror_r(-rc, words, sizeof words));
		return rc;
	}
	info = b->mhd->get_daemon_info(b->daemon, MHD_DAEMON_INFO_BIND_PORT);
	b->port = info != NULL ? info->port : b->opts.port;
	return 0;
}

static struct backend *
backend_new(const struct backend_opts *o)
{
	struct backend *b = mem_zalloc(sizeof *b);
	pthread_condattr_t attr;

	if (b == NULL)
		return NULL;
	b->opts = *o;
	/* The second draw makes the first answer one of the slow ones, which
	 * would tell a herd's time wrongly. */
	b->drawn = 2;
	pthread_mutex_init(&b->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->changed, &attr);
	pthread_condattr_destroy(&attr);
	return b;
}

static void
backend_free(struct backend *b)
{
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
	mem_free(b->heap);
	mem_free(b);
}

static void
clock_stop(struct backend *b)
{
	pthread_mutex_lock(&b->lock);
	b->stopping = true;
	pthread_cond_signal(&b->changed);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->clock_thread, NULL);
}

int
backend_start(const struct backend_opts *o, struct backend **out, char *err, size_t err_size)
{
	const struct mhd_api *mhd = mhd_api_get();
	struct backend *b;
	int rc;

	if (mhd == NULL) {
		snprintf(err, err_size, "%s", mhd_api_error());
		return -ENOTSUP;
	}
	b = backend_new(o);
	if (b == NULL) {
		snprintf(err, err_size, "no memory");
		return -ENOMEM;
	}
	b->mhd = mhd;
	rc = -pthread_create(&b->clock_thread, NULL, clock_main, b);
	if (rc != 0) {
		snprintf(err, err_size, "the backend gets no thread");
		backend_free(b);
		return rc;
	}
	rc = daemon_start(b, err, err_size);
	if (rc != 0) {
		clock_stop(b);
		backend_free(b);
		return rc;
	}
	*out = b;
	return 0;
}

/* The clock's thread resumes all that is suspended before it ends, and from
 * then on nothing is: libmicrohttpd must not be stopped before that. */
void
backend_stop(struct backend *b)
{
	if (b == NULL)
		return;
	clock_stop(b);
	b->mhd->stop_daemon(b->daemon);
	backend_free(b);
}

uint16_t
backend_port(const struct backend *b)
{
	return b->port;
}

uint64_t
backend_requests(const struct backend *b)
{
	return atomic_load(&b->requests);
}

uint64_t
backend_peak(const struct backend *b)
{
	return atomic_load(&b->peak);
}
