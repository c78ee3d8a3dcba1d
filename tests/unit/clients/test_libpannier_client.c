/* test_libpannier_client.c - calls that wait, against a server that answers each request of
 * a connection with the next of a test's lines. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "clients/c/src/impl.h"
#include "unit/suite.h"

#define OFFER "\xc1\x0b\x93\xa7pannier\x01\x80"
#define DONE "\x03\x92\x00\x09"
#define MISS "\x03\x92\x00\x05"
#define STORED "\x03\x92\x00\x06"
#define HIT "\x06\x93\x00\x00\xc4\x01v"
#define HIT_META "\x0e\x96\x00\x00\xc4\x01v\xcd\x03\xe8\xc0\xc4\x02tt"
#define LEASE "\x06\x93\x00\x08\xc4\x01t"
#define LEASE_OLD "\x0b\x94\x00\x08\xc4\x01t\xc4\x03old"
#define OOM "\x0b\x94\x00\x0f\xa3OOM\xa3why"

static char folder[64], address[128];
static int listening;
static pthread_t thread;
static struct pannier_options *options;

/* What the server says, and what it was asked: a byte for each operation. Nothing here
 * allocates: that is the library's alone, to fail. */
static struct slice lines[8];
static bool ends_after; /* the connection, when the lines are used up */
static char asked[64], last[256];
static ssize_t last_len;
static atomic_uint n_asked;

static void
says(unsigned i, struct slice line)
{
	lines[i] = line;
	n_asked = 0; /* shows it to the server's thread, which looks here first */
}

static void
converse(int fd)
{
	char in[256];
	ssize_t n;

	for (unsigned i = 0; (n = recv(fd, in, sizeof in, 0)) > 0; i++) {
		bool room = n_asked < sizeof asked;
		struct slice say = i == 0 ? SLICE(OFFER) : lines[MIN(i - 1, 7u)];

		if (i != 0 && room) {
			asked[n_asked] = in[2];
			memcpy(last, in, (size_t)n);
			last_len = n;
			n_asked++;
		}
		if (say.len == 0 || send(fd, say.ptr, say.len, MSG_NOSIGNAL) != (ssize_t)say.len)
			return;
		if (ends_after && i != 0 && lines[i].len == 0)
			return;
	}
}

static void *
serve(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		converse(fd);
		close(fd);
	}
	return NULL;
}

static void
listen_at(int family, const struct sockaddr *sa, socklen_t len)
{
	listening = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listening, sa, len), 0);
	ck_assert_int_eq(listen(listening, 5), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
}

static void
stop(void)
{
	shutdown(listening, SHUT_RDWR); /* wakes accept() */
	pthread_join(thread, NULL);
	close(listening);
}

