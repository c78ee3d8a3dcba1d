#include "config.h"

#include "unit/server/handlers.h"

#include <stdio.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/mem.h"

static void
configure(const char *line)
{
	ck_reply(line, "+OK\r\n");
	for (unsigned i = 0; i < server->n_loops; i++)
		loop_run_tasks(server->loops[i].loop);
}

/* A call that never ran: only how long it took is to be told. */
static void
call_of(struct call *c, struct request *req, struct slice *argv, const char *const *words,
    uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		argv[i] = slice_str(words[i]);
	*req = (struct request){ .argv = argv, .argc = n };
	*c = (struct call){
		.argv = argv, .argc = n, .session = session, .sl = &server->loops[0],
		.now_ms = now_ms, .store = server->loops[0].store,
	};
	ck_assert_int_eq(command_find(argv, n, &c->cmd), COMMAND_FOUND);
}

#define CALL(...) \
	struct call c; \
	struct request req; \
	struct slice argv_[64]; \
	static const char *const words_[] = { __VA_ARGS__ }; \
	call_of(&c, &req, argv_, words_, ARRAY_LEN(words_))

static void
took_us(struct call *c, int64_t us)
{
	timing_add(c, c->cmd, us * 1000);
}

static struct timing *
timing(void)
{
	return &server->loops[0].timing;
}

/* Until the loop's turn is so old that a batch of it may have taken that long. */
static void
age_turn_us(int64_t us)
{
	while (clock_mono_us() - loop_now_us(server->loops[0].loop) < us)
		;
}

/* What the counter shows after so many microseconds, and some. */
static uint64_t
ticks_of_us(int64_t us)
{
	double ratio = (double)(clock_ticks() - timing()->ticks0) /
	    (double)(clock_mono_us() - timing()->us0);

	return (uint64_t)(ratio * (double)us * 1.05);
}

/* --- the slow log ---------------------------------------------------------------- */

START_TEST(what_takes_as_long_as_was_asked_for_is_kept)
{
	CALL("mset", "a", "1", "b", "2");

	ck_reply("CLIENT SETNAME me", "+OK\r\n");
	took_us(&c, 9999);
	ck_reply("SLOWLOG LEN", ":0\r\n");
	took_us(&c, 10000);
	took_us(&c, 20500);
	ck_reply("SLOWLOG LEN", ":2\r\n");
	ck_reply_has("SLOWLOG GET", "*2\r\n*6\r\n:1\r\n:");
	ck_reply_has("SLOWLOG GET 1", "\r\n:20500\r\n*5\r\n$4\r\nmset\r\n$1\r\na\r\n$1\r\n1\r\n"
	    "$1\r\nb\r\n$1\r\n2\r\n$16\r\n/tmp/test.sock:0\r\n$2\r\nme\r\n");
	ck_reply("SLOWLOG GET 0", "*0\r\n");
	ck_reply_has("SLOWLOG GET -1", ":10000\r\n");
	ck_reply("SLOWLOG RESET", "+OK\r\n");
	ck_reply("SLOWLOG GET", "*0\r\n");
	took_us(&c, 10000);
	ck_reply_has("SLOWLOG GET", "*1\r\n*6\r\n:2\r\n"); /* numbers go on */
}
END_TEST

START_TEST(it_can_be_switched_off_and_to_all)
{
	CALL("get", "a");

	configure("CONFIG SET slowlog-log-slower-than -1");
	took_us(&c, INT64_MAX / 2000000);
	ck_reply("SLOWLOG LEN", ":0\r\n");
	configure("CONFIG SET slowlog-log-slower-than 0");
	took_us(&c, 0);
	ck_reply("SLOWLOG LEN", ":1\r\n");
	configure("CONFIG SET slowlog_slower_than 1500us");
	took_us(&c, 1499);
	took_us(&c, 1500);
	ck_reply("SLOWLOG LEN", ":2\r\n");
	ck_reply("CONFIG GET slowlog-log-slower-than",
	    "*2\r\n$23\r\nslowlog-log-slower-than\r\n$4\r\n1500\r\n");
	ck_reply("CONFIG GET slowlog_slower_than",
	    "*2\r\n$19\r\nslowlog_slower_than\r\n$6\r\n1500us\r\n");
}
END_TEST

