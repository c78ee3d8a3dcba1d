#include "config.h"

#include "origin/curl_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

#define LIBRARY "libcurl.so.4"
/* 7.87 brought CURLOPT_QUICK_EXIT, without which taking back a fetch whose
 * name is still being looked up waits for the resolver. */
#define VERSION_MIN 0x075700

static struct {
	pthread_once_t once;
	struct curl_api api;
	bool usable;
	char error[256];
} loaded = { .once = PTHREAD_ONCE_INIT };

static bool
load_functions(void *lib)
{
	static const struct {
		const char *name;
		size_t offset;
	} functions[] = {
#define CURL_API_ROW(fn) { "curl_" #fn, offsetof(struct curl_api, fn) },
		CURL_API(CURL_API_ROW)
#undef CURL_API_ROW
	};

	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		void *fn = dlsym(lib, functions[i].name);

		if (fn == NULL) {
			snprintf(loaded.error, sizeof loaded.error, LIBRARY " has no function %s",
			    functions[i].name);
			return false;
		}
		memcpy((char *)&loaded.api + functions[i].offset, &fn, sizeof fn);
	}
	return true;
}

static bool
check_version(void)
{
	const curl_version_info_data *v = loaded.api.version_info(CURLVERSION_NOW);

	if (v->version_num < VERSION_MIN) {
		snprintf(loaded.error, sizeof loaded.error,
		    LIBRARY " is of version %s, origins need 7.87 or later", v->version);
		return false;
	}
	/* Without, a slow name server would stop the whole loop. */
	if ((v->features & CURL_VERSION_ASYNCHDNS) == 0) {
		snprintf(loaded.error, sizeof loaded.error,
		    LIBRARY " was built without a threaded resolver");
		return false;
	}
	return true;
}

static void
load(void)
{
	void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (lib == NULL) {
		snprintf(loaded.error, sizeof loaded.error,
		    "origins need " LIBRARY " (%s); on Debian: apt-get install libcurl4",
		    dlerror());
		return;
	}
	if (!load_functions(lib) || !check_version())
		return;
	if (loaded.api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		snprintf(loaded.error, sizeof loaded.error, LIBRARY " could not be initialised");
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
