/* A fetch through a shared tier: what is asked of whom, in which order, and what is left
 * when one of them fails or there is no memory. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "store/internal.h"
#include "store/near_walk.h"
#include "unit/store/fixture.h"

/* --- origins that answer when told ------------------------------------------------- */

struct origin_client {
	bool is_tier;
};

struct origin_fetch {
	struct list link;
	struct origin_client *client;
	enum origin_op op;
	origin_done *done;
	void *arg;
	char token[40], value[16];
	int64_t ttl_ms;
};

static struct list fetches = { &fetches, &fetches };

void
fake_reset(void)
{
}

int
origin_client_new(struct loop *l UNUSED, struct guards *guards UNUSED,
    const struct config_origin *cfg, struct stats_origin *counters UNUSED,
    struct origin_client **out)
{
	*out = mem_zalloc(sizeof **out);
	if (*out == NULL)
		return -ENOMEM;
	(*out)->is_tier = cfg->kind == ORIGIN_REDIS;
	return 0;
}

static void
finish(struct origin_fetch *f, const struct origin_result *r)
{
	list_del(&f->link);
	f->done(f->arg, r);
	blob_unref(r->body);
	free(f);
}

void
origin_client_free(struct origin_client *oc)
{
	list_foreach_safe(it, &fetches) {
		struct origin_fetch *f = list_entry(it, struct origin_fetch, link);

		if (f->client == oc)
			finish(f, &(struct origin_result){ .status = ORIGIN_FAILED,
			    .error = "stopping", .ttl_ms = ORIGIN_TTL_UNSAID });
	}
	mem_free(oc);
}

static void
note(char *to, size_t size, struct slice s)
{
	ck_assert_uint_lt(s.len, size);
	memcpy(to, s.ptr, s.len);
	to[s.len] = '\0';
}

int
origin_fetch_start(struct origin_client *oc, const struct origin_request *rq, origin_done *done,
    void *arg, struct origin_fetch **out)
{
	struct origin_fetch *f;
	void *mem = mem_alloc(1);

	if (mem == NULL)
		return -ENOMEM;
	mem_free(mem);
	f = calloc(1, sizeof *f);
	f->client = oc;
	f->op = rq->op;
	f->done = done;
	f->arg = arg;
	f->ttl_ms = rq->ttl_ms;
	if (rq->etag.len != 0)
		note(f->token, sizeof f->token, rq->etag);
	if (rq->value.len != 0)
		note(f->value, sizeof f->value, rq->value);
	list_push_tail(&fetches, &f->link);
	*out = f;
	return 0;
}

/* The oldest request; it is that of `op`, to the tier or not. */
static struct origin_fetch *
asked(bool tier, enum origin_op op)
{
	struct origin_fetch *f = list_entry(fetches.next, struct origin_fetch, link);

	ck_assert(!list_empty(&fetches));
	ck_assert_int_eq(f->client->is_tier, tier);
	ck_assert_int_eq(f->op, op);
	return f;
}

static void
say(enum origin_status status)
{
	finish(list_entry(fetches.next, struct origin_fetch, link),
	    &(struct origin_result){ .status = status, .ttl_ms = ORIGIN_TTL_UNSAID,
	        .error = status >= ORIGIN_FAILED ? "broken" : NULL });
}

static void
give(const char *value, int64_t ttl_ms)
{
	struct blob *body = blob_of(slice_str(value));

	if (body == NULL) {
		say(ORIGIN_FAILED);
		return;
	}
	finish(list_entry(fetches.next, struct origin_fetch, link),
	    &(struct origin_result){ .status = ORIGIN_OK, .body = body, .ttl_ms = ttl_ms });
}

/* --- clients ------------------------------------------------------------------------- */

static const char text[] =
    "namespaces:\n"
    "  - {prefix: \"user:\", origin: users, path: \"/{rest}\", tier: shared,"
    " shared_lease: true, ttl: 10s, retry_after: 0}\n"
    "  - {prefix: \"page:\", origin: users, path: \"/{rest}\", tier: shared, ttl: 10s}\n"
    "origins:\n"
    "  users: {http: {endpoints: [\"http://127.0.0.1:1\"]}, deadline: 10s}\n"
    "  shared: {redis: {endpoints: [\"redis://127.0.0.1:1\"]}, deadline: 1s}\n";

struct client {
	struct store_waiter w;
	unsigned answers;
	enum fill_status status;
	char value[16];
};

