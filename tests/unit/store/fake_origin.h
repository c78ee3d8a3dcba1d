/* fake_origin.h - the calls of origin.h, answered when the test says so. Links
 * in place of liborigin. Thread-safe, so that loops may run on threads. */
#ifndef PANNIER_TESTS_FAKE_ORIGIN_H
#define PANNIER_TESTS_FAKE_ORIGIN_H

#include "origin/origin.h"

/* Fetches begun since fake_reset(), and those not yet answered. */
unsigned fake_begun(void);
unsigned fake_open(void);
void fake_reset(void);
/* From now on origin_fetch_start() answers -ENOMEM. */
void fake_refuse(bool yes);
/* Each fetch is answered by a task of its own loop, with what fn said when it
 * began, and with "" it fails; NULL ends that. For tests with threads. */
void fake_auto(void (*fn)(struct slice key, char out[64]));

/* What the last fetch asked for; good until the next one begins. For tests whose
 * loops all run on one thread. */
struct fake_asked {
	enum origin_op op;
	char key[64], value[64];
	int64_t ttl_ms;
};
const struct fake_asked *fake_asked(void);
/* The loop of a fetch is stopped when it begins. */
void fake_stop_on_begin(bool yes);
/* Ends the oldest open one, a write or removal. */
void fake_end(enum origin_status status, bool final);
/* For writes too, with threads: each is told to fn when it ends, and is done. */
void fake_auto_writes(void (*fn)(struct slice key, struct slice value));

/* Answer the oldest open fetch; from the thread of its loop. */
void fake_answer(const char *value, int64_t ttl_ms);
void fake_answer_tagged(const char *value, int64_t ttl_ms, const char *tags);
void fake_fail(enum origin_status status, const char *error);
/* Any answer; `value` NULL: without a body. */
void fake_answer_with(enum origin_status status, const char *value,
    const struct origin_validity *valid, int64_t took_ms);
/* What the oldest open fetch asks with: "etag|last_modified", and "|background". */
const char *fake_condition(void);

#endif
