#include "config.h"

#include "server/pubsub.h"

#include <errno.h>
#include <pthread.h>

#include "base/blob.h"
#include "base/glob.h"
#include "base/htab.h"
#include "base/mem.h"
#include "server/server.h"
#include "server/session.h"

/* What all patterns may cost for one message, about one for each byte looked
 * at; those for which it does not suffice do not match. */
#define MATCH_STEPS (1u << 24)
#define REF_MIN_BYTES 16384 /* shorter texts are copied to each listener */

/* A name that somebody listens to. */
struct topic {
	struct htab_node node; /* in pubsub.topics, while anybody listens */
	struct list link;      /* likewise in pubsub.all, oldest first */
	enum pubsub_kind kind;
	unsigned refs;         /* subscriptions, and messages that are on their way */
	size_t listeners;      /* of all loops */
	struct slice name;     /* behind the loops */
	struct topic_loop {
		struct list subs;  /* the loop's own */
		size_t n;
	} loops[];
};

struct sub {
	struct htab_node node;    /* in pubsub.subs of its loop */
	struct topic *topic;
	struct session *session;
	struct list in_topic;
	struct list in_session;
	uint64_t since;           /* number of the last message that is not for it */
};

struct pubsub {
	pthread_mutex_t lock; /* all that is not said to be a loop's own */
	struct htab topics;
	struct list all[PUBSUB_KINDS];
	size_t n_all[PUBSUB_KINDS];
	uint64_t last_message;
	unsigned n_loops;
	struct htab subs[];   /* a loop's own; by topic and session */
};

struct message {
	struct pubsub *pubsub;
	_Atomic(unsigned) refs;
	uint64_t number;
	bool shard;
	struct blob *blob;      /* the channel, then the text */
	size_t channel_len;
	struct topic **topics;  /* owned, each with a reference */
	size_t n_topics;
	struct delivery {
		struct loop_task task;
		struct message *message;
		struct server_loop *from; /* the publisher's loop, where it is this one */
		bool wanted;
	} to[];                 /* a loop each */
};

struct pubsub *
pubsub_new(unsigned n_loops)
{
	struct pubsub *p = mem_zalloc(sizeof *p + n_loops * sizeof p->subs[0]);

	if (p == NULL)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	for (unsigned i = 0; i < PUBSUB_KINDS; i++)
		list_init(&p->all[i]);
	p->n_loops = n_loops;
	return p;
}

void
pubsub_free(struct pubsub *p)
{
	if (p == NULL)
		return;
	for (unsigned i = 0; i < p->n_loops; i++)
		htab_fini(&p->subs[i]);
	htab_fini(&p->topics);
	pthread_mutex_destroy(&p->lock);
	mem_free(p);
}

/* --- topics --------------------------------------------------------------------- */

static uint64_t
topic_hash(const struct server_loop *sl, enum pubsub_kind kind, struct slice name)
{
	return store_hash(sl->store, name) + (uint64_t)kind;
}

static struct topic *
topic_find(const struct pubsub *p, enum pubsub_kind kind, struct slice name, uint64_t hash)
{
	for (struct htab_node *it = htab_first(&p->topics, hash); it != NULL; it = htab_next(it)) {
		struct topic *t = container_of(it, struct topic, node);

		if (t->kind == kind && slice_eq(t->name, name))
			return t;
	}
	return NULL;
}

static struct topic *
topic_new(struct pubsub *p, enum pubsub_kind kind, struct slice name, uint64_t hash)
{
	size_t head = sizeof(struct topic) + p->n_loops * sizeof(struct topic_loop);
	struct topic *t = mem_zalloc(head + name.len);

	if (t == NULL || htab_add(&p->topics, &t->node, hash) != 0) {
		mem_free(t);
		return NULL;
	}
	for (unsigned i = 0; i < p->n_loops; i++)
		list_init(&t->loops[i].subs);
	t->kind = kind;
	if (name.len != 0)
		memcpy((char *)t + head, name.ptr, name.len);
	t->name = slice_of((char *)t + head, name.len);
	list_push_tail(&p->all[kind], &t->link);
	p->n_all[kind]++;
	return t;
}

static void
topic_unref(struct topic *t)
{
	if (--t->refs == 0)
		mem_free(t);
}

/* Nobody listens any more: messages on their way may still refer to it. */
static void
topic_retire_if_unheard(struct pubsub *p, struct topic *t)
{
	if (t->listeners != 0)
		return;
	htab_del(&p->topics, &t->node);
	list_del(&t->link);
	p->n_all[t->kind]--;
}

/* --- subscriptions ---------------------------------------------------------------- */

static struct pubsub *
registry(const struct session *s)
{
	return s->sl->server->pubsub;
}