static void
setup(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(folder, sizeof folder, "/tmp/libpannier-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(a.sun_path, sizeof a.sun_path, "%s/s", folder);
	snprintf(address, sizeof address, "unix:%s/s", folder);
	memset(lines, 0, sizeof lines);
	ends_after = false;
	n_asked = 0;
	listen_at(AF_UNIX, (struct sockaddr *)&a, sizeof a);
	options = pannier_options_new();
	ck_assert_int_eq(pannier_options_address(options, address), 0);
	ck_assert_int_eq(pannier_options_timeout(options, 20000), 0);
	ck_assert_int_eq(pannier_options_connect_timeout(options, 20000), 0);
}

static void
teardown(void)
{
	mem_fail_nth(0, 0);
	pannier_options_free(options);
	stop();
	unlink(address + 5);
	rmdir(folder);
}

static struct pannier_client *
connected(void)
{
	struct pannier_client *c;

	ck_assert_int_eq(pannier_client_new(options, &c), 0);
	return c;
}

static bool
was_asked(const char *operations, size_t n)
{
	return n_asked == n && memcmp(asked, operations, n) == 0;
}
#define ASKED(s) was_asked(s, sizeof(s) - 1)

/* --- get or load ---------------------------------------------------------------------- */

static char metrics[256];

static void
count(void *arg, const char *op, const char *status, uint64_t took_us)
{
	size_t at = strlen(metrics);

	(void)arg;
	(void)took_us;
	snprintf(metrics + at, sizeof metrics - at, "%s %s;", op, status);
}

static int
loads(void *arg, struct pannier_bytes key, struct pannier_load *into)
{
	ck_assert_uint_eq(key.len, 1);
	return arg != NULL ? *(int *)arg : pannier_load_put(into, "new", 3);
}

static int
get_or_load(int *fails_with, struct pannier_reply **r)
{
	const struct pannier_how how = { .ttl_ms = 1000, .grace_ms = 60000 };
	struct pannier_client *c;
	int rc;

	metrics[0] = '\0';
	pannier_options_metrics(options, count, NULL);
	c = connected();
	rc = pannier_get_or_load(c, pannier_str("k"), &how, loads, fails_with, r);
	pannier_client_free(c);
	return rc;
}

static bool
holds(const struct pannier_reply *r, const char *value)
{
	return r->value.len == strlen(value) && memcmp(r->value.ptr, value, r->value.len) == 0;
}

START_TEST(a_load_that_fails_is_answered_with_the_stale_value_and_gives_the_lease_back)
{
	struct pannier_reply *r;
	int seven = 7;

	says(0, SLICE(LEASE_OLD));
	says(1, SLICE(DONE));
	ck_assert_int_eq(get_or_load(&seven, &r), PANNIER_STALE);
	ck_assert(holds(r, "old"));
	pannier_reply_free(r);
	ck_assert(ASKED("\x0a\x0b"));
	ck_assert_str_eq(metrics, "LEASE lease;load error;RELEASE done;load stale;");
}
END_TEST

START_TEST(a_load_that_fails_with_nothing_to_fall_back_on_fails_the_call)
{
	struct pannier_reply *r;
	int seven = 7;

	says(0, SLICE(LEASE));
	says(1, SLICE(DONE));
	ck_assert_int_eq(get_or_load(&seven, &r), PANNIER_E_LOADER);
	ck_assert_int_eq(r->number, 7);
	pannier_reply_free(r);
	ck_assert(ASKED("\x0a\x0b"));
}
END_TEST

START_TEST(what_was_loaded_is_stored_with_the_lease_its_time_and_its_grace)
{
	static const char set[] = "\x17\x96\x02\x00\xc4\x01k\xc4\x03new\xcd\x03\xe8\x82\x03\xcd\xea\x60"
				  "\x08\xc4\x01t";
	struct pannier_reply *r;

	says(0, SLICE(LEASE_OLD));
	says(1, SLICE(STORED));
	ck_assert_int_eq(get_or_load(NULL, &r), PANNIER_FILLED);
	ck_assert(holds(r, "new"));
	pannier_reply_free(r);
	ck_assert(ASKED("\x0a\x02"));
	ck_assert_int_eq(last_len, sizeof set - 1);
	ck_assert_mem_eq(last, set, sizeof set - 1);
	ck_assert_str_eq(metrics, "LEASE lease;load ok;SET stored;");
}
END_TEST

START_TEST(a_value_that_is_not_stored_is_returned_and_the_lease_goes_to_the_next)
{
	struct pannier_reply *r;

	says(0, SLICE(LEASE));
	says(1, SLICE(OOM));
	says(2, SLICE(MISS));
	ck_assert_int_eq(get_or_load(NULL, &r), PANNIER_FILLED);
	ck_assert(holds(r, "new"));
	pannier_reply_free(r);
	ck_assert(ASKED("\x0a\x02\x0b"));
}
END_TEST

START_TEST(a_sidecar_that_only_has_errors_is_gone_around)
{
	struct pannier_reply *r;

	says(0, SLICE(OOM));
	ck_assert_int_eq(get_or_load(NULL, &r), PANNIER_FILLED);
	ck_assert(holds(r, "new"));
	pannier_reply_free(r);
	ck_assert(ASKED("\x0a"));
	ck_assert_str_eq(metrics, "LEASE error;load direct;");
}
END_TEST

START_TEST(who_has_waited_in_vain_stores_without_a_lease)
{
	struct pannier_reply *r;

	says(0, SLICE(MISS));
	says(1, SLICE(STORED));
	ck_assert_int_eq(get_or_load(NULL, &r), PANNIER_FILLED);
	pannier_reply_free(r);
	ck_assert(ASKED("\x0a\x02"));
	ck_assert_ptr_null(memmem(last, (size_t)last_len, "\x08\xc4", 2));
}
END_TEST

/* --- the connection -------------------------------------------------------------------- */

START_TEST(a_sidecar_that_was_restarted_is_asked_again_where_that_does_no_harm)
{
	struct pannier_client *c = connected();
	int64_t sum = 0;

	ends_after = true;
	says(0, SLICE(DONE));
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pannier_ping(c), PANNIER_DONE);
	ck_assert_int_eq(pannier_incr(c, pannier_str("n"), 1, 0, 0, &sum), PANNIER_E_AWAY);
	ck_assert_str_ne(pannier_client_error(c), "");
	pannier_client_free(c);
	for (unsigned i = 0; i < n_asked; i++)
		ck_assert_int_eq(asked[i], PANNIER_OP_PING);
}
END_TEST

