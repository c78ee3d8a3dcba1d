#include "config.h"

#include "cli/demo.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cli/commands.h"
#include "cli/demo_parts.h"
#include "cli/demo_show.h"
#include "cli/options.h"

#define LATENCY_MAX_MS 60000
#define SECONDS_MAX 86400
#define HERD_MAX 8000 /* the sidecar takes 10,000 clients */
/* Descriptors besides the clients': the origin's, both backends', the loops'. */
#define OTHER_FDS 1300

enum { OPT_SOCKET, OPT_LATENCY, OPT_SECONDS, OPT_HERD, OPT_NO_STAY };

static const struct cli_option options[] = {
	{ "socket", 's', "PATH",
	    "Unix socket of the sidecar. [$XDG_RUNTIME_DIR/pannier-demo.sock, or in /tmp]" },
	{ "latency", 'l', "DURATION", "Median time that the backend takes for an answer. [40ms]" },
	{ "seconds", 'n', "N", "Length of the everyday traffic. [8]" },
	{ "herd", 0, "N", "Connections that ask for one key at once. [1000]" },
	{ "no-stay", 0, NULL, "End after the show." },
};

static const struct cli cli = {
	.name = "demo",
	.usage = "[OPTION]...",
	.about = "Starts a slow HTTP backend and a sidecar in front of it, sends traffic, shows\n"
	         "what happens, and stays up to be tried with redis-cli until Ctrl-C.\n",
	.options = options,
	.n = ARRAY_LEN(options),
	.n_shown = ARRAY_LEN(options),
};

const struct cli *
demo_cli(void)
{
	return &cli;
}

/* --- options ------------------------------------------------------------------------ */

static void
default_socket(char *out, size_t size)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	if (dir == NULL || dir[0] != '/' || access(dir, W_OK | X_OK) != 0)
		dir = "/tmp";
	snprintf(out, size, "%s/pannier-demo.sock", dir);
}

static int
parse_count(const char *option, const char *text, unsigned max, unsigned *out)
{
	uint64_t n;

	if (parse_u64(slice_str(text), &n) != 0 || n < 1 || n > max)
		return cli_usage_error(&cli, "--%s: \"%s\" is no number from 1 to %u", option,
		    text, max);
	*out = (unsigned)n;
	return 0;
}

static int
parse_latency(const char *text, unsigned *out)
{
	int ms, rc = cli_duration(&cli, "latency", text, &ms);

	if (rc == 0 && ms > LATENCY_MAX_MS)
		return cli_usage_error(&cli, "--latency: \"%s\" is more than 1m", text);
	if (rc == 0)
		*out = (unsigned)ms;
	return rc;
}

static int
apply_option(struct demo_opts *o, int i)
{
	switch (i) {
	case OPT_SOCKET:
		if (strlen(optarg) >= sizeof o->socket || optarg[0] == '\0')
			return cli_usage_error(&cli, "--socket wants a path of 1 to 107 bytes");
		snprintf(o->socket, sizeof o->socket, "%s", optarg);
		return 0;
	case OPT_LATENCY:
		return parse_latency(optarg, &o->latency_ms);
	case OPT_SECONDS:
		return parse_count("seconds", optarg, SECONDS_MAX, &o->seconds);
	case OPT_HERD:
		return parse_count("herd", optarg, HERD_MAX, &o->herd);
	case OPT_NO_STAY:
		o->stay = false;
		return 0;
	}
	return EX_SOFTWARE; /* a row without a case */
}

/* CLI_END, CLI_WRONG or CLI_HELP. */
static int
parse_options(int argc, char **argv, struct demo_opts *o)
{
	int i, rc = 0;

	while (rc == 0 && (i = cli_next(&cli, argc, argv)) != CLI_END) {
		if (i == CLI_HELP || i == CLI_WRONG)
			return i;
		rc = apply_option(o, i);
	}
	if (rc == 0)
		rc = cli_no_arguments(&cli, argc, argv);
	return rc == 0 ? CLI_END : CLI_WRONG;
}

/* --- the show ----------------------------------------------------------------------- */

/* Both ends of every connection live in this process. */
static int
raise_descriptors(const struct demo_opts *o, char *err, size_t err_size)
{
	rlim_t need = (rlim_t)2 * MAX(o->herd, DEMO_CONNS) + OTHER_FDS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return -errno;
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < need) {
		limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? need : MIN(need, limit.rlim_max);
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur >= need)
		return 0;
	snprintf(err, err_size, "%u connections need %llu descriptors, the limit is %llu; "
	    "raise it (ulimit -Hn) or use a smaller --herd", o->herd, (unsigned long long)need,
	    (unsigned long long)limit.rlim_max);
	return -EMFILE;
}

int
demo_figures(struct demo *d, struct demo_figures *out)
{
	int rc = demo_conn_info(&d->control, "namespaces", &d->info);
	struct slice info = buf_slice(&d->info);

	if (rc != 0)
		return rc;
	out->hits = demo_info_field(info, "ns_" DEMO_NAMESPACE, "hits");
	out->misses = demo_info_field(info, "ns_" DEMO_NAMESPACE, "misses");
	out->coalesced = demo_info_field(info, "ns_" DEMO_NAMESPACE, "coalesced");
	out->backend_requests = backend_requests(d->backend);
	return out->hits < 0 || out->misses < 0 || out->coalesced < 0 ? -EPROTO : 0;
}

