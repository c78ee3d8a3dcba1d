#include <config.h>

#include "config/diag.h"

#include "config/text.h"

void
place_text(const struct place *p, struct text *t)
{
	if (p == NULL)
		return;
	place_text(p->up, t);
	if (p->key == NULL)
		text_add(t, "[%u]", p->index);
	else
		text_add(t, "%s%s", p->up != NULL ? "." : "", p->key);
}

void
diag_error(struct diag *d, struct mark at, const struct place *where, const char *fmt, ...)
{
	struct config_error e = { "" };
	struct text t = text_in(e.text, sizeof e.text);
	va_list ap;

	if (diag_full(d))
		return;
	if (d->file != NULL && at.line != 0)
		text_add(&t, "%s:%u:%u: ", d->file, at.line, at.column);
	else if (d->file != NULL && where == NULL)
		text_add(&t, "%s: ", d->file);
	place_text(where, &t);
	if (where != NULL)
		text_add(&t, ": ");
	va_start(ap, fmt);
	text_vadd(&t, fmt, ap);
	va_end(ap);
	if (d->n++ == 0)
		*d->first = e;
	if (d->each != NULL)
		d->each(d->arg, e.text);
}
