/* tree.h - YAML text as a tree that remembers where everything stood.
 *
 * The plain part of YAML only: one document of mappings, lists and scalars.
 * Anchors, aliases, tags and documents behind the first are refused. */
#ifndef PANNIER_CONFIG_TREE_H
#define PANNIER_CONFIG_TREE_H

#include "config/diag.h"

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAPPING };

#define TREE_DEPTH_MAX 16
#define TREE_NODES_MAX 65536

struct node {
	enum node_kind kind;
	struct mark at;
	bool plain;           /* a scalar without quotes */
	struct slice text;    /* of a scalar; NUL-terminated */
	struct node *child;   /* of a list its first element, of a mapping its
	                       * first key */
	unsigned n_children;
	struct node *next;    /* the next element, or the next key */
	struct node *value;   /* of a key */
	struct node *all;     /* every node of the tree, for tree_free() */
};

struct tree {
	struct node *root;
	struct node *all;
	unsigned n;
};

/* 0; -EINVAL, and d has the error; -ENOMEM. Borrows text for the call. The
 * tree must be freed in any case. */
int tree_parse(struct slice text, struct diag *d, struct tree *out) MUST_CHECK;
void tree_free(struct tree *t);

/* The value behind `key`, or NULL; node may be NULL or no mapping. */
const struct node *node_member(const struct node *n, const char *key);
/* Element i, or NULL; as above. */
const struct node *node_element(const struct node *n, unsigned i);
/* Nothing was written where a value belongs, or YAML's words for nothing. */
bool node_is_null(const struct node *n);

#endif
