/* stream_text.h - the texts of a stream's configuration that have a grammar. Pure. */
#ifndef PANNIER_CONFIG_STREAM_TEXT_H
#define PANNIER_CONFIG_STREAM_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/util.h"

/* host:port or [v6]:port. False: it is none. */
bool stream_endpoint_parse(struct slice text, struct slice *host, uint16_t *port) MUST_CHECK;

/* The next part of a template such as "user:{after.id|before.id}": plain text, or what
 * stands between braces, where "{{" is a brace. */
struct template_part {
	bool is_field;
	struct slice text; /* of a field: paths, with | between */
};
/* Takes it off the front of *rest. 1; 0 at the end; -EINVAL where it is malformed. */
int template_part_next(struct slice *rest, struct template_part *out) MUST_CHECK;
/* Likewise a path off the front of a field's, and a name off the front of a path. */
bool template_cut(struct slice *rest, char separator, struct slice *out);
/* NULL: good; else what is wrong, as the rest of a sentence. */
const char *template_text_check(struct slice text);

#endif
