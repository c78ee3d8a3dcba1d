#include "config.h"

#include "server/timing.h"

#include "server/server.h"
#include "server/session.h"

#define WARM 256              /* the first short commands of a loop */
#define LOOK_MS 512           /* until some more are */
#define WARM_MS 64            /* one for so many */
/* Where more are timed in WARM_MS, which is from some 4,000 commands a second on, there are
 * enough: none are added, and reads of half of them are told. */
#define TIMED_CALM 2
#define READ_SHARE 2
#define LONG_SHARE 16         /* one in so many long commands is looked at for hot keys */
#define BATCH_LEAST_US 1000   /* below, a batch is slow without a slow command */
/* Until it was compared with the clock for long enough, a tick may be as long as
 * this: the slowest counter there is has ten in a microsecond. */
#define TICKS_LEAST 10
#define COMPARED_US 1000

void
timing_init(struct timing *t, int64_t now_us)
{
	*t = (struct timing){
		.slow_us = INT64_MAX,
		.event_us = INT64_MAX,
		.suspect_ticks = UINT64_MAX,
		.share = 1,
		.warm = WARM,
		.read_every = 1,
		.draw.state = (uint64_t)now_us,
		.ticks0 = clock_ticks(),
		.us0 = now_us,
	};
}

static int64_t
least_us(const struct timing *t)
{
	return MIN(t->slow_us, t->event_us);
}

/* --- the counter ---------------------------------------------------------------- */

static double
ticks_per_us(const struct timing *t, int64_t now_us)
{
	int64_t us = now_us - t->us0;
	uint64_t ticks = clock_ticks() - t->ticks0;

	if (us < COMPARED_US || ticks < TICKS_LEAST)
		return TICKS_LEAST;
	return (double)ticks / (double)us;
}

/* A little early: what counts is the clock. */
static void
set_suspect(struct timing *t, int64_t now_us)
{
	double ticks = (double)least_us(t) * ticks_per_us(t, now_us) * 0.95;

	if (least_us(t) < BATCH_LEAST_US || ticks >= 1e18)
		t->suspect_ticks = UINT64_MAX;
	else
		t->suspect_ticks = (uint64_t)ticks;
}

static void
set_share(struct timing *t)
{
	t->share = t->warm > 0 || least_us(t) < BATCH_LEAST_US ? 1 : TIMED_SHARE;
}

void
timing_configure(struct server_loop *sl, const struct config *cfg)
{
	struct timing *t = &sl->timing;

	t->slow_us = cfg->slowlog_slower_than >= 0 ? cfg->slowlog_slower_than : INT64_MAX;
	/* Stalls before that are none of LATENCY's. */
	if (t->event_us == INT64_MAX)
		timing_look(sl, INT64_MAX);
	t->event_us = cfg->latency_threshold > 0 ? cfg->latency_threshold * 1000 : INT64_MAX;
	set_suspect(t, clock_mono_us());
	set_share(t);
}

/* --- turns of the loops ----------------------------------------------------------- */

static void
atomic_raise(_Atomic(int64_t) *max, int64_t to)
{
	int64_t is = atomic_load(max);

	while (to > is && !atomic_compare_exchange_weak(max, &is, to))
		;
}

/* Of a loop that is in a long turn, when that is over. */
void
timing_second(struct server *s)
{
	for (unsigned i = 0; i < s->n_loops; i++) {
		timing_look(&s->loops[i], s->loops[0].timing.event_us);
		histogram_add(&s->lag_us, atomic_exchange(&s->loops[i].lag_second_us, 0));
	}
}

void
timing_look(struct server_loop *sl, int64_t event_us)
{
	int64_t lag_us = loop_take_max_lag_us(sl->loop);

	atomic_raise(&sl->lag_max_us, lag_us);
	atomic_raise(&sl->lag_second_us, lag_us);
	if (lag_us >= event_us)
		latency_add(&sl->server->latency, LATENCY_LOOP_STALL, lag_us / 1000,
		    clock_wall_ms() / 1000);
}

