#include "config.h"

#include "unit/suite.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "config/config.h"

#define MAX_NS 200

static struct config_namespace spaces[MAX_NS];
static char texts[MAX_NS][32];
static struct config cfg = { .namespaces = spaces };

/* Namespace 0 is the default one, as config.h has it. */
static struct nsmap *
map_of(const char *const *prefixes, unsigned n)
{
	struct nsmap *m;

	strcpy(texts[0], "");
	spaces[0].prefix = texts[0];
	for (unsigned i = 0; i < n; i++) {
		strcpy(texts[i + 1], prefixes[i]);
		spaces[i + 1].prefix = texts[i + 1];
	}
	cfg.n_namespaces = n + 1;
	m = nsmap_new(&cfg);
	ck_assert_ptr_nonnull(m);
	return m;
}

#define MAP(...) \
	map_of((const char *const[]){ __VA_ARGS__ }, \
	    (unsigned)ARRAY_LEN(((const char *const[]){ __VA_ARGS__ })))

static unsigned
find(const struct nsmap *m, const char *key)
{
	/* On the heap and exact, so that ASan sees a read behind the key. */
	size_t len = strlen(key);
	char *copy = malloc(len + 1);
	unsigned ns;

	ck_assert_ptr_nonnull(copy);
	copy = realloc(copy, len ? len : 1);
	memcpy(copy, key, len);
	ns = nsmap_find(m, slice_of(copy, len));
	free(copy);
	return ns;
}

START_TEST(without_prefixes_every_key_is_in_the_default_namespace)
{
	struct nsmap *m = map_of(NULL, 0);

	ck_assert_uint_eq(find(m, ""), 0);
	ck_assert_uint_eq(find(m, "user:1"), 0);
	ck_assert_uint_eq(find(m, "\xff"), 0);
	nsmap_free(m);
}
END_TEST

START_TEST(the_longest_prefix_wins_in_whatever_order_they_stand)
{
	struct nsmap *m = MAP("user:", "user:admin:", "u", "user:a");

	ck_assert_uint_eq(find(m, "user:admin:7"), 2);
	ck_assert_uint_eq(find(m, "user:admin"), 4);
	ck_assert_uint_eq(find(m, "user:7"), 1);
	ck_assert_uint_eq(find(m, "user"), 3);
	ck_assert_uint_eq(find(m, "v"), 0);
	nsmap_free(m);
}
END_TEST

START_TEST(a_key_equal_to_the_prefix_belongs_to_it_and_a_shorter_one_does_not)
{
	struct nsmap *m = MAP("abcdefgh", "bcdefghijklm", "c");

	ck_assert_uint_eq(find(m, "abcdefgh"), 1);
	ck_assert_uint_eq(find(m, "abcdefg"), 0);
	ck_assert_uint_eq(find(m, "bcdefghijklm"), 2);
	ck_assert_uint_eq(find(m, "bcdefghijkl"), 0);
	ck_assert_uint_eq(find(m, "bcdefghijklX"), 0);
	ck_assert_uint_eq(find(m, "c"), 3);
	nsmap_free(m);
}
END_TEST

START_TEST(bytes_above_127_and_keys_with_nul_are_told_apart)
{
	struct nsmap *m = MAP("\xc3\xa4:", "\xff");

	ck_assert_uint_eq(find(m, "\xc3\xa4:1"), 1);
	ck_assert_uint_eq(find(m, "\xff\xff"), 2);
	ck_assert_uint_eq(find(m, "\xc3"), 0);
	ck_assert_uint_eq(nsmap_find(m, SLICE("\0\0\0")), 0);
	ck_assert_uint_eq(nsmap_find(m, slice_of("\xc3\0\0", 3)), 0);
	nsmap_free(m);
}
END_TEST

/* The plainest way to say what nsmap_find() means. */
static unsigned
model_find(const char *key)
{
	unsigned best = 0;

	for (unsigned i = 1; i < cfg.n_namespaces; i++)
		if (strncmp(key, spaces[i].prefix, strlen(spaces[i].prefix)) == 0 &&
		    strlen(spaces[i].prefix) > strlen(spaces[best].prefix))
			best = i;
	return best;
}

static void
random_text(uint64_t *seed, char *out, unsigned min, unsigned max)
{
	unsigned len;

	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	len = min + (unsigned)(*seed >> 33) % (max - min + 1);
	for (unsigned i = 0; i < len; i++) {
		*seed = *seed * 6364136223846793005u + 1442695040888963407u;
		out[i] = "ab:\xff"[(*seed >> 40) % 4];
	}
	out[len] = '\0';
}

START_TEST(random_prefixes_and_keys_agree_with_the_model)
{
	static char prefixes[MAX_NS][32];
	const char *list[MAX_NS];
	uint64_t seed = 42;
	unsigned routed = 0;

	for (unsigned round = 0; round < 300; round++) {
		unsigned n = round % (MAX_NS - 1);
		struct nsmap *m;

		for (unsigned i = 0; i < n; i++) {
			random_text(&seed, prefixes[i], 1, 12);
			list[i] = prefixes[i];
		}
		m = map_of(list, n);
		for (unsigned i = 0; i < 200; i++) {
			char key[32];
			unsigned ns;

			random_text(&seed, key, 0, 16);
			ns = find(m, key);
			ck_assert_uint_eq(ns, model_find(key));
			routed += ns != 0;
		}
		nsmap_free(m);
	}
	ck_assert_uint_gt(routed, 10000);
}
END_TEST

START_TEST(without_memory_there_is_no_map_and_no_leak)
{
	unsigned long n = 1;
	struct nsmap *m;

	nsmap_free(MAP("user:", "item:"));
	do {
		mem_fail_nth(n++, 0);
		m = nsmap_new(&cfg);
		nsmap_free(m);
	} while (m == NULL && n < 100);
	mem_fail_nth(0, 0);
	ck_assert_uint_gt(n, 4);
	ck_assert_uint_lt(n, 100);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("nsmap");

	SUITE_ADD(s, "nsmap", without_prefixes_every_key_is_in_the_default_namespace,
	    the_longest_prefix_wins_in_whatever_order_they_stand,
	    a_key_equal_to_the_prefix_belongs_to_it_and_a_shorter_one_does_not,
	    bytes_above_127_and_keys_with_nul_are_told_apart,
	    random_prefixes_and_keys_agree_with_the_model,
	    without_memory_there_is_no_map_and_no_leak);
	return suite_main(s);
}
