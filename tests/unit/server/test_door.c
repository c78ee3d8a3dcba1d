#include "config.h"

#include "server/door.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "unit/server/handlers.h"

/* Sees "odd:" alone, the second of the namespaces of handlers.h. */
static struct door_policy confined = { .confined = true };

static void
confine(void)
{
	handlers_setup();
	ck_assert_str_eq(routes_config(server->routes)->namespaces[1].name, "odd");
	confined.own[0] = 1 << 1;
	session->policy = &confined;
	door_update(session);
}

static struct config *
load(const char *text)
{
	char path[] = "/tmp/pannier-door-XXXXXX";
	struct config_error err;
	struct config *c = NULL;
	FILE *f = fdopen(mkstemp(path), "w");

	fputs(text, f);
	fclose(f);
	ck_assert_msg(config_load(path, NULL, 0, NULL, &c, &err) == 0, "%s", err.text);
	unlink(path);
	return c;
}

static char password_path[] = "/tmp/pannier-door-XXXXXX";

static void
write_password(const char *text)
{
	FILE *f;

	strcpy(password_path + strlen(password_path) - 6, "XXXXXX");
	f = fdopen(mkstemp(password_path), "w");
	fputs(text, f);
	fclose(f);
}

static struct config *
load_two_listeners(const char *second)
{
	char text[512];

	snprintf(text, sizeof text,
	    "namespaces: [{prefix: \"a:\"}, {prefix: \"b:\"}]\n"
	    "listen:\n"
	    "  - {unix: /tmp/one, admin: true, password_file: %s}\n"
	    "%s", password_path, second);
	return load(text);
}

#define SECOND "  - {unix: /tmp/two, allow_uids: [1, 2], allow_gids: [3], namespaces: [b], read_only: true}\n"

START_TEST(each_listener_has_its_rules)
{
	const struct door_policy *p;
	struct doors *d;
	struct config *c;
	char err[256];

	write_password("secret\n");
	c = load_two_listeners(SECOND);
	ck_assert_int_eq(doors_new(c, NULL, &d, err, sizeof err), 0);
	p = doors_policy(d, 0);
	ck_assert(!p->read_only && !p->no_admin && !p->confined);
	ck_assert(password_equals(&p->password, SLICE("secret")));
	ck_assert_uint_eq(p->n_uids + p->n_gids, 0);
	p = doors_policy(d, 1);
	ck_assert(p->read_only && p->no_admin && p->confined);
	ck_assert_ptr_null(p->password.text);
	ck_assert_uint_eq(p->n_uids, 2);
	ck_assert_uint_eq(p->uids[1], 2);
	ck_assert_uint_eq(p->n_gids, 1);
	ck_assert_uint_eq(p->own[0], 1u << 2); /* default, a, b */
	p = doors_policy(d, 2);
	ck_assert(!p->read_only && !p->no_admin && !p->confined);
	doors_unref(d);
	config_free(c);
	unlink(password_path);
}
END_TEST

START_TEST(a_listener_that_is_no_longer_named_keeps_its_rules)
{
	struct doors *first, *second;
	struct config *c;
	char err[256];

	write_password("secret");
	c = load_two_listeners(SECOND);
	ck_assert_int_eq(doors_new(c, NULL, &first, err, sizeof err), 0);
	config_free(c);
	unlink(password_path);
	write_password("other");
	c = load_two_listeners("  - {unix: /tmp/three}\n");
	ck_assert_int_eq(doors_new(c, first, &second, err, sizeof err), 0);
	ck_assert(password_equals(&doors_policy(second, 0)->password, SLICE("other")));
	ck_assert(doors_policy(second, 1)->confined);
	ck_assert_uint_eq(doors_policy(second, 1)->n_uids, 2);
	ck_assert(!doors_policy(second, 2)->confined); /* the new one listens after a restart */
	config_free(c);
	doors_unref(first);
	doors_unref(second);
	unlink(password_path);
}
END_TEST

START_TEST(a_password_that_cannot_be_read_is_an_error)
{
	struct doors *d = NULL;
	struct config *c;
	char err[256];

	write_password("secret");
	c = load_two_listeners("");
	unlink(password_path);
	ck_assert_int_eq(doors_new(c, NULL, &d, err, sizeof err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err, password_path));
	ck_assert_ptr_null(d);
	config_free(c);
}
END_TEST

START_TEST(without_memory_there_are_no_new_rules_and_nothing_is_lost)
{
	struct doors *before, *d;
	struct config *c;
	char err[256];
	int rc = -ENOMEM;

	write_password("secret");
	c = load_two_listeners(SECOND);
	ck_assert_int_eq(doors_new(c, NULL, &before, err, sizeof err), 0);
	for (unsigned long n = 1; rc != 0; n++) {
		mem_fail_nth(n, 0);
		rc = doors_new(c, before, &d, err, sizeof err);
		mem_fail_nth(0, 0);
		ck_assert(rc == 0 || rc == -ENOMEM);
		ck_assert_uint_lt(n, 100);
	}
	doors_unref(d);
	doors_unref(before);
	config_free(c);
	unlink(password_path);
}
END_TEST

