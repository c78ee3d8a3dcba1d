/* pannier top: asks again and again, and shows what changed, on a terminal, as text or
 * as JSON. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/target.h"
#include "cli/top_feed.h"
#include "cli/top_screen.h"
#include "cli/top_ui.h"

#define RETRY_US 1000000 /* at the latest, while the daemon is away */

enum { OPT_SOCKET, OPT_TIMEOUT, OPT_INTERVAL, OPT_ONCE, OPT_JSON, OPT_SINCE_START, OPT_ASCII };

static const struct cli_option options[] = {
	CLIENT_OPTION_SOCKET,
	CLIENT_OPTION_TIMEOUT,
	{ "interval", 'i', "DURATION", "From one sample to the next: 100ms to 1h. [1s]" },
	{ "once", 'o', NULL, "Print one interval as text, and end." },
	{ "json", 'j', NULL, "Print each interval as one line of JSON." },
	{ "since-start", 0, NULL, "With --once: all since the daemon started, at once." },
	{ "ascii", 0, NULL, "Draw bars without Unicode." },
};

static const struct cli cli = {
	.name = "top",
	.usage = "[OPTION]...",
	.about = "Shows what a daemon does, live: hit rates, namespaces, origins, latency, memory\n"
	         "against its limit. Press h for its keys, q to quit. NO_COLOR is respected.\n",
	.options = options,
	.n = ARRAY_LEN(options),
	.n_shown = ARRAY_LEN(options),
};

const struct cli *
top_cli(void)
{
	return &cli;
}

struct top {
	const char *socket;
	int timeout_ms;
	bool once, json, since_start, ascii;
	struct top_ui ui;
	struct top_feed *feed;
	struct top_screen *screen; /* NULL: none is wanted */
	struct top_sample last, shown; /* as they are; what changed since the one before */
	bool has_last, has_shown, done;
	char trouble[sizeof ((struct config_error *)0)->text]; /* "": there is none */
	int64_t next_us; /* when to ask again */
	struct page page, foot;
	unsigned stays; /* lines of the page's head */
};

static volatile sig_atomic_t stopped;

/* --- options ---------------------------------------------------------------------------- */

static MUST_CHECK int
parse_interval(struct top *t)
{
	int rc = cli_duration(&cli, "interval", optarg, &t->ui.interval_ms);

	if (rc == 0 && (t->ui.interval_ms < TOP_INTERVAL_MIN_MS ||
	    t->ui.interval_ms > TOP_INTERVAL_MAX_MS))
		return cli_usage_error(&cli, "--interval: \"%s\" is not from 100ms to 1h", optarg);
	return rc;
}

static MUST_CHECK int
apply(struct top *t, int option)
{
	switch (option) {
	case OPT_SOCKET:
		t->socket = optarg;
		return 0;
	case OPT_TIMEOUT:
		return cli_duration(&cli, "timeout", optarg, &t->timeout_ms);
	case OPT_INTERVAL:
		return parse_interval(t);
	case OPT_ONCE:
		t->once = true;
		return 0;
	case OPT_JSON:
		t->json = true;
		return 0;
	case OPT_SINCE_START:
		t->since_start = true;
		return 0;
	default:
		t->ascii = true;
		return 0;
	}
}

static int
parse(int argc, char **argv, struct top *t)
{
	int i, rc = 0;

	while (rc == 0 && (i = cli_next(&cli, argc, argv)) != CLI_END) {
		if (i == CLI_HELP || i == CLI_WRONG)
			return i;
		rc = apply(t, i);
	}
	if (rc == 0)
		rc = cli_no_arguments(&cli, argc, argv);
	if (rc == 0 && t->since_start && !t->once)
		rc = cli_usage_error(&cli, "--since-start goes with --once");
	if (rc == 0 && !t->once && !t->json && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)))
		rc = cli_usage_error(&cli, "this is no terminal; use --once or --json");
	return rc == 0 ? CLI_END : CLI_WRONG;
}

