/* Random interleavings of a shared tier, its channels of invalidations and a near cache:
 * writes, reads, fetches executed and answered in any order, invalidations late, lost or
 * out of order between channels, connections that break or fall silent, flushes, walks
 * half done. The store, the flights, near.c, near_walk.c and redis_track.c are the real
 * ones; the clock, the wires and the tier are played. Each run is told by its seed.
 *
 * Asked of each read: it is no older than any read of that key that was over before it
 * began, nor than what was written through before; and what it says was still right at
 * the bound before it began. At the end all is delivered: then nothing old is left. */
#include "config.h"

#include "unit/suite.h"

#include <stdio.h>
#include <string.h>

#include "base/draw.h"
#include "base/parse.h"
#include "origin/redis_track.h"
#include "store/near_walk.h"
#include "unit/store/fake_tier.h"
#include "unit/store/fixture.h"

#define NODES 2        /* key k is on node k % NODES */
#define STEPS 400
#define READERS 16
#define QUEUE 512
#define VERSIONS 512
#define PING_INTERVAL 100
#define PING_TIMEOUT 60
#define UNVERIFIED_MAX 600
#define ADVANCE_MAX 30
/* The last proof may be as old as interval and twice the timeout while the channel lives. */
#define BOUND (MAX(UNVERIFIED_MAX, PING_INTERVAL + 2 * PING_TIMEOUT) + 2 * ADVANCE_MAX)

/* What must make the model find something. */
enum sabotage {
	HONEST,
	NO_PLACEHOLDER, /* an invalidation does not look for flights */
	NO_EPOCH,       /* what was fetched without a channel counts as verified */
	NO_WALK,        /* a loss makes nothing stale */
	NO_PING,        /* a silent channel is not noticed */
	NO_TURNS,       /* two fetches of a key may run side by side */
	SABOTAGES,
};

enum message { M_KEY, M_ALL, M_TRACKED, M_PONG };

struct node {
	struct track track;
	bool connected, silent; /* as the client sees it; nothing passes any more */
	bool cut;               /* the server has closed; what is queued may still come */
	bool tracking;          /* the server's side */
	struct { enum message what; unsigned key; } to_client[QUEUE];
	unsigned head, tail;
	enum message to_server[QUEUE]; /* M_TRACKED and M_PONG, asked for */
	unsigned s_head, s_tail;
	int64_t asked_ms;
};

struct reader {
	struct store_waiter w;
	bool waits;
	unsigned key, loop;
	int64_t begun_ms;
	uint64_t floor;
};

struct model {
	uint64_t seed;
	struct draw draw;
	enum sabotage sabotage;
	struct near *near;
	struct near_walk walk;
	bool verified;
	struct node nodes[NODES];
	struct reader readers[READERS];
	uint64_t seen[TIER_KEYS];                    /* newest that a finished read saw */
	int64_t written_ms[TIER_KEYS][VERSIONS];     /* when a version came */
	int64_t walk_since_ms;
	char wrong[256];
	unsigned hits, verified_hits, stale_hits;
};

static struct model *m;
static int64_t now_ms;

static const char text[] =
    "namespaces:\n"
    "  - prefix: \"user:\"\n"
    "    origin: tier\n"
    "    path: /{rest}\n"
    "origins:\n"
    "  tier:\n"
    "    http:\n"
    "      endpoints: [\"http://127.0.0.1:1\"]\n"
    "    deadline: 1h\n";

int64_t __wrap_loop_now_ms(const struct loop *l);
int64_t
__wrap_loop_now_ms(const struct loop *l)
{
	(void)l;
	return now_ms;
}

static uint64_t
below(uint64_t n)
{
	return draw_below(draw_next(&m->draw), n);
}

static void
wrong(const char *what, const struct reader *r, uint64_t version)
{
	if (m->wrong[0] == '\0')
		snprintf(m->wrong, sizeof m->wrong, "seed %llu: key %u at %lld: %s: version %llu, "
		    "floor %llu, now %llu", (unsigned long long)m->seed, r->key, (long long)now_ms,
		    what, (unsigned long long)version, (unsigned long long)r->floor,
		    (unsigned long long)tier_version(r->key));
}

/* --- the tier ---------------------------------------------------------------------- */

static void
push(struct node *n, enum message what, unsigned key)
{
	if (n->silent || n->cut || n->tail == QUEUE)
		return;
	n->to_client[n->tail].what = what;
	n->to_client[n->tail++].key = key;
}

