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

#define CONFIG_LISTENS_MAX 64
#define CONFIG_NAMESPACES_MAX 256 /* the default one included */
#define CONFIG_ORIGINS_MAX 64
#define CONFIG_ENDPOINTS_MAX 64   /* of one origin */
#define CONFIG_STATUS_MAX 32      /* of one origin's not_found_status */
#define CONFIG_STREAMS_MAX 16
#define CONFIG_STREAM_NAMES_MAX 64 /* of each list of a stream */
#define CONFIG_ALLOWED_MAX 256    /* users, or groups, of one listener */
#define CONFIG_QUOTAS_MAX 32      /* namespaces with a minimum or maximum */

/* So many percent of what the cache has, in place of bytes. */
#define CONFIG_SHARE(pct) ((uint64_t)1 << 63 | (uint64_t)(pct))

/* listen.def, namespace.def and origin.def list what may be said of these. */
struct config_listen {
	bool is_unix;
	char *path;    /* unix */
	mode_t mode;
	uid_t uid;     /* (uid_t)-1: not set */
	gid_t gid;
	char *host;    /* tcp */
	uint16_t port;
	bool any_host; /* of admin_http: not on loopback alone */
	int read_only; /* 0 or 1 */
	int admin;     /* likewise */
	uint32_t *allow_uids, *allow_gids; /* none of both: anybody */
	unsigned n_allow_uids, n_allow_gids;
	char **namespaces; /* names; none: all keys */
	unsigned n_namespaces;
	char *password_file; /* NULL: that of all */
};

enum coalesce { COALESCE_FETCH, COALESCE_LEASE };
enum lease_holder { LEASE_OF_CONNECTION, LEASE_OF_REQUEST };
enum fallback { FALLBACK_ERROR, FALLBACK_NIL, FALLBACK_VALUE, FALLBACK_STALE };
enum write_mode { WRITE_LOCAL, WRITE_THROUGH, WRITE_AROUND, WRITE_BEHIND, WRITE_REFUSED };
enum ns_class { CLASS_CACHE, CLASS_PROTECTED };

struct config_namespace {
	char *name;             /* "name:", or else made from the prefix: "user:" is
	                         * user; unique; letters, digits, "_-." */
	char *prefix;           /* "" is the default namespace */
	char *origin;           /* NULL: none */
	char *path;             /* template with {key} and {rest} */
	int64_t ttl_ms;         /* 0: no expiry of its own */
	int class;              /* enum ns_class */
	uint64_t min_memory, max_memory; /* bytes, or CONFIG_SHARE(); 0: none */
	int coalesce;           /* enum coalesce */
	int64_t lease_ms;
	int lease_holder;       /* enum lease_holder */
	int64_t grace_ms;       /* 0: what has expired is gone; with an origin see the next */
	/* Of namespaces with an origin: */
	int64_t swr_ms, sie_ms; /* stale while revalidate, stale if error; grace_ms where
	                         * that is set and they are not */
	int64_t stale_after_ms; /* 0: waits for the fetch */
	int64_t retry_after_ms;
	int64_t keep_ms;        /* to ask with a condition */
	uint32_t ttl_jitter_pct;
	uint32_t early_pct;     /* XFetch's beta in percent */
	int64_t negative_ttl_ms, uncacheable_ttl_ms; /* 0: not remembered */
	int fallback;           /* enum fallback */
	char *fallback_value;
	int write;              /* enum write_mode; WRITE_LOCAL without an origin */
	char *tier;             /* NULL: none; else a Redis origin, in front of `origin` */
	int shared_lease;       /* 0 or 1 */
	const struct config_origin *origin_cfg, *tier_cfg; /* resolved */
	int stats_id;           /* filled by the server */
	unsigned quota;         /* likewise: its number where it has a minimum or maximum, or 0 */
};

enum origin_kind { ORIGIN_HTTP, ORIGIN_REDIS };
enum redis_mode { REDIS_STANDALONE, REDIS_SENTINEL, REDIS_CLUSTER };
enum redis_tracking { REDIS_TRACKING_FALSE, REDIS_TRACKING_TRUE, REDIS_TRACKING_AUTO };
enum redis_read_from { REDIS_READ_MASTER, REDIS_READ_REPLICA, REDIS_READ_ANY };

enum guard_window { GUARD_BY_CALLS, GUARD_BY_TIME };
enum guard_policy { GUARD_ROUND_ROBIN, GUARD_LEAST_CONNECTIONS, GUARD_TWO_CHOICES };

/* Fields of one struct by group: guard.retry.attempts. Durations are milliseconds,
 * enums int, shares percent; rate.burst may be CONFIG_AUTO, health.path NULL. */
