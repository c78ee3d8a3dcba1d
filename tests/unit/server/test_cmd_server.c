/* Connection, CLIENT, CONFIG and INFO. */
#include "config.h"

#include "unit/server/handlers.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "server/info.h"

/* --- connection ---------------------------------------------------------------- */

START_TEST(hello_switches_the_protocol_of_reply_and_session)
{
	ck_reply_has("HELLO 3", "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n");
	ck_assert_int_eq(session->wire, WIRE_RESP3);
	ck_reply_has("HELLO", "$5\r\nproto\r\n:3\r\n");
	ck_reply("HELLO 4", "-NOPROTO unsupported protocol version\r\n");
	ck_reply("HELLO x", "-ERR Protocol version is not an integer or out of range\r\n");
	ck_reply("HELLO 2 foo", "-ERR Syntax error in HELLO option 'foo'\r\n");
	ck_assert_int_eq(session->wire, WIRE_RESP3);
	ck_reply_has("HELLO 2 AUTH default any SETNAME me", "*14\r\n");
	ck_assert_int_eq(session->wire, WIRE_RESP2);
	ck_reply("CLIENT GETNAME", "$2\r\nme\r\n");
	ck_reply("HELLO 3 AUTH other any",
	    "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	ck_assert_int_eq(session->wire, WIRE_RESP2);
}
END_TEST

START_TEST(reset_forgets_name_and_protocol)
{
	ask("HELLO 3 SETNAME me");
	ck_reply("RESET", "+RESET\r\n");
	ck_reply("CLIENT GETNAME", "$-1\r\n");
	ck_assert_int_eq(session->wire, WIRE_RESP2);
}
END_TEST

START_TEST(only_database_0_is_there)
{
	ck_reply("SELECT 0", "+OK\r\n");
	ck_reply("SELECT 1", "-ERR DB index is out of range\r\n");
	ck_reply("SELECT -1", "-ERR DB index is out of range\r\n");
	ck_reply("SELECT x", "-ERR value is not an integer or out of range\r\n");
	ck_reply("SELECT 99999999999",
	    "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
}
END_TEST

START_TEST(quit_asks_for_the_end)
{
	ck_reply("PING", "+PONG\r\n");
	ck_reply("PING a", "$1\r\na\r\n");
	ck_reply("PING a b", "-ERR wrong number of arguments for 'ping' command\r\n");
	ck_assert(!session->closing);
	ck_reply("QUIT", "+OK\r\n");
	ck_assert(session->closing);
}
END_TEST

/* --- CLIENT --------------------------------------------------------------------- */

START_TEST(names_cannot_break_a_line_of_the_list)
{
	struct slice argv[] = { SLICE("CLIENT"), SLICE("SETNAME"), SLICE("a\nid=7 addr=x") };
	const char *line;

	ck_assert_str_eq(ask_args(argv, 3),
	    "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
	argv[1] = SLICE("SETINFO");
	ck_reply("CLIENT SETINFO LIB-NAME a\rb",
	    "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n");
	ck_reply("CLIENT SETINFO lib-ver 1.2", "+OK\r\n");
	ck_reply("CLIENT SETINFO LIB-NAME lib", "+OK\r\n");
	ck_reply("CLIENT SETINFO other x", "-ERR Unrecognized option 'other'\r\n");
	ck_reply("CLIENT SETNAME me", "+OK\r\n");
	line = ask("CLIENT INFO");
	ck_assert(strstr(line, " name=me ") != NULL);
	ck_assert(strstr(line, " lib-name=lib lib-ver=1.2 ") != NULL);
	ck_assert(strstr(line, " addr=/tmp/test.sock:0 laddr=/tmp/test.sock:0 ") != NULL);
	ck_assert(strstr(line, " flags=U ") != NULL);
	ck_assert(strstr(line, " cmd=client|info ") != NULL);
	ck_reply("CLIENT SETNAME ''", "+OK\r\n");
	ck_reply("CLIENT GETNAME", "$-1\r\n");
}
END_TEST

START_TEST(list_gathers_over_loops_and_filters)
{
	char own[32], line[96];

	snprintf(own, sizeof own, "\nid=%llu ", (unsigned long long)session->id);
	ck_reply_has("CLIENT LIST", own);
	ck_reply_has("CLIENT LIST TYPE normal", own);
	ck_reply("CLIENT LIST TYPE replica", "$0\r\n\r\n");
	ck_reply("CLIENT LIST TYPE what", "-ERR Unknown client type 'what'\r\n");
	snprintf(line, sizeof line, "CLIENT LIST ID 999 %llu", (unsigned long long)session->id);
	ck_reply_has(line, own);
	ck_reply("CLIENT LIST ID 999 -1", "$0\r\n\r\n");
	ck_reply("CLIENT LIST ID x", "-ERR Invalid client ID\r\n");
	ck_reply("CLIENT LIST ID", "-ERR syntax error\r\n");
}
END_TEST

START_TEST(a_client_named_twice_is_printed_once)
{
	char line[96];
	const char *reply;

	snprintf(line, sizeof line, "CLIENT LIST ID %llu %llu", (unsigned long long)session->id,
	    (unsigned long long)session->id);
	reply = ask(line);
	reply = strstr(reply, "\nid=");
	ck_assert(reply != NULL);
	ck_assert(strstr(reply + 1, "\nid=") == NULL);
}
END_TEST

/* --- CONFIG --------------------------------------------------------------------- */

static void
run_tasks(void)
{
	for (unsigned i = 0; i < server->n_loops; i++)
		loop_run_tasks(server->loops[i].loop);
}

START_TEST(config_get_knows_both_names_and_patterns)
{
	ck_reply("CONFIG GET maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$8\r\n67108864\r\n");
	ck_reply("CONFIG GET MEMORY", "*2\r\n$6\r\nMEMORY\r\n$5\r\n64MiB\r\n");
	ck_reply("CONFIG GET appendon?? [s]ave",
	    "*4\r\n$10\r\nappendonly\r\n$2\r\nno\r\n$4\r\nsave\r\n$0\r\n\r\n");
	ck_reply("CONFIG GET databases database*", "*2\r\n$9\r\ndatabases\r\n$1\r\n1\r\n");
	ck_reply("CONFIG GET io-threads", "*2\r\n$10\r\nio-threads\r\n$1\r\n2\r\n");
	ck_reply("CONFIG GET nonsense", "*0\r\n");
	ask("HELLO 3");
	ck_reply("CONFIG GET databases", "%1\r\n$9\r\ndatabases\r\n$1\r\n1\r\n");
	ck_reply_has("CONFIG GET *", "$10\r\nunixsocket\r\n");
}
END_TEST

START_TEST(config_set_sets_all_or_nothing)
{
	ck_reply("CONFIG SET maxclients 500 timeout 300", "+OK\r\n");
	ck_reply("CONFIG GET maxclients", "*2\r\n$10\r\nmaxclients\r\n$3\r\n500\r\n");
	ck_reply("CONFIG GET timeout", "*2\r\n$7\r\ntimeout\r\n$3\r\n300\r\n");
	ck_reply("CONFIG GET idle_timeout", "*2\r\n$12\r\nidle_timeout\r\n$2\r\n5m\r\n");
	run_tasks();
	ck_assert_uint_eq(server_config(&server->loops[1])->max_clients, 500);
	ck_reply_has("CONFIG SET maxclients 700 timeout never",
	    "-ERR CONFIG SET failed (possibly related to argument 'timeout') - ");
	ck_reply("CONFIG SET maxclients 700 nonsense 1",
	    "-ERR Unknown option or number of arguments for CONFIG SET - 'nonsense'\r\n");
	ck_reply("CONFIG SET maxclients 700 max_clients 800",
	    "-ERR CONFIG SET failed (possibly related to argument 'max_clients') - duplicate "
	    "parameter\r\n");
	ck_reply("CONFIG SET maxclients 700 threads 4",
	    "-ERR CONFIG SET failed (possibly related to argument 'threads') - can't set immutable "
	    "config: it needs a restart, with the new value in the file, the environment or a "
	    "flag\r\n");
	ck_reply("CONFIG SET namespaces.user.ttl 5s",
	    "-ERR CONFIG SET failed (possibly related to argument 'namespaces.user.ttl') - can't set "
	    "immutable config: change it in the file and send SIGHUP\r\n");
	ck_reply_has("CONFIG SET listen tcp:127.0.0.1:1", "it needs a restart");
	ck_reply("CONFIG SET maxclients 700 databases",
	    "-ERR syntax error\r\n");
	ck_reply("CONFIG GET maxclients", "*2\r\n$10\r\nmaxclients\r\n$3\r\n500\r\n");
	ck_reply("CONFIG SET save '' appendonly no", "+OK\r\n");
	ck_reply("CONFIG SET save 1",
	    "-ERR CONFIG SET failed (possibly related to argument 'save') - can't set immutable "
	    "config\r\n");
	run_tasks();
}
END_TEST

START_TEST(config_set_takes_seconds_and_durations_by_either_name)
{
	static const char *const lines[] = {
		"CONFIG SET timeout 5m", "CONFIG SET timeout 300", "CONFIG SET timeout 300s",
		"CONFIG SET idle_timeout 300", "CONFIG SET idle_timeout 300000ms",
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		ck_reply("CONFIG SET timeout 0", "+OK\r\n");
		ck_reply(lines[i], "+OK\r\n");
		ck_reply("CONFIG GET timeout", "*2\r\n$7\r\ntimeout\r\n$3\r\n300\r\n");
	}
	ck_reply_has("CONFIG SET timeout 5mm", "-ERR CONFIG SET failed");
	ck_reply_has("CONFIG SET timeout ''", "-ERR CONFIG SET failed");
	run_tasks();
}
END_TEST

START_TEST(resetstat_zeroes_counts)
{
	ask("EXISTS none");
	ck_reply_has("INFO stats", "keyspace_misses:1\r\n");
	ck_reply("CONFIG RESETSTAT", "+OK\r\n");
	ck_reply_has("INFO stats", "keyspace_misses:0\r\n");
}
END_TEST

/* --- INFO ------------------------------------------------------------------------ */

START_TEST(info_prints_the_sections_that_are_asked_for)
{
	const char *reply = ask("INFO CPU nonsense cluster cpu");

	ck_assert(strstr(reply, "# CPU\r\nused_cpu_sys:") != NULL);
	ck_assert(strstr(reply, "\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n") != NULL);
	ck_assert(strstr(reply, "# Server") == NULL);
	ck_reply("INFO nonsense", "$0\r\n\r\n");
	ck_assert(strstr(ask("INFO"), "# Commandstats") == NULL);
	ck_reply_has("INFO", "redis_version:7.0.15\r\n");
	ck_reply_has("INFO", "pannier_version:" PACKAGE_VERSION "\r\n");
	ck_reply_has("INFO everything", "# Commandstats");
	ask("HELLO 3");
	ck_reply_has("INFO cluster", "=34\r\ntxt:# Cluster\r\n");
}
END_TEST

START_TEST(the_version_of_redis_can_be_another)
{
	ck_reply_has("HELLO", "$7\r\nversion\r\n$6\r\n7.0.15\r\n");
	ck_reply("CONFIG SET redis_version 7.4.0", "+OK\r\n");
	run_tasks();
	ck_reply_has("HELLO", "$7\r\nversion\r\n$5\r\n7.4.0\r\n");
	ck_reply_has("INFO server", "redis_version:7.4.0\r\n");
	ck_reply_has("CONFIG SET redis_version 9.9.9", "\"9.9.9\" is no version that is known");
	ck_reply("CONFIG GET redis_version", "*2\r\n$13\r\nredis_version\r\n$5\r\n7.4.0\r\n");
}
END_TEST

START_TEST(info_counts_by_namespace_whatever_its_name)
{
	ask("SET odd:1 v");
	ask("EXISTS odd:1 odd:2");
	ck_assert_int_gt(stats_ns_id(server->names, "a,b=c:\r\n%"), 0);
	ck_reply_has("INFO namespaces", "ns_odd:hits=1,misses=1,");
	ck_reply_has("INFO namespaces", "ns_a%2Cb%3Dc%3A%0D%0A%25:hits=0,misses=0,");
	ck_reply_has("INFO namespaces", ",hit_rate=0.5000,stored=1,evicted=0,expired=0,refused=0,entries=1,");
	ck_reply_has("INFO namespaces", "ns_default:hits=0,");
}
END_TEST

START_TEST(info_tells_keys_and_expiries)
{
	ck_reply("INFO keyspace", "$12\r\n# Keyspace\r\n\r\n");
	ask("SET a 1");
	ask("SET b 1 EX 100");
	ask("SET c 1 EX 100");
	ck_reply_has("INFO keyspace", "db0:keys=3,expires=2,avg_ttl=0\r\n");
	ask("SET c 2");
	ck_reply_has("INFO keyspace", "db0:keys=3,expires=1,");
	ask("PERSIST b");
	ask("EXPIRE a 100");
	ask("EXPIRE c 100");
	ask("EXPIRE c 200");
	ck_reply_has("INFO keyspace", "db0:keys=3,expires=2,");
	ask("DEL c");
	ask("EXPIRE a -1");
	ck_reply_has("INFO keyspace", "db0:keys=1,expires=0,");
	ask("SETEX b 100 x");
	ck_reply_has("INFO keyspace", "db0:keys=1,expires=1,");
	ask("FLUSHALL");
	ck_reply("INFO keyspace", "$12\r\n# Keyspace\r\n\r\n");
	ask("SET d x");
	ck_reply_has("INFO keyspace", "db0:keys=1,expires=0,");
}
END_TEST

#define CROWD 6000 /* of 16 KiB: more than there is room for */

static const char *
set_crowd(unsigned i, bool expires)
{
	static char value[16 << 10];
	char key[32];
	struct slice argv[] = {
		SLICE("SET"), slice_of(key, (size_t)snprintf(key, sizeof key, "key:%u", i)),
		slice_of(value, sizeof value), SLICE("EX"), SLICE("100"),
	};

	return ask_args(argv, expires ? 5 : 3);
}

/* By asking for each key. */
static void
count_crowd(unsigned *keys, unsigned *expires)
{
	char line[32];

	*keys = *expires = 0;
	for (unsigned i = 0; i < CROWD; i++) {
		int ttl;

		snprintf(line, sizeof line, "TTL key:%u", i);
		ttl = atoi(ask(line) + 1);
		*keys += ttl != -2;
		*expires += ttl > 0;
	}
}

static void
assert_info_knows_the_crowd(void)
{
	unsigned keys, expires;
	char text[64];

	count_crowd(&keys, &expires);
	snprintf(text, sizeof text, "db0:keys=%u,expires=%u,", keys, expires);
	ck_reply_has("INFO keyspace", text);
	ck_assert_uint_gt(keys, 1000);
	ck_assert_uint_lt(keys, CROWD);
}

START_TEST(expiries_are_counted_through_eviction_and_expiry)
{
	for (unsigned i = 0; i < CROWD; i++)
		ck_assert_str_eq(set_crowd(i, i % 3 == 0), "+OK\r\n");
	assert_info_knows_the_crowd();
	ck_assert(strstr(ask("INFO keyspace"), "expires=0") == NULL);
	now_ms += 101000;
	ask("PING");
	while (store_tick(server->loops[0].store, 1000000))
		continue;
	ck_reply_has("INFO keyspace", ",expires=0,");
	assert_info_knows_the_crowd();
}
END_TEST

START_TEST(rates_come_from_two_samples)
{
	struct counter *processed = &server->loops[0].stats.commands_processed;

	info_sample(server);
	counter_add(processed, 1000);
	server->info.last_us -= 2000000;
	info_sample(server);
	ck_assert_int_gt(counter_get(&server->info.ops_per_sec), 450);
	ck_assert_int_le(counter_get(&server->info.ops_per_sec), 500);
	ck_assert_int_gt(counter_get(&server->info.peak_bytes), 0);
}
END_TEST

START_TEST(replies_survive_failing_allocations)
{
	static const char *const lines[] = {
		"INFO everything", "CLIENT LIST", "CLIENT LIST ID 1 2", "CLIENT INFO",
		"CONFIG GET *", "CONFIG SET maxclients 900", "HELLO 3 SETNAME name", "RESET",
		"CLIENT SETINFO LIB-NAME x",
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		for (unsigned long n = 1;; n++) {
			unsigned long seen;

			mem_fail_nth(n, 0);
			ask(lines[i]);
			seen = mem_fail_seen();
			mem_fail_nth(0, 0);
			run_tasks();
			if (seen < n)
				break;
		}
	ck_reply("PING", "+PONG\r\n");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_server");
	TCase *t = tcase_create("commands");

	tcase_add_checked_fixture(t, handlers_setup, handlers_teardown);
	tcase_add_test(t, hello_switches_the_protocol_of_reply_and_session);
	tcase_add_test(t, reset_forgets_name_and_protocol);
	tcase_add_test(t, only_database_0_is_there);
	tcase_add_test(t, quit_asks_for_the_end);
	tcase_add_test(t, names_cannot_break_a_line_of_the_list);
	tcase_add_test(t, list_gathers_over_loops_and_filters);
	tcase_add_test(t, a_client_named_twice_is_printed_once);
	tcase_add_test(t, config_get_knows_both_names_and_patterns);
	tcase_add_test(t, config_set_sets_all_or_nothing);
	tcase_add_test(t, config_set_takes_seconds_and_durations_by_either_name);
	tcase_add_test(t, resetstat_zeroes_counts);
	tcase_add_test(t, info_prints_the_sections_that_are_asked_for);
	tcase_add_test(t, the_version_of_redis_can_be_another);
	tcase_add_test(t, info_counts_by_namespace_whatever_its_name);
	tcase_add_test(t, info_tells_keys_and_expiries);
	tcase_add_test(t, expiries_are_counted_through_eviction_and_expiry);
	tcase_add_test(t, rates_come_from_two_samples);
	tcase_add_test(t, replies_survive_failing_allocations);
	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	return suite_main(s);
}
