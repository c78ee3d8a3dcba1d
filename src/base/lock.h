/* lock.h - a mutex that knows its holder, so that a function named _locked
 * can assert in its first line that the caller holds it.
 *
 * Held for at most some hundred nanoseconds, never across a callback or a
 * system call. doc/threads.md lists every lock and the order among them.
 *
 * Its own and not pthread's: a GET takes one lock, and pthread's two calls were
 * 67 of its instructions where these are 14 (callgrind, doc/performance.md).
 * Three states, as in "Futexes Are Tricky" (Drepper, 2011), mutex2; no
 * recursion, no fairness. */
#ifndef PANNIER_BASE_LOCK_H
#define PANNIER_BASE_LOCK_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

enum lock_state {
	LOCK_FREE,
	LOCK_HELD,
	LOCK_AWAITED, /* held, and somebody may sleep until it is let go */
};

struct lock {
	_Atomic(uint32_t) state;
	_Atomic(uintptr_t) holder; /* lock_self() of who holds it, or 0 */
};

/* A value of its own for each thread: the address of its thread pointer,
 * which costs one instruction where pthread_self() costs a call. */
static inline uintptr_t
lock_self(void)
{
	return (uintptr_t)__builtin_thread_pointer();
}

static inline void
lock_init(struct lock *l)
{
	atomic_init(&l->state, LOCK_FREE);
	atomic_init(&l->holder, 0);
}

static inline void
lock_fini(struct lock *l)
{
	assert(atomic_load_explicit(&l->state, memory_order_relaxed) == LOCK_FREE);
	(void)l;
}

static inline bool
lock_held(const struct lock *l)
{
	return atomic_load_explicit(&l->holder, memory_order_relaxed) == lock_self();
}

/* The slow ways of the two calls below: spins a little, sleeps; wakes one. */
void lock_wait(struct lock *l);
void lock_wake(struct lock *l);

/* True: the caller holds it now. */
static inline MUST_CHECK bool
lock_try(struct lock *l)
{
	uint32_t state = LOCK_FREE;

	if (!atomic_compare_exchange_strong_explicit(&l->state, &state, LOCK_HELD,
	    memory_order_acquire, memory_order_relaxed))
		return false;
	atomic_store_explicit(&l->holder, lock_self(), memory_order_relaxed);
	return true;
}

static inline void
lock_acquire(struct lock *l)
{
	assert(!lock_held(l));
	if (unlikely(!lock_try(l)))
		lock_wait(l);
}

static inline void
lock_release(struct lock *l)
{
	assert(lock_held(l));
	atomic_store_explicit(&l->holder, 0, memory_order_relaxed);
	if (unlikely(atomic_exchange_explicit(&l->state, LOCK_FREE, memory_order_release) ==
	    LOCK_AWAITED))
		lock_wake(l);
}

#endif
