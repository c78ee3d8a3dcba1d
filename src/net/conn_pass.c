/* Connections on their way to another process. Nothing here is called while one of
 * their sockets is being read or written. */
#include "config.h"

#include "net/conn_impl.h"

#include <errno.h>

bool
conn_pool_settled(const struct conn_pool *p)
{
	return p->n_ahead == 0 && !p->turn_end_set;
}

bool
conn_goes_on(const struct conn *c)
{
	return !c->ended && !c->close_asked;
}

bool
conn_is_finishing(const struct conn *c)
{
	return c->finishing;
}

/* What others own is copied, and given back. */
static int
own_output(struct conn *c)
{
	struct out copy;

	if (c->out.ref_bytes == 0)
		return 0;
	out_init(&copy);
	if (out_reserve(&copy, out_len(&c->out)) == NULL) {
		out_fini(&copy);
		return -ENOMEM;
	}
	while (out_len(&c->out) != 0) {
		struct iovec iov;

		out_iov(&c->out, &iov, 1);
		out_append(&copy, iov.iov_base, iov.iov_len);
		out_consume(&c->out, iov.iov_len);
	}
	out_move(&c->out, &copy);
	out_fini(&copy);
	pool_account(c);
	return 0;
}

int
conn_kept(struct conn *c, struct slice *in, struct slice *out)
{
	int rc = own_output(c);

	*in = buf_slice(&c->in);
	*out = buf_slice(&c->out.bytes);
	return rc;
}

int
conn_preload(struct conn *c, struct slice in, struct slice out)
{
	if (in.len != 0 && buf_append(&c->in, in.ptr, in.len) != 0)
		return -ENOMEM;
	if (out.len != 0)
		out_append(&c->out, out.ptr, out.len);
	if (out_failed(&c->out))
		return -ENOMEM;
	pool_account(c);
	conn_kick(c);
	conn_mark(c);
	return 0;
}

void
conn_pool_close(struct conn_pool *p)
{
	while (!list_empty(&p->conns))
		conn_end(list_entry(p->conns.next, struct conn, link), CONN_CLOSED);
}
