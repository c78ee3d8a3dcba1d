#include "config.h"

#include "server/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

#define BUFFERS_MIN (1u << 20)
#define BUFFERS_SHARE 64 /* of the limit */
#define MARGIN_MIN (512u << 10)
#define MARGIN_SHARE 256
/* Of the code that starting leaves behind, serving uses about this much again. */
#define CODE_BYTES (2560u << 10)
/* It may be dropped again soon after, for much comes back with the first requests,
 * and then ever more seldom. */
#define DROP_AGAIN_MS 1000
#define DROP_SELDOM_MS 60000
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

/* --- code --------------------------------------------------------------------- */

/* What is never written holds nothing that the file has not, but a debugger's
 * breakpoints. Relocated pages lie in segments that were writable when they were
 * loaded. */
static int
drop_segments(struct dl_phdr_info *object, size_t size UNUSED, void *arg UNUSED)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	for (unsigned i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &object->dlpi_phdr[i];
		uintptr_t from = (object->dlpi_addr + h->p_vaddr) & ~(page - 1);
		uintptr_t to = object->dlpi_addr + h->p_vaddr + h->p_memsz;

		if (h->p_type == PT_LOAD && !(h->p_flags & PF_W))
			madvise((void *)from, to - from, MADV_DONTNEED); /* a wish */
	}
	return 0;
}

static void
drop_code(void)
{
	dl_iterate_phdr(drop_segments, NULL);
}

uint64_t
memory_base(void)
{
	uint64_t before = memory_resident(), after;

	drop_code();
	after = memory_resident();
	return after + MIN(before > after ? before - after : 0, CODE_BYTES);
}

/* --- the watch ---------------------------------------------------------------- */

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

/* What is resident beside the arena. */
static uint64_t
read_rest(const struct memory_watch *w, const struct cache *c)
{
	uint64_t resident = read_resident(w->statm_fd);
	struct cache_stats st;

	cache_stats(c, &st);
	return resident > st.used_bytes ? resident - st.used_bytes : 0;
}

static void
drop_code_at_times(struct memory_watch *w, int64_t now_ms)
{
	drop_code();
	w->drop_gap_ms = MIN(w->drop_gap_ms != 0 ? 2 * w->drop_gap_ms : DROP_AGAIN_MS,
	    DROP_SELDOM_MS);
	w->next_drop_ms = now_ms + w->drop_gap_ms;
}

void
memory_watch_follow(struct memory_watch *w, struct cache *c, const struct memory_plan *plan)
{
	uint64_t was = w->plan.limit_bytes + w->above_bytes;

	w->above_bytes = was > plan->limit_bytes ? was - plan->limit_bytes : 0;
	w->plan = *plan;
	if (w->above_bytes == 0 && cache_resize(c, plan->arena_bytes) == 0)
		w->arena_bytes = plan->arena_bytes;
}

void
memory_purge(struct cache *c)
{
	drop_code();
	cache_give_back(c);
	mem_purge();
}

void
memory_watch_hold(struct memory_watch *w, uint64_t bytes)
{
	w->held_bytes = MIN(bytes, w->plan.arena_bytes / 2) / STEP_BYTES * STEP_BYTES;
}

/* The plan of now: on the way down there is more for the arena, under pressure less. */
static struct memory_plan
step_down(struct memory_watch *w)
{
	struct memory_plan p = w->plan;
	uint64_t step = MAX((p.limit_bytes + w->above_bytes) / MEMORY_STEP_SHARE, STEP_BYTES), held;

	w->above_bytes -= MIN(w->above_bytes, step);
	w->above_bytes -= w->above_bytes % STEP_BYTES;
	p.limit_bytes += w->above_bytes;
	p.arena_bytes += w->above_bytes;
	held = MIN(w->held_bytes, p.arena_bytes - MIN(p.arena_bytes, CACHE_BUDGET_MIN));
	p.limit_bytes -= held;
	p.arena_bytes -= held;
	return p;
}

void
memory_watch_look(struct memory_watch *w, struct cache *c, int64_t now_ms)
{
	const struct memory_plan plan = step_down(w), *p = &plan;
	uint64_t rest = read_rest(w, c), wanted;

	if (rest > p->base_bytes + p->margin_bytes / 2 && now_ms >= w->next_drop_ms) {
		drop_code_at_times(w, now_ms);
		rest = read_rest(w, c);
	}
	if (rest == 0)
		return;
	rest += p->margin_bytes; /* for what comes before the next look */
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
