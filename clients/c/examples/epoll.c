/* epoll.c - asks for all keys that are given at once, in a loop of epoll. */
#include "config.h"

#include <pannier.h>

#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

static void
answered(void *arg, const struct pannier_reply *r)
{
	printf("%s: %s %.*s\n", (const char *)arg, pannier_status_name(r->status),
	    (int)r->value.len, (const char *)r->value.ptr);
}

struct watched {
	unsigned generation;
	int fd, events;
};

static void
watch(int ep, const struct pannier_conn *c, struct watched *w)
{
	int fd = pannier_conn_fd(c), wanted = pannier_conn_events(c);
	int is_new = w->fd != fd || w->generation != pannier_conn_generation(c);
	struct epoll_event e = { .events = ((wanted & PANNIER_READ) != 0 ? EPOLLIN : 0u) |
		((wanted & PANNIER_WRITE) != 0 ? EPOLLOUT : 0u) };

	/* A closed descriptor has left the set by itself. */
	if (fd >= 0 && (is_new || w->events != wanted))
		(void)epoll_ctl(ep, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &e);
	*w = (struct watched){ pannier_conn_generation(c), fd, wanted };
}

static void
run(int ep, struct pannier_conn *c)
{
	struct watched w = { 0, -1, 0 };
	struct epoll_event e;

	while (pannier_conn_pending(c) != 0) {
		int ready = 0;

		watch(ep, c, &w);
		if (epoll_wait(ep, &e, 1, pannier_conn_wait_ms(c)) > 0)
			ready = ((e.events & ~(unsigned)EPOLLOUT) != 0 ? PANNIER_READ : 0) |
			    ((e.events & ~(unsigned)EPOLLIN) != 0 ? PANNIER_WRITE : 0);
		pannier_conn_step(c, ready);
	}
}

int
main(int argc, char **argv)
{
	struct pannier_conn *c;
	int ep = epoll_create1(EPOLL_CLOEXEC), rc;

	if (ep < 0 || pannier_conn_new(NULL, &c) != 0) {
		fprintf(stderr, "epoll: no memory, or PANNIER_SOCKET is no address\n");
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		rc = pannier_send(c, &(struct pannier_request){ .op = PANNIER_OP_GET,
		    .key = pannier_str(argv[i]) }, answered, argv[i], NULL);
		if (rc != 0)
			printf("%s: %s\n", argv[i], pannier_status_name(rc));
	}
	run(ep, c);
	pannier_conn_free(c);
	close(ep);
	return 0;
}
