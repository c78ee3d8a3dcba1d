#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/listener.h"
#include "unit/net/tmpdir.h"

static char err[512];

static int
open_unix(const char *path, mode_t mode, struct listener **out)
{
	const struct listen_opts o = { .kind = LISTEN_UNIX, .path = path, .mode = mode,
		.uid = (uid_t)-1, .gid = (gid_t)-1 };

	return listener_open(&o, out, err, sizeof err);
}

static struct listener *
unix_listener(const char *path)
{
	struct listener *l = NULL;

	ck_assert_msg(open_unix(path, 0600, &l) == 0, "%s", err);
	return l;
}

static int
client(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static int
connected(const char *path)
{
	int fd = client();

	ck_assert_int_eq(tmp_connect(fd, path), 0);
	return fd;
}

static bool
exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* --- the socket file ----------------------------------------------------------- */

/* What kill -9 leaves behind. */
static void
leave_stale_socket(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = client();

	memcpy(sun.sun_path, path, strlen(path) + 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	close(fd);
	ck_assert(exists(path));
}

START_TEST(a_stale_socket_is_replaced_and_the_own_one_removed_at_the_end)
{
	const char *path = tmp_path("s");
	struct listener *l;

	leave_stale_socket(path);
	l = unix_listener(path);
	close(connected(path));
	listener_close(l);
	ck_assert(!exists(path));
}
END_TEST

START_TEST(a_live_socket_is_left_alone_and_goes_on)
{
	const char *path = tmp_path("s");
	struct listener *l = unix_listener(path), *second = NULL;

	ck_assert_int_eq(open_unix(path, 0600, &second), -EADDRINUSE);
	ck_assert_ptr_null(second);
	ck_assert_ptr_nonnull(strstr(err, path));
	ck_assert_ptr_nonnull(strstr(err, "another process serves this socket"));
	close(connected(path));
	listener_close(l);
}
END_TEST

START_TEST(a_live_socket_with_a_full_backlog_is_live)
{
	const char *path = tmp_path("s");
	const struct listen_opts o = { .kind = LISTEN_UNIX, .path = path, .mode = 0600,
		.uid = (uid_t)-1, .gid = (gid_t)-1, .backlog = 1 };
	struct listener *l = NULL, *second = NULL;
	int fds[8];

	ck_assert_int_eq(listener_open(&o, &l, err, sizeof err), 0);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)tmp_connect(fds[i], path);
	}
	ck_assert_int_eq(open_unix(path, 0600, &second), -EADDRINUSE);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	listener_close(l);
}
END_TEST

