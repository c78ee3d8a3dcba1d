/* curl_api.h - libcurl, loaded when the first origin needs it.
 *
 * With the libraries for TLS, HTTP/2 and Kerberos that it brings it adds 8 MB
 * of resident memory, 1.2 MB of them dirty (libcurl 7.88 of Debian 12). A
 * plain cache shall not pay for that, so pannier is not linked to it. Loading
 * takes some 30 ms. To use a further function, add a row to the table. */
#ifndef PANNIER_ORIGIN_CURL_API_H
#define PANNIER_ORIGIN_CURL_API_H

#include <curl/curl.h>

#include "base/util.h"

#define CURL_LIBRARY "libcurl.so.4"

#define CURL_API(FN) \
	FN(global_init) \
	FN(version_info) \
	FN(easy_init) \
	FN(easy_cleanup) \
	FN(easy_setopt) \
	FN(easy_getinfo) \
	FN(easy_strerror) \
	FN(multi_init) \
	FN(multi_cleanup) \
	FN(multi_setopt) \
	FN(multi_add_handle) \
	FN(multi_remove_handle) \
	FN(multi_socket_action) \
	FN(multi_assign) \
	FN(multi_info_read) \
	FN(slist_append) \
	FN(slist_free_all)

struct curl_api {
#define CURL_API_MEMBER(name) __typeof__(curl_##name) *name;
	CURL_API(CURL_API_MEMBER)
#undef CURL_API_MEMBER
};

/* Loads and initialises the library at the first call; any thread. NULL:
 * curl_api_error() says why, in one line. Never unloaded. */
const struct curl_api *curl_api_get(void);
const char *curl_api_error(void);

#endif
