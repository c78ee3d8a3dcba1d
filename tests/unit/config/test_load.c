#include "config.h"

#include <ctype.h>

#include "unit/suite.h"

#include <grp.h>
#include <pwd.h>

#include "base/mem.h"
#include "unit/config/fixture.h"

#define ENVIRON(vars) ((char *const *)(vars))

static const char sample[] =
    "listen:\n"
    "  - unix: /run/pannier/pannier.sock\n"
    "    mode: \"0640\"\n"
    "    owner: root\n"
    "    group: 7\n"
    "  - tcp: \"[::1]:6380\"\n"
    "memory: 256MiB\n"
    "threads: auto\n"
    "log_level: warn\n"
    "idle_timeout: 90s\n"
    "namespaces:\n"
    "  - prefix: \"user:\"\n"
    "    origin: users\n"
    "    path: /users/{rest}          # the key after the prefix\n"
    "    ttl: 300s\n"
    "  - prefix: \"\"\n"
    "    ttl: 1h\n"
    "  - prefix: \"item.\"\n"
    "    name: goods\n"
    "origins:\n"
    "  spare:\n"
    "    http:\n"
    "      endpoints: [\"http+unix:///run/app.sock\"]\n"
    "  users:\n"
    "    http:\n"
    "      endpoints:\n"
    "        - http://127.0.0.1:8081\n"
    "        - https://backend.example\n"
    "    deadline: 250ms\n"
    "    max_body: 2MiB\n"
    "invalidations:\n"
    "  products:\n"
    "    kind: rabbitmq\n"
    "    endpoints: [\"rabbit-1:5672\", \"rabbit-2:5672\"]\n"
    "    exchange: changes\n"
    "    keys: [\"item.{after.id}\"]\n"
    "  orders:\n"
    "    kind: kafka\n"
    "    endpoints: [\"kafka:9092\"]\n"
    "    topics: [orders]\n"
    "    on_gap: flush\n";

START_TEST(the_sample_means_what_it_says)
{
	struct config *c;

	fixture_enter();
	c = load_good(sample);
	ck_assert_uint_eq(c->memory, 256u << 20);
	ck_assert_uint_eq(c->threads, CONFIG_AUTO);
	ck_assert_int_eq(c->idle_timeout, 90000);
	ck_assert_int_eq(c->log_level, 2);

	ck_assert_uint_eq(c->n_listens, 2);
	ck_assert(c->listens[0].is_unix);
	ck_assert_str_eq(c->listens[0].path, "/run/pannier/pannier.sock");
	ck_assert_uint_eq(c->listens[0].mode, 0640);
	ck_assert_uint_eq(c->listens[0].uid, 0);
	ck_assert_uint_eq(c->listens[0].gid, 7);
	ck_assert(!c->listens[1].is_unix);
	ck_assert_str_eq(c->listens[1].host, "::1");
	ck_assert_uint_eq(c->listens[1].port, 6380);
	ck_assert_uint_eq(c->listens[1].uid, (uid_t)-1);

	ck_assert_uint_eq(c->n_origins, 2);
	ck_assert_str_eq(c->origins[1].name, "users");
	ck_assert_uint_eq(c->origins[1].index, 1);
	ck_assert_uint_eq(c->origins[1].n_endpoints, 2);
	ck_assert_str_eq(c->origins[1].endpoints[1], "https://backend.example");
	ck_assert_int_eq(c->origins[1].deadline_ms, 250);
	ck_assert_uint_eq(c->origins[1].max_body_bytes, 2u << 20);
	ck_assert_uint_eq(c->origins[1].max_connections, 32);
	ck_assert_uint_eq(c->origins[1].max_waiters, 10000);
	ck_assert_int_eq(c->origins[0].deadline_ms, 1000);
	ck_assert_uint_eq(c->n_streams, 2);
	ck_assert_str_eq(c->streams[0].name, "products");
	ck_assert_int_eq(c->streams[0].kind, STREAM_RABBITMQ);
	ck_assert_uint_eq(c->streams[0].n_endpoints, 2);
	ck_assert_str_eq(c->streams[0].keys[0], "item.{after.id}");
	ck_assert_int_eq(c->streams[0].on_gap, GAP_SOFTEN);
	ck_assert_uint_eq(c->streams[0].prefetch, 256);
	ck_assert_int_eq(c->streams[1].kind, STREAM_KAFKA);
	ck_assert_int_eq(c->streams[1].on_gap, GAP_FLUSH);
	config_free(c);
	fixture_leave();
}
END_TEST