static uint64_t
sub_hash(const struct topic *t, const struct session *s)
{
	uint64_t h = (uint64_t)(uintptr_t)t * 0x9e3779b97f4a7c15u ^
	    s->id * 0xc2b2ae3d27d4eb4fu;

	return h ^ h >> 32;
}

static struct sub *
sub_find(struct session *s, const struct topic *t)
{
	const struct htab *subs = &registry(s)->subs[loop_index(s->sl->loop)];

	for (struct htab_node *it = htab_first(subs, sub_hash(t, s)); it != NULL;
	     it = htab_next(it)) {
		struct sub *sub = container_of(it, struct sub, node);

		if (sub->topic == t && sub->session == s)
			return sub;
	}
	return NULL;
}

static int
sub_new_locked(struct session *s, struct topic *t)
{
	unsigned loop = loop_index(s->sl->loop);
	struct pubsub *p = registry(s);
	struct sub *sub = mem_zalloc(sizeof *sub);

	if (sub == NULL || htab_add(&p->subs[loop], &sub->node, sub_hash(t, s)) != 0) {
		mem_free(sub);
		return -ENOMEM;
	}
	sub->topic = t;
	sub->session = s;
	sub->since = p->last_message;
	list_push_tail(&t->loops[loop].subs, &sub->in_topic);
	list_push_tail(&s->pubsub.subs[t->kind], &sub->in_session);
	s->pubsub.n[t->kind]++;
	t->loops[loop].n++;
	t->listeners++;
	t->refs++;
	return 0;
}

static void
sub_free_locked(struct sub *sub)
{
	struct session *s = sub->session;
	struct topic *t = sub->topic;
	unsigned loop = loop_index(s->sl->loop);

	htab_del(&registry(s)->subs[loop], &sub->node);
	list_del(&sub->in_topic);
	list_del(&sub->in_session);
	s->pubsub.n[t->kind]--;
	t->loops[loop].n--;
	t->listeners--;
	topic_retire_if_unheard(registry(s), t);
	topic_unref(t);
	mem_free(sub);
}

static int
subscribe_locked(struct session *s, enum pubsub_kind kind, struct slice name, uint64_t hash)
{
	struct pubsub *p = registry(s);
	struct topic *t = topic_find(p, kind, name, hash);
	int rc;

	if (t != NULL && sub_find(s, t) != NULL)
		return 0;
	if (t == NULL && (t = topic_new(p, kind, name, hash)) == NULL)
		return -ENOMEM;
	rc = sub_new_locked(s, t);
	if (rc != 0 && t->listeners == 0) {
		topic_retire_if_unheard(p, t);
		mem_free(t);
	}
	return rc;
}

int
pubsub_subscribe(struct session *s, enum pubsub_kind kind, struct slice name)
{
	uint64_t hash = topic_hash(s->sl, kind, name);
	int rc;

	pthread_mutex_lock(&registry(s)->lock);
	rc = subscribe_locked(s, kind, name, hash);
	pthread_mutex_unlock(&registry(s)->lock);
	return rc;
}

void
pubsub_unsubscribe(struct session *s, enum pubsub_kind kind, struct slice name)
{
	uint64_t hash = topic_hash(s->sl, kind, name);
	struct pubsub *p = registry(s);
	struct topic *t;
	struct sub *sub;

	pthread_mutex_lock(&p->lock);
	t = topic_find(p, kind, name, hash);
	sub = t != NULL ? sub_find(s, t) : NULL;
	if (sub != NULL)
		sub_free_locked(sub);
	pthread_mutex_unlock(&p->lock);
}

bool
pubsub_oldest(const struct session *s, enum pubsub_kind kind, struct slice *name)
{
	const struct list *subs = &s->pubsub.subs[kind];

	if (list_empty(subs))
		return false;
	*name = list_entry(subs->next, struct sub, in_session)->topic->name;
	return true;
}

bool
pubsub_next(const struct session *s, enum pubsub_kind kind, const struct list **it,
    struct slice *name)
{
	const struct list *subs = &s->pubsub.subs[kind];

	*it = *it == NULL ? subs->next : (*it)->next;
	if (*it == subs)
		return false;
	*name = list_entry((struct list *)(uintptr_t)*it, struct sub, in_session)->topic->name;
	return true;
}

void
pubsub_client_init(struct pubsub_client *c)
{
	for (unsigned i = 0; i < PUBSUB_KINDS; i++) {
		list_init(&c->subs[i]);
		c->n[i] = 0;
	}
}

bool
pubsub_listens(const struct pubsub_client *c)
{
	return (c->n[PUBSUB_CHANNEL] | c->n[PUBSUB_PATTERN] | c->n[PUBSUB_SHARD]) != 0;
}

