/* load.c - a tree of YAML into struct config, by the tables of schema.c. */
#include <config.h>

#include "config/load.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "config/text.h"
#include "config/value.h"

#define KEYS_MAX 64 /* of any schema, asserted */

static int load_mapping(const struct schema *s, const struct node *n, void *base,
    const struct place *where, struct diag *d) MUST_CHECK;

static const char *
kind_of_node(const struct node *n)
{
	static const char *const names[] = { "a value", "a list", "a mapping" };

	return node_is_null(n) ? "nothing" : names[n->kind];
}

static MUST_CHECK int
load_scalar(const struct field *f, const struct node *n, void *base, const struct place *where,
    struct diag *d)
{
	struct config_error why;
	int rc;

	if (n->kind != NODE_SCALAR || node_is_null(n)) {
		diag_error(d, n->at, where, "%s stands here, a %s is wanted; write for example %s",
		    kind_of_node(n), value_noun(f), value_example(f));
		return 0;
	}
	rc = value_parse(f, n->text, base, &why);
	if (rc == -EINVAL)
		diag_error(d, n->at, where, "%s", why.text);
	return rc == -EINVAL ? 0 : rc;
}

/* False: not a container of that kind, or too many, and d knows. */
static bool
check_container(const struct field *f, const struct node *n, enum node_kind kind,
    const struct place *where, struct diag *d)
{
	if (n->kind != kind) {
		diag_error(d, n->at, where, "%s stands here, %s is wanted", kind_of_node(n),
		    kind == NODE_LIST ? "a list" : "a mapping");
		return false;
	}
	if (f->max != 0 && n->n_children > f->max) {
		diag_error(d, n->at, where, "has %u elements; the most is %u", n->n_children,
		    f->max);
		return false;
	}
	return true;
}

/* Room for all elements, zeroed and counted, so that freeing is always safe. */
static MUST_CHECK int
array_alloc(const struct field *f, unsigned n, void *base, char **out)
{
	size_t size = element_size(f);
	char *array = mem_calloc((size_t)n + f->lead, size);

	if (array == NULL)
		return -ENOMEM;
	mem_free(*(char **)field_at(f, base)); /* elements of `lead` alone, still empty */
	*(char **)field_at(f, base) = array;
	*field_count(f, base) = n + f->lead;
	*out = array + f->lead * size;
	return 0;
}

static MUST_CHECK int
load_values(const struct field *f, const struct node *n, void *base, const struct place *where,
    struct diag *d)
{
	const struct field one = { .kind = f->element };
	struct place at = { .up = where };
	char *array;
	int rc;

	if (!check_container(f, n, NODE_LIST, where, d))
		return 0;
	if (n->n_children == 0) {
		diag_error(d, n->at, where, "is empty; write at least one, for example %s",
		    value_example(&one));
		return 0;
	}
	rc = array_alloc(f, n->n_children, base, &array);
	for (const struct node *e = n->child; e != NULL && rc == 0; e = e->next, at.index++)
		rc = load_scalar(&one, e, array + at.index * element_size(f), &at, d);
	return rc;
}

static MUST_CHECK int
load_element(const struct field *f, const struct node *n, void *element, const struct place *at,
    struct diag *d)
{
	int rc = schema_defaults(f->sub, element);

	if (rc != 0)
		return rc;
	if (n->kind == NODE_MAPPING)
		return load_mapping(f->sub, n, element, at, d);
	diag_error(d, n->at, at, "%s stands here; %s is a mapping, it begins with %s:",
	    kind_of_node(n), f->sub->noun, f->sub->fields[0].key);
	return 0;
}

static MUST_CHECK int
load_list(const struct field *f, const struct node *n, void *base, const struct place *where,
    struct diag *d)
{
	struct place at = { .up = where };
	char *array;
	int rc;

	if (!check_container(f, n, NODE_LIST, where, d))
		return 0;
	rc = array_alloc(f, n->n_children, base, &array);
	for (const struct node *e = n->child; e != NULL && rc == 0; e = e->next, at.index++)
		rc = load_element(f, e, array + at.index * f->sub->size, &at, d);
	return rc;
}

/* The key of an element, which is its name. */
static MUST_CHECK int
load_name(const struct node *key, const struct node *first, void *element,
    const struct place *where, struct diag *d)
{
	static const struct field name = { .kind = VALUE_NAME };

	for (; first != key; first = first->next) {
		if (slice_eq(first->text, key->text)) {
			diag_error(d, key->at, where, "\"%s\" stands here twice, first in line %u",
			    key->text.ptr, first->at.line);
			break;
		}
	}
	return load_scalar(&name, key, element, where, d);
}

static MUST_CHECK int
load_map(const struct field *f, const struct node *n, void *base, const struct place *where,
    struct diag *d)
{
	char *array;
	int rc;

