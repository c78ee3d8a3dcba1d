#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"
#include "net/conn.h"

/* --- system calls, counted ------------------------------------------------------ */

static unsigned reads_done, writes_done;

ssize_t
recv(int fd, void *mem, size_t n, int flags)
{
	reads_done++;
	return syscall(SYS_recvfrom, fd, mem, n, flags, NULL, NULL);
}

ssize_t
send(int fd, const void *mem, size_t n, int flags)
{
	writes_done++;
	return syscall(SYS_sendto, fd, mem, n, flags, NULL, 0);
}

ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	writes_done++;
	return syscall(SYS_sendmsg, fd, msg, flags);
}

/* --- a protocol of lines ---------------------------------------------------------
 *
 *   e<text>  answers the text          g<n>  answers n bytes, copied
 *   b<n>     n bytes follow; answers   r<n>  answers n bytes, by reference
 *            their number and sum      w     waits: paused until told to go on
 *   q        finish                    h     owes a reply that comes later
 *   c        close                     s<text> says it to the other client
 *   x<line>  does it to the other client  n  the client says what is next */

#define BIG (8 << 20)

static char big[BIG];
static int refs_out;

struct peer {
	struct conn *conn;
	int fd;      /* the client's end */
	int ended;
	enum conn_end why;
	struct peer *other;
	const char *next; /* what the client says when it is told to */
	unsigned inputs; /* calls of on_input() */
	bool greedy;     /* answers whatever is asked for, without a look at conn_out_full() */
};

static void
release_ref(void *owner UNUSED, uint64_t token)
{
	refs_out -= (int)token;
}

static void
put(struct conn *c, const char *text)
{
	out_append(conn_out(c), text, strlen(text));
}

static void
answer_bytes(struct conn *c, struct slice arg, bool by_ref)
{
	uint64_t n = 0;

	ck_assert_int_eq(parse_u64(arg, &n), 0);
	ck_assert_uint_le(n, BIG);
	if (by_ref) {
		const struct out_ref ref = { big, n, release_ref, NULL, 1 };

		refs_out++;
		out_append_ref(conn_out(c), &ref);
	} else {
		out_append(conn_out(c), big, n);
	}
	put(c, "\n");
}

/* Bytes used; 0 and *need while the body is not there. */
static size_t
take_body(struct conn *c, struct slice line, size_t line_len, size_t n, size_t *need)
{
	uint64_t want = 0;
	unsigned sum = 0;
	char text[64];

	ck_assert_int_eq(parse_u64(slice_skip(line, 1), &want), 0);
	if (n < line_len + want) {
		*need = line_len + want;
		return 0;
	}
	for (size_t i = 0; i < want; i++)
		sum = sum * 31 + (unsigned char)line.ptr[line_len + i];
	snprintf(text, sizeof text, "%zu %u\n", (size_t)want, sum);
	put(c, text);
	return line_len + want;
}

static void
answer(struct conn *c, struct slice line)
{
	struct peer *p = conn_data(c);
	struct slice rest = slice_skip(line, 1);

	switch (line.ptr[0]) {
	case 'e':
		out_append(conn_out(c), rest.ptr, rest.len);
		put(c, "\n");
		break;
	case 'g':
	case 'r':
		answer_bytes(c, rest, line.ptr[0] == 'r');
		break;
	case 's':
		out_append(conn_out(p->other->conn), rest.ptr, rest.len);
		put(p->other->conn, "\n");
		conn_flush(p->other->conn);
		break;
	case 'n':
		ck_assert_uint_eq(write(p->fd, p->next, strlen(p->next)), strlen(p->next));
		break;
	case 'x': /* does to the other one what follows */
		answer(p->other->conn, rest);
		break;
	case 'q':
		conn_finish(c);
		break;
	case 'c':
		conn_close(c);
		break;
	case 'w':
		conn_pause(c);
		break;
	case 'h':
		conn_hold(c);
		break;
	default:
		ck_abort_msg("no such line: %.*s", (int)line.len, line.ptr);
	}
}

static bool
stops(const struct peer *p, const char *line)
{
	return line[0] == 'w' || line[0] == 'q' || line[0] == 'c' ||
	    (!p->greedy && conn_out_full(p->conn));
}

static size_t
on_input(struct conn *c, const char *data, size_t n, size_t *need)
{
	struct peer *p = conn_data(c);
	size_t used = 0;
	const char *eol;

	p->inputs++;
	while ((eol = memchr(data + used, '\n', n - used)) != NULL) {
		const char *line = data + used;
		size_t len = (size_t)(eol - line), step = len + 1;

		if (line[0] == 'b') {
			step = take_body(c, slice_of(line, len), len + 1, n - used, need);
			if (step == 0)
				return used;
		} else {
			answer(c, slice_of(line, len));
		}
		used += step;
		if (stops(p, line))
			break;
	}
	return used;
}

