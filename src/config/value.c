#include <config.h>

#include "config/value.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <sys/un.h>

#include "base/mem.h"
#include "base/parse.h"
#include "config/endpoint.h"
#include "config/host.h"
#include "config/redis_key.h"
#include "config/template.h"
#include "config/text.h"

#define NAME_LEN_MAX 64
#define PREFIX_LEN_MAX 255
#define TEXT_LEN_MAX 1024
#define SOCKET_LEN_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

struct choice {
	const char *name, *redis;
};

/* In the order of enum log_level. */
static const struct choice level_choices[] = {
	{ "debug", "debug" }, { "info", "notice" }, { "warn", "warning" }, { "error", "nothing" },
};

/* In the order of enum cache_policy. To Redis's clients the last is the nearest of
 * its own; s3fifo has none. */
static const struct choice eviction_choices[] = {
	{ "lru", "allkeys-lru" }, { "s3fifo", "s3fifo" }, { "tinylfu", "allkeys-lfu" },
};

static const struct choice switch_choices[] = { { "off", "no" }, { "on", "yes" } };
static const struct choice version_choices[] = { { "7.0.15", "7.0.15" }, { "7.4.0", "7.4.0" } };
static const struct choice bool_choices[] = { { "false", "no" }, { "true", "yes" } };
static const struct choice coalesce_choices[] = { { "fetch", "fetch" }, { "lease", "lease" } };
static const struct choice holder_choices[] = {
	{ "connection", "connection" }, { "request", "request" },
};
static const struct choice fallback_choices[] = {
	{ "error", "error" }, { "nil", "nil" }, { "value", "value" }, { "stale", "stale" },
};
static const struct choice class_choices[] = { { "cache", "cache" }, { "protected", "protected" } };

/* In the order of enum write_mode. */
static const struct choice write_choices[] = {
	{ "local", "local" }, { "through", "through" }, { "around", "around" },
	{ "behind", "behind" }, { "refused", "refused" },
};

/* In the order of their enums in config.h. */
static const struct choice mode_choices[] = {
	{ "standalone", "standalone" }, { "sentinel", "sentinel" }, { "cluster", "cluster" },
};
static const struct choice read_choices[] = {
	{ "master", "master" }, { "replica", "replica" }, { "any", "any" },
};
static const struct choice window_choices[] = { { "calls", "calls" }, { "time", "time" } };
static const struct choice policy_choices[] = {
	{ "round_robin", "round_robin" }, { "least_connections", "least_connections" },
	{ "two_choices", "two_choices" },
};

static const struct choice tracking_choices[] = {
	{ "false", "false" }, { "true", "true" }, { "auto", "auto" },
};

/* In the order of enum call_filter. */
static const struct choice filter_choices[] = {
	{ "false", "false" }, { "true", "true" }, { "auto", "auto" }, { "kill", "kill" },
};

/* In the orders of enum stream_kind, stream_format and stream_gap. */
static const struct choice kind_choices[] = { { "rabbitmq", "rabbitmq" }, { "kafka", "kafka" } };
static const struct choice format_choices[] = { { "json", "json" }, { "plain", "plain" } };
static const struct choice gap_choices[] = {
	{ "soften", "soften" }, { "flush", "flush" }, { "ignore", "ignore" },
};

