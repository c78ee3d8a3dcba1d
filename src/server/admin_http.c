#include "config.h"

#include "server/admin_http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/socket.h"
#include "server/metrics.h"
#include "server/mhd_api.h"
#include "server/page.h"
#include "server/snapshots.h"

#define CONNECTIONS_MAX 64u
#define CONNECTION_BYTES 16384u /* of a request's head */
#define IDLE_S 30u
#define CLOCK_MS 200u

struct admin_http {
	struct server *server;
	const struct mhd_api *mhd;
	struct MHD_Daemon *daemon;
	struct listen_opts opts;      /* owns path and host by `listen` */
	struct config_listen listen;
	int fd;                       /* ours until the daemon has it; -1 */
	int listen_fd;                /* the same, afterwards the daemon's */
	struct socket_owner owner;
	struct watch watch;           /* libmicrohttpd's epoll */
	struct timer timer;           /* when it wants to look at its connections */
	bool started;
	bool has_some;                /* connections, after the last run */
	char name[128];
};

/* --- answers ------------------------------------------------------------------------- */

static const char *
value_of(struct admin_http *a, struct MHD_Connection *c, const char *header)
{
	return a->mhd->lookup_connection_value(c, MHD_HEADER_KIND, header);
}

/* With what all answers have; r is gone afterwards. */
static enum MHD_Result
queue(struct admin_http *a, struct MHD_Connection *c, unsigned status, struct MHD_Response *r)
{
	enum MHD_Result rc;

	a->mhd->add_response_header(r, "X-Content-Type-Options", "nosniff");
	rc = a->mhd->queue_response(c, status, r);
	a->mhd->destroy_response(r);
	return rc;
}

static enum MHD_Result
answer(struct admin_http *a, struct MHD_Connection *c, unsigned status, const char *type,
    struct slice body)
{
	struct MHD_Response *r = a->mhd->create_response_from_buffer(body.len,
	    (void *)(uintptr_t)body.ptr, MHD_RESPMEM_MUST_COPY);

	if (r == NULL)
		return MHD_NO;
	a->mhd->add_response_header(r, "Content-Type", type);
	a->mhd->add_response_header(r, "Cache-Control", "no-store");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		a->mhd->add_response_header(r, "Allow", "GET, HEAD");
	return queue(a, c, status, r);
}

static enum MHD_Result
answer_text(struct admin_http *a, struct MHD_Connection *c, unsigned status, const char *text)
{
	return answer(a, c, status, "text/plain; charset=utf-8", slice_str(text));
}