static void
refused_and_untouched(const char *path)
{
	struct stat before, after;
	struct listener *l = NULL;

	ck_assert_int_eq(lstat(path, &before), 0);
	ck_assert_int_eq(open_unix(path, 0600, &l), -EEXIST);
	ck_assert_ptr_nonnull(strstr(err, "no socket"));
	ck_assert_int_eq(lstat(path, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ck_assert_uint_eq(before.st_mode, after.st_mode);
}

START_TEST(files_of_any_other_kind_are_not_touched)
{
	const char *path = tmp_path("f");
	int fd = open(path, O_CREAT | O_WRONLY, 0644);

	ck_assert_int_eq(write(fd, "precious", 8), 8);
	close(fd);
	refused_and_untouched(path);
	ck_assert_int_eq(symlink(path, tmp_path("link")), 0);
	refused_and_untouched(tmp_path("link"));
	ck_assert_int_eq(mkdir(tmp_path("dir"), 0755), 0);
	refused_and_untouched(tmp_path("dir"));
	ck_assert_int_eq(mkfifo(tmp_path("fifo"), 0600), 0);
	refused_and_untouched(tmp_path("fifo"));
}
END_TEST

START_TEST(a_socket_of_another_kind_that_lives_is_not_touched)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = tmp_path("dgram");
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct listener *l = NULL;

	memcpy(sun.sun_path, path, strlen(path) + 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	ck_assert_int_eq(open_unix(path, 0600, &l), -EADDRINUSE);
	ck_assert(exists(path));
	close(fd);
}
END_TEST

START_TEST(anothers_socket_in_our_place_is_not_removed_at_the_end)
{
	const char *path = tmp_path("s");
	struct listener *l = unix_listener(path), *other;

	ck_assert_int_eq(unlink(path), 0);
	other = unix_listener(path);
	listener_close(l);
	close(connected(path));
	listener_close(other);
	listener_close(NULL);
}
END_TEST

START_TEST(a_path_may_have_107_bytes_and_no_more)
{
	struct listener *l = NULL;
	char path[256];
	size_t n = (size_t)snprintf(path, sizeof path, "%s/", tmp_dir);

	memset(path + n, 'p', sizeof path - n);
	path[107] = '\0';
	ck_assert_msg(open_unix(path, 0600, &l) == 0, "%s", err);
	close(connected(path));
	listener_close(l);
	path[107] = 'p';
	path[108] = '\0';
	l = NULL;
	ck_assert_int_eq(open_unix(path, 0600, &l), -ENAMETOOLONG);
	ck_assert_ptr_nonnull(strstr(err, "108 bytes"));
	ck_assert_ptr_nonnull(strstr(err, "107"));
	ck_assert_int_eq(open_unix("", 0600, &l), -EINVAL);
	ck_assert_ptr_null(l);
}
END_TEST

START_TEST(a_missing_directory_is_named)
{
	struct listener *l = NULL;

	ck_assert_int_eq(open_unix(tmp_path("none/s"), 0600, &l), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err, tmp_path("none:")));
}
END_TEST

/* --- mode ------------------------------------------------------------------------ */

struct watcher {
	atomic_bool stop, ready;
	atomic_int round; /* each has a path of its own */
	mode_t wanted;
	unsigned too_wide, early;
};

/* Looks at the file all the time, and whether one can connect before its mode
 * is the one that was asked for. */
static void *
watch_file(void *arg)
{
	struct watcher *w = arg;

	while (!atomic_load(&w->stop)) {
		struct stat before;
		char path[128];
		int fd;

		snprintf(path, sizeof path, "%s/s%d", tmp_dir, atomic_load(&w->round));
		atomic_store(&w->ready, true);
		if (lstat(path, &before) != 0)
			continue;
		if ((before.st_mode & 0777 & ~w->wanted) != 0)
			w->too_wide++;
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (tmp_connect(fd, path) == 0) {
			struct stat now;

			if (lstat(path, &now) == 0 && (now.st_mode & 0777) != w->wanted)
				w->early++;
		}
		close(fd);
	}
	return NULL;
}

START_TEST(the_mode_is_set_before_anybody_can_connect_and_never_wider)
{
	struct watcher w = { .wanted = 0660 };
	pthread_t thread;

	umask(0); /* so that only our own care keeps it narrow */
	ck_assert_int_eq(pthread_create(&thread, NULL, watch_file, &w), 0);
	while (!atomic_load(&w.ready))
		sched_yield();
	for (int i = 0; i < 200; i++) {
		struct listener *l = NULL;
		struct stat st;
		char path[128];

		atomic_store(&w.round, i);
		snprintf(path, sizeof path, "%s/s%d", tmp_dir, i);
		ck_assert_msg(open_unix(path, w.wanted, &l) == 0, "%s", err);
		ck_assert_int_eq(lstat(path, &st), 0);
		ck_assert_uint_eq(st.st_mode & 0777, 0660);
		listener_close(l);
	}
	atomic_store(&w.stop, true);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(w.too_wide, 0);
	ck_assert_uint_eq(w.early, 0);
}
END_TEST

START_TEST(an_owner_or_group_that_cannot_be_set_is_an_error_and_leaves_no_file)
{
	struct listen_opts o = { .kind = LISTEN_UNIX, .path = tmp_path("s"), .mode = 0660,
		.uid = (uid_t)-1, .gid = 12345 };
	struct listener *l = NULL;
	struct stat st;
	int rc = listener_open(&o, &l, err, sizeof err);

	if (geteuid() == 0) {
		ck_assert_int_eq(rc, 0);
		ck_assert_int_eq(lstat(o.path, &st), 0);
		ck_assert_uint_eq(st.st_gid, 12345);
		ck_assert_uint_eq(st.st_uid, geteuid());
		listener_close(l);
	} else {
		ck_assert_int_eq(rc, -EPERM);
		ck_assert(!exists(o.path));
	}
}
END_TEST

/* --- several that start at once ----------------------------------------------------- */

enum { STARTERS = 4, ROUNDS = 25 };

struct starter {
	pthread_t thread;
	pthread_barrier_t *gate;
	char path[128];
	struct listener *l;
	int rc;
	char err[256];
};

static void *
start_one(void *arg)
{
	struct starter *s = arg;
	const struct listen_opts o = { .kind = LISTEN_UNIX, .path = s->path, .mode = 0600,
		.uid = (uid_t)-1, .gid = (gid_t)-1 };

	pthread_barrier_wait(s->gate);
	s->rc = listener_open(&o, &s->l, s->err, sizeof s->err);
	return NULL;
}

START_TEST(of_several_that_replace_one_stale_socket_one_wins_and_is_reachable)
{
	struct starter s[STARTERS];
	pthread_barrier_t gate;

	pthread_barrier_init(&gate, NULL, STARTERS);
	for (int round = 0; round < ROUNDS; round++) {
		int winner = -1;

		leave_stale_socket(tmp_path("s"));
		for (int i = 0; i < STARTERS; i++) {
			s[i] = (struct starter){ .gate = &gate };
			snprintf(s[i].path, sizeof s[i].path, "%s", tmp_path("s"));
			pthread_create(&s[i].thread, NULL, start_one, &s[i]);
		}
		for (int i = 0; i < STARTERS; i++) {
			pthread_join(s[i].thread, NULL);
			if (s[i].rc == 0) {
				ck_assert_int_eq(winner, -1);
				winner = i;
			} else {
				ck_assert_msg(s[i].rc == -EADDRINUSE, "%s", s[i].err);
			}
		}
		ck_assert_int_ne(winner, -1);
		close(connected(s[winner].path));
		listener_close(s[winner].l);
		ck_assert(!exists(s[0].path));
	}
	pthread_barrier_destroy(&gate);
}
END_TEST

/* --- TCP ------------------------------------------------------------------------------ */

static int
open_tcp(const char *host, uint16_t port, struct listener **out)
{
	const struct listen_opts o = { .kind = LISTEN_TCP, .host = host, .port = port };

	return listener_open(&o, out, err, sizeof err);
}

START_TEST(tcp_is_served_on_loopback_only)
{
	static const char *const good[] = { "127.0.0.1", "localhost" };
	static const char *const bad[] = { "0.0.0.0", "10.0.0.1", "::", "example.com", "",
		"128.0.0.1", "127.0.0.1x" };
	struct listener *l = NULL;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		ck_assert_msg(open_tcp(good[i], 0, &l) == 0, "%s", err);
		listener_close(l);
		l = NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_int_eq(open_tcp(bad[i], 0, &l), -EINVAL);
		ck_assert_ptr_nonnull(strstr(err, "loopback"));
	}
	ck_assert_ptr_null(l);
}
END_TEST

