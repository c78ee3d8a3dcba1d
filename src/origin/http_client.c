/* libcurl tells by two callbacks which descriptors it wants watched and when
 * it wants to be woken, and is told by curl_multi_socket_action() that this
 * has come. It may not be called from within its own callbacks, so these only
 * take notes; attempts end in drain(), when libcurl has returned. */
#include "config.h"

#include "origin/http.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "origin/http_client.h"
#include "origin/tls.h"

struct http_socket {
	struct list link;
	struct watch watch;
	struct http_client *hc;
};

static void
drain(struct http_client *hc)
{
	struct CURLMsg *msg;
	bool ended = false;
	int left;

	while ((msg = hc->curl->multi_info_read(hc->multi, &left)) != NULL) {
		CURLcode result = msg->data.result;
		struct http_attempt *a = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		hc->curl->easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&a);
		http_attempt_end(a, result);
		ended = true;
	}
	if (ended)
		hc->opts.ended(hc->opts.arg);
}

static void
act(struct http_client *hc, curl_socket_t fd, int events)
{
	int running;

	hc->curl->multi_socket_action(hc->multi, fd, events, &running);
	drain(hc);
}

static void
on_ready(struct watch *w, int events)
{
	struct http_socket *s = container_of(w, struct http_socket, watch);
	int mask = 0;

	if ((events & WATCH_READ) != 0)
		mask |= CURL_CSELECT_IN;
	if ((events & WATCH_WRITE) != 0)
		mask |= CURL_CSELECT_OUT;
	if ((events & WATCH_FAILED) != 0)
		mask |= CURL_CSELECT_ERR;
	act(s->hc, w->ev.fd, mask);
}

static void
on_timer(struct timer *t)
{
	act(container_of(t, struct http_client, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int
set_timer(CURLM *multi UNUSED, long timeout_ms, void *arg)
{
	struct http_client *hc = arg;

	if (timeout_ms < 0)
		timer_stop(&hc->timer);
	else
		timer_start(&hc->timer, timeout_ms);
	return 0;
}

/* --- sockets without memory -------------------------------------------------- */

/* To answer libcurl's callback with an error would kill the whole handle and
 * all fetches with it. So the one attempt is marked and ends a moment later. */
static void
doom(struct http_client *hc, CURL *easy)
{
	struct http_attempt *a = NULL;

	hc->curl->easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&a);
	if (a == NULL)
		return;
	a->doomed = true;
	timer_start(&hc->doom_timer, 0);
}

static struct http_attempt *
find_doomed(struct http_client *hc)
{
	list_foreach (it, &hc->attempts) {
		struct http_attempt *a = list_entry(it, struct http_attempt, link);

		if (a->doomed)
			return a;
	}
	return NULL;
}

static void
on_doom(struct timer *t)
{
	struct http_client *hc = container_of(t, struct http_client, doom_timer);
	struct http_attempt *a;

	while ((a = find_doomed(hc)) != NULL)
		http_attempt_end(a, CURLE_OUT_OF_MEMORY);
	hc->opts.ended(hc->opts.arg);
}

/* --- sockets ------------------------------------------------------------------ */

static void
socket_free(struct http_socket *s)
{
	watch_set(&s->watch, 0);
	list_del(&s->link);
	mem_free(s);
}

static struct http_socket *
socket_new(struct http_client *hc, curl_socket_t fd)
{
	struct http_socket *s = mem_zalloc(sizeof *s);

	if (s == NULL)
		return NULL;
	s->hc = hc;
	watch_init(&s->watch, hc->opts.loop, fd, on_ready);
	list_push_tail(&hc->sockets, &s->link);
	hc->curl->multi_assign(hc->multi, fd, s);
	return s;
}

static int
set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http_client *hc = arg;
	struct http_socket *s = socket_arg;
	int events = 0;

	http_conn_watched(hc, fd, what != CURL_POLL_REMOVE);
	if (what == CURL_POLL_REMOVE) {
		if (s != NULL)
			socket_free(s);
		return 0;
	}
	if (s == NULL)
		s = socket_new(hc, fd);
	if (s == NULL) {
		doom(hc, easy);
		return 0;
	}
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= WATCH_READ;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= WATCH_WRITE;
	watch_set(&s->watch, events);
	return 0;
}

/* --- the client ----------------------------------------------------------------- */

/* Where origin_prepare() was called, that was told then, and nothing is left to do. */
static void
prepare_tls(struct http_client *hc)
{
	char err[512];

	if (hc->opts.tls == NULL)
		return;
	if (tls_prepare(hc->opts.tls, err, sizeof err) == 0)
		hc->trust = tls_trust_get(hc->opts.tls);
	else
		log_warn("origin %s: %s", hc->opts.tls->name, err);
}

int
http_client_new(const struct http_opts *o, struct http_client **out)
{
	const struct curl_api *curl = curl_api_get();
	char size[FORMAT_MAX];
	struct http_client *hc;

	if (curl == NULL)
		return -ENOTSUP;
	hc = mem_zalloc(sizeof *hc);
	if (hc == NULL)
		return -ENOMEM;
	hc->curl = curl;
	hc->opts = *o;
	hc->opts.max_connections = MAX(o->max_connections, 1);
	list_init(&hc->attempts);
	list_init(&hc->conns);
	list_init(&hc->sockets);
	timer_init(&hc->timer, o->loop, on_timer);
	timer_init(&hc->doom_timer, o->loop, on_doom);
	format_bytes(size, o->max_body_bytes);
	snprintf(hc->over_text, sizeof hc->over_text, "body over %s", size);
	prepare_tls(hc);
	*out = hc;
	return 0;
}

static bool
multi_set_up(struct http_client *hc, CURLM *multi)
{
	const struct curl_api *curl = hc->curl;
	long max = (long)hc->opts.max_connections;

	return curl->multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, set_socket) == CURLM_OK &&
	    curl->multi_setopt(multi, CURLMOPT_SOCKETDATA, hc) == CURLM_OK &&
	    curl->multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
	    curl->multi_setopt(multi, CURLMOPT_TIMERDATA, hc) == CURLM_OK &&
	    curl->multi_setopt(multi, CURLMOPT_MAXCONNECTS, max) == CURLM_OK &&
	    curl->multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, max) == CURLM_OK;
}

