#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "config/config.h"

static struct config *
defaults(void)
{
	struct config_error err;
	struct config *c = NULL;

	ck_assert_int_eq(config_load(NULL, NULL, 0, NULL, &c, &err), 0);
	return c;
}

static unsigned
row(const char *name)
{
	int r = config_option_find(slice_str(name));

	ck_assert_msg(r >= 0, "no option %s", name);
	return (unsigned)r;
}

static void
assert_get(const struct config *c, const char *name, bool redis, const char *expected)
{
	char out[64];

	config_option_get(c, row(name), redis, out, sizeof out);
	ck_assert_str_eq(out, expected);
}

static void
set(struct config *c, const char *name, const char *value)
{
	struct config_error err = { "" };

	ck_assert_msg(config_option_set(c, row(name), slice_str(value), &err) == 0, "%s", err.text);
}

START_TEST(every_row_has_a_name_and_a_help_that_ends_like_a_sentence)
{
	ck_assert_uint_gt(config_option_count(), 5);
	for (unsigned i = 0; i < config_option_count(); i++) {
		const char *help = config_option_help(i), *redis = config_option_redis_name(i);

		ck_assert_int_eq(config_option_find(slice_str(config_option_name(i))), (int)i);
		ck_assert_int_eq(help[strlen(help) - 1], '.');
		if (redis != NULL)
			ck_assert_int_eq(config_option_find(slice_str(redis)), (int)i);
	}
}
END_TEST

START_TEST(every_default_and_bound_is_a_value_of_its_row)
{
#define OPTION(name, type, def, least, most, ...) { #name, def, least, most },
	static const struct {
		const char *name, *def, *least, *most;
	} rows[] = {
#include "config/config.def"
	};
#undef OPTION
	struct config *c = defaults();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *values[] = { rows[i].least, rows[i].most, rows[i].def };

		set(c, "memory", "32GiB"); /* so that no limit is larger */
		for (size_t j = 0; j < ARRAY_LEN(values); j++) {
			if (values[j] == NULL)
				continue;
			set(c, rows[i].name, values[j]);
			assert_get(c, rows[i].name, false, values[j]);
		}
	}
	config_free(c);
}
END_TEST

START_TEST(options_are_found_by_either_name_in_any_case)
{
	ck_assert_int_eq(config_option_find(SLICE("maxmemory")), (int)row("memory"));
	ck_assert_int_eq(config_option_find(SLICE("MaxMemory")), (int)row("memory"));
	ck_assert_int_eq(config_option_find(SLICE("maxmem")), -ENOENT);
	ck_assert_int_eq(config_option_find(SLICE("")), -ENOENT);
	ck_assert(config_option_runtime(row("memory")));
	ck_assert(!config_option_runtime(row("threads")));
}
END_TEST

START_TEST(redis_sees_plain_numbers_and_its_own_words)
{
	struct config *c = defaults();

	assert_get(c, "memory", true, "0");
	assert_get(c, "memory", false, "auto");
	set(c, "memory", "100mb");
	assert_get(c, "memory", true, "104857600");
	assert_get(c, "memory", false, "100MiB");
	set(c, "drain_timeout", "1500ms");
	assert_get(c, "shutdown-timeout", true, "2");
	assert_get(c, "drain_timeout", false, "1500ms");
	assert_get(c, "log_level", true, "notice");
	assert_get(c, "eviction", true, "allkeys-lru");
	config_free(c);
}
END_TEST

START_TEST(a_set_takes_what_redis_clients_send)
{
	struct config *c = defaults();

	set(c, "timeout", "300");
	ck_assert_int_eq(c->idle_timeout, 300000);
	set(c, "timeout", "5m");
	ck_assert_int_eq(c->idle_timeout, 300000);
	set(c, "loglevel", "warning");
	ck_assert_int_eq(c->log_level, LOG_LEVEL_WARN);
	set(c, "maxmemory-policy", "allkeys-lru");
	ck_assert_uint_eq(c->sources[row("timeout")], CONFIG_RUNTIME);
	config_free(c);
}
END_TEST

START_TEST(a_bad_set_says_why)
{
	struct config *c = defaults();
	struct config_error err;

	ck_assert_int_eq(config_option_set(c, row("memory"), SLICE("lots"), &err), -EINVAL);
	ck_assert_str_eq(err.text, "\"lots\" is no size; write for example 256MiB");
	ck_assert_uint_eq(c->memory, CONFIG_AUTO);
	ck_assert_int_eq(config_option_set(c, row("timeout"), SLICE("99999999999999999"), &err), -EINVAL);
	ck_assert_str_eq(err.text, "\"99999999999999999s\" is too much; the most is 365d");
	set(c, "max_value", "64MiB");
	ck_assert_int_eq(config_option_set(c, row("memory"), SLICE("32MiB"), &err), -EINVAL);
	ck_assert_str_eq(err.text, "max_value: \"64MiB\" is more than memory, which is 32MiB");
	config_free(c);
}
END_TEST

START_TEST(levels_and_their_names_agree_with_the_log)
{
	struct config *c = defaults();
	static const char *const names[] = { "debug", "info", "warn", "error" };

	for (int i = 0; i < 4; i++) {
		set(c, "log_level", names[i]);
		ck_assert_str_eq(log_level_name((enum log_level)c->log_level), names[i]);
	}
	config_free(c);
}
END_TEST

static char *
written(void (*print)(FILE *to))
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	print(f);
	fclose(f);
	return text;
}

START_TEST(help_and_reference_have_every_option_and_fit_a_terminal)
{
	char *flags = written(config_print_flags), *reference = written(config_print_reference);
	char text[64];

	for (unsigned i = 0; i < config_option_count(); i++) {
		snprintf(text, sizeof text, "| `%s` |", config_option_name(i));
		ck_assert_ptr_nonnull(strstr(reference, text));
		snprintf(text, sizeof text, "    --%s=", config_option_name(i));
		for (char *p = text; *p != '\0'; p++)
			if (*p == '_')
				*p = '-';
		ck_assert_ptr_nonnull(strstr(flags, text));
	}
	ck_assert_ptr_nonnull(strstr(flags, "    --listen=ADDRESS"));
	ck_assert_ptr_nonnull(strstr(reference, "| `http.endpoints`, needed | list: URL |"));
	for (char *line = strtok(flags, "\n"); line != NULL; line = strtok(NULL, "\n"))
		ck_assert_msg(strlen(line) <= 80, "%s", line);
	free(flags);
	free(reference);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("options");

	SUITE_ADD(s, "options", every_row_has_a_name_and_a_help_that_ends_like_a_sentence,
	    every_default_and_bound_is_a_value_of_its_row,
	    options_are_found_by_either_name_in_any_case, redis_sees_plain_numbers_and_its_own_words,
	    a_set_takes_what_redis_clients_send, a_bad_set_says_why,
	    levels_and_their_names_agree_with_the_log,
	    help_and_reference_have_every_option_and_fit_a_terminal);
	return suite_main(s);
}