static void
on_done(struct store_waiter *w)
{
	struct client *c = container_of(w, struct client, w);

	c->answers++;
	c->status = w->status;
	if (w->status == FILL_VALUE)
		note(c->value, sizeof c->value, blob_slice(w->value));
}

static enum store_answer
get(struct client *c, const char *key)
{
	struct store_cursor cur;
	enum store_answer a;

	memset(c, 0, sizeof *c);
	c->w.done = on_done;
	a = store_get(sl[0], slice_str(key), &cur, &c->w);
	if (a == STORE_HIT || a == STORE_STALE)
		store_close(&cur);
	return a;
}

static void
tier_setup(void)
{
	struct routes *r = make_routes_of(text);

	setup_of(r);
	routes_unref(r);
}

static int
tier_id(void)
{
	return routes_find(sl[0]->origins->routes, SLICE("user:1"))->tier_cfg->stats_id;
}

static void
wake(const char *key)
{
	tier_waits_wake(&store->tier_waits, store_hash(sl[0], slice_str(key)));
	loop_run_tasks(loops[0]);
}

/* --- claims ----------------------------------------------------------------------------- */

START_TEST(value_of_the_tier_is_the_answer)
{
	struct client a;

	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	asked(true, ORIGIN_READ);
	give("ann", 5000);
	ck_assert_str_eq(a.value, "ann");
	ck_assert(list_empty(&fetches));
	ck_assert_int_eq(get(&a, "user:1"), STORE_HIT);
	ck_assert_int_eq(NS(tier_hits), 1);
}
END_TEST

START_TEST(who_gets_the_lease_looks_again_fetches_and_fills_the_tier)
{
	char token[40];
	struct client a;

	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	say(ORIGIN_NOT_FOUND);
	strcpy(token, asked(true, ORIGIN_ACQUIRE)->token);
	ck_assert_uint_eq(strlen(token), 32);
	ck_assert_int_eq(asked(true, ORIGIN_ACQUIRE)->ttl_ms, 11000);
	say(ORIGIN_DONE);
	asked(true, ORIGIN_READ);
	say(ORIGIN_NOT_FOUND);
	ck_assert_str_eq(asked(false, ORIGIN_READ)->token, "");
	give("ann", 7000);
	ck_assert_str_eq(a.value, "ann");
	ck_assert_str_eq(asked(true, ORIGIN_FILL)->token, token);
	ck_assert_str_eq(asked(true, ORIGIN_FILL)->value, "ann");
	ck_assert_int_eq(asked(true, ORIGIN_FILL)->ttl_ms, 7000);
	say(ORIGIN_DONE);
	ck_assert_int_eq(NS(tier_filled), 1);
	ck_assert(list_empty(&fetches));
}
END_TEST

START_TEST(value_that_came_before_the_lease_is_taken_and_the_lease_given_back)
{
	struct client a;

	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	say(ORIGIN_NOT_FOUND);
	say(ORIGIN_DONE);
	asked(true, ORIGIN_READ);
	give("ann", 5000);
	ck_assert_str_eq(a.value, "ann");
	asked(true, ORIGIN_RELEASE);
	say(ORIGIN_DONE);
	ck_assert(list_empty(&fetches));
}
END_TEST

START_TEST(others_wait_until_the_tier_tells_of_the_value)
{
	struct client a;

	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	say(ORIGIN_NOT_FOUND);
	asked(true, ORIGIN_ACQUIRE);
	say(ORIGIN_NOT_FOUND);
	ck_assert(list_empty(&fetches));
	wake("user:2");
	ck_assert(list_empty(&fetches));
	ck_assert(near_invalidate(sl[0], tier_id(), SLICE("user:1")));
	loop_run_tasks(loops[0]);
	asked(true, ORIGIN_READ);
	give("ann", 5000);
	ck_assert_str_eq(a.value, "ann");
	ck_assert_int_eq(NS(shared_waits), 1);
}
END_TEST

START_TEST(lease_that_was_given_back_goes_to_one_who_waits)
{
	struct client a;

	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	say(ORIGIN_NOT_FOUND);
	say(ORIGIN_NOT_FOUND);
	wake("user:1");
	say(ORIGIN_NOT_FOUND);
	asked(true, ORIGIN_ACQUIRE);
	say(ORIGIN_DONE);
	say(ORIGIN_NOT_FOUND);
	asked(false, ORIGIN_READ);
	say(ORIGIN_NOT_FOUND);
	ck_assert_int_eq(a.status, FILL_NOT_FOUND);
	asked(true, ORIGIN_RELEASE);
	say(ORIGIN_DONE);
}
END_TEST

