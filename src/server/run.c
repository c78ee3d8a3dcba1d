/* run.c - the life of the daemon: accepting, the clock's work, signals, and
 * the end. Loop 0 runs on the thread that called server_run(). */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/admin_http.h"
#include "server/advice.h"
#include "server/door.h"
#include "server/handover.h"
#include "server/internal.h"
#include "server/session.h"
#include "server/snapshots.h"
#include "server/streams.h"
#include "server/takeover.h"
#include "server/tracking.h"
#include "store/tiers.h"
#include "store/write.h"

/* A client that sends on and on gets so many turns to stop. */
#define DRAIN_TURNS 16
#define DRAIN_TURN_MS 1

/* --- accepting ----------------------------------------------------------------------- */

struct handoff {
	struct loop_task task;
	struct server_loop *sl;
	int fd;
	const char *listener;
};

static void
handoff_run(struct loop *l, struct loop_task *t)
{
	struct handoff *h = container_of(t, struct handoff, task);

	(void)l;
	if (h->sl->draining) {
		close(h->fd);
		server_client_gone(h->sl);
	} else {
		session_new(h->sl, h->fd, h->listener);
	}
	mem_free(h);
}

/* The one with the fewest, those on their way included. Only loop 0 asks. */
static struct server_loop *
least_loaded(struct server *s)
{
	struct server_loop *best = &s->loops[0];

	for (unsigned i = 1; i < s->n_loops; i++)
		if (s->loops[i].assigned < best->assigned)
			best = &s->loops[i];
	return best;
}

static void
refuse(struct server_loop *sl, int fd)
{
	static const char text[] = TOO_MANY_CLIENTS;
	ssize_t rc;

	/* Counted first, so that who was refused finds itself in INFO. */
	counter_inc(&sl->stats.rejected_connections);
	rc = send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)rc; /* it is told or it is not; it has to go */
	close(fd);
}

static struct log_gate not_allowed_gate;

/* Before a byte of it is read. */
static void
turn_away(struct server_loop *sl, int fd, const char *listener, const struct peer *who)
{
	char text[96];
	int n = snprintf(text, sizeof text, "-NOPERM user %u of group %u may not connect here\r\n",
	    who->uid, who->gid);
	ssize_t rc;

	counter_inc(&sl->stats.peers_refused);
	log_limited(&not_allowed_gate, LOG_LEVEL_WARN,
	    "%s: process %d of user %u, group %u may not connect: see allow_uids and allow_gids",
	    listener, (int)who->pid, who->uid, who->gid);
	rc = send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)rc; /* it is told or it is not; it has to go */
	close(fd);
}

struct accept_ctx {
	struct server *server;
	unsigned listener; /* its number */
};

static void
on_accept(void *arg, int fd)
{
	struct accept_ctx *ctx = arg;
	struct server *s = ctx->server;
	struct server_loop *sl = least_loaded(s);
	const char *name = listener_name(s->listeners[ctx->listener]);
	struct handoff *h;
	struct peer who;

	if (!door_lets_in(doors_policy(s->loops[0].doors, ctx->listener), fd, &who)) {
		turn_away(&s->loops[0], fd, name, &who);
		return;
	}
	if (atomic_load(&s->clients) >= server_config(&s->loops[0])->max_clients) {
		refuse(&s->loops[0], fd);
		return;
	}
	h = mem_alloc(sizeof *h);
	if (h == NULL) {
		refuse(&s->loops[0], fd);
		return;
	}
	atomic_fetch_add(&s->clients, 1);
	atomic_fetch_add(&sl->assigned, 1);
	*h = (struct handoff){
		.task.run = handoff_run,
		.sl = sl,
		.fd = fd,
		.listener = name,
	};
	if (sl == &s->loops[0])
		handoff_run(sl->loop, &h->task);
	else
		loop_post(sl->loop, &h->task);
}

/* --- the clock's work ---------------------------------------------------------------- */

static void
cache_cycle(struct server_loop *sl)
{
	int64_t begun_us = clock_mono_us(), spent_us;

	store_tick(sl->store, TICK_BUSY_US);
	spent_us = clock_mono_us() - begun_us;
	if (spent_us >= sl->timing.event_us)
		latency_add(&sl->server->latency, LATENCY_CACHE_CYCLE, spent_us / 1000,
		    clock_wall_ms() / 1000);
}