static void
on_end(struct conn *c, enum conn_end why)
{
	struct peer *p = conn_data(c);

	ck_assert_int_eq(p->ended, 0);
	p->ended = 1;
	p->why = why;
}

/* What was called, in order: "A0" ahead in slot 0, "N0" near. */
static char calls[256];

static void
note(char what, unsigned slot)
{
	size_t n = strlen(calls);

	snprintf(calls + n, sizeof calls - n, "%c%u", what, slot);
}

static void
on_ahead(struct conn *c, unsigned slot, const char *data, size_t n)
{
	ck_assert_uint_lt(slot, CONN_AHEAD);
	ck_assert_ptr_nonnull(conn_data(c));
	ck_assert_uint_gt(n, 0);
	ck_assert_ptr_nonnull(data);
	note('A', slot);
}

static void
on_near(struct conn *c, unsigned slot)
{
	ck_assert_ptr_nonnull(conn_data(c));
	note('N', slot);
}

static const struct conn_handler handler = {
	.on_input = on_input,
	.on_ahead = on_ahead,
	.on_near = on_near,
	.on_end = on_end,
};

/* --- a loop with some clients --------------------------------------------------------- */

static struct loop *loop;
static struct conn_pool *pool;
static struct peer peers[8];
static const struct conn_limits no_limits = { 0 };

static void
setup(void)
{
	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)('a' + i % 23);
	ck_assert_int_eq(loop_new(0, &loop), 0);
	ck_assert_int_eq(conn_pool_new(loop, &no_limits, &pool), 0);
	for (size_t i = 0; i < ARRAY_LEN(peers); i++)
		peers[i] = (struct peer){ .fd = -1 };
	refs_out = 0;
	calls[0] = '\0';
}

static void
teardown(void)
{
	conn_pool_free(pool);
	loop_free(loop);
	for (size_t i = 0; i < ARRAY_LEN(peers); i++)
		if (peers[i].fd >= 0)
			close(peers[i].fd);
	ck_assert_int_eq(refs_out, 0);
}

static void
limits(struct conn_limits l)
{
	conn_pool_set_limits(pool, &l);
}

static struct peer *
join_fds(struct peer *p, int server_fd, int client_fd)
{
	*p = (struct peer){ .fd = client_fd };
	fcntl(client_fd, F_SETFL, O_NONBLOCK);
	if (conn_new(pool, server_fd, &handler, p, &p->conn) != 0) {
		close(client_fd);
		p->fd = -1;
		return NULL;
	}
	return p;
}

static struct peer *
join(unsigned i)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	return join_fds(&peers[i], fds[0], fds[1]);
}

static struct peer *
join_tcp(unsigned i)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int door = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof at;
	int server;

	ck_assert_int_eq(bind(door, (struct sockaddr *)&at, len), 0);
	ck_assert_int_eq(listen(door, 1), 0);
	ck_assert_int_eq(getsockname(door, (struct sockaddr *)&at, &len), 0);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&at, len), 0);
	server = accept(door, NULL, NULL);
	ck_assert_int_ge(server, 0);
	close(door);
	return join_fds(&peers[i], server, client);
}

static bool
stop_when_idle(void *arg)
{
	loop_stop(arg);
	return false;
}

/* Until nothing is left to do for the loop. */
static void
settle(void)
{
	loop_set_idle(loop, stop_when_idle, loop);
	loop_run(loop);
	loop_set_idle(loop, NULL, NULL);
}

static size_t
say(struct peer *p, const void *data, size_t n)
{
	ssize_t rc = write(p->fd, data, n);

	return rc < 0 ? 0 : (size_t)rc;
}

static void
say_text(struct peer *p, const char *text)
{
	ck_assert_uint_eq(say(p, text, strlen(text)), strlen(text));
	settle();
}

/* All that has come and comes; settles in between. */
static size_t
hear(struct peer *p, char *to, size_t size)
{
	size_t n = 0;
	ssize_t rc;

	settle();
	while (n < size && (rc = read(p->fd, to + n, size - n)) > 0) {
		n += (size_t)rc;
		settle();
	}
	return n;
}

static void
hears_text(struct peer *p, const char *text)
{
	char got[4096];
	size_t n = hear(p, got, sizeof got - 1);

	got[n] = '\0';
	ck_assert_str_eq(got, text);
}

