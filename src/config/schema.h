/* schema.h - what a configuration may say, as tables made from the .def
 * files. Reading, printing, copying, freeing and the reference page all walk
 * these tables, so that a new row is known to each of them. */
#ifndef PANNIER_CONFIG_SCHEMA_H
#define PANNIER_CONFIG_SCHEMA_H

#include "config/config.h"

enum field_kind {
	/* Scalars: value.h reads and prints them. */
	VALUE_BYTES,    /* uint64_t */
	VALUE_SHARE,    /* the same, or CONFIG_SHARE() of what the cache has */
	VALUE_COUNT,    /* uint64_t */
	VALUE_COUNT32,  /* uint32_t */
	VALUE_DURATION, /* int64_t, milliseconds */
	VALUE_MILLIS,   /* the same; Redis gives it in milliseconds, and not in seconds */
	VALUE_MICROS,   /* int64_t, microseconds; -1: off */
	VALUE_LEVEL,    /* int */
	VALUE_ENUM,     /* int */
	VALUE_MODE,     /* mode_t */
	VALUE_OWNER,    /* uid_t, -1: unset */
	VALUE_GROUP,    /* gid_t, -1: unset */
	VALUE_ADDRESS,  /* char *, and the port of struct config_listen */
	VALUE_NAME,     /* char *, from here on: NULL is unset */
	VALUE_PREFIX,
	VALUE_TEMPLATE,
	VALUE_SOCKET,
	VALUE_PATH,
	VALUE_URL,
	VALUE_TEXT,
	VALUE_LISTENER,
	VALUE_REDIS_URL,
	VALUE_REDIS_KEY, /* config/redis_key.h */
	VALUE_KINDS,
	/* Containers. */
	FIELD_VALUES = VALUE_KINDS, /* an array of scalars of kind `element`: char *,
	                 * or uint32_t of users and groups; and how many */
	FIELD_LIST,     /* an array of `sub`, and how many */
	FIELD_MAP,      /* likewise, the key goes to the element's first char * */
	FIELD_PART,     /* a mapping that fills fields of the same struct */
};

struct schema;

struct field {
	const char *key;
	enum field_kind kind;
	size_t offset;        /* in the struct that the schema is about */
	size_t count_offset;  /* of arrays: of an unsigned */
	const char *def, *least, *most; /* as text, NULL: none */
	bool required;
	bool runtime;         /* may change while running */
	const char *redis;    /* CONFIG GET's name, or NULL */
	const char *help;
	const struct schema *sub;
	enum field_kind element; /* of FIELD_VALUES */
	unsigned max;         /* of arrays: elements */
	unsigned lead;        /* elements before those of the file */
};

struct schema {
	const char *noun; /* "a namespace" */
	const struct field *fields;
	unsigned n;
	size_t size;
};

/* The scalars come first, in the order of config.def. */
extern const struct schema config_schema;

extern const struct schema listen_schema;
/* Whether a row of it is about Unix sockets alone. */
bool listen_field_is_unix(const struct field *f);
/* False of http: and redis: where the origin is of the other kind. */
bool origin_part_is_used(const struct field *f, const struct config_origin *o);
extern const struct schema namespace_schema; /* its defaults take no memory */
/* Whether a row of it is only for namespaces with an origin. */
bool namespace_field_is_routed(const struct field *f);
extern const struct schema origin_schema;

const struct field *schema_find(const struct schema *s, struct slice key);
/* All defaults; base is zeroed. 0 or -ENOMEM. */
int schema_defaults(const struct schema *s, void *base) MUST_CHECK;
/* Bytes of an element of an array. */
size_t element_size(const struct field *f);
/* Frees what the struct owns, not the struct, and forgets it. */
void schema_fini(const struct schema *s, void *base);
/* A deep copy into storage of s->size bytes. 0, or -ENOMEM with *to empty. */
int schema_copy(const struct schema *s, void *to, const void *from) MUST_CHECK;

/* Whether two of them say the same. */
bool schema_equal(const struct schema *s, const void *a, const void *b);

static inline void *
field_at(const struct field *f, const void *base)
{
	return (char *)base + f->offset;
}

static inline unsigned *
field_count(const struct field *f, const void *base)
{
	return (unsigned *)(void *)((char *)base + f->count_offset);
}

static inline bool
field_is_array(const struct field *f)
{
	return f->kind >= VALUE_KINDS && f->kind != FIELD_PART;
}

static inline bool
field_owns_text(const struct field *f)
{
	return f->kind >= VALUE_ADDRESS && f->kind < VALUE_KINDS;
}

#endif
