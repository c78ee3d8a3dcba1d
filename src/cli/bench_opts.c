#include "config.h"

#include "cli/bench_opts.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/parse.h"
#include "cli/commands.h"
#include "cli/options.h"

enum kind { TEXT, COUNT, REAL, FLAG, CHOICE, SIZES, SPAN, RATIO };

struct row {
	const char *group; /* a heading; the rest is then empty */
	const char *name;
	char letter;
	enum kind kind;
	size_t offset;
	const char *arg, *def, *help;
};

static const struct row rows[] = {
#define GROUP(title) { .group = (title) },
#define OPTION(field, long_name, short_name, type, argument, value, text) \
	{ .name = (long_name), .letter = (short_name), .kind = (type), .arg = (argument), \
	    .def = (value), .help = (text), .offset = offsetof(struct bench_opts, field) },
#include "cli/bench.def"
#undef OPTION
};

#define N_ROWS ((int)ARRAY_LEN(rows))
/* What getopt_long() answers for row i; beyond all letters. */
#define ROW_CODE 1000
#define HELP_CODE 999

/* Cuts s at the first sep; false: there is none. */
static bool
cut(struct slice s, const char *sep, struct slice *left, struct slice *right)
{
	const char *at = memmem(s.ptr, s.len, sep, strlen(sep));

	if (at == NULL)
		return false;
	*left = slice_of(s.ptr, (size_t)(at - s.ptr));
	*right = slice_skip(s, left->len + strlen(sep));
	return true;
}

int
bench_sizes_parse(struct slice s, struct bench_sizes *out)
{
	struct bench_sizes z = { BENCH_FIXED, 0, 0 };
	struct slice word, rest, low, high;
	int rc;

	if (!cut(s, ":", &word, &rest)) {
		rc = parse_bytes(s, &z.min);
		z.max = z.min;
	} else {
		if (slice_eq(word, SLICE("uniform")))
			z.kind = BENCH_SIZES_UNIFORM;
		else if (slice_eq(word, SLICE("loguniform")))
			z.kind = BENCH_LOGUNIFORM;
		else
			return -EINVAL;
		if (!cut(rest, "..", &low, &high))
			return -EINVAL;
		rc = parse_bytes(low, &z.min);
		if (rc == 0)
			rc = parse_bytes(high, &z.max);
	}
	if (rc != 0)
		return rc;
	if (z.min > z.max || z.max > BENCH_VALUE_MAX || (z.kind == BENCH_LOGUNIFORM && z.min == 0))
		return -ERANGE;
	*out = z;
	return 0;
}

int
bench_span_parse(struct slice s, struct bench_span *out)
{
	struct bench_span span;
	struct slice low = s, high = s;
	int rc;

	cut(s, "..", &low, &high);
	rc = parse_duration_ms(low, &span.min_ms);
	if (rc == 0)
		rc = parse_duration_ms(high, &span.max_ms);
	if (rc != 0)
		return rc;
	if (span.min_ms > span.max_ms)
		return -ERANGE;
	*out = span;
	return 0;
}

int
bench_ratio_parse(struct slice s, struct bench_ratio *out)
{
	struct slice get, set;
	uint64_t g, n;
	int rc;

	if (!cut(s, ":", &get, &set))
		return -EINVAL;
	rc = parse_u64(get, &g);
	if (rc == 0)
		rc = parse_u64(set, &n);
	if (rc != 0)
		return rc;
	if (g > 1000000 || n > 1000000 || g + n == 0)
		return -ERANGE;
	*out = (struct bench_ratio){ (uint32_t)g, (uint32_t)n };
	return 0;
}

static int
real_parse(const char *text, double *out)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if (end == text || *end != '\0' || !isfinite(v) || v < 0)
		return -EINVAL;
	*out = v;
	return errno == ERANGE ? -ERANGE : 0;
}

/* The index of text among "a|b|c". */
static int
choice_parse(const char *choices, struct slice text, int *out)
{
	struct slice rest = slice_str(choices), word;

	for (int i = 0;; i++) {
		bool more = cut(rest, "|", &word, &rest);

		if (slice_eq(more ? word : rest, text)) {
			*out = i;
			return 0;
		}
		if (!more)
			return -EINVAL;
	}
}

