/* balance.h - which of several endpoints gets a request.
 *
 * Round robin is nginx's smooth weighted one (each turn, weights are added to all
 * and their sum is taken from the winner: a, a, b, a and not a, a, a, b). Least connections: the
 * fewest requests in flight by weight. Two choices: the better one of two drawn
 * at random (M. Mitzenmacher, "The Power of Two Choices in Randomized Load
 * Balancing", 2001), which many sidecars can do side by side without all of them running to
 * the same endpoint. Panic is Envoy's: where too few are usable, health is
 * taken for wrong, since what is left would only fall next.
 *
 * Pure: randomness is an argument, nothing is allocated, the caller locks. Sets of
 * endpoints are bit masks: bit i is endpoint i. */
#ifndef PANNIER_RESIL_BALANCE_H
#define PANNIER_RESIL_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

#define BALANCE_MAX 64          /* endpoints */
#define BALANCE_WEIGHT_MAX 1000
#define BALANCE_NONE (-1)

enum balance_kind {
	BALANCE_ROUND_ROBIN,
	BALANCE_LEAST_CONNECTIONS,
	BALANCE_TWO_CHOICES,
};

struct balance {
	enum balance_kind kind;
	uint32_t n;
	uint32_t panic_pct;
	uint32_t weight[BALANCE_MAX];   /* configured */
	uint32_t ramp_pct[BALANCE_MAX]; /* of it, while it starts slowly: 1 to 100 */
	int64_t turn[BALANCE_MAX];      /* of round robin */
	uint32_t in_flight[BALANCE_MAX];
	uint64_t panics;                /* picks made in panic */
};

/* All of weight 1. n: 1 to BALANCE_MAX. panic_pct: 0 (never) to 100; 50 is Envoy's.
 * 0 or -EINVAL. */
int balance_init(struct balance *b, enum balance_kind kind, uint32_t n, uint32_t panic_pct)
    MUST_CHECK;
/* 1 to BALANCE_WEIGHT_MAX; others are brought within. */
void balance_weight(struct balance *b, uint32_t i, uint32_t weight);
/* health_ramp_pct(): brought within 1 to 100. */
void balance_ramp(struct balance *b, uint32_t i, uint32_t pct);

/* One that is usable and was not tried; where fewer than panic_pct of all are
 * usable, one that was not tried. BALANCE_NONE: there is none left (with tried 0
 * and panic_pct above 0 there always is). The pick is counted in flight and owes
 * a balance_done(). Bits from n on are ignored. */
int balance_pick(struct balance *b, uint64_t usable, uint64_t tried, uint64_t random);
void balance_done(struct balance *b, uint32_t i);
/* Would a pick be made in panic? For statistics. */
bool balance_is_panic(const struct balance *b, uint64_t usable);

#endif