/* --- samples ---------------------------------------------------------------------------- */

static void
print_shown(struct top *t)
{
	const char *from = top_feed_name(t->feed);

	if (t->json) {
		top_json(&t->shown, from, clock_wall_ms(), stdout);
	} else if (t->once) {
		top_view_all(&t->ui, &t->shown, from, &t->page);
		for (unsigned i = 0; i < t->page.n; i++)
			printf("%.*s\n", (int)t->page.lines[i].len, page_text(&t->page, i).ptr);
	}
	t->done = t->once || fflush(stdout) != 0;
}

/* A screen has something to show at once; others wait for the first interval. */
static MUST_CHECK int
take_sample(struct top *t, struct top_sample *s, struct config_error *err)
{
	bool wanted = t->has_last || t->screen != NULL || t->since_start;
	struct top_sample diff = { 0 };
	int rc = wanted ? top_sample_diff(t->has_last ? &t->last : NULL, s, &diff) : 0;

	top_sample_fini(&t->last);
	t->last = *s;
	t->has_last = true;
	t->trouble[0] = '\0';
	if (!wanted)
		return 0;
	if (rc != 0) {
		top_sample_fini(&diff);
		snprintf(err->text, sizeof err->text, "out of memory");
		return rc;
	}
	top_sample_fini(&t->shown);
	t->shown = diff;
	t->has_shown = true;
	top_ui_remember(&t->ui, &t->shown);
	if (t->screen == NULL)
		print_shown(t);
	return 0;
}

/* Who never answered is told at once; who went away may come back. */
static MUST_CHECK int
take_trouble(struct top *t, int rc, const struct config_error *err, int64_t now_us)
{
	if (!t->has_last || t->once)
		return rc;
	snprintf(t->trouble, sizeof t->trouble, "%s", err->text);
	t->next_us = now_us + MIN((int64_t)t->ui.interval_ms * 1000, RETRY_US);
	if (t->screen == NULL) {
		top_json_trouble(t->trouble, top_feed_name(t->feed), clock_wall_ms(), stdout);
		t->done = fflush(stdout) != 0;
	}
	return 0;
}

/* Asks when it is time, and takes what came. 0, or what ends the program. */
static MUST_CHECK int
turn(struct top *t, struct config_error *err)
{
	int64_t now_us = clock_mono_us();
	struct top_sample s;
	int rc;

	if (!t->ui.paused && !top_feed_is_asking(t->feed) && now_us >= t->next_us) {
		t->next_us = now_us + (int64_t)t->ui.interval_ms * 1000;
		top_feed_ask(t->feed, now_us);
	}
	rc = top_feed_step(t->feed, now_us, &s, err);
	if (rc > 0)
		return take_sample(t, &s, err);
	return rc == 0 ? 0 : take_trouble(t, rc, err, now_us);
}

/* --- the screen --------------------------------------------------------------------------- */

static void
draw(struct top *t)
{
	t->page.width = t->foot.width = top_screen_width(t->screen);
	page_clear(&t->page);
	page_clear(&t->foot);
	t->stays = top_view(&t->ui, t->has_shown ? &t->shown : NULL, top_feed_name(t->feed),
	    &t->page);
	top_view_foot(&t->ui, t->trouble[0] != '\0' ? t->trouble : NULL, &t->foot);
	top_screen_draw(t->screen, &t->page, t->stays, &t->ui.scroll, &t->foot);
}

static void
take_keys(struct top *t)
{
	int key, interval_ms = t->ui.interval_ms;

	while ((key = top_screen_key(t->screen)) >= 0)
		top_ui_key(&t->ui, key, top_screen_body(t->screen, t->stays));
	if (t->ui.interval_ms != interval_ms)
		t->next_us = clock_mono_us() + (int64_t)t->ui.interval_ms * 1000;
	t->done |= t->ui.quit;
}

