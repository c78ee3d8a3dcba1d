/* How it goes (doc/handover.md): a successor connects and says hello; it gets the
 * listeners and the arena's descriptor, and sets itself up. When it says that it is ready,
 * every loop is brought to a barrier, in a task behind all others of its turn. If nothing
 * is under way, the state is written and sent while they stand there. If something is,
 * they go on, each with a pause of all requests, so that what is under way ends and nothing
 * new begins; a millisecond later the same is tried again. */
#include "config.h"

#include "server/handover.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pack.h"
#include "cache/pass.h"
#include "net/peer.h"
#include "server/admin_http.h"
#include "server/handover_transfer.h"
#include "server/handover_wire.h"
#include "server/session.h"

#define GREETING_MS 5000   /* a hello has to come */
#define PREPARE_MS 60000   /* from the welcome to the successor's being ready */
#define READ_MS 200        /* the rest of a message whose beginning is there */
#define TRY_AGAIN_MS 1
#define SETTLE_ROUNDS 256

enum step { STEP_IDLE, STEP_GREETING, STEP_PREPARING, STEP_TRYING };

/* What loops at the barrier are told. */
enum order {
	ORDER_WAIT,
	ORDER_TASKS, /* do what was posted meanwhile, and come back */
	ORDER_HOLD,  /* go on, but begin nothing new */
	ORDER_ON,    /* go on as ever */
	ORDER_LEAVE, /* everything is the successor's */
};

struct handover_part {
	struct loop_task task;
	struct handover *h;
	struct server_loop *sl;
	struct handover_pause before; /* the pause that clients had asked for */
	bool holds;                   /* a pause of ours */
};

struct handover {
	struct server *server;
	struct listener *listener;
	bool started;
	enum step step;
	int fd;
	pid_t pid;
	struct watch watch;
	struct timer timer;
	bool contents;   /* they go along */
	int64_t begun_us; /* the first try */
	int64_t until_ms;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	/* Under the lock: */
	enum order order;
	uint64_t round;   /* counts orders */
	unsigned waiting; /* loops at the barrier, in this round */
	unsigned arrived; /* loops in it */
	unsigned inside;  /* those, and loops on their way to it */
	struct handover_part parts[];
};

/* --- why not ----------------------------------------------------------------------- */

/* NULL: contents may go along. */
static const char *
why_without_contents(const struct server *s)
{
	const struct config *cfg = routes_config(s->routes);

	if (!cache_may_pass(store_cache(s->store)))
		return "namespaces have min_memory or max_memory";
	if (cfg->n_streams != 0)
		return "there are streams of invalidations, some of which could be missed";
	for (unsigned i = 0; i < cfg->n_origins; i++)
		if (cfg->origins[i].kind == ORIGIN_REDIS &&
		    cfg->origins[i].redis_tracking == REDIS_TRACKING_TRUE)
			return "a shared tier tells of its writes, some of which could be missed";
	return NULL;
}

/* --- the end of an attempt ------------------------------------------------------------ */

static void
forget_successor(struct handover *h)
{
	watch_set(&h->watch, 0);
	timer_stop(&h->timer);
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
	h->step = STEP_IDLE;
	for (unsigned i = 0; i < h->server->n_listeners; i++)
		listener_hold(h->server->listeners[i], false);
}

static void
give_up(struct handover *h, const char *why)
{
	log_warn("hand-over to process %d: %s; this one goes on", (int)h->pid, why);
	if (handover_send(h->fd, HANDOVER_GIVEN_UP, slice_str(why), NULL, 0, READ_MS) != 0)
		log_debug("hand-over: it could not be told");
	forget_successor(h);
}

/* --- the barrier: every loop but the first ------------------------------------------- */

static void
hold_requests(struct handover_part *part)
{
	struct server_loop *sl = part->sl;

	if (part->holds)
		return;
	part->before = (struct handover_pause){ sl->pause.mode, sl->pause.end_ms };
	part->holds = true;
	pause_begin(sl, PAUSE_ALL, part->h->until_ms + 1000);
}

