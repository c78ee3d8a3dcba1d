#include "config.h"

#include "store/fresh.h"

#include "resil/xfetch.h"

/* fallback: stale means as long as memory holds it. */
#define FOREVER ((int64_t)100 * 365 * 86400 * 1000)
/* XFetch draws no number beyond e^-45 from 64 bits. */
#define DRAWS_MOST 45

static bool
has_validator(const struct meta *m)
{
	return m->etag.len != 0 || m->last_modified.len != 0;
}

static int64_t
swr_of(const struct config_namespace *ns, const struct meta *m)
{
	if (m->no_stale)
		return 0;
	return m->swr_ms >= 0 ? m->swr_ms : ns->swr_ms;
}

static int64_t
sie_of(const struct config_namespace *ns, const struct meta *m)
{
	if (m->no_stale)
		return 0;
	if (ns->fallback == FALLBACK_STALE)
		return FOREVER;
	return m->sie_ms >= 0 ? m->sie_ms : ns->sie_ms;
}

/* --- what is kept -------------------------------------------------------------- */

static int64_t
said_or(int64_t said_ms, int64_t other_ms)
{
	return said_ms >= 0 ? said_ms : other_ms;
}

/* An answer that was renewed stays what it was where the renewal says nothing (RFC 9111,
 * 4.3.4). */
static void
inherit(struct meta *m, const struct meta *old, const struct origin_validity *v)
{
	bool silent = v->ttl_ms < 0 && !v->validate && !v->no_stale;

	m->ttl_ms = silent ? old->ttl_ms : m->ttl_ms;
	m->validate = silent ? old->validate : m->validate;
	m->no_stale = silent ? old->no_stale : m->no_stale;
	m->swr_ms = said_or(m->swr_ms, old->swr_ms);
	m->sie_ms = said_or(m->sie_ms, old->sie_ms);
	if (m->etag.len == 0)
		m->etag = old->etag;
	if (m->last_modified.len == 0)
		m->last_modified = old->last_modified;
	if (m->n_tags == 0 && !m->any_tag) {
		m->tags = old->tags;
		m->n_tags = old->n_tags;
		m->any_tag = old->any_tag;
	}
}

static void
describe(struct fresh_keep *k, const struct origin_result *r, const struct origin_validity *v,
    const struct meta *old, int64_t now_ms)
{
	struct meta *m = &k->meta;

	meta_init(m);
	m->stored_ms = now_ms;
	m->took_ms = r->took_ms;
	m->age_ms = v->age_ms;
	m->ttl_ms = v->ttl_ms;
	m->swr_ms = v->swr_ms;
	m->sie_ms = v->sie_ms;
	m->validate = v->validate;
	m->no_stale = v->no_stale;
	m->etag = v->etag;
	m->last_modified = v->last_modified;
	meta_set_tags(m, v->tags, k->tags);
	m->any_tag |= v->any_tag;
	if (old != NULL)
		inherit(m, old, v);
}

/* Nothing but that it could not be kept. */
static void
keep_passing(const struct config_namespace *ns, int64_t now_ms, struct fresh_keep *k)
{
	meta_init(&k->meta);
	k->meta.kind = META_UNCACHEABLE;
	k->meta.stored_ms = now_ms;
	k->kept = ns->uncacheable_ttl_ms > 0;
	k->expires_ms = MAX(now_ms, 1);
	k->stale_ms = ns->uncacheable_ttl_ms;
}

static void
keep_value(const struct config_namespace *ns, int64_t now_ms, uint64_t random,
    struct fresh_keep *k)
{
	const struct meta *m = &k->meta;
	int64_t ttl_ms = m->validate ? 0 : said_or(m->ttl_ms, ns->ttl_ms);

	k->stale_ms = MAX(swr_of(ns, m), sie_of(ns, m));
	if (has_validator(m))
		k->stale_ms = MAX(k->stale_ms, ns->keep_ms);
	k->kept = true;
	if (ttl_ms > 0)
		k->expires_ms = now_ms + ttl_jitter(ttl_ms, ns->ttl_jitter_pct, random);
	else if (!m->validate && m->ttl_ms < 0)
		k->expires_ms = 0; /* the namespace has no ttl: never */
	else if (k->stale_ms > 0 && (has_validator(m) || !m->validate))
		k->expires_ms = MAX(now_ms, 1); /* is over, and good for something still */
	else
		keep_passing(ns, now_ms, k);
}

static void
keep_negative(const struct config_namespace *ns, int64_t now_ms, struct fresh_keep *k)
{
	struct meta *m = &k->meta;

	m->kind = META_NEGATIVE;
	m->etag = m->last_modified = SLICE("");
	m->ttl_ms = m->validate ? 0 : said_or(m->ttl_ms, ns->negative_ttl_ms);
	k->kept = m->ttl_ms > 0;
	k->expires_ms = MAX(now_ms, 1);
	k->stale_ms = m->ttl_ms + MAX(swr_of(ns, m), sie_of(ns, m));
}

void
fresh_keep(const struct config_namespace *ns, const struct origin_result *r,
    const struct meta *old, int64_t now_ms, uint64_t random, struct fresh_keep *k)
{
	/* Whoever tells no more than a ttl means by 0 that it must not be stored. */
	const struct origin_validity plain = { .ttl_ms = r->ttl_ms,
		.swr_ms = ORIGIN_TTL_UNSAID, .sie_ms = ORIGIN_TTL_UNSAID,
		.no_store = r->ttl_ms == 0 && r->status == ORIGIN_OK };
	const struct origin_validity *v = r->valid != NULL ? r->valid : &plain;

	*k = (struct fresh_keep){ .kept = false };
	if (r->status == ORIGIN_NOT_FOUND && v->no_store)
		return;
	if (v->no_store) {
		keep_passing(ns, now_ms, k);
		return;
	}
	describe(k, r, v, old, now_ms);
	if (r->status == ORIGIN_NOT_FOUND)
		keep_negative(ns, now_ms, k);
	else
		keep_value(ns, now_ms, random, k);
}

/* --- what it is good for ---------------------------------------------------------- */

unsigned
fresh_uses(const struct config_namespace *ns, const struct meta *m, int64_t expires_ms,
    int64_t now_ms)
{
	int64_t past_ms = now_ms - expires_ms;
	unsigned uses = 0;

	if (m->kind == META_UNCACHEABLE)
		return FRESH_PASS;
	if (m->kind == META_NEGATIVE) {
		past_ms -= MAX(m->ttl_ms, 0);
		if (past_ms < 0)
			return FRESH_FOUND;
	}
	if (has_validator(m))
		uses |= FRESH_ASK;
	if (past_ms < swr_of(ns, m))
		uses |= FRESH_SERVE;
	if (past_ms < sie_of(ns, m))
		uses |= FRESH_SPARE;
	return uses;
}

bool
fresh_early(const struct config_namespace *ns, struct slice record, int64_t left_ms,
    uint64_t random)
{
	int64_t took_ms;

	if (ns->origin == NULL || ns->early_pct == 0)
		return false;
	took_ms = meta_took_ms(record);
	if (took_ms <= 0 || left_ms / DRAWS_MOST > took_ms * ns->early_pct / 100)
		return false;
	return xfetch_due(left_ms, took_ms, ns->early_pct / 100.0, random);
}

int64_t
fresh_age_ms(const struct meta *m, int64_t now_ms)
{
	return m->age_ms + MAX(now_ms - m->stored_ms, 0);
}