static bool
at_end(struct peer *p)
{
	char c;

	return read(p->fd, &c, 1) == 0;
}

static void
hang_up(struct peer *p)
{
	close(p->fd);
	p->fd = -1;
	settle();
}

/* Sends what a blocking writer would, while the loop reads. */
static void
say_all(struct peer *p, const char *data, size_t n)
{
	size_t sent = 0;

	while (sent < n && !p->ended) {
		sent += say(p, data + sent, n - sent);
		settle();
	}
}

/* --- input ------------------------------------------------------------------------------- */

START_TEST(one_turn_is_one_read_and_one_write_however_many_requests)
{
	struct peer *p = join(0);

	settle();
	reads_done = writes_done = 0;
	say_text(p, "e1\ne2\ne3\n");
	ck_assert_uint_eq(reads_done, 1);
	ck_assert_uint_eq(writes_done, 1);
	hears_text(p, "1\n2\n3\n");
	say_text(p, "e4\nr3\ne5\n");
	ck_assert_uint_eq(reads_done, 2);
	ck_assert_uint_eq(writes_done, 2);
	hears_text(p, "4\nabc\n5\n");
	ck_assert_uint_eq(conn_pool_bytes_in(pool), 18);
	ck_assert_uint_eq(conn_pool_bytes_out(pool), 14);
}
END_TEST

static const char session[] = "ehello\ng5\nb12\nhello\nworld\nr7\ne\nb0\nelast\n";
static const char session_replies[] = "hello\nabcde\n12 1732468272\nabcdefg\n\n0 0\nlast\n";

START_TEST(input_cut_at_every_byte_gives_the_same_replies)
{
	say_text(join(0), session);
	hears_text(&peers[0], session_replies);
	for (size_t cut = 1; cut < sizeof session - 1; cut++) {
		struct peer *p = join(1);

		ck_assert_uint_eq(say(p, session, cut), cut);
		settle();
		ck_assert_uint_eq(say(p, session + cut, sizeof session - 1 - cut),
		    sizeof session - 1 - cut);
		hears_text(p, session_replies);
		ck_assert_uint_eq(conn_pool_bytes(pool), 0);
		hang_up(p);
	}
}
END_TEST

START_TEST(one_byte_at_a_time_gives_the_same_replies)
{
	struct peer *p = join(0);

	for (size_t i = 0; i < sizeof session - 1; i++) {
		ck_assert_uint_eq(say(p, session + i, 1), 1);
		settle();
	}
	hears_text(p, session_replies);
}
END_TEST

START_TEST(a_long_pipeline_fills_the_common_buffer_many_times)
{
	enum { REQUESTS = 30000 };
	struct peer *p = join(0);
	struct buf requests, want, got;

	buf_init(&requests);
	buf_init(&want);
	buf_init(&got);
	for (int i = 0; i < REQUESTS; i++) {
		ck_assert_int_eq(buf_printf(&requests, "enumber %d\n", i), 0);
		ck_assert_int_eq(buf_printf(&want, "number %d\n", i), 0);
	}
	ck_assert_int_eq(buf_reserve(&got, buf_len(&want)), 0);
	while (buf_len(&requests) != 0) {
		buf_consume(&requests, say(p, buf_data(&requests), buf_len(&requests)));
		buf_commit(&got, hear(p, buf_tail(&got), buf_len(&want) - buf_len(&got)));
	}
	ck_assert(slice_eq(buf_slice(&got), buf_slice(&want)));
	buf_fini(&requests);
	buf_fini(&want);
	buf_fini(&got);
	ck_assert_uint_eq(conn_pool_bytes(pool), 0);
}
END_TEST

START_TEST(a_large_request_takes_the_memory_it_needs_and_gives_it_back)
{
	struct peer *p = join(0);
	char head[32], want[64];
	unsigned sum = 0;
	size_t sent = 0, most = 0;

	for (size_t i = 0; i < BIG; i++)
		sum = sum * 31 + (unsigned char)big[i];
	snprintf(head, sizeof head, "b%d\n", BIG);
	snprintf(want, sizeof want, "%d %u\nx\n", BIG, sum);
	say_text(p, head);
	while (sent < BIG) {
		sent += say(p, big + sent, BIG - sent);
		settle();
		ck_assert_uint_le(conn_pool_bytes(pool), MAX(4 * sent, 256 * 1024) + 64);
		most = MAX(most, conn_pool_bytes(pool));
	}
	ck_assert_uint_le(most, BIG + 64); /* exactly what it needs, at the end */
	ck_assert_uint_le(p->inputs, 3);   /* and nobody asked in between */
	say_text(p, "ex\n");
	hears_text(p, want);
	ck_assert_uint_eq(conn_pool_bytes(pool), 0);
}
END_TEST

