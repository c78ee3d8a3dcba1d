#include "config.h"

#include "stats/sim.h"

#include <stddef.h>

#include "base/util.h"

/* S3-FIFO */
enum { SMALL, MAIN };
#define SMALL_USES_MAX 2
#define MAIN_USES_MAX 3
#define SMALL_SHARE_OF_BYTES 25
/* W-TinyLFU */
enum { WINDOW, PROBATION, PROTECTED };
#define WINDOW_SHARE 100
#define PROTECTED_OF_TEN 8
#define SAMPLE_TIMES 20
#define SAMPLE_ENTRIES_MIN 64
#define USES_DOOR 16u /* it has been used once */
#define USES_MASK 15u /* and so often since */
/* Entries that one call may move; then the next one goes whatever it did. */
#define MOVES_MAX 64

/* --- queues ------------------------------------------------------------------------- */

static struct sim_link *
link_of(const struct sim *s, uint16_t key)
{
	return &s->keys[key].links[s->index];
}

static bool
is_there(const struct sim *s, uint16_t key)
{
	return link_of(s, key)->where >= SIM_QUEUE;
}

static unsigned
queue_of(const struct sim *s, uint16_t key)
{
	return link_of(s, key)->where - SIM_QUEUE;
}

static uint64_t
all_bytes(const struct sim *s)
{
	return s->queues[0].bytes + s->queues[1].bytes + s->queues[2].bytes;
}

static void
push(struct sim *s, unsigned queue, uint16_t key)
{
	struct sim_queue *q = &s->queues[queue];
	struct sim_link *l = link_of(s, key);

	l->where = (uint8_t)(SIM_QUEUE + queue);
	l->newer = 0;
	l->older = q->newest;
	if (q->newest != 0)
		link_of(s, q->newest)->newer = key;
	else
		q->oldest = key;
	q->newest = key;
	q->bytes += s->keys[key].bytes;
}

static void
take_out(struct sim *s, uint16_t key)
{
	struct sim_queue *q = &s->queues[queue_of(s, key)];
	const struct sim_link *l = link_of(s, key);

	if (l->newer != 0)
		link_of(s, l->newer)->older = l->older;
	else
		q->newest = l->older;
	if (l->older != 0)
		link_of(s, l->older)->newer = l->newer;
	else
		q->oldest = l->newer;
	q->bytes -= s->keys[key].bytes;
}

static void
move(struct sim *s, unsigned to, uint16_t key)
{
	take_out(s, key);
	push(s, to, key);
}

/* --- S3-FIFO -------------------------------------------------------------------------- */

/* As many of those that left last are remembered as there are entries. */
static bool
is_ghost(const struct sim *s, uint16_t key)
{
	const struct sim_link *l = link_of(s, key);

	return l->where == SIM_GHOST && (uint16_t)(s->evicted - l->newer) < MAX(s->count, 8);
}

static void
s3fifo_use(const struct sim *s, uint16_t key)
{
	struct sim_link *l = link_of(s, key);

	if (l->uses < (queue_of(s, key) == MAIN ? MAIN_USES_MAX : SMALL_USES_MAX))
		l->uses++;
}

static uint16_t
s3fifo_end(const struct sim *s)
{
	const struct sim_queue *small = &s->queues[SMALL], *main_queue = &s->queues[MAIN];
	bool over = small->bytes * SMALL_SHARE_OF_BYTES > small->bytes + main_queue->bytes;

	if (small->oldest != 0 && (main_queue->oldest == 0 || over))
		return small->oldest;
	return main_queue->oldest;
}

static uint16_t
s3fifo_victim(struct sim *s)
{
	for (int i = 0; i < MOVES_MAX; i++) {
		uint16_t key = s3fifo_end(s);
		struct sim_link *l = link_of(s, key);

		if (key == 0 || l->uses == 0)
			return key;
		l->uses = (uint8_t)(queue_of(s, key) == MAIN ? l->uses - 1 : 0);
		move(s, MAIN, key);
	}
	return s3fifo_end(s);
}

/* --- W-TinyLFU ------------------------------------------------------------------------ */

/* Key by key, as uses come in: all have been halved once when so many uses as are a
 * multiple of the entries were counted. */
static void
age(struct sim *s)
{
	uint64_t sample = SAMPLE_TIMES * MAX(s->count, SAMPLE_ENTRIES_MIN);

	s->counted += s->n_keys;
	for (; s->counted >= sample; s->counted -= sample) {
		struct sim_link *l;

		s->hand = s->hand % s->n_keys + 1;
		l = link_of(s, (uint16_t)s->hand);
		l->uses = (uint8_t)((l->uses & USES_MASK) >> 1);
	}
}