static int
start_backends(struct demo *d, char *err, size_t err_size)
{
	const struct backend_opts o = { .latency_ms = d->opts->latency_ms,
		.value_bytes = DEMO_VALUE_BYTES, .max_age_s = -1, .threads = 1 };
	int rc = backend_start(&o, &d->backend, err, err_size);

	return rc == 0 ? backend_start(&o, &d->twin, err, err_size) : rc;
}

static void
show_scene(struct demo *d, struct slice yaml)
{
	show_title("pannier demo");
	show_line("  application --unix socket--> pannier --HTTP--> backend, %u ms an answer",
	    d->opts->latency_ms);
	show_gap();
	while (yaml.len != 0) {
		const char *end = memchr(yaml.ptr, '\n', yaml.len);
		size_t len = (size_t)(end - yaml.ptr);

		show_line("    %.*s", (int)len, yaml.ptr);
		yaml = slice_skip(yaml, len + 1);
	}
}

/* The sidecar's own handlers take the place of this one when it runs. */
static volatile sig_atomic_t interrupted;

static void
on_early_signal(int signum UNUSED)
{
	interrupted = 1;
}

/* Its first answer says that it runs, and from when on it sees signals. */
static int
first_answer(struct demo *d, char *err, size_t err_size)
{
	struct demo_figures figures;
	int rc = demo_conn_open(&d->control, d->opts->socket);

	if (rc == 0)
		rc = demo_figures(d, &figures);
	if (rc != 0)
		snprintf(err, err_size, "no answer from %s: %s", d->opts->socket, strerror(-rc));
	return rc == 0 && interrupted ? -EINTR : rc;
}

static int
start_sidecar(struct demo *d, char *err, size_t err_size)
{
	struct buf yaml;
	int rc;

	buf_init(&yaml);
	rc = sidecar_config(d->opts, backend_port(d->backend), &yaml);
	if (rc == 0)
		rc = sidecar_start(buf_slice(&yaml), &d->sidecar, err, err_size);
	if (rc == 0) {
		show_scene(d, buf_slice(&yaml));
		rc = first_answer(d, err, err_size);
	}
	buf_fini(&yaml);
	return rc;
}

static void
show_invitation(const struct demo *d)
{
	char word[2 * sizeof d->opts->socket];
	const char *path = show_shell_word(word, sizeof word, d->opts->socket);

	show_title("It stays up. Try, in another terminal");
	show_line("  redis-cli -s %s GET user:42       # slow; again within " DEMO_TTL ": quick",
	    path);
	show_line("  redis-cli -s %s PTTL user:42      # milliseconds that it lives", path);
	show_line("  redis-cli -s %s GET user:missing  # the backend has none: nil", path);
	show_line("  redis-cli -s %s SET mine 1 EX 60  # a plain cache for all other keys", path);
	show_line("  redis-cli -s %s INFO namespaces   # hit rates, fetches, coalesced", path);
	show_line("  redis-cli -s %s --stat            # live figures", path);
	show_gap();
	show_line("Ctrl-C ends it.");
}

static int
run_show(struct demo *d, char *err, size_t err_size)
{
	int rc = raise_descriptors(d->opts, err, err_size);

	if (rc == 0)
		rc = start_backends(d, err, err_size);
	if (rc == 0)
		rc = start_sidecar(d, err, err_size);
	if (rc == 0)
		rc = demo_herd(d, err, err_size);
	if (rc == 0)
		rc = demo_stream(d, err, err_size);
	if (rc == 0 && d->opts->stay) {
		show_invitation(d);
		sidecar_wait(d->sidecar, INT64_MAX);
	}
	return rc;
}

/* Ctrl-C ends the sidecar first, which breaks off whatever part was on: that
 * is no failure. */
static int
end_show(struct demo *d, int rc)
{
	if (d->sidecar != NULL && rc != 0 &&
	    (interrupted || sidecar_wait(d->sidecar, clock_mono_us() + 1000000)))
		rc = 0;
	demo_conn_close(&d->control);
	buf_fini(&d->info);
	if (d->sidecar != NULL) {
		int ended = sidecar_end(d->sidecar);

		rc = rc == 0 ? ended : rc;
	}
	backend_stop(d->twin);
	backend_stop(d->backend);
	show_break();
	return rc;
}

int
demo_main(int argc, char **argv)
{
	struct demo_opts o = { .latency_ms = 40, .seconds = 8, .herd = 1000, .stay = true };
	struct demo d = { .opts = &o, .control = { .fd = -1 } };
	char err[768] = "";
	int rc;

	default_socket(o.socket, sizeof o.socket);
	rc = parse_options(argc, argv, &o);
	if (rc != CLI_END)
		return rc == CLI_HELP ? EX_OK : EX_USAGE;
	signal(SIGINT, on_early_signal);
	signal(SIGTERM, on_early_signal);
	show_init();
	buf_init(&d.info);
	rc = end_show(&d, run_show(&d, err, sizeof err));
	if (rc == 0)
		return EX_OK;
	cli_error(&cli, "%s", err[0] != '\0' ? err : strerror(-rc));
	if (rc == -EMFILE)
		return EX_OSERR;
	return rc == -ENOTSUP || rc == -EADDRINUSE ? EX_UNAVAILABLE : EX_SOFTWARE;
}
