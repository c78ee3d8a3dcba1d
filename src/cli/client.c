#include "config.h"

#include "cli/client.h"

#include <errno.h>
#include <pannier.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/mem.h"
#include "cli/target.h"
#include "config/password.h"
#include "config/text.h"

#define HOUR_MS 3600000 /* no timeout of the library is longer */
#define SLACK_MS 1000

struct client {
	struct pannier_client *lib;
	int timeout_ms;
	char name[320];
};

static int PRINTF(4, 5) MUST_CHECK
failed(struct config_error *err, const char *name, int rc, const char *fmt, ...)
{
	struct text t = text_in(err->text, sizeof err->text);
	va_list ap;

	text_add(&t, "%s: ", name);
	va_start(ap, fmt);
	text_vadd(&t, fmt, ap);
	va_end(ap);
	return rc;
}

/* --- opening --------------------------------------------------------------------- */

int
client_password(struct password *out, struct config_error *err)
{
	const char *path = getenv("PANNIER_PASSWORD_FILE"), *text = getenv("PANNIER_PASSWORD");
	bool exposed;

	if (path != NULL && *path != '\0')
		return password_read(path, out, &exposed, err);
	if (text == NULL || *text == '\0')
		return 0;
	return password_copy(out, slice_str(text)) == 0 ? 0 :
	    failed(err, "client", -ENOMEM, "out of memory");
}

/* A daemon without a password takes any. */
static MUST_CHECK int
set_password(struct pannier_options *o, struct config_error *err)
{
	struct password p = { NULL, 0 };
	int rc = client_password(&p, err);

	if (rc == 0 && p.text != NULL &&
	    pannier_options_password(o, pannier_bytes(p.text, p.len)) != 0)
		rc = failed(err, "client", -ENOMEM, "out of memory");
	password_fini(&p);
	return rc;
}

void
client_address(const struct config_listen *to, char *out, size_t size)
{
	struct text t = text_in(out, size);

	if (to->is_unix)
		text_add(&t, "unix:%s", to->path);
	else
		text_add(&t, strchr(to->host, ':') != NULL ? "tcp:[%s]:%u" : "tcp:%s:%u", to->host,
		    to->port);
}

static MUST_CHECK int
set_address(struct client *c, struct pannier_options *o, const struct config_listen *to,
    struct config_error *err)
{
	int rc;

	client_address(to, c->name, sizeof c->name);
	rc = pannier_options_address(o, c->name);
	if (rc == PANNIER_E_NOMEM)
		return failed(err, "client", -ENOMEM, "out of memory");
	return rc == 0 ? 0 : failed(err, c->name, -EINVAL,
	    "no address: the path of a Unix socket has 1 to 107 bytes, a port is 1 to 65535");
}

static MUST_CHECK int
make(struct client *c, struct pannier_options *o, const struct config_listen *to,
    struct config_error *err)
{
	uint32_t ms = (uint32_t)MIN(c->timeout_ms, HOUR_MS - SLACK_MS);
	int rc = set_address(c, o, to, err);

	if (rc == 0)
		rc = set_password(o, err);
	if (rc != 0)
		return rc;
	/* One time for all of it: the end of connecting comes later, and is not seen. */
	if (pannier_options_timeout(o, ms) != 0 ||
	    pannier_options_connect_timeout(o, ms + SLACK_MS) != 0 ||
	    pannier_client_new(o, &c->lib) != 0)
		return failed(err, "client", -ENOMEM, "out of memory");
	return 0;
}

int
client_open(const struct config_listen *to, int timeout_ms, struct client **out,
    struct config_error *err)
{
	struct client *c = mem_zalloc(sizeof *c);
	struct pannier_options *o = pannier_options_new();
	int rc;

	if (c == NULL || o == NULL) {
		rc = failed(err, "client", -ENOMEM, "out of memory");
	} else {
		c->timeout_ms = timeout_ms;
		rc = make(c, o, to, err);
	}
	pannier_options_free(o);
	if (rc == 0)
		*out = c;
	else
		client_close(c);
	return rc;
}

int
client_open_at(const char *address, int timeout_ms, struct client **out, struct config_error *err)
{
	struct config_listen to;
	int rc = target_to_ask(address, &to, err);

	if (rc == 0)
		rc = client_open(&to, timeout_ms, out, err);
	config_listen_fini(&to);
	return rc;
}

void
client_close(struct client *c)
{
	if (c == NULL)
		return;
	pannier_client_free(c->lib);
	mem_free(c);
}

const char *
client_name(const struct client *c)
{
	return c->name;
}

/* --- asking ------------------------------------------------------------------------ */

/* What the library answered, as an errno with words. */
static MUST_CHECK int
outcome(const struct client *c, int status, struct config_error *err)
{
	const char *said = pannier_client_error(c->lib);

	switch (status) {
	case PANNIER_DONE:
		return 0;
	case PANNIER_E_TIMEOUT:
		return failed(err, c->name, -ETIMEDOUT, "no answer within %d ms", c->timeout_ms);
	case PANNIER_E_NOMEM:
		return failed(err, c->name, -ENOMEM, "out of memory");
	case PANNIER_E_AWAY:
		return failed(err, c->name, -ECONNREFUSED, "%s", said);
	case PANNIER_ERROR:
		if (strncmp(said, "WRONGPASS", 9) == 0)
			return failed(err, c->name, -EACCES, "the password of "
			    "PANNIER_PASSWORD_FILE or PANNIER_PASSWORD was refused: %s", said);
		return failed(err, c->name, -EACCES, "%s", said);
	default:
		return failed(err, c->name, -EPROTO, "%s", said);
	}
}

int
client_ping(struct client *c, struct config_error *err)
{
	return outcome(c, pannier_ping(c->lib), err);
}

static MUST_CHECK int
add_field(struct buf *text, const struct pannier_field *f, struct pannier_bytes *section)
{
	int rc = 0;

	if (f->section.len != section->len ||
	    memcmp(f->section.ptr, section->ptr, section->len) != 0)
		rc = buf_printf(text, "# %.*s\r\n", (int)f->section.len,
		    (const char *)f->section.ptr);
	*section = f->section;
	if (rc != 0)
		return rc;
	if (f->is_number)
		return buf_printf(text, "%.*s:%lld\r\n", (int)f->name.len,
		    (const char *)f->name.ptr, (long long)f->number);
	return buf_printf(text, "%.*s:%.*s\r\n", (int)f->name.len, (const char *)f->name.ptr,
	    (int)f->text.len, (const char *)f->text.ptr);
}

int
client_info(struct client *c, const char *section, struct buf *text, struct config_error *err)
{
	struct pannier_bytes title = pannier_str("");
	struct pannier_reply *r = NULL;
	int rc = outcome(c, pannier_stats(c->lib, section, &r), err);

	for (size_t i = 0; rc == 0 && i < r->n_fields; i++)
		if (add_field(text, &r->fields[i], &title) != 0)
			rc = failed(err, c->name, -ENOMEM, "out of memory");
	pannier_reply_free(r);
	return rc;
}

int
client_exit_code(int rc)
{
	switch (rc) {
	case 0:
		return EX_OK;
	case -EPROTO:
		return EX_PROTOCOL;
	case -ENOMEM:
		return EX_OSERR;
	case -EINVAL:
		return EX_USAGE;
	default:
		return EX_UNAVAILABLE;
	}
}