struct config_guard {
#define GUARD_FIELD_COUNT32 uint32_t
#define GUARD_FIELD_DURATION int64_t
#define GUARD_FIELD_ENUM int
#define GUARD_FIELD_TEMPLATE char *
#define GUARD_GROUP(group, help) struct {
#define GUARD_OPTION(group, key, type, ...) GUARD_FIELD_##type key;
#define GUARD_END(group) } group;
#include "config/guard.def"
};

static inline bool
config_has_checks(const struct config_guard *g)
{
	return g->health.enabled || g->health.path != NULL;
}

struct config_origin {
	char *name;
	int kind;               /* enum origin_kind; which of http: and redis: it has */
	char **endpoints;       /* http:// or https:// or http+unix:///path */
	unsigned n_endpoints;
	char **not_found_status; /* as text */
	unsigned n_not_found_status;
	int64_t deadline_ms;
	uint64_t max_body_bytes;
	uint32_t max_connections; /* kept alive and in all, each loop */
	uint32_t max_waiters;     /* of one flight */
	char *tls_ca_file;        /* NULL: what the system trusts */
	char *tls_cert_file, *tls_key_file; /* our own, or NULL */
	int tls_verify;           /* 0 or 1 */
	uint64_t write_queue_bytes; /* of writes behind, all loops together */
	int64_t write_delay_ms;
	uint32_t write_parallel;  /* of each loop */
	int64_t write_give_up_ms; /* 0: never */
	char *tls_server_name;    /* NULL: the host that is connected to */
	/* ORIGIN_REDIS */
	char **redis_endpoints;   /* redis:// or rediss:// or redis+unix:///path */
	unsigned n_redis_endpoints;
	int redis_mode;           /* enum redis_mode */
	char *redis_master_name;  /* of Sentinel; else NULL */
	char *redis_username, *redis_password_file, *redis_password_env; /* or NULL */
	char *redis_sentinel_username, *redis_sentinel_password_file;
	uint32_t redis_database;
	char *redis_key;          /* redis_key.h */
	uint32_t redis_connections, redis_pipeline; /* to each server, of each loop; calls on
	                           * each */
	int redis_read_from;      /* enum redis_read_from */
	int64_t redis_refresh_ms, redis_ping_ms;
	int redis_tracking;       /* enum redis_tracking; resolved: never auto */
	int64_t redis_tracking_ping_ms, redis_tracking_timeout_ms, redis_unverified_max_ms;
	uint32_t redis_revalidate_rate; /* a second */
	int64_t dns_cache_ms;     /* how long a name's addresses are kept */
	int64_t connection_age_ms; /* older ones take no further request; 0: any age */
	struct config_guard guard; /* guard.def */
	int stats_id;
	unsigned index;           /* in config.origins */
};

/* In the order of their names in value.c. */
enum call_filter { CALL_FILTER_FALSE, CALL_FILTER_TRUE, CALL_FILTER_AUTO, CALL_FILTER_KILL };

enum stream_kind { STREAM_RABBITMQ, STREAM_KAFKA };
enum stream_format { STREAM_JSON, STREAM_PLAIN };
enum stream_gap { GAP_SOFTEN, GAP_FLUSH, GAP_IGNORE };

/* Messages of a broker that say what is old. stream.def has the rows. */
struct config_stream {
	char *name;
	int kind;                 /* enum stream_kind */
	char **endpoints;         /* host:port */
	unsigned n_endpoints;
	char *user, *password_file; /* NULL: unset, as all texts here may be */
	int tls, verify;          /* 0 or 1 */
	char *ca_file, *cert_file, *key_file;
	char *vhost, *exchange, *queue;
	char **routing_keys;
	unsigned n_routing_keys;
	char **topics;
	unsigned n_topics;
	char *group;
	char **properties;        /* name=value */
	unsigned n_properties;
	int format;               /* enum stream_format */
	char **keys, **prefixes, **tags; /* templates */
	unsigned n_keys, n_prefixes, n_tags;
	int soft;                 /* 0 or 1 */
	int on_gap;               /* enum stream_gap */
	char **gap_prefixes;      /* none: all keys */
	unsigned n_gap_prefixes;
	uint32_t prefetch;
	uint64_t max_message_bytes;
};

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENV, CONFIG_FLAG, CONFIG_RUNTIME };

