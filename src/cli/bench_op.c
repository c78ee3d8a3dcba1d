#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "cli/bench_lib.h"
#include "cli/bench_run.h"

int
bench_fault(struct bench_worker *w, int rc, const char *fmt, ...)
{
	va_list ap;

	if (w->fault[0] != '\0')
		return rc;
	va_start(ap, fmt);
	vsnprintf(w->fault, sizeof w->fault, fmt, ap);
	va_end(ap);
	return rc;
}

/* What a SET writes, and until when. */
static struct slice
value_of(struct bench_worker *w, uint64_t id, struct bench_expiry *expiry)
{
	const struct bench_run *run = w->run;
	const struct bench_opts *o = run->opts;
	uint64_t size, spread = (uint64_t)(o->ttl.max_ms - o->ttl.min_ms);

	expiry->ttl_ms = o->ttl.min_ms;
	if (spread > 0)
		expiry->ttl_ms += (int64_t)draw_below(draw_next(&w->rng), spread + 1);
	size = o->redraw ? bench_size(&o->value_size, draw_next(&w->rng)) :
			   bench_size_of_key(&o->value_size, id);
	return bench_value(&run->values, id, size);
}

int
bench_ask(struct bench_worker *w, struct bench_conn *c, const struct bench_op *op, int64_t now_us)
{
	const struct bench_run *run = w->run;
	struct bench_expiry expiry = { 0, 0 };
	struct slice value = SLICE("");
	int rc;

	if (op->set) {
		expiry.at_unix_ms = (int64_t)run->opts->expire_at;
		value = value_of(w, op->id, &expiry);
	}
	if (c->lib != NULL)
		rc = bench_lib_ask(w, c, op, value, &expiry);
	else if (!op->set)
		rc = bench_wire_get(&run->wire, &c->out, op->id);
	else
		rc = bench_wire_set(&run->wire, &c->out, op->id, value, &expiry);
	if (rc != 0)
		return bench_fault(w, rc, "no memory for a request");
	if (c->lib == NULL)
		bench_conn_push(c, op, now_us);
	else if (c->n_ops == 1)
		c->last_us = now_us;
	w->under_way++;
	return 0;
}

/* Writes; *want: not all went. */
static MUST_CHECK int
write_some(struct bench_worker *w, struct bench_conn *c, bool *want)
{
	size_t before = buf_len(&c->out);
	int rc = bench_conn_write(c);

	*want = rc == -EAGAIN;
	if (rc != 0 && rc != -EAGAIN)
		return bench_fault(w, rc, "writing to the server: %s", strerror(-rc));
	counter_add(&w->tally.bytes_out, (int64_t)(before - buf_len(&c->out)));
	return 0;
}

int
bench_flush(struct bench_worker *w, struct bench_conn *c)
{
	struct epoll_event ev = { .data.ptr = c };
	bool want;
	int rc = c->lib != NULL ? bench_lib_flush(w, c, &want) : write_some(w, c, &want);

	if (rc != 0 || want == c->want_write)
		return rc;
	c->want_write = want;
	ev.events = EPOLLIN | (want ? EPOLLOUT : 0);
	if (epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &ev) != 0)
		return bench_fault(w, -errno, "epoll: %s", strerror(errno));
	return 0;
}

static MUST_CHECK int
read_some(struct bench_worker *w, struct bench_conn *c)
{
	size_t before = buf_len(&c->in);
	int rc = bench_conn_read(c);

	if (rc == -EAGAIN)
		return rc;
	if (rc == -ECONNRESET)
		return bench_fault(w, rc, "the server closed a connection");
	if (rc != 0)
		return bench_fault(w, rc, "reading from the server: %s", strerror(-rc));
	counter_add(&w->tally.bytes_in, (int64_t)(buf_len(&c->in) - before));
	c->last_us = w->to_us = clock_mono_us();
	return 0;
}