static void
let_requests_go(struct handover_part *part)
{
	struct server_loop *sl = part->sl;

	if (!part->holds)
		return;
	part->holds = false;
	pause_end(sl);
	if (part->before.mode != PAUSE_OFF && part->before.end_ms > loop_now_ms(sl->loop))
		pause_begin(sl, part->before.mode, part->before.end_ms);
}

/* The sockets are the successor's: nothing may be read from them any more. */
static void
leave(struct server_loop *sl)
{
	conn_pool_close(sl->pool);
	loop_set_idle(sl->loop, NULL, NULL);
	loop_stop(sl->loop);
}

static void
obey(struct handover_part *part, enum order order)
{
	if (order == ORDER_HOLD)
		hold_requests(part);
	else if (order == ORDER_ON)
		let_requests_go(part);
	else if (order == ORDER_LEAVE)
		leave(part->sl);
}

/* The order that ends this try. h->lock is held. */
static enum order
next_orders(struct handover *h, struct loop *l)
{
	uint64_t seen = h->round;

	for (;;) {
		h->waiting++;
		pthread_cond_broadcast(&h->moved);
		while (h->round == seen)
			pthread_cond_wait(&h->moved, &h->lock);
		seen = h->round;
		if (h->order != ORDER_TASKS)
			return h->order;
		pthread_mutex_unlock(&h->lock);
		loop_run_tasks(l);
		pthread_mutex_lock(&h->lock);
	}
}

static void
wait_for_orders(struct handover_part *part)
{
	struct handover *h = part->h;
	enum order order;

	pthread_mutex_lock(&h->lock);
	h->arrived++;
	/* Another order: it was given up before this loop came. */
	order = h->order == ORDER_WAIT ? next_orders(h, part->sl->loop) : h->order;
	h->arrived--;
	h->inside--;
	pthread_cond_broadcast(&h->moved);
	pthread_mutex_unlock(&h->lock);
	obey(part, order);
}

/* --- the barrier: loop 0, with h->lock held --------------------------------------------- */

static bool
wait_until(struct handover *h, const unsigned *what, unsigned n)
{
	int64_t left_ms = h->until_ms - clock_mono_ms();
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += MAX(left_ms, 0) / 1000;
	until.tv_nsec += MAX(left_ms, 0) % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (*what != n && rc == 0)
		rc = pthread_cond_timedwait(&h->moved, &h->lock, &until);
	return *what == n;
}

static void
give_order(struct handover *h, enum order order)
{
	h->order = order;
	h->round++;
	h->waiting = 0;
	pthread_cond_broadcast(&h->moved);
}

static bool
any_has_tasks(const struct server *s)
{
	for (unsigned i = 0; i < s->n_loops; i++)
		if (loop_has_tasks(s->loops[i].loop) || !conn_pool_settled(s->loops[i].pool))
			return true;
	return false;
}

/* What loops have posted to each other is done, until there is nothing left. */
static bool
settle(struct handover *h)
{
	struct server *s = h->server;

	for (unsigned i = 0; i < SETTLE_ROUNDS; i++) {
		if (!any_has_tasks(s))
			return true;
		give_order(h, ORDER_TASKS);
		pthread_mutex_unlock(&h->lock);
		loop_run_tasks(s->loops[0].loop);
		pthread_mutex_lock(&h->lock);
		if (!wait_until(h, &h->waiting, s->n_loops - 1))
			return false;
	}
	return false;
}

/* --- what stands still ----------------------------------------------------------------- */

static bool
is_quiet(struct server *s)
{
	for (unsigned i = 0; i < s->n_loops; i++)
		list_foreach(it, &s->loops[i].sessions)
			if (list_entry(it, struct session, link)->n_parked != 0)
				return false;
	return store_is_quiet(s->store);
}

