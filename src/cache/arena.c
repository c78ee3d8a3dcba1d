#include "config.h"

#include "cache/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int
arena_map(struct arena *a, uint64_t bytes, uint64_t budget_pages)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
	    a->fd, 0);

	if (at == MAP_FAILED)
		return -ENOMEM;
	/* Huge pages would make more resident than was touched; a core file of
	 * users' data helps nobody. Both are wishes. */
	madvise(at, bytes, MADV_NOHUGEPAGE);
	madvise(at, bytes, MADV_DONTDUMP);
	a->base = at;
	a->bytes = bytes;
	atomic_init(&a->budget_pages, (int64_t)budget_pages);
	atomic_init(&a->used_pages, 0);
	return 0;
}

int
arena_init(struct arena *a, uint64_t bytes, uint64_t budget_pages)
{
	if (sysconf(_SC_PAGESIZE) != PAGE_BYTES)
		return -EINVAL;
	a->fd = memfd_create("pannier", MFD_CLOEXEC);
	if (a->fd < 0)
		return -ENOMEM;
	if (ftruncate(a->fd, (off_t)bytes) == 0 && arena_map(a, bytes, budget_pages) == 0)
		return 0;
	close(a->fd);
	return -ENOMEM;
}

int
arena_attach(struct arena *a, int fd, uint64_t bytes, uint64_t budget_pages)
{
	struct stat st;
	int rc;

	if (sysconf(_SC_PAGESIZE) != PAGE_BYTES || fstat(fd, &st) != 0 ||
	    (uint64_t)st.st_size != bytes)
		return -EINVAL;
	a->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (a->fd < 0)
		return -ENOMEM;
	rc = arena_map(a, bytes, budget_pages);
	if (rc != 0)
		close(a->fd);
	return rc;
}

void
arena_fini(struct arena *a)
{
	munmap(a->base, a->bytes);
	close(a->fd);
}

bool
arena_take(struct arena *a, uint64_t pages)
{
	int64_t used = arena_used(a);

	do {
		if (used + (int64_t)pages > arena_budget(a))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&a->used_pages, &used,
	    used + (int64_t)pages, memory_order_acq_rel, memory_order_relaxed));
	return true;
}

void
arena_give(struct arena *a, uint64_t pages)
{
	atomic_fetch_sub_explicit(&a->used_pages, (int64_t)pages, memory_order_acq_rel);
}

void
arena_punch(struct arena *a, void *at, uint64_t bytes)
{
	off_t where = (char *)at - a->base;

	if (fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, where, (off_t)bytes) != 0)
		madvise(at, bytes, MADV_REMOVE);
}

uint64_t
arena_resident(const struct arena *a)
{
	struct stat st;

	return fstat(a->fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}
