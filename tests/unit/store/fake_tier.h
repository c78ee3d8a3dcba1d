/* fake_tier.h - a shared tier behind the calls of origin.h, in place of liborigin: it
 * has versions of keys instead of values, executes and answers when it is told, in
 * any order, and says of each change what a server would say to a tracking client. */
#ifndef PANNIER_TESTS_FAKE_TIER_H
#define PANNIER_TESTS_FAKE_TIER_H

#include "origin/origin.h"

#define TIER_KEYS 4

/* Keys are "user:0" to "user:3". */
unsigned tier_key_number(struct slice key);
void tier_key_name(unsigned number, char out[16]);

void tier_reset(void);
/* The version of a key, from 1 on. */
uint64_t tier_version(unsigned key);
void tier_write(unsigned key);

/* Fetches that were sent and not executed, and those executed and not answered. */
unsigned tier_sent(void);
unsigned tier_executed(void);
/* One of them, counted from the oldest. */
void tier_execute(unsigned nth);
void tier_answer(unsigned nth);
void tier_fail(unsigned nth);

#endif