START_TEST(the_default_namespace_is_the_first_wherever_the_file_has_it)
{
	struct config *c;

	fixture_enter();
	c = load_good(sample);
	ck_assert_uint_eq(c->n_namespaces, 3);
	ck_assert_str_eq(c->namespaces[0].name, "default");
	ck_assert_str_eq(c->namespaces[0].prefix, "");
	ck_assert_int_eq(c->namespaces[0].ttl_ms, 3600000);
	ck_assert_str_eq(c->namespaces[1].name, "user");
	ck_assert_str_eq(c->namespaces[1].path, "/users/{rest}");
	ck_assert_ptr_eq(c->namespaces[1].origin_cfg, &c->origins[1]);
	ck_assert_str_eq(c->namespaces[2].name, "goods");
	ck_assert_ptr_null(c->namespaces[2].origin_cfg);
	config_free(c);

	c = load_good("namespaces: []\n");
	ck_assert_uint_eq(c->n_namespaces, 1);
	ck_assert_str_eq(c->namespaces[0].prefix, "");
	config_free(c);
	fixture_leave();
}
END_TEST

START_TEST(a_guard_protects_where_nothing_is_said)
{
	const struct config_guard *g;
	struct config *c;

	fixture_enter();
	c = load_good(sample);
	g = &c->origins[0].guard;
	ck_assert_uint_eq(g->rate.limit, 0);
	ck_assert_uint_eq(g->concurrency.limit, 0);
	ck_assert_uint_eq(g->concurrency.queue, 1024);
	ck_assert(!g->concurrency.adaptive);
	ck_assert(g->breaker.enabled && !g->breaker.dry_run);
	ck_assert_uint_eq(g->breaker.failure_rate, 50);
	ck_assert_int_eq(g->breaker.open_time, 2000);
	ck_assert(g->retry.enabled);
	ck_assert_uint_eq(g->retry.budget, 20);
	ck_assert(!g->hedge.enabled);
	ck_assert(g->ejection.enabled);
	ck_assert_int_eq(g->balance.policy, GUARD_ROUND_ROBIN);
	ck_assert_ptr_null(g->health.path);
	config_free(c);
	fixture_leave();
}
END_TEST

static struct config *
load_origin(const char *more)
{
	char text[512];

	snprintf(text, sizeof text, "origins:\n  users:\n    http: {endpoints: [\"http://a\", "
	    "\"http://b\"]}\n%s", more);
	return load_good(text);
}

START_TEST(origins_that_say_the_same_are_the_same)
{
	static const char *const others[] = { "    deadline: 2s\n", "    retry: {attempts: 2}\n",
		"    health: {path: /other}\n", "    health: {path: /z}\n    breaker: {window: time}\n" };
	struct config_origin copy = { 0 };
	struct config *a, *b;

	fixture_enter();
	a = load_origin("    health: {path: /z}\n");
	b = load_origin("    health: {path: /z, rise: 2}\n");
	b->origins[0].stats_id = 7;
	ck_assert(config_origin_same(&a->origins[0], &b->origins[0]));
	ck_assert_int_eq(config_origin_copy(&copy, &b->origins[0]), 0);
	config_free(b);
	ck_assert(config_origin_same(&a->origins[0], &copy));
	copy.endpoints[1][7] = 'c';
	ck_assert(!config_origin_same(&a->origins[0], &copy));
	config_origin_fini(&copy);
	for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
		b = load_origin(others[i]);
		ck_assert_msg(!config_origin_same(&a->origins[0], &b->origins[0]), "%s", others[i]);
		config_free(b);
	}
	config_free(a);
	fixture_leave();
}
END_TEST

