/* window.h - what was counted within the last so many microseconds: a ring of
 * ten buckets, so a count is forgotten after nine to ten tenths of the window.
 * Pure: the clock is an argument; the caller locks. */
#ifndef PANNIER_RESIL_WINDOW_H
#define PANNIER_RESIL_WINDOW_H

#include <stdint.h>

#define WINDOW_BUCKETS 10
#define WINDOW_KINDS 3 /* what is counted is the user's enum, 0 to 2 */

struct window {
	int64_t bucket_us;
	int64_t start_us; /* of the newest bucket */
	unsigned newest;
	int64_t sum[WINDOW_KINDS];
	int64_t bucket[WINDOW_BUCKETS][WINDOW_KINDS];
};

/* Empty. length_us: rounded up to ten microseconds. */
void window_init(struct window *w, int64_t length_us, int64_t now_us);
/* A time before the newest bucket counts as in it. */
void window_add(struct window *w, unsigned kind, int64_t n, int64_t now_us);
/* Takes back the last one that was counted; none where all are forgotten. */
void window_undo(struct window *w, unsigned kind, int64_t now_us);
int64_t window_sum(struct window *w, unsigned kind, int64_t now_us);
/* Likewise, of a state that must not change: statistics. */
int64_t window_peek(const struct window *w, unsigned kind, int64_t now_us);

#endif
