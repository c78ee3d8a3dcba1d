/* server.h - the daemon: loops, listeners, sessions, one store. */
#ifndef PANNIER_SERVER_SERVER_H
#define PANNIER_SERVER_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "config/config.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/loop.h"
#include "proto/binary.h"
#include "proto/command.h"
#include "proto/resp.h"
#include "server/follow.h"
#include "server/info.h"
#include "server/latency.h"
#include "server/memory.h"
#include "server/notify.h"
#include "server/pause.h"
#include "server/pubsub.h"
#include "server/saved.h"
#include "server/slowlog.h"
#include "server/timing.h"
#include "server/watchdog.h"
#include "stats/stats.h"
#include "store/store.h"

struct doors;
struct handover;
struct takeover;

struct scripts;
struct snapshots;
struct streams;

/* What a loop has for its sessions. */
/* The one request in input that on_input() is to get, its memory being brought
 * near meanwhile. */
struct near_request {
	const char *data;        /* where that input is, */
	size_t n;                /* and how long */
	uint64_t hash;
	const void *bucket;
	struct resp_single one;
};

struct server_loop {
	struct server *server;
	struct loop *loop;
	struct conn_pool *pool;
	struct store_loop *store;
	struct stats_loop stats;
	struct batch batch;
	struct binary_batch binary_batch;
	struct near_request near[CONN_AHEAD];
	struct command_memo memo;
	struct list sessions;  /* by session.link, oldest first */
	struct list watchers;  /* see monitor.h */
	struct resp_limits limits;
	struct resp_limits stranger_limits; /* before AUTH */
	struct doors *doors;   /* a reference; of the same configuration as the routes */
	pthread_t thread;
	struct read_wait *spare_wait; /* see read_wait.c */
	struct binary_wait *spare_binary; /* see binary_read.c */
	unsigned publishing;   /* messages posted to itself, see pubsub.c */
	struct timing timing;
	struct tracking_loop *tracking;
	bool tracking_due;     /* for tracking_settle() */
	struct pause pause;
	struct out unheard;    /* of CLIENT REPLY OFF and SKIP; empty between requests */
	bool draining, drained;
	struct loop_task drain;
	struct timer drain_timer;
	unsigned drain_turns;
	struct loop_task sweep; /* closes what is idle for too long */
	atomic_bool sweeping;
	struct loop_task beat;  /* of the watchdog */
	struct loop_task limit; /* see server_post_limits() */
	atomic_bool limiting;
	_Atomic(int64_t) lag_max_us; /* see timing_look() */
	_Atomic(int64_t) lag_second_us; /* likewise, since on_second() looked */
	_Atomic(unsigned) assigned; /* clients, those on their way here included */
	struct counter clients; /* sessions now; any thread reads */
	struct counter parked;  /* replies owed now */
};

struct server {
	struct server_loop *loops;
	unsigned n_loops;
	struct stats_loop **stats; /* [n_loops], for stats_sum_*() */
	struct store *store;
	struct tiers *tiers;       /* loop 0's; see store/tiers.h */
	struct pubsub *pubsub;
	struct slowlog slowlog;
	struct slowlog slow_waits; /* see waits.h */
	atomic_bool large_taken;   /* see large.h */
	struct blob_account fetched; /* see fetched.h */
	struct latency latency;
	struct saved saved;
	struct histogram lag_us;   /* the longest turn of each loop in each second; loop 0's */
	struct scripts *scripts;
	struct tracking *tracking;
	struct streams *streams;
	struct snapshots *snapshots;
	struct stats_names *names;
	struct routes *routes;     /* loop 0's; others have references of their own */
	struct handover *handover; /* NULL: none; loop 0's */
	struct takeover *takeover; /* NULL: begins by itself; until it has taken over */
	pthread_mutex_t gate;      /* held until the loops may begin */
	struct listener **listeners;
	unsigned n_listeners;
	struct admin_http *admin_http; /* NULL: none; loop 0's */
	struct doors *doors;       /* the newest */
	int64_t started_ms;        /* monotonic */
	int64_t started_unix_ms;
	char run_id[41];
	char *config_path;         /* NULL: none */
	struct info_sampler info;  /* loop 0 calls info_sample() once a second */
	_Atomic(uint64_t) next_session_id;
	_Atomic(unsigned) clients; /* of all loops, those on their way included */
	pthread_mutex_t config_lock; /* config is changed by one at a time */
	struct memory_watch memory;
	struct follow follow;
	struct timer tick, second, drain_timer, delay_timer;
	struct signal_watch sigterm, sigint, sighup;
	int (*reload)(void *arg, struct config **out, char *err, size_t n);
	void *reload_arg;
	struct loop_task stop;
	atomic_bool stop_asked, stop_at_once;
	_Atomic(unsigned) undrained; /* loops that have not answered all of their
	                              * sessions in a stop; all, before one */
	bool draining;
	int cut_by;                /* the second signal, which did not wait; 0: none */
	bool handed_over;          /* everything is another process's */
	struct notify notify;      /* nobody is told unless server_notify() */
	struct watchdog watchdog;
};

/* Everything that can fail at start fails here, with err set: 0 or -errno.
 * Takes cfg over, also on failure. `reload` builds a new configuration for
 * SIGHUP; NULL: none. */
int server_new(struct config *cfg, const char *config_path, struct server **out, char *err,
    size_t err_size) MUST_CHECK;
/* Likewise, to take the place of another process, of which t is the beginning
 * (takeover.h): the caller's, good until server_run() returns. */
int server_new_from(struct config *cfg, const char *config_path, struct takeover *t,
    struct server **out, char *err, size_t err_size) MUST_CHECK;
/* Runs until a signal or server_stop() and drains; 0 or -errno. Blocks SIGPIPE,
 * handles SIGTERM, SIGINT (drain; the second time at once, see cut_by) and SIGHUP. */
int server_run(struct server *s, int (*reload)(void *arg, struct config **out, char *err, size_t n),
    void *arg) MUST_CHECK;
/* Tells the service manager of $NOTIFY_SOCKET how it stands, from server_run() on. Before
 * that; for the one server of a process. */
void server_notify(struct server *s);
/* From any thread. */
void server_stop(struct server *s);
/* SHUTDOWN. `now`: without waiting for what is under way, but for a snapshot. */
void server_shutdown(struct server *s, bool now);
void server_free(struct server *s);

/* CONFIG SET of one option on all loops. On loop 0 or with the loops stopped;
 * any thread may ask, it is posted. 0, -EINVAL with err. */
int server_config_set(struct server *s, unsigned row, struct slice value, struct config_error *err)
    MUST_CHECK;
/* For sessions: one is gone. On its loop. */
void server_client_gone(struct server_loop *sl);
/* Borrows l's strings. */
struct listen_opts server_listen_opts(const struct config_listen *l);
const struct config *server_config(const struct server_loop *sl);
/* The Redis that clients are told of; they choose their ways by it. */
#define REDIS_VERSION_MAX 16
void server_redis_version(const struct server_loop *sl, char out[REDIS_VERSION_MAX]);
/* The number of a listener by its listener_name(), the very same; n_listeners where it
 * is none of them. */
unsigned server_listener(const struct server *s, const char *name);

#endif
