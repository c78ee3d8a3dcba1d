/* seccomp.c - a program of the kernel's classic BPF from seccomp.def: the
 * architecture is checked, the number of the call is compared with each row's, and
 * a row's conditions with its arguments. Rows end in "allow"; behind the last one
 * stands the refusal. The kernel runs it once for each number at the start and
 * remembers what is allowed in any case (Linux 5.11), so a read or write costs the
 * same whatever the table's length.
 *
 * An own generator, not libseccomp: that would be 200 KiB of memory for a loop. EPERM
 * rather than SIGSYS with a handler: librdkafka's threads block all signals, and a
 * blocked SIGSYS kills. */
#include "config.h"

#include "server/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "config/config.h"

#if defined SANITIZED
#define ARCHITECTURE 0 /* its runtime makes calls of its own */
#elif defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__ && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0
#endif

/* set_mempolicy_home_node(), of Linux 5.17: all architectures count alike there. */
#define NEWEST_SYSCALL 450

#define CONDITIONS 4
#define VALUES 8
#define PROGRAM_MAX 1024

/* Stands for a number that is known at run time only; no flag or family is this. */
#define OWN_PID 0xFFFFFFFEu
#define ALL 0xFFFFFFFFu
#define SOCK_KINDS 0xFu /* besides SOCK_CLOEXEC and SOCK_NONBLOCK */

struct condition {
	uint8_t word; /* of the arguments: two each, the low one first */
	uint8_t n;
	uint32_t mask, values[VALUES];
};

struct row {
	uint32_t nr;
	struct condition conditions[CONDITIONS]; /* up to the one with n of 0 */
};

#define N_VALUES(...) (sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))
#define IS_ONE_OF(arg, m, ...) \
	{ .word = 2 * (arg), .n = N_VALUES(__VA_ARGS__), .mask = (m), .values = { __VA_ARGS__ } }
#define IS_NULL(arg) IS_ONE_OF(arg, ALL, 0), { .word = 2 * (arg) + 1, .n = 1, .mask = ALL }

static const struct row rows[] = {
#define SYSCALL(name) { .nr = __NR_##name },
#define SYSCALL_IF(name, ...) { __NR_##name, { __VA_ARGS__ } },
#include "server/seccomp.def"
#undef SYSCALL
#undef SYSCALL_IF
};

/* --- the program --------------------------------------------------------------------- */

struct program {
	struct sock_filter code[PROGRAM_MAX];
	unsigned short n;
	bool full;
};

static void
put(struct program *p, uint16_t op, uint32_t k, unsigned yes, unsigned no)
{
	if (p->n == PROGRAM_MAX) {
		p->full = true;
		return;
	}
	p->code[p->n++] = (struct sock_filter){ op, (uint8_t)yes, (uint8_t)no, k };
}

static void
put_load(struct program *p, size_t offset)
{
	put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void
put_return(struct program *p, uint32_t what)
{
	put(p, BPF_RET | BPF_K, what, 0, 0);
}

/* Goes on behind itself where one of the values is found, else `past` instructions
 * farther. */
static void
put_condition(struct program *p, const struct condition *c, unsigned past)
{
	put_load(p, offsetof(struct seccomp_data, args) + 4u * c->word);
	put(p, BPF_ALU | BPF_AND | BPF_K, c->mask, 0, 0);
	for (unsigned i = 0; i < c->n; i++) {
		bool last = i + 1 == c->n;
		uint32_t value = c->values[i] == OWN_PID ? (uint32_t)getpid() : c->values[i];

		put(p, BPF_JMP | BPF_JEQ | BPF_K, value, c->n - 1 - i, last ? past : 0);
	}
}

static unsigned
condition_length(const struct condition *c)
{
	return 2u + c->n;
}

/* The number is loaded when a row begins; conditions load others, so a row with some
 * loads it again for the next one. */
static void
put_row(struct program *p, const struct row *r)
{
	unsigned past = 1; /* the return */

	for (unsigned i = 0; i < CONDITIONS && r->conditions[i].n != 0; i++)
		past += condition_length(&r->conditions[i]);
	put(p, BPF_JMP | BPF_JEQ | BPF_K, r->nr, 0, past);
	for (unsigned i = 0; i < CONDITIONS && r->conditions[i].n != 0; i++) {
		past -= condition_length(&r->conditions[i]);
		put_condition(p, &r->conditions[i], past);
	}
	put_return(p, SECCOMP_RET_ALLOW);
	if (r->conditions[0].n != 0)
		put_load(p, offsetof(struct seccomp_data, nr));
}

static void
build(struct program *p, enum seccomp_refusal refusal)
{
	p->n = 0;
	p->full = false;
	put_load(p, offsetof(struct seccomp_data, arch));
	put(p, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	put_return(p, SECCOMP_RET_KILL_PROCESS);
	put_load(p, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		put_row(p, &rows[i]);
	put(p, BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 1, 0);
	put(p, BPF_JMP | BPF_JGT | BPF_K, NEWEST_SYSCALL, 0, 1);
	put_return(p, SECCOMP_RET_ERRNO | ENOSYS);
	put_return(p, refusal == SECCOMP_KILL ? SECCOMP_RET_KILL_PROCESS
	                                      : SECCOMP_RET_ERRNO | EPERM);
}

/* --- installing ---------------------------------------------------------------------- */

/* What the kernel is too old for is left out: the log, and that a filter does not
 * switch a costly defence against Spectre on, which is for programs that run others'
 * code. */
static MUST_CHECK int
set_filter(const struct program *p)
{
	static const unsigned flags[] = {
		SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG |
		    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG,
		SECCOMP_FILTER_FLAG_TSYNC,
	};
	struct sock_fprog prog = { p->n, (struct sock_filter *)(uintptr_t)p->code };
	long rc = -1;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		rc = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags[i], &prog);
		if (rc >= 0 || errno != EINVAL)
			break;
	}
	if (rc == 0)
		return 0;
	return rc > 0 ? -EBUSY : -errno; /* above 0 it is the thread that could not follow */
}

int
seccomp_install(enum seccomp_refusal refusal, char *err, size_t err_size)
{
	struct program p;
	int rc;

	if (ARCHITECTURE == 0) {
		snprintf(err, err_size, "this build of pannier has no filter of system calls");
		return -ENOTSUP;
	}
	build(&p, refusal);
	rc = p.full ? -E2BIG : set_filter(&p);
	if (rc == -ENOSYS || rc == -EINVAL) {
		snprintf(err, err_size, "the kernel has no filter of system calls");
		return -ENOTSUP;
	}
	if (rc != 0)
		snprintf(err, err_size, "the kernel does not take the filter of system calls: %s",
		    strerror(-rc));
	return rc;
}

int
seccomp_start(const struct config *cfg, char *err, size_t err_size)
{
	enum call_filter mode = (enum call_filter)cfg->seccomp;
	char why[200];
	int rc;

	if (mode == CALL_FILTER_FALSE)
		return 0;
	rc = seccomp_install(mode == CALL_FILTER_KILL ? SECCOMP_KILL : SECCOMP_REFUSE, why,
	    sizeof why);
	if (rc == 0) {
		log_info("seccomp: from now on only the system calls that serving needs");
		return 0;
	}
	if (mode == CALL_FILTER_AUTO) {
		log_info("seccomp: %s; it goes on without", why);
		return 0;
	}
	snprintf(err, err_size, "seccomp: %s; seccomp: auto goes on without", why);
	return rc;
}