START_TEST(announcing_much_and_sending_little_costs_little)
{
	struct peer *p = join(0);

	say_text(p, "b4000000000\n");
	say_all(p, big, 1000);
	ck_assert_uint_le(conn_pool_bytes(pool), 256 * 1024);
	ck_assert(!p->ended);
}
END_TEST

START_TEST(a_request_over_the_limit_ends_its_connection_only)
{
	struct peer *p = join(0), *q = join(1), *r = join(2);

	limits((struct conn_limits){ .input_bytes = 100000 });
	say_text(p, "b100001\n");
	ck_assert(p->ended);
	ck_assert_int_eq(p->why, CONN_INPUT_LIMIT);
	say_all(q, big, 100001); /* a line without end */
	ck_assert(q->ended);
	ck_assert_int_eq(q->why, CONN_INPUT_LIMIT);
	say_text(r, "efine\n");
	hears_text(r, "fine\n");
	ck_assert_uint_eq(conn_pool_bytes(pool), 0);
	ck_assert_uint_eq(conn_pool_count(pool), 1);
}
END_TEST

/* --- output ------------------------------------------------------------------------------- */

START_TEST(large_replies_arrive_whole_whatever_the_socket_takes)
{
	static char got[3 * BIG];
	struct peer *p = join(0);
	char text[64];
	size_t n;

	snprintf(text, sizeof text, "ea\nr%d\ng%d\neb\n", BIG, BIG / 2);
	say_text(p, text);
	ck_assert_int_eq(refs_out, 1);
	ck_assert_uint_gt(conn_out_bytes(p->conn), BIG);
	n = hear(p, got, sizeof got);
	ck_assert_uint_eq(n, 2 + BIG + 1 + BIG / 2 + 1 + 2);
	ck_assert_int_eq(memcmp(got, "a\n", 2), 0);
	ck_assert_int_eq(memcmp(got + 2, big, BIG), 0);
	ck_assert_int_eq(memcmp(got + 3 + BIG, big, BIG / 2), 0);
	ck_assert_int_eq(memcmp(got + n - 3, "\nb\n", 3), 0);
	ck_assert_int_eq(refs_out, 0);
	ck_assert_uint_eq(conn_pool_bytes(pool), 0);
}
END_TEST

START_TEST(a_client_that_reads_nothing_is_closed_at_the_hard_limit_in_bounded_memory)
{
	struct peer *p = join(0), *q = join(1);
	size_t most = 0;

	p->greedy = true;
	limits((struct conn_limits){ .output_hard_bytes = 1 << 20 });
	for (int i = 0; i < 10000 && !p->ended; i++) {
		say(p, "g10000\n", 7);
		settle();
		most = MAX(most, conn_pool_bytes(pool));
	}
	ck_assert(p->ended);
	ck_assert_int_eq(p->why, CONN_OUTPUT_LIMIT);
	ck_assert_uint_le(most, 4 << 20);
	ck_assert_uint_eq(conn_pool_bytes(pool), 0);
	say_text(q, "efine\n");
	hears_text(q, "fine\n");
}
END_TEST

START_TEST(above_the_pause_mark_nothing_is_read_and_it_goes_on_when_the_client_reads)
{
	enum { REQUESTS = 3000 };
	static char got[REQUESTS * 1001], requests[REQUESTS * 6 + 1];
	struct peer *p = join(0);
	size_t n;

	limits((struct conn_limits){ .output_pause_bytes = 100000,
	    .output_hard_bytes = 200000 });
	for (int i = 0; i < REQUESTS; i++)
		strcpy(requests + i * 6, "g1000\n");
	say_text(p, requests);
	ck_assert(!p->ended);
	ck_assert_uint_le(conn_out_bytes(p->conn), 101001);
	ck_assert_uint_le(conn_pool_bytes(pool), 400000);
	n = hear(p, got, sizeof got);
	ck_assert_uint_eq(n, sizeof got);
	for (int i = 0; i < REQUESTS; i++)
		ck_assert_int_eq(memcmp(got + i * 1001, big, 1000), 0);
	ck_assert_uint_eq(conn_pool_bytes(pool), 0);
}
END_TEST

static struct peer *awaited;

static void
stop_if_ended(struct timer *t)
{
	if (awaited->ended)
		loop_stop(t->loop);
	else
		timer_start(t, 5);
}

