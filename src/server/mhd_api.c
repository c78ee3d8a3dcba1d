#include "config.h"

#include "server/mhd_api.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "origin/dynlib.h"

static struct {
	pthread_once_t once;
	struct mhd_api api;
	bool usable;
	char error[256];
} loaded = { .once = PTHREAD_ONCE_INIT };

static void
load(void)
{
	static const struct dynlib_fn functions[] = {
#define MHD_API_ROW(fn) { "MHD_" #fn, offsetof(struct mhd_api, fn) },
		MHD_API(MHD_API_ROW)
#undef MHD_API_ROW
	};
	char why[200];

	loaded.usable = dynlib_load("libmicrohttpd.so.12", "libmicrohttpd12", functions,
	    ARRAY_LEN(functions), &loaded.api, why, sizeof why) == 0;
	if (!loaded.usable)
		snprintf(loaded.error, sizeof loaded.error, "HTTP needs libmicrohttpd: %s",
		    why);
}

const struct mhd_api *
mhd_api_get(void)
{
	pthread_once(&loaded.once, load);
	return loaded.usable ? &loaded.api : NULL;
}

const char *
mhd_api_error(void)
{
	return loaded.error;
}
