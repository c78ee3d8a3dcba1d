/* diag.h - errors in a configuration: where it is, what is wrong, and what
 * would be right. One thread; lives as long as one load. */
#ifndef PANNIER_CONFIG_DIAG_H
#define PANNIER_CONFIG_DIAG_H

#include "config/config.h"

/* Counted from 1; line 0: nowhere in a file. */
struct mark {
	unsigned line, column;
};

/* The way from the root to a value, on the stack: namespaces[0].ttl. */
struct place {
	const struct place *up;
	const char *key; /* NULL: an element of a list */
	unsigned index;
};

/* More than these are not reported: the rest is likely their consequence. */
#define DIAG_MAX 20

struct diag {
	const char *file; /* as the user named it; NULL: none is read */
	void (*each)(void *arg, const char *text); /* NULL: the first is enough */
	void *arg;
	struct config_error *first;
	unsigned n;
};

/* "file:line:column: place: message". */
void diag_error(struct diag *d, struct mark at, const struct place *where, const char *fmt, ...)
    PRINTF(4, 5);

static inline bool
diag_full(const struct diag *d)
{
	return d->n >= DIAG_MAX;
}

/* "namespaces[0].ttl" */
struct text;
void place_text(const struct place *p, struct text *t);

#endif
