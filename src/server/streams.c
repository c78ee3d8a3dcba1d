#include "config.h"

#include "server/streams.h"

#include <errno.h>

#include "base/clock.h"
#include "base/mem.h"
#include "origin/stream_format.h"
#include "server/server.h"
#include "store/invalidate.h"

#define TURN_US 300      /* of keys, in one turn of the loop */
#define PATIENCE_MS 10   /* until what was refused is tried again */
#define PREFIX_MOST 4096 /* a longer one is cut: that takes more, and never less */

/* One stream's batch. All but `stream` belongs to the loop. */
struct feed {
	struct stream *stream;
	struct server_loop *sl;
	struct loop_task task;    /* there is a batch */
	struct timer again;
	struct slice rest;        /* changes still to look at */
	bool has_gap;             /* still to be done */
	struct invalidation *open[2]; /* hard and soft, still being filled */
	struct invalidation *walking[2];
	bool ended;
};

struct streams {
	struct server *server;
	struct routes *routes; /* holds the configuration */
	unsigned n;
	struct feed feeds[];
};

static void feed_step(struct feed *f);

/* --- prefixes and tags ------------------------------------------------------------ */

static int
add(struct feed *f, bool soft, enum invalidate_by by, struct slice name)
{
	if (f->open[soft] == NULL)
		f->open[soft] = invalidation_new(f->sl->store, soft);
	if (f->open[soft] == NULL)
		return -ENOMEM;
	if (by == INVALIDATE_PREFIX)
		name.len = MIN(name.len, PREFIX_MOST);
	return invalidation_add(f->open[soft], by, name);
}

static void
walk_ended(struct feed *f, bool soft)
{
	f->walking[soft] = NULL;
	if (f->walking[!soft] == NULL)
		feed_step(f);
}

static void
hard_walk_ended(void *arg, uint64_t keys)
{
	(void)keys;
	walk_ended(arg, false);
}

static void
soft_walk_ended(void *arg, uint64_t keys)
{
	(void)keys;
	walk_ended(arg, true);
}

/* False: one is refused for now. */
static bool
start_walks(struct feed *f)
{
	for (int soft = 0; soft <= 1; soft++) {
		if (f->open[soft] == NULL)
			continue;
		if (invalidation_start(f->open[soft], soft ? soft_walk_ended : hard_walk_ended,
		    f) != 0)
			return false;
		f->walking[soft] = f->open[soft];
		f->open[soft] = NULL;
	}
	return true;
}

/* --- a batch ------------------------------------------------------------------------ */

static int
do_gap(struct feed *f)
{
	const struct config_stream *cfg = stream_config(f->stream);
	bool soft = cfg->on_gap == GAP_SOFTEN;
	int rc = 0;

	if (cfg->on_gap == GAP_IGNORE)
		return 0;
	if (cfg->n_gap_prefixes == 0)
		return add(f, soft, INVALIDATE_PREFIX, SLICE(""));
	for (unsigned i = 0; i < cfg->n_gap_prefixes && rc == 0; i++)
		rc = add(f, soft, INVALIDATE_PREFIX, slice_str(cfg->gap_prefixes[i]));
	return rc;
}

static int
do_change(struct feed *f, const struct stream_change *c)
{
	switch (c->by) {
	case STREAM_PREFIX:
		return add(f, c->soft, INVALIDATE_PREFIX, c->name);
	case STREAM_TAG:
		return add(f, c->soft, INVALIDATE_TAG, c->name);
	default:
		store_invalidate(f->sl->store, c->name, c->soft);
		return 0;
	}
}

/* 0: all are done or in f->open; -EAGAIN: there is more, but others want their turn;
 * -E2BIG: f->open is full; -ENOMEM. */
