#include "config.h"

/* Of an application that has an allocator of its own. */
#ifdef PANNIER_LIBRARY
#undef HAVE_JEMALLOC
#endif

#include "base/mem.h"
#include "base/util.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef HAVE_JEMALLOC
#include <jemalloc/jemalloc.h>
#else
#include <malloc.h>
#endif

/* fail_armed is the only word that the normal path reads. */
static atomic_bool fail_armed;
static atomic_ulong fail_seen;
static atomic_ulong fail_at;
static atomic_int fail_onwards;

static bool
must_fail(void)
{
	unsigned long n, at;

	if (!atomic_load_explicit(&fail_armed, memory_order_relaxed))
		return false;
	n = atomic_fetch_add(&fail_seen, 1) + 1;
	at = atomic_load(&fail_at);
	if (at == 0)
		return false;
	return n == at || (n > at && atomic_load(&fail_onwards));
}

void
mem_fail_nth(unsigned long n, int onwards)
{
	atomic_store(&fail_seen, 0);
	atomic_store(&fail_at, n);
	atomic_store(&fail_onwards, onwards);
	/* Stays armed once used, so that mem_fail_seen() can count a dry run. */
	atomic_store(&fail_armed, true);
}

unsigned long
mem_fail_seen(void)
{
	return atomic_load(&fail_seen);
}

void *
mem_alloc(size_t size)
{
	return must_fail() ? NULL : malloc(size ? size : 1);
}

void *
mem_zalloc(size_t size)
{
	return must_fail() ? NULL : calloc(1, size ? size : 1);
}

void *
mem_calloc(size_t n, size_t size)
{
	if (n != 0 && size > SIZE_MAX / n)
		return NULL;
	return mem_zalloc(n * size);
}

void *
mem_realloc(void *ptr, size_t size)
{
	return must_fail() ? NULL : realloc(ptr, size ? size : 1);
}

char *
mem_slicedup(struct slice s)
{
	char *copy = mem_alloc(s.len + 1);

	if (copy == NULL)
		return NULL;
	if (s.len != 0)
		memcpy(copy, s.ptr, s.len);
	copy[s.len] = '\0';
	return copy;
}

char *
mem_strdup(const char *s)
{
	return mem_slicedup(slice_str(s));
}

void
mem_free(void *ptr)
{
	free(ptr);
}

size_t
mem_used(void)
{
#ifdef HAVE_JEMALLOC
	uint64_t epoch = 1; /* any: the counts are taken anew */
	size_t used = 0, size = sizeof used;

	mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
	mallctl("stats.allocated", &used, &size, NULL, 0);
	return used;
#else
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
#endif
}

#ifdef HAVE_JEMALLOC
static size_t
stat_of(const char *name)
{
	size_t n = 0, size = sizeof n;

	mallctl(name, &n, &size, NULL, 0);
	return n;
}

void
mem_heap(struct mem_heap *out)
{
	out->allocated = mem_used(); /* takes the counts anew */
	out->active = stat_of("stats.active");
	out->resident = stat_of("stats.resident");
}

bool
mem_print_stats(void (*print)(void *arg, const char *text), void *arg)
{
	malloc_stats_print(print, arg, NULL);
	return true;
}
#else
void
mem_heap(struct mem_heap *out)
{
	struct mallinfo2 m = mallinfo2();

	out->allocated = m.uordblks + m.hblkhd;
	out->active = out->resident = m.arena + m.hblkhd;
}

bool
mem_print_stats(void (*print)(void *arg, const char *text), void *arg)
{
	(void)print;
	(void)arg;
	return false;
}
#endif

void
mem_purge(void)
{
#ifdef HAVE_JEMALLOC
	mallctl("arena." STRINGIFY(MALLCTL_ARENAS_ALL) ".purge", NULL, NULL, NULL, 0);
#endif
}
