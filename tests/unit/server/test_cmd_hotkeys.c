#include "config.h"

#include "unit/server/handlers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "server/door.h"
#include "server/hotkeys.h"
#include "server/metrics.h"
#include "store/hot.h"

/* So many reads, each sampled for `weight`, by a client of that loop. */
static void
read_key(unsigned loop, const char *key, unsigned reads, unsigned weight)
{
	struct store_loop *sl = server->loops[loop].store;
	struct store_cursor cur;

	store_loop_set_now(sl, now_ms);
	ck_assert_uint_eq(store_hot_sample(sl, weight), 0);
	for (unsigned i = 0; i < reads; i++) {
		store_open(sl, slice_str(key), STORE_COUNT, &cur);
		store_close(&cur);
	}
	ck_assert_uint_eq(store_hot_sample(sl, 0), weight);
	store_open(sl, slice_str("not sampled"), STORE_COUNT, &cur);
	store_close(&cur);
}

/* All counts are of the last second, so that rates are counts. */
static void
begin(void)
{
	ck_reply("PANNIER.HOTKEYS RESET", "+OK\r\n");
}

#define WHOLE(total, sampled, keys) \
	"*6\r\n$16\r\nreads_per_second\r\n" total "$13\r\nsampled_reads\r\n:" sampled \
	"\r\n$4\r\nkeys\r\n" keys
#define KEY(key, ns, rate, error, share) "*5\r\n" key ns rate error share

START_TEST(the_key_that_is_read_most_comes_first)
{
	begin();
	read_key(0, "b", 2, 1);
	read_key(0, "a", 6, 1);
	ck_reply("PANNIER.HOTKEYS", WHOLE("$1\r\n8\r\n", "8", "*2\r\n"
	    KEY("$1\r\na\r\n", "$7\r\ndefault\r\n", "$1\r\n6\r\n", "$1\r\n0\r\n", "$4\r\n0.75\r\n")
	    KEY("$1\r\nb\r\n", "$7\r\ndefault\r\n", "$1\r\n2\r\n", "$1\r\n0\r\n",
	        "$4\r\n0.25\r\n")));
	ck_reply_has("PANNIER.HOTKEYS COUNT 1", "keys\r\n*1\r\n*5\r\n$1\r\na\r\n");
}
END_TEST

START_TEST(hits_and_misses_count_alike_and_what_is_not_sampled_not_at_all)
{
	begin();
	ask("SET there 1");
	read_key(0, "there", 1, 1);
	read_key(0, "none", 1, 1);
	ck_reply_has("PANNIER.HOTKEYS", "$1\r\n2\r\n$13\r\nsampled_reads\r\n:2\r\n$4\r\nkeys\r\n"
	    "*2\r\n");
}
END_TEST

START_TEST(loops_are_put_together)
{
	begin();
	read_key(0, "a", 3, 1);
	read_key(1, "b", 4, 1);
	read_key(1, "a", 3, 1);
	ck_reply_has("PANNIER.HOTKEYS", "*2\r\n*5\r\n$1\r\na\r\n$7\r\ndefault\r\n$1\r\n6\r\n"
	    "$1\r\n0\r\n");
}
END_TEST

START_TEST(a_sampled_read_stands_for_many_and_says_how_uncertain_that_is)
{
	struct topk_item it = { .over = 3, .variance = 16 };

	begin();
	read_key(0, "a", 10, 64);
	ck_reply_has("PANNIER.HOTKEYS", "$3\r\n640\r\n$13\r\nsampled_reads\r\n:10\r\n");
	ck_assert_double_eq(hotkeys_error(&it), 3 + 2 * 4);
}
END_TEST

START_TEST(where_a_loop_may_have_lost_a_key_its_error_says_so)
{
	char key[32];

	begin();
	read_key(0, "a", 100, 1);
	for (unsigned i = 0; i < 256; i++) {
		snprintf(key, sizeof key, "k%u", i);
		read_key(1, key, 2, 1);
	}
	/* The first 256 have their exact counts, so a key of loop 0 may have 2 more. */
	ck_reply_has("PANNIER.HOTKEYS COUNT 1", "*5\r\n$1\r\na\r\n$7\r\ndefault\r\n$3\r\n100\r\n"
	    "$1\r\n2\r\n");
}
END_TEST

START_TEST(one_namespace_has_keys_and_shares_of_its_own)
{
	begin();
	read_key(0, "odd:x", 1, 1);
	read_key(0, "a", 7, 1);
	ck_reply("PANNIER.HOTKEYS NAMESPACE odd COUNT 5", WHOLE("$1\r\n1\r\n", "1", "*1\r\n"
	    KEY("$5\r\nodd:x\r\n", "$3\r\nodd\r\n", "$1\r\n1\r\n", "$1\r\n0\r\n", "$1\r\n1\r\n")));
}
END_TEST

