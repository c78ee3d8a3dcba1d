/* While a reload is under way one loop goes by the old configuration and another
 * by the new one. They meet in the table of what is pending. */
#include "config.h"

#include "unit/suite.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "unit/store/fixture.h"

static const char plain_text[] = "wait_limit: 8\n";
static const char lease_text[] =
    "namespaces:\n"
    "  - prefix: \"user:\"\n"
    "    coalesce: lease\n"
    "    lease_time: 1h\n";

struct client {
	struct store_waiter w;
	struct store_holder holder;
	unsigned answers;
	char text[64]; /* of a hit, or of what was fetched */
};

static void
on_done(struct store_waiter *w)
{
	struct client *c = container_of(w, struct client, w);

	c->answers++;
	if (w->status == FILL_VALUE)
		snprintf(c->text, sizeof c->text, "%.*s", (int)blob_slice(w->value).len,
		    blob_slice(w->value).ptr);
}

static void
client_init(struct client *c)
{
	memset(c, 0, sizeof *c);
	c->w.done = on_done;
	c->w.holder = &c->holder;
	store_holder_init(&c->holder);
}

static enum store_answer
get(struct client *c, unsigned loop, const char *key)
{
	struct store_cursor cur;
	enum store_answer a = store_get(sl[loop], slice_str(key), &cur, &c->w);

	if (a == STORE_HIT) {
		snprintf(c->text, sizeof c->text, "%.*s", (int)cur.c.value.len, cur.c.value.ptr);
		store_close(&cur);
	}
	return a;
}

/* The store gets other routes, and this loop too; the others follow later. */
static void
reload(unsigned loop, const char *text)
{
	struct routes *r = make_routes_of(text);
	struct origin_set *os = origin_set_new(r);

	store_set_routes(store, r);
	store_loop_set_routes(sl[loop], &os);
	ck_assert_ptr_null(os);
	routes_unref(r);
}

START_TEST(writer_that_knows_no_origin_for_a_key_overrules_its_fetch_all_the_same)
{
	struct client a;

	client_init(&a);
	ck_assert_int_eq(get(&a, 0, "user:1"), STORE_WAITING);
	reload(1, plain_text);
	ck_assert_int_eq(store_set(sl[1], SLICE("user:1"), SLICE("written"), CACHE_NEVER), 0);
	fake_answer("old", ORIGIN_TTL_UNSAID);
	ck_assert_uint_eq(a.answers, 1);
	ck_assert_str_eq(a.text, "old"); /* it asked before the write was done */
	ck_assert_int_eq(get(&a, 1, "user:1"), STORE_HIT);
	ck_assert_str_eq(a.text, "written");
}
END_TEST

START_TEST(bracket_that_knows_no_origin_for_a_key_overrules_its_fetch_all_the_same)
{
	struct store_atomic bracket;
	struct client a;

	client_init(&a);
	ck_assert_int_eq(get(&a, 0, "user:1"), STORE_WAITING);
	reload(1, plain_text);
	store_atomic_init(&bracket, sl[1]);
	store_atomic_add(&bracket, SLICE("user:1"), store_hash(sl[1], SLICE("user:1")));
	store_atomic_begin(&bracket);
	store_delete(sl[1], SLICE("user:1"));
	store_atomic_end(&bracket);
	fake_answer("old", ORIGIN_TTL_UNSAID);
	ck_assert_uint_eq(cache_count(store_cache(store)), 0);
}
END_TEST

START_TEST(writer_that_knows_of_no_leases_ends_one_all_the_same)
{
	struct client a, b;

	client_init(&a);
	client_init(&b);
	reload(0, lease_text);
	ck_assert_int_eq(get(&a, 0, "user:1"), STORE_MISS);
	ck_assert_int_eq(get(&b, 0, "user:1"), STORE_WAITING);
	reload(1, plain_text);
	ck_assert_int_eq(store_set(sl[1], SLICE("user:1"), SLICE("v"), CACHE_NEVER), 0);
	loop_run_tasks(loops[0]);
	ck_assert_uint_eq(b.answers, 1);
	ck_assert_int_eq(b.w.status, FILL_AGAIN);
	ck_assert(list_empty(&a.holder.leases));
}
END_TEST

