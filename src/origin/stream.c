#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "origin/stream_format.h"
#include "origin/stream_impl.h"

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 15000

static const struct stream_ops *const kinds[] = {
	[STREAM_RABBITMQ] = &stream_rabbitmq,
	[STREAM_KAFKA] = &stream_kafka,
};

static struct log_gate malformed_gate, failed_gate;

const struct config_stream *
stream_config(const struct stream *s)
{
	return s->cfg;
}

bool
stream_is_connected(const struct stream *s)
{
	return atomic_load(&s->connected);
}

void
stream_sum(const struct stream *s, struct stream_sum *out)
{
#define STREAM_STAT(name, help) out->name = atomic_load(&s->name);
#include "stats/stats.def"

}

bool
stream_has_gap(const struct stream *s)
{
	return s->gap;
}

struct slice
stream_changes(const struct stream *s)
{
	return buf_slice(&s->changes);
}

/* --- for the kinds ---------------------------------------------------------------- */

bool
stream_is_stopping(struct stream *s)
{
	bool stopping;

	pthread_mutex_lock(&s->lock);
	stopping = s->stopping;
	pthread_mutex_unlock(&s->lock);
	return stopping;
}

static bool
refuse_message(struct stream *s, const char *why)
{
	atomic_fetch_add(&s->malformed, 1);
	log_limited(&malformed_gate, LOG_LEVEL_WARN, "invalidations %s: a message %s", s->cfg->name,
	    why);
	return false;
}

/* Out of memory is no fault of the message: all that is cached is in doubt then. */
bool
stream_take(struct stream *s, struct slice message)
{
	int rc;

	s->n_taken++;
	atomic_fetch_add(&s->messages, 1);
	if (message.len > s->cfg->max_message_bytes)
		return refuse_message(s, "is longer than max_message");
	rc = stream_format_read(s->cfg, message, &s->changes);
	if (rc == -EINVAL)
		return refuse_message(s, s->cfg->format == STREAM_PLAIN ? "is malformed" :
		    "is no JSON, or names nothing that is old");
	if (rc != 0)
		stream_gap(s);
	return true;
}

void
stream_gap(struct stream *s)
{
	if (!s->gap)
		atomic_fetch_add(&s->gaps, 1);
	s->gap = true;
}

void
stream_connected(struct stream *s)
{
	s->failures = 0;
	if (atomic_exchange(&s->connected, true))
		return;
	log_info("invalidations %s: connected", s->cfg->name);
	atomic_fetch_add(&s->connects, 1);
}

bool
stream_fail(struct stream *s, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (!stream_is_stopping(s))
		log_limited(&failed_gate, LOG_LEVEL_WARN, "invalidations %s: %s", s->cfg->name,
		    text);
	return false;
}

/* --- the thread -------------------------------------------------------------------- */

/* Until what() holds, or for so long. CLOCK_MONOTONIC by the condition's attribute. */
static void
wait_ms(struct stream *s, int64_t ms, const bool *what)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&s->lock);
	while (!*what && !s->stopping &&
	    pthread_cond_timedwait(&s->changed, &s->lock, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&s->lock);
}

/* Twice as long each time, and then anything up to that ("full jitter", Brooker 2015):
 * a broker that comes back must not be met by all of its clients at once. */
static int64_t
backoff_ms(const struct stream *s)
{
	int64_t most = BACKOFF_MAX_MS;
	uint32_t random = 0;

	if (s->failures < 8)
		most = MIN(most, (int64_t)BACKOFF_MIN_MS << s->failures);
	if (getrandom(&random, sizeof random, 0) != sizeof random)
		return most;
	return BACKOFF_MIN_MS / 2 + (int64_t)(random % (uint64_t)most);
}

/* False: it stops, and what was not applied stays the broker's. */
static bool
apply(struct stream *s)
{
	bool applied;

	pthread_mutex_lock(&s->lock);
	s->applied = false;
	applied = s->stopping;
	pthread_mutex_unlock(&s->lock);
	if (applied)
		return false;
	s->sink.apply(s->sink.arg, s);
	pthread_mutex_lock(&s->lock);
	while (!s->applied && !s->stopping)
		pthread_cond_wait(&s->changed, &s->lock);
	applied = s->applied;
	pthread_mutex_unlock(&s->lock);
	return applied;
}

static bool
turn(struct stream *s)
{
	/* A gap must not wait for the next message. */
	if (!s->gap && !s->kind->receive(s))
		return false;
	if (s->n_taken == 0 && !s->gap)
		return true;
	if (s->gap || buf_len(&s->changes) != 0) {
		if (!apply(s))
			return false;
		s->gap = false;
		buf_clear(&s->changes);
	}
	s->n_taken = 0;
	return s->kind->ack(s);
}

/* One connection, from its beginning to its end. What was read and not applied comes
 * again, but a gap stays one. */
static void
run_connection(struct stream *s)
{
	if (s->kind->open(s))
		while (!stream_is_stopping(s) && turn(s))
			;
	s->kind->close(s);
	atomic_store(&s->connected, false);
	buf_clear(&s->changes);
	s->n_taken = 0;
}

static void *
stream_main(void *arg)
{
	struct stream *s = arg;
	const bool never = false;

	while (!stream_is_stopping(s)) {
		run_connection(s);
		s->endpoint++;
		wait_ms(s, backoff_ms(s), &never);
		s->failures++;
	}
	return NULL;
}

void
stream_applied(struct stream *s)
{
	pthread_mutex_lock(&s->lock);
	s->applied = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

/* --- its life ------------------------------------------------------------------------ */

static int
read_password(struct stream *s, char *err, size_t err_size)
{
	struct config_error why;
	bool exposed = false;
	int rc = 0;

	if (s->cfg->password_file != NULL)
		rc = password_read(s->cfg->password_file, &s->password, &exposed, &why);
	if (rc != 0)
		snprintf(err, err_size, "invalidations: %s: password_file: %s", s->cfg->name,
		    why.text);
	else if (exposed)
		log_warn("invalidations %s: %s can be read by any user of this machine",
		    s->cfg->name, s->cfg->password_file);
	return rc;
}

static void
init_lock(struct stream *s)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&s->lock, NULL);
}

int
stream_new(const struct config_stream *cfg, const struct stream_sink *sink, struct stream **out,
    char *err, size_t err_size)
{
	struct stream *s = mem_zalloc(sizeof *s);
	char why[256];
	int rc;

	if (s == NULL) {
		snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	s->cfg = cfg;
	s->sink = *sink;
	s->kind = kinds[cfg->kind];
	buf_init(&s->changes);
	init_lock(s);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = s->wake_fd < 0 ? -errno : s->kind->prepare(why, sizeof why);
	if (rc != 0)
		snprintf(err, err_size, "invalidations: %s: %s", cfg->name,
		    s->wake_fd < 0 ? strerror(-rc) : why);
	else
		rc = read_password(s, err, err_size);
	if (rc != 0) {
		stream_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

int
stream_start(struct stream *s)
{
	int rc = pthread_create(&s->thread, NULL, stream_main, s);

	s->started = rc == 0;
	return -rc;
}

void
stream_stop(struct stream *s)
{
	if (!s->started)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	s->kind->wake(s);
	pthread_join(s->thread, NULL);
	s->started = false;
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	password_fini(&s->password);
	buf_fini(&s->changes);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	mem_free(s);
}
