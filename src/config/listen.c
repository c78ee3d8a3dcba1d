#include <config.h>

#include <errno.h>

#include "base/mem.h"
#include "config/schema.h"
#include "config/text.h"
#include "config/value.h"

static int PRINTF(3, 4) MUST_CHECK
bad_listen(struct config_error *why, struct slice s, const char *fmt, ...)
{
	struct text t = text_in(why->text, sizeof why->text);
	va_list ap;

	text_quote(&t, s);
	va_start(ap, fmt);
	text_vadd(&t, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static struct slice
take_until(struct slice *s, char end)
{
	const char *at = s->len != 0 ? memchr(s->ptr, end, s->len) : NULL;
	struct slice head = *s;

	if (at == NULL) {
		*s = slice_skip(*s, s->len);
		return head;
	}
	head.len = (size_t)(at - s->ptr);
	*s = slice_skip(*s, head.len + 1);
	return head;
}

/* One more element of a list. */
static MUST_CHECK int
parse_element(const struct field *f, struct slice value, struct config_listen *l,
    struct config_error *why)
{
	const struct field one = { .key = f->key, .kind = f->element };
	size_t size = element_size(f);
	unsigned n = *field_count(f, l);
	char **array = field_at(f, l), *more;
	int rc;

	if (n == f->max)
		return bad_listen(why, value, " is one too many; the most is %u", f->max);
	more = mem_realloc(*array, (n + 1) * size);
	if (more == NULL) {
		snprintf(why->text, sizeof why->text, "out of memory");
		return -ENOMEM;
	}
	*array = more;
	memset(more + n * size, 0, size);
	rc = value_parse(&one, value, more + n * size, why);
	*field_count(f, l) += rc == 0;
	return rc;
}

/* "mode=0660" */
static MUST_CHECK int
parse_extra(struct slice extra, struct config_listen *l, struct config_error *why)
{
	struct slice value = extra, key = take_until(&value, '=');
	const struct field *f = schema_find(&listen_schema, key);
	struct config_error inner;
	struct text t;
	int rc;

	if (f == NULL || f->kind == VALUE_SOCKET || f->kind == VALUE_ADDRESS)
		return bad_listen(why, extra,
		    " is unknown; mode=, owner=, group= and others may follow a path");
	if (l->path == NULL && listen_field_is_unix(f))
		return bad_listen(why, extra, " belongs to a Unix socket, not to TCP");
	if (f->kind == FIELD_VALUES)
		rc = parse_element(f, value, l, &inner);
	else
		rc = value_parse(f, value, l, &inner);
	if (rc != 0) {
		t = text_in(why->text, sizeof why->text);
		text_add(&t, "%s: %.400s", f->key, inner.text);
	}
	return rc;
}

static MUST_CHECK int
parse_listen(struct slice text, struct config_listen *l, struct config_error *why)
{
	struct slice rest = text, kind = take_until(&rest, ':'), where = take_until(&rest, ',');
	const struct field *f = schema_find(&listen_schema, kind);
	int rc;

	if (f == NULL || (f->kind != VALUE_SOCKET && f->kind != VALUE_ADDRESS))
		return bad_listen(why, text,
		    " is no address; write unix:/path/of.sock or tcp:127.0.0.1:6380");
	rc = value_parse(f, where, l, why);
	while (rc == 0 && rest.len != 0)
		rc = parse_extra(take_until(&rest, ','), l, why);
	l->is_unix = l->path != NULL;
	return rc;
}

static MUST_CHECK int
parse_whole(struct slice text, bool any_host, struct config_listen *out, struct config_error *why)
{
	int rc;

	*out = (struct config_listen){ .any_host = any_host };
	rc = schema_defaults(&listen_schema, out);
	if (rc == 0)
		rc = parse_listen(text, out, why);
	if (rc != 0)
		config_listen_fini(out);
	return rc;
}

int
config_listen_parse(struct slice text, struct config_listen *out, struct config_error *why)
{
	return parse_whole(text, false, out, why);
}

int
config_admin_http_parse(struct slice text, struct config_listen *out, struct config_error *why)
{
	return parse_whole(text, true, out, why);
}

void
config_listen_fini(struct config_listen *l)
{
	schema_fini(&listen_schema, l);
}

int
config_listen_copy(struct config_listen *to, const struct config_listen *from)
{
	return schema_copy(&listen_schema, to, from);
}

int
config_listen_add(struct config *c, struct slice text, struct config_error *why)
{
	struct config_listen *more;
	int rc;

	if (c->n_listens == CONFIG_LISTENS_MAX)
		return bad_listen(why, text, " is one too many; the most is %d",
		    CONFIG_LISTENS_MAX);
	more = mem_realloc(c->listens, (c->n_listens + 1) * sizeof *more);
	if (more == NULL) {
		snprintf(why->text, sizeof why->text, "out of memory");
		return -ENOMEM;
	}
	c->listens = more;
	rc = config_listen_parse(text, &more[c->n_listens], why);
	c->n_listens += rc == 0;
	return rc;
}
