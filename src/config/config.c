#include <config.h>

#include "config/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "config/load.h"
#include "config/schema.h"
#include "config/text.h"
#include "config/value.h"

/* --- life --------------------------------------------------------------------- */

unsigned
config_option_count(void)
{
	unsigned n = 0;

#define OPTION(...) n++;
#include "config/config.def"
#undef OPTION
	return n;
}

static struct config *
config_new(void)
{
	struct config *c = mem_zalloc(sizeof *c);

	if (c == NULL)
		return NULL;
	c->sources = mem_zalloc(config_schema.n);
	c->lines = mem_calloc(config_schema.n, sizeof *c->lines);
	c->namespaces = mem_zalloc(sizeof *c->namespaces);
	c->n_namespaces = c->namespaces != NULL;
	if (c->sources != NULL && c->lines != NULL && c->namespaces != NULL &&
	    schema_defaults(&config_schema, c) == 0)
		return c;
	config_free(c);
	return NULL;
}

void
config_free(struct config *c)
{
	if (c == NULL)
		return;
	schema_fini(&config_schema, c);
	mem_free(c->sources);
	mem_free(c->lines);
	mem_free(c);
}

struct config *
config_clone(const struct config *c)
{
	struct config *copy = mem_zalloc(sizeof *copy);

	if (copy == NULL)
		return NULL;
	if (schema_copy(&config_schema, copy, c) != 0) {
		mem_free(copy);
		return NULL;
	}
	copy->sources = mem_alloc(config_schema.n);
	copy->lines = mem_calloc(config_schema.n, sizeof *copy->lines);
	if (copy->sources == NULL || copy->lines == NULL) {
		config_free(copy);
		return NULL;
	}
	memcpy(copy->sources, c->sources, config_schema.n);
	memcpy(copy->lines, c->lines, config_schema.n * sizeof *c->lines);
	config_resolve(copy);
	return copy;
}

/* --- the file ------------------------------------------------------------------- */

