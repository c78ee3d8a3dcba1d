#include "config.h"

#include "base/out.h"

#include <errno.h>

#include "base/mem.h"

/* before: copied bytes that stand between the previous ref and this one. */
struct out_gap {
	size_t before;
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
out_fini(struct out *o)
{
	for (size_t i = o->gaps_head; i < o->gaps_tail; i++)
		gap_release(o, &o->gaps[i]);
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

/* Copied bytes behind the last ref. */
static size_t
bytes_behind_refs(const struct out *o)
{
	size_t n = buf_len(&o->bytes);

	for (size_t i = o->gaps_head; i < o->gaps_tail; i++)
		n -= o->gaps[i].before;
	return n;
}

void
out_append_ref(struct out *o, const struct out_ref *ref)
{
	if (o->failed || gaps_reserve(o) != 0) {
		o->failed = true;
		ref->release(ref->owner, ref->token);
		return;
	}
	o->gaps[o->gaps_tail] = (struct out_gap){ .before = bytes_behind_refs(o), .ref = *ref };
	o->gaps_tail++;
	o->ref_bytes += ref->len;
}

void
out_move(struct out *to, struct out *from)
{
	if (out_len(to) == 0 && to->gaps_head == to->gaps_tail && !to->failed) {
		struct out tmp = *to;

		*to = *from;
		*from = tmp;
		return;
	}
	to->failed |= from->failed;
	for (size_t i = from->gaps_head; i < from->gaps_tail; i++) {
		struct out_gap *g = &from->gaps[i];

		/* A ref of which a part is sent is the first: ptr moves up. */
		g->ref.ptr += g->sent;
		g->ref.len -= g->sent;
		out_append(to, buf_data(&from->bytes), g->before);
		buf_consume(&from->bytes, g->before);
		from->ref_bytes -= g->ref.len;
		out_append_ref(to, &g->ref);
	}
	from->gaps_head = from->gaps_tail = 0;
	out_append(to, buf_data(&from->bytes), buf_len(&from->bytes));
	buf_clear(&from->bytes);
	from->failed = false;
}

static struct iovec
iov_of(const char *ptr, size_t len)
{
	return (struct iovec){ (void *)(uintptr_t)ptr, len };
}

int
out_iov(const struct out *o, struct iovec *iov, int n)
{
	const char *p = o->bytes.mem + o->bytes.head;
	size_t left = buf_len(&o->bytes);
	int used = 0;

	for (size_t i = o->gaps_head; i < o->gaps_tail && used + 2 <= n; i++) {
		const struct out_gap *g = &o->gaps[i];

		if (g->before != 0)
			iov[used++] = iov_of(p, g->before);
		p += g->before;
		left -= g->before;
		iov[used++] = iov_of(g->ref.ptr + g->sent, g->ref.len - g->sent);
		if (i + 1 == o->gaps_tail)
			break;
	}
	if (used < n && left != 0 && (o->gaps_head == o->gaps_tail || bytes_behind_refs(o) == left))
		iov[used++] = iov_of(p, left);
	return used;
}

void
out_consume(struct out *o, size_t n)
{
	while (o->gaps_head < o->gaps_tail) {
		struct out_gap *g = &o->gaps[o->gaps_head];
		size_t take = MIN(n, g->before);

		buf_consume(&o->bytes, take);
		g->before -= take;
		n -= take;
		if (g->before != 0)
			return;
		take = MIN(n, g->ref.len - g->sent);
		g->sent += take;
		o->ref_bytes -= take;
		n -= take;
		if (g->sent < g->ref.len)
			return;
		gap_release(o, g);
		o->gaps_head++;
	}
	o->gaps_head = o->gaps_tail = 0;
	buf_consume(&o->bytes, n);
}
