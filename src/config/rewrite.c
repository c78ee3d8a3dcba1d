#include <config.h>

#include "config/rewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/load.h"
#include "config/schema.h"
#include "config/tree.h"

#define VALUE_MAX 4096

static MUST_CHECK int
fail(struct config_error *err, int rc, const char *path, const char *what)
{
	snprintf(err->text, sizeof err->text, "%.200s: %s: %s", path, what, strerror(-rc));
	return rc;
}

/* --- text ------------------------------------------------------------------------- */

/* As a file has it; paths in quotes. */
static MUST_CHECK int
option_text(const struct config *c, unsigned row, struct buf *to)
{
	char text[VALUE_MAX];
	int rc = 0;

	config_option_get(c, row, false, text, sizeof text);
	if (!field_owns_text(&config_schema.fields[row]))
		return buf_append(to, text, strlen(text));
	rc = buf_append(to, "\"", 1);
	for (const char *p = text; *p != '\0' && rc == 0; p++) {
		if (*p == '"' || *p == '\\')
			rc = buf_append(to, "\\", 1);
		if (rc == 0)
			rc = buf_append(to, p, 1);
	}
	return rc != 0 ? rc : buf_append(to, "\"", 1);
}

/* Where the line begins; text.len behind the last. */
static size_t
line_start(struct slice text, unsigned line)
{
	size_t at = 0;

	while (line > 1 && at < text.len)
		line -= text.ptr[at++] == '\n';
	return at;
}

/* The bytes of a scalar, its quotes included. False: not written as what it says on one
 * line, byte by byte. */
static bool
scalar_span(struct slice text, const struct node *n, size_t *at, size_t *len)
{
	size_t quotes = n->plain ? 0 : 1;

	*at = line_start(text, n->at.line) + n->at.column - 1;
	*len = n->text.len + 2 * quotes;
	if (n->kind != NODE_SCALAR || *at + *len > text.len ||
	    memcmp(text.ptr + *at + quotes, n->text.ptr, n->text.len) != 0)
		return false;
	return quotes == 0 || ((text.ptr[*at] == '"' || text.ptr[*at] == '\'') &&
	    text.ptr[*at + *len - 1] == text.ptr[*at]);
}

static MUST_CHECK int
append_option(struct slice text, const char *name, struct slice value, struct buf *out)
{
	bool ended = text.len == 0 || text.ptr[text.len - 1] == '\n';
	int rc = text.len != 0 ? buf_append(out, text.ptr, text.len) : 0;

	if (rc == 0)
		rc = buf_printf(out, "%s%s: %.*s\n", ended ? "" : "\n", name, (int)value.len,
		    value.ptr);
	return rc;
}

static MUST_CHECK int
replace_option(struct slice text, const struct node *n, struct slice value, struct buf *out)
{
	size_t at, len;
	int rc;

	if (!scalar_span(text, n, &at, &len))
		return -EINVAL;
	rc = at != 0 ? buf_append(out, text.ptr, at) : 0;
	if (rc == 0)
		rc = buf_append(out, value.ptr, value.len);
	if (rc == 0 && at + len < text.len)
		rc = buf_append(out, text.ptr + at + len, text.len - at - len);
	return rc;
}

/* *text takes the new one. */
static MUST_CHECK int
put_option(const struct config *c, unsigned row, struct buf *text, struct diag *d)
{
	struct slice old = buf_len(text) != 0 ? buf_slice(text) : SLICE("");
	const char *name = config_option_name(row);
	const struct node *n = NULL;
	struct tree t = { 0 };
	struct buf value, out;
	int rc;

	buf_init(&value);
	buf_init(&out);
	rc = option_text(c, row, &value);
	if (rc == 0)
		rc = tree_parse(old, d, &t);
	if (rc == 0)
		n = node_member(t.root, name);
	if (rc == 0 && n == NULL)
		rc = append_option(old, name, buf_slice(&value), &out);
	else if (rc == 0)
		rc = replace_option(old, n, buf_slice(&value), &out);
	if (rc == -EINVAL && n != NULL)
		diag_error(d, n->at, NULL, "%s is not written on one line, plainly or in quotes; "
		    "write it so, and it can be changed in place", name);
	tree_free(&t);
	buf_fini(&value);
	if (rc != 0) {
		buf_fini(&out);
		return rc;
	}
	buf_fini(text);
	*text = out;
	return 0;
}