/* Without the last one libcurl would ask for leave to send a large body, and wait. */
static bool
make_put_headers(struct http_client *hc)
{
	static const char *const lines[] = { "Accept-Encoding: identity",
		"Content-Type: application/octet-stream", "Expect:" };

	struct curl_slist *all = NULL;

	if (hc->put_headers != NULL)
		return true;
	for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
		struct curl_slist *more = hc->curl->slist_append(all, lines[i]);

		if (more == NULL) {
			hc->curl->slist_free_all(all);
			return false;
		}
		all = more;
	}
	hc->put_headers = all;
	return true;
}

int
http_client_prepare(struct http_client *hc)
{
	CURLM *multi;

	if (hc->multi != NULL)
		return 0;
	/* With no word on codings a server may choose any (RFC 9110, 12.5.3). */
	if (hc->headers == NULL)
		hc->headers = hc->curl->slist_append(NULL, "Accept-Encoding: identity");
	if (hc->headers == NULL || !make_put_headers(hc))
		return -ENOMEM;
	multi = hc->curl->multi_init();
	if (multi == NULL)
		return -ENOMEM;
	if (!multi_set_up(hc, multi)) {
		hc->curl->multi_cleanup(multi);
		return -ENOMEM;
	}
	hc->multi = multi;
	return 0;
}

CURL *
http_client_take_easy(struct http_client *hc)
{
	CURL *easy;

	if (hc->n_spare > 0)
		return hc->spare[--hc->n_spare];
	easy = hc->curl->easy_init();
	if (easy != NULL && http_attempt_init_easy(hc, easy) != CURLE_OK) {
		hc->curl->easy_cleanup(easy);
		return NULL;
	}
	return easy;
}

void
http_client_give_easy(struct http_client *hc, CURL *easy)
{
	if (hc->n_spare < HTTP_SPARE_MAX)
		hc->spare[hc->n_spare++] = easy;
	else
		hc->curl->easy_cleanup(easy);
}

unsigned
http_client_busy(const struct http_client *hc)
{
	return hc->busy;
}

void
http_client_free(struct http_client *hc)
{
	if (hc == NULL)
		return;
	list_foreach_safe (it, &hc->attempts)
		http_attempt_free(list_entry(it, struct http_attempt, link));
	while (hc->n_spare > 0)
		hc->curl->easy_cleanup(hc->spare[--hc->n_spare]);
	if (hc->multi != NULL)
		hc->curl->multi_cleanup(hc->multi);
	http_conn_forget(hc);
	list_foreach_safe (it, &hc->sockets)
		socket_free(list_entry(it, struct http_socket, link));
	hc->curl->slist_free_all(hc->headers);
	hc->curl->slist_free_all(hc->put_headers);
	tls_trust_free(hc->trust);
	timer_stop(&hc->timer);
	timer_stop(&hc->doom_timer);
	mem_free(hc);
}
