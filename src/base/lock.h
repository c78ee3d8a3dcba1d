/* lock.h - a mutex that knows its holder, so that a function named _locked
 * can assert in its first line that the caller holds it.
 *
 * Held for at most some hundred nanoseconds, never across a callback or a
 * system call. doc/threads.md lists every lock and the order among them. */
#ifndef PANNIER_BASE_LOCK_H
#define PANNIER_BASE_LOCK_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

struct lock {
	pthread_mutex_t mutex;
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
	pthread_mutex_init(&l->mutex, NULL);
	atomic_init(&l->holder, 0);
}

static inline void
lock_fini(struct lock *l)
{
	pthread_mutex_destroy(&l->mutex);
}

static inline bool
lock_held(const struct lock *l)
{
	return atomic_load_explicit(&l->holder, memory_order_relaxed) == lock_self();
}

static inline void
lock_acquire(struct lock *l)
{
	assert(!lock_held(l));
	pthread_mutex_lock(&l->mutex);
	atomic_store_explicit(&l->holder, lock_self(), memory_order_relaxed);
}

/* True: the caller holds it now. */
static inline MUST_CHECK bool
lock_try(struct lock *l)
{
	if (pthread_mutex_trylock(&l->mutex) != 0)
		return false;
	atomic_store_explicit(&l->holder, lock_self(), memory_order_relaxed);
	return true;
}

static inline void
lock_release(struct lock *l)
{
	assert(lock_held(l));
	atomic_store_explicit(&l->holder, 0, memory_order_relaxed);
	pthread_mutex_unlock(&l->mutex);
}

#endif
