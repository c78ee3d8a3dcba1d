/* The guard before an origin, each part of it against a server that misbehaves. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "origin/guard.h"
#include "unit/origin/scripted.h"
#include "unit/origin/world.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define BUSY "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
#define WRONG "HTTP/1.1 500 Wrong\r\nContent-Length: 0\r\n\r\n"
#define HOUR_MS 3600000

static struct world world;
static struct guards *guards;

/* --- a server that answers by a list ------------------------------------------------- */

/* The last one is repeated; NULL: no answer until the server is let go. */
struct played {
	const char *const *answers;
	unsigned n;
	atomic_uint at;
	atomic_bool go;
};

static void
script_play(struct scripted_conn *c)
{
	struct played *p = c->arg;

	while (conn_request(c)) {
		unsigned nth = atomic_fetch_add(&p->at, 1), i = MIN(nth, p->n - 1);

		while (p->answers[i] == NULL && !atomic_load(&p->go))
			if (!conn_pause(c, 1))
				return;
		if (!conn_send(c, p->answers[i] != NULL ? p->answers[i] : OK))
			return;
	}
}

static void
script_slow(struct scripted_conn *c)
{
	while (conn_request(c) && conn_pause(c, 20) && conn_send(c, OK))
		;
}

static struct scripted *servers[3];
static struct played played[3];
static unsigned n_servers;

static void
serve(const char *const *answers, unsigned n)
{
	struct played *p = &played[n_servers];

	p->answers = answers;
	p->n = n;
	atomic_store(&p->at, 0);
	atomic_store(&p->go, false);
	servers[n_servers++] = scripted_start(NULL, script_play, p);
}

#define SERVE(...) \
	do { \
		static const char *const answers_[] = { __VA_ARGS__ }; \
		serve(answers_, ARRAY_LEN(answers_)); \
	} while (0)

/* Answers the n-th of what it was asked so far. */
static unsigned
asked(unsigned server)
{
	return atomic_load(&played[server].at);
}

static void
setup(void)
{
	n_servers = 0;
}

/* The world has its endpoints, and a guard of which no part is on. */
static struct config_guard *
begin(void)
{
	const char *urls[3];

	for (unsigned i = 0; i < n_servers; i++)
		urls[i] = scripted_url(servers[i]);
	world_init(&world, urls, n_servers);
	world.cfg.guard.retry.attempts = 3;
	world.cfg.guard.retry.budget = 20;
	world.cfg.guard.retry.min_per_second = 3;
	return &world.cfg.guard;
}

static void
open_client(void)
{
	struct config all = { .origins = &world.cfg, .n_origins = 1 };

	guards = guards_new();
	ck_assert_int_eq(guards_configure(guards, &all), 0);
	ck_assert_int_eq(origin_client_new(world.loop, guards, &world.cfg, &world.stats,
	    &world.client), 0);
}

static void
end(void)
{
	for (unsigned i = 0; i < n_servers; i++) {
		atomic_store(&played[i].go, true);
		scripted_stop(servers[i]);
	}
	world_close(&world);
	guards_free(guards);
}

static struct guard_view
view(void)
{
	struct guard_view v;

	ck_assert_int_eq(guards_view(guards, "users", clock_mono_us(), &v), 0);
	return v;
}

/* As often as one likes: the world counts only those since the last one. */
static const struct answer *
get(void)
{
	if (world.n_answered == world.n_asked)
		world.n_asked = world.n_answered = 0;
	return world_get(&world, "user:1", LONG_MS);
}

#define STAT(name) counter_get(&world.stats.name)

static void
check_refused(const struct answer *a, const char *part)
{
	ck_assert_msg(a->status == ORIGIN_REFUSED, "status %d, error: %s", a->status, a->error);
	ck_assert_msg(strstr(a->error, part) != NULL, "%s does not say: %s", a->error, part);
}

/* --- breaker --------------------------------------------------------------------------- */

static struct config_guard *
begin_breaker(void)
{
	struct config_guard *g = begin();

	g->breaker.enabled = 1;
	g->breaker.window_calls = 10;
	g->breaker.window_time = 10000;
	g->breaker.min_calls = 4;
	g->breaker.failure_rate = 50;
	g->breaker.slow_rate = 100;
	g->breaker.open_time = HOUR_MS;
	g->breaker.open_time_max = HOUR_MS;
	g->breaker.half_open_calls = 2;
	g->breaker.half_open_time = HOUR_MS;
	return g;
}

