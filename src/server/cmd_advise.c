/* PANNIER.ADVISE: what another limit of memory would do (advice.h); INFO advice is the
 * same in its own form. */
#include "config.h"

#include "server/call.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "server/advice.h"
#include "server/door.h"
#include "server/info_text.h"
#include "server/server.h"
#include "server/session.h"

/* --- the command --------------------------------------------------------------------- */

struct asked {
	unsigned ns;
	struct slice name;
	bool has_target;
	double target;
};

static bool
target_parse(struct call *c, struct slice text, struct asked *a)
{
	char copy[32], *end;

	if (text.len != 0 && text.len < sizeof copy) {
		memcpy(copy, text.ptr, text.len);
		copy[text.len] = '\0';
		a->target = strtod(copy, &end);
		a->has_target = *end == '\0' && a->target > 0 && a->target < 1;
	}
	if (!a->has_target)
		reply_error(c->reply, "ERR TARGET is a hit rate above 0 and below 1, 0.9 for "
		    "example");
	return a->has_target;
}

static bool
parse(struct call *c, struct asked *a)
{
	bool named = c->argc % 2 == 0;
	uint32_t at = named ? 2 : 1;

	if (named && !call_namespace(c, c->argv[1], &a->ns))
		return false;
	if (named)
		a->name = c->argv[1];
	if (c->argc == at)
		return true;
	if (c->argc == at + 2 && slice_caseeq(c->argv[at], SLICE("target")))
		return target_parse(c, c->argv[at + 1], a);
	call_syntax_error(c);
	return false;
}

static void
reply_points(struct reply *r, const struct advice *a)
{
	reply_array(r, ADVICE_POINTS);
	for (unsigned i = 0; i < ADVICE_POINTS; i++) {
		const struct advice_point *p = &a->points[i];

		reply_array(r, 6);
		reply_double(r, p->factor);
		reply_int(r, (int64_t)p->memory_bytes);
		if (p->cache_bytes != 0)
			reply_double(r, p->hit_rate);
		else
			reply_nil(r);
		reply_int(r, (int64_t)p->misses_saved);
		reply_int(r, (int64_t)p->origin_ms_saved);
		reply_double(r, advice_per_mib(a, p));
	}
}

static void
reply_policy(struct reply *r, const struct advice *a, unsigned p)
{
	reply_array(r, 2);
	reply_bulk_str(r, advice_policy_name(p));
	reply_array(r, SIM_SIZES);
	for (unsigned i = 0; i < SIM_SIZES; i++) {
		reply_array(r, 2);
		reply_double(r, advice_size_factor(i));
		if (a->policies[p].told[i])
			reply_double(r, a->policies[p].hit_rate[i]);
		else
			reply_nil(r);
	}
}

static void
reply_advice(struct call *c, const struct asked *asked, const struct advice *a, struct slice text)
{
	struct reply *r = c->reply;
	uint64_t bytes;

	reply_map(r, 11);
	reply_bulk_str(r, "namespace");
	if (asked->name.ptr != NULL)
		reply_bulk(r, asked->name);
	else
		reply_nil(r);
	reply_bulk_str(r, "memory");
	reply_int(r, (int64_t)a->points[ADVICE_NOW].memory_bytes);
	reply_bulk_str(r, "reads_per_second");
	reply_double(r, a->reads_per_second);
	reply_bulk_str(r, "hit_rate");
	reply_double(r, a->points[ADVICE_NOW].hit_rate);
	reply_bulk_str(r, "sampled_reads");
	reply_int(r, (int64_t)a->curve.sampled);
	reply_bulk_str(r, "sampled_share");
	reply_double(r, a->sample.share);
	reply_bulk_str(r, "curve");
	reply_points(r, a);
	reply_bulk_str(r, "eviction");
	reply_bulk_str(r, advice_policy_name(a->eviction));
	reply_bulk_str(r, "policies");
	reply_array(r, SIM_POLICIES);
	for (unsigned p = 0; p < SIM_POLICIES; p++)
		reply_policy(r, a, p);
	reply_bulk_str(r, "target_memory");
	bytes = asked->has_target ? advice_memory_for(c->sl->server, a, asked->target) : 0;
	if (bytes != 0)
		reply_int(r, (int64_t)bytes);
	else
		reply_nil(r);
	reply_bulk_str(r, "advice");
	reply_bulk(r, text);
}

