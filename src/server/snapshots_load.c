/* Loading: a thread reads blocks and looks whether they are right; a loop puts the entries
 * of one back in steps between its turns, while the thread reads the next. So whatever an
 * entry needs of configuration, counters and cache is had where requests have it. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/internal.h"
#include "server/snapshots_impl.h"
#include "store/meta.h"

#define STEP_US 500
#define STEP_ENTRIES 16 /* between two looks at the clock */
/* Of a large record at a time; what clients' buffers may have is for this too. */
#define LARGE_SHARE 2

_Static_assert(sizeof((struct loader *)0)->meta >= META_MAX, "a record has room");

static int64_t
wall_less_mono_ms(void)
{
	return clock_wall_ms() - clock_mono_ms();
}

/* --- a loop's part --------------------------------------------------------------------- */

static uint64_t
about_footprint(const struct cache_dumped *d)
{
	return d->key.len + d->value.len + d->record.len + 28;
}

/* More lies in the snapshot than there is room for now: what eviction would take first. */
static bool
is_skipped(struct loader *ld, const struct cache_dumped *d)
{
	if (d->is_protected || ld->seen_bytes >= ld->skip_bytes)
		return false;
	ld->seen_bytes += about_footprint(d);
	atomic_fetch_add_explicit(&ld->passed, 1, memory_order_relaxed);
	return true;
}

static void
give_up(struct loader *ld, const char *why)
{
	ld->given_up = true;
	ld->why = why;
}

/* False: nothing more of this block. */
static bool
put_one(struct snapshots *sn)
{
	struct loader *ld = &sn->load;
	struct cache_dumped d;
	enum restored how;
	int rc = snapshot_block_next(&ld->reader, ld->block, ld->meta, &d);

	if (rc < 0)
		give_up(ld, "a record says what cannot be");
	if (rc <= 0)
		return false;
	if (is_skipped(ld, &d))
		return true;
	how = store_restore(ld->sl->store, &d, ld->same_policy);
	atomic_fetch_add_explicit(&ld->counts[how], 1, memory_order_relaxed);
	if (how == RESTORED_STOPPED)
		give_up(ld, "a flush, or very many invalidations, came meanwhile: what was still "
		    "to come may be old");
	return how != RESTORED_STOPPED;
}

static void
block_done(struct snapshots *sn)
{
	pthread_mutex_lock(&sn->lock);
	sn->load.busy = false;
	pthread_cond_signal(&sn->load.idle);
	pthread_mutex_unlock(&sn->lock);
}

static void
put_some(struct timer *t)
{
	struct snapshots *sn = container_of(t, struct snapshots, load.timer);
	struct loader *ld = &sn->load;
	int64_t end_us = clock_mono_us() + STEP_US;
	bool more = true;

	store_loop_set_now(ld->sl->store, loop_now_ms(ld->sl->loop));
	do {
		for (int i = 0; i < STEP_ENTRIES && more; i++)
			more = put_one(sn);
	} while (more && clock_mono_us() < end_us);
	if (more)
		timer_start(t, 0);
	else
		block_done(sn);
}

static void
block_came(struct loop *l, struct loop_task *t)
{
	struct snapshots *sn = container_of(t, struct snapshots, load.task);

	if (atomic_load(&sn->stop)) /* the loop is taken down */
		return;
	if (!sn->load.timer_ready)
		timer_init(&sn->load.timer, l, put_some);
	sn->load.timer_ready = true;
	timer_start(&sn->load.timer, 0);
}

/* --- the thread's ----------------------------------------------------------------------- */

/* Until the loop has put back what it has. False: it is over. */
static bool
wait_idle(struct snapshots *sn)
{
	struct loader *ld = &sn->load;
	bool on;

	pthread_mutex_lock(&sn->lock);
	while (ld->busy && !atomic_load(&sn->stop))
		pthread_cond_wait(&ld->idle, &sn->lock);
	on = !ld->busy && !ld->given_up && !atomic_load(&sn->stop);
	pthread_mutex_unlock(&sn->lock);
	return on;
}

static void
hand_over(struct snapshots *sn, struct snapshot_block *b)
{
	struct loader *ld = &sn->load;

	pthread_mutex_lock(&sn->lock);
	ld->block = b;
	ld->busy = true;
	pthread_mutex_unlock(&sn->lock);
	loop_post(ld->sl->loop, &ld->task);
}

/* 0: all of it was right. */
static int
read_blocks(struct snapshots *sn)
{
	struct loader *ld = &sn->load;
	int rc = 1;

	for (unsigned i = 0; rc > 0; i ^= 1) {
		rc = snapshot_reader_next(&ld->reader, &ld->blocks[i]);
		atomic_store(&ld->too_large, ld->reader.passed);
		/* A large one alone: nothing else is held meanwhile. */
		if (!wait_idle(sn))
			return -ECANCELED;
		if (rc <= 0)
			break;
		hand_over(sn, &ld->blocks[i]);
		if (ld->blocks[i].len > SNAPSHOT_BLOCK && !wait_idle(sn))
			return -ECANCELED;
	}
	return rc;
}

static void
tell_end_locked(struct snapshots *sn, int rc)
{
	struct snapshots_status *st = &sn->status;
	uint64_t loaded = atomic_load(&sn->load.counts[RESTORED]);

	st->load_ms = clock_mono_ms() - sn->begun_ms;
	st->load_ended = true;
	if (rc == 0)
		log_info("snapshot: %llu entries loaded from %s in %lld ms",
		    (unsigned long long)loaded, sn->path, (long long)st->load_ms);
	else if (atomic_load(&sn->stop))
		snprintf(st->load_error, sizeof st->load_error, "the daemon had to stop");
	else
		snprintf(st->load_error, sizeof st->load_error, "%s",
		    sn->load.given_up ? sn->load.why : sn->load.reader.error);
	if (rc != 0)
		log_warn("snapshot: %s: %s; %llu entries were loaded", sn->path, st->load_error,
		    (unsigned long long)loaded);
}