START_TEST(a_breaker_opens_and_sends_nothing_more)
{
	SERVE(WRONG);
	begin_breaker();
	open_client();
	for (int i = 0; i < 4; i++)
		check_failed(get(), "HTTP 500");
	check_refused(get(), "origin users: circuit open for ");
	ck_assert_uint_eq(asked(0), 4);
	ck_assert_int_eq(view().breaker, BREAKER_OPEN);
	ck_assert_int_eq(STAT(breaker_opened), 1);
	ck_assert_int_eq(STAT(breaker_refused), 1);
	ck_assert_int_eq(STAT(refused), 1);
	ck_assert_int_eq(STAT(requests), 4);
	end();
}
END_TEST

START_TEST(a_breaker_lets_probes_through_and_closes)
{
	SERVE(WRONG, WRONG, WRONG, WRONG, OK);
	begin_breaker()->breaker.open_time = 1;
	open_client();
	for (int i = 0; i < 4; i++)
		check_failed(get(), "HTTP 500");
	while (get()->status != ORIGIN_OK)
		;
	check_ok(get(), "ok");
	ck_assert_int_eq(view().breaker, BREAKER_CLOSED);
	ck_assert_uint_eq(view().breaker_counts.closed, 1);
	end();
}
END_TEST

START_TEST(slow_answers_open_a_breaker_too)
{
	servers[n_servers++] = scripted_start(NULL, script_slow, NULL);
	begin_breaker()->breaker.slow_call = 5;
	open_client();
	for (int i = 0; i < 4; i++)
		check_ok(get(), "ok");
	check_refused(get(), "circuit open for ");
	end();
}
END_TEST

START_TEST(a_breaker_that_runs_dry_counts_and_lets_pass)
{
	SERVE(WRONG);
	begin_breaker()->breaker.dry_run = 1;
	open_client();
	for (int i = 0; i < 7; i++)
		check_failed(get(), "HTTP 500");
	ck_assert_uint_eq(asked(0), 7);
	ck_assert_int_eq(STAT(breaker_opened), 1);
	ck_assert_int_eq(STAT(breaker_refused), 3);
	ck_assert_int_eq(STAT(refused), 0);
	end();
}
END_TEST

START_TEST(a_forced_state_holds_until_it_is_taken_back)
{
	SERVE(OK);
	begin_breaker();
	open_client();
	ck_assert_int_eq(guards_force(guards, "users", BREAKER_FORCE_OPEN, clock_mono_us()), 0);
	check_refused(get(), "circuit open by command");
	ck_assert_int_eq(guards_force(guards, "users", BREAKER_AUTO, clock_mono_us()), 0);
	check_ok(get(), "ok");
	ck_assert_int_eq(guards_force(guards, "nobody", BREAKER_AUTO, 0), -ENOENT);
	end();
}
END_TEST

START_TEST(what_a_client_asks_wrong_opens_no_breaker)
{
	SERVE("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", OK);
	begin_breaker()->breaker.min_calls = 2;
	open_client();
	check_failed(get(), "HTTP 400");
	check_failed(get(), "body over");
	check_ok(get(), "ok");
	ck_assert_int_eq(view().breaker, BREAKER_CLOSED);
	end();
}
END_TEST

/* --- rate --------------------------------------------------------------------------------- */

static struct config_guard *
begin_rate(void)
{
	struct config_guard *g = begin();

	g->rate.limit = 2;
	g->rate.period = HOUR_MS;
	return g;
}

START_TEST(a_rate_limit_refuses_who_would_come_too_late)
{
	SERVE(OK);
	begin_rate();
	open_client();
	check_ok(get(), "ok");
	check_ok(get(), "ok");
	check_refused(get(), "rate limit of 2 in 3600000 ms reached, next turn in ");
	ck_assert_uint_eq(asked(0), 2);
	ck_assert_int_eq(STAT(rate_refused), 1);
	ck_assert_int_gt(view().rate_wait_us, 0);
	end();
}
END_TEST

