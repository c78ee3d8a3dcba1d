/* info_doc.h - INFO's text, found again by section and field. Knows only its
 * form: fields that it has never heard of are kept. Pure. */
#ifndef PANNIER_CLI_INFO_DOC_H
#define PANNIER_CLI_INFO_DOC_H

#include <stdint.h>
#include <stdio.h>

#include "base/slice.h"
#include "base/util.h"

/* All slices point into the text that was read. */
struct info_line {
	struct slice section; /* "Namespaces" */
	struct slice key;     /* "ns_user" */
	struct slice value;   /* "hits=1,misses=2" */
};

struct info_doc {
	struct info_line *lines; /* owned */
	unsigned n;
};

/* 0 or -ENOMEM. Lines of no known form are passed over. */
int info_doc_read(struct slice text, struct info_doc *out) MUST_CHECK;
void info_doc_fini(struct info_doc *d);

/* Empty where there is none; of numbers 0, and without their decimals. */
struct slice info_doc_get(const struct info_doc *d, const char *section, const char *key);
int64_t info_doc_int(const struct info_doc *d, const char *section, const char *key);

/* Of "a=1,b=2": the field's value, empty where there is none. */
struct slice info_field(struct slice line, const char *wanted);
int64_t info_field_int(struct slice line, const char *wanted);
/* The next "a=1" of *rest, which moves on; false at the end. */
bool info_next_field(struct slice *rest, struct slice *name, struct slice *value);

/* Names stand in keys with %XX for what could end a field: "ns_a%3Ab" without
 * its prefix is "a:b". Cut where it does not fit. */
void info_name(struct slice key, const char *prefix, char *out, size_t size);

/* In quotes. */
void info_json_string(struct slice s, FILE *to);
/* One object for each section; rows of namespaces, origins and commands are
 * objects in them. Numbers are numbers. */
void info_doc_json(const struct info_doc *d, FILE *to);

#endif
