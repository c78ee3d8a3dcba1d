#include "config.h"

#include "unit/store/fake_tier.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "unit/store/fake_origin.h"

struct origin_client {
	struct loop *loop;
};

struct origin_fetch {
	struct list link;
	struct origin_client *client;
	origin_done *done;
	void *arg;
	unsigned key;
	uint64_t version;
};

static struct list sent = { &sent, &sent }, executed = { &executed, &executed };
static unsigned n_sent, n_executed;
static uint64_t versions[TIER_KEYS];

unsigned
tier_key_number(struct slice key)
{
	return (unsigned)(key.ptr[key.len - 1] - '0');
}

void
tier_key_name(unsigned number, char out[16])
{
	snprintf(out, 16, "user:%u", number);
}

void
tier_reset(void)
{
	for (unsigned i = 0; i < TIER_KEYS; i++)
		versions[i] = 1;
}

/* What the fixture calls. */
void
fake_reset(void)
{
	tier_reset();
}

uint64_t
tier_version(unsigned key)
{
	return versions[key];
}

void
tier_write(unsigned key)
{
	versions[key]++;
}

unsigned
tier_sent(void)
{
	return n_sent;
}

unsigned
tier_executed(void)
{
	return n_executed;
}

static struct origin_fetch *
nth_of(struct list *l, unsigned nth)
{
	struct list *it = l->next;

	while (nth-- > 0)
		it = it->next;
	return list_entry(it, struct origin_fetch, link);
}

void
tier_execute(unsigned nth)
{
	struct origin_fetch *f = nth_of(&sent, nth);

	list_del(&f->link);
	n_sent--;
	f->version = versions[f->key];
	list_push_tail(&executed, &f->link);
	n_executed++;
}

static void
finish(struct origin_fetch *f, const struct origin_result *r)
{
	list_del(&f->link);
	f->done(f->arg, r);
	blob_unref(r->body);
	free(f);
}

void
tier_answer(unsigned nth)
{
	struct origin_fetch *f = nth_of(&executed, nth);
	char text[24];

	n_executed--;
	snprintf(text, sizeof text, "%llu", (unsigned long long)f->version);
	finish(f, &(struct origin_result){ .status = ORIGIN_OK,
	    .body = blob_of(slice_str(text)), .ttl_ms = ORIGIN_TTL_UNSAID });
}

void
tier_fail(unsigned nth)
{
	struct origin_fetch *f = nth_of(&sent, nth);

	n_sent--;
	finish(f, &(struct origin_result){ .status = ORIGIN_FAILED, .error = "broken",
	    .ttl_ms = ORIGIN_TTL_UNSAID });
}

/* --- origin.h -------------------------------------------------------------------- */

int
origin_client_new(struct loop *l, struct guards *guards UNUSED,
    const struct config_origin *cfg UNUSED, struct stats_origin *stats UNUSED,
    struct origin_client **out)
{
	struct origin_client *oc = malloc(sizeof *oc);

	oc->loop = l;
	*out = oc;
	return 0;
}

static void
fail_all_of(struct list *l, unsigned *n, const struct origin_client *oc)
{
	list_foreach_safe(it, l) {
		struct origin_fetch *f = list_entry(it, struct origin_fetch, link);

		if (f->client != oc)
			continue;
		--*n;
		finish(f, &(struct origin_result){ .status = ORIGIN_FAILED, .error = "stopping" });
	}
}

void
origin_client_free(struct origin_client *oc)
{
	fail_all_of(&sent, &n_sent, oc);
	fail_all_of(&executed, &n_executed, oc);
	free(oc);
}

int
origin_fetch_start(struct origin_client *oc, const struct origin_request *rq, origin_done *done,
    void *arg, struct origin_fetch **out)
{
	struct origin_fetch *f = calloc(1, sizeof *f);

	f->client = oc;
	f->done = done;
	f->arg = arg;
	f->key = tier_key_number(rq->key);
	list_push_tail(&sent, &f->link);
	n_sent++;
	*out = f;
	return 0;
}