static void
write_key(unsigned key, bool tell)
{
	struct node *n = &m->nodes[key % NODES];

	if (tier_version(key) + 1 >= VERSIONS)
		return;
	tier_write(key);
	m->written_ms[key][tier_version(key)] = now_ms;
	if (tell && n->tracking)
		push(n, M_KEY, key);
}

static void
flush_node(unsigned i)
{
	for (unsigned key = i; key < TIER_KEYS; key += NODES)
		write_key(key, false);
	if (m->nodes[i].tracking)
		push(&m->nodes[i], M_ALL, 0);
}

static void
serve_channel(struct node *n)
{
	enum message asked;

	if (n->s_head == n->s_tail || n->silent || n->cut)
		return;
	asked = n->to_server[n->s_head++];
	if (asked == M_TRACKED)
		n->tracking = true;
	push(n, asked, 0);
}

/* --- the channel's client: what src/store does with what it hears -------------------- */

static bool
all_live(void)
{
	for (unsigned i = 0; i < NODES; i++)
		if (m->nodes[i].track.state != TRACK_LIVE)
			return false;
	return true;
}

static void
ask(struct node *n, enum message what)
{
	if (n->s_tail < QUEUE)
		n->to_server[n->s_tail++] = what;
}

static void
lost(struct node *n)
{
	struct near_loss loss;
	int64_t proof_ms = n->track.proof_ms;

	n->connected = n->tracking = n->cut = n->silent = false;
	n->head = n->tail = n->s_head = n->s_tail = 0;
	if (!track_down(&n->track, now_ms, draw_next(&m->draw)))
		return;
	if (!near_lost(m->near, proof_ms, now_ms, &loss) || m->sabotage == NO_WALK)
		return;
	near_walk_soften(&m->walk, &loss);
	m->walk_since_ms = now_ms;
}

static void
verified(void)
{
	struct near_loss back;

	if (!near_verified(m->near, now_ms, &back))
		return;
	near_walk_soften(&m->walk, &back);
	m->walk_since_ms = now_ms;
}

static void
step_channel(struct node *n)
{
	for (;;) {
		switch (track_step(&n->track, now_ms)) {
		case TRACK_WAIT:
			return;
		case TRACK_OPEN:
			n->connected = true;
			n->asked_ms = now_ms;
			ask(n, M_TRACKED);
			break;
		case TRACK_PING:
			ask(n, M_PONG);
			if (m->sabotage == NO_PING)
				n->track.due_ms = now_ms + 1000000;
			break;
		case TRACK_CLOSE:
			lost(n);
			break;
		}
	}
}

static void
invalidate(unsigned key)
{
	char name[16];
	struct cache_cursor cur;

	tier_key_name(key, name);
	if (m->sabotage != NO_PLACEHOLDER) {
		near_invalidate(sl[0], 0, slice_str(name));
		return;
	}
	cache_open(store_cache(store), &sl[0]->thread, slice_str(name),
	    store_hash(sl[0], slice_str(name)), 0, &cur);
	cache_remove(&cur);
	cache_close(&cur);
}

static void
hear(struct node *n)
{
	unsigned i = n->head;

	if (n->head == n->tail || n->silent)
		return;
	n->head++;
	switch (n->to_client[i].what) {
	case M_KEY:
		invalidate(n->to_client[i].key);
		break;
	case M_ALL:
		near_walk_drop(&m->walk, sl[0]);
		m->walk_since_ms = now_ms;
		break;
	case M_TRACKED:
		track_live(&n->track, n->asked_ms, now_ms);
		if (all_live() || m->sabotage == NO_EPOCH)
			verified();
		break;
	case M_PONG:
		track_pong(&n->track, now_ms);
		break;
	}
}

/* The end of the stream comes behind what is still heard of it. */
static void
hear_end(struct node *n)
{
	if (n->cut && n->connected && (n->head == n->tail || below(3) == 0))
		lost(n);
}

static void
advance(int64_t by_ms)
{
	now_ms += by_ms;
	for (unsigned i = 0; i < LOOPS; i++)
		store_loop_set_now(sl[i], now_ms);
	for (unsigned i = 0; i < NODES; i++)
		step_channel(&m->nodes[i]);
	/* A walk takes its time, but not without end. */
	if (now_ms > m->walk_since_ms + ADVANCE_MAX)
		while (near_walk_step(&m->walk, sl[0]))
			continue;
}

/* --- clients ---------------------------------------------------------------------------- */

static uint64_t
version_of(struct slice value)
{
	int64_t v = 0;

	ck_assert_int_eq(parse_i64(value, &v), 0);
	return (uint64_t)v;
}