	if (!check_container(f, n, NODE_MAPPING, where, d))
		return 0;
	rc = array_alloc(f, n->n_children, base, &array);
	for (const struct node *key = n->child; key != NULL && rc == 0; key = key->next) {
		unsigned before = d->n;
		struct place at = { .up = where, .key = key->text.ptr };

		rc = load_name(key, n->child, array, where, d);
		if (rc == 0 && d->n == before)
			rc = load_element(f, key->value, array, &at, d);
		array += f->sub->size;
	}
	return rc;
}

static MUST_CHECK int
load_field(const struct field *f, const struct node *n, void *base, const struct place *up,
    struct diag *d)
{
	struct place where = { .up = up, .key = f->key };

	switch (f->kind) {
	case FIELD_VALUES:
		return load_values(f, n, base, &where, d);
	case FIELD_LIST:
		return load_list(f, n, base, &where, d);
	case FIELD_MAP:
		return load_map(f, n, base, &where, d);
	case FIELD_PART:
		return check_container(f, n, NODE_MAPPING, &where, d) ?
		    load_mapping(f->sub, n, base, &where, d) : 0;
	default:
		return load_scalar(f, n, base, &where, d);
	}
}

static void
unknown_key(const struct schema *s, const struct node *key, const struct place *where,
    struct diag *d)
{
	const char *names[KEYS_MAX], *near;
	struct config_error e;
	struct text t = text_in(e.text, sizeof e.text);

	for (unsigned i = 0; i < s->n; i++)
		names[i] = s->fields[i].key;
	near = nearest(key->text, names, s->n);
	text_add(&t, "unknown key ");
	text_quote(&t, key->text);
	if (near != NULL)
		text_add(&t, "; did you mean \"%s\"?", near);
	else
		text_add(&t, "; %s has", s->noun);
	for (unsigned i = 0; near == NULL && i < s->n; i++)
		text_add(&t, "%s %s", i != 0 ? "," : "", names[i]);
	diag_error(d, key->at, where, "%s", e.text);
}

static void
check_required(const struct schema *s, const struct node *n, const struct mark *seen,
    const struct place *where, struct diag *d)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->fields[i].required && seen[i].line == 0)
			diag_error(d, n->at, where, "%s needs %s:, and there is none", s->noun,
			    s->fields[i].key);
}

static MUST_CHECK int
load_mapping(const struct schema *s, const struct node *n, void *base, const struct place *where,
    struct diag *d)
{
	struct mark seen[KEYS_MAX] = { { 0, 0 } };
	int rc = 0;

	assert(s->n <= KEYS_MAX);
	for (const struct node *key = n->child; key != NULL && rc == 0 && !diag_full(d);
	    key = key->next) {
		const struct field *f = schema_find(s, key->text);
		struct mark *first = f != NULL ? &seen[f - s->fields] : NULL;

		if (f == NULL) {
			unknown_key(s, key, where, d);
		} else if (first->line != 0) {
			diag_error(d, key->at, where, "\"%s\" stands here twice, first in line %u",
			    f->key, first->line);
		} else {
			*first = key->at;
			rc = load_field(f, key->value, base, where, d);
		}
	}
	check_required(s, n, seen, where, d);
	return rc;
}

int
load_tree(struct config *c, const struct tree *t, struct diag *d)
{
	int rc;

	if (t->root->kind != NODE_MAPPING) {
		diag_error(d, t->root->at, NULL, "%s stands here; a configuration is a mapping, "
		    "for example memory: 256MiB", kind_of_node(t->root));
		return 0;
	}
	rc = load_mapping(&config_schema, t->root, c, NULL, d);
	for (unsigned i = 0; i < config_schema.n; i++) {
		const struct node *n = node_member(t->root, config_schema.fields[i].key);

		if (n == NULL)
			continue;
		c->sources[i] = CONFIG_FILE;
		c->lines[i] = (uint32_t)n->at.line;
	}
	return rc;
}

int
load_override(struct config *c, const char *name, const char *key, struct slice value,
    enum config_source source, struct diag *d)
{
	struct place where = { .key = key };
	struct mark nowhere = { 0, 0 };
	struct config_error why;
	const struct field *f = schema_find(&config_schema, slice_str(name));
	int rc;

	assert(f != NULL && (f->kind < VALUE_KINDS || f->kind == FIELD_LIST));
	if (f->kind == FIELD_LIST) {
		rc = config_listen_add(c, value, &why);
	} else {
		rc = value_parse(f, value, c, &why);
	}
	if (rc == 0)
		c->sources[f - config_schema.fields] = (uint8_t)source;
	if (rc == -EINVAL)
		diag_error(d, nowhere, &where, "%s", why.text);
	return rc == -EINVAL ? 0 : rc;
}