START_TEST(names_made_from_prefixes_can_stand_in_statistics)
{
	struct config *c;

	fixture_enter();
	c = load_good("namespaces:\n  - prefix: \"a/b c:::\"\n  - prefix: \"\xc3\xa4x\"\n"
	              "  - prefix: v1.2-\n");
	ck_assert_str_eq(c->namespaces[1].name, "a_b_c");
	ck_assert_str_eq(c->namespaces[2].name, "__x");
	ck_assert_str_eq(c->namespaces[3].name, "v1.2");
	config_free(c);
	fixture_leave();
}
END_TEST

START_TEST(without_a_file_everything_is_default)
{
	struct config_error err;
	struct config *c = NULL;

	ck_assert_int_eq(config_load(NULL, NULL, 0, NULL, &c, &err), 0);
	ck_assert_uint_eq(c->memory, CONFIG_AUTO);
	ck_assert_uint_eq(c->max_clients, 10000);
	ck_assert_int_eq(c->drain_timeout, 10000);
	ck_assert_uint_eq(c->n_listens, 0);
	ck_assert_uint_eq(c->n_namespaces, 1);
	ck_assert_uint_eq(c->n_origins, 0);
	config_free(c);
}
END_TEST

START_TEST(a_byte_order_mark_and_line_ends_of_windows_do_not_matter)
{
	struct config *c;

	fixture_enter();
	c = load_good("\xef\xbb\xbf" "memory: 64MiB\r\nthreads: 3\r\n");
	ck_assert_uint_eq(c->memory, 64u << 20);
	ck_assert_uint_eq(c->threads, 3);
	config_free(c);
	c = load_good("{}");
	ck_assert_uint_eq(c->threads, CONFIG_AUTO);
	config_free(c);
	fixture_leave();
}
END_TEST

START_TEST(flags_stand_over_environment_over_file_over_default)
{
	static const struct config_override flags[] = { { "memory", "48MiB" } };
	const char *const vars[] = { "PANNIER_MEMORY=32MiB", "PANNIER_THREADS=2", "PANNIER_LOG_LEVEL=",
		"PANNIER_PORT=tcp://10.0.0.1:80", "XPANNIER_THREADS=9", NULL };
	struct config_error err;
	struct config *c = NULL;

	fixture_enter();
	write_text(FIXTURE_FILE, SLICE("memory: 16MiB\nthreads: 1\nmax_clients: 5\nlog_level: error\n"));
	ck_assert_int_eq(config_load(FIXTURE_FILE, flags, 1, ENVIRON(vars), &c, &err), 0);
	ck_assert_uint_eq(c->memory, 48u << 20);
	ck_assert_uint_eq(c->threads, 2);
	ck_assert_uint_eq(c->max_clients, 5);
	ck_assert_int_eq(c->log_level, 3);
	ck_assert_uint_eq(c->sources[config_option_find(SLICE("memory"))], CONFIG_FLAG);
	ck_assert_uint_eq(c->sources[config_option_find(SLICE("threads"))], CONFIG_ENV);
	ck_assert_uint_eq(c->sources[config_option_find(SLICE("max_clients"))], CONFIG_FILE);
	ck_assert_uint_eq(c->sources[config_option_find(SLICE("eviction"))], CONFIG_DEFAULT);
	config_free(c);
	fixture_leave();
}
END_TEST

/* Some value of the row, as text. */
static const char *
sample_of(unsigned row)
{
	static char text[128];
	struct config_error err;
	struct config *c = NULL;

	ck_assert_int_eq(config_load(NULL, NULL, 0, NULL, &c, &err), 0);
	config_option_get(c, row, false, text, sizeof text);
	config_free(c);
	if (*text != '\0')
		return text;
	return strstr(config_option_name(row), "http") != NULL ? "tcp:127.0.0.1:9464" : "/tmp/x";
}

static void
assert_source(const char *path, const struct config_override *flag, const char *var, unsigned row,
    enum config_source expected)
{
	const char *const vars[] = { var, NULL };
	struct config_error err;
	struct config *c = NULL;