static enum MHD_Result
answer_metrics(struct admin_http *a, struct MHD_Connection *c, enum metrics_format format)
{
	struct buf text;
	enum MHD_Result rc;

	if (metrics_write(a->server, format, &text) != 0)
		return answer_text(a, c, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory\n");
	rc = answer(a, c, MHD_HTTP_OK, metrics_content_type(format), buf_slice(&text));
	buf_fini(&text);
	return rc;
}

static enum MHD_Result
serve_metrics(struct admin_http *a, struct MHD_Connection *c)
{
	const char *accept = value_of(a, c, "Accept");
	bool open = accept != NULL && strstr(accept, "application/openmetrics-text") != NULL;

	return answer_metrics(a, c, open ? METRICS_OPENMETRICS : METRICS_PROMETHEUS);
}

static enum MHD_Result
serve_stats(struct admin_http *a, struct MHD_Connection *c)
{
	return answer_metrics(a, c, METRICS_JSON);
}

static enum MHD_Result
serve_health(struct admin_http *a, struct MHD_Connection *c)
{
	return answer_text(a, c, MHD_HTTP_OK, "ok\n");
}

static enum MHD_Result
serve_readiness(struct admin_http *a, struct MHD_Connection *c)
{
	if (a->server->draining)
		return answer_text(a, c, MHD_HTTP_SERVICE_UNAVAILABLE, "draining\n");
	if (snapshots_holds_ready(a->server->snapshots))
		return answer_text(a, c, MHD_HTTP_SERVICE_UNAVAILABLE, "loading the snapshot\n");
	return answer_text(a, c, MHD_HTTP_OK, "ready\n");
}

static enum MHD_Result serve_root(struct admin_http *a, struct MHD_Connection *c);

static const struct page {
	const char *path, *help;
	enum MHD_Result (*serve)(struct admin_http *a, struct MHD_Connection *c);
} pages[] = {
	{ "/", "this list; a page for people to browsers", serve_root },
	{ "/metrics", "all counters, for Prometheus", serve_metrics },
	{ "/stats.json", "the same as JSON", serve_stats },
	{ "/healthz", "200 as long as the daemon lives", serve_health },
	{ "/readyz", "200 while it serves clients, 503 while it starts or stops", serve_readiness },
};

static enum MHD_Result
serve_index(struct admin_http *a, struct MHD_Connection *c)
{
	struct buf text;
	enum MHD_Result rc = MHD_NO;
	int failed = 0;

	buf_init(&text);
	for (size_t i = 0; i < ARRAY_LEN(pages) && failed == 0; i++)
		failed = buf_printf(&text, "%-12s %s\n", pages[i].path, pages[i].help);
	if (failed == 0)
		rc = answer(a, c, MHD_HTTP_OK, "text/plain; charset=utf-8", buf_slice(&text));
	buf_fini(&text);
	return rc;
}

static enum MHD_Result
serve_page(struct admin_http *a, struct MHD_Connection *c)
{
	const char *known = value_of(a, c, "If-None-Match");
	bool changed = known == NULL || strstr(known, page_etag()) == NULL;
	struct slice body = changed ? page_html() : slice_of(NULL, 0);
	struct MHD_Response *r = a->mhd->create_response_from_buffer(body.len,
	    (void *)(uintptr_t)body.ptr, MHD_RESPMEM_PERSISTENT);

	if (r == NULL)
		return MHD_NO;
	a->mhd->add_response_header(r, "Content-Type", "text/html; charset=utf-8");
	a->mhd->add_response_header(r, "Content-Security-Policy", page_policy());
	a->mhd->add_response_header(r, "Cache-Control", "no-cache");
	a->mhd->add_response_header(r, "ETag", page_etag());
	a->mhd->add_response_header(r, "Vary", "Accept");
	a->mhd->add_response_header(r, "Referrer-Policy", "no-referrer");
	return queue(a, c, changed ? MHD_HTTP_OK : MHD_HTTP_NOT_MODIFIED, r);
}

/* Browsers name text/html; curl, and a probe without a word on it, get the list. */
static enum MHD_Result
serve_root(struct admin_http *a, struct MHD_Connection *c)
{
	const char *accept = value_of(a, c, "Accept");

	if (accept != NULL && strstr(accept, "text/html") != NULL)
		return serve_page(a, c);
	return serve_index(a, c);
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *c, const char *path, const char *method,
    const char *version UNUSED, const char *body UNUSED, size_t *body_len, void **state)
{
	static int begun;
	struct admin_http *a = arg;

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return answer_text(a, c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	/* At first there is the head alone; a body, which nobody wants, comes next. */
	if (*state == NULL || *body_len != 0) {
		*state = &begun;
		*body_len = 0;
		return MHD_YES;
	}
	for (size_t i = 0; i < ARRAY_LEN(pages); i++)
		if (strcmp(path, pages[i].path) == 0)
			return pages[i].serve(a, c);
	return answer_text(a, c, MHD_HTTP_NOT_FOUND, "no such page; / lists them\n");
}

/* --- in the loop ----------------------------------------------------------------------- */

/* At its limit of connections libmicrohttpd stops to listen, and begins again only in
 * some later run, for which there may be no event: so while there are connections,
 * and once more, it runs by the clock too. */
static void
turn(struct admin_http *a)
{
	bool had_some = a->has_some;
	MHD_UNSIGNED_LONG_LONG ms = CLOCK_MS;

	a->mhd->run(a->daemon);
	a->has_some = a->mhd->get_daemon_info(a->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
	                  ->num_connections != 0;
	if (a->mhd->get_timeout(a->daemon, &ms) == MHD_YES || had_some || a->has_some)
		timer_start(&a->timer, (int64_t)MIN(ms, CLOCK_MS));
	else
		timer_stop(&a->timer);
}

static void
on_ready(struct watch *w, int events UNUSED)
{
	turn(container_of(w, struct admin_http, watch));
}

static void
on_time(struct timer *t)
{
	turn(container_of(t, struct admin_http, timer));
}

void
admin_http_start(struct admin_http *a)
{
	const union MHD_DaemonInfo *info;
	struct loop *l;

	if (a == NULL)
		return;
	info = a->mhd->get_daemon_info(a->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	l = a->server->loops[0].loop;
	watch_init(&a->watch, l, info->epoll_fd, on_ready);
	timer_init(&a->timer, l, on_time);
	watch_set(&a->watch, WATCH_READ);
	a->started = true;
	turn(a);
}

/* --- life ------------------------------------------------------------------------------- */

static int
start_daemon(struct admin_http *a, char *err, size_t err_size)
{
	a->mhd = mhd_api_get();
	if (a->mhd == NULL) {
		snprintf(err, err_size, "admin_http: %s", mhd_api_error());
		return -ENOTSUP;
	}
	a->daemon = a->mhd->start_daemon(MHD_USE_EPOLL, 0, NULL, NULL,
	    on_request, a, MHD_OPTION_LISTEN_SOCKET, a->fd,
	    MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
	    MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S, MHD_OPTION_END);
	if (a->daemon == NULL) {
		snprintf(err, err_size, "admin_http: libmicrohttpd cannot serve %s", a->name);
		return -ENOMEM;
	}
	a->fd = -1;
	return 0;
}

static int
listen_on(struct admin_http *a, const char *text, char *err, size_t err_size)
{
	struct config_error why;
	char reason[256];
	int rc = config_admin_http_parse(slice_str(text), &a->listen, &why);

	if (rc != 0) {
		snprintf(err, err_size, "admin_http: %s", why.text);
		return rc;
	}
	a->opts = server_listen_opts(&a->listen);
	a->fd = socket_listen(&a->opts, &a->owner, reason, sizeof reason);
	if (a->fd < 0) {
		snprintf(err, err_size, "admin_http: %s", reason);
		return a->fd;
	}
	a->listen_fd = a->fd;
	socket_name(&a->opts, a->fd, a->name, sizeof a->name);
	return 0;
}

int
admin_http_new(struct server *s, struct admin_http **out, char *err, size_t err_size)
{
	const struct config *cfg = routes_config(s->routes);
	struct admin_http *a;
	int rc;

	*out = NULL;
	if (cfg->admin_http == NULL)
		return 0;
	a = mem_zalloc(sizeof *a);
	if (a == NULL) {
		snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	a->server = s;
	a->fd = -1;
	rc = listen_on(a, cfg->admin_http, err, err_size);
	if (rc == 0)
		rc = start_daemon(a, err, err_size);
	if (rc != 0) {
		admin_http_free(a);
		return rc;
	}
	*out = a;
	return 0;
}

void
admin_http_free(struct admin_http *a)
{
	if (a == NULL)
		return;
	if (a->started) {
		watch_set(&a->watch, 0);
		timer_stop(&a->timer);
	}
	if (a->daemon != NULL)
		a->mhd->stop_daemon(a->daemon);
	if (a->fd >= 0)
		close(a->fd);
	if (a->listen.is_unix && a->name[0] != '\0')
		socket_unlink(a->listen.path, &a->owner);
	config_listen_fini(&a->listen);
	mem_free(a);
}

void
admin_http_leave(struct admin_http *a)
{
	if (a != NULL)
		a->owner.kept = true;
}

int
admin_http_fd(const struct admin_http *a)
{
	return a != NULL ? a->listen_fd : -1;
}

bool
admin_http_is_kept(const struct admin_http *a)
{
	return a != NULL && a->owner.kept;
}

const char *
admin_http_name(const struct admin_http *a)
{
	return a != NULL ? a->name : NULL;
}
