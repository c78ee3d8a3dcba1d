#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/machine.h"

#define MIB (1024ull * 1024)

/* A directory that looks like the root of a machine. */
static char root[64];

static void
make_root(void)
{
	strcpy(root, "/tmp/pannier-machine-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static void
remove_root(void)
{
	char command[96];

	snprintf(command, sizeof command, "rm -r '%s'", root);
	ck_assert_int_eq(system(command), 0);
}

static void
put(const char *path, const char *text)
{
	char full[256];
	FILE *f;

	for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		snprintf(full, sizeof full, "%s/%.*s", root, (int)(slash - path), path);
		ck_assert(mkdir(full, 0700) == 0 || errno == EEXIST);
	}
	snprintf(full, sizeof full, "%s/%s", root, path);
	f = fopen(full, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static struct machine
read_root(void)
{
	struct machine m;

	machine_read(root, &m);
	return m;
}

#define MEMINFO "MemTotal:       16777216 kB\nMemFree:        1000 kB\n"

START_TEST(version_2_gives_the_least_limit_on_the_way_up)
{
	struct machine m;

	make_root();
	put("proc/meminfo", MEMINFO);
	put("proc/self/cgroup", "0::/kubepods/pod1/app\n");
	put("sys/fs/cgroup/kubepods/memory.max", "max\n");
	put("sys/fs/cgroup/kubepods/pod1/memory.max", "536870912\n");
	put("sys/fs/cgroup/kubepods/pod1/app/memory.max", "1073741824\n");
	put("sys/fs/cgroup/kubepods/pod1/cpu.max", "150000 100000\n");
	put("sys/fs/cgroup/kubepods/pod1/app/cpu.max", "max 100000\n");
	m = read_root();
	ck_assert_uint_eq(m.memory_limit, 512 * MIB);
	ck_assert_uint_eq(m.memory_physical, 16384 * MIB);
	ck_assert_uint_eq(machine_memory(&m), 384 * MIB);
	ck_assert_uint_eq(m.cpu_quota_us, 150000);
	ck_assert_uint_eq(m.cpu_period_us, 100000);
	put("sys/fs/cgroup/kubepods/pod1/app/memory.high", "268435456\n");
	ck_assert_uint_eq(machine_memory_auto(root), 192 * MIB);
	remove_root();
}
END_TEST

START_TEST(in_a_container_the_mounts_root_counts)
{
	struct machine m;

	make_root();
	put("proc/meminfo", MEMINFO);
	put("proc/self/cgroup", "0::/\n");
	put("sys/fs/cgroup/memory.max", "134217728\n");
	put("sys/fs/cgroup/cpu.max", "50000 100000\n");
	m = read_root();
	ck_assert_uint_eq(machine_memory(&m), 96 * MIB);
	ck_assert_uint_eq(machine_threads(&m), 1);
	/* The host's path, which is not mounted here. */
	put("proc/self/cgroup", "0::/system.slice/docker-1.scope\n");
	m = read_root();
	ck_assert_uint_eq(machine_memory(&m), 96 * MIB);
	put("proc/self/cgroup", "0::/../../outside\n");
	m = read_root();
	ck_assert_uint_eq(machine_memory(&m), 96 * MIB);
	remove_root();
}
END_TEST

START_TEST(version_1_is_understood_and_its_no_limit_is_none)
{
	struct machine m;

	make_root();
	put("proc/meminfo", MEMINFO);
	put("proc/self/cgroup", "12:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/\n");
	put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "9223372036854771712\n");
	put("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "-1\n");
	put("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n");
	m = read_root();
	ck_assert_uint_eq(m.memory_limit, 0);
	ck_assert_uint_eq(machine_memory(&m), 256 * MIB);
	ck_assert_uint_eq(m.cpu_quota_us, 0);
	put("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "67108864\n");
	put("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "250000\n");
	m = read_root();
	ck_assert_uint_eq(machine_memory(&m), 48 * MIB);
	ck_assert_uint_eq(m.cpu_quota_us, 250000);
	remove_root();
}
END_TEST

START_TEST(both_versions_at_a_time_give_the_least)
{
	struct machine m;

	make_root();
	put("proc/meminfo", MEMINFO);
	put("proc/self/cgroup", "5:memory:/a\n0::/a\n");
	put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1073741824\n");
	put("sys/fs/cgroup/unified/a/cpu.max", "200000 100000\n");
	m = read_root();
	ck_assert_uint_eq(m.memory_limit, 1024 * MIB);
	ck_assert_uint_eq(m.cpu_quota_us, 200000);
	remove_root();
}
END_TEST

START_TEST(a_limit_above_the_physical_memory_is_not_believed)
{
	struct machine m = { .memory_limit = 64 << 20, .memory_physical = 32 << 20, .cpus = 1 };

	ck_assert_uint_eq(machine_memory(&m), 24 * MIB);
	m.memory_limit = 0;
	ck_assert_uint_eq(machine_memory(&m), 24 * MIB);
	m.memory_physical = 0;
	ck_assert_uint_eq(machine_memory(&m), 256 * MIB);
}
END_TEST

START_TEST(a_memory_above_what_there_is_is_told_with_figures)
{
	struct machine m = { .memory_limit = 512 * MIB, .memory_physical = 1024 * MIB };
	char text[384] = "";

	ck_assert(!machine_exceeded(&m, 0, text, sizeof text));
	ck_assert(!machine_exceeded(&m, 512 * MIB, text, sizeof text));
	ck_assert(machine_exceeded(&m, 512 * MIB + 1024, text, sizeof text));
	ck_assert(machine_exceeded(&m, 1024 * MIB, text, sizeof text));
	ck_assert_msg(strstr(text, "memory: 1GiB is more than 512MiB, which is what the cgroup allows")
	    != NULL && strstr(text, "384MiB") != NULL, "%s", text);
	m.memory_limit = 0;
	ck_assert(!machine_exceeded(&m, 1024 * MIB, text, sizeof text));
	ck_assert(machine_exceeded(&m, 2048 * MIB, text, sizeof text));
	ck_assert_msg(strstr(text, "what the machine has") != NULL, "%s", text);
	m.memory_physical = 0;
	ck_assert(!machine_exceeded(&m, 2048 * MIB, text, sizeof text));
}
END_TEST

START_TEST(the_root_is_the_environments_for_tests_or_the_real_one)
{
	ck_assert_int_eq(unsetenv("PANNIER_MACHINE_ROOT"), 0);
	ck_assert_str_eq(machine_root(), "/");
	ck_assert_int_eq(setenv("PANNIER_MACHINE_ROOT", "", 1), 0);
	ck_assert_str_eq(machine_root(), "/");
	ck_assert_int_eq(setenv("PANNIER_MACHINE_ROOT", "/tmp/x", 1), 0);
	ck_assert_str_eq(machine_root(), "/tmp/x");
	ck_assert_int_eq(unsetenv("PANNIER_MACHINE_ROOT"), 0);
}
END_TEST

#define STALLS(total) "some avg10=1.50 avg60=0.00 avg300=0.00 total=" total "\n" \
	"full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"

START_TEST(stalls_are_the_cgroups_or_else_the_machines)
{
	struct machine m;

	make_root();
	put("proc/self/cgroup", "0::/pod1/app\n");
	m = read_root();
	ck_assert(!m.has_stalls);
	put("proc/pressure/memory", STALLS("1234"));
	m = read_root();
	ck_assert(m.has_stalls && !m.own_stalls);
	ck_assert_uint_eq(m.stall_us, 1234);
	/* The root's file tells of the whole machine: it has no memory.current. */
	put("sys/fs/cgroup/memory.pressure", STALLS("99"));
	m = read_root();
	ck_assert(!m.own_stalls);
	put("sys/fs/cgroup/pod1/memory.current", "5\n");
	put("sys/fs/cgroup/pod1/memory.pressure", STALLS("55"));
	m = read_root();
	ck_assert(m.own_stalls);
	ck_assert_uint_eq(m.stall_us, 55);
	put("sys/fs/cgroup/pod1/app/memory.current", "5\n");
	put("sys/fs/cgroup/pod1/app/memory.pressure", "nonsense\n");
	ck_assert_uint_eq(read_root().stall_us, 55);
	put("sys/fs/cgroup/pod1/app/memory.pressure", STALLS("44"));
	ck_assert_uint_eq(read_root().stall_us, 44);
	remove_root();
}
END_TEST

START_TEST(files_pages_do_not_count_against_memory_high)
{
	struct machine m;

	make_root();
	put("proc/self/cgroup", "0::/pod1/app\n");
	put("sys/fs/cgroup/pod1/app/memory.current", "1000000\n");
	put("sys/fs/cgroup/pod1/app/memory.high", "max\n");
	ck_assert_uint_eq(read_root().high_bytes, 0);
	put("sys/fs/cgroup/pod1/app/memory.high", "1048576\n");
	m = read_root();
	ck_assert_uint_eq(m.high_bytes, 1048576);
	ck_assert_uint_eq(m.high_used, 1000000);
	put("sys/fs/cgroup/pod1/app/memory.stat",
	    "anon 300000\nfile 600000\nshmem 5\ninactive_file 400000\nactive_file 100000\n");
	ck_assert_uint_eq(read_root().high_used, 500000);
	/* The one above is filled more. */
	put("sys/fs/cgroup/pod1/memory.current", "1900000\n");
	put("sys/fs/cgroup/pod1/memory.high", "2000000\n");
	m = read_root();
	ck_assert_uint_eq(m.high_bytes, 2000000);
	ck_assert_uint_eq(m.high_used, 1900000);
	remove_root();
}
END_TEST

START_TEST(threads_are_the_quota_rounded_up_within_cpus_and_four)
{
	struct machine m = { .cpus = 64 };

	ck_assert_uint_eq(machine_threads(&m), 4);
	m.cpu_quota_us = 110000;
	m.cpu_period_us = 100000;
	ck_assert_uint_eq(machine_threads(&m), 2);
	m.cpu_quota_us = 1;
	ck_assert_uint_eq(machine_threads(&m), 1);
	m.cpu_quota_us = 6400000;
	ck_assert_uint_eq(machine_threads(&m), 4);
	m.cpus = 3;
	ck_assert_uint_eq(machine_threads(&m), 3);
	m.cpus = 0;
	ck_assert_uint_eq(machine_threads(&m), 1);
}
END_TEST

START_TEST(nothing_readable_or_nonsense_means_no_limit)
{
	struct machine m;

	make_root();
	m = read_root();
	ck_assert_uint_eq(m.memory_limit, 0);
	ck_assert_uint_eq(m.memory_physical, 0);
	ck_assert_uint_ge(m.cpus, 1);
	ck_assert_uint_eq(machine_memory(&m), 256 * MIB);
	put("proc/self/cgroup", "nonsense\n:::\n0::/a\n\n7:memory\n");
	put("proc/meminfo", "MemTotal: lots\n");
	put("sys/fs/cgroup/a/memory.max", "99999999999999999999999\n");
	put("sys/fs/cgroup/a/cpu.max", "100\n");
	m = read_root();
	ck_assert_uint_eq(m.memory_limit, 0);
	ck_assert_uint_eq(m.memory_physical, 0);
	ck_assert_uint_eq(m.cpu_quota_us, 0);
	put("sys/fs/cgroup/a/cpu.max", "100000 0\n");
	m = read_root();
	ck_assert_uint_eq(m.cpu_quota_us, 0);
	remove_root();
}
END_TEST

START_TEST(this_machine_has_memory_and_a_cpu)
{
	struct machine m;

	machine_read("/", &m);
	ck_assert_uint_gt(m.memory_physical, 64 * MIB);
	ck_assert_uint_ge(m.cpus, 1);
	ck_assert_uint_ge(machine_threads_auto("/"), 1);
	ck_assert_uint_le(machine_threads_auto("/"), 4);
	ck_assert_uint_le(machine_memory_auto("/"), m.memory_physical);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("machine");

	SUITE_ADD(s, "machine", version_2_gives_the_least_limit_on_the_way_up,
	    in_a_container_the_mounts_root_counts,
	    version_1_is_understood_and_its_no_limit_is_none,
	    both_versions_at_a_time_give_the_least,
	    a_limit_above_the_physical_memory_is_not_believed,
	    a_memory_above_what_there_is_is_told_with_figures,
	    the_root_is_the_environments_for_tests_or_the_real_one,
	    stalls_are_the_cgroups_or_else_the_machines,
	    files_pages_do_not_count_against_memory_high,
	    threads_are_the_quota_rounded_up_within_cpus_and_four,
	    nothing_readable_or_nonsense_means_no_limit, this_machine_has_memory_and_a_cpu);
	return suite_main(s);
}