static int
row_set(const struct row *r, const char *text, struct bench_opts *o)
{
	void *field = (char *)o + r->offset;

	switch (r->kind) {
	case TEXT:
		*(const char **)field = text;
		return 0;
	case COUNT:
		return parse_u64(slice_str(text), field);
	case REAL:
		return real_parse(text, field);
	case FLAG:
		*(bool *)field = true;
		return 0;
	case CHOICE:
		return choice_parse(r->arg, slice_str(text), field);
	case SIZES:
		return bench_sizes_parse(slice_str(text), field);
	case SPAN:
		return bench_span_parse(slice_str(text), field);
	case RATIO:
		return bench_ratio_parse(slice_str(text), field);
	}
	return -EINVAL;
}

static int
defaults(struct bench_opts *o)
{
	*o = (struct bench_opts){ 0 };
	for (int i = 0; i < N_ROWS; i++)
		if (rows[i].def != NULL && row_set(&rows[i], rows[i].def, o) != 0)
			return -EINVAL;
	return 0;
}

static void
getopt_tables(struct option longs[], char *letters)
{
	int n = 0;

	*letters++ = ':';
	*letters++ = 'h';
	longs[n++] = (struct option){ "help", no_argument, NULL, HELP_CODE };
	for (int i = 0; i < N_ROWS; i++) {
		int wants = rows[i].kind == FLAG ? no_argument : required_argument;

		if (rows[i].name == NULL)
			continue;
		longs[n++] = (struct option){ rows[i].name, wants, NULL, ROW_CODE + i };
		if (rows[i].letter == 0)
			continue;
		*letters++ = rows[i].letter;
		if (wants == required_argument)
			*letters++ = ':';
	}
	longs[n] = (struct option){ 0 };
	*letters = '\0';
}

static const struct row *
row_of(int code)
{
	if (code >= ROW_CODE)
		return &rows[code - ROW_CODE];
	for (int i = 0; i < N_ROWS; i++)
		if (rows[i].letter != 0 && rows[i].letter == code)
			return &rows[i];
	return NULL;
}

static unsigned
digits_of(uint64_t n)
{
	unsigned digits = 1;

	while (n >= 10) {
		n /= 10;
		digits++;
	}
	return digits;
}

/* The largest key number that may come up. */
static uint64_t
largest_id(const struct bench_opts *o)
{
	uint64_t last = o->first_key + o->keyspace;

	if (o->trace != NULL || o->grow || o->pollute > 0 || o->herd != 0)
		last = MAX(last, o->first_key + UINT32_MAX);
	return last;
}

static const char *
check_keys(const struct bench_opts *o)
{
	if ((o->zipf > 0) + o->scan + o->grow + (o->trace != NULL) > 1)
		return "--zipf, --scan, --grow and --trace exclude each other";
	if (o->keyspace == 0 || o->keyspace > UINT32_MAX || o->first_key > UINT64_MAX / 2)
		return "--keyspace must be from 1 to 4294967295, --first-key below 2^63";
	if (o->zipf > 20)
		return "--zipf: a skew is about 1, and at most 20 here";
	if (o->pollute > 1)
		return "--pollute is a share, from 0 to 1";
	if (o->fill && o->trace != NULL)
		return "--fill needs --keyspace; with --trace use --cache-aside and --warmup";
	if (o->key_size > 250)
		return "--key-size: at most 250, which is memcached's limit";
	if (strpbrk(o->key_prefix, " \r\n\t") != NULL)
		return "--key-prefix must hold no spaces";
	if (o->key_size < strlen(o->key_prefix) + digits_of(largest_id(o)))
		return "--key-size leaves too few digits for the keys' numbers behind --key-prefix";
	return NULL;
}

static const char *
check_load(const struct bench_opts *o)
{
	if (o->clients == 0 || o->clients > 100000 || o->herd > 100000)
		return "--clients must be from 1 to 100000, --herd at most 100000";
	if (o->pipeline == 0 || o->pipeline > 10000)
		return "--pipeline must be from 1 to 10000";
	if (o->threads == 0 || o->threads > 256 || o->threads > o->clients)
		return "--threads must be from 1 to 256, and not above --clients";
	if (o->interval < 0.01 || o->timeout < 0.01)
		return "--interval and --timeout must be at least 0.01 seconds";
	if (o->rate > 1e9 || (o->rate > 0 && o->rate < 0.001))
		return "--rate must be from 0.001 to 1000000000";
	if (o->herd != 0 && (o->rate > 0 || o->cache_aside || o->trace != NULL))
		return "--herd goes with neither --rate nor --cache-aside nor --trace";
	if (o->expire_at != 0 && o->ttl.max_ms != 0)
		return "--ttl and --expire-at exclude each other";
	if (o->protocol == BENCH_MEMCACHE && o->ttl.max_ms > 30 * 86400000ll)
		return "--ttl: memcached takes more than 30 days for a point in time";
	if (o->cache_aside && o->grow)
		return "--cache-aside and --grow exclude each other";
	return NULL;
}