static void
verify(struct bench_worker *w, uint64_t id, struct slice got)
{
	const struct bench_opts *o = w->run->opts;
	uint64_t want = o->redraw ? got.len : bench_size_of_key(&o->value_size, id);

	if (got.len == want && got.len >= o->value_size.min && got.len <= o->value_size.max &&
	    slice_eq(got, bench_value(&w->run->values, id, want)))
		return;
	counter_inc(&w->tally.wrong);
	bench_fault(w, 0, "key number %llu: a wrong value of %zu bytes", (unsigned long long)id,
	    got.len);
}

static bool
fits(const struct bench_op *op, enum bench_answer answer)
{
	if (answer == BENCH_ERROR)
		return true;
	return op->set == (answer == BENCH_STORED);
}

static void
count(struct bench_worker *w, const struct bench_op *op, const struct bench_reply *r)
{
	struct bench_tally *t = &w->tally;

	counter_inc(op->set ? &t->sets : &t->gets);
	switch (r->answer) {
	case BENCH_VALUE:
		counter_inc(&t->hits);
		if (w->run->opts->verify)
			verify(w, op->id, r->text);
		break;
	case BENCH_NOTHING:
		counter_inc(&t->misses);
		break;
	case BENCH_STORED:
		break;
	case BENCH_ERROR:
		counter_inc(&t->errors);
		bench_fault(w, 0, "the server answered: %.*s", (int)MIN(r->text.len, 200),
		    r->text.ptr);
		break;
	}
}

/* The warm-up is over: the figures start here. Threads come to that point at
 * slightly different times, which does not matter. */
static void
start_figures(struct bench_worker *w, int64_t now_us)
{
#define X(name) counter_add(&w->tally.name, -counter_get(&w->tally.name));
	BENCH_TALLY(X)
#undef X
	histogram_reset(&w->get_us);
	histogram_reset(&w->set_us);
	w->from_us = now_us;
}

int
bench_answered(struct bench_worker *w, struct bench_conn *c, const struct bench_op *op,
    const struct bench_reply *r)
{
	int64_t now_us = w->to_us;

	if (unlikely(!fits(op, r->answer)) && !w->run->opts->any_reply)
		return bench_fault(w, -EPROTO, "the reply is none to a %s",
		    op->set ? "SET" : "GET");
	count(w, op, r);
	histogram_add(op->set ? &w->set_us : &w->get_us, now_us - op->start_us);
	w->under_way--;
	if (unlikely(w->warmup_left > 0) && !op->owed && --w->warmup_left == 0)
		start_figures(w, now_us);
	w->told(w, c, op, r->answer);
	return 0;
}

/* Quotes the start of it: it may tell whose protocol that is. */
static int
no_reply(struct bench_worker *w, struct slice data)
{
	char text[40];
	size_t n = MIN(data.len, sizeof text);

	for (size_t i = 0; i < n; i++)
		text[i] = data.ptr[i] >= ' ' && data.ptr[i] <= '~' ? data.ptr[i] : ' ';
	return bench_fault(w, -EPROTO, "what came is no reply of this protocol: %.*s", (int)n,
	    text);
}

/* 1; 0: no reply is complete. */
static MUST_CHECK int
take_one(struct bench_worker *w, struct bench_conn *c)
{
	struct bench_reply r;
	struct bench_op op;
	int64_t len = bench_wire_reply(&w->run->wire, buf_slice(&c->in), &r);
	int rc;

	if (len == 0)
		return 0;
	if (unlikely(len < 0))
		return no_reply(w, buf_slice(&c->in));
	if (unlikely(c->n_ops == 0))
		return bench_fault(w, -EPROTO, "a reply came that nobody asked for");
	op = *bench_conn_first(c);
	bench_conn_pop(c);
	rc = bench_answered(w, c, &op, &r);
	buf_consume(&c->in, (size_t)len);
	return rc != 0 ? rc : 1;
}

int
bench_receive(struct bench_worker *w, struct bench_conn *c)
{
	int rc;

	if (c->lib != NULL)
		return bench_lib_receive(w, c);
	rc = read_some(w, c);
	if (rc != 0)
		return rc;
	while ((rc = take_one(w, c)) > 0)
		;
	return rc;
}