static void *
load_main(void *arg)
{
	struct snapshots *sn = arg;
	int rc;

	pthread_setname_np(pthread_self(), "snapshot");
	rc = read_blocks(sn);
	close(sn->load.reader.fd);
	pthread_mutex_lock(&sn->lock);
	tell_end_locked(sn, rc);
	pthread_mutex_unlock(&sn->lock);
	snapshots_thread_ended(sn);
	return NULL;
}

/* --- before the loops run ------------------------------------------------------------------- */

static void
refuse(struct snapshots *sn, const char *why)
{
	snprintf(sn->status.load_error, sizeof sn->status.load_error, "%s", why);
	log_warn("snapshot: %s is not loaded: %s", sn->path, why);
}

/* Not too old; and not of a time that is still to come, for then one of the two clocks was
 * wrong, and times to live with it. */
static bool
is_young(struct snapshots *sn, int64_t ended_ms)
{
	int64_t most_ms = server_config(&sn->server->loops[0])->snapshot_max_age;
	int64_t age_ms = clock_wall_ms() - ended_ms;
	char why[SNAPSHOT_ERROR];

	if (most_ms == 0 || (age_ms <= most_ms && age_ms >= -most_ms))
		return true;
	snprintf(why, sizeof why, age_ms >= 0 ?
	    "it is %lld s old, and snapshot_max_age is %lld s" :
	    "it was written %lld s in the future, by the clock of now; snapshot_max_age is %lld s",
	    (long long)(age_ms < 0 ? -age_ms : age_ms) / 1000, (long long)most_ms / 1000);
	refuse(sn, why);
	return false;
}

/* Head and tail are right, and it may be loaded: a descriptor; below 0: it was told why not. */
static int
open_good(struct snapshots *sn)
{
	struct loader *ld = &sn->load;
	char error[SNAPSHOT_ERROR] = "";
	uint64_t size;
	int fd = snapshot_file_open(sn->path, &size, error);
	int rc;

	if (fd < 0) {
		if (fd == -ENOENT)
			log_info("snapshot: %s: there is none yet", sn->path);
		else
			refuse(sn, error);
		return fd;
	}
	rc = snapshot_sum_of_file(fd, size, &ld->sum, error);
	if (rc == 0) {
		rc = snapshot_reader_init(&ld->reader, fd,
		    sn->server->memory.plan.buffers_bytes / LARGE_SHARE, wall_less_mono_ms());
		snprintf(error, sizeof error, "%s", ld->reader.error);
	}
	if (rc != 0)
		refuse(sn, error);
	else if (is_young(sn, ld->sum.ended_ms))
		return fd;
	close(fd);
	return -EINVAL;
}

static void
prepare(struct snapshots *sn)
{
	struct loader *ld = &sn->load;
	struct server *s = sn->server;
	uint64_t room = s->memory.arena_bytes - s->memory.arena_bytes / 32;

	ld->sl = &s->loops[s->n_loops - 1];
	ld->task.run = block_came;
	ld->same_policy = ld->reader.policy == server_config(ld->sl)->eviction;
	ld->skip_bytes = ld->sum.footprint > room ? ld->sum.footprint - room : 0;
	snapshot_block_init(&ld->blocks[0]);
	snapshot_block_init(&ld->blocks[1]);
	sn->begun_ms = clock_mono_ms();
}

void
snapshots_load(struct snapshots *sn)
{
	int fd = sn->path != NULL ? open_good(sn) : -ENOENT;
	int rc;

	if (fd < 0)
		return;
	prepare(sn);
	rc = store_restore_begin(sn->server->store);
	if (rc == 0) {
		sn->status.state = SNAPSHOTS_LOADING;
		rc = snapshots_thread(sn, load_main);
	}
	if (rc == 0)
		return;
	sn->status.state = SNAPSHOTS_IDLE;
	store_restore_end(sn->server->store);
	close(fd);
	refuse(sn, strerror(-rc));
}

/* --- the end ---------------------------------------------------------------------------------- */

void
loader_fini(struct snapshots *sn)
{
	store_restore_end(sn->server->store);
	snapshot_block_fini(&sn->load.blocks[0]);
	snapshot_block_fini(&sn->load.blocks[1]);
}

void
loader_stop(struct snapshots *sn)
{
	if (sn->load.timer_ready)
		timer_stop(&sn->load.timer);
	sn->load.timer_ready = false;
	loader_fini(sn);
}

void
loader_status(struct snapshots *sn, struct snapshots_status *out)
{
	struct loader *ld = &sn->load;

	out->loaded = atomic_load(&ld->counts[RESTORED]);
	out->load_expired = atomic_load(&ld->counts[RESTORED_EXPIRED]);
	out->load_newer = atomic_load(&ld->counts[RESTORED_NEWER]);
	out->load_tier = atomic_load(&ld->counts[RESTORED_TIER]);
	out->load_refused = atomic_load(&ld->counts[RESTORED_REFUSED]) +
	    atomic_load(&ld->counts[RESTORED_NO_MEMORY]) + atomic_load(&ld->too_large);
	out->load_passed = atomic_load(&ld->passed);
	if (out->state != SNAPSHOTS_LOADING)
		return;
	out->load_ms = out->since_ms;
	out->progress = (double)(out->loaded + out->load_expired + out->load_newer +
	    out->load_tier + out->load_refused + out->load_passed) /
	    (double)MAX(ld->sum.entries, 1u);
}
