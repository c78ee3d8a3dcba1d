#include "config.h"

#include "origin/dynlib.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int
dynlib_load(const char *soname, const char *package, const struct dynlib_fn *fns, size_t n,
    void *table, char *err, size_t err_size)
{
	void *lib = dlopen(soname, RTLD_NOW | RTLD_LOCAL);

	if (lib == NULL) {
		snprintf(err, err_size, "%s; on Debian: apt-get install %s", dlerror(), package);
		return -ENOENT;
	}
	for (size_t i = 0; i < n; i++) {
		void *fn = dlsym(lib, fns[i].name);

		if (fn == NULL) {
			snprintf(err, err_size, "%s has no %s; on Debian: apt-get install %s",
			    soname, fns[i].name, package);
			return -ENOENT;
		}
		memcpy((char *)table + fns[i].offset, &fn, sizeof fn);
	}
	return 0;
}
