#include "config.h"

#include "cli/bench_report.h"

#include "base/parse.h"

static double
per_second(int64_t n, double seconds)
{
	return seconds > 0 ? (double)n / seconds : 0;
}

static double
percent(int64_t part, int64_t all)
{
	return all > 0 ? 100.0 * (double)part / (double)all : 0;
}

/* --- for people ------------------------------------------------------------ */

static void
print_keys(FILE *to, const struct bench_opts *o)
{
	unsigned long long n = o->keyspace;

	if (o->trace != NULL)
		fprintf(to, "keys of %s", o->trace);
	else if (o->scan)
		fprintf(to, "%llu keys in sequence", n);
	else if (o->grow)
		fprintf(to, "new keys and the newest %llu", n);
	else if (o->zipf > 0)
		fprintf(to, "%llu keys, Zipf %g", n, o->zipf);
	else
		fprintf(to, "%llu keys", n);
	if (o->pollute > 0)
		fprintf(to, ", %g %% of them new", 100 * o->pollute);
}

static void
print_load(FILE *to, const struct bench_opts *o)
{
	if (o->herd != 0) {
		fprintf(to, "herds of %llu on one cold key", (unsigned long long)o->herd);
		return;
	}
	fprintf(to, "%llu connections, pipeline %llu", (unsigned long long)o->clients,
	    (unsigned long long)o->pipeline);
	if (o->rate > 0)
		fprintf(to, ", %g requests a second", o->rate);
	if (o->cache_aside)
		fputs(", cache-aside, ", to);
	else
		fprintf(to, ", GET:SET %u:%u, ", o->ratio.get, o->ratio.set);
	print_keys(to, o);
}

static void
print_latency(FILE *to, const char *name, const struct histogram_sum *s)
{
	if (s->count == 0)
		return;
	fprintf(to, "%-12s %9.1f %8lld %8lld %8lld %8lld %8lld\n", name, histogram_mean(s),
	    (long long)histogram_quantile(s, 0.5), (long long)histogram_quantile(s, 0.9),
	    (long long)histogram_quantile(s, 0.99), (long long)histogram_quantile(s, 0.999),
	    (long long)histogram_max(s));
}

static void
print_herds(FILE *to, const struct bench_result *r)
{
	fprintf(to, "herds        %llu; loads %lld, in the mean %.2f a herd, at most %lld\n",
	    (unsigned long long)r->herds, (long long)r->loads,
	    r->herds > 0 ? (double)r->loads / (double)r->herds : 0, (long long)r->loads_max);
}

void
bench_report_text(FILE *to, const struct bench_opts *o, const struct bench_result *r)
{
	int64_t n = r->gets + r->sets;

	fprintf(to, "%s: ", o->socket);
	print_load(to, o);
	fprintf(to, "\n\nrequests     %lld in %.3f s, %.0f a second\n", (long long)n, r->seconds,
	    per_second(n, r->seconds));
	fprintf(to, "GET, SET     %lld, %lld; %.2f %% of the GETs found a value\n",
	    (long long)r->gets, (long long)r->sets, percent(r->hits, r->gets));
	if (o->herd != 0)
		print_herds(to, r);
	if (r->unsent > 0)
		fprintf(to, "unsent       %llu: no connection had room when they were due\n",
		    (unsigned long long)r->unsent);
	fputs("latency, us       mean      50%      90%      99%    99.9%      max\n", to);
	print_latency(to, "GET", &r->get_us);
	print_latency(to, "SET", &r->set_us);
	if (o->verify)
		fprintf(to, "wrong values %lld\n", (long long)r->wrong);
	if (r->errors > 0)
		fprintf(to, "errors       %lld\n", (long long)r->errors);
	if (r->fault[0] != '\0')
		fprintf(to, "the first fault: %s\n", r->fault);
}

void
bench_report_moment(FILE *to, const struct bench_moment *m)
{
	fprintf(to, "%7.1f s  %9.0f/s  hits %5.1f %%  latency us: 50%% %lld  99%% %lld  max %lld\n",
	    m->at_s, per_second(m->ops, m->seconds), percent(m->hits, m->gets),
	    (long long)m->p50_us, (long long)m->p99_us, (long long)m->max_us);
}

/* --- for programs -------------------------------------------------------------- */

static void
json_text(FILE *to, const char *s)
{
	if (s == NULL) {
		fputs("null", to);
		return;
	}
	putc('"', to);
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			/* An error may quote any bytes: read as Latin-1, it stays JSON. */
			fprintf(to, "\\u%04x", c);
		else
			putc(c, to);
	}
	putc('"', to);
}

static void
json_TEXT(FILE *to, const char *v)
{
	json_text(to, v);
}

static void
json_COUNT(FILE *to, uint64_t v)
{
	/* What has no bound has no number that every reader could hold. */
	if (v == UINT64_MAX)
		fputs("null", to);
	else
		fprintf(to, "%llu", (unsigned long long)v);
}

