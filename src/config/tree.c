/* tree.c - libyaml's events made into a tree.
 *
 * Why not libcyaml, which reads by a schema: measured with 1.3.1, it takes
 * "n: 5x" for 5 without a word, gives the start of the mapping as the place
 * of an unknown key, suggests nothing, has no type for a duration or a size
 * (so that their errors have no place), and no mapping with free keys, which
 * `origins:` is. Why events and not libyaml's documents: those expand aliases
 * and forget anchors and tags before they can be refused, and their memory is
 * not ours to fail in tests. */
#include <config.h>

#include "config/tree.h"

#include <assert.h>
#include <errno.h>
#include <yaml.h>

#include "base/mem.h"

/* A container whose end has not come. */
struct frame {
	struct node *node;
	struct node **tail; /* where its next element or key goes */
	struct node *key;   /* of a mapping: waits for its value */
};

struct builder {
	struct slice text;
	struct diag *diag;
	struct tree *tree;
	struct frame stack[TREE_DEPTH_MAX];
	unsigned depth;
	bool done;
};

static struct mark
mark_of(yaml_mark_t m)
{
	return (struct mark){ (unsigned)m.line + 1, (unsigned)m.column + 1 };
}

static MUST_CHECK int
refuse(struct builder *b, yaml_mark_t at, const char *what)
{
	diag_error(b->diag, mark_of(at), NULL, "%s", what);
	return -EINVAL;
}

static struct node *
node_new(struct builder *b, enum node_kind kind, yaml_mark_t at, struct slice text)
{
	struct node *n = mem_alloc(sizeof *n + text.len + 1);
	char *copy;

	if (n == NULL)
		return NULL;
	copy = (char *)(n + 1);
	*n = (struct node){ .kind = kind, .at = mark_of(at), .all = b->tree->all };
	if (text.len != 0)
		memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	n->text = slice_of(copy, text.len);
	b->tree->all = n;
	b->tree->n++;
	return n;
}

/* Into the innermost open container, or as the root. */
static MUST_CHECK int
place_node(struct builder *b, struct node *n, yaml_mark_t at)
{
	struct frame *f = b->depth != 0 ? &b->stack[b->depth - 1] : NULL;

	if (f == NULL) {
		b->tree->root = n;
	} else if (f->key != NULL) {
		f->key->value = n;
		f->key = NULL;
	} else {
		assert(f->node != NULL);
		if (f->node->kind == NODE_MAPPING && n->kind != NODE_SCALAR)
			return refuse(b, at, "a key must be plain text, not a list or a mapping");
		if (f->node->kind == NODE_MAPPING)
			f->key = n;
		*f->tail = n;
		f->tail = &n->next;
		f->node->n_children++;
	}
	return 0;
}

static MUST_CHECK int
add_node(struct builder *b, enum node_kind kind, const yaml_event_t *ev, struct slice text,
    const yaml_char_t *anchor, const yaml_char_t *tag)
{
	struct node *n;
	int rc;

	if (anchor != NULL)
		return refuse(b, ev->start_mark,
		    "anchors (&name) are not taken here; write the value out at each place");
	if (tag != NULL)
		return refuse(b, ev->start_mark, "tags (!name) are not taken here; leave it out");
	if (b->tree->n >= TREE_NODES_MAX)
		return refuse(b, ev->start_mark,
		    "more than " STRINGIFY(TREE_NODES_MAX) " values; this is no configuration");
	n = node_new(b, kind, ev->start_mark, text);
	if (n == NULL)
		return -ENOMEM;
	rc = place_node(b, n, ev->start_mark);
	if (rc != 0 || kind == NODE_SCALAR)
		return rc;
	if (b->depth == TREE_DEPTH_MAX)
		return refuse(b, ev->start_mark,
		    "nested deeper than " STRINGIFY(TREE_DEPTH_MAX)
		    " levels; nothing here needs that");
	b->stack[b->depth++] = (struct frame){ .node = n, .tail = &n->child };
	return 0;
}

static MUST_CHECK int
add_scalar(struct builder *b, const yaml_event_t *ev)
{
	int rc = add_node(b, NODE_SCALAR, ev,
	    slice_of(ev->data.scalar.value, ev->data.scalar.length), ev->data.scalar.anchor,
	    ev->data.scalar.tag);

	if (rc == 0)
		b->tree->all->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return rc;
}