static void
count_use(struct sim *s, uint16_t key)
{
	struct sim_link *l = link_of(s, key);

	if (!(l->uses & USES_DOOR))
		l->uses |= USES_DOOR;
	else if ((l->uses & USES_MASK) != USES_MASK)
		l->uses++;
	age(s);
}

static unsigned
frequency(const struct sim *s, uint16_t key)
{
	unsigned uses = link_of(s, key)->uses;

	return (uses & USES_MASK) + !!(uses & USES_DOOR);
}

static void
tinylfu_use(struct sim *s, uint16_t key)
{
	unsigned queue = queue_of(s, key);
	struct sim_queue *kept = &s->queues[PROTECTED];

	count_use(s, key);
	move(s, queue == PROBATION ? PROTECTED : queue, key);
	for (int i = 0; i < 4 && queue == PROBATION; i++) {
		uint64_t most = (s->queues[PROBATION].bytes + kept->bytes) / 10 * PROTECTED_OF_TEN;

		if (kept->bytes <= most || kept->oldest == key)
			return;
		move(s, PROBATION, kept->oldest);
	}
}

/* Right after the cache has become full nearly all of it is window. */
static void
spread_window(struct sim *s)
{
	const struct sim_queue *window = &s->queues[WINDOW];

	for (int i = 0; i < MOVES_MAX; i++) {
		if (window->oldest == 0 || window->bytes <= all_bytes(s) / 10)
			return;
		move(s, PROBATION, window->oldest);
	}
}

static uint16_t
tinylfu_victim(struct sim *s)
{
	uint16_t candidate, other;

	spread_window(s);
	candidate = s->queues[WINDOW].oldest;
	other = s->queues[PROBATION].oldest;
	if (other == 0)
		other = s->queues[PROTECTED].oldest;
	if (candidate == 0 || other == 0)
		return candidate != 0 ? candidate : other;
	if (s->queues[WINDOW].bytes <= all_bytes(s) / WINDOW_SHARE)
		return other;
	if (frequency(s, candidate) <= frequency(s, other))
		return candidate;
	move(s, PROBATION, candidate);
	return other;
}

/* --- all of them ------------------------------------------------------------------------ */

static void
use(struct sim *s, uint16_t key)
{
	if (s->policy == SIM_S3FIFO)
		s3fifo_use(s, key);
	else if (s->policy == SIM_TINYLFU)
		tinylfu_use(s, key);
	else
		move(s, 0, key);
}

static void
insert(struct sim *s, uint16_t key)
{
	struct sim_link *l = link_of(s, key);
	unsigned queue = s->policy == SIM_S3FIFO && is_ghost(s, key) ? MAIN : 0;

	if (s->policy == SIM_TINYLFU)
		count_use(s, key);
	else
		l->uses = 0;
	push(s, queue, key);
	s->keys[key].held++;
	s->count++;
}

static void
take_away(struct sim *s, uint16_t key, enum sim_where where)
{
	take_out(s, key);
	link_of(s, key)->where = (uint8_t)where;
	s->keys[key].held--;
	s->count--;
}

void
sim_fit(struct sim *s)
{
	while (all_bytes(s) > s->capacity) {
		uint16_t key;

		if (s->policy == SIM_S3FIFO)
			key = s3fifo_victim(s);
		else if (s->policy == SIM_TINYLFU)
			key = tinylfu_victim(s);
		else
			key = s->queues[0].oldest;
		take_away(s, key, SIM_GHOST);
		link_of(s, key)->newer = s->evicted++;
		s->has_evicted = true;
	}
}

bool
sim_read(struct sim *s, uint16_t key)
{
	if (!is_there(s, key))
		return false;
	use(s, key);
	return true;
}

void
sim_put(struct sim *s, uint16_t key, bool is_use)
{
	if (!is_there(s, key))
		insert(s, key);
	else if (is_use)
		use(s, key);
	sim_fit(s);
}

void
sim_resized(struct sim *s, uint16_t key, int64_t by)
{
	if (is_there(s, key))
		s->queues[queue_of(s, key)].bytes += (uint64_t)by;
}

void
sim_drop(struct sim *s, uint16_t key)
{
	if (is_there(s, key))
		take_away(s, key, SIM_ABSENT);
	else
		link_of(s, key)->where = SIM_ABSENT;
}

void
sim_clear(struct sim *s)
{
	for (unsigned i = 0; i < SIM_QUEUES; i++)
		s->queues[i] = (struct sim_queue){ .bytes = 0 };
	s->count = 0;
}
