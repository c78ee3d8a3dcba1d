#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>

#include "net/inherit.h"
#include "net/socket.h"
#include "unit/net/tmpdir.h"

static char err[512];

static int
bound_unix(const char *path, bool listening)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(sun.sun_path, path, strlen(path) + 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	if (listening)
		ck_assert_int_eq(listen(fd, 5), 0);
	return fd;
}

static int
bound_tcp(uint32_t host, uint16_t *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(host) };
	socklen_t len = sizeof in;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*port = ntohs(in.sin_port);
	return fd;
}

static void
must_add(int fd, bool kept)
{
	ck_assert_msg(inherit_add(fd, kept, err, sizeof err) == 0, "%s", err);
}

static void
must_refuse(int fd, const char *why)
{
	ck_assert_int_eq(inherit_add(fd, true, err, sizeof err), -EINVAL);
	ck_assert_msg(strstr(err, why) != NULL, "%s", err);
	ck_assert_uint_eq(inherit_count(), 0);
	if (fcntl(fd, F_GETFD) >= 0)
		close(fd);
}

/* --- what is taken ----------------------------------------------------------------- */

START_TEST(a_listener_on_its_address_is_the_passed_socket)
{
	const char *path = tmp_path("s");
	const struct listen_opts o = { .kind = LISTEN_UNIX, .path = path };
	struct socket_owner owner;
	int fd = bound_unix(path, true);

	must_add(fd, true);
	ck_assert_int_eq(socket_listen(&o, &owner, err, sizeof err), fd);
	ck_assert(owner.kept);
	ck_assert_uint_eq(inherit_count(), 0);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	socket_unlink(path, &owner);
	ck_assert_int_eq(access(path, F_OK), 0);
	close(fd);
}
END_TEST

START_TEST(a_passed_socket_that_is_ours_is_removed_in_the_end)
{
	const char *path = tmp_path("s");
	const struct listen_opts o = { .kind = LISTEN_UNIX, .path = path };
	struct socket_owner owner;
	int fd = bound_unix(path, true);

	must_add(fd, false);
	ck_assert_int_eq(socket_listen(&o, &owner, err, sizeof err), fd);
	ck_assert(!owner.kept);
	socket_unlink(path, &owner);
	ck_assert_int_ne(access(path, F_OK), 0);
	close(fd);
}
END_TEST

START_TEST(a_path_may_be_written_another_way)
{
	char other[300];
	struct listen_opts o = { .kind = LISTEN_UNIX, .path = other };
	bool kept;
	int fd = bound_unix(tmp_path("s"), true);

	snprintf(other, sizeof other, "%s/../%s/./s", tmp_dir, strrchr(tmp_dir, '/') + 1);
	must_add(fd, true);
	ck_assert_int_eq(inherit_take(&o, &kept), fd);
	close(fd);
}
END_TEST

START_TEST(another_address_gets_a_socket_of_its_own)
{
	struct listen_opts o = { .kind = LISTEN_UNIX, .path = tmp_path("other"), .mode = 0600,
		.uid = (uid_t)-1, .gid = (gid_t)-1 };
	struct socket_owner owner;
	int fd = bound_unix(tmp_path("s"), true), other;

	must_add(fd, true);
	other = socket_listen(&o, &owner, err, sizeof err);
	ck_assert_int_ge(other, 0);
	ck_assert_int_ne(other, fd);
	ck_assert(!owner.kept);
	ck_assert_uint_eq(inherit_count(), 1);
	inherit_close();
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	close(other);
}
END_TEST

START_TEST(tcp_is_found_by_host_and_port)
{
	struct listen_opts o = { .kind = LISTEN_TCP, .host = "127.0.0.1" };
	char name[64];
	bool kept;
	int fd = bound_tcp(INADDR_LOOPBACK, &o.port);

	must_add(fd, true);
	snprintf(name, sizeof name, "tcp:127.0.0.1:%u", o.port);
	ck_assert_str_eq(inherit_name(0), name);
	o.port ^= 1;
	ck_assert_int_eq(inherit_take(&o, &kept), -ENOENT);
	o.port ^= 1;
	o.host = "localhost";
	ck_assert_int_eq(inherit_take(&o, &kept), fd);
	close(fd);
}
END_TEST

