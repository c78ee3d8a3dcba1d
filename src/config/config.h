/* config.h - the whole configuration, read once, immutable afterwards.
 *
 * config.def lists every option; the schema of the file, flags, environment,
 * CONFIG GET, `pannier check` and doc/config.md come from its rows. Flags
 * stand over environment (PANNIER_MEMORY ...) over file over default.
 * Not thread-safe while it is built; any thread may read it afterwards. */
#ifndef PANNIER_CONFIG_CONFIG_H
#define PANNIER_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/slice.h"
#include "base/util.h"

struct config_listen {
	bool is_unix;
	char *path;    /* unix */
	mode_t mode;
	uid_t uid;     /* (uid_t)-1: not set */
	gid_t gid;
	char *host;    /* tcp */
	uint16_t port;
};

struct config_namespace {
	char *name;             /* "name:", or else the prefix */
	char *prefix;           /* "" is the default namespace */
	char *origin;           /* NULL: none */
	char *path;             /* template with {key} and {rest} */
	int64_t ttl_ms;         /* 0: no expiry of its own */
	const struct config_origin *origin_cfg; /* resolved */
	int stats_id;           /* filled by the server */
};

struct config_origin {
	char *name;
	char **endpoints;       /* http:// or https:// or http+unix:///path */
	unsigned n_endpoints;
	int64_t deadline_ms;
	uint64_t max_body_bytes;
	uint32_t max_connections; /* kept alive and in all, each loop */
	uint32_t max_waiters;     /* of one flight */
	int stats_id;
	unsigned index;           /* in config.origins */
};

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENV, CONFIG_FLAG, CONFIG_RUNTIME };

struct config {
	/* Scalars, one field for each row of config.def. */
#define CONFIG_FIELD_BYTES uint64_t
#define CONFIG_FIELD_COUNT uint64_t
#define CONFIG_FIELD_DURATION int64_t
#define CONFIG_FIELD_LEVEL int
#define CONFIG_FIELD_ENUM int
#define OPTION(name, type, def, apply, redis, help) CONFIG_FIELD_##type name;
#include "config/config.def"
#undef OPTION
	struct config_listen *listens;
	unsigned n_listens;
	struct config_namespace *namespaces; /* [0] is the default one, always */
	unsigned n_namespaces;
	struct config_origin *origins;
	unsigned n_origins;
	uint8_t *sources; /* enum config_source of each row of config.def */
};

#define CONFIG_AUTO 0 /* "auto" of BYTES and COUNT rows */

/* "pannier.yaml:12:5: namespaces[0].ttl: "5x" is no duration; write 300s". */
struct config_error {
	char text[512];
};

/* "name=value" pairs from flags (config_load applies them last); `listen` may
 * come several times and replaces the file's. */
struct config_override {
	const char *name, *value;
};

/* path NULL: defaults only. 0, or -ENOENT, -EINVAL, -ENOMEM with err set;
 * *out is then untouched. */
int config_load(const char *path, const struct config_override *flags, unsigned n_flags,
    char *const *environ_vars, struct config **out, struct config_error *err) MUST_CHECK;
void config_free(struct config *c);

/* By name of config.def or by Redis's name ("maxmemory"); for CONFIG GET and
 * SET. get: appends the value as Redis would print it. */
unsigned config_option_count(void);
const char *config_option_name(unsigned row);
const char *config_option_redis_name(unsigned row); /* NULL: none */
int config_option_find(struct slice name); /* row or -ENOENT; either name */
bool config_option_runtime(unsigned row);  /* may change while running */
/* out holds the value as text; redis: bytes as plain numbers. */
void config_option_get(const struct config *c, unsigned row, bool redis, char *out, size_t size);
/* Parses and checks; 0, -EINVAL with err set. Changes only that field. */
int config_option_set(struct config *c, unsigned row, struct slice value, struct config_error *err)
    MUST_CHECK;
/* A copy to change and publish; NULL: no memory. */
struct config *config_clone(const struct config *c);

/* The effective configuration as YAML that config_load() takes again; with
 * `sources`, each scalar says behind it where it came from. */
void config_print(const struct config *c, bool sources, FILE *to);
/* One line for each option of `serve`, for --help. */
void config_print_flags(FILE *to);

/* --- longest prefix ------------------------------------------------------ */

/* Built from config.namespaces; immutable, any thread. */
struct nsmap;
struct nsmap *nsmap_new(const struct config *c); /* NULL: no memory */
void nsmap_free(struct nsmap *m);
/* The index in config.namespaces of the longest prefix of key; 0: default. */
unsigned nsmap_find(const struct nsmap *m, struct slice key);

#endif
