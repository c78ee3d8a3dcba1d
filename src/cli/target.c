#include "config.h"

#include "cli/target.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/text.h"

#define CANDIDATES 3

/* False: there is no such one. A comma would end the path in an address. */
static bool
candidate(unsigned i, char *out, size_t size)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	int n = -1;

	if (i == 0)
		n = snprintf(out, size, "/run/pannier/pannier.sock");
	else if (i == 1 && dir != NULL && dir[0] == '/' && strchr(dir, ',') == NULL)
		n = snprintf(out, size, "%s/pannier.sock", dir);
	else if (i == 2)
		n = snprintf(out, size, "/tmp/pannier-%u.sock", (unsigned)geteuid());
	return n >= 0 && (size_t)n < size;
}

static bool
directory_is_writable(const char *path)
{
	char dir[128];

	snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
	return access(dir, W_OK | X_OK) == 0;
}

void
target_to_listen(char *out, size_t size)
{
	char path[108];

	for (unsigned i = 0; i < CANDIDATES; i++) {
		if (!candidate(i, path, sizeof path))
			continue;
		/* The last one is taken in any case: its error will say why not. */
		if (i + 1 < CANDIDATES && !directory_is_writable(path))
			continue;
		snprintf(out, size, "unix:%s%s", path, i + 1 == CANDIDATES ? ",mode=0600" : "");
		return;
	}
}

/* Anybody may put a socket into /tmp, so that one must be ours. */
static bool
is_our_socket(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	return strncmp(path, "/tmp/", 5) != 0 || st.st_uid == geteuid() || st.st_uid == 0;
}

static MUST_CHECK int
take_path(const char *path, struct config_listen *out, struct config_error *err)
{
	out->path = mem_strdup(path);
	out->is_unix = true;
	if (out->path != NULL)
		return 0;
	snprintf(err->text, sizeof err->text, "out of memory");
	return -ENOMEM;
}

static MUST_CHECK int
default_to_ask(struct config_listen *out, struct config_error *err)
{
	char path[108];
	struct text t = text_in(err->text, sizeof err->text);

	text_add(&t, "no socket of a daemon at");
	for (unsigned i = 0; i < CANDIDATES; i++) {
		if (!candidate(i, path, sizeof path))
			continue;
		if (is_our_socket(path))
			return take_path(path, out, err);
		text_add(&t, "%s %s", i != 0 ? "," : "", path);
	}
	text_add(&t, "; is pannier running? Name its socket with --socket");
	return -ENOENT;
}

int
target_to_ask(const char *text, struct config_listen *out, struct config_error *err)
{
	const char *listen = getenv("PANNIER_LISTEN");
	struct slice s;

	*out = (struct config_listen){ 0 };
	if (text != NULL && strncmp(text, "unix:", 5) != 0 && strncmp(text, "tcp:", 4) != 0)
		return take_path(text, out, err);
	if (text != NULL)
		return config_listen_parse(slice_str(text), out, err);
	if (listen == NULL || listen[strspn(listen, " ")] == '\0')
		return default_to_ask(out, err);
	listen += strspn(listen, " ");
	s = slice_of(listen, strcspn(listen, " "));
	return config_listen_parse(s, out, err);
}