void
cmd_pannier_advise(struct call *c)
{
	struct asked asked = { .ns = MRC_ALL };
	struct advice a;
	struct buf text;

	if (c->argc == 2 && slice_caseeq(c->argv[1], SLICE("reset"))) {
		advice_reset(c->sl->server, c->now_ms);
		reply_ok(c->reply);
		return;
	}
	if (!parse(c, &asked))
		return;
	advice_count(c->sl->server, c->now_ms);
	(void)advice_of(c->sl->server, asked.ns, &a);
	buf_init(&text);
	if (advice_say(&a, &text) == 0)
		reply_advice(c, &asked, &a, buf_slice(&text));
	else
		call_put_failed(c, -ENOMEM);
	buf_fini(&text);
}

/* --- INFO advice -------------------------------------------------------------------------- */

static void
print_advice(struct info *i, const struct advice *a)
{
	info_printf(i, ":reads_per_second=%.3f,sampled=%.0f,origin=%d", a->reads_per_second,
	    a->curve.sampled, a->has_origin);
	for (unsigned k = 0; k < ADVICE_POINTS; k++) {
		const struct advice_point *p = &a->points[k];

		if (p->cache_bytes == 0)
			continue;
		info_printf(i, ",memory_x%g=%" PRIu64 ",hit_rate_x%g=%.4f,misses_saved_x%g=%.0f,"
		    "origin_ms_saved_x%g=%.0f,per_mib_x%g=%.6g", p->factor, p->memory_bytes,
		    p->factor, p->hit_rate, p->factor, p->misses_saved, p->factor,
		    p->origin_ms_saved, p->factor, advice_per_mib(a, p));
	}
	info_printf(i, "\r\n");
}

static void
print_policies(struct info *i, const struct advice *a)
{
	info_printf(i, "advice_eviction:%s\r\n", advice_policy_name(a->eviction));
	for (unsigned p = 0; p < SIM_POLICIES; p++) {
		info_printf(i, "advice_policy_%s:keys=%u", advice_policy_name(p), a->sims.keys);
		for (unsigned k = 0; k < SIM_SIZES; k++)
			if (a->policies[p].told[k])
				info_printf(i, ",hit_rate_x%g=%.4f", advice_size_factor(k),
				    a->policies[p].hit_rate[k]);
		info_printf(i, "\r\n");
	}
}

void
info_advice(struct info *i)
{
	struct server *s = i->sl->server;
	bool on = store_mrc(s->store) != NULL;
	struct advice a;

	if (i->session->policy->confined) /* it is about all of the memory */
		return;
	info_printf(i, "advice_enabled:%d\r\n", on);
	if (!on)
		return;
	advice_count(s, i->now_ms);
	if (advice_of(s, MRC_ALL, &a)) {
		info_printf(i, "advice");
		print_advice(i, &a);
		print_policies(i, &a);
	}
	info_printf(i, "advice_memory_bytes:%" PRIu64 "\r\nadvice_keys:%u\r\nadvice_keys_max:%u\r\n"
	    "advice_share:%.6f\r\nadvice_references:%" PRIu64 "\r\n", a.sample.memory_bytes,
	    a.sample.keys, a.sample.keys_max, a.sample.share, a.sample.references);
	for (unsigned id = 0; id < stats_ns_count(s->names); id++) {
		if (!advice_of(s, id, &a))
			continue;
		info_printf(i, "advice_ns_");
		info_name_print(i, stats_ns_name(s->names, id));
		print_advice(i, &a);
	}
}
