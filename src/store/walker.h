/* walker.h - the walks of invalidate.c, for the rest of the store. */
#ifndef PANNIER_STORE_WALKER_H
#define PANNIER_STORE_WALKER_H

#include "base/buf.h"
#include "base/list.h"
#include "base/lock.h"
#include "net/loop.h"
#include "store/pattern.h"

struct meta;
struct store_loop;

#define RECENT_TAGS 1024

/* The tags that were invalidated last, for fetches under way: which tags a value has is
 * known only when it lands. */
struct recent_tags {
	struct lock lock; /* may be taken under a stripe; nothing is locked under it */
	uint64_t n;       /* ever */
	uint32_t tags[RECENT_TAGS];
};

struct walker {
	/* Under the lock, which is held for the lists alone, with no other inside: */
	struct lock lock;
	struct list next;       /* requests for the next walk */
	uint32_t n_names;       /* of all requests, */
	size_t bytes;           /* likewise */
	struct store_loop *by;  /* who walks; NULL: nobody */
	/* Of the loop that walks: */
	struct timer timer;
	struct list now;        /* requests of this walk */
	struct pattern_set set; /* all NULL: none has begun */
	unsigned stripe;        /* the next to look at */
	uint64_t cursor;        /* of the cache */
	struct buf keys;
	uint64_t visits;        /* keys opened, ever */
	uint64_t walks;         /* begun, ever */
	struct recent_tags recent;
};

void walker_init(struct walker *w);
void walker_fini(struct walker *w); /* forgets requests that wait */
/* The loop ends. */
void walker_leave(struct walker *w, struct store_loop *sl);
/* A fetch begins: what to ask by when it lands. */
uint64_t walker_tags_mark(struct walker *w);
/* Under the stripe of the key that it is about to be stored for: whether one of its tags
 * was invalidated since, or may have been. */
bool walker_tags_since(struct walker *w, uint64_t mark, const struct meta *m);
/* A little further, on the loop that walks: how many ms until it may go on, or -1 where
 * there is nothing left to do. */
int64_t walker_step(struct walker *w);

#endif
