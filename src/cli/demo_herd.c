/* Act one: so many connections ask for one key that nobody has, all at once. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/demo_parts.h"
#include "cli/demo_show.h"

#define EVENTS 128
#define QUIET_MS 10000 /* the deadline is far below it */

struct herd {
	struct demo *demo;
	struct demo_conn *conns;
	unsigned n_open;
	int epoll;
	char *want;       /* the right answer, owned */
	size_t want_len;
	int64_t begin_us;
	unsigned answered, right, errors;
	struct histogram us;
};

static int
herd_connect(struct herd *h)
{
	unsigned n = h->demo->opts->herd;

	for (; h->n_open < n; h->n_open++) {
		struct demo_conn *c = &h->conns[h->n_open];
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
		int rc = demo_conn_open(c, h->demo->opts->socket);

		if (rc != 0)
			return rc;
		if (epoll_ctl(h->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0) {
			rc = -errno;
			demo_conn_close(c);
			return rc;
		}
	}
	return 0;
}

static int
herd_read(struct herd *h, struct demo_conn *c)
{
	struct slice value;
	bool error;
	int rc = demo_conn_read(c, &value, &error);

	if (rc <= 0)
		return rc;
	histogram_add(&h->us, clock_mono_us() - h->begin_us);
	h->answered++;
	h->errors += error;
	h->right += !error && slice_eq(value, slice_of(h->want, h->want_len));
	return 0;
}

/* All ask, then all are read. */
static int
herd_run(struct herd *h)
{
	struct epoll_event events[EVENTS];
	int rc = 0;

	h->begin_us = clock_mono_us();
	for (unsigned i = 0; i < h->n_open && rc == 0; i++)
		rc = demo_conn_ask(&h->conns[i], DEMO_COLD_ID, h->begin_us);
	while (rc == 0 && h->answered < h->n_open) {
		int n = epoll_wait(h->epoll, events, EVENTS, QUIET_MS);

		if (n == 0 || (n < 0 && errno != EINTR))
			return n == 0 ? -ETIMEDOUT : -errno;
		for (int i = 0; i < n && rc == 0; i++)
			rc = herd_read(h, events[i].data.ptr);
	}
	return rc;
}

static void
herd_report(struct herd *h, const struct demo_figures *before, const struct demo_figures *after)
{
	char a[SHOW_MAX], b[SHOW_MAX], c[SHOW_MAX];
	struct histogram_sum us;

	histogram_sum_init(&us);
	histogram_sum_add(&us, &h->us);
	show_line("  right answers      %s of %s", show_count(a, h->right),
	    show_count(b, h->n_open));
	if (h->errors != 0)
		show_line("  errors             %s", show_count(a, h->errors));
	show_line("  backend requests   %s, where without pannier there were %s",
	    show_count(a, after->backend_requests - before->backend_requests),
	    show_count(b, h->n_open));
	show_line("  coalesced          %s waited for a fetch that was under way",
	    show_count(a, (uint64_t)(after->coalesced - before->coalesced)));
	show_line("  time               p50 %s, p99 %s, last %s",
	    show_us(a, histogram_quantile(&us, 0.5)), show_us(b, histogram_quantile(&us, 0.99)),
	    show_us(c, histogram_max(&us)));
	histogram_sum_fini(&us);
}

static int
herd_prepare(struct herd *h)
{
	char path[64];

	snprintf(path, sizeof path, "/users/%u", DEMO_COLD_ID);
	h->conns = mem_calloc(h->demo->opts->herd, sizeof *h->conns);
	h->want = backend_body(path, DEMO_VALUE_BYTES, &h->want_len);
	h->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (h->conns == NULL || h->want == NULL)
		return -ENOMEM;
	return h->epoll < 0 ? -errno : 0;
}

static void
herd_fini(struct herd *h)
{
	for (unsigned i = 0; i < h->n_open; i++)
		demo_conn_close(&h->conns[i]);
	if (h->epoll >= 0)
		close(h->epoll);
	histogram_fini(&h->us);
	mem_free(h->conns);
	mem_free(h->want);
}

int
demo_herd(struct demo *d, char *err, size_t err_size)
{
	struct herd h = { .demo = d, .epoll = -1 };
	struct demo_figures before, after;
	char a[SHOW_MAX];
	int rc;

	show_title("1. A herd: %s connections GET user:%u at once, and nobody has it yet",
	    show_count(a, d->opts->herd), DEMO_COLD_ID);
	rc = herd_prepare(&h);
	if (rc == 0)
		rc = herd_connect(&h);
	if (rc == 0)
		rc = demo_figures(d, &before);
	if (rc == 0)
		rc = herd_run(&h);
	if (rc == 0)
		rc = demo_figures(d, &after);
	if (rc == 0)
		herd_report(&h, &before, &after);
	else
		snprintf(err, err_size, "the herd got %u of %u answers: %s", h.answered,
		    d->opts->herd, strerror(-rc));
	herd_fini(&h);
	return rc;
}
