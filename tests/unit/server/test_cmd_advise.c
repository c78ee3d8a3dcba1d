#include "config.h"

#include "unit/server/handlers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "server/advice.h"
#include "server/metrics.h"

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

/* --- for machines ------------------------------------------------------------------ */

static double
number_of(struct json of, const char *name)
{
	struct json j = json_member(of, slice_str(name));
	char text[64];

	ck_assert_msg(j.kind == JSON_NUMBER, "%s is no number", name);
	snprintf(text, sizeof text, "%.*s", (int)j.raw.len, j.raw.ptr);
	return strtod(text, NULL);
}

/* The member "advice" of /stats.json; the caller owes buf_fini(). */
static struct json
stats_json(struct buf *text)
{
	struct json all;

	ck_assert_int_eq(metrics_write(server, METRICS_JSON, text), 0);
	ck_assert(json_read(buf_slice(text), &all));
	return json_member(all, SLICE("advice"));
}

START_TEST(stats_json_has_the_curves)
{
	struct json_walk w, points;
	struct json key, o, p;
	struct buf text;
	unsigned n = 0;

	read_keys("k", 100, 2000);
	read_keys("odd:", 1000, 2000);
	json_walk_init(&w, stats_json(&text));
	ck_assert(json_next(&w, &key, &o));
	ck_assert_int_eq(json_member(o, SLICE("namespace")).kind, JSON_NULL);
	ck_assert_int_eq(json_member(o, SLICE("enough")).kind, JSON_TRUE);
	ck_assert_int_eq(json_member(o, SLICE("has_origin")).kind, JSON_FALSE);
	ck_assert_double_eq(number_of(o, "bytes"), 64u << 20);
	ck_assert_double_eq_tol(number_of(o, "hit_ratio"), 0.725, 0.01);
	json_walk_init(&points, json_member(o, SLICE("curve")));
	while (json_next(&points, &key, &p)) {
		n++;
		ck_assert_double_eq(number_of(p, "bytes"), number_of(p, "factor") * (64 << 20));
		(void)number_of(p, "misses_saved_per_hour_and_mib");
	}
	ck_assert_uint_ge(n, ADVICE_POINTS - ADVICE_NOW);
	ck_assert(json_next(&w, &key, &o) && json_next(&w, &key, &o));
	ck_assert(slice_eq(json_member(o, SLICE("namespace")).raw, SLICE("\"odd\"")));
	ck_assert_double_eq_tol(number_of(o, "hit_ratio"), 0.5, 0.01);
	ck_assert(!json_next(&w, &key, &o));
	buf_fini(&text);
}
END_TEST

static bool
has(const struct buf *text, const char *line)
{
	return memmem(buf_data(text), buf_len(text), line, strlen(line)) != NULL;
}

START_TEST(metrics_have_values_once_enough_was_read)
{
	struct buf text;

	read_keys("k", 10, 20);
	ck_assert_int_eq(metrics_write(server, METRICS_PROMETHEUS, &text), 0);
	ck_assert(!has(&text, "\npannier_advice_hit_ratio{"));
	buf_fini(&text);
	read_keys("k", 10, 1000);
	ck_assert_int_eq(metrics_write(server, METRICS_PROMETHEUS, &text), 0);
	ck_assert(has(&text,
	    "\npannier_advice_hit_ratio{ns=\"default\",factor=\"2\"} 0.9"));
	ck_assert(has(&text,
	    "\npannier_advice_overall_hit_ratio{factor=\"4\"} 0.9"));
	ck_assert(has(&text,
	    "\npannier_advice_wanted_memory_bytes{hit_ratio=\"0.8\"} "));
	buf_fini(&text);
}
END_TEST

START_TEST(without_memory_there_are_no_metrics)
{
	struct buf text;
	int rc = -ENOMEM;

	read_keys("k", 10, 1000);
	for (long n = 1; rc != 0; n++) {
		mem_fail_nth(n, true);
		rc = metrics_write(server, METRICS_JSON, &text);
		mem_fail_nth(0, false);
		ck_assert(rc == 0 || rc == -ENOMEM);
	}
	buf_fini(&text);
}
END_TEST

static struct advice_point
point(double factor, uint64_t mib, double misses, double ms)
{
	return (struct advice_point){ .factor = factor, .memory_bytes = mib << 20,
		.cache_bytes = mib << 20, .misses_saved = misses, .origin_ms_saved = ms };
}

START_TEST(what_a_mib_saves_is_divided_out)
{
	struct advice a = { .has_origin = true };

	a.points[0] = point(0.25, 16, -4800, -9600);
	a.points[1] = (struct advice_point){ .memory_bytes = 1 << 20 }; /* does not fit */
	a.points[ADVICE_NOW] = point(1, 64, 0, 0);
	a.points[ADVICE_NOW + 1] = point(1.25, 80, 16, 320);
	ck_assert_double_eq(advice_per_mib(&a, &a.points[0]), 200);
	ck_assert_double_eq(advice_per_mib(&a, &a.points[1]), 0);
	ck_assert_double_eq(advice_per_mib(&a, &a.points[ADVICE_NOW]), 20);
	ck_assert_double_eq(advice_per_mib(&a, &a.points[ADVICE_NOW + 1]), 20);
	a.has_origin = false;
	ck_assert_double_eq(advice_per_mib(&a, &a.points[0]), 100);
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
	    stats_json_has_the_curves, metrics_have_values_once_enough_was_read,
	    without_memory_there_are_no_metrics, what_a_mib_saves_is_divided_out,
	    without_memory_it_is_an_error_and_no_more);
	return suite_main(s);
}