START_TEST(unsent_for_too_long_above_the_soft_limit_is_the_end)
{
	struct peer *p = join(0), *q = join(1), *r = join(2);
	struct timer t;
	static char got[BIG];

	limits((struct conn_limits){ .output_soft_bytes = 100000, .output_soft_ms = 500 });
	say_text(p, "g2000000\n");
	say_text(q, "g2000000\n");
	say_text(r, "g100000\n"); /* not above it */
	hear(q, got, 2000001);    /* and he reads in time */
	awaited = p;
	timer_init(&t, loop, stop_if_ended);
	timer_start(&t, 5);
	loop_run(loop);
	ck_assert_int_eq(p->why, CONN_OUTPUT_LIMIT);
	ck_assert(!q->ended && !r->ended);
	settle();
}
END_TEST

START_TEST(when_all_together_hold_too_much_the_largest_goes)
{
	struct peer *p = join(0), *q = join(1), *r = join(2);

	limits((struct conn_limits){ .total_bytes = 3 << 20 });
	say_text(p, "g1000000\n");
	say_text(q, "g2000000\n");
	ck_assert(!p->ended && !q->ended);
	say_text(r, "b3000000\n");
	say_all(r, big, 1000000);
	ck_assert(q->ended || r->ended);
	ck_assert(!p->ended);
	ck_assert_uint_le(conn_pool_bytes(pool), 3 << 20);
}
END_TEST

/* In one turn, each would fill what it may hold alone. */
START_TEST(many_who_are_greedy_at_once_are_held_up_before_any_must_go)
{
	enum { REQUESTS = 3000 };
	static char got[REQUESTS * 1001], requests[REQUESTS * 6 + 1];
	unsigned i;

	limits((struct conn_limits){ .output_pause_bytes = 1 << 20,
	    .output_hard_bytes = 2 << 20, .total_bytes = 4 << 20 });
	for (i = 0; i < REQUESTS; i++)
		strcpy(requests + i * 6, "g1000\n");
	for (i = 0; i < 8; i++)
		say(join(i), requests, sizeof requests - 1);
	settle();
	for (i = 0; i < 8; i++)
		ck_assert(!peers[i].ended);
	ck_assert_uint_le(conn_pool_bytes(pool), 4 << 20);
	for (i = 0; i < 8; i++)
		ck_assert_uint_eq(hear(&peers[i], got, sizeof got), sizeof got);
	ck_assert_uint_eq(conn_pool_bytes(pool), 0);
}
END_TEST

START_TEST(idle_connections_hold_no_memory)
{
	for (unsigned i = 0; i < 4; i++) {
		join(i);
		say_text(&peers[i], "ehello\ng100000\nb3\nabcr5\n");
		ck_assert_uint_eq(hear(&peers[i], big + BIG / 2, 200000),
		    6 + 100001 + strlen("3 96354\n") + 6);
	}
	ck_assert_uint_eq(conn_pool_count(pool), 4);
	ck_assert_uint_eq(conn_pool_bytes(pool), 0);
	say_text(&peers[2], "eunfinish");
	ck_assert_uint_gt(conn_pool_bytes(pool), 0);
	ck_assert_uint_eq(conn_in_bytes(peers[2].conn), 9);
	say_text(&peers[2], "ed\n");
	hears_text(&peers[2], "unfinished\n");
	ck_assert_uint_eq(conn_pool_bytes(pool), 0);
}
END_TEST

START_TEST(output_for_another_connection_goes_there)
{
	struct peer *p = join(0), *q = join(1);

	p->other = q;
	q->other = p;
	say_text(p, "e1\nsfrom p\ne2\n");
	say_text(q, "sfrom q\nsagain\n");
	hears_text(q, "from p\n");
	hears_text(p, "1\n2\nfrom q\nagain\n");
	ck_assert_uint_eq(conn_pool_bytes(pool), 0);
}
END_TEST

/* --- several at once ---------------------------------------------------------------------------- */

#define CROWD 3

/* All are readable in one turn, and in that one they say what is given here: the
 * loop expects a crowd in the turn after a crowd. In which order they are read is
 * libev's business: what befalls the second one, the first and the third one do. */
static void
crowd_says(const char *const says[CROWD])
{
	for (unsigned i = 0; i < CROWD; i++) {
		peers[i].other = &peers[1];
		peers[i].next = says[i];
		ck_assert_uint_eq(say(&peers[i], "n\n", 2), 2);
	}
	settle();
}

static void
crowd_comes(void)
{
	for (unsigned i = 0; i < CROWD; i++)
		join(i);
}