/* --- what is refused --------------------------------------------------------------- */

START_TEST(what_is_no_listening_stream_socket_is_refused_with_the_reason)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	must_refuse(fds[0], "no stream socket");
	close(fds[1]);
	must_refuse(socket(AF_UNIX, SOCK_DGRAM, 0), "ListenStream=");
	must_refuse(socket(AF_UNIX, SOCK_STREAM, 0), "Accept=no");
	must_refuse(bound_unix(tmp_path("s"), false), "does not listen");
	must_refuse(1000, "not open");
}
END_TEST

START_TEST(an_abstract_socket_is_refused)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(sun.sun_path + 1, sizeof sun.sun_path - 1, "pannier-inherit-%d", (int)getpid());
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(sun.sun_path + 1))), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	must_refuse(fd, "has no path");
}
END_TEST

START_TEST(there_is_room_for_64)
{
	char path[32];

	for (int i = 0; i < INHERIT_MAX; i++) {
		snprintf(path, sizeof path, "s%d", i);
		must_add(bound_unix(tmp_path(path), true), false);
	}
	ck_assert_int_eq(inherit_add(0, false, err, sizeof err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err, "too many"));
	inherit_close();
	ck_assert_uint_eq(inherit_count(), 0);
}
END_TEST

/* --- systemd's variables --------------------------------------------------------------- */

static const char *
me(void)
{
	static char text[16];

	snprintf(text, sizeof text, "%d", (int)getpid());
	return text;
}

static int
from_systemd(const char *pid, const char *fds, const char *names)
{
	err[0] = '\0';
	return inherit_from_systemd(pid, fds, names, err, sizeof err);
}

START_TEST(sockets_for_another_process_are_left_alone)
{
	ck_assert_int_eq(from_systemd(NULL, "1", NULL), 0);
	ck_assert_int_eq(from_systemd("1", "1", NULL), 0);
	ck_assert_int_eq(from_systemd(me(), NULL, NULL), 0);
	ck_assert_int_eq(from_systemd(me(), "0", NULL), 0);
}
END_TEST

START_TEST(a_count_that_is_none_is_refused)
{
	static const char *const bad[] = { "", "x", "1x", "65", "99999999999999999999" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_int_eq(from_systemd(me(), bad[i], NULL), -EINVAL);
		ck_assert_ptr_nonnull(strstr(err, "LISTEN_FDS is"));
	}
}
END_TEST

START_TEST(descriptors_from_3_on_are_taken_and_errors_name_them)
{
	int fd = bound_unix(tmp_path("s"), true);
	char name[300];

	/* What the test's runner had there is not needed in this process. */
	ck_assert_int_eq(dup2(fd, 3), 3);
	close(4);
	ck_assert_int_eq(from_systemd(me(), "1", "pannier.socket"), 1);
	snprintf(name, sizeof name, "unix:%s", tmp_path("s"));
	ck_assert_str_eq(inherit_name(0), name);
	ck_assert_int_eq(from_systemd(me(), "2", "pannier.socket:metrics"), -EINVAL);
	ck_assert_msg(strstr(err, "4 (metrics)") != NULL, "%s", err);
	ck_assert_int_eq(from_systemd(me(), "2", "one"), -EINVAL);
	ck_assert_msg(strstr(err, "4 (without a name)") != NULL, "%s", err);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("inherit");

	SUITE_ADD_FIXTURE(s, "inherit", tmp_setup, tmp_teardown,
	    a_listener_on_its_address_is_the_passed_socket,
	    a_passed_socket_that_is_ours_is_removed_in_the_end, a_path_may_be_written_another_way,
	    another_address_gets_a_socket_of_its_own, tcp_is_found_by_host_and_port,
	    what_is_no_listening_stream_socket_is_refused_with_the_reason,
	    an_abstract_socket_is_refused, there_is_room_for_64,
	    sockets_for_another_process_are_left_alone, a_count_that_is_none_is_refused,
	    descriptors_from_3_on_are_taken_and_errors_name_them);
	return suite_main(s);
}