static MUST_CHECK int
read_all(int fd, struct buf *to)
{
	ssize_t n;

	do {
		if (buf_reserve(to, 4096) != 0)
			return -ENOMEM;
		n = read(fd, buf_tail(to), to->cap - to->tail);
		if (n > 0)
			buf_commit(to, (size_t)n);
	} while ((n > 0 && buf_len(to) <= CONFIG_FILE_MAX) || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

int
config_read_file(const char *path, struct buf *to, struct diag *d)
{
	struct mark nowhere = { 0, 0 };
	struct stat st;
	int fd, rc;

	/* O_NONBLOCK: a FIFO that nobody writes must not hold up a start. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	rc = fd < 0 ? -errno : 0;
	if (rc == 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		diag_error(d, nowhere, NULL, S_ISDIR(st.st_mode) ?
		    "a directory; name a file in it" : "no regular file");
		close(fd);
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	}
	if (rc == 0)
		rc = read_all(fd, to);
	if (fd >= 0)
		close(fd);
	if (rc == 0 && buf_len(to) > CONFIG_FILE_MAX) {
		diag_error(d, nowhere, NULL, "larger than 1MiB; this is no configuration");
		rc = -EINVAL;
	} else if (rc != 0 && rc != -ENOMEM) {
		diag_error(d, nowhere, NULL, "cannot be read: %s", strerror(-rc));
	}
	return rc;
}

static MUST_CHECK int
load_file(struct config *c, const char *path, struct tree *t, struct diag *d)
{
	struct buf text;
	int rc;

	buf_init(&text);
	rc = config_read_file(path, &text, d);
	if (rc == 0)
		rc = tree_parse(buf_len(&text) != 0 ? buf_slice(&text) : SLICE(""), d, t);
	buf_fini(&text);
	if (rc == 0)
		rc = load_tree(c, t, d);
	if (rc == 0)
		validate_listens(c, t, d);
	return rc;
}

/* --- what stands over the file ---------------------------------------------------- */

static void
drop_listens(struct config *c)
{
	for (unsigned i = 0; i < c->n_listens; i++)
		config_listen_fini(&c->listens[i]);
	c->n_listens = 0;
}

/* PANNIER_LOG_LEVEL for log_level. */
static void
variable_name(const char *option, char *out, size_t size)
{
	struct text t = text_in(out, size);

	text_add(&t, "PANNIER_");
	for (; *option != '\0'; option++)
		text_add(&t, "%c", toupper((unsigned char)*option));
}

/* Empty is as good as unset: manifests cannot leave a variable out. */
static const char *
variable_get(char *const *environ_vars, const char *name)
{
	size_t len = strlen(name);

	for (; environ_vars != NULL && *environ_vars != NULL; environ_vars++)
		if (strncmp(*environ_vars, name, len) == 0 && (*environ_vars)[len] == '=' &&
		    (*environ_vars)[len + 1] != '\0')
			return *environ_vars + len + 1;
	return NULL;
}

/* PANNIER_LISTEN holds one or more, with spaces between them. */
static MUST_CHECK int
load_listen_variable(struct config *c, char *const *environ_vars, struct diag *d)
{
	const char *s = variable_get(environ_vars, "PANNIER_LISTEN");
	int rc = 0;

	if (s == NULL)
		return 0;
	drop_listens(c);
	for (s += strspn(s, " "); *s != '\0' && rc == 0; s += strspn(s, " ")) {
		size_t n = strcspn(s, " ");

		rc = load_override(c, "listen", "PANNIER_LISTEN", slice_of(s, n), CONFIG_ENV, d);
		s += n;
	}
	return rc;
}

static MUST_CHECK int
load_environment(struct config *c, char *const *environ_vars, struct diag *d)
{
	char name[64];
	int rc = 0;

	for (unsigned i = 0; i < config_option_count() && rc == 0; i++) {
		const char *value;

		variable_name(config_option_name(i), name, sizeof name);
		value = variable_get(environ_vars, name);
		if (value != NULL)
			rc = load_override(c, config_option_name(i), name, slice_str(value),
			    CONFIG_ENV, d);
	}
	return rc != 0 ? rc : load_listen_variable(c, environ_vars, d);
}

/* --log-level for log_level. */
static void
flag_name(const char *option, char *out, size_t size)
{
	struct text t = text_in(out, size);

	text_add(&t, "--");
	for (; *option != '\0'; option++)
		text_add(&t, "%c", *option == '_' ? '-' : *option);
}

static MUST_CHECK int
load_flags(struct config *c, const struct config_override *flags, unsigned n, struct diag *d)
{
	bool listens = false;
	char name[64];
	int rc = 0;

	for (unsigned i = 0; i < n && rc == 0; i++) {
		if (strcmp(flags[i].name, "listen") == 0 && !listens) {
			drop_listens(c);
			listens = true;
		}
		flag_name(flags[i].name, name, sizeof name);
		rc = load_override(c, flags[i].name, name, slice_str(flags[i].value), CONFIG_FLAG,
		    d);
	}
	return rc;
}

/* --- all of it -------------------------------------------------------------------- */

static MUST_CHECK int
load_into(struct config *c, const char *path, const struct config_override *flags,
    unsigned n_flags, char *const *environ_vars, struct diag *d)
{
	struct tree t = { 0 };
	int rc = 0;

	if (path != NULL)
		rc = load_file(c, path, &t, d);
	if (rc == 0)
		rc = load_environment(c, environ_vars, d);
	if (rc == 0)
		rc = load_flags(c, flags, n_flags, d);
	if (rc == 0)
		rc = validate(c, &t, d);
	tree_free(&t);
	return rc == 0 && d->n != 0 ? -EINVAL : rc;
}

static MUST_CHECK int
load_all(const char *path, const struct config_override *flags, unsigned n_flags,
    char *const *environ_vars, struct config **out, struct diag *d)
{
	struct config *c = config_new();
	int rc = -ENOMEM;

	d->file = path;
	if (c != NULL)
		rc = load_into(c, path, flags, n_flags, environ_vars, d);
	if (rc == 0) {
		*out = c;
		return 0;
	}
	config_free(c);
	if (rc == -ENOMEM)
		diag_error(d, (struct mark){ 0, 0 }, NULL, "out of memory");
	return rc;
}

int
config_load(const char *path, const struct config_override *flags, unsigned n_flags,
    char *const *environ_vars, struct config **out, struct config_error *err)
{
	struct diag d = { .first = err };

	return load_all(path, flags, n_flags, environ_vars, out, &d);
}

int
config_check(const char *path, const struct config_override *flags, unsigned n_flags,
    char *const *environ_vars, struct config **out, void (*each)(void *arg, const char *text),
    void *arg)
{
	struct config_error first;
	struct diag d = { .first = &first, .each = each, .arg = arg };

	return load_all(path, flags, n_flags, environ_vars, out, &d);
}

/* --- options one by one ----------------------------------------------------------- */

static const struct field *
option_field(unsigned row)
{
	assert(row < config_option_count());
	return &config_schema.fields[row];
}

const char *
config_option_name(unsigned row)
{
	return option_field(row)->key;
}

const char *
config_option_redis_name(unsigned row)
{
	return option_field(row)->redis;
}

const char *
config_option_help(unsigned row)
{
	return option_field(row)->help;
}

bool
config_option_runtime(unsigned row)
{
	return option_field(row)->runtime;
}

int
config_option_find(struct slice name)
{
	for (unsigned i = 0; i < config_option_count(); i++) {
		const struct field *f = option_field(i);

		if (slice_caseeq(name, slice_str(f->key)) ||
		    (f->redis != NULL && slice_caseeq(name, slice_str(f->redis))))
			return (int)i;
	}
	return -ENOENT;
}

void
config_option_get(const struct config *c, unsigned row, bool redis, char *out, size_t size)
{
	value_text(option_field(row), c, redis, out, size);
}

/* Redis's clients send durations as plain numbers: of what? NULL: it is none. */
static const char *
plain_unit(const struct field *f, struct slice value)
{
	if (f->redis == NULL || value.len == 0 || value.len > 18)
		return NULL;
	for (size_t i = 0; i < value.len; i++)
		if (!isdigit((unsigned char)value.ptr[i]))
			return NULL;
	switch (f->kind) {
	case VALUE_DURATION:
		return "s";
	case VALUE_MILLIS:
		return "ms";
	case VALUE_MICROS:
		return "us";
	default:
		return NULL;
	}
}

int
config_option_set(struct config *c, unsigned row, struct slice value, struct config_error *err)
{
	const struct field *f = option_field(row);
	const struct tree none = { 0 };
	struct diag d = { .first = err };
	const char *unit = plain_unit(f, value);
	char text[32];
	int rc;

	if (unit != NULL) {
		snprintf(text, sizeof text, "%.*s%s", (int)value.len, value.ptr, unit);
		value = slice_str(text);
	} else if (f->kind == VALUE_MICROS && slice_eq(value, SLICE("-1"))) {
		value = SLICE("off");
	}
	rc = value_parse(f, value, c, err);
	if (rc != 0)
		return rc;
	c->sources[row] = CONFIG_RUNTIME;
	validate_limits(c, &none, &d);
	return d.n == 0 ? 0 : -EINVAL;
}