void
pubsub_client_gone(struct session *s)
{
	struct pubsub *p = registry(s);

	if (!pubsub_listens(&s->pubsub))
		return;
	pthread_mutex_lock(&p->lock);
	for (unsigned kind = 0; kind < PUBSUB_KINDS; kind++)
		list_foreach_safe(it, &s->pubsub.subs[kind])
			sub_free_locked(list_entry(it, struct sub, in_session));
	pthread_mutex_unlock(&p->lock);
}

/* --- messages ----------------------------------------------------------------------- */

static void
message_unref(struct message *m)
{
	if (atomic_fetch_sub(&m->refs, 1) != 1)
		return;
	pthread_mutex_lock(&m->pubsub->lock);
	for (size_t i = 0; i < m->n_topics; i++)
		topic_unref(m->topics[i]);
	pthread_mutex_unlock(&m->pubsub->lock);
	mem_free(m->topics);
	blob_unref(m->blob);
	mem_free(m);
}

static void
release_blob(void *owner, uint64_t token UNUSED)
{
	blob_unref(owner);
}

static void
reply_text(struct reply *r, const struct message *m)
{
	struct slice text = slice_skip(blob_slice(m->blob), m->channel_len);
	struct out_ref ref = { .ptr = text.ptr, .len = text.len, .release = release_blob };

	if (text.len < REF_MIN_BYTES) {
		reply_bulk(r, text);
		return;
	}
	ref.owner = blob_ref(m->blob);
	reply_bulk_ref(r, &ref);
}

static void
reply_message(struct reply *r, const struct message *m, const struct topic *t)
{
	static const char *const words[PUBSUB_KINDS] = { "message", "pmessage", "smessage" };
	bool by_pattern = t->kind == PUBSUB_PATTERN;

	reply_push(r, by_pattern ? 4 : 3);
	reply_bulk_str(r, words[t->kind]);
	if (by_pattern)
		reply_bulk(r, t->name);
	reply_bulk(r, slice_of(blob_slice(m->blob).ptr, m->channel_len));
	reply_text(r, m);
}

static void
send_to(struct session *s, const struct message *m, const struct topic *t)
{
	struct reply r = { .out = conn_out(s->conn), .wire = s->wire };

	if (!session_may_push(s))
		return;
	reply_message(&r, m, t);
	conn_flush(s->conn);
}

static void
deliver(struct message *m, unsigned loop)
{
	for (size_t i = 0; i < m->n_topics; i++)
		list_foreach(it, &m->topics[i]->loops[loop].subs) {
			struct sub *sub = list_entry(it, struct sub, in_topic);

			if (sub->since < m->number)
				send_to(sub->session, m, m->topics[i]);
		}
}

static void
delivery_run(struct loop *l, struct loop_task *t)
{
	struct message *m = container_of(t, struct delivery, task)->message;

	if (m->to[loop_index(l)].from != NULL)
		m->to[loop_index(l)].from->publishing--;
	deliver(m, loop_index(l));
	message_unref(m);
}

/* --- PUBLISH ------------------------------------------------------------------------ */

struct matches {
	struct topic **topics;
	size_t n, cap;
	int64_t listeners;
};

static int
matches_add(struct matches *f, struct topic *t)
{
	if (f->n == f->cap) {
		size_t cap = f->cap != 0 ? 2 * f->cap : 4;
		struct topic **more = mem_realloc(f->topics, cap * sizeof(struct topic *));

		if (more == NULL)
			return -ENOMEM;
		f->topics = more;
		f->cap = cap;
	}
	f->topics[f->n++] = t;
	f->listeners += (int64_t)t->listeners;
	return 0;
}

/* The channel comes first, as in Redis. */
static int
match_locked(struct pubsub *p, bool shard, struct slice channel, uint64_t hash,
    struct matches *f)
{
	struct topic *t = topic_find(p, shard ? PUBSUB_SHARD : PUBSUB_CHANNEL, channel, hash);
	uint64_t steps = MATCH_STEPS;

	if (t != NULL && matches_add(f, t) != 0)
		return -ENOMEM;
	if (shard)
		return 0;
	list_foreach(it, &p->all[PUBSUB_PATTERN]) {
		t = list_entry(it, struct topic, link);
		if (glob_match(t->name, channel, false, &steps) == GLOB_YES &&
		    matches_add(f, t) != 0)
			return -ENOMEM;
	}
	return 0;
}