START_TEST(the_oldest_go_when_there_are_too_many_or_too_long)
{
	char words[40][200], line[8192] = "mset";
	struct slice argv[40];
	CALL("get", "a");

	configure("CONFIG SET slowlog-max-len 3");
	for (int i = 0; i < 5; i++)
		took_us(&c, 10000 + i);
	ck_reply("SLOWLOG LEN", ":3\r\n");
	ck_reply_has("SLOWLOG GET", "*3\r\n*6\r\n:4\r\n");
	configure("CONFIG SET slowlog-max-len 10000");
	for (int i = 0; i < 40; i++) {
		snprintf(words[i], sizeof words[i], "%0150d", i);
		argv[i] = slice_str(words[i]);
	}
	argv[0] = slice_str(line);
	c.argv = argv;
	c.argc = 40;
	for (int i = 0; i < 500; i++)
		took_us(&c, 10000);
	ck_assert_uint_le(server->slowlog.bytes, SLOWLOG_BYTES_MAX);
	ck_assert_uint_gt(server->slowlog.n, 10);
	ck_assert_uint_lt(server->slowlog.n, 500);
	configure("CONFIG SET slowlog-max-len 0");
	took_us(&c, 10000);
	ck_reply("SLOWLOG LEN", ":0\r\n");
}
END_TEST

START_TEST(long_requests_are_cut_and_say_so)
{
	char words[40][200];
	struct slice argv[40];
	CALL("mset", "a", "b");

	for (int i = 0; i < 40; i++) {
		snprintf(words[i], sizeof words[i], i == 1 ? "%0150d" : "%d", i);
		argv[i] = slice_str(words[i]);
	}
	c.argv = argv;
	c.argc = 40;
	took_us(&c, 10000);
	ck_reply_has("SLOWLOG GET", "\r\n*32\r\n$1\r\n0\r\n$147\r\n0000");
	ck_reply_has("SLOWLOG GET", "000... (22 more bytes)\r\n$1\r\n2\r\n");
	ck_reply_has("SLOWLOG GET", "\r\n$2\r\n30\r\n$22\r\n... (9 more arguments)\r\n$16\r\n");
}
END_TEST

START_TEST(passwords_are_not_kept_and_exec_is_not)
{
	struct slice exec[] = { SLICE("exec") };
	struct slice auth[] = { SLICE("AUTH"), SLICE("me"), SLICE("secret") };
	CALL("hello", "3", "setname", "x", "auth", "me", "secret", "setname", "auth");

	took_us(&c, 10000);
	ck_reply_has("SLOWLOG GET", "$4\r\nauth\r\n$10\r\n(redacted)\r\n$10\r\n(redacted)\r\n"
	    "$7\r\nsetname\r\n$4\r\nauth\r\n$16");
	c.argv = auth;
	c.argc = 3;
	took_us(&c, 10000);
	ck_reply_has("SLOWLOG GET", "*3\r\n$4\r\nAUTH\r\n$10\r\n(redacted)\r\n$10\r\n(redacted)");
	ck_reply("SLOWLOG RESET", "+OK\r\n");
	c.argv = exec;
	c.argc = 1;
	ck_assert_int_eq(command_find(exec, 1, &c.cmd), COMMAND_FOUND);
	took_us(&c, 10000);
	ck_reply("SLOWLOG LEN", ":0\r\n");
}
END_TEST

START_TEST(an_entry_for_which_there_is_no_memory_is_left_out)
{
	CALL("get", "a");

	for (unsigned long n = 1;; n++) {
		unsigned long seen;

		mem_fail_nth(n, 0);
		slowlog_add(&server->slowlog, session,
		    &(struct slow_what){ .argv = c.argv, .argc = c.argc, .spent_us = 1, .of = 1,
		        .cause = "test" }, 10);
		seen = mem_fail_seen();
		mem_fail_nth(0, 0);
		if (seen < n)
			break;
		ck_reply("SLOWLOG LEN", ":0\r\n");
	}
	ck_reply("SLOWLOG LEN", ":1\r\n");
}
END_TEST

