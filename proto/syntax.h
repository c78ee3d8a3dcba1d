/* syntax.h - a command's arguments, from the line that documentation has for
 * them to the tree that COMMAND DOCS sends. Pure.
 *
 *   key value [NX | XX] [EX seconds | KEEPTTL] [key value ...] <A | B>
 *
 * Words in capitals are tokens, others arguments; [] is optional, <> one of;
 * [x ...] behind x says that x may be repeated. A token in front of arguments
 * belongs to them. Types follow from names, as in Redis's documentation. */
#ifndef PANNIER_PROTO_SYNTAX_H
#define PANNIER_PROTO_SYNTAX_H

#include <stdbool.h>

#include "base/slice.h"
#include "base/util.h"

enum syntax_type {
	SYNTAX_STRING, SYNTAX_INTEGER, SYNTAX_KEY, SYNTAX_PATTERN, SYNTAX_UNIX_TIME,
	SYNTAX_PURE_TOKEN, SYNTAX_ONEOF, SYNTAX_BLOCK,
};

#define SYNTAX_NAME_MAX 64
#define SYNTAX_ARGS_MAX 48

struct syntax_arg {
	enum syntax_type type;
	bool optional, multiple;
	bool multiple_token;        /* the token is repeated as well */
	char name[SYNTAX_NAME_MAX]; /* of groups: as Redis names them, see .c */
	struct slice token;         /* len 0: none; lies in the text */
	unsigned nth_key;           /* keys that stand in front of it */
	unsigned size;              /* itself and all that is in it: the next of
	                             * the same depth is so much further on */
};

/* Fills out, depth first; answers how many, or -EINVAL for a malformed text
 * or one with more than max arguments. */
int syntax_parse(const char *text, struct syntax_arg *out, unsigned max) MUST_CHECK;

/* "pure-token" and the like. */
const char *syntax_type_name(enum syntax_type type);

#endif
