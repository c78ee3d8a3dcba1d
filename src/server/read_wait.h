/* read_wait.h - the read of one key that may have to wait, for an origin or for
 * the client that loads it: what GET and PANNIER.LEASE share. */
#ifndef PANNIER_SERVER_READ_WAIT_H
#define PANNIER_SERVER_READ_WAIT_H

#include "server/call.h"
#include "server/fetched.h"

/* How a command answers. */
struct read_form {
	/* There is one, maybe a stale one. The cursor is open, and stays so. */
	void (*value)(struct reply *r, struct store_cursor *cur, const struct store_waiter *w,
	    bool stale);
	/* One that was fetched. */
	void (*fetched)(struct server_loop *sl, struct reply *r, struct blob *value);
	/* None; see w->granted. */
	void (*none)(struct reply *r, const struct store_waiter *w);
};

struct read_opts {
	const struct read_form *form;
	bool wants_token;
	int64_t deadline_ms; /* as of struct store_waiter */
};

/* After store_get_cached() has missed: answers, now or later. */
void read_missed(struct call *c, struct store_cursor *cur, const struct read_opts *o);
/* The waiter that a loop keeps ready. */
void read_spare_free(struct server_loop *sl);

#endif
