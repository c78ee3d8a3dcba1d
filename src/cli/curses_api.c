#include "config.h"

#include "cli/curses_api.h"

#include <stdbool.h>

#include "origin/dynlib.h"

const struct curses_api *
curses_api_get(char *err, size_t err_size)
{
	static struct curses_api api;
	static const struct dynlib_fn functions[] = {
#define CURSES_API_ROW(fn) { #fn, offsetof(struct curses_api, fn) },
		CURSES_API(CURSES_API_ROW)
#undef CURSES_API_ROW
	};

	return dynlib_load("libncursesw.so.6", "libncursesw6", functions, ARRAY_LEN(functions),
	    &api, err, err_size) == 0 ? &api : NULL;
}
