/* dynlib.h - a library that is loaded only when something needs it, so that
 * a plain cache does not carry it in its memory. Thread-safe. */
#ifndef PANNIER_ORIGIN_DYNLIB_H
#define PANNIER_ORIGIN_DYNLIB_H

#include <stddef.h>

#include "base/util.h"

/* A function, and where in the table its pointer goes. */
struct dynlib_fn {
	const char *name;
	size_t offset;
};

/* Loads `soname` for the life of the process and fills the table. 0, or
 * -ENOENT with err set: one line that names Debian's package. */
int dynlib_load(const char *soname, const char *package, const struct dynlib_fn *fns, size_t n,
    void *table, char *err, size_t err_size) MUST_CHECK;

#endif