START_TEST(in_a_crowd_sockets_are_read_before_the_first_is_served)
{
	crowd_comes();
	crowd_says((const char *[]){ "ea\n", "eb\n", "ec\n" });
	/* The first turn is nobody's crowd: nothing was noted then. */
	ck_assert_str_eq(calls, "A0A1N0A2N1N2");
	hears_text(&peers[0], "a\n");
	hears_text(&peers[1], "b\n");
	hears_text(&peers[2], "c\n");
}
END_TEST

START_TEST(more_than_is_read_ahead_is_served_as_well)
{
	static char many[6001];

	memset(many, 'e', sizeof many - 1);
	for (size_t i = 1; i < sizeof many - 1; i += 2)
		many[i] = '\n';
	crowd_comes();
	for (unsigned round = 0; round < 3; round++) {
		crowd_says((const char *[]){ many, "eb\n", "ec\n" });
		ck_assert_uint_eq(hear(&peers[0], big, sizeof many), sizeof many / 2);
		hears_text(&peers[1], "b\n");
		hears_text(&peers[2], "c\n");
	}
}
END_TEST

START_TEST(what_was_read_ahead_of_a_connection_that_was_closed_is_dropped)
{
	crowd_comes();
	crowd_says((const char *[]){ "xc\nea\n", "eb\n", "xc\nec\n" });
	ck_assert_int_eq(peers[1].ended, 1);
	ck_assert(at_end(&peers[1]));
	hears_text(&peers[0], "a\n");
	hears_text(&peers[2], "c\n");
}
END_TEST

START_TEST(what_was_read_ahead_of_a_connection_that_was_paused_is_kept)
{
	crowd_comes();
	crowd_says((const char *[]){ "xw\n", "eb\n", "xw\n" });
	hears_text(&peers[1], "");
	ck_assert_uint_eq(conn_in_bytes(peers[1].conn), 3);
	conn_resume(peers[1].conn);
	hears_text(&peers[1], "b\n");
}
END_TEST

START_TEST(what_was_read_ahead_comes_behind_what_others_said_to_it)
{
	crowd_comes();
	crowd_says((const char *[]){ "shello\n", "eb\nb4\nab", "shello\n" });
	hears_text(&peers[1], "hello\nb\nhello\n");
	ck_assert_uint_eq(say(&peers[1], "cd", 2), 2);
	hears_text(&peers[1], "4 2987074\n");
}
END_TEST

/* --- pausing --------------------------------------------------------------------------------- */

START_TEST(a_paused_connection_keeps_its_input_until_it_resumes)
{
	struct peer *p = join(0);

	say_text(p, "e1\nw\ne2\n");
	say_text(p, "e3\n");
	hears_text(p, "1\n");
	conn_resume(p->conn);
	hears_text(p, "2\n3\n");
	conn_resume(p->conn); /* nothing happens */
	conn_kick(p->conn);
	say_text(p, "e4\n");
	hears_text(p, "4\n");
}
END_TEST

START_TEST(a_paused_connection_does_not_spin_on_what_it_does_not_read)
{
	struct peer *p = join(0);

	say_text(p, "w\n");
	say_text(p, "e1\n");
	reads_done = 0;
	for (int i = 0; i < 10; i++)
		settle();
	ck_assert_uint_eq(reads_done, 0);
	conn_resume(p->conn);
	hears_text(p, "1\n");
}
END_TEST

START_TEST(a_paused_connection_sees_its_peer_go)
{
	struct peer *p = join(0), *q = join(1), *r = join(2);

	say_text(p, "w\n");
	hang_up(p);
	ck_assert(p->ended);
	ck_assert_int_eq(p->why, CONN_EOF);
	say_text(q, "w\n");
	say_text(q, "e1\n"); /* behind what is not read */
	hang_up(q);
	ck_assert(q->ended);
	ck_assert_int_eq(q->why, CONN_EOF);
	say_text(r, "w\n");
	ck_assert_uint_eq(say(r, "e1\n", 3), 3); /* both at once */
	hang_up(r);
	ck_assert(r->ended);
}
END_TEST

START_TEST(a_paused_connection_whose_peer_half_closed_still_gets_its_replies)
{
	struct peer *p = join(0);

	say_text(p, "e1\nw\ne2\n");
	shutdown(p->fd, SHUT_WR);
	settle();
	ck_assert(!p->ended);
	conn_resume(p->conn);
	hears_text(p, "1\n2\n");
	ck_assert(p->ended);
	ck_assert_int_eq(p->why, CONN_EOF);
	ck_assert(at_end(p));
}
END_TEST