	ck_assert_msg(config_load(path, flag, flag != NULL, var != NULL ? ENVIRON(vars) : NULL, &c,
	    &err) == 0, "%s: %s", config_option_name(row), err.text);
	ck_assert_msg(c->sources[row] == expected, "%s: %d", config_option_name(row),
	    c->sources[row]);
	ck_assert_uint_eq(c->lines[row], path != NULL ? 2 : 0);
	config_free(c);
}

START_TEST(every_option_obeys_flag_environment_and_file_in_this_order)
{
	char text[256], var[256];

	fixture_enter();
	for (unsigned row = 0; row < config_option_count(); row++) {
		const char *name = config_option_name(row), *value = sample_of(row);
		struct config_override flag = { name, value };
		int n = snprintf(text, sizeof text, "\n%s: \"%s\"\n", name, value);

		write_text(FIXTURE_FILE, slice_of(text, (size_t)n));
		n = snprintf(var, sizeof var, "PANNIER_%s", name);
		for (int i = 0; i < n; i++)
			var[i] = (char)toupper((unsigned char)var[i]);
		snprintf(var + n, sizeof var - (size_t)n, "=%s", value);
		assert_source(NULL, NULL, NULL, row, CONFIG_DEFAULT);
		assert_source(FIXTURE_FILE, NULL, NULL, row, CONFIG_FILE);
		assert_source(FIXTURE_FILE, NULL, var, row, CONFIG_ENV);
		assert_source(FIXTURE_FILE, &flag, var, row, CONFIG_FLAG);
	}
	fixture_leave();
}
END_TEST

START_TEST(listeners_of_a_flag_replace_those_of_environment_and_file)
{
	static const struct config_override flags[] = {
		{ "listen", "unix:/a,mode=0666,owner=5,group=6" }, { "listen", "tcp:127.0.0.1:0" }
	};
	const char *const vars[] = { "PANNIER_LISTEN= unix:/e1  unix:/e2 ", NULL };
	struct config_error err;
	struct config *c = NULL;

	fixture_enter();
	write_text(FIXTURE_FILE, SLICE("listen: [{unix: /f}]\n"));
	ck_assert_int_eq(config_load(FIXTURE_FILE, NULL, 0, ENVIRON(vars), &c, &err), 0);
	ck_assert_uint_eq(c->n_listens, 2);
	ck_assert_str_eq(c->listens[0].path, "/e1");
	ck_assert_str_eq(c->listens[1].path, "/e2");
	ck_assert_uint_eq(c->listens[1].mode, 0660);
	config_free(c);
	ck_assert_int_eq(config_load(FIXTURE_FILE, flags, 2, ENVIRON(vars), &c, &err), 0);
	ck_assert_uint_eq(c->n_listens, 2);
	ck_assert_str_eq(c->listens[0].path, "/a");
	ck_assert_uint_eq(c->listens[0].mode, 0666);
	ck_assert_uint_eq(c->listens[0].uid, 5);
	ck_assert_uint_eq(c->listens[0].gid, 6);
	ck_assert_str_eq(c->listens[1].host, "127.0.0.1");
	ck_assert_uint_eq(c->listens[1].port, 0);
	config_free(c);
	fixture_leave();
}
END_TEST

START_TEST(statistics_alone_may_be_served_on_any_address)
{
	struct config_error err;
	struct config_listen l;

	ck_assert_int_eq(config_admin_http_parse(SLICE("tcp:0.0.0.0:9464"), &l, &err), 0);
	ck_assert_str_eq(l.host, "0.0.0.0");
	ck_assert(l.any_host);
	config_listen_fini(&l);
	ck_assert_int_eq(config_admin_http_parse(SLICE("tcp:[::]:9464"), &l, &err), 0);
	ck_assert_str_eq(l.host, "::");
	config_listen_fini(&l);
	ck_assert_int_eq(config_listen_parse(SLICE("tcp:0.0.0.0:9464"), &l, &err), -EINVAL);
}
END_TEST

