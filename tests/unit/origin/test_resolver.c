/* A resolver that hangs, stops no loop and outlives no deadline. libcurl calls
 * getaddrinfo() in threads of its own; here it finds the test's. */
#include "config.h"

#include "unit/suite.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit/origin/scripted.h"
#include "unit/origin/world.h"

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned waiting, lookups; /* under lock */
static bool hang, unknown;
static char port[8];

static int
answer_loopback(const struct addrinfo *hints, struct addrinfo **res)
{
	struct addrinfo *ai = calloc(1, sizeof *ai + sizeof(struct sockaddr_in));
	struct sockaddr_in *sin = (struct sockaddr_in *)(ai + 1);

	sin->sin_family = AF_INET;
	sin->sin_port = htons((uint16_t)atoi(port));
	sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ai->ai_family = AF_INET;
	ai->ai_socktype = hints != NULL ? hints->ai_socktype : SOCK_STREAM;
	ai->ai_addrlen = sizeof *sin;
	ai->ai_addr = (struct sockaddr *)sin;
	*res = ai;
	return 0;
}

/* In place of the C library's. */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
    struct addrinfo **res)
{
	int rc;

	ck_assert_str_eq(name, "users.test");
	(void)service;
	pthread_mutex_lock(&lock);
	lookups++;
	waiting++;
	pthread_cond_broadcast(&changed);
	while (hang)
		pthread_cond_wait(&changed, &lock);
	rc = unknown ? EAI_NONAME : answer_loopback(hints, res);
	waiting--;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	return rc;
}

void
freeaddrinfo(struct addrinfo *ai)
{
	free(ai);
}

static void
set_hang(bool on)
{
	pthread_mutex_lock(&lock);
	hang = on;
	pthread_cond_broadcast(&changed);
	while (!on && waiting > 0)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static unsigned
count_lookups(void)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = lookups;
	pthread_mutex_unlock(&lock);
	return n;
}

static struct world world;
static struct scripted *server;

static void
begin(void)
{
	char url[64];

	server = scripted_start(NULL, script_answer, (void *)ANSWER);
	snprintf(port, sizeof port, "%s", strrchr(scripted_url(server), ':') + 1);
	snprintf(url, sizeof url, "http://users.test:%s", port);
	world_open(&world, strdup(url));
}

static void
end(void)
{
	char *url = world.endpoints[0];

	world_close(&world);
	free(url);
	scripted_stop(server);
}

START_TEST(a_name_is_looked_up)
{
	begin();
	check_ok(world_get(&world, "user:1", LONG_MS), "ok");
	check_ok(world_get(&world, "user:2", LONG_MS), "ok");
	ck_assert_uint_eq(count_lookups(), 1);
	end();
}
END_TEST

START_TEST(an_unknown_name_fails)
{
	unknown = true;
	begin();
	check_failed(world_get(&world, "user:1", LONG_MS), "origin users: cannot resolve users.test");
	end();
}
END_TEST

/* Were the loop to wait for the resolver, this test would never end. */
START_TEST(a_resolver_that_hangs_ends_at_the_deadline)
{
	set_hang(true);
	begin();
	check_timeout(world_get(&world, "user:1", 100), "not resolved within 100 ms");
	while (count_lookups() == 0)
		sched_yield();
	ck_assert_uint_eq(count_lookups(), 1);
	set_hang(false);
	check_ok(world_get(&world, "user:2", LONG_MS), "ok");
	end();
}
END_TEST

START_TEST(the_client_can_be_freed_while_the_resolver_hangs)
{
	set_hang(true);
	begin();
	check_timeout(world_get(&world, "user:1", 50), "not resolved");
	world_ask(&world, "user:2", LONG_MS);
	end();
	check_failed(&world.answers[1], "closed");
	set_hang(false); /* whom the lookup belonged to is gone */
}
END_TEST

START_TEST(fetches_that_gave_up_gather_no_threads)
{
	set_hang(true);
	begin();
	for (int i = 0; i < 12; i++)
		world_ask(&world, "user:1", 30);
	world_run(&world);
	for (int i = 0; i < 12; i++)
		world_ask(&world, "user:1", 30);
	world_run(&world);
	ck_assert_uint_le(count_lookups(), 4); /* as many as connections */
	for (int i = 0; i < 24; i++)
		ck_assert_int_eq(world.answers[i].status, ORIGIN_TIMEOUT);
	/* Who queues behind them goes on as soon as the resolver does. */
	world_ask(&world, "user:1", LONG_MS);
	set_hang(false);
	world_run(&world);
	check_ok(&world.answers[24], "ok");
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("resolver");

	SUITE_ADD(s, "resolver", a_name_is_looked_up, an_unknown_name_fails,
	    a_resolver_that_hangs_ends_at_the_deadline,
	    the_client_can_be_freed_while_the_resolver_hangs,
	    fetches_that_gave_up_gather_no_threads);
	return suite_main(s);
}