START_TEST(slowlog_refuses_what_redis_refuses)
{
	static const char count[] = "-ERR count should be greater than or equal to -1\r\n";

	ck_reply("SLOWLOG GET -2", count);
	ck_reply("SLOWLOG GET x", count);
	ck_reply("SLOWLOG GET 1 2", "-ERR unknown subcommand or wrong number of arguments for "
	    "'GET'. Try SLOWLOG HELP.\r\n");
	ck_reply_has("SLOWLOG HELP", "*12\r\n+SLOWLOG <subcommand>");
}
END_TEST

/* --- how slow ones are found ------------------------------------------------------- */

START_TEST(a_slow_batch_of_one_is_known_for_what_it_is)
{
	CALL("get", "a");

	age_turn_us(11000);
	timing_suspect(&c, &req, 1, ticks_of_us(10500), 0);
	ck_reply_has("SLOWLOG GET", "*2\r\n$3\r\nget\r\n$1\r\na\r\n$16");
	/* What was timed by itself is not its. */
	timing_suspect(&c, &req, 1, ticks_of_us(10500), 9000);
	ck_reply("SLOWLOG LEN", ":1\r\n");
}
END_TEST

START_TEST(the_clock_has_the_last_word)
{
	CALL("get", "a");

	if (clock_mono_us() - loop_now_us(c.sl->loop) > 3000000)
		return; /* this machine stalls */
	configure("CONFIG SET slowlog-log-slower-than 5000000");
	timing_suspect(&c, &req, 1, UINT64_MAX / 2, 0);
	ck_reply("SLOWLOG LEN", ":0\r\n");
}
END_TEST

START_TEST(of_a_slow_pipeline_the_longest_short_request_is_named)
{
	struct slice argv[4][3] = {
		{ SLICE("get"), SLICE("a") },
		{ SLICE("set"), SLICE("b"), SLICE("12345") },
		{ SLICE("del"), SLICE("this one is timed by itself"), SLICE("x") },
		{ SLICE("get"), SLICE("c") },
	};
	struct request reqs[4] = {
		{ argv[0], 2, 0 }, { argv[1], 3, 0 }, { argv[2], 3, 0 }, { argv[3], 2, 0 },
	};
	CALL("get", "a");

	configure("CONFIG SET latency-monitor-threshold 3");
	timing()->warm = 0;
	took_us(&c, 1);
	ck_assert_uint_eq(timing()->share, TIMED_SHARE);
	age_turn_us(11000);
	timing_suspect(&c, reqs, 4, ticks_of_us(10500), 0);
	ck_reply_has("SLOWLOG GET", "*4\r\n$3\r\nset\r\n$1\r\nb\r\n$5\r\n12345\r\n"
	    "$37\r\n... (likely, of 3 pipelined requests)\r\n$16");
	ck_reply_has("LATENCY LATEST", "*1\r\n*4\r\n$7\r\ncommand\r\n"); /* SET is not fast */
}
END_TEST

START_TEST(below_a_millisecond_each_command_is_timed)
{
	CALL("get", "a");

	timing()->warm = 0;
	took_us(&c, 1);
	ck_assert_uint_eq(timing()->share, TIMED_SHARE);
	ck_assert_uint_ne(timing()->suspect_ticks, UINT64_MAX);
	configure("CONFIG SET slowlog-log-slower-than 999");
	ck_assert_uint_eq(timing()->share, 1);
	ck_assert_uint_eq(timing()->suspect_ticks, UINT64_MAX);
	configure("CONFIG SET slowlog-log-slower-than -1");
	ck_assert_uint_eq(timing()->share, TIMED_SHARE);
	ck_assert_uint_eq(timing()->suspect_ticks, UINT64_MAX);
}
END_TEST

/* --- LATENCY ------------------------------------------------------------------------- */

