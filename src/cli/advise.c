/* pannier advise: INFO advice as a table with its curve, and as sentences. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/stats_view.h"
#include "server/advice.h"

enum { OPT_SOCKET, OPT_TIMEOUT, OPT_JSON, OPT_NAMESPACE, OPT_TARGET, OPT_WANT };

static const struct cli_option options[] = {
	CLIENT_OPTION_SOCKET,
	CLIENT_OPTION_TIMEOUT,
	{ "json", 'j', NULL, "All that INFO advice says, as one line of JSON." },
	{ "namespace", 'n', "NAME", "Of this namespace. Default: of all." },
	{ "target", 'T', "RATIO", "Also the least memory for this hit rate, 0.9 for example." },
	{ "want", 'w', "RATIO", "The same." },
};

static const struct cli cli = {
	.name = "advise",
	.usage = "[OPTION]...",
	.about = "Tells what more memory would buy, or less would cost: hit rates at other\n"
	         "limits, learnt from a sample of what a daemon was asked for.\n",
	.options = options,
	.n = ARRAY_LEN(options),
	.n_shown = ARRAY_LEN(options),
};

const struct cli *
advise_cli(void)
{
	return &cli;
}

struct advise_args {
	const char *socket, *namespace;
	int timeout_ms;
	bool json;
	double target; /* 0: none */
};

static int
target_parse(const char *option, const char *text, double *out)
{
	char *end;

	*out = strtod(text, &end);
	if (*text != '\0' && *end == '\0' && *out > 0 && *out < 1)
		return 0;
	return cli_usage_error(&cli, "--%s: \"%s\" is no hit rate above 0 and below 1", option,
	    text);
}

static int
parse(int argc, char **argv, struct advise_args *a)
{
	int i, rc = 0;

	while (rc == 0 && (i = cli_next(&cli, argc, argv)) != CLI_END) {
		if (i == CLI_HELP || i == CLI_WRONG)
			return i;
		if (i == OPT_SOCKET)
			a->socket = optarg;
		else if (i == OPT_JSON)
			a->json = true;
		else if (i == OPT_NAMESPACE)
			a->namespace = optarg;
		else if (i == OPT_TIMEOUT)
			rc = cli_duration(&cli, "timeout", optarg, &a->timeout_ms);
		else
			rc = target_parse(i == OPT_WANT ? "want" : "target", optarg, &a->target);
	}
	if (rc == 0)
		rc = cli_no_arguments(&cli, argc, argv);
	return rc == 0 ? CLI_END : CLI_WRONG;
}

/* --- what INFO said ------------------------------------------------------------------ */

static double
number(struct slice line, const char *name, double factor)
{
	char field[64], text[64];
	struct slice s;

	snprintf(field, sizeof field, "%s_x%g", name, factor);
	s = info_field(line, field);
	snprintf(text, sizeof text, "%.*s", (int)MIN(s.len, sizeof text - 1),
	    s.ptr != NULL ? s.ptr : "");
	return strtod(text, NULL);
}

static void
advice_read(const struct info_doc *d, struct slice line, struct advice *a)
{
	*a = (struct advice){ .has_origin = info_field_int(line, "origin") != 0 };
	a->curve.sampled = (double)info_field_int(line, "sampled");
	a->sample.keys_max = (uint32_t)info_doc_int(d, "Advice", "advice_keys_max");
	for (unsigned i = 0; i < ADVICE_POINTS; i++) {
		double factor = advice_factor(i);

		a->points[i] = (struct advice_point){
			.factor = factor,
			.memory_bytes = (uint64_t)number(line, "memory", factor),
			.hit_rate = number(line, "hit_rate", factor),
			.misses_saved = number(line, "misses_saved", factor),
			.origin_ms_saved = number(line, "origin_ms_saved", factor),
		};
		a->points[i].cache_bytes = a->points[i].memory_bytes;
	}
}

static void
policies_read(const struct info_doc *d, struct advice *a)
{
	for (unsigned p = 0; p < SIM_POLICIES; p++) {
		char key[64];
		struct slice line;

		if (slice_eq(info_doc_get(d, "Advice", "advice_eviction"),
		    slice_str(advice_policy_name(p))))
			a->eviction = (enum sim_policy)p;
		snprintf(key, sizeof key, "advice_policy_%s", advice_policy_name(p));
		line = info_doc_get(d, "Advice", key);
		for (unsigned i = 0; i < SIM_SIZES; i++) {
			double rate = number(line, "hit_rate", advice_size_factor(i));

			a->policies[p].hit_rate[i] = rate;
			a->policies[p].told[i] = rate > 0;
		}
	}
}

/* Empty: there is none of that name, or nothing is known of it. */
static struct slice
line_of(const struct info_doc *d, const char *namespace)
{
	char name[512];

	if (namespace == NULL)
		return info_doc_get(d, "Advice", "advice");
	for (unsigned i = 0; i < d->n; i++) {
		if (!slice_eq(d->lines[i].section, SLICE("Advice")) ||
		    !slice_has_prefix(d->lines[i].key, SLICE("advice_ns_")))
			continue;
		info_name(d->lines[i].key, "advice_ns_", name, sizeof name);
		if (strcmp(name, namespace) == 0)
			return d->lines[i].value;
	}
	return (struct slice){ NULL, 0 };
}

