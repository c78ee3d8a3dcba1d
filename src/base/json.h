/* json.h - JSON (RFC 8259) read in place: the whole text is checked once, then values
 * are walked over as slices of it. Nothing is built, no number is converted. Pure. */
#ifndef PANNIER_BASE_JSON_H
#define PANNIER_BASE_JSON_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"
#include "base/util.h"

#define JSON_DEPTH_MAX 32

enum json_kind {
	JSON_NONE, /* there is no such value */
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

/* A value of a text that was checked; good as long as that. */
struct json {
	enum json_kind kind;
	struct slice raw; /* of a string with its quotes */
};

/* One value, blanks around it. False: it is no JSON, or nested too deeply. */
bool json_read(struct slice text, struct json *out) MUST_CHECK;

/* The elements of an array, or the members of an object, in their order. Of others:
 * none. */
struct json_walk {
	struct slice rest;
	bool members;
};
void json_walk_init(struct json_walk *w, struct json of);
bool json_next(struct json_walk *w, struct json *key, struct json *value);

/* An object's member of that name; of the last one where it is there twice. JSON_NONE:
 * it has none, or is no object. Names with escapes in them are not found. */
struct json json_member(struct json of, struct slice name);
/* Appends what a string says, in UTF-8; of a number, true and false what stands there.
 * 0, -ENOMEM, or -EINVAL: it is something else, or has half of a surrogate pair. */
int json_text(struct json of, struct buf *to) MUST_CHECK;

#endif