static struct message *
message_new(struct pubsub *p, struct slice channel, struct slice text)
{
	struct message *m = mem_zalloc(sizeof *m + p->n_loops * sizeof m->to[0]);

	if (m == NULL)
		return NULL;
	m->blob = blob_new(channel.len + text.len);
	if (m->blob == NULL) {
		mem_free(m);
		return NULL;
	}
	if (channel.len != 0)
		memcpy(blob_mem(m->blob), channel.ptr, channel.len);
	if (text.len != 0)
		memcpy(blob_mem(m->blob) + channel.len, text.ptr, text.len);
	m->channel_len = channel.len;
	m->pubsub = p;
	m->refs = 1;
	return m;
}

static void
address_locked(struct message *m, struct matches *f)
{
	m->number = ++m->pubsub->last_message;
	m->topics = f->topics;
	m->n_topics = f->n;
	for (size_t i = 0; i < f->n; i++) {
		f->topics[i]->refs++;
		for (unsigned loop = 0; loop < m->pubsub->n_loops; loop++)
			m->to[loop].wanted |= f->topics[i]->loops[loop].n != 0;
	}
}

static void
post_to(struct server_loop *to, struct message *m)
{
	struct delivery *d = &m->to[loop_index(to->loop)];

	atomic_fetch_add(&m->refs, 1);
	d->message = m;
	d->task.run = delivery_run;
	loop_post(to->loop, &d->task);
}

/* Listeners of this loop get it at once, but not while EXEC holds locks, since one
 * that does not read is closed then; nor before what came before it. */
static void
post(struct server_loop *sl, struct message *m)
{
	struct server *s = sl->server;
	bool later = store_is_atomic(sl->store) || sl->publishing > 0;

	for (unsigned i = 0; i < s->n_loops; i++)
		if (m->to[i].wanted && &s->loops[i] != sl)
			post_to(&s->loops[i], m);
	if (!later) {
		deliver(m, loop_index(sl->loop));
	} else if (m->to[loop_index(sl->loop)].wanted) {
		m->to[loop_index(sl->loop)].from = sl;
		sl->publishing++;
		post_to(sl, m);
	}
	message_unref(m);
}

int64_t
pubsub_publish(struct server_loop *sl, bool shard, struct slice channel, struct slice text)
{
	struct pubsub *p = sl->server->pubsub;
	uint64_t hash = topic_hash(sl, shard ? PUBSUB_SHARD : PUBSUB_CHANNEL, channel);
	struct matches found = { 0 };
	struct message *m = NULL;
	int rc;

	pthread_mutex_lock(&p->lock);
	rc = match_locked(p, shard, channel, hash, &found);
	if (rc == 0 && found.n != 0) {
		m = message_new(p, channel, text);
		if (m != NULL)
			address_locked(m, &found);
		else
			rc = -ENOMEM;
	}
	pthread_mutex_unlock(&p->lock);
	if (m != NULL)
		post(sl, m);
	else
		mem_free(found.topics);
	return rc != 0 ? rc : found.listeners;
}

/* --- what is there ------------------------------------------------------------------- */

size_t
pubsub_listeners(struct server_loop *sl, enum pubsub_kind kind, struct slice name)
{
	struct pubsub *p = sl->server->pubsub;
	uint64_t hash = topic_hash(sl, kind, name);
	const struct topic *t;
	size_t n;

	pthread_mutex_lock(&p->lock);
	t = topic_find(p, kind, name, hash);
	n = t != NULL ? t->listeners : 0;
	pthread_mutex_unlock(&p->lock);
	return n;
}

size_t
pubsub_names(struct pubsub *p, enum pubsub_kind kind)
{
	size_t n;

	pthread_mutex_lock(&p->lock);
	n = p->n_all[kind];
	pthread_mutex_unlock(&p->lock);
	return n;
}

/* Counts the names that match, and writes them if `r` is there. */
static bool
names_locked(const struct pubsub *p, enum pubsub_kind kind, const struct slice *pattern,
    struct reply *r, size_t *n)
{
	uint64_t steps = MATCH_STEPS;

	*n = 0;
	list_foreach(it, &p->all[kind]) {
		struct slice name = list_entry(it, struct topic, link)->name;

		if (pattern != NULL && glob_match(*pattern, name, false, &steps) != GLOB_YES)
			continue;
		++*n;
		if (r != NULL)
			reply_bulk(r, name);
	}
	return steps != 0;
}

bool
pubsub_reply_names(struct pubsub *p, enum pubsub_kind kind, const struct slice *pattern,
    struct reply *r)
{
	size_t n;
	bool matched;

	pthread_mutex_lock(&p->lock);
	matched = names_locked(p, kind, pattern, NULL, &n);
	if (matched) {
		reply_array(r, n);
		matched = names_locked(p, kind, pattern, r, &n);
	}
	pthread_mutex_unlock(&p->lock);
	return matched;
}