static void
on_tick(struct timer *t)
{
	struct server *s = container_of(t, struct server, tick);
	struct server_loop *sl = &s->loops[0];

	store_loop_set_now(sl->store, loop_now_ms(sl->loop));
	cache_cycle(sl);
	tracking_tick(sl);
	pthread_mutex_lock(&s->config_lock);
	memory_watch_look(&s->memory, store_cache(s->store), loop_now_ms(sl->loop));
	pthread_mutex_unlock(&s->config_lock);
	timer_start(t, TICK_MS);
}

static void
close_idle(struct loop *l, struct loop_task *t)
{
	struct server_loop *sl = container_of(t, struct server_loop, sweep);
	int64_t since_ms = loop_now_ms(l) - server_config(sl)->idle_timeout;

	list_foreach_safe(it, &sl->sessions) {
		struct session *s = list_entry(it, struct session, link);

		if (s->n_parked == 0 && !s->held && !pubsub_listens(&s->pubsub) &&
		    s->monitor == NULL && session_active_ms(s) < since_ms)
			conn_close(s->conn);
	}
	atomic_store(&sl->sweeping, false);
}

static void
on_second(struct timer *t)
{
	struct server *s = container_of(t, struct server, second);

	info_sample(s);
	follow_second(s);
	advice_count(s, loop_now_ms(s->loops[0].loop));
	saved_count(s, loop_now_ms(s->loops[0].loop));
	timing_second(s);
	if (server_config(&s->loops[0])->idle_timeout != 0)
		for (unsigned i = 0; i < s->n_loops; i++)
			if (!atomic_exchange(&s->loops[i].sweeping, true))
				loop_post(s->loops[i].loop, &s->loops[i].sweep);
	timer_start(t, 1000);
}

/* --- the end ---------------------------------------------------------------------------- */

static void
stop_loops(struct server *s)
{
	for (unsigned i = s->n_loops; i-- > 0;)
		loop_stop(s->loops[i].loop);
}

/* All clients are answered, and origins have what was written behind: whichever comes
 * last finds the other done. Then a snapshot is written, where one is wanted. Twice does no
 * harm. */
static void
stop_if_drained(struct server *s)
{
	struct store_behind left;

	if (atomic_load(&s->undrained) != 0)
		return;
	store_behind_status(s->store, -1, &left);
	if (left.n == 0 && !snapshots_save_at_stop(s->snapshots, stop_loops))
		stop_loops(s);
}

static void
on_behind_empty(void *arg)
{
	stop_if_drained(arg);
}

static void
loop_drained(struct server_loop *sl)
{
	if (sl->drained)
		return;
	sl->drained = true;
	timer_stop(&sl->drain_timer);
	if (atomic_fetch_sub(&sl->server->undrained, 1) == 1)
		stop_if_drained(sl->server);
}

void
server_client_gone(struct server_loop *sl)
{
	atomic_fetch_sub(&sl->server->clients, 1);
	atomic_fetch_sub(&sl->assigned, 1);
	if (sl->draining && list_empty(&sl->sessions))
		loop_drained(sl);
}

