/* What a handle trusts is an X509_STORE of OpenSSL, which is counted, locked and
 * shared by all loops. `sources` has the newest for each file that a configuration
 * named; clients keep the one they began with. */
#include "config.h"

#include "origin/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "origin/dynlib.h"

/* Part of OpenSSL's interface (x509_vfy.h). libcurl sets the same two. */
#define X509_V_FLAG_TRUSTED_FIRST 0x8000ul
#define X509_V_FLAG_PARTIAL_CHAIN 0x80000ul

/* Of the OpenSSL that libcurl brought along. struct tls_trust is an X509_STORE. */
struct tls_api {
	struct tls_trust *(*x509_store_new)(void);
	void (*x509_store_free)(struct tls_trust *store);
	int (*x509_store_up_ref)(struct tls_trust *store);
	int (*x509_store_load_locations)(struct tls_trust *store, const char *file,
	    const char *dir);
	int (*x509_store_set_flags)(struct tls_trust *store, unsigned long flags);
	void (*ssl_ctx_set1_cert_store)(void *ctx, struct tls_trust *store);
	void (*err_clear_error)(void);
};

struct source {
	struct list link;
	struct stat file; /* when it was read */
	struct tls_trust *trust;
	char path[];      /* "": the system's */
};

static struct {
	pthread_once_t once;
	bool usable;
	struct tls_api api;
	pthread_mutex_t lock; /* of sources; nothing is locked under it */
	struct list sources;
} tls = { .once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER };

static bool
load_functions(void)
{
	static const struct dynlib_fn functions[] = {
		{ "X509_STORE_new", offsetof(struct tls_api, x509_store_new) },
		{ "X509_STORE_free", offsetof(struct tls_api, x509_store_free) },
		{ "X509_STORE_up_ref", offsetof(struct tls_api, x509_store_up_ref) },
		{ "X509_STORE_load_locations",
		    offsetof(struct tls_api, x509_store_load_locations) },
		{ "X509_STORE_set_flags", offsetof(struct tls_api, x509_store_set_flags) },
		{ "SSL_CTX_set1_cert_store", offsetof(struct tls_api, ssl_ctx_set1_cert_store) },
		{ "ERR_clear_error", offsetof(struct tls_api, err_clear_error) },
	};
	char err[200];

	/* Names are looked up in what it depends on, too. */
	return dynlib_load(CURL_LIBRARY, "libcurl4", functions, ARRAY_LEN(functions), &tls.api,
	    err, sizeof err) == 0;
}

static void
load_library(void)
{
	const struct curl_api *curl = curl_api_get();
	const curl_version_info_data *v = curl != NULL ? curl->version_info(CURLVERSION_NOW) : NULL;

	list_init(&tls.sources);
	tls.usable = v != NULL && v->ssl_version != NULL &&
	    strncmp(v->ssl_version, "OpenSSL/", 8) == 0 && load_functions();
}

static bool
is_usable(void)
{
	pthread_once(&tls.once, load_library);
	return tls.usable;
}

/* --- reading ------------------------------------------------------------------------ */

