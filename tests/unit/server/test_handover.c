#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/inherit.h"
#include "server/client_name.h"
#include "server/handover_state.h"
#include "server/handover_wire.h"
#include "server/internal.h"
#include "server/session_impl.h"
#include "server/session_pass.h"
#include "server/tracking.h"
#include "unit/net/tmpdir.h"

#define CLIENTS 3

static struct server *old, *new;
static int peers[CLIENTS];
static struct buf state;
static int fds[CLIENTS + 1];
static unsigned n_fds;
static const struct handover_pause no_pause = { PAUSE_OFF, 0 };

static struct server *
make_server(void)
{
	char listen[128], err[512];
	const struct config_override flags[] = {
		{ "listen", listen }, { "threads", "2" }, { "memory", "32MiB" } };
	struct config_error why;
	struct config *cfg;
	struct server *s;

	snprintf(listen, sizeof listen, "unix:%s", tmp_path("s"));
	ck_assert_msg(config_load(NULL, flags, ARRAY_LEN(flags), NULL, &cfg, &why) == 0, "%s",
	    why.text);
	ck_assert_msg(server_new(cfg, NULL, &s, err, sizeof err) == 0, "%s", err);
	return s;
}

/* Another process's: it has the same listener. */
static struct server *
make_successor(void)
{
	char err[256];

	ck_assert_int_eq(inherit_add(dup(listener_fd(old->listeners[0])), true, err, sizeof err),
	    0);
	return make_server();
}

static struct session *
add_client(unsigned i)
{
	struct server_loop *sl = &old->loops[i % 2];
	struct session *s;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
	    0);
	peers[i] = pair[1];
	atomic_fetch_add(&old->clients, 1);
	atomic_fetch_add(&sl->assigned, 1);
	s = session_make(sl, pair[0], listener_name(old->listeners[0]), 0);
	ck_assert_ptr_nonnull(s);
	return s;
}

static void
add_clients(void)
{
	const struct slice prefixes[] = { SLICE("a:"), SLICE("b:") };
	struct session *s = add_client(0);

	ck_assert_int_eq(client_name_set(&s->name, SLICE("ann")), 0);
	ck_assert_int_eq(pubsub_subscribe(s, PUBSUB_CHANNEL, SLICE("news")), 0);
	ck_assert_int_eq(pubsub_subscribe(s, PUBSUB_PATTERN, SLICE("n*")), 0);
	s->wire = WIRE_RESP3;
	s = add_client(1);
	ck_assert_int_eq(tracking_on(s, TRACK_BCAST, 0, prefixes, 2), 0);
	s = add_client(2);
	ck_assert_int_eq(conn_preload(s->conn, SLICE("*1\r\n$4\r\nPI"), SLICE("+unsent")), 0);
}

static void
pack(void)
{
	buf_clear(&state);
	ck_assert_int_eq(handover_state_pack(old, false, &no_pause, &state, fds, CLIENTS + 1,
	    &n_fds), 0);
	ck_assert_uint_eq(n_fds, CLIENTS);
}

/* The first n bytes, to a successor. */
static int
unpack(size_t n)
{
	int copies[CLIENTS];
	unsigned lost;

	for (unsigned i = 0; i < CLIENTS; i++)
		copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
	return handover_state_unpack(new, slice_of(buf_data(&state), n), copies, CLIENTS, &lost);
}

static void
forget_clients(struct server *s)
{
	for (unsigned i = 0; i < s->n_loops; i++)
		conn_pool_close(s->loops[i].pool);
	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < s->n_loops; i++)
			loop_run_tasks(s->loops[i].loop);
	ck_assert_uint_eq(atomic_load(&s->clients), 0);
}

static void
setup(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	tmp_setup();
	buf_init(&state);
	old = make_server();
	new = make_successor();
	add_clients();
	pack();
}

static void
teardown(void)
{
	server_free(new);
	server_free(old);
	buf_fini(&state);
	for (unsigned i = 0; i < CLIENTS; i++)
		close(peers[i]);
	tmp_teardown();
}

START_TEST(clients_come_back_as_they_were)
{
	const struct session *s;
	struct slice in, out;

	ck_assert_int_eq(unpack(buf_len(&state)), 0);
	ck_assert_uint_eq(atomic_load(&new->clients), CLIENTS);
	s = list_entry(new->loops[0].sessions.next, struct session, link);
	ck_assert_str_eq(s->name, "ann");
	ck_assert_int_eq(s->wire, WIRE_RESP3);
	ck_assert_uint_eq(s->pubsub.n[PUBSUB_CHANNEL], 1);
	ck_assert_uint_eq(s->pubsub.n[PUBSUB_PATTERN], 1);
	/* Clients of the old loop 0 come first: the third is the second here. */
	s = list_entry(new->loops[1].sessions.next, struct session, link);
	ck_assert_int_eq(conn_kept(s->conn, &in, &out), 0);
	ck_assert(slice_eq(in, SLICE("*1\r\n$4\r\nPI")));
	ck_assert(slice_eq(out, SLICE("+unsent")));
	s = list_entry(new->loops[0].sessions.prev, struct session, link);
	ck_assert_uint_eq(tracking_flags(s), TRACK_ON | TRACK_BCAST);
	ck_assert_uint_eq(atomic_load(&new->next_session_id), atomic_load(&old->next_session_id));
}
END_TEST

START_TEST(a_state_that_is_cut_short_anywhere_is_refused)
{
	for (size_t n = 0; n < buf_len(&state); n++) {
		ck_assert_int_eq(unpack(n), -EINVAL);
		forget_clients(new);
	}
}
END_TEST