static bool
has_unread(const struct session *s)
{
	char byte;

	return recv(conn_fd(s->conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* What a client has sent by now is read and answered before its connection closes, unless
 * it never stops sending. */
static void
drain_turn(struct timer *t)
{
	struct server_loop *sl = container_of(t, struct server_loop, drain_timer);
	bool last = ++sl->drain_turns == DRAIN_TURNS, more = false;

	list_foreach_safe(it, &sl->sessions) {
		struct session *s = list_entry(it, struct session, link);

		if (!last && has_unread(s))
			more = true;
		else
			session_drain(s);
	}
	if (list_empty(&sl->sessions))
		loop_drained(sl);
	else if (more)
		timer_start(t, DRAIN_TURN_MS);
}

static void
drain_loop(struct loop *l, struct loop_task *t)
{
	struct server_loop *sl = container_of(t, struct server_loop, drain);

	timer_init(&sl->drain_timer, l, drain_turn);
	sl->draining = true;
	store_behind_hurry(sl->store);
	drain_turn(&sl->drain_timer);
}

static void
drain_late(struct timer *t)
{
	struct server *s = container_of(t, struct server, drain_timer);

	struct store_behind left;

	store_behind_status(s->store, -1, &left);
	log_warn("stop: after the drain timeout %u connections were still busy, and %llu writes "
	    "behind not carried out", atomic_load(&s->clients), (unsigned long long)left.n);
	stop_loops(s);
}

/* Who waits to be let in has connected in time. */
static void
drain(struct server *s)
{
	log_info("stop: answering what is under way");
	for (unsigned i = 0; i < s->n_listeners; i++) {
		listener_accept_all(s->listeners[i]);
		listener_stop(s->listeners[i]);
	}
	timer_start(&s->drain_timer, server_config(&s->loops[0])->drain_timeout);
	if (atomic_load(&s->stop_at_once)) {
		if (!snapshots_save_at_stop(s->snapshots, stop_loops))
			stop_loops(s);
		return;
	}
	for (unsigned i = 0; i < s->n_loops; i++)
		loop_post(s->loops[i].loop, &s->loops[i].drain);
}

static void
delay_over(struct timer *t)
{
	drain(container_of(t, struct server, delay_timer));
}

/* signum: what asks for it; 0: a client. */
static void
begin_drain(struct server *s, int signum)
{
	int64_t delay_ms = (int64_t)server_config(&s->loops[0])->drain_delay;

	if (s->draining) {
		log_warn("stop: at once; %u connections are cut", atomic_load(&s->clients));
		s->cut_by = signum;
		stop_loops(s);
		return;
	}
	s->draining = true;
	notify_tell(&s->notify, "STOPPING=1\nSTATUS=Answering what is under way");
	if (delay_ms == 0 || atomic_load(&s->stop_at_once)) {
		drain(s);
		return;
	}
	log_info("stop: serving for %lld ms more, while /readyz says no", (long long)delay_ms);
	timer_start(&s->delay_timer, delay_ms);
}

static void
on_stop(struct loop *l, struct loop_task *t)
{
	(void)l;
	begin_drain(container_of(t, struct server, stop), 0);
}

void
server_stop(struct server *s)
{
	/* One that does not run is taken down by who made it. */
	if (s->stop.run != NULL && !atomic_exchange(&s->stop_asked, true))
		loop_post(s->loops[0].loop, &s->stop);
}

void
server_shutdown(struct server *s, bool now)
{
	if (now)
		atomic_store(&s->stop_at_once, true);
	server_stop(s);
}

static void
on_sigterm(struct signal_watch *w)
{
	begin_drain(container_of(w, struct server, sigterm), SIGTERM);
}

static void
on_sigint(struct signal_watch *w)
{
	begin_drain(container_of(w, struct server, sigint), SIGINT);
}

static void
on_sighup(struct signal_watch *w)
{
	struct server *s = container_of(w, struct server, sighup);

	notify_reloading(&s->notify);
	notify_tell(&s->notify, "READY=1\nSTATUS=%s",
	    server_reload(s) ? "Serving" : "Serving; the last reload failed, see the log");
}

/* --- running ------------------------------------------------------------------------------ */

static void *
loop_main(void *arg)
{
	struct server_loop *sl = arg;
	char name[16];

	snprintf(name, sizeof name, "loop-%u", loop_index(sl->loop));
	pthread_setname_np(pthread_self(), name);
	pthread_mutex_lock(&sl->server->gate);
	pthread_mutex_unlock(&sl->server->gate);
	loop_run(sl->loop);
	return NULL;
}

static void
stop_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

/* From the moment that clients can connect, a signal to stop waits until there
 * is somebody to take it, instead of killing the process. */
void
server_block_signals(void)
{
	sigset_t set;

	stop_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void
server_unblock_signals(void)
{
	sigset_t set;

	stop_signals(&set);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void
server_notify(struct server *s)
{
	notify_fini(&s->notify);
	notify_init(&s->notify, getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"),
	    getenv("WATCHDOG_PID"));
}

/* Signals are loop 0's alone: the others must not be interrupted. */
/* Those before end, which have not begun yet. */
static void
stop_threads(struct server *s, unsigned end)
{
	for (unsigned i = 1; i < end; i++)
		loop_stop(s->loops[i].loop);
	pthread_mutex_unlock(&s->gate);
	for (unsigned i = 1; i < end; i++)
		pthread_join(s->loops[i].thread, NULL);
}

static int
start_threads(struct server *s)
{
	sigset_t all, old;
	unsigned i = 1;
	int rc = 0;

	pthread_mutex_lock(&s->gate);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (; i < s->n_loops && rc == 0; i++)
		rc = pthread_create(&s->loops[i].thread, NULL, loop_main, &s->loops[i]);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc == 0)
		return 0;
	stop_threads(s, i - 1);
	return -rc;
}

/* The loops may begin. Another process's state is in them by then, if there was one. */
static int
open_gate(struct server *s, char *err, size_t err_size)
{
	int rc = s->takeover != NULL ? takeover_finish(s->takeover, s, err, err_size) : 0;

	s->takeover = NULL;
	if (rc != 0)
		stop_threads(s, s->n_loops);
	else
		pthread_mutex_unlock(&s->gate);
	return rc;
}

static void
start_clock_and_signals(struct server *s)
{
	struct loop *l = s->loops[0].loop;

	for (unsigned i = 0; i < s->n_loops; i++) {
		s->loops[i].drain.run = drain_loop;
		s->loops[i].sweep.run = close_idle;
	}
	s->stop.run = on_stop;
	atomic_store(&s->undrained, s->n_loops);
	store_on_behind_empty(s->store, on_behind_empty, s);
	timer_init(&s->tick, l, on_tick);
	timer_init(&s->second, l, on_second);
	timer_init(&s->drain_timer, l, drain_late);
	timer_init(&s->delay_timer, l, delay_over);
	timer_start(&s->tick, TICK_MS);
	timer_start(&s->second, 1000);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a snapshot that may not grow fails; that is all */
	signal_watch_start(&s->sigterm, l, SIGTERM, on_sigterm);
	signal_watch_start(&s->sigint, l, SIGINT, on_sigint);
	signal_watch_start(&s->sighup, l, SIGHUP, on_sighup);
	server_unblock_signals();
}

/* Blocked from here on: one that comes now, when all is done, must not kill. */
static void
stop_clock_and_signals(struct server *s)
{
	server_block_signals();
	timer_stop(&s->tick);
	timer_stop(&s->second);
	timer_stop(&s->drain_timer);
	timer_stop(&s->delay_timer);
	watchdog_stop(s);
	signal_watch_stop(&s->sigterm);
	signal_watch_stop(&s->sigint);
	signal_watch_stop(&s->sighup);
}

int
server_run(struct server *s, int (*reload)(void *arg, struct config **out, char *err, size_t n),
    void *arg)
{
	struct accept_ctx *ctx = mem_calloc(s->n_listeners + 1, sizeof *ctx);
	char err[384] = "";
	int rc;

	if (ctx == NULL)
		return -ENOMEM;
	s->reload = reload;
	s->reload_arg = arg;
	if (takeover_past(s->takeover) == NULL)
		snapshots_load(s->snapshots); /* before anybody can write */
	rc = start_threads(s);
	if (rc == 0)
		rc = open_gate(s, err, sizeof err);
	if (rc != 0) {
		if (err[0] != '\0')
			log_error("%s", err);
		mem_free(ctx);
		return rc;
	}
	start_clock_and_signals(s);
	for (unsigned i = 0; i < s->n_listeners; i++) {
		ctx[i] = (struct accept_ctx){ s, i };
		listener_start(s->listeners[i], s->loops[0].loop, on_accept, &ctx[i]);
	}
	admin_http_start(s->admin_http);
	handover_start(s->handover);
	tiers_configure(s->tiers);
	rc = streams_start(s->streams);
	if (rc == 0) {
		notify_tell(&s->notify, "READY=1\nSTATUS=Serving");
		watchdog_start(s);
		loop_run(s->loops[0].loop);
	} else {
		stop_loops(s);
	}
	for (unsigned i = 1; i < s->n_loops; i++)
		pthread_join(s->loops[i].thread, NULL);
	streams_stop(s->streams);
	snapshots_stop(s->snapshots);
	handover_stop(s->handover);
	for (unsigned i = 0; i < s->n_listeners; i++)
		listener_stop(s->listeners[i]);
	stop_clock_and_signals(s);
	mem_free(ctx);
	return rc;
}
