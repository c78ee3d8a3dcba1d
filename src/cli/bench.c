#include "config.h"

#include "cli/bench.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/bench_opts.h"
#include "cli/bench_report.h"
#include "cli/bench_run.h"
#include "cli/bench_trace.h"
#include "cli/target.h"

static atomic_bool interrupted;

static void
on_signal(int signum)
{
	(void)signum;
	atomic_store(&interrupted, true);
}

/* The first ^C ends the run and prints what there is, the second one kills. */
static void
catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

static void
print_moment(void *arg, const struct bench_moment *m)
{
	bench_report_moment(arg, m);
}

/* Every key once, in order. */
static struct bench_opts
filling(const struct bench_opts *o)
{
	struct bench_opts fill = *o;

	fill.scan = true;
	fill.zipf = fill.rate = fill.seconds = fill.pollute = 0;
	fill.grow = fill.cache_aside = false;
	fill.herd = fill.warmup = 0;
	fill.ratio = (struct bench_ratio){ 0, 1 };
	fill.requests = o->keyspace;
	fill.pipeline = MAX(o->pipeline, 32);
	return fill;
}

static int
exit_code(const struct bench_result *r)
{
	switch (r->rc) {
	case 0:
		return r->errors > 0 || r->wrong > 0 ? EX_PROTOCOL : EX_OK;
	case -EPROTO:
		return EX_PROTOCOL;
	case -ENOMEM:
	case -EMFILE:
		return EX_OSERR;
	default:
		return EX_UNAVAILABLE;
	}
}

static int
fill(const struct bench_opts *o, const struct bench_trace *trace, bench_watch *watch)
{
	struct bench_opts first = filling(o);
	struct bench_result r;
	int code;

	bench_run(&first, trace, &interrupted, watch, stderr, &r);
	code = exit_code(&r);
	if (code != EX_OK)
		fprintf(stderr, "pannier bench: while filling: %s\n", r.fault);
	bench_result_fini(&r);
	return code;
}

static int
run(const struct bench_opts *o, const struct bench_trace *trace, bench_watch *watch)
{
	struct bench_result r;
	int code;

	bench_run(o, trace, &interrupted, watch, stderr, &r);
	code = exit_code(&r);
	if (r.rc != 0)
		fprintf(stderr, "pannier bench: %s\n", r.fault);
	if (o->json)
		bench_report_json(stdout, o, &r);
	else if (r.rc == 0)
		bench_report_text(stdout, o, &r);
	bench_result_fini(&r);
	return code;
}

/* Where a daemon is that nobody named; as `pannier ping` finds it. */
static int
find_daemon(char *address, size_t size)
{
	struct config_listen to;
	struct config_error err;
	int rc = target_to_ask(NULL, &to, &err);

	if (rc != 0) {
		fprintf(stderr, "pannier bench: %s\n", err.text);
		return rc == -EINVAL ? EX_USAGE : EX_UNAVAILABLE;
	}
	if (to.is_unix)
		snprintf(address, size, "unix:%s", to.path);
	else
		snprintf(address, size, "tcp:%s:%u", to.host, to.port);
	config_listen_fini(&to);
	return EX_OK;
}

/* How many requests where the user did not say. */
static void
complete(struct bench_opts *o, const struct bench_trace *trace)
{
	if (o->requests != 0)
		return;
	if (o->seconds > 0)
		o->requests = UINT64_MAX;
	else if (trace->n > 0)
		o->requests = trace->n;
	else
		o->requests = o->herd != 0 ? 10 : BENCH_REQUESTS_DEFAULT;
}

static int
bench(struct bench_opts *o)
{
	bool watched = !o->quiet && (o->progress || isatty(STDERR_FILENO));
	bench_watch *watch = watched ? print_moment : NULL;
	struct bench_trace trace = { 0 };
	static char address[320]; /* o keeps it */
	char err[512];
	int code = EX_OK;

	if (o->socket == NULL) {
		code = find_daemon(address, sizeof address);
		o->socket = address;
	}
	if (code != EX_OK)
		return code;
	if (o->trace != NULL && bench_trace_load(o->trace, &trace, err, sizeof err) != 0) {
		fprintf(stderr, "pannier bench: %s\n", err);
		return EX_NOINPUT;
	}
	complete(o, &trace);
	catch_signals();
	if (o->fill)
		code = fill(o, &trace, watch);
	if (code == EX_OK && !atomic_load(&interrupted))
		code = run(o, &trace, watch);
	bench_trace_fini(&trace);
	return code;
}

int
bench_main(int argc, char **argv)
{
	struct bench_opts o;
	char err[512];

	switch (bench_opts_parse(argc, argv, &o, err, sizeof err)) {
	case BENCH_PARSED:
		return bench(&o);
	case BENCH_HELP:
		bench_opts_help(stdout);
		return EX_OK;
	case BENCH_WRONG:
		break;
	}
	fprintf(stderr, "pannier bench: %s\nTry 'pannier bench --help'.\n", err);
	return EX_USAGE;
}