static int
do_changes(struct feed *f)
{
	int64_t end_us = clock_mono_us() + TURN_US;
	struct stream_change c;
	int rc = 0;

	if (f->has_gap)
		rc = do_gap(f);
	if (rc == 0)
		f->has_gap = false;
	while (rc == 0) {
		struct slice after = f->rest;

		if (!stream_format_next(&after, &c))
			return 0;
		rc = do_change(f, &c);
		if (rc == 0)
			f->rest = after;
		if (rc == 0 && clock_mono_us() > end_us)
			rc = -EAGAIN;
	}
	return rc;
}

/* What is refused is tried again, as long as it takes: nothing of a stream is dropped. */
static void
feed_step(struct feed *f)
{
	int rc;

	if (f->ended)
		return;
	store_loop_set_now(f->sl->store, loop_now_ms(f->sl->loop));
	rc = do_changes(f);
	if (rc == -EAGAIN || rc == -ENOMEM || !start_walks(f)) {
		timer_start(&f->again, rc == -EAGAIN ? 0 : PATIENCE_MS);
		return;
	}
	if (f->walking[0] == NULL && f->walking[1] == NULL)
		stream_applied(f->stream);
}

static void
feed_again(struct timer *t)
{
	struct feed *f = container_of(t, struct feed, again);

	/* One walk may have begun before the other was refused. */
	if (f->walking[0] == NULL && f->walking[1] == NULL)
		feed_step(f);
}

static void
feed_begin(struct loop *l, struct loop_task *t)
{
	struct feed *f = container_of(t, struct feed, task);

	(void)l;
	if (f->ended)
		return;
	f->rest = stream_changes(f->stream);
	f->has_gap = stream_has_gap(f->stream);
	feed_step(f);
}

/* On the stream's thread. */
static void
on_batch(void *arg, struct stream *s)
{
	struct feed *f = arg;

	(void)s;
	loop_post(f->sl->loop, &f->task);
}

/* --- all of them ---------------------------------------------------------------------- */

int
streams_new(struct server *s, struct streams **out, char *err, size_t err_size)
{
	const struct config *cfg = routes_config(s->routes);
	struct streams *all = mem_zalloc(sizeof *all + cfg->n_streams * sizeof all->feeds[0]);
	int rc = 0;

	if (all == NULL)
		return -ENOMEM;
	all->server = s;
	all->routes = routes_ref(s->routes);
	for (unsigned i = 0; i < cfg->n_streams && rc == 0; i++) {
		struct feed *f = &all->feeds[i];
		const struct stream_sink sink = { .apply = on_batch, .arg = f };

		rc = stream_new(&cfg->streams[i], &sink, &f->stream, err, err_size);
		all->n += rc == 0;
	}
	if (rc != 0) {
		streams_free(all);
		return rc;
	}
	*out = all;
	return 0;
}

int
streams_start(struct streams *all)
{
	int rc = 0;

	for (unsigned i = 0; i < all->n && rc == 0; i++) {
		struct feed *f = &all->feeds[i];

		f->sl = &all->server->loops[0];
		f->task.run = feed_begin;
		f->ended = false;
		timer_init(&f->again, f->sl->loop, feed_again);
		rc = stream_start(f->stream);
	}
	return rc;
}

static void
feed_stop(struct feed *f)
{
	stream_stop(f->stream);
	f->ended = true;
	timer_stop(&f->again);
	for (int soft = 0; soft <= 1; soft++) {
		if (f->walking[soft] != NULL)
			invalidation_leave(f->walking[soft]);
		invalidation_free(f->open[soft]);
		f->walking[soft] = f->open[soft] = NULL;
	}
}

void
streams_stop(struct streams *all)
{
	for (unsigned i = 0; i < all->n; i++)
		if (all->feeds[i].sl != NULL)
			feed_stop(&all->feeds[i]);
}

void
streams_free(struct streams *all)
{
	if (all == NULL)
		return;
	for (unsigned i = 0; i < all->n; i++)
		stream_free(all->feeds[i].stream);
	routes_unref(all->routes);
	mem_free(all);
}

unsigned
streams_count(const struct streams *all)
{
	return all->n;
}

const struct stream *
streams_get(const struct streams *all, unsigned i)
{
	return all->feeds[i].stream;
}