START_TEST(who_may_connect_and_to_what_comes_from_the_file_or_behind_an_address)
{
	const struct config_override flag = { "listen",
		"unix:/a,allow_uids=7,allow_gids=0,allow_uids=root,namespaces=default,password_file=/p" };
	const struct config_listen *l;
	struct config_error err;
	struct config *c, *clone;

	fixture_enter();
	write_text(FIXTURE_FILE, SLICE("listen:\n  - unix: /f\n    allow_uids: [root, 7]\n"
	                               "    allow_gids: [8]\n    namespaces: [a, default]\n"
	                               "    password_file: /p\nnamespaces:\n  - prefix: \"a:\"\n"
	                               "password_file: /all\n"));
	ck_assert_msg(config_load(FIXTURE_FILE, NULL, 0, NULL, &c, &err) == 0, "%s", err.text);
	clone = config_clone(c);
	config_free(c);
	l = &clone->listens[0];
	ck_assert_uint_eq(l->n_allow_uids, 2);
	ck_assert_uint_eq(l->allow_uids[0], 0);
	ck_assert_uint_eq(l->allow_uids[1], 7);
	ck_assert_uint_eq(l->n_allow_gids, 1);
	ck_assert_uint_eq(l->allow_gids[0], 8);
	ck_assert_uint_eq(l->n_namespaces, 2);
	ck_assert_str_eq(l->namespaces[1], "default");
	ck_assert_str_eq(l->password_file, "/p");
	ck_assert_str_eq(clone->password_file, "/all");
	config_free(clone);
	ck_assert_msg(config_load(NULL, &flag, 1, NULL, &c, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(c->listens[0].n_allow_uids, 2);
	ck_assert_uint_eq(c->listens[0].allow_uids[0], 7);
	ck_assert_uint_eq(c->listens[0].allow_uids[1], 0);
	ck_assert_uint_eq(c->listens[0].n_allow_gids, 1);
	ck_assert_str_eq(c->listens[0].namespaces[0], "default");
	ck_assert_str_eq(c->listens[0].password_file, "/p");
	ck_assert_ptr_null(c->password_file);
	config_free(c);
	fixture_leave();
}
END_TEST

static void
assert_flag_error(const char *name, const char *value, const char *expected)
{
	const struct config_override flag = { name, value };
	struct config_error err = { "" };
	struct config *c = NULL;

	ck_assert_int_eq(config_load(NULL, &flag, 1, NULL, &c, &err), -EINVAL);
	ck_assert_str_eq(err.text, expected);
	ck_assert_ptr_null(c);
}

START_TEST(errors_in_flags_and_variables_name_them)
{
	const char *const vars[] = { "PANNIER_LOG_LEVEL=loud", NULL };
	const char *const listen[] = { "PANNIER_LISTEN=unix:/a /b", NULL };
	struct config_error err;
	struct config *c = NULL;

	assert_flag_error("log_level", "x",
	    "--log-level: \"x\" is no log level; there is debug, info, warn, error");
	assert_flag_error("memory", "", "--memory: \"\" is no size; write for example 256MiB");
	assert_flag_error("listen", "/run/x",
	    "--listen: \"/run/x\" is no address; write unix:/path/of.sock or tcp:127.0.0.1:6380");
	assert_flag_error("listen", "unix:",
	    "--listen: \"\" is no path; write for example /run/pannier/pannier.sock");
	assert_flag_error("listen", "unix:/a,mod=0660",
	    "--listen: \"mod=0660\" is unknown; mode=, owner=, group= and others may follow "
	    "a path");
	assert_flag_error("listen", "unix:/a,unix=/b",
	    "--listen: \"unix=/b\" is unknown; mode=, owner=, group= and others may follow "
	    "a path");
	assert_flag_error("listen", "unix:/a,mode=888",
	    "--listen: mode: \"888\" is no file mode; write for example \"0660\"");
	assert_flag_error("listen", "unix:/a,allow_uids=7,allow_uids=no body",
	    "--listen: allow_uids: \"no body\" is no user on this machine; write a name that is "
	    "known here, or a number");
	assert_flag_error("listen", "unix:/a,namespaces=nothing",
	    "listen[0].namespaces[0]: \"nothing\" is the name of no namespace");
	assert_flag_error("listen", "tcp:127.0.0.1:1,allow_uids=7",
	    "--listen: \"allow_uids=7\" belongs to a Unix socket, not to TCP");
	assert_flag_error("listen", "tcp:127.0.0.1:1,mode=0660",
	    "--listen: \"mode=0660\" belongs to a Unix socket, not to TCP");
	assert_flag_error("listen", "tcp:10.0.0.1:1",
	    "--listen: \"10.0.0.1:1\" is not on loopback, and TCP has no password here; "
	    "write for example 127.0.0.1:6380");
	ck_assert_int_eq(config_load(NULL, NULL, 0, ENVIRON(vars), &c, &err), -EINVAL);
	ck_assert_str_eq(err.text,
	    "PANNIER_LOG_LEVEL: \"loud\" is no log level; there is debug, info, warn, error");
	ck_assert_int_eq(config_load(NULL, NULL, 0, ENVIRON(listen), &c, &err), -EINVAL);
	ck_assert_str_eq(err.text, "PANNIER_LISTEN: \"/b\" is no address; write unix:/path/of.sock "
	                           "or tcp:127.0.0.1:6380");
}
END_TEST

START_TEST(users_and_groups_are_found_by_name)
{
	struct config_listen l;
	struct config_error err;
	const struct passwd *pw = getpwnam("daemon");
	const struct group *gr = getgrnam("daemon");

	ck_assert_ptr_nonnull(pw);
	ck_assert_ptr_nonnull(gr);
	ck_assert_int_eq(
	    config_listen_parse(SLICE("unix:/a,owner=daemon,group=daemon"), &l, &err), 0);
	ck_assert_uint_eq(l.uid, pw->pw_uid);
	ck_assert_uint_eq(l.gid, gr->gr_gid);
	config_listen_fini(&l);
}
END_TEST

/* What config_print() writes, in a file of the fixture. */
static char *
printed(const struct config *c, bool sources)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	config_print(c, sources, f);
	fclose(f);
	return text;
}

START_TEST(what_is_printed_reads_as_the_same_again)
{
	struct config *c, *again;
	char *once, *twice;

	fixture_enter();
	c = load_good(sample);
	once = printed(c, false);
	again = load_good(once);
	twice = printed(again, false);
	ck_assert_str_eq(once, twice);
	ck_assert_ptr_nonnull(strstr(once, "log_level: warn\n"));
	ck_assert_ptr_nonnull(strstr(once, "\n  - unix: \"/run/pannier/pannier.sock\"\n"
	                                   "    mode: \"0640\"\n    owner: 0\n    group: 7\n"
	                                   "    read_only: false\n    admin: false\n"
	                                   "  - tcp: \"[::1]:6380\"\n"));
	ck_assert_ptr_nonnull(strstr(once, "\n  \"users\":\n    http:\n      endpoints: "
	                                   "[\"http://127.0.0.1:8081\", "
	                                   "\"https://backend.example\"]\n"
	                                   "      dns_cache: 30s\n"
	                                   "      connection_age: 10m\n"
	                                   "    deadline: 250ms\n"));
	free(twice);
	twice = printed(c, true);
	ck_assert_ptr_nonnull(strstr(twice, "log_level: warn # file:"));
	ck_assert_ptr_nonnull(strstr(twice, "max_clients: 10000 # default\n"));
	config_free(again);
	again = load_good(twice);
	free(once);
	free(twice);
	config_free(again);
	config_free(c);

	/* What YAML would fold, refuse or end a string at. */
	c = load_good("namespaces:\n  - prefix: \"a\\\"b\\\\c\\N\\L\\uFEFF\\x80\\u00e4\\U0001F6B2\"\n"
	              "    name: q\n");
	once = printed(c, false);
	again = load_good(once);
	ck_assert_str_eq(again->namespaces[1].prefix, c->namespaces[1].prefix);
	ck_assert_ptr_nonnull(strstr(once, "\"a\\\"b\\\\c\\U00000085\\U00002028\\U0000FEFF"
	                                   "\\U00000080\xc3\xa4\xf0\x9f\x9a\xb2\""));
	free(once);
	config_free(again);
	config_free(c);
	fixture_leave();
}
END_TEST

START_TEST(a_clone_shares_nothing_with_its_original)
{
	struct config *c, *clone;
	char *before, *after;

	fixture_enter();
	c = load_good(sample);
	c->namespaces[1].stats_id = 5;
	c->origins[1].stats_id = 6;
	before = printed(c, true);
	clone = config_clone(c);
	ck_assert_ptr_nonnull(clone);
	ck_assert_ptr_eq(clone->namespaces[1].origin_cfg, &clone->origins[1]);
	ck_assert_int_eq(clone->namespaces[1].stats_id, 5);
	ck_assert_int_eq(clone->origins[1].stats_id, 6);
	config_free(c);
	after = printed(clone, true);
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
	config_free(clone);
	fixture_leave();
}
END_TEST

/* libyaml's allocator, which the dynamic linker takes from here: NULL where
 * ours would say NULL, so that its failures are among those of the loop. */
void *yaml_malloc(size_t size);
void *yaml_realloc(void *ptr, size_t size);
void yaml_free(void *ptr);
unsigned char *yaml_strdup(const unsigned char *s);

void *
yaml_malloc(size_t size)
{
	return mem_alloc(size);
}

void *
yaml_realloc(void *ptr, size_t size)
{
	return mem_realloc(ptr, size);
}

void
yaml_free(void *ptr)
{
	mem_free(ptr);
}

unsigned char *
yaml_strdup(const unsigned char *s)
{
	return (unsigned char *)mem_strdup((const char *)s);
}

static void
load_failing(int onwards)
{
	static const struct config_override flags[] = {
		{ "listen", "unix:/a" }, { "listen", "tcp:127.0.0.1:0" }
	};
	struct config_error err;
	struct config *c = NULL;
	unsigned long n = 0;
	int rc;

	do {
		err.text[0] = '\0';
		mem_fail_nth(++n, onwards);
		rc = config_load(FIXTURE_FILE, flags, 2, NULL, &c, &err);
		mem_fail_nth(0, 0);
		if (rc == 0)
			break;
		ck_assert_int_eq(rc, -ENOMEM);
		ck_assert_str_eq(err.text, FIXTURE_FILE ": out of memory");
		ck_assert_ptr_null(c);
	} while (n < 10000);
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_gt(n, 100);
	config_free(c);
}

START_TEST(a_load_without_memory_fails_cleanly_wherever_it_runs_out)
{
	fixture_enter();
	write_text(FIXTURE_FILE, slice_of(sample, sizeof sample - 1));
	load_failing(0);
	load_failing(1);
	fixture_leave();
}
END_TEST

START_TEST(a_clone_without_memory_is_none_and_leaks_nothing)
{
	struct config *c, *clone;
	unsigned long n = 0;

	fixture_enter();
	c = load_good(sample);
	do {
		mem_fail_nth(++n, 0);
		clone = config_clone(c);
		mem_fail_nth(0, 0);
	} while (clone == NULL && n < 1000);
	ck_assert_ptr_nonnull(clone);
	ck_assert_uint_gt(n, 20);
	config_free(clone);
	config_free(c);
	fixture_leave();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("config");

	SUITE_ADD(s, "load", the_sample_means_what_it_says,
	    the_default_namespace_is_the_first_wherever_the_file_has_it,
	    a_guard_protects_where_nothing_is_said, origins_that_say_the_same_are_the_same,
	    names_made_from_prefixes_can_stand_in_statistics, without_a_file_everything_is_default,
	    a_byte_order_mark_and_line_ends_of_windows_do_not_matter,
	    flags_stand_over_environment_over_file_over_default,
	    every_option_obeys_flag_environment_and_file_in_this_order,
	    listeners_of_a_flag_replace_those_of_environment_and_file,
	    statistics_alone_may_be_served_on_any_address,
	    who_may_connect_and_to_what_comes_from_the_file_or_behind_an_address,
	    errors_in_flags_and_variables_name_them, users_and_groups_are_found_by_name);
	SUITE_ADD(s, "print", what_is_printed_reads_as_the_same_again,
	    a_clone_shares_nothing_with_its_original);
	SUITE_ADD(s, "memory", a_load_without_memory_fails_cleanly_wherever_it_runs_out,
	    a_clone_without_memory_is_none_and_leaks_nothing);
	return suite_main(s);
}