static enum bench_parsed
wrong(char *err, size_t err_size, const char *what, const char *name, const char *text)
{
	snprintf(err, err_size, "%s%s%s%s%s", what, name == NULL ? "" : " --",
	    name == NULL ? "" : name, text == NULL ? "" : ": ", text == NULL ? "" : text);
	return BENCH_WRONG;
}

enum bench_parsed
bench_opts_parse(int argc, char **argv, struct bench_opts *out, char *err, size_t err_size)
{
	struct option longs[N_ROWS + 2];
	char letters[2 * N_ROWS + 4];
	const char *bad;
	int code;

	getopt_tables(longs, letters);
	if (defaults(out) != 0)
		return wrong(err, err_size, "a default of bench.def is malformed", NULL, NULL);
	optind = 0; /* getopt's way to start anew */
	while ((code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		const struct row *r = row_of(code);

		if (code == 'h' || code == HELP_CODE)
			return BENCH_HELP;
		if (code == ':')
			return wrong(err, err_size, "a value is missing behind", NULL,
			    argv[optind - 1]);
		if (r == NULL)
			return wrong(err, err_size, "no such option", NULL, argv[optind - 1]);
		if (row_set(r, optarg, out) != 0)
			return wrong(err, err_size, "cannot take this value for", r->name, optarg);
	}
	if (optind < argc)
		return wrong(err, err_size, "no argument is expected here", NULL, argv[optind]);
	bad = check_load(out);
	if (bad == NULL)
		bad = check_keys(out);
	return bad == NULL ? BENCH_PARSED : wrong(err, err_size, bad, NULL, NULL);
}

/* Help in lines of at most 78 columns, indented. */
static void
print_wrapped(FILE *to, const char *text, int indent)
{
	int column = indent;

	while (*text != '\0') {
		int len = (int)strcspn(text, " ");

		if (column > indent && column + 1 + len > 78) {
			fprintf(to, "\n%*s", indent, "");
			column = indent;
		}
		column += fprintf(to, "%s%.*s", column > indent ? " " : "", len, text);
		text += len + (text[len] == ' ');
	}
	putc('\n', to);
}

void
bench_opts_help(FILE *to)
{
	fputs("Usage: pannier bench [OPTION]...\n"
	      "Puts load on a server and tells how it answered.\n", to);
	for (int i = 0; i < N_ROWS; i++) {
		const struct row *r = &rows[i];
		char name[64], text[512];

		if (r->group != NULL) {
			fprintf(to, "\n%s:\n", r->group);
			continue;
		}
		snprintf(name, sizeof name, "--%s%s%s", r->name, r->arg == NULL ? "" : " ",
		    r->arg == NULL ? "" : r->arg);
		snprintf(text, sizeof text,
		    r->def == NULL || strcmp(r->def, "0") == 0 ? "%s" : "%s [%s]", r->help, r->def);
		fprintf(to, "  %c%c%c %-28s ", r->letter ? '-' : ' ', r->letter ? r->letter : ' ',
		    r->letter ? ',' : ' ', name);
		print_wrapped(to, text, 35);
	}
	fputs("\nExit status: 0 all requests were answered rightly; 64 wrong usage; 66 the trace\n"
	      "cannot be read; 69 no connection; 76 an error or a wrong value was answered.\n", to);
}

/* --- for completion --------------------------------------------------------------------- */

/* With the defaults in their help, as those of other commands. */
const struct cli *
bench_cli(void)
{
	static struct cli_option options[N_ROWS];
	static char texts[N_ROWS][256];
	static struct cli cli = {
		.name = "bench",
		.usage = "[OPTION]...",
		.about = "Puts load on a server and tells how it answered.\n",
		.options = options,
	};

	cli.n = 0;
	for (int i = 0; i < N_ROWS; i++) {
		const struct row *r = &rows[i];
		bool has_default = r->def != NULL && strcmp(r->def, "0") != 0;

		if (r->name == NULL)
			continue;
		snprintf(texts[i], sizeof texts[i], "%s%s%s%s", r->help, has_default ? " [" : "",
		    has_default ? r->def : "", has_default ? "]" : "");
		options[cli.n++] = (struct cli_option){ r->name, r->letter, r->arg, texts[i] };
	}
	return &cli;
}