START_TEST(a_plain_get_is_as_short_as_can_be)
{
	struct pannier_client *c = connected();
	struct pannier_reply *r;

	says(0, SLICE(HIT));
	ck_assert_int_eq(pannier_get(c, pannier_str("k"), &r), PANNIER_HIT);
	ck_assert(holds(r, "v"));
	pannier_reply_free(r);
	pannier_client_free(c);
	ck_assert(ASKED("\x01"));
	ck_assert_int_eq(last_len, 6);
	ck_assert_mem_eq(last, "\x05\x93\x01\x00\xa1k", 6);
}
END_TEST

START_TEST(tcp_works_like_a_unix_socket)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof sa;
	struct pannier_client *c;
	char text[64];

	stop();
	listen_at(AF_INET, (struct sockaddr *)&sa, sizeof sa);
	ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&sa, &len), 0);
	snprintf(text, sizeof text, "tcp:127.0.0.1:%u", ntohs(sa.sin_port));
	ck_assert_int_eq(pannier_options_address(options, text), 0);
	says(0, SLICE(DONE));
	says(1, SLICE(STORED));
	c = connected();
	ck_assert_int_eq(pannier_ping(c), PANNIER_DONE);
	ck_assert_int_eq(pannier_set(c, pannier_str("k"), pannier_str("v"), 0), PANNIER_STORED);
	pannier_client_free(c);
	ck_assert_int_eq(pannier_options_address(options, "tcp:127.0.0.1:1"), 0);
	c = connected();
	ck_assert_int_eq(pannier_ping(c), PANNIER_E_AWAY);
	ck_assert_str_eq(pannier_client_error(c), "nobody listens there; is pannier running?");
	pannier_client_free(c);
}
END_TEST

/* --- without memory ---------------------------------------------------------------------- */

static const struct pannier_bytes many[] = { { "a", 1 }, { "b", 1 } };

#define CALL(name, expression) \
	static int name(struct pannier_client *c, struct pannier_reply **r) \
	{ \
		(void)r; \
		return expression; \
	}
CALL(get, pannier_get(c, many[0], r))
CALL(get_entry, pannier_get_entry(c, many[0], r))
CALL(peek, pannier_peek(c, many[0], r))
CALL(set, pannier_set(c, many[0], many[1], 1000))
CALL(set_if, pannier_set_if(c, many[0], many[1], 1, 1, PANNIER_IF_VALUE, many[1]))
CALL(delete, pannier_delete(c, many[0]))
CALL(touch, pannier_touch(c, many[0], 1))
CALL(incr, pannier_incr(c, many[0], 1, 0, 0, NULL))
CALL(get_many, pannier_get_many(c, many, 2, r))
CALL(set_many, pannier_set_many(c, many, 1, 0, r))
CALL(delete_many, pannier_delete_many(c, many, 2, NULL))
CALL(lease, pannier_lease(c, many[0], 0, r))
CALL(release, pannier_release(c, many[0], many[1]))
CALL(flush, pannier_flush(c))
CALL(stats, pannier_stats(c, "clients", r))
CALL(ping, pannier_ping(c))
CALL(load, pannier_get_or_load(c, many[0], NULL, loads, NULL, r))

