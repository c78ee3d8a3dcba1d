#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/notify.h"
#include "unit/net/tmpdir.h"

/* The service manager: a datagram socket. name: a path, or "@abstract". */
static int
manager(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_int_ge(fd, 0);
	memcpy(sun.sun_path, name, len);
	if (name[0] == '@')
		sun.sun_path[0] = '\0';
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
	return fd;
}

static const char *
told(int fd)
{
	static char text[1024];
	ssize_t n = recv(fd, text, sizeof text - 1, 0);

	if (n < 0)
		return NULL;
	text[n] = '\0';
	return text;
}

START_TEST(a_path_is_told_each_message_in_a_datagram)
{
	const char *path = tmp_path("notify");
	struct notify n;
	int fd = manager(path);

	notify_init(&n, path, NULL, NULL);
	notify_tell(&n, "READY=1\nSTATUS=%s", "Serving");
	notify_tell(&n, "STOPPING=1");
	ck_assert_str_eq(told(fd), "READY=1\nSTATUS=Serving");
	ck_assert_str_eq(told(fd), "STOPPING=1");
	ck_assert_ptr_null(told(fd));
	notify_fini(&n);
	close(fd);
}
END_TEST

START_TEST(an_abstract_name_is_told_too)
{
	char name[64];
	struct notify n;
	int fd;

	snprintf(name, sizeof name, "@pannier-test-%d", (int)getpid());
	fd = manager(name);
	notify_init(&n, name, NULL, NULL);
	notify_tell(&n, "READY=1");
	ck_assert_str_eq(told(fd), "READY=1");
	notify_fini(&n);
	close(fd);
}
END_TEST

START_TEST(a_reload_is_told_with_its_time)
{
	const char *path = tmp_path("notify");
	int64_t before_us = clock_mono_us();
	long long at_us = 0;
	struct notify n;
	int fd = manager(path);

	notify_init(&n, path, NULL, NULL);
	notify_reloading(&n);
	ck_assert_int_eq(sscanf(told(fd), "RELOADING=1\nMONOTONIC_USEC=%lld", &at_us), 1);
	ck_assert_int_ge(at_us, before_us);
	ck_assert_int_le(at_us, clock_mono_us());
	notify_fini(&n);
	close(fd);
}
END_TEST

START_TEST(without_a_manager_nothing_happens)
{
	static const char *const sockets[] = { NULL, "", "relative", "vsock:2:1234", "/" };
	struct notify n;

	for (size_t i = 0; i < ARRAY_LEN(sockets); i++) {
		notify_init(&n, sockets[i], "1000000", NULL);
		ck_assert_int_eq(n.fd, -1);
		ck_assert_int_eq(n.watchdog_ms, 0);
		notify_tell(&n, "READY=1");
		notify_fini(&n);
	}
}
END_TEST

START_TEST(a_name_that_is_too_long_is_none)
{
	char name[200] = "/";
	struct notify n;

	memset(name + 1, 'x', sizeof name - 2);
	notify_init(&n, name, NULL, NULL);
	ck_assert_int_eq(n.fd, -1);
}
END_TEST

START_TEST(a_manager_that_is_gone_or_full_is_not_waited_for)
{
	const char *path = tmp_path("notify");
	struct notify n;
	int fd = manager(path);

	notify_init(&n, path, NULL, NULL);
	for (int i = 0; i < 10000; i++)
		notify_tell(&n, "WATCHDOG=1");
	close(fd);
	unlink(path);
	notify_tell(&n, "READY=1");
	notify_fini(&n);
}
END_TEST

START_TEST(the_watchdog_is_told_three_times_in_its_time)
{
	const char *path = tmp_path("notify");
	char me[32];
	struct notify n;
	int fd = manager(path);

	snprintf(me, sizeof me, "%d", (int)getpid());
	notify_init(&n, path, "3000000", me);
	ck_assert_int_eq(n.watchdog_ms, 1000);
	notify_fini(&n);
	notify_init(&n, path, "3000000", NULL);
	ck_assert_int_eq(n.watchdog_ms, 1000);
	notify_fini(&n);
	close(fd);
}
END_TEST

START_TEST(another_processs_watchdog_is_not_ours)
{
	const char *path = tmp_path("notify");
	struct notify n;
	int fd = manager(path);

	notify_init(&n, path, "3000000", "1");
	ck_assert_int_eq(n.watchdog_ms, 0);
	notify_fini(&n);
	notify_init(&n, path, "nonsense", NULL);
	ck_assert_int_eq(n.watchdog_ms, 0);
	notify_fini(&n);
	close(fd);
}
END_TEST

static void
setup(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	tmp_setup();
}

int
main(void)
{
	Suite *s = suite_create("notify");

	SUITE_ADD_FIXTURE(s, "notify", setup, tmp_teardown,
	    a_path_is_told_each_message_in_a_datagram, an_abstract_name_is_told_too,
	    a_reload_is_told_with_its_time, without_a_manager_nothing_happens,
	    a_name_that_is_too_long_is_none, a_manager_that_is_gone_or_full_is_not_waited_for,
	    the_watchdog_is_told_three_times_in_its_time, another_processs_watchdog_is_not_ours);
	return suite_main(s);
}
