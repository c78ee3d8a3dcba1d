/* When a channel of invalidations is opened, asked, given up and opened again. */
#include "config.h"

#include "unit/suite.h"

#include "origin/redis_track.h"

static const struct track_opts opts = { .ping_interval_ms = 1000, .ping_timeout_ms = 400 };

static struct track
live_at(int64_t now_ms)
{
	struct track t;

	track_init(&t, &opts, now_ms - 10);
	ck_assert_int_eq(track_step(&t, now_ms - 10), TRACK_OPEN);
	ck_assert_int_eq(track_step(&t, now_ms - 10), TRACK_WAIT);
	track_live(&t, now_ms - 5, now_ms);
	return t;
}

START_TEST(channel_is_opened_at_once_and_only_once)
{
	struct track t;

	track_init(&t, &opts, 100);
	ck_assert_int_eq(t.state, TRACK_DOWN);
	ck_assert_int_eq(track_step(&t, 100), TRACK_OPEN);
	ck_assert_int_eq(t.state, TRACK_OPENING);
	ck_assert_int_eq(track_step(&t, 100), TRACK_WAIT);
	ck_assert_int_eq(track_step(&t, 499), TRACK_WAIT);
}
END_TEST

START_TEST(opening_that_takes_too_long_is_given_up)
{
	struct track t;

	track_init(&t, &opts, 100);
	ck_assert_int_eq(track_step(&t, 100), TRACK_OPEN);
	ck_assert_int_eq(track_step(&t, 500), TRACK_CLOSE);
	ck_assert(!track_down(&t, 500, 7));
	ck_assert_int_eq(t.state, TRACK_DOWN);
	ck_assert_int_gt(t.due_ms, 500);
}
END_TEST

START_TEST(ping_comes_after_the_interval_and_its_answer_proves_until_it_was_sent)
{
	struct track t = live_at(1000);

	ck_assert_int_eq(t.proof_ms, 995);
	ck_assert_int_eq(track_step(&t, 1999), TRACK_WAIT);
	ck_assert_int_eq(track_step(&t, 2000), TRACK_PING);
	ck_assert_int_eq(track_step(&t, 2000), TRACK_WAIT);
	ck_assert_int_eq(t.proof_ms, 995);
	track_pong(&t, 2300);
	ck_assert_int_eq(t.proof_ms, 2000);
	ck_assert_int_eq(track_step(&t, 3299), TRACK_WAIT);
	ck_assert_int_eq(track_step(&t, 3300), TRACK_PING);
}
END_TEST

START_TEST(silent_channel_is_lost_when_the_ping_is_not_answered_in_time)
{
	struct track t = live_at(1000);

	ck_assert_int_eq(track_step(&t, 2000), TRACK_PING);
	ck_assert_int_eq(track_step(&t, 2399), TRACK_WAIT);
	ck_assert_int_eq(track_step(&t, 2400), TRACK_CLOSE);
	ck_assert(track_down(&t, 2400, 7));
	ck_assert_int_eq(t.proof_ms, 995);
}
END_TEST

START_TEST(broken_channel_is_opened_again_soon_and_then_less_often)
{
	struct track t = live_at(1000);
	int64_t now_ms = 2000, longest_ms = 0;

	ck_assert_int_eq(track_step(&t, now_ms), TRACK_PING);
	track_pong(&t, now_ms);
	ck_assert(track_down(&t, now_ms, 7));
	ck_assert_int_le(t.due_ms - now_ms, 600);
	for (unsigned i = 0; i < 50; i++) {
		longest_ms = t.due_ms - now_ms > longest_ms ? t.due_ms - now_ms : longest_ms;
		ck_assert_int_ge(t.due_ms - now_ms, 50);
		ck_assert_int_le(t.due_ms - now_ms, 5000);
		now_ms = t.due_ms;
		ck_assert_int_eq(track_step(&t, now_ms), TRACK_OPEN);
		ck_assert(!track_down(&t, now_ms, 0x9e3779b97f4a7c15u * (i + 1)));
	}
	ck_assert_int_gt(longest_ms, 2000);
}
END_TEST

START_TEST(server_that_takes_us_in_and_throws_us_out_is_not_asked_without_end)
{
	struct track t;

	track_init(&t, &opts, 0);
	for (unsigned i = 1; i < 20; i++) {
		int64_t at_ms = t.due_ms;

		ck_assert_int_eq(track_step(&t, at_ms), TRACK_OPEN);
		track_live(&t, at_ms, at_ms);
		ck_assert(track_down(&t, at_ms, 7));
		ck_assert_uint_eq(t.attempts, i);
	}
}
END_TEST

START_TEST(answer_that_nobody_asked_for_proves_nothing)
{
	struct track t = live_at(1000);

	track_pong(&t, 1500);
	ck_assert_int_eq(t.proof_ms, 995);
	ck_assert(track_down(&t, 1600, 7));
	track_pong(&t, 1700);
	ck_assert_int_eq(t.proof_ms, 995);
	ck_assert_int_eq(t.state, TRACK_DOWN);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("redis_track");

	SUITE_ADD(s, "track", channel_is_opened_at_once_and_only_once,
	    opening_that_takes_too_long_is_given_up,
	    ping_comes_after_the_interval_and_its_answer_proves_until_it_was_sent,
	    silent_channel_is_lost_when_the_ping_is_not_answered_in_time,
	    broken_channel_is_opened_again_soon_and_then_less_often,
	    server_that_takes_us_in_and_throws_us_out_is_not_asked_without_end,
	    answer_that_nobody_asked_for_proves_nothing);
	return suite_main(s);
}