/* Rows whose values have names. */
static const struct option_enum {
	const char *key, *noun, *example;
	const struct choice *choices;
	unsigned n;
} option_enums[] = {
	{ "log_level", "log level", "info", level_choices, ARRAY_LEN(level_choices) },
	{ "advice", "switch", "on", switch_choices, ARRAY_LEN(switch_choices) },
	{ "snapshot_on_stop", "truth value", "true", bool_choices, ARRAY_LEN(bool_choices) },
	{ "ready_when_loaded", "truth value", "true", bool_choices, ARRAY_LEN(bool_choices) },
	{ "pressure", "truth value", "true", bool_choices, ARRAY_LEN(bool_choices) },
	{ "eviction", "eviction policy", "lru", eviction_choices, ARRAY_LEN(eviction_choices) },
	{ "redis_version", "version that is known", "7.0.15", version_choices,
	    ARRAY_LEN(version_choices) },
	{ "enabled", "truth value", "true", bool_choices, ARRAY_LEN(bool_choices) },
	{ "dry_run", "truth value", "true", bool_choices, ARRAY_LEN(bool_choices) },
	{ "adaptive", "truth value", "true", bool_choices, ARRAY_LEN(bool_choices) },
	{ "window", "kind of window", "calls", window_choices, ARRAY_LEN(window_choices) },
	{ "policy", "way to balance", "round_robin", policy_choices, ARRAY_LEN(policy_choices) },
	{ "read_only", "truth value", "true", bool_choices, ARRAY_LEN(bool_choices) },
	{ "admin_keys", "truth value", "true", bool_choices, ARRAY_LEN(bool_choices) },
	{ "admin", "truth value", "true", bool_choices, ARRAY_LEN(bool_choices) },
	{ "verify", "truth value", "true", bool_choices, ARRAY_LEN(bool_choices) },
	{ "mode", "kind of Redis", "cluster", mode_choices, ARRAY_LEN(mode_choices) },
	{ "read_from", "kind of server", "replica", read_choices, ARRAY_LEN(read_choices) },
	{ "shared_lease", "truth value", "true", bool_choices, ARRAY_LEN(bool_choices) },
	{ "tracking", "choice", "true", tracking_choices, ARRAY_LEN(tracking_choices) },
	{ "seccomp", "choice", "auto", filter_choices, ARRAY_LEN(filter_choices) },
	{ "tls", "truth value", "true", bool_choices, ARRAY_LEN(bool_choices) },
	{ "soft", "truth value", "true", bool_choices, ARRAY_LEN(bool_choices) },
	{ "kind", "kind", "rabbitmq", kind_choices, ARRAY_LEN(kind_choices) },
	{ "format", "format", "json", format_choices, ARRAY_LEN(format_choices) },
	{ "on_gap", "way", "soften", gap_choices, ARRAY_LEN(gap_choices) },
	{ "class", "class", "protected", class_choices, ARRAY_LEN(class_choices) },
	{ "coalesce", "way to coalesce", "fetch", coalesce_choices, ARRAY_LEN(coalesce_choices) },
	{ "lease_holder", "holder", "connection", holder_choices, ARRAY_LEN(holder_choices) },
	{ "fallback", "fallback", "nil", fallback_choices, ARRAY_LEN(fallback_choices) },
	{ "write", "way to write", "through", write_choices, ARRAY_LEN(write_choices) },
};

/* What is wrong with a text, as the rest of a sentence, or NULL. */
typedef const char *text_check(struct slice s);

static text_check check_name, check_prefix, check_socket, check_path, check_url, check_text,
    check_listener, check_redis_url;

static const struct kind {
	const char *noun, *example, *metavar;
	text_check *check;
} kinds[VALUE_KINDS] = {
	[VALUE_BYTES] = { .noun = "size", .example = "256MiB", .metavar = "SIZE" },
	[VALUE_SHARE] = { .noun = "size or share", .example = "64MiB or 25%", .metavar = "SIZE" },
	[VALUE_COUNT] = { .noun = "whole number", .example = "1000", .metavar = "N" },
	[VALUE_COUNT32] = { .noun = "whole number", .example = "1000", .metavar = "N" },
	[VALUE_DURATION] = { .noun = "duration", .example = "300s", .metavar = "DURATION" },
	[VALUE_MILLIS] = { .noun = "duration", .example = "100ms", .metavar = "DURATION" },
	[VALUE_MICROS] = { .noun = "duration", .example = "10ms, 500us or off",
	    .metavar = "DURATION" },
	[VALUE_LEVEL] = { .metavar = "LEVEL" },
	[VALUE_ENUM] = { .metavar = "NAME" },
	[VALUE_MODE] = { .noun = "file mode", .example = "\"0660\"", .metavar = "MODE" },
	[VALUE_OWNER] = { .noun = "user", .example = "www-data", .metavar = "USER" },
	[VALUE_GROUP] = { .noun = "group", .example = "www-data", .metavar = "GROUP" },
	[VALUE_ADDRESS] = { .noun = "host:port", .example = "127.0.0.1:6380",
	    .metavar = "HOST:PORT" },
	[VALUE_NAME] = { .noun = "name", .example = "users", .metavar = "NAME",
	    .check = check_name },
	[VALUE_PREFIX] = { .noun = "prefix", .example = "\"user:\"", .metavar = "PREFIX",
	    .check = check_prefix },
	[VALUE_TEMPLATE] = { .noun = "path", .example = "/users/{rest}", .metavar = "PATH",
	    .check = template_check },
	[VALUE_SOCKET] = { .noun = "path", .example = "/run/pannier/pannier.sock",
	    .metavar = "PATH", .check = check_socket },
	[VALUE_PATH] = { .noun = "path", .example = "/run/secrets/pannier", .metavar = "FILE",
	    .check = check_path },
	[VALUE_URL] = { .noun = "URL", .example = "http://127.0.0.1:8081", .metavar = "URL",
	    .check = check_url },
	[VALUE_LISTENER] = { .noun = "address", .example = "tcp:127.0.0.1:9464",
	    .metavar = "ADDRESS", .check = check_listener },
	[VALUE_TEXT] = { .noun = "text", .example = "\"{}\"", .metavar = "TEXT",
	    .check = check_text },
	[VALUE_REDIS_URL] = { .noun = "URL", .example = "redis://127.0.0.1:6379", .metavar = "URL",
	    .check = check_redis_url },
	[VALUE_REDIS_KEY] = { .noun = "key", .example = "\"app:{key}\"", .metavar = "KEY",
	    .check = redis_key_check },
};