START_TEST(tier_that_fails_is_left_out)
{
	struct client a;

	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	say(ORIGIN_TIMEOUT);
	asked(false, ORIGIN_READ);
	give("ann", 5000);
	ck_assert_str_eq(a.value, "ann");
	ck_assert(list_empty(&fetches));
	ck_assert_int_eq(get(&a, "user:2"), STORE_WAITING);
	say(ORIGIN_NOT_FOUND);
	asked(true, ORIGIN_ACQUIRE);
	say(ORIGIN_REFUSED);
	asked(false, ORIGIN_READ);
	give("bob", 5000);
	ck_assert_str_eq(a.value, "bob");
	ck_assert(list_empty(&fetches));
	ck_assert_int_eq(NS(tier_errors), 2);
}
END_TEST

START_TEST(without_leases_the_tier_is_asked_once_and_filled)
{
	struct client a;

	ck_assert_int_eq(get(&a, "page:1"), STORE_WAITING);
	say(ORIGIN_NOT_FOUND);
	asked(false, ORIGIN_READ);
	give("ann", ORIGIN_TTL_UNSAID);
	ck_assert_str_eq(a.value, "ann");
	ck_assert_str_eq(asked(true, ORIGIN_FILL)->token, "");
	ck_assert_int_eq(asked(true, ORIGIN_FILL)->ttl_ms, 10000);
	say(ORIGIN_NOT_FOUND);
	ck_assert(list_empty(&fetches));
}
END_TEST

START_TEST(what_must_not_be_kept_is_not_put_into_the_tier)
{
	struct client a;

	ck_assert_int_eq(get(&a, "page:1"), STORE_WAITING);
	say(ORIGIN_NOT_FOUND);
	give("ann", 0);
	ck_assert_str_eq(a.value, "ann");
	ck_assert(list_empty(&fetches));
}
END_TEST

START_TEST(end_of_the_loop_answers_who_waits)
{
	struct client a, b;

	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	say(ORIGIN_NOT_FOUND);
	say(ORIGIN_NOT_FOUND);
	ck_assert_int_eq(get(&b, "user:2"), STORE_WAITING);
	teardown();
	ck_assert_uint_eq(a.answers, 1);
	ck_assert_int_eq(a.status, FILL_FAILED);
	ck_assert_uint_eq(b.answers, 1);
	ck_assert(list_empty(&fetches));
	tier_setup();
}
END_TEST

/* Whatever step it is that gets no memory: there is one answer, and nothing is left. */
static bool
play_without(unsigned long nth, int onwards)
{
	struct client a;
	bool failed;

	mem_fail_nth(nth, onwards);
	if (get(&a, "user:1") == STORE_WAITING) {
		/* Tier, lease, tier, origin, fill: as far as it gets. */
		for (unsigned i = 0; i < 5 && !list_empty(&fetches); i++) {
			const struct origin_fetch *f =
			    list_entry(fetches.next, struct origin_fetch, link);

			if (f->op == ORIGIN_READ && !f->client->is_tier)
				give("ann", 5000);
			else
				say(f->op == ORIGIN_READ ? ORIGIN_NOT_FOUND : ORIGIN_DONE);
		}
		loop_run_tasks(loops[0]);
		ck_assert_uint_eq(a.answers, 1);
	}
	failed = mem_fail_seen() >= nth;
	mem_fail_nth(0, 0);
	ck_assert(list_empty(&fetches));
	ck_assert_uint_eq(store_flights(store), 0);
	ck_assert_uint_eq(store_waiting(store), 0);
	store_flush(sl[0]);
	return failed;
}

START_TEST(no_step_without_memory_leaves_anything_behind)
{
	for (int onwards = 0; onwards < 2; onwards++)
		for (unsigned long n = 1; play_without(n, onwards); n++)
			ck_assert_uint_lt(n, 1000);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("tier_fetch");

	SUITE_ADD_FIXTURE(s, "tier_fetch", tier_setup, teardown, value_of_the_tier_is_the_answer,
	    who_gets_the_lease_looks_again_fetches_and_fills_the_tier,
	    value_that_came_before_the_lease_is_taken_and_the_lease_given_back,
	    others_wait_until_the_tier_tells_of_the_value,
	    lease_that_was_given_back_goes_to_one_who_waits, tier_that_fails_is_left_out,
	    without_leases_the_tier_is_asked_once_and_filled,
	    what_must_not_be_kept_is_not_put_into_the_tier, end_of_the_loop_answers_who_waits,
	    no_step_without_memory_leaves_anything_behind);
	return suite_main(s);
}
