#include "config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/bench_gen.h"
#include "cli/demo_parts.h"

static int
connect_to(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Reads one answer of the backend, which always says Content-Length. */
static bool
read_answer(int fd)
{
	char text[8192];
	size_t n = 0;

	for (;;) {
		ssize_t got = recv(fd, text + n, sizeof text - 1 - n, 0);
		const char *end, *length;

		if (got <= 0)
			return false;
		n += (size_t)got;
		text[n] = '\0';
		end = strstr(text, "\r\n\r\n");
		length = strstr(text, "Content-Length: ");
		if (end != NULL && length != NULL &&
		    n >= (size_t)(end + 4 - text) + strtoul(length + 16, NULL, 10))
			return strncmp(text, "HTTP/1.1 200 ", 13) == 0;
	}
}

static bool
get(int fd, uint64_t id)
{
	char request[128];
	int n = snprintf(request, sizeof request,
	    "GET /users/%llu HTTP/1.1\r\nHost: localhost\r\n\r\n", (unsigned long long)id);

	return send(fd, request, (size_t)n, MSG_NOSIGNAL) == n && read_answer(fd);
}

static void *
client_main(void *arg)
{
	struct direct_client *c = arg;
	struct draw rng = { .state = c->seed };
	struct bench_zipf zipf;
	int fd = connect_to(c->direct->port);

	bench_zipf_init(&zipf, DEMO_KEYS, DEMO_SKEW);
	while (fd >= 0 && !atomic_load(&c->direct->stop)) {
		int64_t from_us = clock_mono_us();

		if (!get(fd, bench_zipf_draw(&zipf, &rng)))
			break;
		histogram_add(&c->us, clock_mono_us() - from_us);
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

void
direct_start(struct direct *d, uint16_t port)
{
	*d = (struct direct){ .port = port };
	for (; d->n < DEMO_DIRECT_THREADS; d->n++) {
		struct direct_client *c = &d->clients[d->n];

		c->direct = d;
		c->seed = 7000 + d->n;
		if (pthread_create(&c->thread, NULL, client_main, c) != 0)
			break; /* fewer samples */
	}
}

void
direct_stop(struct direct *d, struct histogram_sum *us)
{
	histogram_sum_init(us);
	atomic_store(&d->stop, true);
	for (unsigned i = 0; i < d->n; i++) {
		pthread_join(d->clients[i].thread, NULL);
		histogram_sum_add(us, &d->clients[i].us);
		histogram_fini(&d->clients[i].us);
	}
}