/* NULL: the row is of another kind. */
static const struct option_enum *
enum_of(const struct field *f)
{
	for (size_t i = 0; (f->kind == VALUE_LEVEL || f->kind == VALUE_ENUM) &&
	     i < ARRAY_LEN(option_enums); i++)
		if (strcmp(f->key, option_enums[i].key) == 0)
			return &option_enums[i];
	return NULL;
}

const char *
value_noun(const struct field *f)
{
	return enum_of(f) != NULL ? enum_of(f)->noun : kinds[f->kind].noun;
}

const char *
value_example(const struct field *f)
{
	return enum_of(f) != NULL ? enum_of(f)->example : kinds[f->kind].example;
}

const char *
value_metavar(const struct field *f)
{
	return kinds[f->kind].metavar;
}

unsigned
value_names(const struct field *f, const char **out, unsigned n)
{
	const struct option_enum *e = enum_of(f);

	if (e == NULL)
		return 0;
	for (unsigned i = 0; i < MIN(n, e->n); i++)
		out[i] = e->choices[i].name;
	return MIN(n, e->n);
}

/* "what" and then the rest of the sentence. */
static int PRINTF(3, 4) MUST_CHECK
bad_value(struct config_error *why, struct slice s, const char *fmt, ...)
{
	struct text t = text_in(why->text, sizeof why->text);
	va_list ap;

	text_quote(&t, s);
	text_add(&t, " ");
	va_start(ap, fmt);
	text_vadd(&t, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static MUST_CHECK int
no_such_value(const struct field *f, struct slice s, struct config_error *why)
{
	return bad_value(why, s, "is no %s; write for example %s", value_noun(f),
	    value_example(f));
}

static MUST_CHECK int
no_memory(struct config_error *why)
{
	struct text t = text_in(why->text, sizeof why->text);

	text_add(&t, "out of memory");
	return -ENOMEM;
}

/* --- amounts: sizes, numbers, durations ------------------------------------ */

static bool
kind_is_amount(enum field_kind k)
{
	return k <= VALUE_MICROS;
}

static bool
field_takes_auto(const struct field *f)
{
	return f->def != NULL && strcmp(f->def, "auto") == 0;
}

#define MICROS_OFF UINT64_MAX /* as the field has it */

/* As other durations, or "500us". */
static MUST_CHECK int
micros_parse(struct slice s, uint64_t *out)
{
	int64_t ms;
	int rc;

	if (s.len > 2 && s.ptr[s.len - 2] == 'u' && s.ptr[s.len - 1] == 's')
		return parse_u64(slice_of(s.ptr, s.len - 2), out);
	rc = parse_duration_ms(s, &ms);
	if (rc == 0 && __builtin_mul_overflow((uint64_t)ms, 1000, out))
		rc = -ERANGE;
	return rc;
}

static MUST_CHECK int
amount_parse(enum field_kind k, struct slice s, uint64_t *out)
{
	int64_t ms;
	int rc;

	if (k == VALUE_BYTES)
		return parse_bytes(s, out);
	if (k == VALUE_SHARE)
		return share_parse(s, out);
	if (k == VALUE_MICROS)
		return micros_parse(s, out);
	if (k != VALUE_DURATION && k != VALUE_MILLIS)
		return parse_u64(s, out);
	rc = parse_duration_ms(s, &ms);
	if (rc == 0)
		*out = (uint64_t)ms;
	return rc;
}

static void
amount_store(const struct field *f, void *base, uint64_t v)
{
	void *at = field_at(f, base);

	if (f->kind == VALUE_COUNT32)
		*(uint32_t *)at = (uint32_t)v;
	else
		*(uint64_t *)at = v; /* of DURATION an int64_t, and v fits */
}

static uint64_t
amount_load(const struct field *f, const void *base)
{
	const void *at = field_at(f, base);

	return f->kind == VALUE_COUNT32 ? *(const uint32_t *)at : *(const uint64_t *)at;
}

static MUST_CHECK int
parse_amount(const struct field *f, struct slice s, void *base, struct config_error *why)
{
	uint64_t v = CONFIG_AUTO, least = 0;
	uint64_t most = f->kind == VALUE_COUNT32 ? UINT32_MAX : INT64_MAX;
	int rc;

	if (field_takes_auto(f) && slice_eq(s, SLICE("auto"))) {
		amount_store(f, base, CONFIG_AUTO);
		return 0;
	}
	if (f->kind == VALUE_MICROS && slice_eq(s, SLICE("off"))) {
		amount_store(f, base, MICROS_OFF);
		return 0;
	}
	rc = amount_parse(f->kind, s, &v);
	if (rc == -EINVAL)
		return no_such_value(f, s, why);
	if (f->least != NULL && amount_parse(f->kind, slice_str(f->least), &least) != 0)
		least = 0;
	if (f->most != NULL && amount_parse(f->kind, slice_str(f->most), &most) != 0)
		most = INT64_MAX;
	if (rc == -ERANGE || (v > most && !(f->kind == VALUE_SHARE && v >> 63)))
		return bad_value(why, s, "is too much; the most is %s",
		    f->most != NULL ? f->most : "less than 2^63");
	if (v < least)
		return bad_value(why, s, "is too little; the least is %s", f->least);
	amount_store(f, base, v);
	return 0;
}

static void
format_micros(uint64_t us, bool redis, struct text *t)
{
	char digits[FORMAT_MAX];

	if (us == MICROS_OFF)
		text_add(t, redis ? "-1" : "off");
	else if (redis)
		text_add(t, "%llu", (unsigned long long)us);
	else if (us % 1000 != 0)
		text_add(t, "%lluus", (unsigned long long)us);
	else
		text_add(t, "%.*s", (int)format_duration_ms(digits, (int64_t)(us / 1000)), digits);
}

static void
format_amount(const struct field *f, uint64_t v, bool redis, struct text *t)
{
	char digits[FORMAT_MAX];

	if (v == CONFIG_AUTO && field_takes_auto(f))
		text_add(t, redis ? "0" : "auto");
	else if (f->kind == VALUE_MICROS)
		format_micros(v, redis, t);
	else if (redis && f->kind == VALUE_DURATION)
		text_add(t, "%llu", (unsigned long long)(v / 1000 + (v % 1000 != 0)));
	else if (redis || f->kind == VALUE_COUNT || f->kind == VALUE_COUNT32)
		text_add(t, "%llu", (unsigned long long)v);
	else if (f->kind == VALUE_SHARE && v >> 63)
		text_add(t, "%u%%", (unsigned)(v & 0xff));
	else if (f->kind == VALUE_BYTES || f->kind == VALUE_SHARE)
		text_add(t, "%.*s", (int)format_bytes(digits, v), digits);
	else
		text_add(t, "%.*s", (int)format_duration_ms(digits, (int64_t)v), digits);
}

/* --- names of values --------------------------------------------------------- */

static MUST_CHECK int
parse_choice(const struct field *f, struct slice s, void *base, struct config_error *why)
{
	const struct option_enum *e = enum_of(f);
	const char *names[8] = { NULL }, *near;
	struct text t;
	unsigned n = value_names(f, names, ARRAY_LEN(names));

	for (unsigned i = 0; i < e->n; i++) {
		if (slice_eq(s, slice_str(e->choices[i].name)) ||
		    slice_eq(s, slice_str(e->choices[i].redis))) {
			*(int *)field_at(f, base) = (int)i;
			return 0;
		}
	}
	near = nearest(s, names, n);
	t = text_in(why->text, sizeof why->text);
	text_quote(&t, s);
	text_add(&t, " is no %s; ", e->noun);
	if (near != NULL)
		text_add(&t, "did you mean \"%s\"? ", near);
	text_add(&t, near != NULL ? "There is" : "there is");
	for (unsigned i = 0; i < n; i++)
		text_add(&t, "%s %s", i != 0 ? "," : "", names[i]);
	return -EINVAL;
}

/* --- modes, users, groups ---------------------------------------------------- */

static MUST_CHECK int
parse_mode(const struct field *f, struct slice s, void *base, struct config_error *why)
{
	mode_t mode = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '7' || i >= 4)
			return no_such_value(f, s, why);
		mode = mode * 8 + (mode_t)(s.ptr[i] - '0');
	}
	if (s.len < 3 || mode > 0777)
		return no_such_value(f, s, why);
	*(mode_t *)field_at(f, base) = mode;
	return 0;
}

