#include "config.h"

#include "net/hangup.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64

static void
on_events(struct watch *w, int events UNUSED)
{
	struct hangup *h = container_of(w, struct hangup, watch);
	struct epoll_event ev[EVENTS_AT_ONCE];
	int n = epoll_wait(w->ev.fd, ev, EVENTS_AT_ONCE, 0);

	for (int i = 0; i < n; i++)
		h->gone(ev[i].data.ptr);
}

int
hangup_init(struct hangup *h, struct loop *l, void (*gone)(void *arg))
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		return -errno;
	h->gone = gone;
	watch_init(&h->watch, l, fd, on_events);
	watch_set(&h->watch, WATCH_READ);
	return 0;
}

void
hangup_fini(struct hangup *h)
{
	watch_set(&h->watch, 0);
	close(h->watch.ev.fd);
}

int
hangup_add(struct hangup *h, int fd, void *arg)
{
	struct epoll_event ev = { .events = 0, .data.ptr = arg };

	return epoll_ctl(h->watch.ev.fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

void
hangup_del(struct hangup *h, int fd)
{
	struct epoll_event unused = { 0 };

	epoll_ctl(h->watch.ev.fd, EPOLL_CTL_DEL, fd, &unused);
}
