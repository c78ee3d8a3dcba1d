#include "config.h"

#include "server/snapshots.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/internal.h"
#include "server/snapshots_impl.h"
#include "stats/metrics.h"

#define STACK_BYTES (256u << 10) /* few of it are used */
/* Notes, blocks, what of its stack a thread uses, and the heap's overhead. */
#define PLAN_BYTES (STORE_RESTORE_BYTES + 3 * (uint64_t)SNAPSHOT_BLOCK + (128u << 10))

static const struct config *
config_now(const struct snapshots *sn)
{
	return server_config(&sn->server->loops[0]);
}

uint64_t
snapshots_bytes(const struct config *cfg)
{
	return cfg->snapshot_path != NULL ? PLAN_BYTES : 0;
}

bool
snapshots_has_path(const struct snapshots *sn)
{
	return sn->path != NULL;
}

static void thread_ended(struct loop *l, struct loop_task *t);

int
snapshots_new(struct server *s, const struct config *cfg, struct snapshots **out)
{
	struct snapshots *sn = mem_zalloc(sizeof *sn);

	if (sn == NULL)
		return -ENOMEM;
	if (cfg->snapshot_path != NULL && (sn->path = mem_strdup(cfg->snapshot_path)) == NULL) {
		mem_free(sn);
		return -ENOMEM;
	}
	sn->server = s;
	sn->ended.run = thread_ended;
	sn->status.path = sn->path;
	sn->status.saved_ms = sn->status.load_ms = -1;
	list_init(&sn->waiters);
	pthread_mutex_init(&sn->lock, NULL);
	pthread_cond_init(&sn->load.idle, NULL);
	*out = sn;
	return 0;
}

void
snapshots_free(struct snapshots *sn)
{
	if (sn == NULL)
		return;
	routes_unref(sn->routes);
	pthread_cond_destroy(&sn->load.idle);
	pthread_mutex_destroy(&sn->lock);
	mem_free(sn->path);
	mem_free(sn);
}

/* --- the thread ------------------------------------------------------------------------ */

/* Signals are loop 0's alone. */
int
snapshots_thread(struct snapshots *sn, void *(*fn)(void *arg))
{
	pthread_attr_t attr;
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	rc = pthread_create(&sn->thread, &attr, fn, sn);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	sn->live = rc == 0;
	return -rc;
}

void
snapshots_thread_ended(struct snapshots *sn)
{
	loop_post(sn->server->loops[0].loop, &sn->ended);
}

/* Once, whether by loop 0 or at the end. */
static void
join(struct snapshots *sn)
{
	if (sn->live)
		pthread_join(sn->thread, NULL);
	sn->live = false;
}

/* --- writing ----------------------------------------------------------------------------- */

static bool
is_stopped(void *arg)
{
	struct snapshots *sn = arg;

	return atomic_load_explicit(&sn->stop, memory_order_relaxed);
}

static int
write_file(struct snapshots *sn, struct snapshot_sum *sum)
{
	struct save_opts o = { .routes = sn->routes, .stop = is_stopped, .arg = sn,
		.progress = &sn->progress };
	struct snapshot_file f;
	int rc = snapshot_file_create(&f, sn->path);

	if (rc != 0)
		return rc;
	o.fd = f.fd;
	rc = store_save(sn->server->store, &o, sum);
	if (rc == 0)
		return snapshot_file_commit(&f);
	snapshot_file_abort(&f);
	return rc;
}

int64_t
snapshots_stored(const struct server *s)
{
	struct stats_sum_ns one;
	int64_t stored = 0;

	for (unsigned id = 0; id < stats_ns_count(s->names); id++) {
		stats_sum_ns(s->stats, s->n_loops, id, &one);
		stored += one.stored;
	}
	return stored;
}

static void
note_saved_locked(struct snapshots *sn, const struct snapshot_sum *sum, int64_t took_ms)
{
	struct snapshots_status *st = &sn->status;

	st->saved_unix_ms = sum->ended_ms;
	st->saved_ms = took_ms;
	st->saved_stored = sn->stored;
	st->saved_entries = sum->entries;
	st->saved_bytes = sum->bytes;
	st->saved_passed = atomic_load(&sn->progress.passed);
	st->saves++;
	st->error[0] = '\0';
	log_info("snapshot: %llu entries, %llu KiB written to %s in %lld ms",
	    (unsigned long long)sum->entries, (unsigned long long)sum->bytes >> 10, sn->path,
	    (long long)took_ms);
	if (st->saved_passed != 0)
		log_warn("snapshot: %llu entries were left out: too large, and clients are sent "
		    "too much", (unsigned long long)st->saved_passed);
}

static void
note_failed_locked(struct snapshots *sn, int rc)
{
	struct snapshots_status *st = &sn->status;

	st->failures++;
	snprintf(st->error, sizeof st->error, "%s", rc == -ECANCELED ?
	    "it was not done when the daemon had to stop" : strerror(-rc));
	log_warn("snapshot: %s: %s; the last one, if there is one, stays as it was", sn->path,
	    st->error);
}

