#include "config.h"

#include "origin/curl_api.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "origin/dynlib.h"

/* 7.87 brought CURLOPT_QUICK_EXIT, without which taking back a fetch whose
 * name is still being looked up waits for the resolver. */
#define VERSION_MIN 0x075700

static struct {
	pthread_once_t once;
	struct curl_api api;
	bool usable;
	char error[256];
} loaded = { .once = PTHREAD_ONCE_INIT };

static int
load_functions(void)
{
	static const struct dynlib_fn functions[] = {
#define CURL_API_ROW(fn) { "curl_" #fn, offsetof(struct curl_api, fn) },
		CURL_API(CURL_API_ROW)
#undef CURL_API_ROW
	};
	char why[200];
	int rc = dynlib_load(CURL_LIBRARY, "libcurl4", functions, ARRAY_LEN(functions),
	    &loaded.api, why, sizeof why);

	if (rc != 0)
		snprintf(loaded.error, sizeof loaded.error, "origins need libcurl: %s", why);
	return rc;
}

static bool
check_version(void)
{
	const curl_version_info_data *v = loaded.api.version_info(CURLVERSION_NOW);

	if (v->version_num < VERSION_MIN) {
		snprintf(loaded.error, sizeof loaded.error,
		    "origins need libcurl 7.87 or later, this is %s", v->version);
		return false;
	}
	/* Without, a slow name server would stop the whole loop. */
	if ((v->features & CURL_VERSION_ASYNCHDNS) == 0) {
		snprintf(loaded.error, sizeof loaded.error,
		    "origins need a libcurl with a threaded resolver, this one has none");
		return false;
	}
	return true;
}

static void
load(void)
{
	if (load_functions() != 0 || !check_version())
		return;
	if (loaded.api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		snprintf(loaded.error, sizeof loaded.error, "libcurl could not be initialised");
		return;
	}
	loaded.usable = true;
}

const struct curl_api *
curl_api_get(void)
{
	pthread_once(&loaded.once, load);
	return loaded.usable ? &loaded.api : NULL;
}

const char *
curl_api_error(void)
{
	return loaded.error;
}