static const struct {
	int (*call)(struct pannier_client *c, struct pannier_reply **r);
	struct slice lines[2];
	int status;
} calls[] = {
	{ get, { SLICE(HIT) }, PANNIER_HIT },
	{ get_entry, { SLICE(HIT_META) }, PANNIER_HIT },
	{ peek, { SLICE("\x09\x96\x00\x00\x05\xc0\xc0\xc4\x01t") }, PANNIER_HIT },
	{ set, { SLICE(STORED) }, PANNIER_STORED },
	{ set_if, { SLICE("\x03\x92\x00\x07") }, PANNIER_REFUSED },
	{ delete, { SLICE(DONE) }, PANNIER_DONE },
	{ touch, { SLICE(MISS) }, PANNIER_MISS },
	{ incr, { SLICE("\x04\x93\x00\x06\x05") }, PANNIER_STORED },
	{ get_many, { SLICE("\x0a\x93\x00\x09\x92\x92\x00\xa1v\x91\x05") }, PANNIER_DONE },
	{ set_many, { SLICE(STORED) }, PANNIER_STORED },
	{ delete_many, { SLICE("\x04\x93\x00\x09\x02") }, PANNIER_DONE },
	{ lease, { SLICE(LEASE_OLD) }, PANNIER_LEASE },
	{ release, { SLICE(DONE) }, PANNIER_DONE },
	{ flush, { SLICE(DONE) }, PANNIER_DONE },
	{ stats, { SLICE("\x0f\x94\x00\x09\x81\xa1" "a\x05\x81\xa5Other\x01") }, PANNIER_DONE },
	{ ping, { SLICE(DONE) }, PANNIER_DONE },
	{ load, { SLICE(LEASE), SLICE(STORED) }, PANNIER_FILLED },
};

/* One call of a new client; what it answered, or that there is no client. */
static int
call_once(unsigned i)
{
	struct pannier_reply *r = NULL;
	struct pannier_client *c;
	int rc = pannier_client_new(options, &c);

	if (rc != 0)
		return rc;
	rc = calls[i].call(c, &r);
	pannier_reply_free(r);
	pannier_client_free(c);
	return rc;
}

START_TEST(whichever_allocation_fails_a_call_says_so_or_does_its_work)
{
	unsigned long n = 0, seen;
	int rc;

	memcpy(lines, calls[_i].lines, sizeof calls[_i].lines);
	do {
		n_asked = 0;
		mem_fail_nth(++n, 0);
		rc = call_once((unsigned)_i);
		seen = mem_fail_seen();
		mem_fail_nth(0, 0);
		/* A loader may pass on what pannier_load_put() said. */
		ck_assert_msg(rc == PANNIER_E_NOMEM || rc == calls[_i].status ||
		    (calls[_i].call == load && rc == PANNIER_E_LOADER), "%d at %lu", rc, n);
	} while (seen >= n);
	ck_assert_int_eq(rc, calls[_i].status);
	ck_assert_uint_gt(n, 4);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("libpannier: client");
	TCase *memory = tcase_create("memory");

	SUITE_ADD_FIXTURE(s, "client", setup, teardown,
	    a_load_that_fails_is_answered_with_the_stale_value_and_gives_the_lease_back,
	    a_load_that_fails_with_nothing_to_fall_back_on_fails_the_call,
	    what_was_loaded_is_stored_with_the_lease_its_time_and_its_grace,
	    a_value_that_is_not_stored_is_returned_and_the_lease_goes_to_the_next,
	    a_sidecar_that_only_has_errors_is_gone_around,
	    who_has_waited_in_vain_stores_without_a_lease,
	    a_sidecar_that_was_restarted_is_asked_again_where_that_does_no_harm,
	    a_plain_get_is_as_short_as_can_be, tcp_works_like_a_unix_socket);
	tcase_set_timeout(memory, 60);
	tcase_add_checked_fixture(memory, setup, teardown);
	tcase_add_loop_test(memory, whichever_allocation_fails_a_call_says_so_or_does_its_work, 0,
	    ARRAY_LEN(calls));
	suite_add_tcase(s, memory);
	return suite_main(s);
}