struct config {
	/* Scalars, one field for each row of config.def. */
#define CONFIG_FIELD_BYTES uint64_t
#define CONFIG_FIELD_COUNT uint64_t
#define CONFIG_FIELD_DURATION int64_t
#define CONFIG_FIELD_MILLIS int64_t
#define CONFIG_FIELD_MICROS int64_t /* -1: off */
#define CONFIG_FIELD_LEVEL int    /* enum log_level */
#define CONFIG_FIELD_ENUM int     /* of eviction: enum cache_policy */
#define CONFIG_FIELD_PATH char *  /* NULL: unset */
#define CONFIG_FIELD_LISTENER char * /* for config_listen_parse(); NULL: unset */
#define OPTION(name, type, def, least, most, apply, redis, help) CONFIG_FIELD_##type name;
#include "config/config.def"
#undef OPTION
	struct config_listen *listens;
	unsigned n_listens;
	struct config_namespace *namespaces; /* [0] is the default one, always */
	unsigned n_namespaces;
	struct config_origin *origins;
	unsigned n_origins;
	struct config_stream *streams;
	unsigned n_streams;
	uint8_t *sources; /* enum config_source of each row of config.def, then of the lists */
	uint32_t *lines;  /* of each from CONFIG_FILE: where it stands there */
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

/* path NULL: no file. environ_vars NULL: none. Empty variables count as unset,
 * and unknown PANNIER_ ones are passed over: Kubernetes sets some for any
 * service of that name. 0; -EINVAL: wrong content; -ENOMEM; or what open(2)
 * said, with err set. *out is then untouched. */
int config_load(const char *path, const struct config_override *flags, unsigned n_flags,
    char *const *environ_vars, struct config **out, struct config_error *err) MUST_CHECK;
/* As config_load(), but goes on after an error and tells each. */
int config_check(const char *path, const struct config_override *flags, unsigned n_flags,
    char *const *environ_vars, struct config **out,
    void (*each)(void *arg, const char *text), void *arg) MUST_CHECK;
void config_free(struct config *c); /* NULL is fine */

/* "unix:PATH", "unix:PATH,mode=0660,owner=USER,group=GROUP", "tcp:HOST:PORT"; any key
 * of listen.def may follow, those of lists once for each element.
 * 0; -EINVAL or -ENOMEM with why set and *out empty. */
int config_listen_parse(struct slice text, struct config_listen *out, struct config_error *why)
    MUST_CHECK;
/* Likewise of admin_http, where TCP may be any address of the machine. */
int config_admin_http_parse(struct slice text, struct config_listen *out, struct config_error *why)
    MUST_CHECK;
void config_listen_fini(struct config_listen *l);
int config_listen_copy(struct config_listen *to, const struct config_listen *from) MUST_CHECK;

/* Of an origin, what the file says; stats_id and index are no part of that. */
int config_origin_copy(struct config_origin *to, const struct config_origin *from) MUST_CHECK;
void config_origin_fini(struct config_origin *o);
bool config_origin_same(const struct config_origin *a, const struct config_origin *b);
/* One more listener, from the same text. */
int config_listen_add(struct config *c, struct slice text, struct config_error *why) MUST_CHECK;

/* By name of config.def or by Redis's name ("maxmemory"); for CONFIG GET and
 * SET. */
unsigned config_option_count(void);
const char *config_option_name(unsigned row);
const char *config_option_redis_name(unsigned row); /* NULL: none */
int config_option_find(struct slice name); /* row or -ENOENT; either name */
bool config_option_runtime(unsigned row);  /* may change while running */
const char *config_option_help(unsigned row);
/* out holds the value as text. redis: as Redis would print it, with bytes and
 * seconds as plain numbers, its names for values, and auto as 0. */
void config_option_get(const struct config *c, unsigned row, bool redis, char *out, size_t size);
/* Parses and checks; takes what Redis's clients send too ("notice", seconds
 * without a unit). Changes only that field. 0; -EINVAL with err set: what is
 * in c is then not fit to be used. */
int config_option_set(struct config *c, unsigned row, struct slice value, struct config_error *err)
    MUST_CHECK;
/* A copy to change and publish; NULL: no memory. */
struct config *config_clone(const struct config *c);

/* The effective configuration as YAML that config_load() takes again; with
 * `sources`, each scalar says behind it where it came from. */
void config_print(const struct config *c, bool sources, FILE *to);
/* One line for each option of `serve`, for --help. */
void config_print_flags(FILE *to);
#define CONFIG_LISTEN_HELP \
	"Where clients connect: unix:PATH, which may end in ,mode=0660,owner=USER,group=GROUP, " \
	"or tcp:127.0.0.1:6380. May be given several times; stands instead of the file's."
/* The tables of doc/config.md. */
void config_print_reference(FILE *to);

/* --- longest prefix ------------------------------------------------------ */

/* Built from config.namespaces; immutable, any thread. */
struct nsmap;
struct nsmap *nsmap_new(const struct config *c); /* NULL: no memory */
void nsmap_free(struct nsmap *m);
/* The index in config.namespaces of the longest prefix of key; 0: default. */
unsigned nsmap_find(const struct nsmap *m, struct slice key);

#endif
