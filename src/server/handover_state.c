#include "config.h"

#include "server/handover_state.h"

#include <errno.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pack.h"
#include "cache/pass.h"
#include "server/session_pass.h"
#include "server/tracking.h"

/* --- namespaces: what is counted for each ------------------------------------------- */

static void
sum_tally(const struct server *s, int id, int64_t *entries, int64_t *bytes)
{
	*entries = *bytes = 0;
	for (unsigned i = 0; i < s->n_loops; i++) {
		const struct cache_tally *t = &s->stats[i]->tally[id];

		*entries += counter_get(&t->entries);
		*bytes += counter_get(&t->bytes);
	}
}

static void
pack_namespaces(const struct server *s, struct packer *p)
{
	const struct config *cfg = routes_config(s->routes);

	pack_u64(p, cfg->n_namespaces);
	for (unsigned i = 0; i < cfg->n_namespaces; i++) {
		const struct config_namespace *ns = &cfg->namespaces[i];
		int64_t entries, bytes;

		sum_tally(s, ns->stats_id, &entries, &bytes);
		pack_text(p, ns->prefix);
		pack_u64(p, (uint64_t)ns->class);
		pack_u64(p, (uint64_t)entries);
		pack_u64(p, (uint64_t)bytes);
	}
}

static const struct config_namespace *
namespace_of(const struct config *cfg, struct slice prefix)
{
	for (unsigned i = 0; i < cfg->n_namespaces; i++)
		if (slice_eq(slice_str(cfg->namespaces[i].prefix), prefix))
			return &cfg->namespaces[i];
	return NULL;
}

/* Whether every key is in the same namespace as it was, so that sums hold. */
static bool
take_namespaces(struct server *s, struct unpacker *u)
{
	const struct config *cfg = routes_config(s->routes);
	struct cache_tally *tally = s->stats[0]->tally;
	uint64_t n = unpack_count(u);
	bool same = n == cfg->n_namespaces, reclassify = false;

	for (uint64_t i = 0; i < n; i++) {
		const struct config_namespace *ns = namespace_of(cfg, unpack_bytes(u));
		uint64_t class = unpack_u64(u);
		int64_t entries = (int64_t)unpack_u64(u), bytes = (int64_t)unpack_u64(u);

		same &= ns != NULL;
		if (ns == NULL || u->failed)
			continue;
		reclassify |= class != (uint64_t)ns->class;
		counter_add(&tally[ns->stats_id].entries, entries);
		counter_add(&tally[ns->stats_id].bytes, bytes);
	}
	if (reclassify || !same)
		cache_reclassify(store_cache(s->store));
	return same;
}

/* Others than they were: what was counted above is undone, and all is counted anew. */
static void
count_anew(struct server *s)
{
	struct cache_tally *tally = s->stats[0]->tally;
	struct cache_thread t = { .now_ms = loop_now_ms(s->loops[0].loop), .tally = tally };

	for (unsigned i = 0; i < STATS_NAMESPACES; i++) {
		counter_add(&tally[i].entries, -counter_get(&tally[i].entries));
		counter_add(&tally[i].bytes, -counter_get(&tally[i].bytes));
	}
	cache_recount(store_cache(s->store), &t);
}

/* --- contents ------------------------------------------------------------------------ */

/* In a run of its own, which a successor without these contents passes over. */
static int
pack_contents(struct server *s, bool contents, struct packer *to)
{
	struct buf run;
	struct packer p = { .to = &run };
	int rc = 0;

	buf_init(&run);
	if (contents) {
		if (!cache_pass_end(store_cache(s->store), &p))
			rc = -EBUSY;
		pack_namespaces(s, &p);
	}
	if (rc == 0 && p.failed)
		rc = -ENOMEM;
	pack_bytes(to, buf_slice(&run));
	buf_fini(&run);
	return rc;
}

static MUST_CHECK int
take_contents(struct server *s, struct slice run)
{
	struct unpacker u = { .from = run };
	int rc;

	if (run.len == 0)
		return 0;
	rc = cache_pass_take(store_cache(s->store), &u);
	if (rc != 0)
		return rc;
	if (!take_namespaces(s, &u) && !u.failed)
		count_anew(s);
	return u.failed ? -EINVAL : 0;
}

