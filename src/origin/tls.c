#include "config.h"

#include "origin/tls.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "origin/dynlib.h"

/* Part of OpenSSL's interface (x509_vfy.h). libcurl sets the same two. */
#define X509_V_FLAG_TRUSTED_FIRST 0x8000ul
#define X509_V_FLAG_PARTIAL_CHAIN 0x80000ul

/* Of the OpenSSL that libcurl brought along. */
struct tls_api {
	void *(*x509_store_new)(void);
	int (*x509_store_load_locations)(void *store, const char *file, const char *dir);
	int (*x509_store_set_flags)(void *store, unsigned long flags);
	void (*ssl_ctx_set1_cert_store)(void *ctx, void *store);
};

static struct {
	pthread_once_t once;
	struct tls_api api;
	void *store; /* an X509_STORE, counted and locked by OpenSSL; NULL: none */
} tls = { .once = PTHREAD_ONCE_INIT };

static bool
load_functions(void)
{
	static const struct dynlib_fn functions[] = {
		{ "X509_STORE_new", offsetof(struct tls_api, x509_store_new) },
		{ "X509_STORE_load_locations",
		    offsetof(struct tls_api, x509_store_load_locations) },
		{ "X509_STORE_set_flags", offsetof(struct tls_api, x509_store_set_flags) },
		{ "SSL_CTX_set1_cert_store", offsetof(struct tls_api, ssl_ctx_set1_cert_store) },
	};
	char err[200];

	/* Names are looked up in what it depends on, too. */
	return dynlib_load(CURL_LIBRARY, "libcurl4", functions, ARRAY_LEN(functions), &tls.api,
	    err, sizeof err) == 0;
}

static void
load_certificates(void *store, const curl_version_info_data *v)
{
	const char *file = getenv("SSL_CERT_FILE"), *dir = NULL;
	bool any = false;

	if (file == NULL || file[0] == '\0') {
		file = v->cainfo;
		dir = v->capath;
	}
	if (file != NULL)
		any = tls.api.x509_store_load_locations(store, file, NULL) == 1;
	/* A directory is only noted: it is looked into when one is wanted. */
	if (dir != NULL && access(dir, R_OK | X_OK) == 0)
		any |= tls.api.x509_store_load_locations(store, NULL, dir) == 1;
	if (!any)
		log_warn("origins over https: no certificates in %s; on Debian: apt-get install "
		    "ca-certificates", file != NULL ? file : "their usual place");
}

static void
load(void)
{
	const struct curl_api *curl = curl_api_get();
	const curl_version_info_data *v;
	void *store;

	if (curl == NULL)
		return;
	v = curl->version_info(CURLVERSION_NOW);
	if (v->ssl_version == NULL || strncmp(v->ssl_version, "OpenSSL/", 8) != 0 ||
	    !load_functions())
		return;
	store = tls.api.x509_store_new();
	if (store == NULL)
		return; /* libcurl will try for itself */
	load_certificates(store, v);
	tls.api.x509_store_set_flags(store,
	    X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	tls.store = store;
}

void
tls_prepare(void)
{
	pthread_once(&tls.once, load);
}

static CURLcode
on_ssl_ctx(CURL *easy UNUSED, void *ctx, void *arg UNUSED)
{
	tls.api.ssl_ctx_set1_cert_store(ctx, tls.store);
	return CURLE_OK;
}

CURLcode
tls_set_up(const struct curl_api *curl, CURL *easy)
{
	CURLcode rc;

	if (tls.store == NULL)
		return CURLE_OK;
	rc = curl->easy_setopt(easy, CURLOPT_CAINFO, NULL);
	if (rc == CURLE_OK)
		rc = curl->easy_setopt(easy, CURLOPT_CAPATH, NULL);
	if (rc == CURLE_OK)
		rc = curl->easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
	return rc;
}
