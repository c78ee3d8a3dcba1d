/* Messages to clients: on their own connection (RESP3), or on the one that they
 * named, which may be a subscriber of RESP2. That one may belong to another loop:
 * then the message goes there from the tracker's home, so that it still comes
 * behind the reply. Where there is no memory for it, what goes instead is that
 * everything may have changed, which needs none. */
#include "config.h"

#include "base/mem.h"
#include "server/door.h"
#include "server/tracking_impl.h"

#define CHANNEL "__redis__:invalidate"

/* --- writing ---------------------------------------------------------------------- */

static void
write_news(struct reply *r, const struct news *n)
{
	if (n->array.ptr != NULL) {
		out_append(r->out, n->array.ptr, n->array.len);
	} else if (n->key.ptr != NULL) {
		reply_array(r, 1);
		reply_bulk(r, n->key);
	} else {
		reply_nil(r);
	}
}

/* In RESP2 only a subscriber can be told. */
static void
write_message(struct session *s, struct out *out, const struct news *n)
{
	struct reply r = { .out = out, .wire = s->wire };

	if (s->wire == WIRE_RESP3) {
		reply_push(&r, 2);
		reply_bulk_str(&r, "invalidate");
	} else {
		reply_array(&r, 3);
		reply_bulk_str(&r, "message");
		reply_bulk_str(&r, CHANNEL);
	}
	write_news(&r, n);
}

/* The reply that the session waits for may be older than the change, and comes
 * later: the client is told once more, behind it. */
static void
send_news(struct session *s, const struct news *n, bool redirected)
{
	struct out *behind = session_out(s);

	if (s->wire != WIRE_RESP3 && !(redirected && pubsub_listens(&s->pubsub)))
		return;
	if (!session_may_push(s))
		return;
	write_message(s, conn_out(s->conn), n);
	if (behind != conn_out(s->conn))
		write_message(s, behind, n);
	conn_flush(s->conn);
}

/* --- by way of another client --------------------------------------------------------- */

static void
tell_broken(struct tracker *t)
{
	struct session *s = t->session;
	struct reply r;

	if (s == NULL || !(t->flags & TRACK_ON))
		return;
	t->flags |= TRACK_BROKEN;
	if (s->wire != WIRE_RESP3 || !session_may_push(s))
		return;
	r = (struct reply){ .out = conn_out(s->conn), .wire = s->wire };
	reply_push(&r, 2);
	reply_bulk_str(&r, "tracking-redir-broken");
	reply_int(&r, atomic_load(&t->redirect));
	conn_flush(s->conn);
}

static void
parcel_free(struct parcel *p)
{
	struct tracker *t = p->tracker;

	if (p != &t->everything)
		mem_free(p);
	tracker_unref(t);
}

static void
parcel_back(struct loop *l UNUSED, struct loop_task *task)
{
	struct parcel *p = container_of(task, struct parcel, task);

	if (p == &p->tracker->everything)
		atomic_store(&p->tracker->everything_sent, false);
	tell_broken(p->tracker);
	parcel_free(p);
}

static void
parcel_here(struct parcel *p, struct session *s)
{
	struct news n = { .array = p->array };

	/* From now on there may be another one of that kind. */
	if (p == &p->tracker->everything)
		atomic_store(&p->tracker->everything_sent, false);
	send_news(s, &n, true);
	parcel_free(p);
}

static void
parcel_arrived(struct loop *l, struct loop_task *task)
{
	struct parcel *p = container_of(task, struct parcel, task);
	struct tracker *t = p->tracker;
	struct session *s;
	struct loop *elsewhere;

	switch (tracking_find(tracking_loop_of(t->home->all, l), atomic_load(&t->redirect), &s,
	    &elsewhere)) {
	case TARGET_HERE:
		parcel_here(p, s);
		break;
	case TARGET_ELSEWHERE: /* it names another one by now */
		loop_post(elsewhere, task);
		break;
	case TARGET_GONE:
		task->run = parcel_back;
		loop_post(t->home->sl->loop, task);
		break;
	}
}