/* --- clients --------------------------------------------------------------------------- */

static int
pack_client(struct session *s, struct packer *to)
{
	struct buf run;
	struct packer p = { .to = &run };
	int rc;

	buf_init(&run);
	rc = session_pack(s, &p);
	pack_bytes(to, buf_slice(&run));
	buf_fini(&run);
	return rc;
}

static int
pack_clients(struct server *s, struct packer *p, int *fds, unsigned most, unsigned *n_fds)
{
	*n_fds = 0;
	for (unsigned i = 0; i < s->n_loops; i++) {
		list_foreach(it, &s->loops[i].sessions) {
			struct session *c = list_entry(it, struct session, link);
			int rc;

			if (!session_may_pass(c))
				continue;
			if (*n_fds == most)
				return -EBUSY;
			rc = pack_client(c, p);
			if (rc != 0)
				return rc;
			fds[(*n_fds)++] = conn_fd(c->conn);
		}
	}
	return 0;
}

static MUST_CHECK int
take_clients(struct server *s, struct unpacker *u, int *fds, unsigned n, unsigned *n_lost)
{
	int rc = 0;

	*n_lost = 0;
	for (unsigned i = 0; i < n && rc == 0; i++) {
		struct unpacker one = { .from = unpack_bytes(u) };

		if (u->failed)
			return -EINVAL;
		rc = session_unpack(&s->loops[i % s->n_loops], fds[i], &one);
		fds[i] = -1;
		if (rc == 1) {
			(*n_lost)++;
			rc = 0;
		}
	}
	return rc;
}

/* --- all of it --------------------------------------------------------------------------- */

static bool
any_tracks(const struct server *s)
{
	for (unsigned i = 0; i < s->n_loops; i++)
		list_foreach(it, &s->loops[i].sessions)
			if (tracking_is_on(list_entry(it, struct session, link)))
				return true;
	return false;
}

int
handover_state_pack(struct server *s, bool contents, const struct handover_pause *pause,
    struct buf *out, int *fds, unsigned most, unsigned *n_fds)
{
	struct buf clients;
	struct packer p = { .to = out }, c = { .to = &clients };
	int rc;

	buf_init(&clients);
	/* First, as it gives back what is pinned. */
	rc = pack_clients(s, &c, fds, most, n_fds);
	if (rc == 0)
		rc = pack_contents(s, contents, &p);
	pack_u64(&p, (uint64_t)pause->mode);
	pack_u64(&p, (uint64_t)pause->end_ms);
	pack_u64(&p, atomic_load(&s->next_session_id));
	pack_raw(&p, buf_data(&clients), buf_len(&clients));
	buf_fini(&clients);
	return rc != 0 ? rc : p.failed || c.failed ? -ENOMEM : 0;
}

static void
take_pause(struct server *s, uint64_t mode, int64_t end_ms)
{
	for (unsigned i = 0; i < s->n_loops && mode != PAUSE_OFF && mode <= PAUSE_ALL; i++)
		pause_begin(&s->loops[i], (enum pause_mode)mode, end_ms);
}

int
handover_state_unpack(struct server *s, struct slice state, int *fds, unsigned n_fds,
    unsigned *n_lost)
{
	struct unpacker u = { .from = state };
	int rc = take_contents(s, unpack_bytes(&u));
	uint64_t mode = unpack_u64(&u);
	int64_t end_ms = (int64_t)unpack_u64(&u);
	uint64_t next_id = unpack_u64(&u);

	if (rc == 0 && u.failed)
		rc = -EINVAL;
	if (rc == 0) {
		atomic_store(&s->next_session_id, MAX(next_id, 1));
		rc = take_clients(s, &u, fds, n_fds, n_lost);
	}
	for (unsigned i = 0; i < n_fds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (rc == 0)
		take_pause(s, mode, end_ms);
	/* What they keep may have changed unheard: which keys they have was not passed. */
	if (rc == 0 && any_tracks(s))
		tracking_flushed(&s->loops[0]);
	return rc;
}
