/* machine.h - what the machine, or the pod's cgroup, gives this process, and
 * what `auto` makes of it. Reads /proc and /sys at each call; any thread. */
#ifndef PANNIER_CONFIG_MACHINE_H
#define PANNIER_CONFIG_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct machine {
	uint64_t memory_limit;    /* the least of the cgroup's and its parents';
	                           * 0: none */
	uint64_t memory_physical; /* 0: unknown */
	uint64_t cpu_quota_us;    /* in each period; 0: none */
	uint64_t cpu_period_us;
	/* How short memory is; see server/pressure.h. */
	bool has_stalls;          /* PSI can be read */
	bool own_stalls;          /* of the cgroup, and not the whole machine's */
	uint64_t stall_us;        /* total in which some task waited for memory */
	uint64_t high_bytes;      /* the memory.high that is nearest; 0: none */
	uint64_t high_used;       /* of it, what cannot be reclaimed */
	unsigned cpus;            /* that the process may run on; at least 1 */
};

/* "/", or the directory that the environment's PANNIER_MACHINE_ROOT names, which is
 * for tests. Good as long as the environment. */
const char *machine_root(void);

/* root: "/" for the real one, or a directory that a test laid out with proc/ and
 * sys/ in it. Version 2, version 1, and both at a time. What cannot be read
 * counts as not limited. */
void machine_read(const char *root, struct machine *out);

/* `memory: auto`: three quarters of the cgroup's limit, or of the physical
 * memory if that is less; without a limit 256 MiB, likewise. */
uint64_t machine_memory(const struct machine *m);
/* `threads: auto`: the CPU quota, rounded up, at most the CPUs and 4. */
unsigned machine_threads(const struct machine *m);

/* Whether a limit of so many bytes for this process is above what the machine or the
 * cgroup gives; then text says so, with figures and what would be right. 0 is auto, which
 * never is. */
bool machine_exceeded(const struct machine *m, uint64_t memory, char *text, size_t size);

/* Both steps at once. */
uint64_t machine_memory_auto(const char *root);
unsigned machine_threads_auto(const char *root);

#endif
