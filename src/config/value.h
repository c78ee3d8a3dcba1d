/* value.h - one scalar of the configuration, from text and back. */
#ifndef PANNIER_CONFIG_VALUE_H
#define PANNIER_CONFIG_VALUE_H

#include "config/schema.h"

/* Reads, checks and stores into the field of `base`, freeing what stood there.
 * 0; -EINVAL with why set ("5x" is no duration; ...); -ENOMEM with why set. */
int value_parse(const struct field *f, struct slice s, void *base, struct config_error *why)
    MUST_CHECK;

/* As value_parse() takes it again, or with `redis` as Redis would print it.
 * "" where it is unset; cut where it does not fit. */
void value_text(const struct field *f, const void *base, bool redis, char *out, size_t size);
bool value_is_set(const struct field *f, const void *base);

/* "duration", "300s", "DURATION" */
const char *value_noun(const struct field *f);
const char *value_example(const struct field *f);
const char *value_metavar(const struct field *f);

/* Names that the row's values have; at most n into out, the count returned: 0
 * where they are no names. */
unsigned value_names(const struct field *f, const char **out, unsigned n);

#endif