START_TEST(a_rate_limit_lets_wait_who_comes_in_time)
{
	SERVE(OK);
	begin_rate();
	world.cfg.guard.rate.period = 40;
	world.cfg.guard.rate.burst = 1;
	world.cfg.guard.rate.max_wait = LONG_MS;
	open_client();
	for (int i = 0; i < 5; i++)
		world_ask(&world, "user:1", LONG_MS);
	world_run(&world);
	for (int i = 0; i < 5; i++)
		check_ok(&world.answers[i], "ok");
	ck_assert_int_eq(STAT(rate_refused), 0);
	end();
}
END_TEST

START_TEST(a_rate_limit_that_runs_dry_counts_and_lets_pass)
{
	SERVE(OK);
	begin_rate()->rate.dry_run = 1;
	open_client();
	for (int i = 0; i < 5; i++)
		check_ok(get(), "ok");
	ck_assert_int_eq(STAT(rate_refused), 3);
	end();
}
END_TEST

START_TEST(a_turn_that_was_not_used_is_given_back)
{
	unsigned nth;

	SERVE(NULL);
	begin_rate();
	world.cfg.guard.rate.burst = 1;
	world.cfg.guard.rate.max_wait = LONG_MS;
	world.cfg.guard.rate.period = 2 * LONG_MS;
	open_client();
	world_ask(&world, "user:1", LONG_MS);
	nth = world_ask(&world, "user:1", LONG_MS + 1000); /* waits */
	world_cancel(&world, nth);
	nth = world_ask(&world, "user:1", LONG_MS + 1000);
	world_cancel(&world, nth);
	ck_assert_int_le(view().rate_wait_us, (int64_t)LONG_MS * 1000);
	world_cancel(&world, 0);
	end();
}
END_TEST

/* --- concurrency and queue ------------------------------------------------------------------- */

START_TEST(a_limit_holds_and_those_who_wait_go_in_turn)
{
	SERVE(OK);
	begin()->concurrency.limit = 1;
	open_client();
	for (int i = 0; i < 10; i++)
		world_ask(&world, "user:1", LONG_MS);
	ck_assert_uint_eq(view().in_flight, 1);
	ck_assert_uint_eq(view().waiting, 9);
	world_run(&world);
	for (unsigned i = 0; i < 10; i++) {
		check_ok(&world.answers[i], "ok");
		ck_assert_uint_eq(world.order[i], i);
	}
	ck_assert_uint_eq(scripted_peak(servers[0]), 1);
	ck_assert_uint_eq(view().waiting, 0);
	ck_assert_uint_eq(view().in_flight, 0);
	ck_assert_int_gt(STAT(limited), 0);
	end();
}
END_TEST

START_TEST(a_limit_that_runs_dry_counts_and_lets_pass)
{
	SERVE(OK);
	begin()->concurrency.limit = 1;
	world.cfg.guard.concurrency.dry_run = 1;
	world.cfg.guard.concurrency.queue = 1;
	open_client();
	for (int i = 0; i < 8; i++)
		world_ask(&world, "user:1", LONG_MS);
	ck_assert_uint_eq(view().in_flight, 4); /* connections */
	world_run(&world);
	for (unsigned i = 0; i < 8; i++)
		check_ok(&world.answers[i], "ok");
	ck_assert_int_gt(STAT(limited), 0);
	ck_assert_int_eq(STAT(shed), 0);
	end();
}
END_TEST

START_TEST(a_full_queue_refuses)
{
	SERVE(OK);
	begin()->concurrency.limit = 1;
	world.cfg.guard.concurrency.queue = 2;
	open_client();
	for (int i = 0; i < 4; i++)
		world_ask(&world, "user:1", LONG_MS);
	world_run(&world);
	for (int i = 0; i < 3; i++)
		check_ok(&world.answers[i], "ok");
	check_refused(&world.answers[3], "overloaded: 2 requests wait already");
	ck_assert_uint_eq(world.order[0], 3); /* and at once */
	ck_assert_int_eq(STAT(shed), 1);
	end();
}
END_TEST

START_TEST(refreshes_make_way_for_requests)
{
	SERVE(OK);
	begin()->concurrency.limit = 1;
	world.cfg.guard.concurrency.queue = 2;
	open_client();
	world_ask(&world, "user:1", LONG_MS);
	world.background = true;
	world_ask(&world, "user:2", LONG_MS);
	world_ask(&world, "user:3", LONG_MS);
	world.background = false;
	world_ask(&world, "user:4", LONG_MS);
	world_run(&world);
	check_ok(&world.answers[0], "ok");
	check_refused(&world.answers[1], "overloaded: this refresh made way for requests");
	check_ok(&world.answers[2], "ok");
	check_ok(&world.answers[3], "ok");
	ck_assert_uint_eq(world.order[2], 3); /* before the refresh that was there first */
	end();
}
END_TEST