START_TEST(any_byte_may_be_wrong_and_nothing_breaks)
{
	for (size_t n = 0; n < buf_len(&state); n++) {
		buf_data(&state)[n] ^= (char)0xff;
		if (unpack(buf_len(&state)) != 0)
			forget_clients(new);
		forget_clients(new);
		buf_data(&state)[n] ^= (char)0xff;
	}
}
END_TEST

START_TEST(without_memory_the_old_process_keeps_everything)
{
	unsigned long n = 0, seen;

	do {
		struct buf again;
		int rc;

		buf_init(&again);
		mem_fail_nth(++n, 0);
		rc = handover_state_pack(old, true, &no_pause, &again, fds, CLIENTS + 1, &n_fds);
		seen = mem_fail_seen();
		mem_fail_nth(0, 0);
		ck_assert(rc == 0 || rc == -ENOMEM);
		buf_fini(&again);
	} while (seen >= n);
	pack();
	ck_assert_uint_eq(atomic_load(&old->clients), CLIENTS);
}
END_TEST

START_TEST(without_memory_the_new_process_takes_nothing)
{
	unsigned long n = 0, seen;
	int rc;

	do {
		mem_fail_nth(++n, 0);
		rc = unpack(buf_len(&state));
		seen = mem_fail_seen();
		mem_fail_nth(0, 0);
		ck_assert(rc == 0 || rc == -ENOMEM);
		forget_clients(new);
	} while (seen >= n);
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_gt(n, CLIENTS);
}
END_TEST

START_TEST(more_clients_than_there_is_room_for_are_told_as_busy)
{
	ck_assert_int_eq(handover_state_pack(old, false, &no_pause, &state, fds, CLIENTS - 1,
	    &n_fds), -EBUSY);
}
END_TEST

/* --- messages ------------------------------------------------------------------------ */

START_TEST(a_message_comes_with_its_descriptors_and_no_others)
{
	struct handover_message m;
	int pair[2], two[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(pipe(two), 0);
	ck_assert_int_eq(handover_send(pair[0], HANDOVER_STATE, SLICE("body"), two, 2, 1000), 0);
	ck_assert_int_eq(handover_send(pair[0], HANDOVER_TAKEN, SLICE(""), NULL, 0, 1000), 0);
	ck_assert_int_eq(handover_receive(pair[1], &m, 1000), 0);
	ck_assert_int_eq(m.type, HANDOVER_STATE);
	ck_assert(slice_eq(buf_slice(&m.body), SLICE("body")));
	ck_assert_uint_eq(m.n_fds, 2);
	ck_assert_int_eq(write(m.fds[1], "x", 1), 1);
	handover_message_fini(&m);
	ck_assert_int_eq(handover_receive(pair[1], &m, 1000), 0);
	ck_assert_int_eq(m.type, HANDOVER_TAKEN);
	ck_assert_uint_eq(m.n_fds, 0);
	handover_message_fini(&m);
	ck_assert_int_eq(handover_receive(pair[1], &m, 0), -ETIMEDOUT);
	close(pair[0]);
	ck_assert_int_eq(handover_receive(pair[1], &m, 1000), -ENODATA);
	ck_assert_int_eq(handover_send(pair[1], HANDOVER_TAKEN, SLICE(""), NULL, 0, 0), -EPIPE);
	close(pair[1]);
	close(two[0]);
	close(two[1]);
}
END_TEST

START_TEST(a_message_that_is_cut_short_or_none_is_told_from_a_good_one)
{
	char bytes[64] = { 0 };
	struct handover_message m;
	ssize_t len;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(handover_send(pair[0], HANDOVER_HELLO, SLICE("0123456789"), NULL, 0, 0),
	    0);
	len = read(pair[1], bytes, sizeof bytes);
	close(pair[0]);
	close(pair[1]);
	for (ssize_t n = 1; n < len; n++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		ck_assert_int_eq(write(pair[0], bytes, (size_t)n), n);
		close(pair[0]);
		ck_assert_int_lt(handover_receive(pair[1], &m, 1000), 0);
		close(pair[1]);
	}
	bytes[0] ^= 1;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(write(pair[0], bytes, (size_t)len), len);
	ck_assert_int_eq(handover_receive(pair[1], &m, 1000), -EPROTO);
	close(pair[0]);
	close(pair[1]);
}
END_TEST

START_TEST(a_word_that_was_sent_before_the_way_was_closed_is_found_behind_it)
{
	struct handover_message m;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(handover_send(pair[0], HANDOVER_TAKEN, SLICE(""), NULL, 0, 0), 0);
	ck_assert_int_eq(shutdown(pair[1], SHUT_RDWR), 0);
	ck_assert_int_eq(handover_send(pair[0], HANDOVER_TAKEN, SLICE(""), NULL, 0, 0), -EPIPE);
	ck_assert_int_eq(handover_receive(pair[1], &m, 0), 0);
	ck_assert_int_eq(m.type, HANDOVER_TAKEN);
	handover_message_fini(&m);
	ck_assert_int_eq(handover_receive(pair[1], &m, 0), -ENODATA);
	close(pair[0]);
	close(pair[1]);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("handover");

	SUITE_ADD_FIXTURE(s, "state", setup, teardown, clients_come_back_as_they_were,
	    a_state_that_is_cut_short_anywhere_is_refused,
	    any_byte_may_be_wrong_and_nothing_breaks,
	    without_memory_the_old_process_keeps_everything,
	    without_memory_the_new_process_takes_nothing,
	    more_clients_than_there_is_room_for_are_told_as_busy);
	SUITE_ADD(s, "messages", a_message_comes_with_its_descriptors_and_no_others,
	    a_message_that_is_cut_short_or_none_is_told_from_a_good_one,
	    a_word_that_was_sent_before_the_way_was_closed_is_found_behind_it);
	return suite_main(s);
}
