/* seccomp.h - a filter on the system calls of the whole process (seccomp(2)), by
 * the table seccomp.def. Once it is there nothing takes it away: what breaks in
 * cannot start a program, attach to another process, or open other sockets than
 * those of Unix, TCP, UDP. */
#ifndef PANNIER_SERVER_SECCOMP_H
#define PANNIER_SERVER_SECCOMP_H

#include <stddef.h>

#include "base/util.h"

struct config;

/* What happens to a call that is not in the table. Those that are newer than the
 * table, and clone3(), whose flags a filter cannot see, are ENOSYS either way: the C
 * library then takes an older one. */
enum seccomp_refusal {
	SECCOMP_REFUSE, /* EPERM, and a line in the kernel's audit log where it has one */
	SECCOMP_KILL,   /* the process ends with SIGSYS */
};

/* For all threads that there are and will be. 0; -ENOTSUP where the build (a
 * sanitizer's), the architecture or the kernel cannot; -EACCES and the like where
 * it may not. err says which. Sets no_new_privs. */
int seccomp_install(enum seccomp_refusal refusal, char *err, size_t err_size) MUST_CHECK;

/* What the option `seccomp` asks for, with a line in the log. `auto` goes on where it
 * cannot; else 0 or -errno with err set. */
int seccomp_start(const struct config *cfg, char *err, size_t err_size) MUST_CHECK;

#endif