/* --- the file --------------------------------------------------------------------- */

/* What will be read at the next start says what it should. */
static MUST_CHECK int
verify(const char *path, const struct config *c, struct config_error *err)
{
	char is[VALUE_MAX], wanted[VALUE_MAX];
	struct config *read = NULL;
	int rc = config_load(path, NULL, 0, NULL, &read, err);

	for (unsigned row = 0; rc == 0 && row < config_option_count(); row++) {
		if (c->sources[row] != CONFIG_RUNTIME)
			continue;
		config_option_get(c, row, false, wanted, sizeof wanted);
		config_option_get(read, row, false, is, sizeof is);
		if (strcmp(is, wanted) == 0)
			continue;
		snprintf(err->text, sizeof err->text, "%s would be read back as another value",
		    config_option_name(row));
		rc = -EINVAL;
	}
	config_free(read);
	return rc;
}

static MUST_CHECK int
write_all(int fd, struct slice text)
{
	while (text.len != 0) {
		ssize_t n = write(fd, text.ptr, text.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text.ptr += n;
		text.len -= (size_t)n;
	}
	return fsync(fd) == 0 ? 0 : -errno;
}

/* Owner and group are a wish: only root can give files away. */
static MUST_CHECK int
write_like(int fd, const char *path, struct slice text)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return -errno;
	if (fchown(fd, st.st_uid, st.st_gid) != 0 && errno != EPERM)
		return -errno;
	if (fchmod(fd, st.st_mode & 07777) != 0)
		return -errno;
	return write_all(fd, text);
}

/* A rename outlives a crash once its directory is on the disk. */
static void
sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];
	int fd;

	snprintf(folder, sizeof folder, "%.*s/", (int)(slash - path), path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

static MUST_CHECK int
exchange(const char *path, const struct config *c, struct slice text, struct config_error *err)
{
	char beside[PATH_MAX + 8];
	int fd, rc;

	snprintf(beside, sizeof beside, "%s.XXXXXX", path);
	fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0)
		return fail(err, -errno, path, "no new file can be written beside it");
	rc = write_like(fd, path, text);
	close(fd);
	if (rc != 0)
		rc = fail(err, rc, beside, "cannot be written");
	else
		rc = verify(beside, c, err);
	if (rc == 0 && rename(beside, path) != 0)
		rc = fail(err, -errno, path, "cannot be replaced");
	if (rc != 0)
		unlink(beside);
	else
		sync_folder(path);
	return rc;
}

int
config_rewrite(const char *path, const struct config *c, struct config_error *err)
{
	struct diag d = { .file = path, .first = err };
	char real[PATH_MAX];
	struct buf text;
	int rc;

	if (realpath(path, real) == NULL)
		return fail(err, -errno, path, "cannot be found");
	if (access(real, W_OK) != 0)
		return fail(err, -errno, real, "cannot be written");
	buf_init(&text);
	rc = config_read_file(real, &text, &d);
	for (unsigned row = 0; rc == 0 && row < config_option_count(); row++)
		if (c->sources[row] == CONFIG_RUNTIME)
			rc = put_option(c, row, &text, &d);
	if (rc == 0)
		rc = exchange(real, c, buf_len(&text) != 0 ? buf_slice(&text) : SLICE(""), err);
	else if (rc == -ENOMEM)
		snprintf(err->text, sizeof err->text, "out of memory");
	buf_fini(&text);
	return rc;
}