static void *
save_main(void *arg)
{
	struct snapshots *sn = arg;
	int64_t begun_ms = clock_mono_ms();
	struct snapshot_sum sum;
	int rc;

	pthread_setname_np(pthread_self(), "snapshot");
	rc = write_file(sn, &sum);
	pthread_mutex_lock(&sn->lock);
	if (rc == 0)
		note_saved_locked(sn, &sum, clock_mono_ms() - begun_ms);
	else
		note_failed_locked(sn, rc);
	pthread_mutex_unlock(&sn->lock);
	snapshots_thread_ended(sn);
	return NULL;
}

/* Those of now; before the lock is taken. */
static struct routes *
routes_now(struct snapshots *sn)
{
	struct routes *r;

	pthread_mutex_lock(&sn->server->config_lock);
	r = routes_ref(sn->server->routes);
	pthread_mutex_unlock(&sn->server->config_lock);
	return r;
}

/* On 0 the reference is taken over. */
static int
begin_save_locked(struct snapshots *sn, struct routes **routes)
{
	int rc;

	if (sn->path == NULL)
		return -ENOENT;
	if (sn->status.state == SNAPSHOTS_SAVING)
		return -EALREADY;
	if (sn->status.state == SNAPSHOTS_LOADING)
		return -EBUSY;
	if (atomic_load(&sn->stop))
		return -EAGAIN;
	sn->routes = *routes;
	sn->begun_ms = clock_mono_ms();
	sn->stored = snapshots_stored(sn->server);
	sn->expected = cache_count(store_cache(sn->server->store));
	atomic_store(&sn->progress.entries, 0);
	atomic_store(&sn->progress.bytes, 0);
	atomic_store(&sn->progress.passed, 0);
	rc = snapshots_thread(sn, save_main);
	if (rc == 0) {
		sn->status.state = SNAPSHOTS_SAVING;
		*routes = NULL;
		return 0;
	}
	sn->routes = NULL;
	note_failed_locked(sn, rc);
	return -EAGAIN;
}

int
snapshots_save(struct snapshots *sn)
{
	struct routes *r = routes_now(sn);
	int rc;

	pthread_mutex_lock(&sn->lock);
	rc = begin_save_locked(sn, &r);
	pthread_mutex_unlock(&sn->lock);
	routes_unref(r);
	return rc;
}

/* --- who waits ------------------------------------------------------------------------------ */

static void
tell(struct loop *l, struct loop_task *t)
{
	struct snapshots_waiter *w = container_of(t, struct snapshots_waiter, task);

	(void)l;
	w->done(w);
}

void
snapshots_wait(struct snapshots *sn, struct snapshots_waiter *w, struct server_loop *sl,
    void (*done)(struct snapshots_waiter *w))
{
	*w = (struct snapshots_waiter){ .task.run = tell, .home = sl, .done = done };
	pthread_mutex_lock(&sn->lock);
	if (sn->status.state == SNAPSHOTS_SAVING) {
		list_push_tail(&sn->waiters, &w->link);
	} else { /* loop 0 was that fast */
		list_init(&w->link);
		w->failed = sn->status.error[0] != '\0';
		loop_post(sl->loop, &w->task);
	}
	pthread_mutex_unlock(&sn->lock);
}

bool
snapshots_leave(struct snapshots *sn, struct snapshots_waiter *w)
{
	bool waits;

	pthread_mutex_lock(&sn->lock);
	waits = !list_empty(&w->link);
	list_del(&w->link);
	pthread_mutex_unlock(&sn->lock);
	w->left = !waits;
	return waits;
}

static void
tell_all_locked(struct snapshots *sn)
{
	struct list *it;

	while ((it = list_pop_head(&sn->waiters)) != NULL) {
		struct snapshots_waiter *w = list_entry(it, struct snapshots_waiter, link);

		list_init(&w->link);
		w->failed = sn->status.error[0] != '\0';
		loop_post(w->home->loop, &w->task);
	}
}

/* --- the end of what was under way ------------------------------------------------------------ */

static bool
wants_last_locked(const struct snapshots *sn, const struct routes *r)
{
	if (sn->path == NULL || sn->at_stop == SNAPSHOT_NOT_AT_STOP)
		return false;
	return sn->at_stop == SNAPSHOT_AT_STOP || routes_config(r)->snapshot_on_stop;
}

/* True: it is under way. */
static bool
begin_last_locked(struct snapshots *sn, struct routes **r)
{
	sn->saving_last = begin_save_locked(sn, r) == 0;
	return sn->saving_last;
}