START_TEST(tcp_half_closed_or_closed_while_paused_is_told_by_a_reset)
{
	struct peer *p = join_tcp(0), *q = join_tcp(1);

	say_text(p, "w\n");
	shutdown(p->fd, SHUT_WR);
	settle();
	ck_assert(!p->ended);
	conn_resume(p->conn);
	settle();
	ck_assert(p->ended);
	say_text(q, "w\n");
	say_text(q, "e1\n");
	setsockopt(q->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	hang_up(q); /* a reset */
	ck_assert(q->ended);
}
END_TEST

/* --- the end ------------------------------------------------------------------------------------ */

START_TEST(a_half_closed_client_gets_all_its_replies)
{
	static char got[BIG];
	struct peer *p = join(0);

	ck_assert_uint_eq(say(p, "e1\nr4000000\ne2\n", 15), 15);
	shutdown(p->fd, SHUT_WR);
	settle();
	ck_assert(!p->ended);
	ck_assert_uint_eq(hear(p, got, sizeof got), 4000005);
	ck_assert_int_eq(memcmp(got + 4000002, "\n2\n", 3), 0);
	ck_assert(p->ended);
	ck_assert_int_eq(p->why, CONN_EOF);
}
END_TEST

START_TEST(a_half_closed_client_is_waited_for_while_replies_are_owed)
{
	struct peer *p = join(0), *q = join(1);

	ck_assert_uint_eq(say(p, "h\nh\n", 4), 4);
	shutdown(p->fd, SHUT_WR);
	settle();
	ck_assert(!p->ended);
	conn_release(p->conn);
	settle();
	ck_assert(!p->ended);
	put(p->conn, "late\n");
	conn_flush(p->conn);
	conn_release(p->conn);
	hears_text(p, "late\n");
	ck_assert(p->ended);
	say_text(q, "h\n"); /* and one who is gone is not */
	hang_up(q);
	ck_assert(q->ended);
	ck_assert_int_eq(q->why, CONN_EOF);
}
END_TEST

START_TEST(a_client_that_goes_in_the_middle_of_a_reply_releases_it)
{
	struct peer *p = join(0), *q = join(1);

	say_text(p, "r8000000\ng1000000\n");
	ck_assert_int_eq(refs_out, 1);
	hang_up(p);
	ck_assert(p->ended);
	ck_assert_int_eq(p->why, CONN_EOF);
	ck_assert_int_eq(refs_out, 0);
	ck_assert_uint_eq(say(q, "g1000\nr8000000\n", 15), 15); /* gone before we read */
	hang_up(q);
	ck_assert(q->ended);
	ck_assert_int_eq(refs_out, 0);
	ck_assert_uint_eq(conn_pool_bytes(pool), 0);
}
END_TEST

START_TEST(finish_sends_what_is_there_and_takes_no_more)
{
	static char got[BIG];
	struct peer *p = join(0), *q = join_tcp(1);

	ck_assert_uint_eq(say(p, "e1\nr3000000\nq\ne2\n", 17), 17);
	ck_assert_uint_eq(hear(p, got, sizeof got), 3000003);
	ck_assert(p->ended);
	ck_assert_int_eq(p->why, CONN_CLOSED);
	ck_assert(at_end(p));
	say_text(q, "ebye\nq\nemore\n"); /* unread input does not reset the reply */
	hears_text(q, "bye\n");
	ck_assert(at_end(q));
}
END_TEST

START_TEST(close_in_the_handler_waits_for_its_return)
{
	struct peer *p = join(0), *q = join(1);

	say_text(p, "e1\nc\ne2\n");
	ck_assert(p->ended);
	ck_assert_int_eq(p->why, CONN_CLOSED);
	ck_assert(at_end(p));
	conn_close(q->conn);
	ck_assert(q->ended); /* at once */
	/* Good until the end of the turn, and calls do nothing. */
	conn_close(q->conn);
	conn_flush(q->conn);
	conn_resume(q->conn);
	conn_finish(q->conn);
	conn_kick(q->conn);
	put(q->conn, "lost");
	ck_assert_int_eq(conn_fd(q->conn), -1);
	ck_assert_uint_eq(conn_pool_count(pool), 0);
	settle();
}
END_TEST

START_TEST(freeing_the_pool_ends_all_connections)
{
	struct peer *p = join(0), *q = join(1);
	unsigned n = 0;

	list_foreach(it, conn_pool_list(pool)) {
		ck_assert_ptr_eq(conn_of_link(it), n == 0 ? p->conn : q->conn);
		n++;
	}
	ck_assert_uint_eq(n, 2);
	say_text(p, "r4000000\n");
	conn_pool_free(pool);
	ck_assert(p->ended && q->ended);
	ck_assert_int_eq(p->why, CONN_CLOSED);
	ck_assert_int_eq(refs_out, 0);
	settle();
	ck_assert_int_eq(conn_pool_new(loop, &no_limits, &pool), 0);
}
END_TEST

/* --- no memory ------------------------------------------------------------------------------------- */

/* What allocates: a kept rest, a large request, output that does not fit. */
static bool
tight_session(struct peer *p)
{
	static char got[BIG];

	say_all(p, "e1\nb300000\n", 11);
	say_all(p, big, 300000);
	say_all(p, "g700000\nr3000000\nr3000000\neha", 29);
	say_all(p, "lf\n", 3);
	hear(p, got, sizeof got);
	return !p->ended;
}

START_TEST(memory_refused_at_any_point_ends_that_connection_only)
{
	struct peer *q = join(1);

	for (unsigned long n = 1;; n++) {
		struct peer *p;
		bool whole;

		mem_fail_nth(n, 0);
		p = join(0);
		whole = p != NULL && tight_session(p);
		if (mem_fail_seen() < n) {
			ck_assert(whole);
			ck_assert_uint_gt(n, 5);
			break;
		}
		mem_fail_nth(0, 0);
		if (p != NULL && p->ended)
			ck_assert_int_eq(p->why, CONN_NOMEM);
		if (p != NULL)
			hang_up(p);
		ck_assert_int_eq(refs_out, 0);
		say_text(q, "estill here\n");
		hears_text(q, "still here\n");
		ck_assert_uint_eq(conn_pool_count(pool), 1);
		ck_assert_uint_eq(conn_pool_bytes(pool), 0);
	}
	mem_fail_nth(0, 0);
}
END_TEST

START_TEST(a_pool_refused_for_memory_leaves_nothing_behind)
{
	struct conn_pool *none = NULL;

	mem_fail_nth(1, 0);
	ck_assert_int_eq(conn_pool_new(loop, &no_limits, &none), -ENOMEM);
	mem_fail_nth(0, 0);
	ck_assert_ptr_null(none);
	conn_pool_free(NULL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("conn");

#define CONN_CASE(name, ...) SUITE_ADD_FIXTURE(s, name, setup, teardown, __VA_ARGS__)
	CONN_CASE("input", one_turn_is_one_read_and_one_write_however_many_requests,
	    input_cut_at_every_byte_gives_the_same_replies,
	    one_byte_at_a_time_gives_the_same_replies,
	    a_long_pipeline_fills_the_common_buffer_many_times,
	    a_large_request_takes_the_memory_it_needs_and_gives_it_back,
	    announcing_much_and_sending_little_costs_little,
	    a_request_over_the_limit_ends_its_connection_only);
	CONN_CASE("output", large_replies_arrive_whole_whatever_the_socket_takes,
	    a_client_that_reads_nothing_is_closed_at_the_hard_limit_in_bounded_memory,
	    above_the_pause_mark_nothing_is_read_and_it_goes_on_when_the_client_reads,
	    unsent_for_too_long_above_the_soft_limit_is_the_end,
	    when_all_together_hold_too_much_the_largest_goes,
	    many_who_are_greedy_at_once_are_held_up_before_any_must_go, idle_connections_hold_no_memory,
	    output_for_another_connection_goes_there);
	CONN_CASE("crowd", in_a_crowd_sockets_are_read_before_the_first_is_served,
	    more_than_is_read_ahead_is_served_as_well,
	    what_was_read_ahead_of_a_connection_that_was_closed_is_dropped,
	    what_was_read_ahead_of_a_connection_that_was_paused_is_kept,
	    what_was_read_ahead_comes_behind_what_others_said_to_it);
	CONN_CASE("pause", a_paused_connection_keeps_its_input_until_it_resumes,
	    a_paused_connection_does_not_spin_on_what_it_does_not_read,
	    a_paused_connection_sees_its_peer_go,
	    a_paused_connection_whose_peer_half_closed_still_gets_its_replies,
	    tcp_half_closed_or_closed_while_paused_is_told_by_a_reset);
	CONN_CASE("end", a_half_closed_client_gets_all_its_replies,
	    a_half_closed_client_is_waited_for_while_replies_are_owed,
	    a_client_that_goes_in_the_middle_of_a_reply_releases_it,
	    finish_sends_what_is_there_and_takes_no_more, close_in_the_handler_waits_for_its_return,
	    freeing_the_pool_ends_all_connections);
	CONN_CASE("memory", memory_refused_at_any_point_ends_that_connection_only,
	    a_pool_refused_for_memory_leaves_nothing_behind);
	return suite_main(s);
}
