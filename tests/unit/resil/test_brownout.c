/* Breaker, retries from a budget and adaptive limit together, before an origin that goes from
 * good to slow, to errors, to gone, and back; and the same requests without
 * them, for comparison. All of it in simulated time. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "resil/breaker.h"
#include "resil/limit.h"
#include "resil/retry.h"
#include "unit/resil/sim.h"
#include "unit/resil/units.h"
#include "unit/suite.h"

#define RATE 500 /* requests a second */
#define TRIES 4
#define DEADLINE S
#define ATTEMPT (300 * MS) /* then it is given up; the origin does not know */

enum mode { GOOD, SLOW, ERRORS, GONE, BACK, MODES };
static const int64_t ends[MODES] = { 10 * S, 25 * S, 35 * S, 45 * S, 85 * S };

struct request {
	int64_t deadline, last_wait;
	uint32_t tries;
	enum mode mode; /* when it came */
};

/* An attempt that is under way. */
struct attempt {
	struct breaker_permit permit;
	uint32_t request;
	bool ok;
};

struct figures {
	int requests, answered, attempts;
	int at_once; /* most attempts under way, as the origin sees it */
};

struct world {
	bool guarded;
	struct breaker breaker;
	struct budget budget;
	struct backoff_cfg backoff;
	struct limit limit;
	struct sim_origin origin;
	struct sim_events events;
	struct draw draw;
	int64_t now;
	enum mode mode;
	int at_origin;
	struct request request[85 * RATE];
	struct attempt attempt[85 * RATE * TRIES];
	uint32_t n_requests, n_attempts;
	struct figures f[MODES];
	int good_after[41]; /* answered in each second of BACK */
};

enum { ARRIVE, AGAIN, ENDS, ORIGIN_ENDS };

static struct world *
world_new(bool guarded)
{
	struct world *w = calloc(1, sizeof *w);
	struct breaker_cfg breaker;
	struct budget_cfg budget;
	struct limit_cfg limit;

	ck_assert_ptr_nonnull(w);
	w->guarded = guarded;
	w->now = T0;
	breaker_defaults(&breaker);
	budget_defaults(&budget);
	backoff_defaults(&w->backoff);
	limit_defaults(&limit, true);
	ck_assert_int_eq(breaker_init(&w->breaker, &breaker, T0), 0);
	ck_assert_int_eq(budget_init(&w->budget, &budget, T0), 0);
	ck_assert_int_eq(limit_init(&w->limit, &limit, T0), 0);
	w->origin = (struct sim_origin){ .workers = 64, .service_us = 5 * MS };
	return w;
}

static void
at(struct world *w, int64_t when, uint32_t kind, uint32_t id)
{
	sim_push(&w->events, (struct sim_event){ when, w->now, kind, id });
}

/* Sends it, and knows at once how it will end; the guard does not. */
static void
send_attempt(struct world *w, uint32_t id, struct breaker_permit permit)
{
	struct attempt *a = &w->attempt[w->n_attempts];
	int64_t end = w->now + 200, give_up = MIN(w->now + ATTEMPT, w->request[id].deadline);

	*a = (struct attempt){ .permit = permit, .request = id };
	w->f[w->mode].attempts++;
	if (w->mode == ERRORS)
		end = w->now + MS;
	else if (w->mode != GONE) {
		end = sim_call(&w->origin, w->now);
		a->ok = end <= give_up;
		w->at_origin++;
		w->f[w->mode].at_once = MAX(w->f[w->mode].at_once, w->at_origin);
		at(w, end, ORIGIN_ENDS, 0);
	}
	at(w, MIN(end, give_up), ENDS, w->n_attempts++);
}

static void
try_once(struct world *w, uint32_t id)
{
	struct breaker_permit permit = { 0 };
	int64_t retry_after;

	w->request[id].tries++;
	if (w->guarded) {
		if (!limit_take(&w->limit))
			return;
		if (breaker_allow(&w->breaker, w->now, draw_next(&w->draw), &permit, &retry_after) ==
		    BREAKER_REFUSED) {
			limit_release(&w->limit, LIMIT_IGNORE, 0, w->now);
			return;
		}
		if (w->request[id].tries == 1)
			budget_request(&w->budget, w->now);
	}
	send_attempt(w, id, permit);
}

static void
try_again(struct world *w, uint32_t id)
{
	struct request *r = &w->request[id];
	int64_t wait = backoff_wait_us(&w->backoff, r->tries, r->last_wait, draw_next(&w->draw));

	if (r->tries >= TRIES || !retry_fits(w->now, wait, 0, r->deadline))
		return;
	if (w->guarded && !budget_take(&w->budget, w->now))
		return;
	r->last_wait = wait;
	at(w, w->now + wait, AGAIN, id);
}

