/* What breaks in stands here for itself: each claim installs the filter in a child,
 * and tries. */
#include "config.h"

#include "unit/suite.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/seccomp.h"

#define LENGTH 4096u

/* --- trying in a child ------------------------------------------------------------ */

/* How a child ends that could not install the filter. */
#define NO_FILTER 200

/* The wait status of a child that does this behind the filter, and exits with what it
 * returns. */
static int
behind_filter(enum seccomp_refusal refusal, int (*attempt)(void))
{
	pid_t pid = fork();
	int status = -1;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		char err[200];

		_exit(seccomp_install(refusal, err, sizeof err) == 0 ? attempt() : NO_FILTER);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* 0 from the attempt is that all went as it should. */
static void
assert_behind_filter(const char *what, int (*attempt)(void))
{
	int status = behind_filter(SECCOMP_REFUSE, attempt);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: wait status %#x", what,
	    (unsigned)status);
}

/* 0 where the call failed with this, else a code that tells the line. */
#define FAILS(call, why) ((errno = 0, (long)(call) == -1) && errno == (why))

#ifdef SANITIZED

START_TEST(a_build_with_a_sanitizer_says_that_it_has_no_filter)
{
	char err[200] = "";

	ck_assert_int_eq(seccomp_install(SECCOMP_REFUSE, err, sizeof err), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(err, "this build"));
	(void)behind_filter;
	(void)assert_behind_filter;
}
END_TEST

#else

/* --- refused --------------------------------------------------------------------------- */

static int
start_programs(void)
{
	char *const argv[] = { (char *)"/bin/true", NULL };

	return FAILS(execv("/bin/true", argv), EPERM) && FAILS(fork(), EPERM) &&
	    FAILS(syscall(__NR_execveat, AT_FDCWD, "/bin/true", argv, NULL, 0), EPERM) ? 0 : 1;
}

static int
reach_others(void)
{
	return FAILS(ptrace(PTRACE_TRACEME, 0, NULL, NULL), EPERM) &&
	    FAILS(syscall(__NR_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0), EPERM) &&
	    FAILS(syscall(__NR_pidfd_open, getppid(), 0), EPERM) &&
	    FAILS(kill(getppid(), 0), EPERM) &&
	    FAILS(syscall(__NR_tgkill, getppid(), getppid(), 0), EPERM) ? 0 : 1;
}

static int
open_other_sockets(void)
{
	return FAILS(socket(AF_PACKET, SOCK_DGRAM, 0), EPERM) &&
	    FAILS(socket(AF_VSOCK, SOCK_STREAM, 0), EPERM) &&
	    FAILS(socket(AF_ALG, SOCK_SEQPACKET, 0), EPERM) &&
	    FAILS(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP), EPERM) &&
	    FAILS(socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER), EPERM) ? 0 : 1;
}