static int
freeze_and_transfer(struct handover *h, unsigned *n_clients)
{
	const struct handover_part *part = &h->parts[0];
	const struct pause *now = &part->sl->pause;
	const struct handover_offer o = { .contents = h->contents, .until_ms = h->until_ms,
		.pause = part->holds ? part->before
		                     : (struct handover_pause){ now->mode, now->end_ms } };
	int rc;

	if (!store_freeze(h->server->store))
		return -EBUSY;
	rc = handover_transfer(h->server, h->fd, &o, n_clients);
	if (rc != 0)
		store_thaw(h->server->store);
	return rc;
}

/* --- loop 0 ------------------------------------------------------------------------------ */

static void
leave_to_successor(struct handover *h, unsigned n_clients)
{
	struct server *s = h->server;

	log_info("handed over to process %d: %u listeners, %u clients, %llu entries; clients "
	    "waited for %.1f ms", (int)h->pid, s->n_listeners, n_clients,
	    h->contents ? (unsigned long long)cache_count(store_cache(s->store)) : 0,
	    (double)(clock_mono_us() - h->begun_us) / 1e3);
	notify_tell(&s->notify, "MAINPID=%d", (int)h->pid);
	for (unsigned i = 0; i < s->n_listeners; i++) {
		listener_leave(s->listeners[i]);
		listener_stop(s->listeners[i]);
	}
	listener_leave(h->listener);
	admin_http_leave(s->admin_http);
	s->handed_over = true;
	watch_set(&h->watch, 0);
	timer_stop(&h->timer);
}

/* All that have arrived know the order when this returns; who comes later finds it. */
static void
conclude(struct handover *h, enum order order)
{
	give_order(h, order);
	while (h->arrived != 0)
		pthread_cond_wait(&h->moved, &h->lock);
	pthread_mutex_unlock(&h->lock);
	obey(&h->parts[0], order);
}

static void
try_on_time(struct handover *h)
{
	timer_start(&h->timer, TRY_AGAIN_MS);
}

static void
not_yet(struct handover *h)
{
	bool late = clock_mono_ms() >= h->until_ms;

	conclude(h, late ? ORDER_ON : ORDER_HOLD);
	if (late) {
		give_up(h, "requests that wait for origins, or writes to them, did not end in time "
		    "(handover_timeout)");
		return;
	}
	/* A client that loads a key is held up too: those who wait for it would wait long. */
	store_void_leases(h->server->loops[0].store);
	try_on_time(h);
}

static void
at_barrier(struct handover *h)
{
	unsigned n_clients = 0;
	char why[160];
	int rc;

	pthread_mutex_lock(&h->lock);
	if (!wait_until(h, &h->waiting, h->server->n_loops - 1)) {
		conclude(h, ORDER_ON);
		give_up(h, "a request of another loop takes too long");
		return;
	}
	if (h->server->draining) {
		conclude(h, ORDER_ON);
		give_up(h, "this process is about to stop");
		return;
	}
	if (!settle(h) || !is_quiet(h->server)) {
		not_yet(h);
		return;
	}
	rc = freeze_and_transfer(h, &n_clients);
	if (rc == -EBUSY) {
		not_yet(h);
	} else if (rc != 0) {
		conclude(h, ORDER_ON);
		snprintf(why, sizeof why, "%s", handover_error(rc));
		give_up(h, why);
	} else {
		leave_to_successor(h, n_clients);
		conclude(h, ORDER_LEAVE);
	}
}

static void
part_run(struct loop *l, struct loop_task *t)
{
	struct handover_part *part = container_of(t, struct handover_part, task);

	/* Behind all that this turn has to do. */
	if (t->next != NULL || loop_has_tasks(l) || !conn_pool_settled(part->sl->pool))
		loop_defer(l, t);
	else if (part->sl == &part->h->server->loops[0])
		at_barrier(part->h);
	else
		wait_for_orders(part);
}

static void
try_now(struct handover *h)
{
	struct server *s = h->server;

	pthread_mutex_lock(&h->lock);
	h->order = ORDER_WAIT;
	h->waiting = 0;
	h->inside = s->n_loops - 1;
	pthread_mutex_unlock(&h->lock);
	for (unsigned i = 0; i < s->n_loops; i++)
		loop_post(s->loops[i].loop, &h->parts[i].task);
}

