#include "config.h"

#include "base/out.h"

#include <errno.h>

#include "base/mem.h"

/* at: the copied bytes, ever, that go before the ref. Counting from the start
 * of the queue's life, not from the gap before, makes an append O(1) and leaves
 * nothing to update when bytes are sent. */
struct out_gap {
	uint64_t at;
	size_t sent; /* bytes of the ref that are written already */
	struct out_ref ref;
};

void
out_init(struct out *o)
{
	*o = (struct out){ 0 };
}

static void
gap_release(struct out *o, struct out_gap *g)
{
	o->ref_bytes -= g->ref.len - g->sent;
	g->ref.release(g->ref.owner, g->ref.token);
}

void
out_reset(struct out *o)
{
	while (o->gaps_head < o->gaps_tail)
		gap_release(o, &o->gaps[o->gaps_head++]);
	o->gaps_head = o->gaps_tail = 0;
	buf_clear(&o->bytes);
	o->failed = false;
}

void
out_fini(struct out *o)
{
	out_reset(o);
	mem_free(o->gaps);
	buf_fini(&o->bytes);
	out_init(o);
}

char *
out_grow(struct out *o, size_t n)
{
	if (o->failed || buf_reserve(&o->bytes, n) != 0) {
		o->failed = true;
		return NULL;
	}
	return buf_tail(&o->bytes);
}

void
out_append(struct out *o, const void *data, size_t n)
{
	char *p = out_reserve(o, n);

	if (p == NULL || n == 0)
		return;
	memcpy(p, data, n);
	out_commit(o, n);
}

static int
gaps_reserve(struct out *o)
{
	size_t cap = MAX(2 * o->gaps_cap, 8);
	struct out_gap *gaps;

	if (o->gaps_tail < o->gaps_cap)
		return 0;
	if (o->gaps_head > 0) {
		memmove(o->gaps, o->gaps + o->gaps_head,
		    (o->gaps_tail - o->gaps_head) * sizeof *o->gaps);
		o->gaps_tail -= o->gaps_head;
		o->gaps_head = 0;
		return 0;
	}
	gaps = mem_realloc(o->gaps, cap * sizeof *gaps);
	if (gaps == NULL)
		return -ENOMEM;
	o->gaps = gaps;
	o->gaps_cap = cap;
	return 0;
}

void
out_append_ref(struct out *o, const struct out_ref *ref)
{
	if (o->failed || ref->len == 0 || gaps_reserve(o) != 0) {
		o->failed |= ref->len != 0;
		ref->release(ref->owner, ref->token);
		return;
	}
	o->gaps[o->gaps_tail++] =
	    (struct out_gap){ .at = o->consumed + buf_len(&o->bytes), .ref = *ref };
	o->ref_bytes += ref->len;
}

static bool
is_empty(const struct out *o)
{
	return buf_len(&o->bytes) == 0 && o->gaps_head == o->gaps_tail && !o->failed;
}

/* True: the few bytes of `from` lie in `to`, and `from` keeps its memory. */
static bool
move_few_bytes(struct out *to, struct out *from)
{
	size_t n = buf_len(&from->bytes);

	if (from->failed || from->gaps_head != from->gaps_tail || n > from->bytes.cap / 4 ||
	    buf_append(&to->bytes, buf_data(&from->bytes), n) != 0)
		return false;
	out_consume(from, n);
	return true;
}

static void
move_behind(struct out *to, struct out *from)
{
	for (; from->gaps_head < from->gaps_tail; from->gaps_head++) {
		struct out_gap *g = &from->gaps[from->gaps_head];
		size_t before = (size_t)(g->at - from->consumed);

		out_append(to, buf_data(&from->bytes), before);
		buf_consume(&from->bytes, before);
		from->consumed += before;
		/* A ref of which a part is sent: the rest is what moves. */
		g->ref.ptr += g->sent;
		g->ref.len -= g->sent;
		from->ref_bytes -= g->ref.len;
		out_append_ref(to, &g->ref);
	}
	from->gaps_head = from->gaps_tail = 0;
	out_append(to, buf_data(&from->bytes), buf_len(&from->bytes));
	out_consume(from, buf_len(&from->bytes));
}

void
out_move(struct out *to, struct out *from)
{
	if (is_empty(to)) {
		struct out tmp = *to;

		if (move_few_bytes(to, from))
			return;
		*to = *from;
		*from = tmp;
		return;
	}
	to->failed |= from->failed;
	from->failed = false;
	move_behind(to, from);
}

static struct iovec
iov_of(const char *ptr, size_t len)
{
	return (struct iovec){ (void *)(uintptr_t)ptr, len };
}

int
out_iov(const struct out *o, struct iovec *iov, int n)
{
	const char *p = buf_data(&o->bytes);
	uint64_t at = o->consumed, end = at + buf_len(&o->bytes);
	int used = 0;

	for (size_t i = o->gaps_head; i < o->gaps_tail; i++) {
		const struct out_gap *g = &o->gaps[i];

		if (used < n && g->at != at) {
			iov[used++] = iov_of(p, (size_t)(g->at - at));
			p += g->at - at;
			at = g->at;
		}
		if (used == n)
			return used;
		iov[used++] = iov_of(g->ref.ptr + g->sent, g->ref.len - g->sent);
	}
	if (used < n && at != end)
		iov[used++] = iov_of(p, (size_t)(end - at));
	return used;
}

static void
consume_bytes(struct out *o, size_t n)
{
	buf_consume(&o->bytes, n);
	o->consumed += n;
}

void
out_consume(struct out *o, size_t n)
{
	while (unlikely(o->gaps_head < o->gaps_tail)) {
		struct out_gap *g = &o->gaps[o->gaps_head];
		size_t before = (size_t)(g->at - o->consumed);
		size_t take = MIN(n, before);

		consume_bytes(o, take);
		n -= take;
		if (take < before)
			return;
		take = MIN(n, g->ref.len - g->sent);
		g->sent += take;
		o->ref_bytes -= take;
		n -= take;
		if (g->sent < g->ref.len)
			return;
		o->gaps_head++;
		gap_release(o, g);
	}
	o->gaps_head = o->gaps_tail = 0;
	consume_bytes(o, n);
}

size_t
out_mem_bytes(const struct out *o)
{
	return o->bytes.cap + o->gaps_cap * sizeof *o->gaps;
}

void
out_shrink(struct out *o, size_t keep)
{
	buf_shrink(&o->bytes, keep);
	if (o->gaps_head == o->gaps_tail && o->gaps_cap * sizeof *o->gaps > keep) {
		mem_free(o->gaps);
		o->gaps = NULL;
		o->gaps_head = o->gaps_tail = o->gaps_cap = 0;
	}
}
