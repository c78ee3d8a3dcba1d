#include <config.h>

#include "config/password.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static int PRINTF(4, 5) MUST_CHECK
fail(struct config_error *why, const char *path, int rc, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	snprintf(why->text, sizeof why->text, "password file %.200s: %s", path, text);
	return rc;
}

int
password_copy(struct password *out, struct slice text)
{
	char *copy = mem_slicedup(text);

	if (copy == NULL)
		return -ENOMEM;
	*out = (struct password){ copy, text.len };
	return 0;
}

void
password_fini(struct password *p)
{
	if (p->text != NULL)
		explicit_bzero(p->text, p->len);
	mem_free(p->text);
	*p = (struct password){ NULL, 0 };
}

bool
password_equals(const struct password *p, struct slice given)
{
	volatile unsigned char differ = p->text == NULL || p->len != given.len;
	const char *text = p->text != NULL && p->len != 0 ? p->text : "?";
	size_t len = p->text != NULL && p->len != 0 ? p->len : 1;

	for (size_t i = 0; i < given.len; i++)
		differ |= (unsigned char)(given.ptr[i] ^ text[i % len]);
	return differ == 0;
}

/* As `echo secret >file` and editors leave it. */
static struct slice
without_line_end(struct slice s)
{
	if (s.len != 0 && s.ptr[s.len - 1] == '\n')
		s.len--;
	if (s.len != 0 && s.ptr[s.len - 1] == '\r')
		s.len--;
	return s;
}

static MUST_CHECK int
take(const char *path, struct slice text, struct password *out, struct config_error *why)
{
	if (text.len > PASSWORD_MAX)
		return fail(why, path, -EINVAL, "longer than %d bytes", PASSWORD_MAX);
	text = without_line_end(text);
	if (text.len == 0)
		return fail(why, path, -EINVAL, "empty; write the password into it");
	if (password_copy(out, text) != 0)
		return fail(why, path, -ENOMEM, "out of memory");
	return 0;
}

static MUST_CHECK int
read_open(const char *path, int fd, struct password *out, bool *exposed, struct config_error *why)
{
	char text[PASSWORD_MAX + 1];
	size_t len = 0;
	struct stat st;
	ssize_t n;
	int rc;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return fail(why, path, -EINVAL, "no regular file");
	*exposed = (st.st_mode & S_IROTH) != 0;
	do {
		n = read(fd, text + len, sizeof text - len);
		len += n > 0 ? (size_t)n : 0;
	} while ((n > 0 && len < sizeof text) || (n < 0 && errno == EINTR));
	if (n < 0)
		rc = fail(why, path, -errno, "%s", strerror(errno));
	else
		rc = take(path, slice_of(text, len), out, why);
	explicit_bzero(text, sizeof text);
	return rc;
}

int
password_read(const char *path, struct password *out, bool *exposed, struct config_error *why)
{
	/* O_NONBLOCK: a FIFO that nobody writes must not hold up a start. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;

	if (fd < 0)
		return fail(why, path, -errno, "%s", strerror(errno));
	rc = read_open(path, fd, out, exposed, why);
	close(fd);
	return rc;
}