/* The number of a user or group, or -1; name is NUL-terminated. */
static int64_t
lookup_account(enum field_kind kind, const char *name)
{
	char space[4096];
	struct passwd pw, *user = NULL;
	struct group gr, *group = NULL;

	if (kind == VALUE_OWNER && getpwnam_r(name, &pw, space, sizeof space, &user) == 0 &&
	    user != NULL)
		return user->pw_uid;
	if (kind == VALUE_GROUP && getgrnam_r(name, &gr, space, sizeof space, &group) == 0 &&
	    group != NULL)
		return group->gr_gid;
	return -1;
}

static MUST_CHECK int
parse_account(const struct field *f, struct slice s, void *base, struct config_error *why)
{
	char name[NAME_LEN_MAX + 1];
	uint64_t number;
	int64_t id;

	_Static_assert(sizeof(uid_t) == 4 && sizeof(gid_t) == 4, "ids have 32 bits");
	if (parse_u64(s, &number) == 0) {
		if (number >= UINT32_MAX)
			return bad_value(why, s, "is too much for the number of a %s",
			    kinds[f->kind].noun);
		*(uint32_t *)field_at(f, base) = (uint32_t)number;
		return 0;
	}
	if (s.len == 0 || s.len > NAME_LEN_MAX || memchr(s.ptr, '\0', s.len) != NULL)
		return no_such_value(f, s, why);
	memcpy(name, s.ptr, s.len);
	name[s.len] = '\0';
	id = lookup_account(f->kind, name);
	if (id < 0)
		return bad_value(why, s,
		    "is no %s on this machine; write a name that is known here, or a number",
		    kinds[f->kind].noun);
	*(uint32_t *)field_at(f, base) = (uint32_t)id;
	return 0;
}

