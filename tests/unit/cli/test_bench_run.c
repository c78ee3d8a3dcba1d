/* Whole runs against a server of this file, which answers as told. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/bench_report.h"
#include "cli/bench_run.h"

struct fake {
	char dir[64], path[96];
	int fd;
	pthread_t thread;
	const char *get, *set; /* replies; NULL: none. "close": hangs up */
	int gets, sets;
};

/* Requests begin with *2 (GET) or *3 (SET). */
static bool
answer(struct fake *f, int fd, const char *data, ssize_t n)
{
	for (ssize_t i = 0; i < n; i++) {
		/* Values hold no line ends, so this is none. */
		bool get = strncmp(data + i, "*2\r\n$", 5) == 0;
		const char *reply = get ? f->get : f->set;

		if (!get && strncmp(data + i, "*3\r\n$", 5) != 0)
			continue;
		*(get ? &f->gets : &f->sets) += 1;
		if (reply == NULL)
			continue;
		if (strcmp(reply, "close") == 0)
			return false;
		if (send(fd, reply, strlen(reply), MSG_NOSIGNAL) < 0)
			return false;
	}
	return true;
}

/* One connection; ends with it. */
static void *
fake_main(void *arg)
{
	struct fake *f = arg;
	char data[65536];
	int fd = accept(f->fd, NULL, NULL);
	ssize_t n;

	while (fd >= 0 && (n = read(fd, data, sizeof data - 1)) > 0) {
		data[n] = '\0';
		if (!answer(f, fd, data, n))
			break;
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void
fake_start(struct fake *f)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	strcpy(f->dir, "/tmp/test_bench_run.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
	snprintf(f->path, sizeof f->path, "%s/s", f->dir);
	strcpy(sa.sun_path, f->path);
	f->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(f->fd, (struct sockaddr *)&sa, sizeof sa), 0);
	ck_assert_int_eq(listen(f->fd, 5), 0);
	ck_assert_int_eq(pthread_create(&f->thread, NULL, fake_main, f), 0);
}

static void
fake_stop(struct fake *f)
{
	shutdown(f->fd, SHUT_RDWR); /* wakes accept() where nobody came */
	pthread_join(f->thread, NULL);
	close(f->fd);
	unlink(f->path);
	rmdir(f->dir);
}

static struct bench_opts
opts(const struct fake *f, uint64_t requests)
{
	char *argv[] = { (char *)"bench", (char *)"-s", (char *)f->path, (char *)"-c",
		(char *)"1", NULL };
	struct bench_opts o;
	char err[256];

	ck_assert_int_eq(bench_opts_parse(5, argv, &o, err, sizeof err), BENCH_PARSED);
	o.requests = requests;
	return o;
}

static int
run(const struct bench_opts *o, struct bench_result *r)
{
	static const struct bench_trace none;
	static atomic_bool interrupted;

	return bench_run(o, &none, &interrupted, NULL, NULL, r);
}

START_TEST(every_request_is_counted_once)
{
	struct fake f = { .get = "$-1\r\n", .set = "+OK\r\n" };
	struct bench_result r;
	struct bench_opts o;

	fake_start(&f);
	o = opts(&f, 1000);
	o.pipeline = 7;
	ck_assert_int_eq(run(&o, &r), 0);
	fake_stop(&f);
	ck_assert_int_eq(r.gets + r.sets, 1000);
	ck_assert_int_eq(r.gets, f.gets);
	ck_assert_int_eq(r.sets, f.sets);
	ck_assert_int_eq(r.misses, r.gets);
	ck_assert_int_eq(r.all_us.count, 1000);
	ck_assert_int_eq(r.errors, 0);
	bench_result_fini(&r);
}
END_TEST

START_TEST(cache_aside_sets_what_it_did_not_find_on_top_of_the_requests)
{
	struct fake f = { .get = "$-1\r\n", .set = "+OK\r\n" };
	struct bench_result r;
	struct bench_opts o;

	fake_start(&f);
	o = opts(&f, 100);
	o.cache_aside = true;
	o.pipeline = 8;
	ck_assert_int_eq(run(&o, &r), 0);
	fake_stop(&f);
	ck_assert_int_eq(f.gets, 100);
	ck_assert_int_eq(f.sets, 100);
	bench_result_fini(&r);
}
END_TEST

START_TEST(the_warm_up_is_not_counted)
{
	struct fake f = { .get = "$-1\r\n", .set = "+OK\r\n" };
	struct bench_result r;
	struct bench_opts o;

	fake_start(&f);
	o = opts(&f, 100);
	o.warmup = 40;
	ck_assert_int_eq(run(&o, &r), 0);
	fake_stop(&f);
	ck_assert_int_eq(f.gets + f.sets, 100);
	ck_assert_int_eq(r.gets + r.sets, 60);
	ck_assert_int_eq(r.all_us.count, 60);
	bench_result_fini(&r);
}
END_TEST

START_TEST(an_open_loop_sends_what_is_due_and_no_more)
{
	struct fake f = { .get = "$-1\r\n", .set = "+OK\r\n" };
	struct bench_result r;
	struct bench_opts o;

	fake_start(&f);
	o = opts(&f, 500);
	o.rate = 100000;
	ck_assert_int_eq(run(&o, &r), 0);
	fake_stop(&f);
	ck_assert_int_eq(r.gets + r.sets, 500);
	/* The last was due 499 intervals after the first. */
	ck_assert_double_ge(r.seconds, 499 * 0.00001 - 1e-6);
	bench_result_fini(&r);
}
END_TEST

START_TEST(error_replies_are_counted_and_the_first_is_quoted)
{
	struct fake f = { .get = "-ERR something is off\r\n", .set = "+OK\r\n" };
	struct bench_result r;
	struct bench_opts o;

	fake_start(&f);
	o = opts(&f, 100);
	ck_assert_int_eq(run(&o, &r), 0);
	fake_stop(&f);
	ck_assert_int_eq(r.errors, r.gets);
	ck_assert_ptr_nonnull(strstr(r.fault, "ERR something is off"));
	bench_result_fini(&r);
}
END_TEST

START_TEST(wrong_values_are_found_by_verify)
{
	struct fake f = { .get = "$5\r\nwrong\r\n", .set = "+OK\r\n" };
	struct bench_result r;
	struct bench_opts o;

	fake_start(&f);
	o = opts(&f, 100);
	o.verify = true;
	ck_assert_int_eq(run(&o, &r), 0);
	fake_stop(&f);
	ck_assert_int_gt(r.gets, 0);
	ck_assert_int_eq(r.wrong, r.gets);
	bench_result_fini(&r);
}
END_TEST

static void
check_failure(const char *get, double timeout, int rc, const char *words)
{
	struct fake f = { .get = get, .set = "+OK\r\n" };
	struct bench_result r;
	struct bench_opts o;

	fake_start(&f);
	o = opts(&f, 1000);
	o.timeout = timeout;
	ck_assert_int_eq(run(&o, &r), rc);
	fake_stop(&f);
	ck_assert_msg(strstr(r.fault, words) != NULL, "%s", r.fault);
	bench_result_fini(&r);
}

START_TEST(a_server_that_misbehaves_ends_the_run_with_words)
{
	check_failure("close", 20, -ECONNRESET, "closed");
	check_failure("nonsense\r\n", 20, -EPROTO, "nonsense");
	check_failure("+OK\r\n", 20, -EPROTO, "none to a GET");
	check_failure("$-1\r\n$-1\r\n", 20, -EPROTO, "nobody asked");
	check_failure(NULL, 0.05, -ETIMEDOUT, "no reply");
}
END_TEST

START_TEST(a_herd_ends_when_each_has_the_value_or_has_set_it)
{
	struct fake f = { .get = "$-1\r\n", .set = "+OK\r\n" };
	struct bench_result r;
	struct bench_opts o;

	fake_start(&f);
	o = opts(&f, 5);
	o.herd = 1;
	o.load_time = (struct bench_span){ 1, 2 };
	ck_assert_int_eq(run(&o, &r), 0);
	fake_stop(&f);
	ck_assert_uint_eq(r.herds, 5);
	ck_assert_int_eq(r.loads, 5);
	ck_assert_int_eq(r.loads_max, 1);
	ck_assert_int_eq(f.sets, 5);
	bench_result_fini(&r);
}
END_TEST

START_TEST(nobody_listening_is_an_error)
{
	struct fake f = { .path = "/nonexistent/socket" };
	struct bench_opts o = opts(&f, 5);
	struct bench_result r;

	ck_assert_int_eq(run(&o, &r), -ENOENT);
	ck_assert_ptr_nonnull(strstr(r.fault, "/nonexistent/socket"));
	bench_result_fini(&r);
}
END_TEST

/* Refuses the n-th allocation, for each n until a run needs no more. */
START_TEST(a_run_without_memory_fails_and_leaks_nothing)
{
	unsigned long n = 0, seen;

	do {
		struct fake f = { .get = "$-1\r\n", .set = "+OK\r\n" };
		struct bench_result r;
		struct bench_opts o;

		fake_start(&f);
		o = opts(&f, 20);
		mem_fail_nth(++n, 0);
		run(&o, &r);
		seen = mem_fail_seen();
		mem_fail_nth(0, 0);
		fake_stop(&f);
		ck_assert(r.rc == 0 || r.rc == -ENOMEM);
		ck_assert(r.rc == 0 || r.fault[0] != '\0');
		bench_result_fini(&r);
	} while (seen >= n);
	ck_assert_uint_gt(n, 8);
}
END_TEST

START_TEST(json_escapes_what_a_server_said)
{
	struct bench_result r = { .fault = "\"a\\\n\xff" };
	struct fake f = { .path = "x" };
	struct bench_opts o = opts(&f, 1);
	char text[8192];
	FILE *out = fmemopen(text, sizeof text, "w");

	bench_report_json(out, &o, &r);
	fclose(out);
	ck_assert_ptr_nonnull(strstr(text, "\"fault\":\"\\\"a\\\\\\u000a\\u00ff\"}"));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("bench_run");

	SUITE_ADD(s, "load", every_request_is_counted_once,
	    cache_aside_sets_what_it_did_not_find_on_top_of_the_requests,
	    the_warm_up_is_not_counted, an_open_loop_sends_what_is_due_and_no_more,
	    a_herd_ends_when_each_has_the_value_or_has_set_it);
	SUITE_ADD(s, "faults", error_replies_are_counted_and_the_first_is_quoted,
	    wrong_values_are_found_by_verify, a_server_that_misbehaves_ends_the_run_with_words,
	    nobody_listening_is_an_error, a_run_without_memory_fails_and_leaks_nothing,
	    json_escapes_what_a_server_said);
	return suite_main(s);
}