static void
check(struct reader *r, uint64_t version)
{
	if (version < r->floor)
		wrong("older than a read before", r, version);
	if (version < tier_version(r->key) &&
	    m->written_ms[r->key][version + 1] < r->begun_ms - BOUND)
		wrong("staler than the bound", r, version);
	m->seen[r->key] = MAX(m->seen[r->key], version);
}

static void look(struct reader *r);

static void
on_done(struct store_waiter *w)
{
	struct reader *r = container_of(w, struct reader, w);

	r->waits = false;
	if (w->status == FILL_AGAIN)
		look(r);
	else if (w->status == FILL_VALUE)
		check(r, version_of(blob_slice(w->value)));
}

static void
look(struct reader *r)
{
	struct store_cursor cur;
	enum store_answer a;
	char name[16];

	tier_key_name(r->key, name);
	a = store_get(sl[r->loop], slice_str(name), &cur, &r->w);
	switch (a) {
	case STORE_HIT:
	case STORE_STALE:
		m->hits += a == STORE_HIT;
		m->stale_hits += a == STORE_STALE;
		m->verified_hits += a == STORE_HIT && near_is_verified(m->near);
		check(r, version_of(cur.c.value));
		store_close(&cur);
		break;
	case STORE_WAITING:
		r->waits = true;
		if (m->sabotage == NO_TURNS)
			r->w.pending->in_turn = false;
		break;
	default:
		break;
	}
}

static void
read_key(struct reader *r, unsigned loop, unsigned key)
{
	memset(r, 0, sizeof *r);
	r->key = key;
	r->loop = loop;
	r->begun_ms = now_ms;
	r->floor = m->seen[key];
	r->w.done = on_done;
	look(r);
}

static void
read_some(void)
{
	for (unsigned i = 0; i < READERS; i++) {
		if (!m->readers[i].waits) {
			read_key(&m->readers[i], (unsigned)below(LOOPS), (unsigned)below(TIER_KEYS));
			return;
		}
	}
}

/* Through this sidecar: the tier first, then what is here goes, then the client hears. */
static void
write_through(unsigned key)
{
	char name[16];

	tier_key_name(key, name);
	write_key(key, true);
	store_delete(sl[below(LOOPS)], slice_str(name));
	m->seen[key] = MAX(m->seen[key], tier_version(key));
}

/* --- the play --------------------------------------------------------------------------------- */

static void
fetch_step(unsigned what)
{
	if (what < 4 && tier_sent() > 0)
		tier_execute((unsigned)below(tier_sent()));
	else if (what < 9 && tier_executed() > 0)
		tier_answer((unsigned)below(tier_executed()));
	else if (what == 9 && tier_sent() > 0 && below(4) == 0)
		tier_fail((unsigned)below(tier_sent()));
}

static void
wire_step(struct node *n, unsigned what)
{
	if (what < 4)
		serve_channel(n);
	else if (what < 8)
		hear(n);
	else if (what == 8 && below(12) == 0 && n->connected)
		n->cut = true;
	else if (what == 9 && below(12) == 0 && n->connected)
		n->silent = true;
	hear_end(n);
}

static void
play_step(void)
{
	unsigned dice = (unsigned)below(100);

	if (dice < 25)
		read_some();
	else if (dice < 35)
		write_key((unsigned)below(TIER_KEYS), true);
	else if (dice < 37)
		write_through((unsigned)below(TIER_KEYS));
	else if (dice < 38)
		flush_node((unsigned)below(NODES));
	else if (dice < 60)
		fetch_step((unsigned)below(10));
	else if (dice < 82)
		wire_step(&m->nodes[below(NODES)], (unsigned)below(10));
	else if (dice < 88)
		near_walk_step(&m->walk, sl[0]);
	else if (dice < 92)
		loop_run_tasks(loops[below(LOOPS)]);
	else
		advance((int64_t)below(ADVANCE_MAX));
}

static void
deliver_all(void)
{
	for (unsigned round = 0; round < 400; round++) {
		while (tier_sent() > 0)
			tier_execute(0);
		while (tier_executed() > 0)
			tier_answer(0);
		for (unsigned i = 0; i < NODES; i++) {
			serve_channel(&m->nodes[i]);
			hear(&m->nodes[i]);
			hear_end(&m->nodes[i]);
		}
		for (unsigned i = 0; i < LOOPS; i++)
			loop_run_tasks(loops[i]);
		advance(10);
	}
}

