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
 * began; NULL ends that. For tests with threads. */
void fake_auto(void (*fn)(struct slice key, char out[64]));

/* Answer the oldest open fetch; from the thread of its loop. */
void fake_answer(const char *value, int64_t ttl_ms);
void fake_answer_tagged(const char *value, int64_t ttl_ms, const char *tags);
void fake_fail(enum origin_status status, const char *error);

#endif