START_TEST(events_are_kept_by_kind_and_second)
{
	struct latency *l = &server->latency;

	ck_reply("LATENCY LATEST", "*0\r\n");
	latency_add(l, LATENCY_LOOP_STALL, 70, 1000);
	latency_add(l, LATENCY_LOOP_STALL, 90, 1000);
	latency_add(l, LATENCY_LOOP_STALL, 80, 1000);
	latency_add(l, LATENCY_LOOP_STALL, 60, 1002);
	latency_add(l, LATENCY_COMMAND, 5, 1001);
	ck_reply("LATENCY LATEST", "*2\r\n*4\r\n$7\r\ncommand\r\n:1001\r\n:5\r\n:5\r\n"
	    "*4\r\n$10\r\nloop-stall\r\n:1002\r\n:60\r\n:90\r\n");
	ck_reply("LATENCY HISTORY loop-stall",
	    "*2\r\n*2\r\n:1000\r\n:90\r\n*2\r\n:1002\r\n:60\r\n");
	ck_reply("LATENCY HISTORY nosuch", "*0\r\n");
	ck_reply("LATENCY RESET nosuch command fast-command", ":1\r\n");
	ck_reply("LATENCY HISTORY command", "*0\r\n");
	ck_reply("LATENCY RESET", ":1\r\n");
	ck_reply("LATENCY LATEST", "*0\r\n");
}
END_TEST

START_TEST(the_longest_turn_of_any_loop_is_told_until_it_is_reset)
{
	atomic_store(&server->loops[0].lag_max_us, 12345);
	atomic_store(&server->loops[1].lag_max_us, 23456);
	ck_reply_has("INFO stats", "\r\nloop_lag_max_us:23456\r\n");
	ck_reply_has("INFO stats", "\r\nloop_lag_max_us:23456\r\n");
	ck_reply("CONFIG RESETSTAT", "+OK\r\n");
	ck_reply_has("INFO stats", "\r\nloop_lag_max_us:0\r\n");
}
END_TEST

START_TEST(the_newest_samples_are_kept)
{
	for (int i = 0; i < LATENCY_SAMPLES + 5; i++)
		latency_add(&server->latency, LATENCY_COMMAND, i, 1000 + i);
	ck_reply_has("LATENCY HISTORY command", "*160\r\n*2\r\n:1005\r\n:5\r\n*2\r\n:1006\r\n");
	ck_reply_has("LATENCY HISTORY command", "*2\r\n:1164\r\n:164\r\n");
	ck_reply_has("LATENCY GRAPH command",
	    "command - high 164 ms, low 85 ms (all time high 164 ms)\n--------");
}
END_TEST

START_TEST(commands_are_events_from_the_threshold_on)
{
	CALL("get", "a");

	took_us(&c, 5000000);
	ck_reply("LATENCY LATEST", "*0\r\n");
	configure("CONFIG SET latency-monitor-threshold 100");
	took_us(&c, 99999);
	ck_reply("LATENCY LATEST", "*0\r\n");
	took_us(&c, 100000);
	ck_reply_has("LATENCY LATEST", "*1\r\n*4\r\n$12\r\nfast-command\r\n");
	ck_reply_has("LATENCY LATEST", "\r\n:100\r\n:100\r\n");
}
END_TEST

START_TEST(the_graph_rises_with_the_samples)
{
	static const char graph[] =
	    "command - high 40 ms, low 1 ms (all time high 40 ms)\n"
	    "--------------------------------------------------------------------------------\n"
	    "   #\n"
	    "  _|\n"
	    " #||\n"
	    "_|||\n"
	    "\n";

	latency_add(&server->latency, LATENCY_COMMAND, 1, 1000);
	latency_add(&server->latency, LATENCY_COMMAND, 20, 1001);
	latency_add(&server->latency, LATENCY_COMMAND, 25, 1002);
	latency_add(&server->latency, LATENCY_COMMAND, 40, 1003);
	ck_reply_has("LATENCY GRAPH command", graph);
	ck_reply("LATENCY GRAPH nosuch", "-ERR No samples available for event 'nosuch'\r\n");
}
END_TEST

