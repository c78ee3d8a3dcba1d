#include "config.h"

#include "server/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define BUFFERS_MIN (1u << 20)
#define BUFFERS_SHARE 64 /* of the limit */
#define MARGIN_MIN (768u << 10)
#define MARGIN_SHARE 256
/* The arena follows the rest in steps of this, not each page of it. */
#define STEP_BYTES (256u << 10)

int
memory_plan(uint64_t limit_bytes, uint64_t base_bytes, uint64_t buffers_bytes,
    struct memory_plan *out)
{
	struct memory_plan p = {
		.limit_bytes = limit_bytes,
		.base_bytes = base_bytes,
		.buffers_bytes = buffers_bytes != 0 ? buffers_bytes
		                                    : MAX(limit_bytes / BUFFERS_SHARE, BUFFERS_MIN),
		.margin_bytes = MAX(limit_bytes / MARGIN_SHARE, MARGIN_MIN),
	};
	uint64_t rest = p.base_bytes + p.buffers_bytes + p.margin_bytes;

	if (limit_bytes < rest + CACHE_BUDGET_MIN)
		return -EINVAL;
	p.arena_bytes = limit_bytes - rest;
	*out = p;
	return 0;
}

static int
open_statm(void)
{
	return open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

static uint64_t
read_resident(int fd)
{
	unsigned long long size, resident;
	char text[128];
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (sscanf(text, "%llu %llu", &size, &resident) != 2)
		return 0;
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t
memory_resident(void)
{
	int fd = open_statm();
	uint64_t resident = read_resident(fd);

	if (fd >= 0)
		close(fd);
	return resident;
}

void
memory_watch_init(struct memory_watch *w)
{
	w->statm_fd = open_statm();
}

void
memory_watch_fini(struct memory_watch *w)
{
	if (w->statm_fd >= 0)
		close(w->statm_fd);
}

void
memory_watch_look(struct memory_watch *w, struct cache *c)
{
	const struct memory_plan *p = &w->plan;
	uint64_t resident = read_resident(w->statm_fd), rest, wanted;
	struct cache_stats st;

	cache_stats(c, &st);
	if (resident <= st.used_bytes)
		return;
	/* Half the margin is for what comes before the next look. */
	rest = resident - st.used_bytes + p->margin_bytes / 2;
	wanted = p->arena_bytes;
	if (rest > p->limit_bytes - p->arena_bytes)
		wanted = rest < p->limit_bytes ? p->limit_bytes - rest : 0;
	wanted = MAX(wanted, CACHE_BUDGET_MIN);
	if (wanted != p->arena_bytes)
		wanted -= wanted % STEP_BYTES;
	/* Down at once, up only by more than a step: no see-saw. */
	if (wanted < w->arena_bytes || wanted >= w->arena_bytes + 2 * STEP_BYTES ||
	    (wanted == p->arena_bytes && wanted != w->arena_bytes)) {
		if (cache_resize(c, wanted) == 0)
			w->arena_bytes = wanted;
	}
}