/* --- the page -------------------------------------------------------------------------- */

#define BAR 30

static void
print_point(const struct advice *a, const struct advice_point *p)
{
	static const char bar[BAR + 1] = "##############################";
	double saved = a->has_origin ? p->origin_ms_saved / 1e3 : p->misses_saved;
	char bytes[VIEW_TEXT], count[VIEW_TEXT];

	if (p->cache_bytes == 0)
		return;
	printf("%9s %6gx %9.3f %16s %9.3g  %.*s\n", view_bytes((int64_t)p->memory_bytes, bytes),
	    p->factor, p->hit_rate, view_count((int64_t)saved, count), advice_per_mib(a, p),
	    (int)(p->hit_rate * BAR + 0.5), bar);
}

/* Between two points the hit rate is taken to go straight. */
static void
print_target(const struct advice *a, double target)
{
	const struct advice_point *p = a->points, *low = NULL;
	char bytes[VIEW_TEXT];
	double memory;

	while (p < a->points + ADVICE_POINTS && (p->cache_bytes == 0 || p->hit_rate < target))
		low = p->cache_bytes != 0 ? p++ : (p++, NULL);
	if (p == a->points + ADVICE_POINTS) {
		printf("No memory up to %gx would reach a hit rate of %g.\n",
		    a->points[ADVICE_POINTS - 1].factor, target);
		return;
	}
	memory = (double)p->memory_bytes;
	if (low != NULL && p->hit_rate > low->hit_rate)
		memory -= (p->hit_rate - target) / (p->hit_rate - low->hit_rate) *
		    (double)(p->memory_bytes - low->memory_bytes);
	printf("A hit rate of %g wants %s%s of memory.\n", target, low == NULL ? "at most " : "",
	    view_bytes((int64_t)memory, bytes));
}

/* Rows of policies, columns of memory; nothing where nothing is known of them. */
static void
print_policies(const struct advice *a)
{
	bool known = false;

	for (unsigned i = 0; i < SIM_SIZES; i++)
		known |= a->policies[SIM_LRU].told[i];
	if (!known)
		return;
	printf("\n%-9s", "eviction");
	for (unsigned i = 0; i < SIM_SIZES; i++)
		printf(" %6gx", advice_size_factor(i));
	printf("\n");
	for (unsigned p = 0; p < SIM_POLICIES; p++) {
		printf("%-9s", advice_policy_name(p));
		for (unsigned i = 0; i < SIM_SIZES; i++) {
			if (a->policies[p].told[i])
				printf(" %7.3f", a->policies[p].hit_rate[i]);
			else
				printf(" %7s", "-");
		}
		printf("%s\n", a->eviction == p ? "  now" : "");
	}
}

static MUST_CHECK int
print_page(const struct advice *a, const struct advise_args *args)
{
	struct buf text;
	int rc;

	buf_init(&text);
	rc = advice_say(a, &text);
	if (rc == 0)
		printf("%.*s", (int)buf_len(&text), buf_slice(&text).ptr);
	buf_fini(&text);
	if (rc != 0 || a->curve.sampled < ADVICE_ENOUGH)
		return rc;
	if (args->target > 0)
		print_target(a, args->target);
	printf("\n%9s %7s %9s %16s %9s\n", "memory", "", "hit rate",
	    a->has_origin ? "saves s an hour" : "saves misses/h",
	    a->has_origin ? "ms a MiB" : "a MiB");
	for (unsigned i = 0; i < ADVICE_POINTS; i++)
		print_point(a, &a->points[i]);
	if (args->namespace == NULL)
		print_policies(a);
	return 0;
}

static MUST_CHECK int
show(const struct advise_args *args, struct slice text, struct config_error *err)
{
	struct info_doc d;
	struct advice a;
	int rc = info_doc_read(text, &d);
	struct slice line;

	line = rc == 0 ? line_of(&d, args->namespace) : (struct slice){ NULL, 0 };
	if (rc == 0 && args->json) {
		info_doc_json(&d, stdout);
	} else if (rc == 0 && args->namespace != NULL && line.len == 0) {
		snprintf(err->text, sizeof err->text, "nothing is known of a namespace \"%s\"; "
		    "pannier stats lists them", args->namespace);
		rc = -EPROTO;
	} else if (rc == 0) {
		advice_read(&d, line, &a);
		policies_read(&d, &a);
		rc = print_page(&a, args);
	}
	info_doc_fini(&d);
	if (rc == -ENOMEM)
		snprintf(err->text, sizeof err->text, "out of memory");
	return rc;
}

int
advise_main(int argc, char **argv)
{
	struct advise_args a = { .timeout_ms = CLIENT_TIMEOUT_MS };
	struct config_error err;
	struct client *c = NULL;
	struct buf text;
	int rc = parse(argc, argv, &a);

	if (rc != CLI_END)
		return rc == CLI_HELP ? EX_OK : EX_USAGE;
	buf_init(&text);
	rc = client_open_at(a.socket, a.timeout_ms, &c, &err);
	if (rc == 0)
		rc = client_info(c, "advice", &text, &err);
	if (rc == 0)
		rc = show(&a, buf_slice(&text), &err);
	if (rc != 0)
		cli_error(&cli, "%s", err.text);
	buf_fini(&text);
	client_close(c);
	return client_exit_code(rc);
}
