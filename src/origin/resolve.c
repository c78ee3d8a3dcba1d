#include "config.h"

#include "origin/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define HOST_MAX 253
/* getaddrinfo() of glibc needs some 20 KB; modules of nsswitch.conf more. */
#define STACK_BYTES (1024 * 1024)

struct resolve {
	struct loop_task task;
	struct loop *loop;
	resolve_done *done;
	void *arg;
	enum { RUNS, POSTED, CANCELLED } state; /* under `lock` */
	struct resolve_answer answer;
	char host[HOST_MAX + 1], port[8];
};

/* Over the state of all: which of thread and caller comes first. Held for a few
 * instructions; loop_post() is called under it, so that a loop cannot be gone. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint threads;

bool
resolve_number(struct slice host, unsigned port, struct resolve_address *a)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&a->sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->sa;
	char text[INET6_ADDRSTRLEN];

	*a = (struct resolve_address){ .len = 0 };
	if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = slice_of(host.ptr + 1, host.len - 2);
	if (host.len >= sizeof text)
		return false;
	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		a->len = sizeof *in;
	} else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		a->len = sizeof *in6;
	}
	return a->len != 0;
}

static void
look_up(struct resolve *r)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct resolve_answer *a = &r->answer;
	struct addrinfo *list = NULL;
	int rc = getaddrinfo(r->host, r->port, &hints, &list);

	a->error = rc == 0 ? "it has no address" : gai_strerror(rc);
	if (rc != 0)
		return;
	for (struct addrinfo *ai = list; ai != NULL && a->n < RESOLVE_ADDRESSES_MAX;
	    ai = ai->ai_next) {
		if (ai->ai_addrlen > sizeof a->addresses[0].sa)
			continue;
		memcpy(&a->addresses[a->n].sa, ai->ai_addr, ai->ai_addrlen);
		a->addresses[a->n++].len = ai->ai_addrlen;
	}
	freeaddrinfo(list);
}

static void *
thread_main(void *arg)
{
	struct resolve *r = arg;
	sigset_t all;
	bool unwanted;

	/* Signals are loop 0's. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	look_up(r);
	pthread_mutex_lock(&lock);
	unwanted = r->state == CANCELLED;
	if (!unwanted) {
		r->state = POSTED;
		loop_post(r->loop, &r->task);
	}
	pthread_mutex_unlock(&lock);
	if (unwanted)
		mem_free(r);
	atomic_fetch_sub(&threads, 1);
	return NULL;
}

static void
on_posted(struct loop *l UNUSED, struct loop_task *t)
{
	struct resolve *r = container_of(t, struct resolve, task);
	bool wanted;

	/* The thread may still be within loop_post(): done() might free the loop. */
	pthread_mutex_lock(&lock);
	wanted = r->state != CANCELLED;
	pthread_mutex_unlock(&lock);
	if (wanted)
		r->done(r->arg, &r->answer);
	mem_free(r);
}

static int
start_thread(struct resolve *r)
{
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	if (atomic_fetch_add(&threads, 1) >= RESOLVE_THREADS_MAX) {
		atomic_fetch_sub(&threads, 1);
		return -EAGAIN;
	}
	rc = pthread_attr_init(&attr);
	if (rc == 0) {
		pthread_attr_setstacksize(&attr, STACK_BYTES);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		rc = pthread_create(&thread, &attr, thread_main, r);
		pthread_attr_destroy(&attr);
	}
	if (rc != 0)
		atomic_fetch_sub(&threads, 1);
	return rc != 0 ? -EAGAIN : 0;
}

int
resolve_start(struct loop *l, struct slice host, unsigned port, resolve_done *done, void *arg,
    struct resolve **out)
{
	struct resolve *r;
	int rc;

	if (host.len == 0 || host.len > HOST_MAX)
		return -EINVAL;
	r = mem_zalloc(sizeof *r);
	if (r == NULL)
		return -ENOMEM;
	r->task.run = on_posted;
	r->loop = l;
	r->done = done;
	r->arg = arg;
	memcpy(r->host, host.ptr, host.len);
	snprintf(r->port, sizeof r->port, "%u", port);
	rc = start_thread(r);
	if (rc != 0) {
		mem_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void
resolve_cancel(struct resolve *r)
{
	/* It frees itself: the thread, or the task that is on its way. */
	pthread_mutex_lock(&lock);
	r->state = CANCELLED;
	pthread_mutex_unlock(&lock);
}