/* Enough of them for the guard to know how long a request takes. */
static void
teach_service_time(void)
{
	int64_t until_ms = clock_mono_ms() + 150;

	for (int i = 0; i < 12 || clock_mono_ms() < until_ms; i++)
		check_ok(get(), "ok");
	ck_assert_int_gt(view().service_us, 0);
	world.n_asked = world.n_answered = 0;
}

START_TEST(who_cannot_make_the_deadline_any_more_is_told_before_it)
{
	servers[n_servers++] = scripted_start(NULL, script_slow, NULL);
	begin()->concurrency.limit = 1;
	open_client();
	teach_service_time();
	world_ask(&world, "user:1", LONG_MS);
	world_ask(&world, "user:1", 30); /* would need some 40 */
	world_run(&world);
	check_ok(&world.answers[0], "ok");
	check_refused(&world.answers[1], "overloaded: ");
	ck_assert_int_lt(world.answers[1].late_ms, 0);
	end();
}
END_TEST

START_TEST(an_adaptive_limit_stays_within_its_bounds_and_serves_all)
{
	SERVE(OK);
	begin()->concurrency.adaptive = 1;
	world.cfg.guard.concurrency.min = 2;
	world.cfg.guard.concurrency.max = 3;
	open_client();
	ck_assert_uint_eq(view().limit, 2); /* it begins with a measurement */
	for (int round = 0; round < 10; round++) {
		world.n_asked = world.n_answered = 0;
		for (int i = 0; i < 20; i++)
			world_ask(&world, "user:1", LONG_MS);
		world_run(&world);
		for (int i = 0; i < 20; i++)
			check_ok(&world.answers[i], "ok");
	}
	ck_assert_uint_ge(view().limit, 2);
	ck_assert_uint_le(view().limit, 3);
	ck_assert_uint_le(scripted_peak(servers[0]), 3);
	end();
}
END_TEST

/* --- retries ---------------------------------------------------------------------------------- */

START_TEST(a_failed_request_is_sent_again)
{
	SERVE(BUSY, BUSY, OK);
	begin()->retry.enabled = 1;
	open_client();
	check_ok(get(), "ok");
	ck_assert_uint_eq(asked(0), 3);
	ck_assert_int_eq(STAT(retries), 2);
	ck_assert_int_eq(STAT(errors), 2);
	end();
}
END_TEST

START_TEST(attempts_have_an_end_and_the_last_failure_is_told)
{
	SERVE(BUSY);
	begin()->retry.enabled = 1;
	open_client();
	check_failed(get(), "origin users: HTTP 503 (after 3 attempts)");
	ck_assert_uint_eq(asked(0), 3);
	end();
}
END_TEST