static int
write_code(void)
{
	void *p = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED && FAILS(mprotect(p, LENGTH, PROT_READ | PROT_EXEC), EPERM) &&
	    FAILS(mmap(NULL, LENGTH, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EPERM) &&
	    FAILS(mmap(NULL, LENGTH, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	        EPERM) ? 0 : 1;
}

static int
change_the_machine(void)
{
	return FAILS(unshare(CLONE_NEWUSER), EPERM) &&
	    FAILS(syscall(__NR_bpf, 0, NULL, 0), EPERM) &&
	    FAILS(syscall(__NR_io_uring_setup, 1, NULL), EPERM) &&
	    FAILS(syscall(__NR_userfaultfd, 0), EPERM) &&
	    FAILS(syscall(__NR_keyctl, 0, 0, 0, 0, 0), EPERM) &&
	    FAILS(syscall(__NR_perf_event_open, NULL, 0, 0, 0, 0), EPERM) &&
	    FAILS(syscall(__NR_mount, "x", "/", "tmpfs", 0, NULL), EPERM) ? 0 : 1;
}

static int
lift_the_filter(void)
{
	char err[200];

	return FAILS(prctl(PR_SET_SECCOMP, 0, 0, 0, 0), EPERM) &&
	    FAILS(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), EPERM) &&
	    seccomp_install(SECCOMP_REFUSE, err, sizeof err) == -EPERM ? 0 : 1;
}

static int
call_what_is_newer(void)
{
	return FAILS(syscall(__NR_clone3, NULL, 0), ENOSYS) && FAILS(syscall(9999), ENOSYS) ? 0 : 1;
}

START_TEST(what_serving_does_not_need_is_refused)
{
	assert_behind_filter("programs", start_programs);
	assert_behind_filter("other processes", reach_others);
	assert_behind_filter("sockets", open_other_sockets);
	assert_behind_filter("code", write_code);
	assert_behind_filter("the machine", change_the_machine);
	assert_behind_filter("the filter", lift_the_filter);
}
END_TEST

START_TEST(what_is_newer_than_the_table_does_not_exist)
{
	assert_behind_filter("newer", call_what_is_newer);
}
END_TEST

START_TEST(kill_ends_the_process)
{
	int status = behind_filter(SECCOMP_KILL, start_programs);

	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGSYS);
	status = behind_filter(SECCOMP_KILL, call_what_is_newer); /* libc asks for such things */
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* --- threads ------------------------------------------------------------------------------ */

static pthread_barrier_t barrier;

static void *
try_later(void *arg)
{
	pthread_barrier_wait(&barrier);
	*(int *)arg = start_programs();
	return NULL;
}

START_TEST(threads_from_before_and_after_are_behind_it)
{
	pid_t pid = fork();
	int status = -1;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		pthread_t before, after;
		int first = 1, second = 1;
		char err[200];

		pthread_barrier_init(&barrier, NULL, 3);
		if (pthread_create(&before, NULL, try_later, &first) != 0 ||
		    seccomp_install(SECCOMP_REFUSE, err, sizeof err) != 0 ||
		    pthread_create(&after, NULL, try_later, &second) != 0)
			_exit(NO_FILTER);
		pthread_barrier_wait(&barrier);
		pthread_join(before, NULL);
		pthread_join(after, NULL);
		_exit(first + 2 * second);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* --- allowed -------------------------------------------------------------------------------- */

static int
serve(void)
{
	int fd = memfd_create("arena", MFD_CLOEXEC);
	struct addrinfo *found = NULL;
	int pair[2];

	if (fd < 0 || ftruncate(fd, LENGTH) != 0 ||
	    mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ||
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, LENGTH) != 0)
		return 1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
	    socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0) < 0)
		return 2;
	if (getaddrinfo("localhost", "80", NULL, &found) != 0)
		return 3;
	freeaddrinfo(found);
	/* As a configuration that is read again may ask for the first time. */
	return dlopen("libcurl.so.4", RTLD_NOW) != NULL ? 0 : 4;
}

static int
rewrite_a_file(void)
{
	char from[] = "/tmp/pannier-seccomp-XXXXXX", to[64];
	int fd = mkstemp(from);

	if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) != 0 || fchmod(fd, 0600) != 0)
		return 1;
	snprintf(to, sizeof to, "%s.new", from);
	return rename(from, to) == 0 && unlink(to) == 0 ? 0 : 2;
}

START_TEST(what_serving_needs_goes_on)
{
	assert_behind_filter("sockets, memory, names, libraries", serve);
	assert_behind_filter("files", rewrite_a_file);
	ck_assert_int_eq(behind_filter(SECCOMP_KILL, serve), 0);
	ck_assert_int_eq(behind_filter(SECCOMP_KILL, rewrite_a_file), 0);
}
END_TEST

#endif

int
main(void)
{
	Suite *s = suite_create("server/seccomp");

#ifdef SANITIZED
	SUITE_ADD(s, "none", a_build_with_a_sanitizer_says_that_it_has_no_filter);
#else
	SUITE_ADD(s, "refused", what_serving_does_not_need_is_refused,
	    what_is_newer_than_the_table_does_not_exist, kill_ends_the_process,
	    threads_from_before_and_after_are_behind_it);
	SUITE_ADD(s, "allowed", what_serving_needs_goes_on);
#endif
	return suite_main(s);
}