/* --- before that: the successor says what it is -------------------------------------------- */

/* A loop that came too late for the last try is still to hear of its end. */
static bool
is_busy(struct handover *h)
{
	unsigned inside;

	pthread_mutex_lock(&h->lock);
	inside = h->inside;
	pthread_mutex_unlock(&h->lock);
	return h->step != STEP_IDLE || inside != 0;
}

static void
on_ready(struct handover *h, struct unpacker *u)
{
	bool wanted = unpack_u64(u) != 0;

	if (u->failed) {
		give_up(h, handover_error(-EPROTO));
		return;
	}
	h->contents &= wanted;
	h->step = STEP_TRYING;
	h->begun_us = clock_mono_us();
	h->until_ms = clock_mono_ms() + server_config(&h->server->loops[0])->handover_timeout;
	/* Who comes from now on waits in the backlog, which goes along. */
	for (unsigned i = 0; i < h->server->n_listeners; i++)
		listener_hold(h->server->listeners[i], true);
	try_now(h);
}

static unsigned
add_listener(const struct listener *l, int *fds, unsigned n, struct packer *p)
{
	fds[n] = listener_fd(l);
	pack_u64(p, listener_is_kept(l));
	return n + 1;
}

static int
welcome(struct handover *h)
{
	const struct server *s = h->server;
	const char *why = why_without_contents(s);
	int fds[HANDOVER_FDS];
	struct cache_past past;
	struct buf body;
	struct packer p = { .to = &body };
	unsigned n = 0;
	int rc;

	buf_init(&body);
	h->contents = why == NULL;
	pack_u64(&p, HANDOVER_PROTOCOL);
	pack_u64(&p, cache_layout());
	pack_text(&p, PACKAGE_VERSION);
	pack_text(&p, why);
	cache_pass_begin(store_cache(s->store), &past);
	cache_past_pack(&p, &past);
	fds[n++] = past.fd;
	for (unsigned i = 0; i < s->n_listeners; i++)
		n = add_listener(s->listeners[i], fds, n, &p);
	n = add_listener(h->listener, fds, n, &p);
	if (admin_http_fd(s->admin_http) >= 0) {
		fds[n++] = admin_http_fd(s->admin_http);
		pack_u64(&p, admin_http_is_kept(s->admin_http));
	}
	rc = p.failed ? -ENOMEM
	              : handover_send(h->fd, HANDOVER_WELCOME, buf_slice(&body), fds, n, READ_MS);
	buf_fini(&body);
	return rc;
}

static void
on_hello(struct handover *h, struct unpacker *u)
{
	uint64_t protocol = unpack_u64(u);
	struct slice version;
	char why[160];
	int rc;

	unpack_u64(u); /* its layout: it compares for itself */
	version = unpack_bytes(u);
	if (u->failed || protocol != HANDOVER_PROTOCOL) {
		snprintf(why, sizeof why, "it speaks version %llu of the protocol, and this one %d",
		    (unsigned long long)protocol, HANDOVER_PROTOCOL);
		give_up(h, why);
		return;
	}
	rc = welcome(h);
	if (rc != 0) {
		give_up(h, handover_error(rc));
		return;
	}
	log_info("hand-over to process %d, version %.*s, begins", (int)h->pid,
	    (int)MIN(version.len, 32), version.ptr);
	h->step = STEP_PREPARING;
	timer_start(&h->timer, PREPARE_MS);
}

static void
on_message(struct watch *w, int events UNUSED)
{
	struct handover *h = container_of(w, struct handover, watch);
	struct handover_message m;
	struct unpacker u;
	int rc = handover_receive(h->fd, &m, READ_MS);

	if (rc != 0) {
		give_up(h, handover_error(rc));
		return;
	}
	u = (struct unpacker){ .from = buf_slice(&m.body) };
	if (h->step == STEP_GREETING && m.type == HANDOVER_HELLO)
		on_hello(h, &u);
	else if (h->step == STEP_PREPARING && m.type == HANDOVER_READY)
		on_ready(h, &u);
	else
		give_up(h, handover_error(-EPROTO));
	/* From here on it is read from at the barrier alone. */
	if (h->step == STEP_TRYING)
		watch_set(&h->watch, 0);
	handover_message_fini(&m);
}

