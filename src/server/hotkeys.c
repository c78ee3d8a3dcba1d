/* Each loop has counts of what its own clients read. Put together, a key's rates add up; where
 * a loop does not follow it, it may have been read there as often as the least that is
 * followed, which goes to what may be wrong. */
#include "config.h"

#include "server/hotkeys.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "server/metrics.h"
#include "store/hot.h"

/* --- all loops ---------------------------------------------------------------------- */

struct gathering {
	struct hotkeys *to;
	bool (*wants)(void *arg, unsigned ns);
	void *arg;
	int64_t now_ms;
	double least; /* what a key may have that no loop follows */
	unsigned room, n_groups;
};

static void
count_room(struct topk *t, void *arg)
{
	((struct gathering *)arg)->room += topk_counters(t);
}

static void
to_rate(struct topk_item *it, double seconds)
{
	it->reads /= seconds;
	it->over /= seconds;
	it->variance /= seconds * seconds;
}

/* What is taken off each key here all of them get back in the end: so those that are not
 * there have it. */
static void
gather(struct topk *t, void *arg)
{
	struct gathering *g = arg;
	struct topk_item *items = g->to->items + g->to->n;
	double seconds = topk_seconds(t, g->now_ms);
	double least = topk_least(t, g->now_ms) / seconds;
	unsigned n = topk_items(t, g->now_ms, items), kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!g->wants(g->arg, items[i].ns))
			continue;
		to_rate(&items[i], seconds);
		items[i].over -= least;
		items[kept++] = items[i];
	}
	g->to->n += kept;
	g->least += least;
	for (unsigned ns = 0; ns < g->n_groups; ns++) {
		struct topk_sum sum = topk_sum(t, ns, g->now_ms);

		if (!g->wants(g->arg, ns))
			continue;
		g->to->reads_per_second += sum.reads / seconds;
		g->to->sampled += sum.samples;
	}
}

static void
on_all(struct server *s, void (*look)(struct topk *t, void *arg), void *arg)
{
	for (unsigned i = 0; i < s->n_loops; i++)
		store_hot_look(s->loops[i].store, look, arg);
}

/* --- putting together ----------------------------------------------------------------- */

static int
by_hash(const void *a, const void *b)
{
	uint64_t x = ((const struct topk_item *)a)->hash, y = ((const struct topk_item *)b)->hash;

	return x < y ? -1 : x > y;
}

static int
by_reads(const void *a, const void *b)
{
	double x = ((const struct topk_item *)a)->reads, y = ((const struct topk_item *)b)->reads;

	return x > y ? -1 : x < y;
}

static void
merge(struct hotkeys *h, double least)
{
	unsigned n = 0;

	qsort(h->items, h->n, sizeof *h->items, by_hash);
	for (unsigned i = 0; i < h->n; i++) {
		struct topk_item *it = &h->items[i], *last = n > 0 ? &h->items[n - 1] : NULL;

		if (last != NULL && last->hash == it->hash) {
			last->reads += it->reads;
			last->over += it->over;
			last->variance += it->variance;
		} else {
			h->items[n++] = *it;
		}
	}
	h->n = n;
	for (unsigned i = 0; i < n; i++)
		h->items[i].over = MAX(h->items[i].over + least, 0.0);
	qsort(h->items, n, sizeof *h->items, by_reads);
}

int
hotkeys_take(struct server *s, int64_t now_ms, bool (*wants)(void *arg, unsigned ns), void *arg,
    struct hotkeys *out)
{
	struct gathering g = { .to = out, .wants = wants, .arg = arg, .now_ms = now_ms,
		.n_groups = stats_ns_count(s->names) };

	*out = (struct hotkeys){ 0 };
	on_all(s, count_room, &g);
	out->off = g.room == 0;
	if (out->off)
		return 0;
	out->items = mem_calloc(g.room, sizeof *out->items);
	if (out->items == NULL)
		return -ENOMEM;
	on_all(s, gather, &g);
	merge(out, g.least);
	return 0;
}

void
hotkeys_fini(struct hotkeys *h)
{
	mem_free(h->items);
	*h = (struct hotkeys){ 0 };
}

double
hotkeys_error(const struct topk_item *it)
{
	return it->over + 2 * sqrt(it->variance);
}

/* --- one key, and none ------------------------------------------------------------------ */

struct looked_for {
	uint64_t hash;
	int64_t now_ms;
	double reads;
};

static void
add_reads(struct topk *t, void *arg)
{
	struct looked_for *f = arg;

	f->reads += topk_reads(t, f->hash, f->now_ms);
}

double
hotkeys_reads(struct server *s, uint64_t hash, int64_t now_ms)
{
	struct looked_for f = { .hash = hash, .now_ms = now_ms };

	on_all(s, add_reads, &f);
	return f.reads;
}

static void
reset(struct topk *t, void *arg)
{
	topk_reset(t, *(int64_t *)arg);
}

void
hotkeys_reset(struct server *s, int64_t now_ms)
{
	on_all(s, reset, &now_ms);
}

/* --- for readers -------------------------------------------------------------------------- */

struct slice
hotkeys_name(const struct topk_item *it, char text[HOTKEYS_KEY_MAX])
{
	size_t len = MIN(it->key_len, TOPK_KEY_BYTES);

	memcpy(text, it->key, len);
	if (it->key_len > TOPK_KEY_BYTES)
		len += (size_t)snprintf(text + len, HOTKEYS_KEY_MAX - len, "... (%u more bytes)",
		    it->key_len - TOPK_KEY_BYTES);
	return slice_of(text, len);
}

static bool
wants_all(void *arg UNUSED, unsigned ns UNUSED)
{
	return true;
}

static void
write_key(struct metrics *m, struct server *s, const struct topk_item *it, double all)
{
	char text[HOTKEYS_KEY_MAX];

	metrics_printf(m, "{\"key\": ");
	metrics_slice(m, hotkeys_name(it, text));
	metrics_printf(m, ", \"namespace\": ");
	metrics_string(m, stats_ns_name(s->names, it->ns));
	metrics_printf(m, ", \"reads_per_second\": %.6g, \"error\": %.6g, \"share\": %.6g}",
	    it->reads, hotkeys_error(it), all > 0 ? it->reads / all : 0);
}

void
hotkeys_json(struct metrics *m, struct server *s)
{
	struct hotkeys h;

	if (m->format != METRICS_JSON || !server_config(&s->loops[0])->admin_keys)
		return;
	if (hotkeys_take(s, loop_now_ms(s->loops[0].loop), wants_all, NULL, &h) != 0) {
		m->failed = true;
		return;
	}
	metrics_member(m, "hot_keys");
	metrics_printf(m, "[");
	for (unsigned i = 0; i < MIN(h.n, HOTKEYS_SHOWN); i++) {
		metrics_printf(m, "%s", i > 0 ? ", " : "");
		write_key(m, s, &h.items[i], h.reads_per_second);
	}
	metrics_printf(m, "]");
	hotkeys_fini(&h);
}