/* Loop 0. Also where the loops are taken down with this still posted. */
static void
thread_ended(struct loop *l, struct loop_task *t)
{
	struct snapshots *sn = container_of(t, struct snapshots, ended);
	struct routes *r = routes_now(sn);
	bool loops_end;

	(void)l;
	pthread_mutex_lock(&sn->lock);
	join(sn);
	if (sn->status.state == SNAPSHOTS_LOADING)
		loader_fini(sn);
	sn->status.state = SNAPSHOTS_IDLE;
	routes_unref(sn->routes);
	sn->routes = NULL;
	tell_all_locked(sn);
	/* One that was under way when the server began to stop is not the last one. */
	loops_end = sn->stopping && (sn->saving_last || !begin_last_locked(sn, &r));
	pthread_mutex_unlock(&sn->lock);
	routes_unref(r);
	if (loops_end)
		sn->then(sn->server);
}

bool
snapshots_save_at_stop(struct snapshots *sn, void (*then)(struct server *s))
{
	struct routes *r = routes_now(sn);
	bool waits = false;

	pthread_mutex_lock(&sn->lock);
	sn->then = then;
	if (sn->stopping)
		waits = sn->status.state == SNAPSHOTS_SAVING;
	else if (wants_last_locked(sn, r) && sn->status.state == SNAPSHOTS_LOADING)
		log_warn("snapshot: %s was still being loaded, and stays as it is", sn->path);
	else if (wants_last_locked(sn, r))
		waits = sn->stopping = sn->status.state == SNAPSHOTS_SAVING ||
		    begin_last_locked(sn, &r);
	pthread_mutex_unlock(&sn->lock);
	routes_unref(r);
	return waits;
}

void
snapshots_set_at_stop(struct snapshots *sn, int how)
{
	pthread_mutex_lock(&sn->lock);
	sn->at_stop = how;
	pthread_mutex_unlock(&sn->lock);
}

void
snapshots_stop(struct snapshots *sn)
{
	atomic_store(&sn->stop, true);
	pthread_mutex_lock(&sn->lock);
	pthread_cond_signal(&sn->load.idle);
	sn->stopping = false;
	pthread_mutex_unlock(&sn->lock);
	join(sn);
	loader_stop(sn);
}

/* --- what is told ----------------------------------------------------------------------------- */

bool
snapshots_holds_ready(struct snapshots *sn)
{
	bool loads;

	pthread_mutex_lock(&sn->lock);
	loads = sn->status.state == SNAPSHOTS_LOADING;
	pthread_mutex_unlock(&sn->lock);
	return loads && config_now(sn)->ready_when_loaded;
}

void
snapshots_status(struct snapshots *sn, struct snapshots_status *out)
{
	pthread_mutex_lock(&sn->lock);
	*out = sn->status;
	if (out->state != SNAPSHOTS_IDLE)
		out->since_ms = clock_mono_ms() - sn->begun_ms;
	if (out->state == SNAPSHOTS_SAVING) {
		out->save_now = atomic_load(&sn->progress.entries);
		out->save_expected = sn->expected;
		out->progress = (double)out->save_now / (double)MAX(sn->expected, 1u);
	}
	loader_status(sn, out);
	pthread_mutex_unlock(&sn->lock);
	out->progress = MIN(out->progress, 1.0);
}

static void
gauge(struct metrics *m, const char *name, const char *help, double value)
{
	metrics_family(m, name, METRIC_GAUGE, help);
	metrics_double(m, NULL, NULL, value);
}

static void
count(struct metrics *m, const char *name, const char *help, uint64_t value)
{
	metrics_family(m, name, METRIC_COUNTER, help);
	metrics_int(m, NULL, NULL, (int64_t)value);
}

void
snapshots_metrics(struct metrics *m, struct snapshots *sn)
{
	struct snapshots_status st;

	snapshots_status(sn, &st);
	gauge(m, "snapshot_saving", "1 while a snapshot is written.",
	    st.state == SNAPSHOTS_SAVING);
	gauge(m, "snapshot_loading", "1 while a snapshot is loaded.",
	    st.state == SNAPSHOTS_LOADING);
	gauge(m, "snapshot_last_save_timestamp_seconds",
	    "Unix time of the last snapshot that this process wrote; 0: none.",
	    (double)st.saved_unix_ms / 1e3);
	gauge(m, "snapshot_last_save_duration_seconds", "What it took to write; 0: none.",
	    (double)MAX(st.saved_ms, 0) / 1e3);
	gauge(m, "snapshot_last_save_entries", "Entries of it.", (double)st.saved_entries);
	gauge(m, "snapshot_last_save_bytes", "Its size.", (double)st.saved_bytes);
	count(m, "snapshot_saves", "Snapshots written.", st.saves);
	count(m, "snapshot_save_failures", "Snapshots that could not be written.", st.failures);
	count(m, "snapshot_loaded_entries", "Entries that came back from a snapshot.", st.loaded);
	count(m, "snapshot_load_failures", "Snapshots that could not be loaded to their end.",
	    st.load_error[0] != '\0');
	gauge(m, "snapshot_load_duration_seconds",
	    "What loading took, or takes; 0: there was none.", (double)MAX(st.load_ms, 0) / 1e3);
}