START_TEST(a_peer_is_let_in_by_user_or_by_group)
{
	uint32_t me = getuid(), mine = getgid(), other = 4000000;
	struct door_policy p = { .read_only = false };
	struct peer who;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ck_assert(door_lets_in(&p, fds[0], &who));
	p.uids = &other;
	p.n_uids = 1;
	ck_assert(!door_lets_in(&p, fds[0], &who));
	ck_assert_int_eq(who.uid, getuid());
	ck_assert_int_eq(who.pid, getpid());
	p.gids = &other;
	p.n_gids = 1;
	ck_assert(!door_lets_in(&p, fds[0], &who));
	p.gids = &mine;
	ck_assert(door_lets_in(&p, fds[0], &who));
	p.n_gids = 0;
	p.uids = &me;
	ck_assert(door_lets_in(&p, fds[0], &who));
	ck_assert(!door_lets_in(&p, -1, &who)); /* nobody is behind that */
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(a_prefix_is_owned_where_all_keys_behind_it_are)
{
	ck_assert(door_owns_key(session, SLICE("odd:")));
	ck_assert(door_owns_key(session, SLICE("odd:1")));
	ck_assert(!door_owns_key(session, SLICE("odd")));
	ck_assert(!door_owns_key(session, SLICE("")));
	ck_assert(door_owns_prefix(session, SLICE("odd:")));
	ck_assert(door_owns_prefix(session, SLICE("odd:x")));
	ck_assert(!door_owns_prefix(session, SLICE("odd")));
	confined.own[0] = 1; /* all but odd: */
	ck_assert(door_owns_key(session, SLICE("odd")));
	ck_assert(door_owns_prefix(session, SLICE("x")));
	ck_assert(!door_owns_prefix(session, SLICE("od")));
	ck_assert(!door_owns_prefix(session, SLICE("")));
}
END_TEST

START_TEST(walks_of_a_confined_client_fail_without_memory_and_change_nothing_then)
{
	ask("SET other 1");
	ask("SET odd:1 1");
	ck_reply("FLUSHALL", "+OK\r\n");
	ck_reply("EXISTS odd:1", ":0\r\n");
	ck_reply("EXISTS other", ":1\r\n");
	ck_assert_uint_gt(ask_without_memory("SET odd:1 1", "RANDOMKEY", "$5\r\nodd:1\r\n", NULL,
	    NULL), 0);
	ck_assert_uint_gt(ask_without_memory("SET odd:1 1", "KEYS *", "*1\r\n$5\r\nodd:1\r\n", NULL,
	    NULL), 0);
	ck_reply("DBSIZE", ":1\r\n");
	ck_reply("FLUSHDB", "+OK\r\n");
	ck_reply("DBSIZE", ":0\r\n");
	ck_reply("RANDOMKEY", "$-1\r\n");
	ck_reply("EXISTS other", ":1\r\n");
}
END_TEST

START_TEST(a_password_is_asked_for_until_it_is_said_and_after_a_reset)
{
	struct door_policy p = { .password = { (char *)(uintptr_t)"pw", 2 } };

	session->policy = &p;
	door_update(session);
	ck_assert(session->stranger && session->guarded);
	ck_reply_has("HELLO", "-NOAUTH HELLO must be called");
	ck_reply_has("AUTH no", "-WRONGPASS");
	ck_reply_has("AUTH user pw", "-WRONGPASS");
	ck_assert(session->stranger);
	ck_reply("AUTH pw", "+OK\r\n");
	ck_assert(!session->stranger && !session->guarded);
	ck_reply_has("AUTH no", "-WRONGPASS"); /* and stays in */
	ck_assert(!session->stranger);
	ck_reply("RESET", "+RESET\r\n");
	ck_assert(session->stranger);
	ck_reply_has("HELLO 3 AUTH default pw SETNAME me", "%7\r\n");
	ck_assert(!session->stranger);
	ck_reply("ACL WHOAMI", "$7\r\ndefault\r\n");
	session->policy = &confined;
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("door");

	SUITE_ADD(s, "listeners", each_listener_has_its_rules,
	    a_listener_that_is_no_longer_named_keeps_its_rules,
	    a_password_that_cannot_be_read_is_an_error,
	    without_memory_there_are_no_new_rules_and_nothing_is_lost,
	    a_peer_is_let_in_by_user_or_by_group);
	SUITE_ADD_FIXTURE(s, "sessions", confine, handlers_teardown,
	    a_prefix_is_owned_where_all_keys_behind_it_are,
	    walks_of_a_confined_client_fail_without_memory_and_change_nothing_then,
	    a_password_is_asked_for_until_it_is_said_and_after_a_reset);
	return suite_main(s);
}
