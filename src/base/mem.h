/* mem.h - the heap that everything but the store's arena uses.
 *
 * Every allocation of the daemon's own code goes through here, so that tests
 * can fail the N-th one. Thread-safe. Memory is freed with mem_free() alone.
 * Behind it lies malloc (jemalloc, where configure found it). */
#ifndef PANNIER_BASE_MEM_H
#define PANNIER_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* NULL: no memory. Size 0 gives a pointer that mem_free() takes. */
void *mem_alloc(size_t size) __attribute__((malloc, warn_unused_result));
void *mem_zalloc(size_t size) __attribute__((malloc, warn_unused_result));
/* n * size, zeroed; NULL also where the product overflows. */
void *mem_calloc(size_t n, size_t size) __attribute__((malloc, warn_unused_result));
/* On NULL the old block is untouched and still the caller's. */
void *mem_realloc(void *ptr, size_t size) __attribute__((warn_unused_result));
char *mem_strdup(const char *s) __attribute__((malloc, warn_unused_result));
/* A NUL-terminated copy. */
char *mem_slicedup(struct slice s) __attribute__((malloc, warn_unused_result));
void mem_free(void *ptr);

/* Tests only: allocation number n from now (1 is the next one) answers NULL;
 * with `onwards`, so does every later one. n == 0 switches it off. Counts
 * over all threads. */
void mem_fail_nth(unsigned long n, int onwards);
/* Allocations asked for since the last mem_fail_nth(). */
unsigned long mem_fail_seen(void);

/* Bytes that are allocated now. Sums up counts of all threads: not for hot
 * paths. */
size_t mem_used(void);

/* Where the allocator's memory is: in use, in pages that hold some of it, resident. The
 * last two are estimates without jemalloc. */
struct mem_heap {
	size_t allocated, active, resident;
};
void mem_heap(struct mem_heap *out);
/* The allocator's own report, in pieces; false: it has none. */
bool mem_print_stats(void (*print)(void *arg, const char *text), void *arg);

/* Returns unused heap pages to the system (jemalloc's purge); a no-op with
 * other allocators. May take milliseconds: from no request but the one that asks for
 * it. */
void mem_purge(void);

#endif
