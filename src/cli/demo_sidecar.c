#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"
#include "cli/demo_parts.h"
#include "server/server.h"

#define DEADLINE_MIN_MS 2000

/* A scalar in double quotes: paths may hold anything. */
static int
append_quoted(struct buf *b, const char *s)
{
	int rc = buf_printf(b, "\"");

	for (; *s != '\0' && rc == 0; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < ' ' || c == 127)
			rc = buf_printf(b, "\\x%02x", c);
		else
			rc = buf_printf(b, c == '"' || c == '\\' ? "\\%c" : "%c", c);
	}
	return rc == 0 ? buf_printf(b, "\"") : rc;
}

int
sidecar_config(const struct demo_opts *o, uint16_t backend_port, struct buf *yaml)
{
	char deadline[FORMAT_MAX];
	int rc = buf_printf(yaml, "listen:\n  - unix: ");

	if (rc == 0)
		rc = append_quoted(yaml, o->socket);
	format_duration_ms(deadline, MAX(10 * o->latency_ms, DEADLINE_MIN_MS));
	if (rc == 0)
		rc = buf_printf(yaml, "\n"
		    "memory: 64MiB\n"
		    "namespaces:\n"
		    "  - prefix: \"user:\"\n"
		    "    name: " DEMO_NAMESPACE "\n"
		    "    origin: users\n"
		    "    path: /users/{rest}\n"
		    "    ttl: " DEMO_TTL "\n"
		    "origins:\n"
		    "  users:\n"
		    "    http:\n"
		    "      endpoints: [\"http://127.0.0.1:%u\"]\n"
		    "    deadline: %s\n"
		    "    max_connections: 128\n", backend_port, deadline);
	return rc;
}

/* The configuration is read as `serve` reads it, but from a file that is in
 * memory alone and leaves nothing behind. */
static int
load_config(struct slice yaml, struct config **out, char *err, size_t err_size)
{
	const struct config_override quiet = { "log_level", "warn" };
	int fd = memfd_create("pannier-demo.yaml", MFD_CLOEXEC);
	struct config_error why = { .text = "" };
	char path[32];
	int rc;

	if (fd < 0 || write(fd, yaml.ptr, yaml.len) != (ssize_t)yaml.len) {
		rc = fd < 0 ? -errno : -EIO;
		snprintf(err, err_size, "no file in memory for the configuration");
	} else {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		rc = config_load(path, &quiet, 1, NULL, out, &why);
		if (rc != 0)
			snprintf(err, err_size, "%.500s", why.text);
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

static void *
sidecar_main(void *arg)
{
	struct sidecar *s = arg;
	int rc = server_run(s->server, NULL, NULL);

	pthread_mutex_lock(&s->lock);
	s->ended = true;
	s->rc = rc;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void
sidecar_free(struct sidecar *s)
{
	server_free(s->server);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	mem_free(s);
}

static struct sidecar *
sidecar_new(void)
{
	struct sidecar *s = mem_zalloc(sizeof *s);
	pthread_condattr_t attr;

	if (s == NULL)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
	return s;
}

int
sidecar_start(struct slice yaml, struct sidecar **out, char *err, size_t err_size)
{
	struct sidecar *s = sidecar_new();
	struct config *cfg = NULL;
	int rc;

	if (s == NULL) {
		snprintf(err, err_size, "no memory");
		return -ENOMEM;
	}
	rc = load_config(yaml, &cfg, err, err_size);
	if (rc == 0)
		rc = server_new(cfg, NULL, &s->server, err, err_size);
	if (rc == 0) {
		rc = -pthread_create(&s->thread, NULL, sidecar_main, s);
		if (rc != 0)
			snprintf(err, err_size, "no thread for the sidecar");
	}
	if (rc != 0) {
		sidecar_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

bool
sidecar_wait(struct sidecar *s, int64_t until_us)
{
	struct timespec until = { .tv_sec = until_us / 1000000,
		.tv_nsec = until_us % 1000000 * 1000 };
	bool ended;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	while (!s->ended && rc == 0) {
		if (until_us == INT64_MAX)
			rc = pthread_cond_wait(&s->changed, &s->lock);
		else
			rc = pthread_cond_timedwait(&s->changed, &s->lock, &until);
	}
	ended = s->ended;
	pthread_mutex_unlock(&s->lock);
	return ended;
}

int
sidecar_end(struct sidecar *s)
{
	int rc;

	if (!sidecar_wait(s, 0))
		server_stop(s->server);
	pthread_join(s->thread, NULL);
	rc = s->rc;
	sidecar_free(s);
	return rc;
}
