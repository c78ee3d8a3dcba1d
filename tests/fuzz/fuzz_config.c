/* fuzz_config.c - any bytes as a configuration: refused with words that fit
 * on a line, or printed as a file that means the same. */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"

#define CHECK(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "fuzz_config.c:%d: %s\n", __LINE__, #cond); \
			abort(); \
		} \
	} while (0)

static char path[64];

static void
remove_file(void)
{
	unlink(path);
}

static void
write_file(const void *data, size_t size)
{
	FILE *f;

	if (path[0] == '\0') {
		snprintf(path, sizeof path, "/tmp/pannier-fuzz-%ld.yaml", (long)getpid());
		atexit(remove_file);
	}
	f = fopen(path, "w");
	CHECK(f != NULL);
	CHECK(size == 0 || fwrite(data, size, 1, f) == 1);
	CHECK(fclose(f) == 0);
}

static struct config *
load(const void *data, size_t size)
{
	struct config_error err = { "" };
	struct config *c = NULL;
	int rc;

	write_file(data, size);
	rc = config_load(path, NULL, 0, NULL, &c, &err);
	CHECK(rc == 0 || rc == -EINVAL);
	CHECK((rc == 0) == (c != NULL));
	CHECK((rc == 0) == (err.text[0] == '\0'));
	for (const char *p = err.text; *p != '\0'; p++)
		CHECK((unsigned char)*p >= ' ');
	return c;
}

static char *
print(const struct config *c)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	CHECK(f != NULL);
	config_print(c, false, f);
	CHECK(fclose(f) == 0);
	return text;
}

static void
check_map(const struct config *c)
{
	struct nsmap *m = nsmap_new(c);

	CHECK(m != NULL);
	for (unsigned i = 0; i < c->n_namespaces; i++)
		CHECK(nsmap_find(m, slice_str(c->namespaces[i].prefix)) == i);
	nsmap_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *c = load(data, size), *again, *clone;
	char *once, *twice, *cloned;

	if (c == NULL)
		return 0;
	check_map(c);
	once = print(c);
	again = load(once, strlen(once));
	CHECK(again != NULL);
	twice = print(again);
	CHECK(strcmp(once, twice) == 0);
	clone = config_clone(c);
	CHECK(clone != NULL);
	config_free(c);
	cloned = print(clone);
	CHECK(strcmp(once, cloned) == 0);
	config_free(clone);
	config_free(again);
	free(once);
	free(twice);
	free(cloned);
	return 0;
}