/* Long after the last write: what is read must be the last. */
static void
check_end(void)
{
	deliver_all();
	for (unsigned key = 0; key < TIER_KEYS; key++) {
		struct reader r;

		read_key(&r, 0, key);
		while (r.waits) {
			tier_execute(0);
			tier_answer(0);
		}
		if (m->seen[key] != tier_version(key))
			wrong("old at the end", &r, m->seen[key]);
		read_key(&r, 1, key);
		if (r.waits)
			wrong("not kept at the end", &r, 0);
	}
}

static struct routes *routes;

static void
begin_play(uint64_t seed, enum sabotage sabotage, struct model *out)
{
	struct near_opts opts = { UNVERIFIED_MAX, 100 };
	struct track_opts track = { PING_INTERVAL, PING_TIMEOUT };

	routes = make_routes_of(text);
	memset(out, 0, sizeof *out);
	m = out;
	m->seed = m->draw.state = seed;
	m->sabotage = sabotage;
	now_ms = 1000000 + (int64_t)below(2);
	tier_reset();
	setup_of(routes);
	ck_assert_int_eq(store_near(store, 0, &opts, &m->near), 0);
	near_walk_init(&m->walk, 0);
	for (unsigned i = 0; i < NODES; i++)
		track_init(&m->nodes[i].track, &track, now_ms);
	advance(1);
}

static void
end_play(void)
{
	if (m->wrong[0] == '\0')
		check_end();
	near_walk_fini(&m->walk);
	teardown();
	routes_unref(routes);
}

static void
play(uint64_t seed, enum sabotage sabotage, struct model *out)
{
	begin_play(seed, sabotage, out);
	for (unsigned i = 0; i < STEPS && m->wrong[0] == '\0'; i++)
		play_step();
	end_play();
}

/* The tier answers a fetch before a write and its answer comes after the invalidation.
 * It is a matter of a moment, which chance seldom hits. */
static void
play_overtaken(enum sabotage sabotage, struct model *out)
{
	begin_play(1, sabotage, out);
	for (unsigned round = 0; round < 100 && !all_live(); round++) {
		for (unsigned i = 0; i < NODES; i++) {
			serve_channel(&m->nodes[i]);
			hear(&m->nodes[i]);
		}
		advance(1);
	}
	ck_assert(all_live());
	write_key(0, false);
	read_key(&m->readers[0], 0, 0);
	ck_assert(m->readers[0].waits);
	tier_execute(0);
	write_key(0, true);
	hear(&m->nodes[0]);
	tier_answer(0);
	loop_run_tasks(loops[0]);
	end_play();
}

static unsigned
seeds_of(unsigned plain)
{
	const char *more = getenv("PANNIER_MODEL_SEEDS");

	return more != NULL ? (unsigned)atoi(more) : plain;
}

START_TEST(no_interleaving_shows_what_is_too_old)
{
	static struct model one;
	uint64_t hits = 0, verified = 0, stale = 0;

	for (unsigned seed = 1; seed <= seeds_of(2000); seed++) {
		play(seed, HONEST, &one);
		ck_assert_msg(one.wrong[0] == '\0', "%s", one.wrong);
		hits += one.hits;
		verified += one.verified_hits;
		stale += one.stale_hits;
	}
	/* It did look at what matters. */
	ck_assert_uint_gt(verified, 1000);
	ck_assert_uint_gt(hits - verified, 1000);
	ck_assert_uint_gt(stale, 1000);
}
END_TEST

START_TEST(an_invalidation_that_overtakes_an_answer_needs_its_placeholder)
{
	static struct model one;

	play_overtaken(HONEST, &one);
	ck_assert_msg(one.wrong[0] == '\0', "%s", one.wrong);
	play_overtaken(NO_PLACEHOLDER, &one);
	ck_assert_msg(one.wrong[0] != '\0', "nothing found");
}
END_TEST

START_TEST(model_finds_each_part_that_is_left_out)
{
	static struct model one;

	for (enum sabotage s = NO_PLACEHOLDER + 1; s < SABOTAGES; s++) {
		unsigned found = 0;

		for (unsigned seed = 1; seed <= 2000 && found == 0; seed++) {
			play(seed, s, &one);
			found += one.wrong[0] != '\0';
		}
		ck_assert_msg(found > 0, "nothing found without part %d", (int)s);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("near_model");

	SUITE_ADD(s, "model", no_interleaving_shows_what_is_too_old,
	    an_invalidation_that_overtakes_an_answer_needs_its_placeholder,
	    model_finds_each_part_that_is_left_out);
	return suite_main(s);
}