int64_t
timing_lag_max_us(struct server *s, int64_t event_us)
{
	int64_t max_us = 0;

	for (unsigned i = 0; i < s->n_loops; i++) {
		timing_look(&s->loops[i], event_us);
		max_us = MAX(max_us, atomic_load(&s->loops[i].lag_max_us));
	}
	return max_us;
}

void
timing_lag_reset(struct server *s, int64_t event_us)
{
	for (unsigned i = 0; i < s->n_loops; i++) {
		timing_look(&s->loops[i], event_us);
		atomic_store(&s->loops[i].lag_max_us, 0);
	}
}

/* --- one command ----------------------------------------------------------------- */

#define LARGE_REQUEST (64u << 10)
#define MANY_KEYS 64

static size_t
request_bytes(const struct slice *argv, uint32_t argc)
{
	size_t n = 0;

	for (uint32_t i = 0; i < argc; i++)
		n += argv[i].len;
	return n;
}

/* What it most likely was, by what the command is and has to do. */
static const char *
cause_of(const struct command *cmd, const struct slice *argv, uint32_t argc, unsigned of)
{
	struct command_keys k = command_keys(cmd, argv, argc);

	if (of > 1)
		return "pipeline";
	if (strcmp(cmd->group, "scripting") == 0)
		return "script";
	if (cmd->id == CMD_ID_exec)
		return "transaction";
	if (cmd->id == CMD_ID_keys || cmd->id == CMD_ID_flushall || cmd->id == CMD_ID_flushdb)
		return "all keys";
	if (k.n >= MANY_KEYS)
		return "many keys";
	if (request_bytes(argv, argc) >= LARGE_REQUEST)
		return "large request";
	if (timing_is_short(cmd))
		return "waited for CPU or memory";
	return k.n != 0 ? "large value" : "administration";
}

static void
keep(struct call *c, const struct command *cmd, const struct slice *argv, uint32_t argc,
    int64_t spent_us, unsigned of)
{
	struct server *s = c->sl->server;
	const struct timing *t = &c->sl->timing;

	if (spent_us >= t->event_us)
		latency_add(&s->latency,
		    cmd->flags & CMD_FAST ? LATENCY_FAST_COMMAND : LATENCY_COMMAND,
		    spent_us / 1000, clock_wall_ms() / 1000);
	if (spent_us >= t->slow_us && !(cmd->flags & CMD_SKIP_SLOWLOG))
		slowlog_add(&s->slowlog, c->session,
		    &(struct slow_what){ .argv = argv, .argc = argc, .spent_us = spent_us,
		        .of = of, .cause = cause_of(cmd, argv, argc, of) },
		    server_config(c->sl)->slowlog_max_len);
}

unsigned
timing_read_weight(struct timing *t, const struct command *cmd)
{
	bool is_short = timing_is_short(cmd);
	unsigned every = !is_short ? LONG_SHARE : t->share == 1 ? 1 : t->read_every;

	if (cmd->id == CMD_ID_exec || ++t->unread[is_short] < every)
		return 0;
	t->unread[is_short] = 0;
	return is_short ? every * (unsigned)t->share : every;
}

/* Some time has gone by since this was last looked at. */
static void
warm_up(struct timing *t, int64_t now_ms)
{
	int64_t more = t->warmed_ms == 0 ? 0 : (now_ms - t->warmed_ms) / WARM_MS;
	bool calm = t->warmed_ms == 0 || t->timed <= (uint64_t)more * TIMED_CALM;

	t->read_every = calm ? 1 : READ_SHARE;
	if (calm)
		t->warm = (unsigned)MIN(t->warm + (uint64_t)more, WARM);
	t->timed = 0;
	t->warmed_ms = now_ms;
}