/* NULL: no memory. */
static struct parcel *
parcel_new(const struct news *n)
{
	struct out out;
	struct reply r = { .out = &out, .wire = WIRE_RESP3 };
	struct parcel *p = NULL;
	struct slice text;

	out_init(&out);
	write_news(&r, n);
	text = out_copied(&out);
	if (text.ptr != NULL)
		p = mem_alloc(sizeof *p + text.len);
	if (p != NULL) {
		memcpy((char *)p + sizeof *p, text.ptr, text.len);
		p->array = slice_of((char *)p + sizeof *p, text.len);
	}
	out_fini(&out);
	return p;
}

static void
parcel_send(struct tracker *t, const struct news *n, struct loop *to)
{
	struct parcel *p = NULL;

	if (n->key.ptr != NULL || n->array.ptr != NULL)
		p = parcel_new(n);
	if (p == NULL) {
		if (atomic_exchange(&t->everything_sent, true))
			return; /* that one comes after what this is about */
		p = &t->everything;
	}
	p->tracker = t;
	p->task.run = parcel_arrived;
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	loop_post(to, &p->task);
}

void
tracker_tell(struct tracker *t, struct news n)
{
	int64_t redirect = atomic_load(&t->redirect);
	struct session *s = t->session;
	struct loop *elsewhere;

	if (redirect == 0) {
		send_news(s, &n, false);
		return;
	}
	switch (tracking_find(t->home, redirect, &s, &elsewhere)) {
	case TARGET_HERE:
		send_news(s, &n, true);
		break;
	case TARGET_ELSEWHERE:
		parcel_send(t, &n, elsewhere);
		break;
	case TARGET_GONE:
		tell_broken(t);
		break;
	}
}

/* --- what has changed -------------------------------------------------------------------- */

/* At its client's home. One that tracks by prefix now, or not at all, is not told; nor
 * one that may not see the key any more, since a reload. */
static void
key_arrived(struct loop *l UNUSED, struct loop_task *task)
{
	struct tracked *k = container_of(task, struct tracked, task);
	struct tracker *t = k->tracker;
	unsigned modes = t->flags & (TRACK_ON | TRACK_BCAST);
	struct slice key = slice_of(k->key, k->len);

	if (t->session != NULL && modes == TRACK_ON && door_owns_key(t->session, key))
		tracker_tell(t, (struct news){ .key = key });
	tracked_free(k);
}

static void
everything_here(struct tracking_loop *tl)
{
	list_foreach(it, &tl->trackers)
		tracker_tell(list_entry(it, struct tracker, link), (struct news){ 0 });
}

void
tracking_everything_run(struct loop *l UNUSED, struct loop_task *task)
{
	struct tracking_loop *tl = container_of(task, struct tracking_loop, everything);

	atomic_store(&tl->everything_posted, false);
	everything_here(tl);
}

/* Other loops are posted to once, until they have looked: whatever came before
 * that is covered. */
void
tracking_tell_everything(struct tracking_loop *tl)
{
	struct tracking *tr = tl->all;

	for (unsigned i = 0; i < tr->n_loops; i++) {
		struct tracking_loop *to = &tr->loops[i];

		if (to != tl && !atomic_exchange(&to->everything_posted, true))
			loop_post(to->sl->loop, &to->everything);
	}
	everything_here(tl);
}

static void
mark_reached(struct tracking_loop *tl, struct tracked *k)
{
	if (k == &tl->flushed)
		tl->flushed_used = false;
	else
		mem_free(k);
	tracking_tell_everything(tl);
}

void
tracking_tell_keys(struct tracking_loop *tl)
{
	struct loop_task *task;

	while ((task = tl->first) != NULL) {
		struct tracked *k = container_of(task, struct tracked, task);
		struct tracking_loop *home;

		tl->first = task->next;
		if (tl->first == NULL)
			tl->last = &tl->first;
		if (k->tracker == NULL) {
			mark_reached(tl, k);
			continue;
		}
		home = k->tracker->home;
		task->run = key_arrived;
		if (home == tl)
			key_arrived(tl->sl->loop, task);
		else
			loop_post(home->sl->loop, task);
	}
}