START_TEST(the_doctor_knows_each_event)
{
	ck_reply_has("LATENCY DOCTOR", "Latency monitoring is disabled in this Redis instance.");
	configure("CONFIG SET latency-monitor-threshold 1");
	ck_reply_has("LATENCY DOCTOR", "Dave, no latency spike was observed");
	latency_add(&server->latency, LATENCY_CACHE_CYCLE, 10, 1000);
	latency_add(&server->latency, LATENCY_CACHE_CYCLE, 20, 1001);
	ck_reply_has("LATENCY DOCTOR", "1. cache-cycle: 2 latency spikes (average 15ms, mean "
	    "deviation 5ms, period ");
	ck_reply_has("LATENCY DOCTOR", "Worst all time event 20ms.\n");
	ck_reply_has("LATENCY DOCTOR", "- The cache's own work");
}
END_TEST

START_TEST(histograms_stand_for_all_calls)
{
	struct stats_command *st;
	CALL("get", "a");

	ck_reply("LATENCY HISTOGRAM", "*0\r\n");
	st = &server->loops[0].stats.commands[CMD_ID_get];
	for (int i = 0; i < 3; i++) {
		counter_inc(&st->calls);
		timing_add(&c, c.cmd, i == 2 ? 3000 : 500);
	}
	ck_reply("LATENCY HISTOGRAM get nosuch", "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:3\r\n"
	    "$14\r\nhistogram_usec\r\n*4\r\n:1\r\n:2\r\n:4\r\n:3\r\n");
	for (int i = 0; i < 3; i++)
		counter_inc(&st->calls);
	ck_reply_has("LATENCY HISTOGRAM GET", ":6\r\n$14\r\nhistogram_usec\r\n*4\r\n:1\r\n:4\r\n"
	    ":4\r\n:6\r\n");
	ck_reply_has("INFO latencystats", "latency_percentiles_usec_get:p50=0.502,p99=2.992,"
	    "p99.9=2.992\r\n");
	ck_reply("CONFIG RESETSTAT", "+OK\r\n");
	ck_reply("LATENCY HISTOGRAM get", "*0\r\n");
}
END_TEST

START_TEST(a_container_asks_for_all_of_its_subcommands)
{
	struct stats_command *all = server->loops[1].stats.commands;

	counter_inc(&all[CMD_ID_client_id].calls);
	histogram_add(&all[CMD_ID_client_id].latency_ns, 100);
	session->wire = WIRE_RESP3;
	ck_reply("LATENCY HISTOGRAM client", "%1\r\n$9\r\nclient|id\r\n%2\r\n$5\r\ncalls\r\n:1\r\n"
	    "$14\r\nhistogram_usec\r\n%1\r\n:1\r\n:1\r\n");
}
END_TEST

/* --- MEMORY -------------------------------------------------------------------------- */

START_TEST(memory_stats_are_those_of_the_plan)
{
	char line[64];

	ck_reply_has("MEMORY STATS", "*72\r\n$14\r\npeak.allocated\r\n:");
	ck_reply_has("MEMORY STATS", "$10\r\nkeys.count\r\n:0\r\n");
	ck_reply("SET k value", "+OK\r\n");
	ck_reply_has("MEMORY STATS", "*74\r\n");
	ck_reply_has("MEMORY STATS", "$4\r\ndb.0\r\n*6\r\n$23\r\noverhead.hashtable.main\r\n:");
	ck_reply_has("MEMORY STATS", "$13\r\ndataset.bytes\r\n:6\r\n");
	ck_reply_has("MEMORY STATS", "$11\r\nlimit.bytes\r\n:67108864\r\n");
	snprintf(line, sizeof line, "buffers.budget\r\n:%llu\r\n",
	    (unsigned long long)server->memory.plan.buffers_bytes);
	ck_reply_has("MEMORY STATS", line);
	session->wire = WIRE_RESP3;
	ck_reply_has("MEMORY STATS", "%37\r\n");
	ck_reply_has("MEMORY STATS", "$15\r\npeak.percentage\r\n,");
}
END_TEST