/* A short one was timed: which one is next. */
static void
choose_next(struct timing *t, int64_t now_ms)
{
	t->warm -= t->warm > 0;
	t->timed++;
	if (now_ms - t->warmed_ms >= LOOK_MS)
		warm_up(t, now_ms);
	set_share(t);
	t->untimed = t->share == 1 ? 0 :
	    (int)draw_below(draw_next(&t->draw), 2 * TIMED_SHARE - 1) - (TIMED_SHARE - 1);
}

/* By the first key: others are of the same namespace as a rule. */
static void
add_to_namespace(struct call *c, const struct command *cmd, int64_t spent_ns)
{
	struct command_keys k = command_keys(cmd, c->argv, c->argc);
	const struct config_namespace *ns;

	if (k.n == 0)
		return;
	ns = routes_find(store_loop_routes(c->store), c->argv[k.first]);
	stats_ns_time(&c->sl->stats, (unsigned)ns->stats_id, STATS_COMMAND_NS, spent_ns);
}

void
timing_add(struct call *c, const struct command *cmd, int64_t spent_ns)
{
	struct timing *t = &c->sl->timing;
	struct stats_command *st = &c->sl->stats.commands[cmd->id];
	int64_t spent_us = spent_ns / 1000, weight = 1;

	if (timing_is_short(cmd)) {
		weight = t->share;
		choose_next(t, c->now_ms);
	}
	t->timed_us += spent_us;
	counter_add(&st->usec, (spent_ns * weight + 500) / 1000);
	histogram_add(&st->latency_ns, spent_ns);
	add_to_namespace(c, cmd, spent_ns);
	if (unlikely(spent_us >= least_us(t)))
		keep(c, cmd, c->argv, c->argc, spent_us, 1);
}

/* --- batches ----------------------------------------------------------------------- */

static const struct command *
untimed_command(const struct request *req)
{
	const struct command *cmd;

	if (command_find(req->argv, req->argc, &cmd) != COMMAND_FOUND || !timing_is_short(cmd))
		return NULL;
	return cmd;
}

/* The longest of the short ones, and how many there are. */
static const struct request *
likely_culprit(const struct request *req, unsigned n, unsigned *n_short)
{
	const struct request *found = NULL;

	*n_short = 0;
	for (unsigned i = 0; i < n; i++) {
		if (untimed_command(&req[i]) == NULL)
			continue;
		++*n_short;
		if (found == NULL || request_bytes(req[i].argv, req[i].argc) >
		    request_bytes(found->argv, found->argc))
			found = &req[i];
	}
	return found;
}

/* By the clock, as far as it can be told. */
static int64_t
short_ones_us(struct call *c, uint64_t ticks, int64_t timed_us)
{
	struct timing *t = &c->sl->timing;
	int64_t now_us = clock_mono_us();
	int64_t spent_us = (int64_t)MIN((double)ticks / ticks_per_us(t, now_us), 1e15);

	set_suspect(t, now_us);
	return MIN(spent_us, now_us - loop_now_us(c->sl->loop)) - timed_us;
}

void
timing_suspect(struct call *c, const struct request *req, unsigned n, uint64_t ticks,
    int64_t timed_us)
{
	int64_t spent_us = short_ones_us(c, ticks, timed_us);
	const struct request *culprit = NULL;
	unsigned n_short;

	if (spent_us >= least_us(&c->sl->timing))
		culprit = likely_culprit(req, n, &n_short);
	if (culprit != NULL)
		keep(c, untimed_command(culprit), culprit->argv, culprit->argc, spent_us, n_short);
}

void
timing_suspect_call(struct call *c, uint64_t ticks, int64_t timed_us)
{
	int64_t spent_us = short_ones_us(c, ticks, timed_us);

	if (spent_us >= least_us(&c->sl->timing) && timing_is_short(c->cmd))
		keep(c, c->cmd, c->argv, c->argc, spent_us, 1);
}