static MUST_CHECK int
take_event(struct builder *b, const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_DOCUMENT_START_EVENT:
		return b->tree->root == NULL ? 0 :
		    refuse(b, ev->start_mark, "a second document begins here; write one");
	case YAML_ALIAS_EVENT:
		return refuse(b, ev->start_mark,
		    "aliases (*name) are not taken here; write the value out at each place");
	case YAML_SCALAR_EVENT:
		return add_scalar(b, ev);
	case YAML_SEQUENCE_START_EVENT:
		return add_node(b, NODE_LIST, ev, SLICE(""), ev->data.sequence_start.anchor,
		    ev->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return add_node(b, NODE_MAPPING, ev, SLICE(""), ev->data.mapping_start.anchor,
		    ev->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	case YAML_STREAM_END_EVENT:
		b->done = true;
		return 0;
	default:
		return 0;
	}
}

static struct mark
mark_of_byte(struct slice text, size_t offset)
{
	struct mark m = { 1, 1 };

	for (size_t i = 0; i < MIN(offset, text.len); i++) {
		if (text.ptr[i] == '\n')
			m = (struct mark){ m.line + 1, 1 };
		else if (((unsigned char)text.ptr[i] & 0xc0) != 0x80)
			m.column++;
	}
	return m;
}

static bool
line_begins_with_tab(struct slice text, unsigned line)
{
	size_t at = 0;

	while (--line > 0 && at < text.len) {
		const char *end = memchr(text.ptr + at, '\n', text.len - at);

		at = end != NULL ? (size_t)(end - text.ptr) + 1 : text.len;
	}
	while (at < text.len && text.ptr[at] == ' ')
		at++;
	return at < text.len && text.ptr[at] == '\t';
}

/* libyaml's words are for those who know its scanner. */
static const struct {
	const char *problem, *advice;
} advices[] = {
	{ "mapping values are not allowed in this context",
	    "a \":\" cannot stand here; quote the value, or begin the key on a line of its own" },
	{ "found character that cannot start any token",
	    "a value cannot begin with this character; put it in double quotes" },
	{ "could not find expected ':'", "a key without \":\" behind it; write key: value" },
	{ "did not find expected key",
	    "a key is wanted here; is the indentation that of the lines above?" },
	{ "did not find expected '-' indicator",
	    "a \"- \" is wanted here; is the indentation that of the lines above?" },
	{ "did not find expected ',' or ']'", "a list that began with [ lacks a comma or its ]" },
	{ "did not find expected ',' or '}'",
	    "a mapping that began with { lacks a comma or its }" },
	{ "found unexpected end of stream", "a quote is opened and never closed" },
};

static MUST_CHECK int
syntax_error(struct builder *b, const yaml_parser_t *p)
{
	struct mark at = mark_of(p->problem_mark);

	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (p->error == YAML_READER_ERROR) {
		diag_error(b->diag, mark_of_byte(b->text, p->problem_offset), NULL,
		    "not UTF-8 text (%s)", p->problem);
		return -EINVAL;
	}
	if (line_begins_with_tab(b->text, at.line)) {
		diag_error(b->diag, at, NULL, "this line is indented with a tab; write spaces");
		return -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_LEN(advices); i++) {
		if (strcmp(p->problem, advices[i].problem) == 0) {
			diag_error(b->diag, at, NULL, "%s", advices[i].advice);
			return -EINVAL;
		}
	}
	diag_error(b->diag, at, NULL, "not valid YAML: %s", p->problem);
	return -EINVAL;
}

/* What no editor writes: the file is something else, or damaged. */
static MUST_CHECK int
check_bytes(struct builder *b)
{
	const unsigned char *s = (const unsigned char *)b->text.ptr;

	if (slice_has_prefix(b->text, SLICE("\xff\xfe")) ||
	    slice_has_prefix(b->text, SLICE("\xfe\xff"))) {
		diag_error(b->diag, (struct mark){ 1, 1 }, NULL,
		    "UTF-16 text; save the file as UTF-8");
		return -EINVAL;
	}
	for (size_t i = 0; i < b->text.len; i++) {
		if ((s[i] >= ' ' && s[i] != 0x7f) || s[i] == '\t' || s[i] == '\n' || s[i] == '\r')
			continue;
		diag_error(b->diag, mark_of_byte(b->text, i), NULL,
		    "byte 0x%02x: this is no text file", s[i]);
		return -EINVAL;
	}
	return 0;
}

static MUST_CHECK int
build(struct builder *b, yaml_parser_t *p)
{
	yaml_event_t ev;
	int rc = 0;

	yaml_parser_set_encoding(p, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(p, (const unsigned char *)b->text.ptr, b->text.len);
	while (rc == 0 && !b->done) {
		if (!yaml_parser_parse(p, &ev))
			return syntax_error(b, p);
		rc = take_event(b, &ev);
		yaml_event_delete(&ev);
	}
	return rc;
}

int
tree_parse(struct slice text, struct diag *d, struct tree *out)
{
	struct builder b = { .diag = d, .tree = out };
	yaml_parser_t p;
	int rc;

	*out = (struct tree){ 0 };
	/* libyaml would count a byte order mark as a column of the first line. */
	b.text = slice_has_prefix(text, SLICE("\xef\xbb\xbf")) ? slice_skip(text, 3) : text;
	rc = check_bytes(&b);
	if (rc != 0)
		return rc;
	if (!yaml_parser_initialize(&p))
		return -ENOMEM;
	rc = build(&b, &p);
	yaml_parser_delete(&p);
	if (rc == 0 && (out->root == NULL || node_is_null(out->root))) {
		/* A write that was cut short must not read as "all defaults". */
		diag_error(d, (struct mark){ 0, 0 }, NULL,
		    "the file holds no settings; write {} if you mean the defaults");
		rc = -EINVAL;
	}
	return rc;
}

void
tree_free(struct tree *t)
{
	while (t->all != NULL) {
		struct node *n = t->all;

		t->all = n->all;
		mem_free(n);
	}
	*t = (struct tree){ 0 };
}

const struct node *
node_member(const struct node *n, const char *key)
{
	if (n == NULL || n->kind != NODE_MAPPING)
		return NULL;
	for (const struct node *k = n->child; k != NULL; k = k->next)
		if (slice_eq(k->text, slice_str(key)))
			return k->value;
	return NULL;
}

const struct node *
node_element(const struct node *n, unsigned i)
{
	if (n == NULL || n->kind != NODE_LIST)
		return NULL;
	for (n = n->child; n != NULL && i > 0; i--)
		n = n->next;
	return n;
}

bool
node_is_null(const struct node *n)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	if (n->kind != NODE_SCALAR || !n->plain)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_eq(n->text, slice_str(words[i])))
			return true;
	return false;
}