/* Resident, and in use by nobody that the heap knows of. Gone with the test's process. */
static void
take_memory(void)
{
	size_t n = 16u << 20;
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(p != MAP_FAILED);
	memset(p, 1, n);
}

START_TEST(memory_doctor_names_what_is_wrong)
{
	static char value[600000];
	struct slice set[] = { SLICE("SET"), SLICE(""), slice_of(value, sizeof value) };
	char key[16];

	server->memory.plan.base_bytes = 1ull << 40; /* a sanitizer needs much */
	ck_reply_has("MEMORY DOCTOR", "Hi Sam, this instance is empty");
	for (int i = 0; i < 12; i++) {
		set[1] = slice_of(key, (size_t)snprintf(key, sizeof key, "k%d", i));
		ck_assert_str_eq(ask_args(set, 3), "+OK\r\n");
	}
	ck_reply_has("MEMORY DOCTOR", "Hi Sam, I can't find any memory issue");
	server->memory.plan.base_bytes = server->memory.plan.margin_bytes = 0;
	take_memory();
	ck_reply_has("MEMORY DOCTOR", "\n * Loose heap: ");
	server->memory.arena_bytes /= 2;
	ck_reply_has("MEMORY DOCTOR", "Sam, I detected a few issues");
	ck_reply_has("MEMORY DOCTOR", "\n * Small cache: ");
	server->memory.plan.limit_bytes = 1;
	ck_reply_has("MEMORY DOCTOR", "\n * Over the limit: ");
	ck_reply_has("MEMORY DOCTOR", "I'm here to keep you safe, Sam. I want to help you.\n");
}
END_TEST

START_TEST(the_allocator_is_asked)
{
	const char *said;

	ck_reply("MEMORY PURGE", "+OK\r\n");
	said = ask("MEMORY MALLOC-STATS");
	ck_assert(strstr(said, "Begin jemalloc statistics") != NULL ||
	    strcmp(said, "$45\r\nStats not supported for the current allocator\r\n") == 0);
	ck_reply_has("MEMORY HELP", "+MEMORY <subcommand>");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_intro");
	TCase *t = tcase_create("slowlog and latency");

	tcase_add_checked_fixture(t, handlers_setup, handlers_teardown);
	tcase_add_test(t, what_takes_as_long_as_was_asked_for_is_kept);
	tcase_add_test(t, it_can_be_switched_off_and_to_all);
	tcase_add_test(t, the_oldest_go_when_there_are_too_many_or_too_long);
	tcase_add_test(t, long_requests_are_cut_and_say_so);
	tcase_add_test(t, passwords_are_not_kept_and_exec_is_not);
	tcase_add_test(t, an_entry_for_which_there_is_no_memory_is_left_out);
	tcase_add_test(t, slowlog_refuses_what_redis_refuses);
	tcase_add_test(t, a_slow_batch_of_one_is_known_for_what_it_is);
	tcase_add_test(t, the_clock_has_the_last_word);
	tcase_add_test(t, of_a_slow_pipeline_the_longest_short_request_is_named);
	tcase_add_test(t, below_a_millisecond_each_command_is_timed);
	tcase_add_test(t, events_are_kept_by_kind_and_second);
	tcase_add_test(t, the_longest_turn_of_any_loop_is_told_until_it_is_reset);
	tcase_add_test(t, the_newest_samples_are_kept);
	tcase_add_test(t, commands_are_events_from_the_threshold_on);
	tcase_add_test(t, the_graph_rises_with_the_samples);
	tcase_add_test(t, the_doctor_knows_each_event);
	tcase_add_test(t, histograms_stand_for_all_calls);
	tcase_add_test(t, a_container_asks_for_all_of_its_subcommands);
	tcase_add_test(t, memory_stats_are_those_of_the_plan);
	tcase_add_test(t, memory_doctor_names_what_is_wrong);
	tcase_add_test(t, the_allocator_is_asked);
	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	return suite_main(s);
}