START_TEST(what_would_fail_again_is_not_sent_again)
{
	SERVE(WRONG, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
	begin()->retry.enabled = 1;
	open_client();
	check_failed(get(), "origin users: HTTP 500");
	check_failed(get(), "origin users: HTTP 400");
	ck_assert_uint_eq(asked(0), 2);
	end();
}
END_TEST

START_TEST(the_budget_bounds_how_often)
{
	SERVE(BUSY);
	begin()->retry.enabled = 1;
	world.cfg.guard.retry.min_per_second = 0;
	open_client();
	for (int i = 0; i < 50; i++)
		check_failed(get(), "HTTP 503");
	ck_assert_uint_le(asked(0), 60);
	ck_assert_uint_ge(asked(0), 58);
	ck_assert_int_gt(STAT(retries_refused), 0);
	end();
}
END_TEST

START_TEST(retry_after_is_honoured_within_the_deadline)
{
	int64_t begun_ms = clock_mono_ms();

	SERVE("HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", OK,
	    "HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n");
	begin()->retry.enabled = 1;
	open_client();
	check_ok(get(), "ok");
	ck_assert_int_ge(clock_mono_ms() - begun_ms, 1000);
	check_failed(get(), "origin users: HTTP 503");
	ck_assert_uint_eq(asked(0), 3);
	end();
}
END_TEST

START_TEST(retries_that_run_dry_are_counted_and_not_sent)
{
	SERVE(BUSY);
	begin()->retry.enabled = 1;
	world.cfg.guard.retry.dry_run = 1;
	open_client();
	check_failed(get(), "origin users: HTTP 503");
	ck_assert_uint_eq(asked(0), 1);
	ck_assert_int_eq(STAT(retries), 1);
	end();
}
END_TEST

static void
script_drop_once(struct scripted_conn *c)
{
	struct played *p = c->arg;

	while (conn_request(c))
		if (atomic_fetch_add(&p->at, 1) == 0 || !conn_send(c, OK))
			return;
}

START_TEST(a_connection_that_breaks_before_an_answer_is_tried_again)
{
	servers[n_servers++] = scripted_start(NULL, script_drop_once, &played[0]);
	atomic_store(&played[0].at, 0);
	begin()->retry.enabled = 1;
	open_client();
	check_ok(get(), "ok");
	ck_assert_int_eq(STAT(retries), 1);
	end();
}
END_TEST

/* --- hedges ----------------------------------------------------------------------------------- */

static struct config_guard *
begin_hedge(void)
{
	struct config_guard *g = begin();

	g->hedge.enabled = 1;
	g->hedge.percentile = 95;
	g->hedge.min_delay = 20;
	g->hedge.budget = 100;
	return g;
}

static void
teach_hedge(void)
{
	for (int i = 0; i < 60; i++)
		check_ok(get(), "ok");
}

/* Answers the first 30 requests, then none. */
static void
script_30(struct scripted_conn *c)
{
	struct played *p = c->arg;

	while (conn_request(c)) {
		if (atomic_fetch_add(&p->at, 1) >= 30) {
			conn_hang(c);
			return;
		}
		if (!conn_send(c, OK))
			return;
	}
}

static void
serve_hedged(void)
{
	SERVE(OK);
	atomic_store(&played[1].at, 0);
	servers[n_servers++] = scripted_start(NULL, script_30, &played[1]);
}

START_TEST(a_hedge_wins_where_the_first_request_drags)
{
	serve_hedged();
	begin_hedge();
	open_client();
	teach_hedge();
	for (int i = 0; i < 6; i++)
		check_ok(get(), "ok");
	ck_assert_int_ge(STAT(hedges_won), 2);
	ck_assert_int_eq(STAT(errors), 0);
	ck_assert_uint_eq(view().in_flight, 0);
	end();
}
END_TEST

START_TEST(a_hedge_that_runs_dry_is_counted_and_not_sent)
{
	serve_hedged();
	begin_hedge()->hedge.dry_run = 1;
	open_client();
	teach_hedge();
	for (int i = 0; i < 2; i++)
		world_get(&world, "user:1", 300);
	ck_assert_int_ge(STAT(hedges), 1);
	ck_assert_int_eq(STAT(hedges_won), 0);
	ck_assert_int_eq(STAT(timeouts), 1);
	end();
}
END_TEST

/* --- endpoints -------------------------------------------------------------------------------- */

static struct config_guard *
begin_ejection(void)
{
	struct config_guard *g = begin();

	g->ejection.enabled = 1;
	g->ejection.failures = 2;
	g->ejection.time = HOUR_MS;
	g->ejection.time_max = HOUR_MS;
	g->ejection.max_share = 50;
	return g;
}

START_TEST(an_endpoint_that_fails_is_ejected_and_can_be_restored)
{
	struct guard_endpoint e;

	SERVE(OK);
	SERVE(WRONG);
	begin_ejection();
	open_client();
	for (int i = 0; i < 20; i++)
		get();
	ck_assert_uint_eq(asked(1), 2);
	ck_assert_int_eq(STAT(ejections), 1);
	ck_assert_uint_eq(view().n_out, 1);
	ck_assert_int_eq(guards_view_endpoint(guards, "users", 1, clock_mono_us(), &e), 0);
	ck_assert_int_eq(e.state, GUARD_ENDPOINT_EJECTED);
	ck_assert_int_gt(e.left_us, 0);
	ck_assert_int_eq(guards_restore(guards, "users", 1, clock_mono_us()), 0);
	for (int i = 0; i < 4; i++)
		get();
	ck_assert_uint_eq(asked(1), 3); /* on trial: one is enough */
	ck_assert_int_eq(guards_restore(guards, "users", 2, 0), -ERANGE);
	end();
}
END_TEST

START_TEST(an_ejection_that_runs_dry_is_counted_and_changes_nothing)
{
	SERVE(OK);
	SERVE(WRONG);
	begin_ejection()->ejection.dry_run = 1;
	open_client();
	for (int i = 0; i < 20; i++)
		get();
	ck_assert_uint_eq(asked(1), 10);
	ck_assert_int_eq(STAT(ejections), 1);
	end();
}
END_TEST

START_TEST(an_endpoint_is_taken_out_by_command_unless_it_is_the_last)
{
	SERVE(OK);
	SERVE(OK);
	begin();
	open_client();
	ck_assert_int_eq(guards_eject(guards, "users", 0), 0);
	for (int i = 0; i < 4; i++)
		check_ok(get(), "ok");
	ck_assert_uint_eq(asked(0), 0);
	ck_assert_int_eq(guards_eject(guards, "users", 1), 0);
	check_ok(get(), "ok");
	ck_assert_int_eq(guards_restore(guards, "users", 0, clock_mono_us()), 0);
	ck_assert_int_eq(guards_eject(guards, "users", 7), -ERANGE);
	end();
}
END_TEST

START_TEST(every_policy_asks_all_endpoints)
{
	for (int policy = GUARD_ROUND_ROBIN; policy <= GUARD_TWO_CHOICES; policy++) {
		setup();
		SERVE(OK);
		SERVE(OK);
		begin()->balance.policy = policy;
		open_client();
		for (int i = 0; i < 60; i++)
			check_ok(get(), "ok");
		ck_assert_uint_ge(asked(0), 15);
		ck_assert_uint_ge(asked(1), 15);
		end();
	}
}
END_TEST

/* --- health checks ----------------------------------------------------------------------------- */

static bool
is_down(unsigned endpoint)
{
	struct guard_endpoint e;

	ck_assert_int_eq(guards_view_endpoint(guards, "users", endpoint, clock_mono_us(), &e), 0);
	return e.state == GUARD_ENDPOINT_DOWN;
}

static atomic_bool sick;

static void
script_health(struct scripted_conn *c)
{
	struct played *p = c->arg;

	while (conn_request(c)) {
		bool check = strncmp(c->request, "GET /healthz ", 13) == 0;

		atomic_fetch_add(&p->at, !check);
		if (!conn_send(c, atomic_load(&sick) ? WRONG : OK))
			return;
	}
}

static struct timer look;
static bool wanted_down;

static void
on_look(struct timer *t)
{
	if (is_down(1) == wanted_down)
		loop_stop(world.loop);
	else
		timer_start(t, 2);
}

static void
run_until_down(bool down)
{
	wanted_down = down;
	timer_init(&look, world.loop, on_look);
	timer_start(&look, 0);
	loop_run(world.loop);
}

static void
begin_health(void)
{
	struct config_guard *g;

	SERVE(OK);
	atomic_store(&sick, true);
	atomic_store(&played[1].at, 0);
	servers[n_servers++] = scripted_start(NULL, script_health, &played[1]);
	g = begin();
	g->health.path = (char *)"/healthz";
	g->health.interval = 10;
	g->health.timeout = LONG_MS;
	g->health.rise = 2;
	g->health.fall = 2;
}

START_TEST(an_endpoint_whose_checks_fail_is_not_asked_until_they_go_well)
{
	begin_health();
	open_client();
	run_until_down(true);
	for (int i = 0; i < 6; i++)
		check_ok(get(), "ok");
	ck_assert_uint_eq(asked(1), 0);
	ck_assert_int_gt(STAT(check_failures), 0);
	ck_assert_int_eq(STAT(requests), 6); /* checks are none */
	atomic_store(&sick, false);
	run_until_down(false);
	for (int i = 0; i < 6; i++)
		check_ok(get(), "ok");
	ck_assert_uint_ge(asked(1), 1);
	end();
}
END_TEST

START_TEST(checks_that_run_dry_are_seen_and_change_nothing)
{
	begin_health();
	world.cfg.guard.health.dry_run = 1;
	open_client();
	run_until_down(true);
	for (int i = 0; i < 6; i++)
		get();
	ck_assert_uint_eq(asked(1), 3);
	end();
}
END_TEST

START_TEST(checks_have_connections_of_their_own)
{
	begin_health();
	atomic_store(&sick, false);
	world.cfg.max_connections = 1;
	played[0].answers = (const char *const[]){ NULL };
	open_client();
	world_ask(&world, "user:1", LONG_MS); /* takes the connection, on one of the two */
	world_ask(&world, "user:1", LONG_MS);
	atomic_store(&sick, true);
	run_until_down(true);
	world_cancel(&world, 0);
	world_cancel(&world, 1);
	end();
}
END_TEST

/* --- reload, loops, memory ---------------------------------------------------------------------- */

START_TEST(a_reload_keeps_what_was_learnt_where_the_options_are_the_same)
{
	struct config all = { .origins = &world.cfg, .n_origins = 1 };

	SERVE(WRONG);
	begin_breaker();
	open_client();
	for (int i = 0; i < 4; i++)
		get();
	ck_assert_int_eq(guards_configure(guards, &all), 0);
	ck_assert_int_eq(view().breaker, BREAKER_OPEN);
	world.cfg.guard.breaker.min_calls = 5;
	ck_assert_int_eq(guards_configure(guards, &all), 0);
	ck_assert_int_eq(view().breaker, BREAKER_CLOSED);
	check_refused(get(), "circuit open"); /* the client has the old one */
	all.n_origins = 0;
	ck_assert_int_eq(guards_configure(guards, &all), 0);
	ck_assert_int_eq(guards_force(guards, "users", BREAKER_AUTO, 0), -ENOENT);
	end();
}
END_TEST

#define LOOPS 3
#define EACH 60

struct racer {
	pthread_t thread;
	struct loop *loop;
	struct origin_client *client;
	struct stats_origin stats;
	unsigned left, under_way, ok;
};

static struct origin_request request = { .ns = &world.ns, .key = { "user:1", 6 },
	.deadline_ms = INT64_MAX };

static void racer_fill(struct racer *r);

static void
racer_done(void *arg, const struct origin_result *res)
{
	struct racer *r = arg;

	r->under_way--;
	r->ok += res->status == ORIGIN_OK;
	racer_fill(r);
	if (r->under_way == 0)
		loop_stop(r->loop);
}

static void
racer_fill(struct racer *r)
{
	struct origin_fetch *f;

	for (; r->left > 0 && r->under_way < 8; r->left--) {
		r->under_way++;
		ck_assert_int_eq(origin_fetch_start(r->client, &request, racer_done, r, &f), 0);
	}
}

static void *
racer_run(void *arg)
{
	struct racer *r = arg;

	racer_fill(r);
	loop_run(r->loop);
	return NULL;
}

START_TEST(loops_share_a_limit_and_none_is_left_behind)
{
	static struct racer racers[LOOPS];
	struct config_guard *g;

	SERVE(OK);
	SERVE(OK);
	g = begin_breaker();
	g->concurrency.limit = 2;
	g->balance.policy = GUARD_TWO_CHOICES;
	g->ejection = (__typeof__(g->ejection)){ .enabled = 1, .failures = 5, .time = 1000,
		.time_max = 1000, .max_share = 50 };
	open_client();
	for (unsigned i = 0; i < LOOPS; i++) {
		struct racer *r = &racers[i];

		*r = (struct racer){ .left = EACH };
		ck_assert_int_eq(loop_new(i + 1, &r->loop), 0);
		ck_assert_int_eq(origin_client_new(r->loop, guards, &world.cfg, &r->stats,
		    &r->client), 0);
		ck_assert_int_eq(pthread_create(&r->thread, NULL, racer_run, r), 0);
	}
	for (unsigned i = 0; i < LOOPS; i++)
		pthread_join(racers[i].thread, NULL);
	ck_assert_uint_eq(view().in_flight, 0);
	ck_assert_uint_eq(view().waiting, 0);
	for (unsigned i = 0; i < LOOPS; i++) {
		ck_assert_uint_eq(racers[i].ok, EACH);
		origin_client_free(racers[i].client);
		loop_free(racers[i].loop);
		histogram_fini(&racers[i].stats.latency_us);
	}
	ck_assert_uint_eq(asked(0) + asked(1), LOOPS * EACH);
	end();
}
END_TEST

static unsigned n_done;

static void
count_done(void *arg, const struct origin_result *r UNUSED)
{
	n_done++;
	loop_stop(arg);
}

/* Everything is on. Whether allocation number n was ever asked for. */
static bool
guard_with_failure(unsigned long n)
{
	struct config all = { .origins = &world.cfg, .n_origins = 1 };
	struct origin_client *oc = NULL;
	struct origin_fetch *f;
	bool reached;
	int rc;

	n_done = 0;
	mem_fail_nth(n, 0);
	guards = guards_new();
	rc = guards != NULL ? guards_configure(guards, &all) : -ENOMEM;
	if (rc == 0)
		rc = origin_client_new(world.loop, guards, &world.cfg, &world.stats, &oc);
	if (rc == 0)
		rc = origin_fetch_start(oc, &request, count_done, world.loop, &f);
	if (rc == 0)
		loop_run(world.loop);
	reached = mem_fail_seen() >= n;
	mem_fail_nth(0, 0);
	ck_assert(rc == 0 || rc == -ENOMEM);
	ck_assert_uint_eq(n_done, rc == 0);
	if (oc != NULL) {
		ck_assert_uint_eq(view().in_flight, 0);
		ck_assert_uint_eq(view().waiting, 0);
	}
	origin_client_free(oc);
	guards_free(guards);
	return reached;
}

START_TEST(without_memory_nothing_is_lost_and_nothing_stays_taken)
{
	struct config_guard *g;
	unsigned long n = 1;

	SERVE(BUSY, OK);
	g = begin_breaker();
	g->retry.enabled = 1;
	g->concurrency.limit = 1;
	g->health = (__typeof__(g->health)){ .path = (char *)"/healthz", .interval = 1000,
		.timeout = 1000, .rise = 1, .fall = 1 };
	do
		atomic_store(&played[0].at, 0);
	while (guard_with_failure(n++));
	ck_assert_uint_gt(n, 10);
	open_client();
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("guard");

	SUITE_ADD_FIXTURE(s, "breaker", setup, NULL, a_breaker_opens_and_sends_nothing_more,
	    a_breaker_lets_probes_through_and_closes,
	    slow_answers_open_a_breaker_too, a_breaker_that_runs_dry_counts_and_lets_pass,
	    a_forced_state_holds_until_it_is_taken_back,
	    what_a_client_asks_wrong_opens_no_breaker);
	SUITE_ADD_FIXTURE(s, "rate", setup, NULL, a_rate_limit_refuses_who_would_come_too_late,
	    a_rate_limit_lets_wait_who_comes_in_time,
	    a_rate_limit_that_runs_dry_counts_and_lets_pass,
	    a_turn_that_was_not_used_is_given_back);
	SUITE_ADD_FIXTURE(s, "concurrency", setup, NULL,
	    a_limit_holds_and_those_who_wait_go_in_turn,
	    a_limit_that_runs_dry_counts_and_lets_pass, a_full_queue_refuses,
	    refreshes_make_way_for_requests,
	    an_adaptive_limit_stays_within_its_bounds_and_serves_all,
	    who_cannot_make_the_deadline_any_more_is_told_before_it);
	SUITE_ADD_FIXTURE(s, "retry", setup, NULL, a_failed_request_is_sent_again,
	    attempts_have_an_end_and_the_last_failure_is_told,
	    what_would_fail_again_is_not_sent_again, the_budget_bounds_how_often,
	    retry_after_is_honoured_within_the_deadline,
	    retries_that_run_dry_are_counted_and_not_sent,
	    a_connection_that_breaks_before_an_answer_is_tried_again);
	SUITE_ADD_FIXTURE(s, "hedge", setup, NULL, a_hedge_wins_where_the_first_request_drags,
	    a_hedge_that_runs_dry_is_counted_and_not_sent);
	SUITE_ADD_FIXTURE(s, "endpoints", setup, NULL,
	    an_endpoint_that_fails_is_ejected_and_can_be_restored,
	    an_ejection_that_runs_dry_is_counted_and_changes_nothing,
	    an_endpoint_is_taken_out_by_command_unless_it_is_the_last,
	    every_policy_asks_all_endpoints);
	SUITE_ADD_FIXTURE(s, "health", setup, NULL,
	    an_endpoint_whose_checks_fail_is_not_asked_until_they_go_well,
	    checks_that_run_dry_are_seen_and_change_nothing,
	    checks_have_connections_of_their_own);
	SUITE_ADD_FIXTURE(s, "life", setup, NULL,
	    a_reload_keeps_what_was_learnt_where_the_options_are_the_same,
	    loops_share_a_limit_and_none_is_left_behind,
	    without_memory_nothing_is_lost_and_nothing_stays_taken);
	return suite_main(s);
}