/* --- text ---------------------------------------------------------------------- */

static bool
has_control(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
			return true;
	return false;
}

/* Statistics put it between ":" and "," and into labels. */
static const char *
check_name(struct slice s)
{
	if (s.len == 0)
		return "is no name; write at least one letter";
	if (s.len > NAME_LEN_MAX)
		return "is too long for a name; at most " STRINGIFY(NAME_LEN_MAX) " bytes";
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		        c == '_' || c == '-' || c == '.'))
			return "is no name; letters, digits, \"_\", \"-\" and \".\" "
			       "may stand in it";
	}
	return NULL;
}

static const char *
check_prefix(struct slice s)
{
	if (s.len > PREFIX_LEN_MAX)
		return "is too long for a prefix; at most " STRINGIFY(PREFIX_LEN_MAX) " bytes";
	return has_control(s) ? "has a control character, which a prefix must not have" : NULL;
}

static const char *
check_text(struct slice s)
{
	if (s.len > TEXT_LEN_MAX)
		return "is too long; at most " STRINGIFY(TEXT_LEN_MAX) " bytes";
	return has_control(s) ? "has a control character" : NULL;
}

static const char *
check_socket(struct slice s)
{
	if (s.len == 0)
		return "is no path; write for example /run/pannier/pannier.sock";
	if (s.len > SOCKET_LEN_MAX)
		return "is too long for a Unix socket; at most 107 bytes";
	return has_control(s) ? "has a control character, which a path must not have" : NULL;
}

static const char *
check_path(struct slice s)
{
	if (s.len == 0)
		return "is no path; write for example /run/secrets/pannier";
	if (s.len >= PATH_MAX)
		return "is too long for a path";
	return has_control(s) ? "has a control character, which a path must not have" : NULL;
}

/* The rest is said when it is parsed as a whole. */
static const char *
check_listener(struct slice s)
{
	if (!slice_has_prefix(s, SLICE("tcp:")) && !slice_has_prefix(s, SLICE("unix:")))
		return "is no address; write tcp:127.0.0.1:9464 or unix:/run/pannier/admin.sock";
	return has_control(s) ? "has a control character, which an address must not have" : NULL;
}

static const char *
check_url(struct slice s)
{
	struct endpoint e;

	return endpoint_parse(s, &e);
}

