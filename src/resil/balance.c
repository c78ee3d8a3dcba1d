#include "config.h"

#include "resil/balance.h"

#include <errno.h>

#include "base/draw.h"

int
balance_init(struct balance *b, enum balance_kind kind, uint32_t n, uint32_t panic_pct)
{
	if (n < 1 || n > BALANCE_MAX || panic_pct > 100 || kind > BALANCE_TWO_CHOICES)
		return -EINVAL;
	*b = (struct balance){ .kind = kind, .n = n, .panic_pct = panic_pct };
	for (uint32_t i = 0; i < n; i++) {
		b->weight[i] = 1;
		b->ramp_pct[i] = 100;
	}
	return 0;
}

void
balance_weight(struct balance *b, uint32_t i, uint32_t weight)
{
	b->weight[i] = MIN(MAX(weight, 1), BALANCE_WEIGHT_MAX);
}

void
balance_ramp(struct balance *b, uint32_t i, uint32_t pct)
{
	b->ramp_pct[i] = MIN(MAX(pct, 1), 100);
}

static uint64_t
mask_of(uint32_t n)
{
	return UINT64_MAX >> (64 - n);
}

bool
balance_is_panic(const struct balance *b, uint64_t usable)
{
	uint32_t n = (uint32_t)__builtin_popcountll(usable & mask_of(b->n));

	return n * 100 < b->panic_pct * b->n;
}

/* 1 to 100,000 */
static int64_t
share(const struct balance *b, unsigned i)
{
	return (int64_t)b->weight[i] * b->ramp_pct[i];
}

/* Takes the lowest bit out of a set that is not empty. */
static unsigned
take_lowest(uint64_t *set)
{
	unsigned i = (unsigned)__builtin_ctzll(*set);

	*set &= *set - 1;
	return i;
}

static unsigned
round_robin(struct balance *b, uint64_t from)
{
	int64_t total = 0;
	unsigned best = (unsigned)__builtin_ctzll(from);

	while (from != 0) {
		unsigned i = take_lowest(&from);

		b->turn[i] += share(b, i);
		total += share(b, i);
		if (b->turn[i] > b->turn[best])
			best = i;
	}
	b->turn[best] -= total;
	return best;
}

/* By chance, as their weights are. */
static unsigned
draw_one(const struct balance *b, uint64_t from, uint64_t random)
{
	int64_t total = 0, at;
	unsigned i = 0;

	for (uint64_t set = from; set != 0;)
		total += share(b, take_lowest(&set));
	at = (int64_t)draw_below(random, (uint64_t)total);
	do {
		i = take_lowest(&from);
		at -= share(b, i);
	} while (at >= 0);
	return i;
}

/* Below 0: i would be the less loaded of the two with one more request. */
static int64_t
compare(const struct balance *b, unsigned i, unsigned j)
{
	return ((int64_t)b->in_flight[i] + 1) * share(b, j) -
	    ((int64_t)b->in_flight[j] + 1) * share(b, i);
}

/* Among equals by chance, or the first one would get all that comes one at a time. */
static unsigned
least_connections(const struct balance *b, uint64_t from, uint64_t random)
{
	unsigned best = take_lowest(&from);
	uint64_t equals = (uint64_t)1 << best;

	while (from != 0) {
		unsigned i = take_lowest(&from);
		int64_t less = compare(b, i, best);

		if (less < 0)
			equals = 0;
		if (less <= 0) {
			best = i;
			equals |= (uint64_t)1 << i;
		}
	}
	return draw_one(b, equals, random);
}

static unsigned
two_choices(const struct balance *b, uint64_t from, uint64_t random)
{
	unsigned first = draw_one(b, from, random), second;

	from &= ~((uint64_t)1 << first);
	if (from == 0)
		return first;
	second = draw_one(b, from, draw_mix(random));
	return compare(b, second, first) < 0 ? second : first;
}

int
balance_pick(struct balance *b, uint64_t usable, uint64_t tried, uint64_t random)
{
	bool panic = balance_is_panic(b, usable);
	uint64_t from = (panic ? UINT64_MAX : usable) & mask_of(b->n) & ~tried;
	unsigned i;

	if (from == 0)
		return BALANCE_NONE;
	b->panics += panic;
	if (b->kind == BALANCE_ROUND_ROBIN)
		i = round_robin(b, from);
	else if (b->kind == BALANCE_LEAST_CONNECTIONS)
		i = least_connections(b, from, random);
	else
		i = two_choices(b, from, random);
	b->in_flight[i]++;
	return (int)i;
}

void
balance_done(struct balance *b, uint32_t i)
{
	if (b->in_flight[i] > 0)
		b->in_flight[i]--;
}