static void
on_time(struct timer *t)
{
	struct handover *h = container_of(t, struct handover, timer);

	if (h->step == STEP_TRYING)
		try_now(h);
	else
		give_up(h, "it did not get ready in time");
}

static void
refuse(int fd, const char *why, pid_t pid)
{
	log_warn("hand-over to process %d refused: %s", (int)pid, why);
	if (handover_send(fd, HANDOVER_REFUSED, slice_str(why), NULL, 0, READ_MS) != 0)
		log_debug("hand-over: it could not be told");
	close(fd);
}

static void
on_accept(void *arg, int fd)
{
	struct handover *h = arg;
	struct peer who = { 0 };
	int rc = peer_read(fd, &who);

	if (rc != 0 || (who.uid != geteuid() && who.uid != 0)) {
		refuse(fd, "it runs as another user", who.pid);
		return;
	}
	if (is_busy(h) || h->server->draining) {
		refuse(fd, h->server->draining ? "this process is about to stop"
		    : "another one is under way", who.pid);
		return;
	}
	h->fd = fd;
	h->pid = who.pid;
	h->step = STEP_GREETING;
	watch_init(&h->watch, h->server->loops[0].loop, fd, on_message);
	watch_set(&h->watch, WATCH_READ);
	timer_start(&h->timer, GREETING_MS);
}

/* --- life ------------------------------------------------------------------------------ */

static void
init_lock(struct handover *h)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->moved, &attr);
	pthread_condattr_destroy(&attr);
}

int
handover_new(struct server *s, struct handover **out, char *err, size_t err_size)
{
	const struct config *cfg = routes_config(s->routes);
	struct listen_opts o = { .kind = LISTEN_UNIX, .path = cfg->handover, .mode = 0600,
		.uid = (uid_t)-1, .gid = (gid_t)-1 };
	struct handover *h;
	char reason[256];
	int rc;

	*out = NULL;
	if (cfg->handover == NULL)
		return 0;
	h = mem_zalloc(sizeof *h + s->n_loops * sizeof h->parts[0]);
	if (h == NULL) {
		snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	rc = listener_open(&o, &h->listener, reason, sizeof reason);
	if (rc != 0) {
		snprintf(err, err_size, "handover: %s", reason);
		mem_free(h);
		return rc;
	}
	h->server = s;
	h->fd = -1;
	init_lock(h);
	*out = h;
	return 0;
}

void
handover_start(struct handover *h)
{
	if (h == NULL)
		return;
	for (unsigned i = 0; i < h->server->n_loops; i++)
		h->parts[i] = (struct handover_part){ .task.run = part_run, .h = h,
			.sl = &h->server->loops[i] };
	timer_init(&h->timer, h->server->loops[0].loop, on_time);
	watch_init(&h->watch, h->server->loops[0].loop, -1, on_message);
	listener_start(h->listener, h->server->loops[0].loop, on_accept, h);
	h->started = true;
}

void
handover_stop(struct handover *h)
{
	if (h == NULL || !h->started)
		return;
	h->started = false;
	listener_stop(h->listener);
	if (h->step != STEP_IDLE)
		forget_successor(h);
	timer_stop(&h->timer);
}

void
handover_free(struct handover *h)
{
	if (h == NULL)
		return;
	if (h->fd >= 0)
		close(h->fd);
	listener_close(h->listener);
	pthread_cond_destroy(&h->moved);
	pthread_mutex_destroy(&h->lock);
	mem_free(h);
}

struct listener *
handover_listener(const struct handover *h)
{
	return h != NULL ? h->listener : NULL;
}