static const char *
check_redis_url(struct slice s)
{
	struct endpoint e;

	return endpoint_parse_redis(s, &e);
}

static MUST_CHECK int
store_text(const struct field *f, struct slice s, void *base, struct config_error *why)
{
	char **at = field_at(f, base), *copy = mem_slicedup(s);

	if (copy == NULL)
		return no_memory(why);
	mem_free(*at);
	*at = copy;
	return 0;
}

/* An error must not repeat a password. */
static struct slice
without_credentials(enum field_kind k, struct slice s)
{
	bool url = k == VALUE_URL || k == VALUE_REDIS_URL;
	const char *at = url && s.len != 0 ? memrchr(s.ptr, '@', s.len) : NULL;

	return at == NULL ? s : slice_skip(s, (size_t)(at - s.ptr));
}

static MUST_CHECK int
parse_text(const struct field *f, struct slice s, void *base, struct config_error *why)
{
	const char *wrong = kinds[f->kind].check(s);

	if (wrong != NULL)
		return bad_value(why, without_credentials(f->kind, s), "%s", wrong);
	return store_text(f, s, base, why);
}

static MUST_CHECK int
parse_address(const struct field *f, struct slice s, void *base, struct config_error *why)
{
	struct config_listen *l = base;
	const char *colon = s.len != 0 ? memrchr(s.ptr, ':', s.len) : NULL;
	const char *wrong;
	struct slice host;
	uint64_t port;
	int rc;

	if (colon == NULL)
		return no_such_value(f, s, why);
	host = slice_of(s.ptr, (size_t)(colon - s.ptr));
	if (parse_u64(slice_skip(s, host.len + 1), &port) != 0 || port > UINT16_MAX)
		return bad_value(why, s, "has no port from 0 to 65535; write for example %s",
		    kinds[f->kind].example);
	if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = slice_of(host.ptr + 1, host.len - 2);
	wrong = host_wrong(host, l->any_host);
	if (wrong != NULL)
		return bad_value(why, s, "%s%s", wrong,
		    l->any_host ? "" : kinds[f->kind].example);
	rc = store_text(f, host, base, why);
	if (rc == 0)
		l->port = (uint16_t)port;
	return rc;
}

/* --- all kinds ------------------------------------------------------------------- */

int
value_parse(const struct field *f, struct slice s, void *base, struct config_error *why)
{
	if (kind_is_amount(f->kind))
		return parse_amount(f, s, base, why);
	switch (f->kind) {
	case VALUE_LEVEL:
	case VALUE_ENUM:
		return parse_choice(f, s, base, why);
	case VALUE_MODE:
		return parse_mode(f, s, base, why);
	case VALUE_OWNER:
	case VALUE_GROUP:
		return parse_account(f, s, base, why);
	case VALUE_ADDRESS:
		return parse_address(f, s, base, why);
	default:
		return parse_text(f, s, base, why);
	}
}

bool
value_is_set(const struct field *f, const void *base)
{
	if (f->kind == VALUE_OWNER || f->kind == VALUE_GROUP)
		return *(const uint32_t *)field_at(f, base) != UINT32_MAX;
	return !field_owns_text(f) || *(char *const *)field_at(f, base) != NULL;
}

static void
format_text(const struct field *f, const void *base, struct text *t)
{
	const struct config_listen *l = base;

	if (f->kind != VALUE_ADDRESS)
		text_add(t, "%s", *(char *const *)field_at(f, base));
	else if (strchr(l->host, ':') != NULL)
		text_add(t, "[%s]:%u", l->host, l->port);
	else
		text_add(t, "%s:%u", l->host, l->port);
}

void
value_text(const struct field *f, const void *base, bool redis, char *out, size_t size)
{
	const struct option_enum *e = enum_of(f);
	struct text t = text_in(out, size);
	const void *at = field_at(f, base);

	if (!value_is_set(f, base))
		return;
	if (kind_is_amount(f->kind))
		format_amount(f, amount_load(f, base), redis, &t);
	else if (e != NULL && redis)
		text_add(&t, "%s", e->choices[*(const int *)at].redis);
	else if (e != NULL)
		text_add(&t, "%s", e->choices[*(const int *)at].name);
	else if (f->kind == VALUE_MODE)
		text_add(&t, "%04o", (unsigned)*(const mode_t *)at);
	else if (f->kind == VALUE_OWNER || f->kind == VALUE_GROUP)
		text_add(&t, "%u", *(const uint32_t *)at);
	else
		format_text(f, base, &t);
}
