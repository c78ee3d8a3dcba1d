#include "config.h"

#include "unit/store/fixture.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char config_text[] =
    "wait_limit: 8\n"
    "namespaces:\n"
    "  - prefix: \"user:\"\n"
    "    origin: users\n"
    "    path: /users/{rest}\n"
    "    ttl: 10s\n"
    "  - prefix: \"page:\"\n"
    "    coalesce: lease\n"
    "    lease_time: 20ms\n"
    "  - prefix: \"news:\"\n"
    "    coalesce: lease\n"
    "    lease_time: 1h\n"
    "    grace: 1h\n"
    "origins:\n"
    "  users:\n"
    "    http:\n"
    "      endpoints: [\"http://127.0.0.1:1\"]\n"
    "    deadline: 250ms\n"
    "    max_waiters: 4\n";

struct store *store;
struct loop *loops[LOOPS];
struct stats_loop stats[LOOPS];
struct store_loop *sl[LOOPS];

struct routes *
make_routes(void)
{
	return make_routes_of(config_text);
}

struct routes *
make_routes_of(const char *text)
{
	char path[] = "/tmp/pannier-test-XXXXXX";
	int fd = mkstemp(path);
	struct config_error err;
	struct config *cfg;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	ck_assert_msg(config_load(path, NULL, 0, NULL, &cfg, &err) == 0, "%s", err.text);
	unlink(path);
	for (unsigned i = 0; i < cfg->n_namespaces; i++)
		cfg->namespaces[i].stats_id = (int)i;
	return routes_new(cfg);
}

void
setup_of(struct routes *r)
{
	ck_assert_int_eq(store_new(r, 8u << 20, &store), 0);
	for (unsigned i = 0; i < LOOPS; i++) {
		ck_assert_int_eq(loop_new(i, &loops[i]), 0);
		ck_assert_int_eq(stats_loop_init(&stats[i]), 0);
		ck_assert_int_eq(store_loop_new(store, loops[i], &stats[i], &sl[i]), 0);
		store_loop_set_now(sl[i], loop_now_ms(loops[i]));
	}
}

void
setup_with(const char *text)
{
	struct routes *r = make_routes_of(text);

	fake_reset();
	setup_of(r);
	routes_unref(r);
}

void
setup(void)
{
	setup_with(config_text);
}

void
teardown(void)
{
	for (unsigned i = 0; i < LOOPS; i++)
		loop_run_tasks(loops[i]);
	for (unsigned i = 0; i < LOOPS; i++)
		store_loop_free(sl[i]);
	for (unsigned i = 0; i < LOOPS; i++) {
		loop_free(loops[i]);
		stats_loop_fini(&stats[i]);
	}
	store_free(store);
}

int64_t
ns_stat(size_t offset)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < LOOPS; i++)
		sum += counter_get((struct counter *)(void *)((char *)&stats[i].ns[1] + offset));
	return sum;
}
