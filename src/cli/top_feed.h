/* top_feed.h - a connection that asks a daemon for one sample after the other, and
 * connects again by itself. Never waits: whoever polls says when. One thread. */
#ifndef PANNIER_CLI_TOP_FEED_H
#define PANNIER_CLI_TOP_FEED_H

#include "cli/top_sample.h"
#include "config/config.h"

struct top_feed;

/* The password is that of PANNIER_PASSWORD_FILE or PANNIER_PASSWORD. 0; -ENOMEM, or what
 * reading the password said, with err set. `to` is borrowed. */
int top_feed_new(const struct config_listen *to, int timeout_ms, struct top_feed **out,
    struct config_error *err) MUST_CHECK;
void top_feed_free(struct top_feed *f); /* NULL is fine */

/* "unix:/run/x.sock" */
const char *top_feed_name(const struct top_feed *f);

/* Asks for a sample, unless one is asked for already. */
void top_feed_ask(struct top_feed *f, int64_t now_us);
bool top_feed_is_asking(const struct top_feed *f);

/* What to poll(2) for; fd -1: nothing. until_us: when to step in any case; INT64_MAX. */
int top_feed_fd(const struct top_feed *f);
short top_feed_events(const struct top_feed *f);
int64_t top_feed_until_us(const struct top_feed *f);

/* 1: *out is the sample that was asked for, the caller's; 0: not yet; else it failed, and
 * err is a sentence that begins with the address: -ECONNREFUSED, -ETIMEDOUT, -EACCES,
 * -EPROTO, -ENOMEM. The next one asked for connects anew then. */
int top_feed_step(struct top_feed *f, int64_t now_us, struct top_sample *out,
    struct config_error *err) MUST_CHECK;

#endif
