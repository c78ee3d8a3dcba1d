#include "config.h"

#include "unit/server/handlers.h"

#include <stdio.h>

#include "base/draw.h"
#include "server/advice.h"

/* Reads of `keys` keys in turn, cache-aside, so that all memory that holds them does. */
static void
read_keys(const char *prefix, unsigned keys, unsigned reads)
{
	char line[128];

	for (unsigned i = 0; i < reads; i++) {
		snprintf(line, sizeof line, "GET %s%u", prefix, i % keys);
		if (ask(line)[1] != '-')
			continue;
		snprintf(line, sizeof line, "SET %s%u 0123456789012345678901234567890123456789",
		    prefix, i % keys);
		ask(line);
	}
}

static bool
look(unsigned ns, struct advice *out)
{
	advice_count(server, now_ms);
	return advice_of(server, ns, out);
}

START_TEST(before_anything_was_read_it_is_too_early)
{
	ck_reply_has("PANNIER.ADVISE", "It is too early to say");
	ck_reply_has("PANNIER.ADVISE default", "It is too early to say");
}
END_TEST

START_TEST(it_tells_the_hit_rate_of_what_was_read)
{
	struct advice a;

	read_keys("k", 100, 4000);
	ck_assert(look(MRC_ALL, &a));
	ck_assert_double_eq_tol(a.points[ADVICE_NOW].hit_rate, 0.975, 0.003);
	ck_assert_double_eq(a.points[ADVICE_NOW].factor, 1);
	ck_assert_uint_eq(a.points[ADVICE_NOW].memory_bytes, 64u << 20);
	ck_assert(!a.has_origin);
	ck_reply_has("PANNIER.ADVISE", "Twice the memory (128 MiB) would leave the hit rate at 0.9");
	ck_reply_has("PANNIER.ADVISE TARGET 0.5", "target_memory\r\n:");
	ck_reply_has("PANNIER.ADVISE TARGET 0.99", "target_memory\r\n$-1\r\n");
}
END_TEST

START_TEST(namespaces_have_curves_of_their_own)
{
	struct advice a;
	int odd = stats_ns_id(server->names, "odd");

	read_keys("k", 10, 2000);
	read_keys("odd:", 1000, 2000);
	ck_assert(look(0, &a));
	ck_assert_double_eq_tol(a.points[ADVICE_NOW].hit_rate, 0.995, 0.002);
	ck_assert(look((unsigned)odd, &a));
	ck_assert_double_eq_tol(a.points[ADVICE_NOW].hit_rate, 0.5, 0.01);
	ck_reply_has("PANNIER.ADVISE odd", "$3\r\nodd\r\n");
}
END_TEST

START_TEST(removed_and_expired_keys_are_misses_everywhere)
{
	struct advice a;

	for (int i = 0; i < 1500; i++) {
		ask("GET a");
		ask("SET a 1");
		ask("DEL a");
		ask("GET b");
		ask("SET b 1 PX 10");
		now_ms += 20;
	}
	ck_assert(look(MRC_ALL, &a));
	ck_assert_double_eq_tol(a.points[ADVICE_NOW].hit_rate, 0, 0.001);
	ck_reply("FLUSHALL", "+OK\r\n");
}
END_TEST

START_TEST(reset_forgets)
{
	read_keys("k", 10, 2000);
	ck_reply_has("PANNIER.ADVISE", "Twice the memory");
	ck_reply("PANNIER.ADVISE RESET", "+OK\r\n");
	ck_reply_has("PANNIER.ADVISE", "It is too early to say");
}
END_TEST

START_TEST(what_is_wrong_is_named)
{
	ck_reply("PANNIER.ADVISE none",
	    "-ERR there is no namespace of that name; INFO namespaces lists them\r\n");
	for (unsigned i = 0; i < 5; i++) {
		static const char *const bad[] = { "0", "1", "x", "''", "nan" };
		char line[64];

		snprintf(line, sizeof line, "PANNIER.ADVISE TARGET %s", bad[i]);
		ck_reply(line,
		    "-ERR TARGET is a hit rate above 0 and below 1, 0.9 for example\r\n");
	}
	ck_reply("PANNIER.ADVISE AIM 0.5", "-ERR syntax error\r\n");
	ck_reply("PANNIER.ADVISE default AIM 0.5", "-ERR syntax error\r\n");
}
END_TEST

START_TEST(info_has_the_same)
{
	read_keys("k", 100, 4000);
	ck_reply_has("INFO advice", "advice_enabled:1\r\n");
	ck_reply_has("INFO advice", "hit_rate_x2=0.97");
	ck_reply_has("INFO advice", "advice_ns_default:");
}
END_TEST

START_TEST(without_memory_it_is_an_error_and_no_more)
{
	read_keys("k", 10, 10);
	ask_without_memory("PING", "PANNIER.ADVISE RESET", "+OK\r\n", NULL, NULL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_advise");

	SUITE_ADD_FIXTURE(s, "advise", handlers_setup, handlers_teardown,
	    before_anything_was_read_it_is_too_early, it_tells_the_hit_rate_of_what_was_read,
	    namespaces_have_curves_of_their_own, removed_and_expired_keys_are_misses_everywhere,
	    reset_forgets, what_is_wrong_is_named, info_has_the_same,
	    without_memory_it_is_an_error_and_no_more);
	return suite_main(s);
}
