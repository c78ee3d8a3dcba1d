#include <config.h>

#include "config/machine.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"

#define PATH_LEN_MAX 4096
#define AUTO_MEMORY (256ull << 20)
#define AUTO_THREADS 4
/* Version 1 writes "no limit" as a huge number, rounded to pages. */
#define NO_LIMIT (1ull << 60)

/* The file's start, NUL-terminated; false: not readable. No stdio: this runs
 * every few seconds in the daemon. */
static bool
read_small(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, out, size - 1);
	close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The number that begins s; false where none does ("max", "-1"). */
static bool
leading_number(const char *s, uint64_t *out)
{
	return parse_u64(slice_of(s, strspn(s, "0123456789")), out) == 0;
}

static void
lower_limit(uint64_t *limit, uint64_t value)
{
	if (value != 0 && value < NO_LIMIT && (*limit == 0 || value < *limit))
		*limit = value;
}

/* One number in a file of a cgroup's directory. */
static bool
read_number(const char *dir, const char *file, uint64_t *out)
{
	char path[PATH_LEN_MAX], text[64];

	if (snprintf(path, sizeof path, "%s/%s", dir, file) >= (int)sizeof path)
		return false;
	return read_small(path, text, sizeof text) && leading_number(text, out);
}

/* The number behind a word that begins a line, or that `before` stands before. */
static bool
number_behind(const char *text, const char *word, uint64_t *out)
{
	const char *at = strstr(text, word);

	return at != NULL && leading_number(at + strlen(word), out);
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0". Version 2 has it in each cgroup but
 * the root, whose file would be the whole machine's. */
static void
read_stalls(const char *dir, const char *file, bool own, struct machine *m)
{
	char path[PATH_LEN_MAX], text[256];

	if (m->has_stalls ||
	    snprintf(path, sizeof path, "%s/%s", dir, file) >= (int)sizeof path ||
	    !read_small(path, text, sizeof text) || strncmp(text, "some ", 5) != 0 ||
	    !number_behind(text, "total=", &m->stall_us))
		return;
	m->has_stalls = true;
	m->own_stalls = own;
}

/* Files' pages are reclaimed before anybody is throttled. */
static uint64_t
unreclaimable(const char *dir, uint64_t current)
{
	char path[PATH_LEN_MAX], text[4096];
	uint64_t active = 0, inactive = 0;

	if (snprintf(path, sizeof path, "%s/memory.stat", dir) < (int)sizeof path &&
	    read_small(path, text, sizeof text)) {
		(void)number_behind(text, "\nactive_file ", &active);
		(void)number_behind(text, "\ninactive_file ", &inactive);
	}
	return current - MIN(current, active + inactive);
}

/* Of several, the one that is filled most. memory.stat costs the kernel some work: it is
 * read only where it may matter. */
static void
read_high(const char *dir, uint64_t current, struct machine *m)
{
	uint64_t high, used = current;

	if (!read_number(dir, "memory.high", &high) || high == 0 || high >= NO_LIMIT)
		return;
	if (current > high / 4 * 3)
		used = unreclaimable(dir, current);
	if (m->high_bytes == 0 ||
	    (double)used / (double)high > (double)m->high_used / (double)m->high_bytes) {
		m->high_bytes = high;
		m->high_used = used;
	}
}

static void
read_memory_v2(const char *dir, struct machine *m)
{
	uint64_t v;

	if (read_number(dir, "memory.current", &v)) {
		read_stalls(dir, "memory.pressure", true, m);
		read_high(dir, v, m);
	}

	/* Beyond memory.high a process is throttled to a crawl: a limit too. */
	if (read_number(dir, "memory.max", &v))
		lower_limit(&m->memory_limit, v);
	if (read_number(dir, "memory.high", &v))
		lower_limit(&m->memory_limit, v);
}

static void
read_memory_v1(const char *dir, struct machine *m)
{
	uint64_t v;

	if (read_number(dir, "memory.limit_in_bytes", &v))
		lower_limit(&m->memory_limit, v);
}

/* Keeps the quota that gives the least. */
static void
lower_quota(struct machine *m, uint64_t quota, uint64_t period)
{
	if (quota == 0 || period == 0 || quota > NO_LIMIT / 1000 || period > NO_LIMIT / 1000)
		return;
	if (m->cpu_quota_us == 0 ||
	    (double)quota / (double)period < (double)m->cpu_quota_us / (double)m->cpu_period_us) {
		m->cpu_quota_us = quota;
		m->cpu_period_us = period;
	}
}

/* "150000 100000", or "max 100000". */
static void
read_cpu_v2(const char *dir, struct machine *m)
{
	char path[PATH_LEN_MAX], text[64];
	uint64_t quota, period;

	if (snprintf(path, sizeof path, "%s/cpu.max", dir) >= (int)sizeof path ||
	    !read_small(path, text, sizeof text) || !leading_number(text, &quota))
		return;
	if (leading_number(text + strcspn(text, " ") + (strchr(text, ' ') != NULL), &period))
		lower_quota(m, quota, period);
}

static void
read_cpu_v1(const char *dir, struct machine *m)
{
	uint64_t quota, period;

	if (read_number(dir, "cpu.cfs_quota_us", &quota) &&
	    read_number(dir, "cpu.cfs_period_us", &period))
		lower_quota(m, quota, period);
}

/* Where each controller's tree is mounted, below /sys/fs/cgroup. */
static const struct hierarchy {
	const char *controller; /* as /proc/self/cgroup names it; "": version 2 */
	const char *mount;
	void (*read)(const char *dir, struct machine *m);
} hierarchies[] = {
	{ "", "", read_memory_v2 },
	{ "", "", read_cpu_v2 },
	{ "", "/unified", read_memory_v2 },
	{ "", "/unified", read_cpu_v2 },
	{ "memory", "/memory", read_memory_v1 },
	{ "cpu", "/cpu", read_cpu_v1 },
	{ "cpu", "/cpu,cpuacct", read_cpu_v1 },
};

/* The cgroup and all above it, since the tightest limit holds. In a container
 * the path may be the host's, which is not mounted: its files are then not
 * there, and the mount's own root has the container's limits. */
static void
read_upwards(const char *root, const struct hierarchy *h, const char *cgroup, struct machine *m)
{
	char dir[PATH_LEN_MAX];
	int base = snprintf(dir, sizeof dir, "%s/sys/fs/cgroup%s", root, h->mount);
	size_t room = base < (int)sizeof dir ? sizeof dir - (size_t)base : 0;

	if (strstr(cgroup, "/..") != NULL || strlen(cgroup) >= room)
		cgroup = "";
	if (room == 0)
		return;
	memcpy(dir + base, cgroup, strlen(cgroup) + 1);
	for (;;) {
		char *slash = strrchr(dir + base, '/');

		h->read(dir, m);
		if (slash == NULL)
			return;
		*slash = '\0';
	}
}

static bool
lists_controller(const char *list, const char *controller)
{
	size_t len = strlen(controller);

	for (; *list != '\0'; list += strcspn(list, ",") + (list[strcspn(list, ",")] == ',')) {
		if (strcspn(list, ",") == len && memcmp(list, controller, len) == 0)
			return true;
	}
	return len == 0;
}

/* "0::/kubepods/pod1" or "4:cpu,cpuacct:/docker/x". */
static void
read_cgroup_line(const char *root, char *line, struct machine *m)
{
	char *list = strchr(line, ':'), *path = list != NULL ? strchr(list + 1, ':') : NULL;

	if (path == NULL)
		return;
	list++;
	*path++ = '\0';
	for (size_t i = 0; i < ARRAY_LEN(hierarchies); i++) {
		const struct hierarchy *h = &hierarchies[i];

		if ((*h->controller == '\0') == (*list == '\0') &&
		    lists_controller(list, h->controller))
			read_upwards(root, h, path, m);
	}
}

static void
read_cgroups(const char *root, struct machine *m)
{
	char path[PATH_LEN_MAX], text[8192], *line, *rest;

	if (snprintf(path, sizeof path, "%s/proc/self/cgroup", root) >= (int)sizeof path ||
	    !read_small(path, text, sizeof text))
		return;
	for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
		read_cgroup_line(root, line, m);
}

static void
read_physical(const char *root, struct machine *m)
{
	char path[PATH_LEN_MAX], text[1024], *at;
	uint64_t kib;

	if (snprintf(path, sizeof path, "%s/proc/meminfo", root) >= (int)sizeof path ||
	    !read_small(path, text, sizeof text))
		return;
	at = strstr(text, "MemTotal:");
	if (at == NULL)
		return;
	at += strlen("MemTotal:");
	if (leading_number(at + strspn(at, " "), &kib) && kib < NO_LIMIT / 1024)
		m->memory_physical = kib * 1024;
}

const char *
machine_root(void)
{
	const char *root = getenv("PANNIER_MACHINE_ROOT");

	return root != NULL && *root != '\0' ? root : "/";
}

void
machine_read(const char *root, struct machine *out)
{
	cpu_set_t set;

	*out = (struct machine){ .cpus = 1 };
	if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
		out->cpus = (unsigned)CPU_COUNT(&set);
	read_physical(root, out);
	read_cgroups(root, out);
	read_stalls(root, "proc/pressure/memory", false, out);
}

uint64_t
machine_memory(const struct machine *m)
{
	uint64_t physical = m->memory_physical != 0 ? m->memory_physical : NO_LIMIT;

	if (m->memory_limit == 0)
		return MIN(AUTO_MEMORY, physical / 4 * 3);
	return MIN(m->memory_limit, physical) / 4 * 3;
}

unsigned
machine_threads(const struct machine *m)
{
	uint64_t n = m->cpus;

	if (m->cpu_quota_us != 0)
		n = MIN(n, (m->cpu_quota_us + m->cpu_period_us - 1) / m->cpu_period_us);
	return (unsigned)MAX(1, MIN(n, AUTO_THREADS));
}

bool
machine_exceeded(const struct machine *m, uint64_t memory, char *text, size_t size)
{
	bool by_cgroup = m->memory_limit != 0 &&
	    (m->memory_physical == 0 || m->memory_limit <= m->memory_physical);
	uint64_t limit = by_cgroup ? m->memory_limit : m->memory_physical;
	char wanted[FORMAT_MAX], there[FORMAT_MAX], right[FORMAT_MAX];

	if (limit == 0 || memory <= limit)
		return false;
	format_bytes(wanted, memory);
	format_bytes(there, limit);
	format_bytes(right, limit / 4 * 3);
	snprintf(text, size,
	    "memory: %s is more than %s, which is %s: the kernel would end the process before it "
	    "evicts; set memory to auto, or to %s, which auto comes to",
	    wanted, there, by_cgroup ? "what the cgroup allows" : "what the machine has", right);
	return true;
}

uint64_t
machine_memory_auto(const char *root)
{
	struct machine m;

	machine_read(root, &m);
	return machine_memory(&m);
}

unsigned
machine_threads_auto(const char *root)
{
	struct machine m;

	machine_read(root, &m);
	return machine_threads(&m);
}