START_TEST(key_that_gets_an_origin_drops_its_lease_and_who_waits_asks_again)
{
	struct client a, b, mget;

	client_init(&a);
	client_init(&b);
	client_init(&mget);
	mget.w.holder = NULL; /* no lease could be given to it */
	reload(1, lease_text);
	ck_assert_int_eq(get(&a, 1, "user:1"), STORE_MISS);
	ck_assert_int_eq(get(&b, 1, "user:1"), STORE_WAITING);
	ck_assert_int_eq(get(&mget, 0, "user:1"), STORE_WAITING);
	ck_assert_uint_eq(fake_open(), 1);
	loop_run_tasks(loops[1]);
	ck_assert_uint_eq(b.answers, 1);
	ck_assert_int_eq(b.w.status, FILL_AGAIN);
	ck_assert(list_empty(&a.holder.leases));
	fake_answer("ann", ORIGIN_TTL_UNSAID);
	ck_assert_str_eq(mget.text, "ann");
	ck_assert_int_eq(get(&b, 1, "user:1"), STORE_HIT);
}
END_TEST

START_TEST(waiter_that_is_promoted_goes_by_the_routes_that_it_asked_by)
{
	struct client a, b;

	client_init(&a);
	client_init(&b);
	reload(0, lease_text);
	reload(1, lease_text);
	ck_assert_int_eq(get(&a, 0, "user:1"), STORE_MISS);
	ck_assert_int_eq(get(&b, 1, "user:1"), STORE_WAITING);
	reload(1, plain_text);
	store_holder_gone(&a.holder); /* on loop 0, for loop 1 */
	loop_run_tasks(loops[1]);
	ck_assert_uint_eq(b.answers, 1);
	ck_assert(b.w.granted);
	store_holder_gone(&b.holder);
	ck_assert_uint_eq(store_waiting(store), 0);
}
END_TEST

/* All that a reload needs is made before anything is changed. */
START_TEST(without_memory_no_loop_is_asked_to_follow)
{
	struct routes *r = make_routes_of(plain_text);

	mem_fail_nth(1, 0);
	ck_assert_ptr_null(origin_set_new(r));
	mem_fail_nth(0, 0);
	origin_set_free(origin_set_new(r));
	origin_set_free(NULL);
	routes_unref(r);
}
END_TEST

START_TEST(old_routes_go_when_every_loop_has_followed_and_not_before)
{
	const struct routes *old = store_loop_routes(sl[0]);
	struct client a;

	client_init(&a);
	reload(1, plain_text);
	reload(1, lease_text);
	/* Loop 0 is two reloads behind: what it reads must still stand. */
	ck_assert_ptr_eq(store_loop_routes(sl[0]), old);
	ck_assert_int_eq(store_set(sl[0], SLICE("user:1"), SLICE("v"), CACHE_NEVER), 0);
	ck_assert_int_eq(get(&a, 0, "user:1"), STORE_HIT);
	reload(0, lease_text);
	ck_assert_int_eq(get(&a, 0, "user:1"), STORE_HIT);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("reload");

	SUITE_ADD_FIXTURE(s, "reload", setup, teardown,
	    writer_that_knows_no_origin_for_a_key_overrules_its_fetch_all_the_same,
	    bracket_that_knows_no_origin_for_a_key_overrules_its_fetch_all_the_same,
	    writer_that_knows_of_no_leases_ends_one_all_the_same,
	    key_that_gets_an_origin_drops_its_lease_and_who_waits_asks_again,
	    waiter_that_is_promoted_goes_by_the_routes_that_it_asked_by,
	    without_memory_no_loop_is_asked_to_follow,
	    old_routes_go_when_every_loop_has_followed_and_not_before);
	return suite_main(s);
}