static void
read_system(struct tls_trust *store)
{
	const curl_version_info_data *v = curl_api_get()->version_info(CURLVERSION_NOW);
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

/* NULL: no memory, or the file has no certificate. */
static struct tls_trust *
read_trust(const char *path)
{
	struct tls_trust *store = tls.api.x509_store_new();

	if (store == NULL)
		return NULL;
	if (path[0] == '\0') {
		read_system(store);
	} else if (tls.api.x509_store_load_locations(store, path, NULL) != 1) {
		tls.api.x509_store_free(store);
		store = NULL;
	}
	tls.api.err_clear_error(); /* or libcurl takes them for its own */
	if (store != NULL)
		tls.api.x509_store_set_flags(store,
		    X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	return store;
}

/* --- what was read ------------------------------------------------------------------- */

static struct source *
source_find_locked(const char *path)
{
	list_foreach (it, &tls.sources) {
		struct source *s = list_entry(it, struct source, link);

		if (strcmp(s->path, path) == 0)
			return s;
	}
	return NULL;
}

static struct source *
source_add_locked(const char *path)
{
	size_t n = strlen(path) + 1;
	struct source *s = mem_zalloc(sizeof *s + n);

	if (s == NULL)
		return NULL;
	memcpy(s->path, path, n);
	list_push_tail(&tls.sources, &s->link);
	return s;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* 0, -ENOMEM, or -EINVAL where the file has no certificate. */
static int
source_read_locked(const char *path, const struct stat *file)
{
	struct source *s = source_find_locked(path);
	struct tls_trust *trust;

	if (s == NULL)
		s = source_add_locked(path);
	if (s == NULL)
		return -ENOMEM;
	if (s->trust != NULL && same_file(&s->file, file))
		return 0;
	trust = read_trust(path);
	if (trust == NULL)
		return -EINVAL;
	if (s->trust != NULL)
		tls.api.x509_store_free(s->trust);
	s->trust = trust;
	s->file = *file;
	return 0;
}

/* libcurl opens it at each handshake; that it can is seen to now. */
static int
check_readable(const char *what, const char *path, struct stat *st, char *err, size_t err_size)
{
	char words[64];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int why = fd < 0 || fstat(fd, st) != 0 ? errno : 0;

	if (why == 0 && S_ISDIR(st->st_mode))
		why = EISDIR;
	if (fd >= 0)
		close(fd);
	if (why == 0)
		return 0;
	snprintf(err, err_size, "tls: %s %s: %s", what, path,
	    strerror_r(why, words, sizeof words));
	return -EINVAL;
}

static int
prepare_trust(const struct config_origin *cfg, char *err, size_t err_size)
{
	struct stat file = { 0 };
	int rc = 0;

	if (cfg->tls_ca_file != NULL)
		rc = check_readable("ca_file", cfg->tls_ca_file, &file, err, err_size);
	if (rc != 0 || !is_usable())
		return rc;
	pthread_mutex_lock(&tls.lock);
	rc = source_read_locked(cfg->tls_ca_file != NULL ? cfg->tls_ca_file : "", &file);
	pthread_mutex_unlock(&tls.lock);
	if (rc == 0 || cfg->tls_ca_file == NULL)
		return 0; /* libcurl will try for itself */
	snprintf(err, err_size, "tls: ca_file %s: %s", cfg->tls_ca_file,
	    rc == -ENOMEM ? "no memory" : "no certificate in it that can be read; PEM is wanted");
	return -EINVAL;
}

int
tls_prepare(const struct config_origin *cfg, char *err, size_t err_size)
{
	struct stat file;
	int rc = prepare_trust(cfg, err, err_size);

	if (rc == 0 && cfg->tls_cert_file != NULL)
		rc = check_readable("cert_file", cfg->tls_cert_file, &file, err, err_size);
	if (rc == 0 && cfg->tls_key_file != NULL)
		rc = check_readable("key_file", cfg->tls_key_file, &file, err, err_size);
	return rc;
}

struct tls_trust *
tls_trust_get(const struct config_origin *cfg)
{
	struct tls_trust *trust = NULL;
	struct source *s;

	if (!is_usable())
		return NULL;
	pthread_mutex_lock(&tls.lock);
	s = source_find_locked(cfg->tls_ca_file != NULL ? cfg->tls_ca_file : "");
	if (s != NULL && s->trust != NULL && tls.api.x509_store_up_ref(s->trust) == 1)
		trust = s->trust;
	pthread_mutex_unlock(&tls.lock);
	return trust;
}

void
tls_trust_free(struct tls_trust *t)
{
	if (t != NULL)
		tls.api.x509_store_free(t);
}

/* --- handles -------------------------------------------------------------------------- */

static CURLcode
on_ssl_ctx(CURL *easy UNUSED, void *ctx, void *trust)
{
	tls.api.ssl_ctx_set1_cert_store(ctx, trust);
	return CURLE_OK;
}

#define SET(option, value) \
	do { \
		CURLcode rc_ = curl->easy_setopt(easy, option, value); \
		if (rc_ != CURLE_OK) \
			return rc_; \
	} while (0)

CURLcode
tls_set_up(const struct curl_api *curl, CURL *easy, const struct config_origin *cfg,
    struct tls_trust *t)
{
	if (!cfg->tls_verify) {
		SET(CURLOPT_SSL_VERIFYPEER, 0L);
		SET(CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (cfg->tls_cert_file != NULL) {
		SET(CURLOPT_SSLCERT, cfg->tls_cert_file);
		SET(CURLOPT_SSLKEY, cfg->tls_key_file);
	}
	if (t != NULL) {
		SET(CURLOPT_CAINFO, NULL);
		SET(CURLOPT_CAPATH, NULL);
		SET(CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
		SET(CURLOPT_SSL_CTX_DATA, t);
	} else if (cfg->tls_ca_file != NULL) {
		SET(CURLOPT_CAINFO, cfg->tls_ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	return CURLE_OK;
}

#undef SET