START_TEST(a_port_in_use_is_an_error_with_its_name)
{
	struct listener *l = NULL, *second = NULL;
	unsigned port;

	ck_assert_msg(open_tcp("127.0.0.1", 0, &l) == 0, "%s", err);
	ck_assert_int_eq(sscanf(listener_name(l), "tcp:127.0.0.1:%u", &port), 1);
	ck_assert_uint_ne(port, 0);
	ck_assert_int_eq(open_tcp("127.0.0.1", (uint16_t)port, &second), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(err, listener_name(l)));
	listener_close(l);
}
END_TEST

/* --- accepting -------------------------------------------------------------------------- */

/* Stands in front of the C library's, so that spinning can be counted. */
static int accepts_tried;

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);

int
accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	accepts_tried++;
	return (int)syscall(SYS_accept4, fd, addr, len, flags);
}

struct door {
	struct loop *loop;
	int fds[8], n, stop_at;
};

static void
let_in(void *arg, int fd)
{
	struct door *d = arg;

	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	d->fds[d->n++] = fd;
	if (d->n == d->stop_at)
		loop_stop(d->loop);
}

static struct door
new_door(int stop_at)
{
	struct door d = { .stop_at = stop_at };

	ck_assert_int_eq(loop_new(0, &d.loop), 0);
	return d;
}