static void
json_REAL(FILE *to, double v)
{
	fprintf(to, "%.9g", v);
}

static void
json_FLAG(FILE *to, bool v)
{
	fputs(v ? "true" : "false", to);
}

static void
json_CHOICE(FILE *to, int v)
{
	fprintf(to, "%d", v);
}

static void
json_SIZES(FILE *to, struct bench_sizes v)
{
	static const char *const kinds[] = { "fixed", "uniform", "loguniform" };

	fprintf(to, "{\"kind\":\"%s\",\"min\":%llu,\"max\":%llu}", kinds[v.kind],
	    (unsigned long long)v.min, (unsigned long long)v.max);
}

static void
json_SPAN(FILE *to, struct bench_span v)
{
	fprintf(to, "{\"min_ms\":%lld,\"max_ms\":%lld}", (long long)v.min_ms, (long long)v.max_ms);
}

static void
json_RATIO(FILE *to, struct bench_ratio v)
{
	fprintf(to, "{\"get\":%u,\"set\":%u}", v.get, v.set);
}

static void
json_options(FILE *to, const struct bench_opts *o)
{
	const char *comma = "";

#define OPTION(name, long_name, letter, kind, arg, def, help) \
	fprintf(to, "%s\"" long_name "\":", comma); \
	json_##kind(to, o->name); \
	comma = ",";
#include "cli/bench.def"
#undef OPTION
}

/* Five shares for each halving of what is left to 1, up to one in 10 million
 * or the last value. */
static void
json_curve(FILE *to, const struct histogram_sum *s)
{
	double left = 1, step;
	const char *comma = "";

	for (; s->count > 0 && left > 1e-7 && left * (double)s->count > 1; left /= 2) {
		step = left / 10;
		for (int i = 0; i < 5; i++) {
			double q = 1 - left + i * step;

			fprintf(to, "%s[%.9g,%lld]", comma, q, (long long)histogram_quantile(s, q));
			comma = ",";
		}
	}
	if (s->count > 0)
		fprintf(to, "%s[1,%lld]", comma, (long long)histogram_max(s));
}

static void
json_latency(FILE *to, const char *name, const struct histogram_sum *s)
{
	fprintf(to, "\"%s\":{\"count\":%lld,\"mean\":%.3f,\"p50\":%lld,\"p90\":%lld,\"p99\":%lld,"
		    "\"p999\":%lld,\"p9999\":%lld,\"max\":%lld,\"curve\":[",
	    name, (long long)s->count, histogram_mean(s), (long long)histogram_quantile(s, 0.5),
	    (long long)histogram_quantile(s, 0.9), (long long)histogram_quantile(s, 0.99),
	    (long long)histogram_quantile(s, 0.999), (long long)histogram_quantile(s, 0.9999),
	    (long long)histogram_max(s));
	json_curve(to, s);
	fputs("]}", to);
}

static void
json_moments(FILE *to, const struct bench_result *r)
{
	for (unsigned i = 0; i < r->n_moments; i++) {
		const struct bench_moment *m = &r->moments[i];

		fprintf(to, "%s{\"at_s\":%.6f,\"seconds\":%.6f,\"ops\":%lld,\"gets\":%lld,"
			    "\"hits\":%lld,\"p50_us\":%lld,\"p99_us\":%lld,\"max_us\":%lld}",
		    i == 0 ? "" : ",", m->at_s, m->seconds, (long long)m->ops, (long long)m->gets,
		    (long long)m->hits, (long long)m->p50_us, (long long)m->p99_us,
		    (long long)m->max_us);
	}
}

void
bench_report_json(FILE *to, const struct bench_opts *o, const struct bench_result *r)
{
	int64_t n = r->gets + r->sets;

	fputs("{\"options\":{", to);
	json_options(to, o);
	fprintf(to, "},\"seconds\":%.6f,\"requests\":%lld,\"per_second\":%.3f,\"hit_ratio\":%.6f",
	    r->seconds, (long long)n, per_second(n, r->seconds), percent(r->hits, r->gets) / 100);
#define X(name) fprintf(to, ",\"" #name "\":%lld", (long long)r->name);
	BENCH_TALLY(X)
#undef X
	fprintf(to, ",\"unsent\":%llu,\"herds\":%llu,\"loads\":%lld,\"loads_max\":%lld,",
	    (unsigned long long)r->unsent, (unsigned long long)r->herds, (long long)r->loads,
	    (long long)r->loads_max);
	fputs("\"latency_us\":{", to);
	json_latency(to, "all", &r->all_us);
	putc(',', to);
	json_latency(to, "get", &r->get_us);
	putc(',', to);
	json_latency(to, "set", &r->set_us);
	fputs("},\"timeline\":[", to);
	json_moments(to, r);
	fputs("],\"fault\":", to);
	json_text(to, r->fault[0] == '\0' ? NULL : r->fault);
	fputs("}\n", to);
}