/* --- waiting ------------------------------------------------------------------------------ */

static void
on_stop(int signum)
{
	(void)signum;
	stopped = 1;
}

static const int stop_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

/* They come only while we wait; *waiting is the mask of that. */
static void
set_signals(sigset_t *waiting)
{
	struct sigaction a = { .sa_handler = on_stop };
	sigset_t held;

	sigemptyset(&held);
	sigaddset(&held, SIGWINCH);
	for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++) {
		sigaction(stop_signals[i], &a, NULL);
		sigaddset(&held, stop_signals[i]);
	}
	sigprocmask(SIG_BLOCK, &held, waiting);
	sigdelset(waiting, SIGWINCH);
	for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++)
		sigdelset(waiting, stop_signals[i]);
}

/* For a reply, a key, the next sample or a signal. */
static void
wait_for_something(struct top *t, const sigset_t *waiting)
{
	struct pollfd p[] = {
		{ .fd = top_feed_fd(t->feed), .events = top_feed_events(t->feed) },
		{ .fd = t->screen != NULL ? STDIN_FILENO : -1, .events = POLLIN },
	};
	int64_t until_us = top_feed_until_us(t->feed), left_us;
	struct timespec left, *timeout = &left;

	if (!t->ui.paused && !top_feed_is_asking(t->feed))
		until_us = MIN(until_us, t->next_us);
	if (until_us == INT64_MAX)
		timeout = NULL;
	left_us = timeout != NULL ? MAX(until_us - clock_mono_us(), 0) : 0;
	left = (struct timespec){ left_us / 1000000, left_us % 1000000 * 1000 };
	ppoll(p, ARRAY_LEN(p), timeout, waiting);
	if ((p[1].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0)
		t->done = true; /* the terminal is gone */
}

static MUST_CHECK int
run(struct top *t, struct config_error *err)
{
	sigset_t waiting;
	int rc = 0;

	set_signals(&waiting);
	if (!t->once && !t->json) {
		const char *no_color = getenv("NO_COLOR");

		rc = top_screen_open(no_color == NULL || *no_color == '\0', &t->screen, err->text,
		    sizeof err->text);
	}
	while (rc == 0 && !t->done && !stopped) {
		rc = turn(t, err);
		if (t->screen != NULL)
			draw(t);
		if (rc == 0 && !t->done)
			wait_for_something(t, &waiting);
		if (t->screen != NULL)
			take_keys(t);
	}
	top_screen_close(t->screen);
	return rc;
}

/* --- the program --------------------------------------------------------------------------- */

static MUST_CHECK int
open_and_run(struct top *t, struct config_error *err)
{
	struct config_listen to;
	bool utf8;
	int rc = target_to_ask(t->socket, &to, err);

	setlocale(LC_CTYPE, "");
	utf8 = !t->ascii && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	page_init(&t->page, 0, utf8);
	page_init(&t->foot, 0, utf8);
	if (rc == 0)
		rc = top_feed_new(&to, t->timeout_ms, &t->feed, err);
	if (rc == 0)
		rc = run(t, err);
	top_feed_free(t->feed);
	top_sample_fini(&t->last);
	top_sample_fini(&t->shown);
	page_fini(&t->page);
	page_fini(&t->foot);
	config_listen_fini(&to);
	return rc;
}

int
top_main(int argc, char **argv)
{
	struct top t = { .timeout_ms = CLIENT_TIMEOUT_MS };
	struct config_error err;
	int rc;

	top_ui_init(&t.ui, 1000);
	rc = parse(argc, argv, &t);
	if (rc != CLI_END)
		return rc == CLI_HELP ? EX_OK : EX_USAGE;
	rc = open_and_run(&t, &err);
	if (rc != 0)
		cli_error(&cli, "%s", err.text);
	return rc == -ENOTTY || rc == -ENOENT ? EX_UNAVAILABLE : client_exit_code(rc);
}
