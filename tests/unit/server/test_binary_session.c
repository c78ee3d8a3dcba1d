/* Sessions of the binary protocol without memory: at each N the N-th allocation of a
 * request fails. The request is refused or its connection closed, and nothing that
 * was stored is changed by what was refused. */
#include "config.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "proto/binary.h"
#include "unit/server/handlers.h"

static int peer;
static char answer[1 << 16];
static size_t n_answer;

static void
on_turn_over(struct timer *t)
{
	loop_stop(t->loop);
}

static void
turn(void)
{
	struct timer over;

	timer_init(&over, server->loops[0].loop, on_turn_over);
	timer_start(&over, 0);
	loop_run(server->loops[0].loop);
	timer_stop(&over);
}

/* False: the daemon has closed. */
static bool
take(void)
{
	ssize_t n;

	while ((n = recv(peer, answer + n_answer, sizeof answer - n_answer, MSG_DONTWAIT)) > 0)
		n_answer += (size_t)n;
	return n < 0 && errno == EAGAIN;
}

static void
connect_peer(void)
{
	static const char hello[] = "\xc1\x0a\x92\xa7pannier\x01";
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	peer = fds[1];
	atomic_fetch_add(&server->clients, 1);
	atomic_fetch_add(&server->loops[0].assigned, 1);
	session_new(&server->loops[0], fds[0], "unix:/tmp/test.sock");
	ck_assert_int_eq(send(peer, hello, sizeof hello - 1, 0), sizeof hello - 1);
	turn();
	n_answer = 0;
	ck_assert(take());
	ck_assert_uint_gt(n_answer, 12);
	ck_assert_int_eq((unsigned char)answer[0], BINARY_MAGIC);
}

static void
setup(void)
{
	handlers_setup();
	connect_peer();
}

static void
teardown(void)
{
	close(peer);
	turn();
	handlers_teardown();
}

/* The one reply to a request; NULL: the connection was closed instead, and there is
 * another one now. */
static const struct binary_frame *
say(struct slice request)
{
	static struct binary_batch b;
	struct binary_parser ps = { .max_frame = UINT32_MAX, .replies = true };
	size_t used;
	bool open;

	n_answer = 0;
	ck_assert_int_eq(send(peer, request.ptr, request.len, 0), (ssize_t)request.len);
	turn();
	open = take();
	if (!open && n_answer == 0) {
		close(peer);
		mem_fail_nth(0, 0);
		connect_peer();
		return NULL;
	}
	ck_assert_int_eq(binary_parse(&ps, answer, n_answer, &b, &used), PARSE_DONE);
	ck_assert_uint_eq(used, n_answer);
	ck_assert_uint_eq(b.n, 1);
	return &b.req[0];
}

#define SAY(literal) say(SLICE(literal))
#define GET_K "\x05\x93\x01\x02\xa1k"

static bool
is_oom(const struct binary_frame *f)
{
	return f->b == BINARY_error && slice_eq(binary_bytes(&f->argv[0]), SLICE("OOM"));
}

/* What the key k has: none if there is nothing. */
static struct slice
stored(void)
{
	const struct binary_frame *f = SAY(GET_K);

	ck_assert_ptr_nonnull(f);
	return f->b == BINARY_hit ? binary_bytes(&f->argv[0]) : SLICE("nothing");
}

static const struct refused {
	const char *name;
	struct slice request;
	unsigned good;   /* status */
	bool writes;     /* k is another value afterwards */
} requests[] = {
	{ "GET", { GET_K, sizeof GET_K - 1 }, BINARY_hit, false },
	{ "GET, all of it", { "\x08\x94\x01\x02\xa1k\x81\x02\xc3", 9 }, BINARY_hit, false },
	{ "GET_MANY", { "\x08\x93\x07\x02\x92\xa1k\xa1x", 9 }, BINARY_done, false },
	{ "PEEK", { "\x05\x93\x06\x02\xa1k", 6 }, BINARY_hit, false },
	{ "SET", { "\x0a\x94\x02\x02\xa1k\xc4\x03new", 11 }, BINARY_stored, true },
	{ "SET_MANY", { "\x0c\x93\x08\x02\x92\xa1k\xa5newer", 13 }, BINARY_stored, true },
	{ "LEASE", { "\x05\x93\x0a\x02\xa1z", 6 }, BINARY_lease, false },
	{ "STATS", { "\x03\x92\x0d\x02", 4 }, BINARY_done, false },
	{ "PING", { "\x06\x93\x0e\x02\xc4\x01p", 7 }, BINARY_done, false },
	{ "an error", { "\x03\x92\x63\x02", 4 }, BINARY_error, false },
};

START_TEST(without_memory_a_request_is_refused_and_changes_nothing)
{
	const struct refused *r = &requests[_i];
	const struct binary_frame *f;
	bool oom = true;

	for (unsigned n = 1; oom; n++) {
		struct slice now;

		ck_assert_uint_lt(n, 200);
		ck_assert_ptr_nonnull(SAY("\x0a\x94\x02\x01\xa1k\xc4\x03" "old"));
		mem_fail_nth(n, 0);
		f = say(r->request);
		/* An allocation that can be done without may have failed too. */
		oom = mem_fail_seen() >= n;
		mem_fail_nth(0, 0);
		if (f != NULL && !is_oom(f) && r->good == BINARY_lease)
			ck_assert_msg(f->b == BINARY_lease || f->b == BINARY_miss, "%u", f->b);
		else if (f != NULL && !is_oom(f))
			ck_assert_msg(f->b == r->good, "%s at %u: %u", r->name, n, f->b);
		now = f != NULL && is_oom(f) ? stored() : SLICE("old");
		if (f == NULL || is_oom(f) || !r->writes)
			ck_assert_msg(slice_eq(now, SLICE("old")), "%s at %u", r->name, n);
		ck_assert_ptr_nonnull(SAY("\x03\x92\x0c\x01")); /* FLUSH, for leases */
	}
}
END_TEST

START_TEST(a_preface_without_memory_is_no_session)
{
	int fds[2];

	/* As connect_peer(), but that it may end. */
	for (unsigned n = 1; n < 20; n++) {
		close(peer);
		turn();
		mem_fail_nth(n, 0);
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
		peer = fds[1];
		atomic_fetch_add(&server->clients, 1);
		atomic_fetch_add(&server->loops[0].assigned, 1);
		session_new(&server->loops[0], fds[0], "unix:/tmp/test.sock");
		if (send(peer, "\xc1\x14\x93\xa7pannier\x01\x81\xa6" "client\xa1x", 22,
		        MSG_NOSIGNAL) == 22)
			turn();
		mem_fail_nth(0, 0);
		n_answer = 0;
		if (take() && n_answer > 0)
			ck_assert_int_eq((unsigned char)answer[0], BINARY_MAGIC);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("binary_session");
	TCase *loops = tcase_create("requests");

	tcase_set_timeout(loops, 60);
	tcase_add_checked_fixture(loops, setup, teardown);
	tcase_add_loop_test(loops, without_memory_a_request_is_refused_and_changes_nothing, 0,
	    (int)ARRAY_LEN(requests));
	suite_add_tcase(s, loops);
	SUITE_ADD_FIXTURE(s, "preface", setup, teardown, a_preface_without_memory_is_no_session);
	return suite_main(s);
}