static void
attempt_ends(struct world *w, const struct attempt *a, int64_t began)
{
	struct request *r = &w->request[a->request];
	int64_t took = w->now - began;
	bool cut_off = took >= ATTEMPT || w->now >= r->deadline;

	if (w->guarded) {
		breaker_report(&w->breaker, a->permit, a->ok ? BREAKER_OK : BREAKER_FAILED, took, w->now,
		    draw_next(&w->draw));
		limit_release(&w->limit, a->ok ? LIMIT_OK : cut_off ? LIMIT_DROPPED :
		    w->mode == ERRORS ? LIMIT_REFUSED : LIMIT_IGNORE, took, w->now);
	}
	if (!a->ok) {
		try_again(w, a->request);
		return;
	}
	w->f[r->mode].answered++;
	if (r->mode == BACK)
		w->good_after[(w->now - T0 - ends[GONE]) / S]++;
}

static void
arrive(struct world *w)
{
	uint32_t id = w->n_requests++;

	w->request[id] = (struct request){ .deadline = w->now + DEADLINE, .mode = w->mode };
	w->f[w->mode].requests++;
	if (w->n_requests < ARRAY_LEN(w->request))
		at(w, w->now + S / RATE, ARRIVE, 0);
	try_once(w, id);
}

static void
mode_change(struct world *w)
{
	while (w->mode < BACK && w->now >= T0 + ends[w->mode])
		w->mode++;
	w->origin.service_us = w->mode == SLOW ? 2 * S : 5 * MS;
	if (w->mode == GONE)
		sim_restart(&w->origin, w->now);
}

static void
run(struct world *w)
{
	struct sim_event e;

	at(w, T0, ARRIVE, 0);
	while (sim_pop(&w->events, INT64_MAX, &e)) {
		w->now = e.at_us;
		mode_change(w);
		if (e.kind == ARRIVE)
			arrive(w);
		else if (e.kind == AGAIN)
			try_once(w, e.id);
		else if (e.kind == ENDS)
			attempt_ends(w, &w->attempt[e.id], e.began_us);
		else
			w->at_origin--;
	}
	for (int m = 0; getenv("BROWNOUT_TABLE") != NULL && m < MODES; m++)
		printf("%d %d: %d requests, %d answered, %d attempts, %d at once\n", w->guarded, m,
		    w->f[m].requests, w->f[m].answered, w->f[m].attempts, w->f[m].at_once);
}

START_TEST(while_all_is_well_the_guard_is_not_noticed)
{
	struct world *w = world_new(true);

	run(w);
	ck_assert_int_eq(w->f[GOOD].answered, w->f[GOOD].requests);
	ck_assert_int_eq(w->f[GOOD].attempts, w->f[GOOD].requests);
	free(w);
}
END_TEST

START_TEST(a_broken_origin_sees_a_small_share_of_the_requests)
{
	struct world *w = world_new(true);

	run(w);
	for (enum mode m = SLOW; m <= GONE; m++)
		ck_assert_int_le(w->f[m].attempts, w->f[m].requests / 10);
	/* And never more at a time than the limit was when it broke, and a few probes. */
	ck_assert_int_le(w->f[SLOW].at_once, 64);
	ck_assert_uint_ge(w->breaker.counts.opened, 3);
	free(w);
}
END_TEST

START_TEST(without_the_guard_it_sees_a_multiple)
{
	struct world *w = world_new(false);

	run(w);
	for (enum mode m = ERRORS; m <= GONE; m++)
		ck_assert_int_ge(w->f[m].attempts, 3 * w->f[m].requests);
	ck_assert_int_ge(w->f[SLOW].attempts, 2 * w->f[SLOW].requests);
	ck_assert_int_ge(w->f[SLOW].at_once, 10000);
	free(w);
}
END_TEST

/* The breaker is taken out: the budget alone must hold. */
START_TEST(retries_add_a_fifth_at_most_whatever_the_breaker_does)
{
	struct world *w = world_new(true);

	breaker_force(&w->breaker, BREAKER_FORCE_CLOSED, T0);
	run(w);
	for (enum mode m = GOOD; m < MODES; m++) {
		int64_t length = ends[m] - (m == GOOD ? 0 : ends[m - 1]);
		/* Requests of the window before count too, and three a second are free. */
		double most = 1.2 * w->f[m].requests + 0.2 * RATE * 10 +
		    3 * (double)(length / S + 10);

		ck_assert_double_le(w->f[m].attempts, most);
	}
	/* An origin that refuses at once is asked by all, and a fifth more. */
	ck_assert_int_ge(w->f[GONE].attempts, w->f[GONE].requests);
	free(w);
}
END_TEST

START_TEST(after_it_is_back_all_are_answered_again_in_bounded_time)
{
	struct world *w = world_new(true);

	run(w);
	/* Open for 10 s at most, give or take a fifth, and a moment for the probes. */
	for (int second = 13; second < 40; second++)
		ck_assert_int_eq(w->good_after[second], RATE);
	ck_assert_int_eq(breaker_state(&w->breaker), BREAKER_CLOSED);
	free(w);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("brownout");

	SUITE_ADD(s, "brown-out", while_all_is_well_the_guard_is_not_noticed,
	    a_broken_origin_sees_a_small_share_of_the_requests,
	    without_the_guard_it_sees_a_multiple,
	    retries_add_a_fifth_at_most_whatever_the_breaker_does,
	    after_it_is_back_all_are_answered_again_in_bounded_time);
	return suite_main(s);
}