START_TEST(who_is_confined_sees_the_keys_of_its_namespaces)
{
	struct door_policy confined = { .confined = true, .own = { 2 } };

	begin();
	read_key(0, "odd:x", 1, 1);
	read_key(0, "secret", 7, 1);
	session->policy = &confined;
	ck_reply("PANNIER.HOTKEYS", WHOLE("$1\r\n1\r\n", "1", "*1\r\n"
	    KEY("$5\r\nodd:x\r\n", "$3\r\nodd\r\n", "$1\r\n1\r\n", "$1\r\n0\r\n", "$1\r\n1\r\n")));
	ck_reply("PANNIER.HOTKEYS NAMESPACE default",
	    "-ERR there is no namespace of that name; INFO namespaces lists them\r\n");
	ck_reply("PANNIER.HOTKEYS RESET",
	    "-NOPERM only who sees all namespaces may reset hot keys\r\n");
}
END_TEST

START_TEST(what_was_read_long_ago_is_forgotten)
{
	begin();
	read_key(0, "old", 1000, 1);
	now_ms += 15 * TOPK_HALF_LIFE_MS;
	read_key(0, "new", 100, 1);
	ck_reply_has("PANNIER.HOTKEYS COUNT 1", "*5\r\n$3\r\nnew\r\n");
	begin();
	ck_reply("PANNIER.HOTKEYS", WHOLE("$1\r\n0\r\n", "0", "*0\r\n"));
}
END_TEST

START_TEST(of_a_long_key_the_beginning_is_shown)
{
	char key[201], expected[160];

	memset(key, 'x', 200);
	key[200] = '\0';
	begin();
	read_key(0, key, 1, 1);
	snprintf(expected, sizeof expected, "$120\r\n%.*s... (100 more bytes)\r\n",
	    TOPK_KEY_BYTES, key);
	ck_reply_has("PANNIER.HOTKEYS", expected);
}
END_TEST

START_TEST(what_is_wrong_is_named)
{
	ck_reply("PANNIER.HOTKEYS COUNT 0", "-ERR COUNT is a number from 1 to 4096, 10 for example\r\n");
	ck_reply("PANNIER.HOTKEYS COUNT x", "-ERR COUNT is a number from 1 to 4096, 10 for example\r\n");
	ck_reply("PANNIER.HOTKEYS NAMESPACE none",
	    "-ERR there is no namespace of that name; INFO namespaces lists them\r\n");
	ck_reply("PANNIER.HOTKEYS COUNT", "-ERR syntax error\r\n");
	ck_reply("PANNIER.HOTKEYS RESET COUNT 1", "-ERR syntax error\r\n");
	ck_reply("PANNIER.HOTKEYS WHY", "-ERR syntax error\r\n");
}
END_TEST

START_TEST(stats_json_has_them_only_where_that_is_permitted)
{
	struct json all, o, key;
	struct json_walk w;
	struct buf text;

	begin();
	read_key(0, "a\"\x01", 3, 1);
	ck_assert_int_eq(metrics_write(server, METRICS_JSON, &text), 0);
	ck_assert(json_read(buf_slice(&text), &all));
	ck_assert_int_eq(json_member(all, SLICE("hot_keys")).kind, JSON_NONE);
	buf_fini(&text);
	ck_reply("CONFIG SET admin_keys true", "+OK\r\n");
	for (unsigned i = 0; i < server->n_loops; i++)
		loop_run_tasks(server->loops[i].loop);
	ck_assert_int_eq(metrics_write(server, METRICS_JSON, &text), 0);
	ck_assert(json_read(buf_slice(&text), &all));
	json_walk_init(&w, json_member(all, SLICE("hot_keys")));
	ck_assert(json_next(&w, &key, &o));
	ck_assert(slice_eq(json_member(o, SLICE("key")).raw, SLICE("\"a\\\"\\\\x01\"")));
	ck_assert(slice_eq(json_member(o, SLICE("share")).raw, SLICE("1")));
	ck_assert(!json_next(&w, &key, &o));
	buf_fini(&text);
	ck_assert_int_eq(metrics_write(server, METRICS_PROMETHEUS, &text), 0);
	ck_assert_int_eq(buf_append(&text, "", 1), 0);
	ck_assert(strstr(buf_data(&text), "a\\\"") == NULL);
	buf_fini(&text);
}
END_TEST

START_TEST(without_memory_it_is_an_error)
{
	begin();
	read_key(0, "a", 3, 1);
	ck_assert_uint_ge(ask_without_memory("PING", "PANNIER.HOTKEYS", "*6", NULL, NULL), 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_hotkeys");

	SUITE_ADD_FIXTURE(s, "command", handlers_setup, handlers_teardown,
	    the_key_that_is_read_most_comes_first,
	    hits_and_misses_count_alike_and_what_is_not_sampled_not_at_all, loops_are_put_together,
	    a_sampled_read_stands_for_many_and_says_how_uncertain_that_is,
	    where_a_loop_may_have_lost_a_key_its_error_says_so,
	    one_namespace_has_keys_and_shares_of_its_own,
	    who_is_confined_sees_the_keys_of_its_namespaces, what_was_read_long_ago_is_forgotten,
	    of_a_long_key_the_beginning_is_shown, what_is_wrong_is_named,
	    stats_json_has_them_only_where_that_is_permitted, without_memory_it_is_an_error);
	return suite_main(s);
}
