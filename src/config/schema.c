#include <config.h>

#include "config/schema.h"

#include <assert.h>
#include <errno.h>

#include "base/mem.h"
#include "config/value.h"

#define ROW(type, row_key, row_kind, row_field, row_def, row_least, row_most, must, row_help) \
	{ .key = row_key, .kind = VALUE_##row_kind, .offset = offsetof(struct type, row_field), \
	    .def = row_def, .least = row_least, .most = row_most, .required = must, \
	    .help = row_help },

#define VALUES(type, row_key, row_kind, row_field, row_max, must, row_help) \
	{ .key = row_key, .kind = FIELD_VALUES, .element = VALUE_##row_kind, \
	    .offset = offsetof(struct type, row_field), \
	    .count_offset = offsetof(struct type, n_##row_field), .required = must, \
	    .help = row_help, .max = row_max },

static const struct field listen_fields[] = {
#define LISTEN_OPTION(...) ROW(config_listen, __VA_ARGS__)
#define LISTEN_VALUES(key, kind, field, max, help) \
	VALUES(config_listen, key, kind, field, max, false, help)
#include "config/listen.def"
};

const struct schema listen_schema = {
	.noun = "a listener",
	.fields = listen_fields,
	.n = ARRAY_LEN(listen_fields),
	.size = sizeof(struct config_listen),
};

static const struct field namespace_fields[] = {
#define NAMESPACE_OPTION(...) ROW(config_namespace, __VA_ARGS__)
#include "config/namespace.def"
#undef NAMESPACE_OPTION
};

const struct schema namespace_schema = {
	.noun = "a namespace",
	.fields = namespace_fields,
	.n = ARRAY_LEN(namespace_fields),
	.size = sizeof(struct config_namespace),
};

bool
namespace_field_is_routed(const struct field *f)
{
	return f->offset >= offsetof(struct config_namespace, swr_ms) &&
	    f->offset <= offsetof(struct config_namespace, fallback_value);
}

static const struct field http_fields[] = {
#define ORIGIN_HTTP_VALUES(...) VALUES(config_origin, __VA_ARGS__)
#define ORIGIN_HTTP_OPTION(...) ROW(config_origin, __VA_ARGS__)
#include "config/origin.def"
#undef ORIGIN_HTTP_OPTION
#undef ORIGIN_HTTP_VALUES
};

static const struct schema http_schema = {
	.noun = "http",
	.fields = http_fields,
	.n = ARRAY_LEN(http_fields),
	.size = sizeof(struct config_origin),
};

static const struct field tls_fields[] = {
#define ORIGIN_TLS_OPTION(...) ROW(config_origin, __VA_ARGS__)
#include "config/origin.def"
#undef ORIGIN_TLS_OPTION
};

static const struct schema tls_schema = {
	.noun = "tls",
	.fields = tls_fields,
	.n = ARRAY_LEN(tls_fields),
	.size = sizeof(struct config_origin),
};

static const struct field redis_fields[] = {
#define ORIGIN_REDIS_VALUES(...) VALUES(config_origin, __VA_ARGS__)
#define ORIGIN_REDIS_OPTION(...) ROW(config_origin, __VA_ARGS__)
#include "config/origin.def"
#undef ORIGIN_REDIS_OPTION
#undef ORIGIN_REDIS_VALUES
};

static const struct schema redis_schema = {
	.noun = "redis",
	.fields = redis_fields,
	.n = ARRAY_LEN(redis_fields),
	.size = sizeof(struct config_origin),
};

bool
origin_part_is_used(const struct field *f, const struct config_origin *o)
{
	if (f->sub == &http_schema)
		return o->kind == ORIGIN_HTTP;
	return f->sub != &redis_schema || o->kind == ORIGIN_REDIS;
}

/* All rows of the guard's groups in one array, each group a piece of it: from GUARD_ROW_x to
 * GUARD_ROW_x_end. The second name of each pair takes the count back. */
enum {
#define GUARD_GROUP(group, help) GUARD_ROW_##group, GUARD_UN_##group = GUARD_ROW_##group - 1,
#define GUARD_OPTION(group, key, ...) GUARD_ROW_##group##_##key,
#define GUARD_END(group) \
	GUARD_ROW_##group##_end, GUARD_UN_##group##_end = GUARD_ROW_##group##_end - 1,
#include "config/guard.def"
};

static const struct field guard_fields[] = {
#define GUARD_OPTION(group, row_key, row_kind, row_def, row_least, row_most, row_help) \
	{ .key = #row_key, .kind = VALUE_##row_kind, \
	    .offset = offsetof(struct config_origin, guard.group.row_key), .def = row_def, \
	    .least = row_least, .most = row_most, .help = row_help },
#include "config/guard.def"
};

enum {
#define GUARD_GROUP(group, help) GUARD_GROUP_##group,
#include "config/guard.def"
};

static const struct schema guard_schemas[] = {
#define GUARD_GROUP(group, help) \
	{ .noun = #group, .fields = &guard_fields[GUARD_ROW_##group], \
	    .n = GUARD_ROW_##group##_end - GUARD_ROW_##group, \
	    .size = sizeof(struct config_origin) },
#include "config/guard.def"
};

/* The name is the first char * of the struct: FIELD_MAP fills it. */
_Static_assert(offsetof(struct config_origin, name) == 0, "the key of the map");

static const struct field origin_fields[] = {
	{ .key = "http", .kind = FIELD_PART, .sub = &http_schema,
	    .help = "The origin speaks HTTP." },
	{ .key = "redis", .kind = FIELD_PART, .sub = &redis_schema,
	    .help = "The origin is Redis or Valkey." },
#define ORIGIN_OPTION(...) ROW(config_origin, __VA_ARGS__)
#include "config/origin.def"
#undef ORIGIN_OPTION
	{ .key = "tls", .kind = FIELD_PART, .sub = &tls_schema,
	    .help = "How endpoints over TLS are trusted." },
#define GUARD_GROUP(group, row_help) \
	{ .key = #group, .kind = FIELD_PART, .sub = &guard_schemas[GUARD_GROUP_##group], \
	    .help = row_help },
#include "config/guard.def"
};

const struct schema origin_schema = {
	.noun = "an origin",
	.fields = origin_fields,
	.n = ARRAY_LEN(origin_fields),
	.size = sizeof(struct config_origin),
};

_Static_assert(offsetof(struct config_stream, name) == 0, "the key of the map");

static const struct field stream_fields[] = {
#define STREAM_OPTION(...) ROW(config_stream, __VA_ARGS__)
#define STREAM_VALUES(...) VALUES(config_stream, __VA_ARGS__)
#include "config/stream.def"
#undef STREAM_OPTION
#undef STREAM_VALUES
};

static const struct schema stream_schema = {
	.noun = "a stream",
	.fields = stream_fields,
	.n = ARRAY_LEN(stream_fields),
	.size = sizeof(struct config_stream),
};

#define START false
#define RELOAD true
#define ARRAY(name) \
	.offset = offsetof(struct config, name), .count_offset = offsetof(struct config, n_##name)

static const struct field config_fields[] = {
#define OPTION(name, type, row_def, row_least, row_most, apply, row_redis, row_help) \
	{ .key = #name, .kind = VALUE_##type, .offset = offsetof(struct config, name), \
	    .def = row_def, .least = row_least, .most = row_most, .runtime = apply, \
	    .redis = row_redis, .help = row_help },
#include "config/config.def"
#undef OPTION
	{ .key = "listen", .kind = FIELD_LIST, ARRAY(listens), .sub = &listen_schema,
	    .max = CONFIG_LISTENS_MAX,
	    .help = "Where clients connect. Unset: a Unix socket at the first of "
	            "/run/pannier/pannier.sock, $XDG_RUNTIME_DIR/pannier.sock and "
	            "/tmp/pannier-UID.sock whose directory can be written." },
	{ .key = "namespaces", .kind = FIELD_LIST, ARRAY(namespaces), .sub = &namespace_schema,
	    .max = CONFIG_NAMESPACES_MAX - 1, .lead = 1,
	    .help = "What keys with a common prefix have in common." },
	{ .key = "origins", .kind = FIELD_MAP, ARRAY(origins), .sub = &origin_schema,
	    .max = CONFIG_ORIGINS_MAX,
	    .help = "Backends, by name, that namespaces fetch misses from." },
	{ .key = "invalidations", .kind = FIELD_MAP, ARRAY(streams), .sub = &stream_schema,
	    .max = CONFIG_STREAMS_MAX,
	    .help = "Streams of messages that say what is old, by name." },
};

const struct schema config_schema = {
	.noun = "the configuration",
	.fields = config_fields,
	.n = ARRAY_LEN(config_fields),
	.size = sizeof(struct config),
};

const struct field *
schema_find(const struct schema *s, struct slice key)
{
	for (unsigned i = 0; i < s->n; i++)
		if (slice_eq(key, slice_str(s->fields[i].key)))
			return &s->fields[i];
	return NULL;
}

static bool
is_account(enum field_kind kind)
{
	return kind == VALUE_OWNER || kind == VALUE_GROUP;
}

static MUST_CHECK int
field_default(const struct field *f, void *base)
{
	struct config_error why;
	int rc;

	if (is_account(f->kind))
		memset(field_at(f, base), 0xff, sizeof(uid_t)); /* -1: unset */
	if (f->kind == FIELD_PART)
		return schema_defaults(f->sub, base);
	if (f->def == NULL || f->kind >= VALUE_KINDS)
		return 0;
	rc = value_parse(f, slice_str(f->def), base, &why);
	assert(rc == 0 || rc == -ENOMEM); /* a default is right, tests see to it */
	return rc;
}

int
schema_defaults(const struct schema *s, void *base)
{
	int rc = 0;

	for (unsigned i = 0; i < s->n && rc == 0; i++)
		rc = field_default(&s->fields[i], base);
	return rc;
}

bool
listen_field_is_unix(const struct field *f)
{
	enum field_kind kind = f->kind == FIELD_VALUES ? f->element : f->kind;

	return kind == VALUE_SOCKET || kind == VALUE_MODE || kind == VALUE_OWNER ||
	    kind == VALUE_GROUP;
}

/* The elements of an array have their schema, but those of FIELD_VALUES. */
size_t
element_size(const struct field *f)
{
	if (f->kind != FIELD_VALUES)
		return f->sub->size;
	return is_account(f->element) ? sizeof(uint32_t) : sizeof(char *);
}

/* Whether it begins with a text of its own: a value, or the name of an origin. */
static bool
element_owns_text(const struct field *f)
{
	return f->kind == FIELD_MAP || (f->kind == FIELD_VALUES && !is_account(f->element));
}

static void
element_fini(const struct field *f, void *element)
{
	if (element_owns_text(f)) {
		mem_free(*(char **)element);
		*(char **)element = NULL;
	}
	if (f->kind != FIELD_VALUES)
		schema_fini(f->sub, element);
}

static MUST_CHECK int
element_copy(const struct field *f, void *to, const void *from)
{
	int rc = 0;

	if (f->kind == FIELD_VALUES)
		memcpy(to, from, element_size(f));
	else
		rc = schema_copy(f->sub, to, from);
	if (!element_owns_text(f))
		return rc;
	/* Also on failure: what schema_copy() left there is the original's. */
	*(char **)to = rc == 0 ? mem_strdup(*(char *const *)from) : NULL;
	return rc != 0 || *(char **)to != NULL ? rc : -ENOMEM;
}

static void
field_fini(const struct field *f, void *base)
{
	void *at = field_at(f, base);

	if (f->kind == FIELD_PART) {
		schema_fini(f->sub, base);
	} else if (field_is_array(f)) {
		for (unsigned i = 0; i < *field_count(f, base); i++)
			element_fini(f, *(char **)at + i * element_size(f));
		*field_count(f, base) = 0;
	}
	if (field_owns_text(f) || field_is_array(f)) {
		mem_free(*(void **)at);
		*(void **)at = NULL;
	}
}

void
schema_fini(const struct schema *s, void *base)
{
	for (unsigned i = 0; i < s->n; i++)
		field_fini(&s->fields[i], base);
}

/* So that a copy that stops half-way owns nothing of the original's. */
static void
schema_disown(const struct schema *s, void *base)
{
	for (unsigned i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];

		if (f->kind == FIELD_PART)
			schema_disown(f->sub, base);
		else if (field_owns_text(f) || field_is_array(f))
			*(void **)field_at(f, base) = NULL;
		if (field_is_array(f))
			*field_count(f, base) = 0;
	}
}

static MUST_CHECK int
array_copy(const struct field *f, void *to, const void *from)
{
	unsigned n = *field_count(f, from);
	size_t size = element_size(f);
	char *copy, *const *original = field_at(f, from);
	int rc = 0;

	if (*original == NULL)
		return 0;
	copy = mem_calloc(n, size);
	if (copy == NULL)
		return -ENOMEM;
	*(char **)field_at(f, to) = copy;
	for (unsigned i = 0; i < n && rc == 0; i++) {
		*field_count(f, to) = i + 1;
		rc = element_copy(f, copy + i * size, *original + i * size);
	}
	return rc;
}

static MUST_CHECK int
field_copy(const struct field *f, void *to, const void *from)
{
	const char *text;

	if (field_is_array(f))
		return array_copy(f, to, from);
	if (!field_owns_text(f))
		return 0;
	text = *(char *const *)field_at(f, from);
	if (text == NULL)
		return 0;
	*(char **)field_at(f, to) = mem_strdup(text);
	return *(char **)field_at(f, to) != NULL ? 0 : -ENOMEM;
}

static MUST_CHECK int
fields_copy(const struct schema *s, void *to, const void *from)
{
	int rc = 0;

	for (unsigned i = 0; i < s->n && rc == 0; i++) {
		const struct field *f = &s->fields[i];

		rc = f->kind == FIELD_PART ? fields_copy(f->sub, to, from) :
		                             field_copy(f, to, from);
	}
	return rc;
}

int
schema_copy(const struct schema *s, void *to, const void *from)
{
	int rc;

	memcpy(to, from, s->size);
	schema_disown(s, to);
	rc = fields_copy(s, to, from);
	if (rc != 0)
		schema_fini(s, to);
	return rc;
}

/* --- comparing ------------------------------------------------------------------- */

static size_t
scalar_size(enum field_kind kind)
{
	switch (kind) {
	case VALUE_BYTES:
	case VALUE_SHARE:
	case VALUE_COUNT:
	case VALUE_DURATION:
	case VALUE_MILLIS:
	case VALUE_MICROS:
		return sizeof(uint64_t);
	default:
		return sizeof(uint32_t); /* int, mode_t, uid_t, gid_t */
	}
}

static bool
text_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
array_equal(const struct field *f, const void *a, const void *b)
{
	const char *of_a = *(char *const *)field_at(f, a), *of_b = *(char *const *)field_at(f, b);
	const struct field one = { .kind = f->element };
	unsigned n = *field_count(f, a);

	if (n != *field_count(f, b))
		return false;
	for (size_t i = 0, size = element_size(f); i < n; i++, of_a += size, of_b += size) {
		if (f->kind != FIELD_VALUES && !schema_equal(f->sub, of_a, of_b))
			return false;
		if (element_owns_text(f) && !text_equal(*(char *const *)of_a, *(char *const *)of_b))
			return false;
		if (f->kind == FIELD_VALUES && !field_owns_text(&one) &&
		    memcmp(of_a, of_b, size) != 0)
			return false;
	}
	return true;
}

static bool
field_equal(const struct field *f, const void *a, const void *b)
{
	if (f->kind == FIELD_PART)
		return schema_equal(f->sub, a, b);
	if (field_is_array(f))
		return array_equal(f, a, b);
	if (field_owns_text(f))
		return text_equal(*(char *const *)field_at(f, a), *(char *const *)field_at(f, b));
	return memcmp(field_at(f, a), field_at(f, b), scalar_size(f->kind)) == 0;
}

bool
schema_equal(const struct schema *s, const void *a, const void *b)
{
	for (unsigned i = 0; i < s->n; i++)
		if (!field_equal(&s->fields[i], a, b))
			return false;
	return true;
}

int
config_origin_copy(struct config_origin *to, const struct config_origin *from)
{
	int rc = schema_copy(&origin_schema, to, from);

	to->name = rc == 0 ? mem_strdup(from->name) : NULL;
	if (rc == 0 && to->name == NULL) {
		schema_fini(&origin_schema, to);
		rc = -ENOMEM;
	}
	return rc;
}

void
config_origin_fini(struct config_origin *o)
{
	schema_fini(&origin_schema, o);
	mem_free(o->name);
	o->name = NULL;
}

bool
config_origin_same(const struct config_origin *a, const struct config_origin *b)
{
	return text_equal(a->name, b->name) && a->kind == b->kind &&
	    schema_equal(&origin_schema, a, b);
}