static void
close_door(struct door *d)
{
	for (int i = 0; i < d->n; i++)
		if (d->fds[i] >= 0)
			close(d->fds[i]);
	loop_free(d->loop);
}

START_TEST(tcp_clients_come_in_without_delay_of_small_packets)
{
	struct door d = new_door(1);
	struct listener *l = NULL;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 0;
	socklen_t len = sizeof on;
	unsigned port;

	ck_assert_int_eq(open_tcp("127.0.0.1", 0, &l), 0);
	sscanf(listener_name(l), "tcp:127.0.0.1:%u", &port);
	to.sin_port = htons((uint16_t)port);
	listener_start(l, d.loop, let_in, &d);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	loop_run(d.loop);
	ck_assert_int_eq(getsockopt(d.fds[0], IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	ck_assert_int_ne(on, 0);
	listener_close(l);
	close(fd);
	close_door(&d);
}
END_TEST

static void
limit_descriptors_to(int more)
{
	int fd = open("/dev/null", O_RDONLY);
	struct rlimit rl;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &rl), 0);
	rl.rlim_cur = (rlim_t)(fd + more);
	close(fd);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &rl), 0);
}

static void
stop_on_timer(struct timer *t)
{
	loop_stop(t->loop);
}

START_TEST(without_descriptors_clients_are_turned_away_without_spinning)
{
	const struct listen_opts o = { .kind = LISTEN_UNIX, .path = tmp_path("s"), .mode = 0600,
		.uid = (uid_t)-1, .gid = (gid_t)-1, .refusal = "-ERR full\r\n" };
	struct door d = new_door(4);
	struct listener *l = NULL;
	struct timer t;
	int fds[4];
	char text[32] = "";

	log_set_level(LOG_LEVEL_ERROR);
	for (int i = 0; i < 4; i++)
		fds[i] = client(); /* while there are descriptors */
	ck_assert_int_eq(listener_open(&o, &l, err, sizeof err), 0);
	listener_start(l, d.loop, let_in, &d);
	limit_descriptors_to(2);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(tmp_connect(fds[i], o.path), 0);
	timer_init(&t, d.loop, stop_on_timer);
	timer_start(&t, 50); /* half of the pause */
	accepts_tried = 0;
	loop_run(d.loop);
	/* Two are in, the third is told and closed, the fourth waits. */
	ck_assert_int_eq(d.n, 2);
	ck_assert_int_eq(accepts_tried, 4);
	ck_assert_int_eq(read(fds[2], text, sizeof text), 11);
	ck_assert_str_eq(text, "-ERR full\r\n");
	ck_assert_int_eq(read(fds[2], text, sizeof text), 0);
	ck_assert_int_eq(recv(fds[3], text, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
	/* A descriptor is free again: when the pause is over he comes in. */
	close(d.fds[0]);
	d.fds[0] = -1;
	d.stop_at = 3;
	loop_run(d.loop);
	ck_assert_int_eq(d.n, 3);
	ck_assert_int_le(accepts_tried, 7);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	listener_close(l);
	close_door(&d);
}
END_TEST

static struct listener *stopped;

static void
let_in_and_stop(void *arg, int fd)
{
	let_in(arg, fd);
	listener_stop(stopped);
}

START_TEST(a_stopped_listener_refuses_and_lets_another_have_the_path)
{
	const char *path = tmp_path("s");
	struct door d = new_door(1);
	struct listener *l = unix_listener(path), *next;
	int a = connected(path), waiting = connected(path), late = client();
	char c;

	stopped = l;
	listener_start(l, d.loop, let_in_and_stop, &d);
	loop_run(d.loop);
	ck_assert_int_eq(d.n, 1);
	ck_assert_int_le(read(waiting, &c, 1), 0);
	ck_assert_int_eq(tmp_connect(late, path), -ECONNREFUSED);
	next = unix_listener(path);
	listener_close(l); /* and leaves the file to the other */
	ck_assert_int_eq(tmp_connect(late, path), 0);
	listener_close(next);
	close(a);
	close(waiting);
	close(late);
	close_door(&d);
}
END_TEST

START_TEST(who_waits_can_be_let_in_before_the_stop)
{
	const char *path = tmp_path("s");
	struct door d = new_door(8);
	struct listener *l = unix_listener(path);
	int first = connected(path), second = connected(path), late = client();
	char c;

	listener_start(l, d.loop, let_in, &d);
	listener_accept_all(l);
	listener_stop(l);
	listener_accept_all(l); /* of a stopped one there are none */
	ck_assert_int_eq(d.n, 2);
	ck_assert_int_eq(write(d.fds[0], "a", 1), 1);
	ck_assert_int_eq(read(first, &c, 1), 1);
	ck_assert_int_eq(tmp_connect(late, path), -ECONNREFUSED);
	listener_close(l);
	close(first);
	close(second);
	close(late);
	close_door(&d);
}
END_TEST

START_TEST(refused_memory_leaves_no_socket_behind)
{
	const char *path = tmp_path("s");

	for (unsigned long n = 1;; n++) {
		struct listener *l = NULL;
		int rc;

		mem_fail_nth(n, 0);
		rc = open_unix(path, 0600, &l);
		mem_fail_nth(0, 0);
		if (rc == 0) {
			ck_assert_uint_gt(n, 1);
			listener_close(l);
			break;
		}
		ck_assert_int_eq(rc, -ENOMEM);
		ck_assert_ptr_nonnull(strstr(err, "memory"));
		ck_assert(!exists(path));
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("listener");

#define TMP_CASE(name, ...) SUITE_ADD_FIXTURE(s, name, tmp_setup, tmp_teardown, __VA_ARGS__)
	TMP_CASE("file", a_stale_socket_is_replaced_and_the_own_one_removed_at_the_end,
	    a_live_socket_is_left_alone_and_goes_on, a_live_socket_with_a_full_backlog_is_live,
	    files_of_any_other_kind_are_not_touched,
	    a_socket_of_another_kind_that_lives_is_not_touched,
	    anothers_socket_in_our_place_is_not_removed_at_the_end,
	    a_path_may_have_107_bytes_and_no_more, a_missing_directory_is_named,
	    of_several_that_replace_one_stale_socket_one_wins_and_is_reachable);
	TMP_CASE("mode", the_mode_is_set_before_anybody_can_connect_and_never_wider,
	    an_owner_or_group_that_cannot_be_set_is_an_error_and_leaves_no_file);
	TMP_CASE("tcp", tcp_is_served_on_loopback_only, a_port_in_use_is_an_error_with_its_name,
	    tcp_clients_come_in_without_delay_of_small_packets);
	TMP_CASE("accept", without_descriptors_clients_are_turned_away_without_spinning,
	    a_stopped_listener_refuses_and_lets_another_have_the_path,
	    who_waits_can_be_let_in_before_the_stop,
	    refused_memory_leaves_no_socket_behind);
	return suite_main(s);
}
