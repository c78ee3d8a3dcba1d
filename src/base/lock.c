#include "config.h"

#include "base/lock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* About a microsecond: what these locks protect takes less, unless its holder
 * was descheduled, and then sleeping is right. */
#define SPINS 200

static void
pause_a_moment(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static bool
spin(struct lock *l)
{
	for (int i = 0; i < SPINS; i++) {
		if (atomic_load_explicit(&l->state, memory_order_relaxed) == LOCK_FREE &&
		    lock_try(l))
			return true;
		pause_a_moment();
	}
	return false;
}

static void
futex(struct lock *l, int op, uint32_t value)
{
	/* EAGAIN and EINTR mean to look again, which the caller does anyway. */
	syscall(SYS_futex, &l->state, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

void
lock_wait(struct lock *l)
{
	if (spin(l))
		return;
	/* From here on it is taken as AWAITED: who slept cannot know whether
	 * others still do, and a wake-up too many is harmless. */
	while (atomic_exchange_explicit(&l->state, LOCK_AWAITED, memory_order_acquire) != LOCK_FREE)
		futex(l, FUTEX_WAIT, LOCK_AWAITED);
	atomic_store_explicit(&l->holder, lock_self(), memory_order_relaxed);
}

void
lock_wake(struct lock *l)
{
	futex(l, FUTEX_WAKE, 1);
}
