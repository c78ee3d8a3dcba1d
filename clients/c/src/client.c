/* client.c - calls that wait: one request of a connection at a time, driven by poll(). */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "base/mem.h"
#include "clients/c/src/impl.h"

struct pannier_client {
	struct pannier_options o;
	struct pannier_conn *conn;
	char error[320];
};

struct waiting {
	struct pannier_client *client;
	struct pannier_reply *reply; /* a copy, where one is wanted */
	int64_t number;
	int status;
	bool wanted, done;
};

const char *
pannier_version(void)
{
	return PANNIER_VERSION;
}

int
pannier_client_new(const struct pannier_options *o, struct pannier_client **out)
{
	struct pannier_client *c = mem_zalloc(sizeof *c);
	int rc;

	if (c == NULL)
		return PANNIER_E_NOMEM;
	rc = pannier_conn_new(o, &c->conn);
	if (rc != 0) {
		mem_free(c);
		return rc;
	}
	if (o != NULL) {
		c->o.metrics = o->metrics;
		c->o.metrics_arg = o->metrics_arg;
	}
	*out = c;
	return 0;
}

void
pannier_client_free(struct pannier_client *c)
{
	if (c == NULL)
		return;
	pannier_conn_free(c->conn);
	mem_free(c);
}

const char *
pannier_client_error(const struct pannier_client *c)
{
	return c->error;
}

const struct pannier_options *
client_options(const struct pannier_client *c)
{
	return &c->o;
}

/* --- one call ---------------------------------------------------------------------- */

static void
say(struct pannier_client *c, struct pannier_bytes code, struct pannier_bytes text)
{
	snprintf(c->error, sizeof c->error, "%.*s%s%.*s", (int)MIN(code.len, (size_t)40),
	    (const char *)code.ptr, code.len != 0 ? ": " : "",
	    (int)MIN(text.len, (size_t)250), (const char *)text.ptr);
}

static void
answered(void *arg, const struct pannier_reply *reply)
{
	struct waiting *w = arg;

	w->status = reply->status;
	w->number = reply->number;
	w->done = true;
	if (reply->status < 0 || reply->status == PANNIER_ERROR)
		say(w->client, reply->code, reply->text);
	if (reply->status < 0 || !w->wanted)
		return;
	w->reply = reply_copy(reply);
	if (w->reply == NULL) {
		w->status = PANNIER_E_NOMEM;
		say(w->client, pannier_str(""), pannier_str("no memory for the reply"));
	}
}

static void
turn(struct pannier_conn *c)
{
	int events = pannier_conn_events(c), ready = 0;
	struct pollfd p = { pannier_conn_fd(c), 0, 0 };

	p.events = (short)(((events & PANNIER_READ) != 0 ? POLLIN : 0) |
	    ((events & PANNIER_WRITE) != 0 ? POLLOUT : 0));
	if (poll(&p, 1, pannier_conn_wait_ms(c)) > 0)
		ready = ((p.revents & (POLLIN | POLLHUP | POLLERR)) != 0 ? PANNIER_READ : 0) |
		    ((p.revents & (POLLOUT | POLLHUP | POLLERR)) != 0 ? PANNIER_WRITE : 0);
	pannier_conn_step(c, ready);
}

static int
once(struct pannier_client *c, const struct pannier_request *r, struct waiting *w)
{
	int rc = pannier_send(c->conn, r, answered, w, NULL);

	if (rc != 0) {
		say(c, pannier_str(""), pannier_str(rc == PANNIER_E_NOMEM ? "no memory" :
		    pannier_conn_reason(c->conn)));
		return rc;
	}
	/* Most are sent at once, without asking whether they can be. */
	pannier_conn_step(c->conn, 0);
	while (!w->done)
		turn(c->conn);
	return w->status;
}

static int
call(struct pannier_client *c, const struct pannier_request *r, struct waiting *w)
{
	bool old = conn_is_open(c->conn);
	int rc;

	c->error[0] = '\0';
	rc = once(c, r, w);
	if (rc != PANNIER_E_AWAY || !old || !request_may_repeat(r))
		return rc;
	/* The daemon was restarted since the last call. */
	w->done = false;
	c->error[0] = '\0';
	return once(c, r, w);
}

int
pannier_call(struct pannier_client *c, const struct pannier_request *r, struct pannier_reply **out)
{
	struct waiting w = { .client = c, .wanted = out != NULL };
	int rc = call(c, r, &w);

	if (out != NULL)
		*out = w.reply;
	return rc;
}

/* --- operations -------------------------------------------------------------------- */

static int
call_number(struct pannier_client *c, const struct pannier_request *r, int64_t *number)
{
	struct waiting w = { .client = c };
	int rc = call(c, r, &w);

	if (number != NULL && (rc == PANNIER_STORED || rc == PANNIER_DONE))
		*number = w.number;
	return rc;
}

int
pannier_get(struct pannier_client *c, struct pannier_bytes key, struct pannier_reply **out)
{
	return pannier_call(c, &(struct pannier_request){ .op = PANNIER_OP_GET, .key = key }, out);
}

int
pannier_get_entry(struct pannier_client *c, struct pannier_bytes key, struct pannier_reply **out)
{
	return pannier_call(c, &(struct pannier_request){ .op = PANNIER_OP_GET, .key = key,
	    .flags = PANNIER_META }, out);
}

int
pannier_peek(struct pannier_client *c, struct pannier_bytes key, struct pannier_reply **out)
{
	return pannier_call(c, &(struct pannier_request){ .op = PANNIER_OP_PEEK, .key = key }, out);
}

int
pannier_set(struct pannier_client *c, struct pannier_bytes key, struct pannier_bytes value,
    int64_t ttl_ms)
{
	return pannier_set_if(c, key, value, ttl_ms, 0, 0, pannier_bytes(NULL, 0));
}

int
pannier_set_if(struct pannier_client *c, struct pannier_bytes key, struct pannier_bytes value,
    int64_t ttl_ms, int64_t grace_ms, unsigned condition, struct pannier_bytes with)
{
	return pannier_call(c, &(struct pannier_request){ .op = PANNIER_OP_SET, .key = key,
	    .value = value, .ttl_ms = ttl_ms, .grace_ms = grace_ms, .flags = condition,
	    .condition = with }, NULL);
}

int
pannier_delete(struct pannier_client *c, struct pannier_bytes key)
{
	return pannier_call(c, &(struct pannier_request){ .op = PANNIER_OP_DELETE, .key = key },
	    NULL);
}

int
pannier_touch(struct pannier_client *c, struct pannier_bytes key, int64_t ttl_ms)
{
	return pannier_call(c, &(struct pannier_request){ .op = PANNIER_OP_TOUCH, .key = key,
	    .ttl_ms = ttl_ms }, NULL);
}

int
pannier_incr(struct pannier_client *c, struct pannier_bytes key, int64_t delta, int64_t initial,
    int64_t ttl_ms, int64_t *sum)
{
	return call_number(c, &(struct pannier_request){ .op = PANNIER_OP_INCR, .key = key,
	    .delta = delta, .initial = initial, .ttl_ms = ttl_ms }, sum);
}

int
pannier_get_many(struct pannier_client *c, const struct pannier_bytes *keys, size_t n,
    struct pannier_reply **out)
{
	return pannier_call(c, &(struct pannier_request){ .op = PANNIER_OP_GET_MANY, .many = keys,
	    .n_many = n }, out);
}

int
pannier_set_many(struct pannier_client *c, const struct pannier_bytes *pairs, size_t n_pairs,
    int64_t ttl_ms, struct pannier_reply **out)
{
	return pannier_call(c, &(struct pannier_request){ .op = PANNIER_OP_SET_MANY, .many = pairs,
	    .n_many = n_pairs > SIZE_MAX / 2 ? SIZE_MAX : 2 * n_pairs, .ttl_ms = ttl_ms }, out);
}

int
pannier_delete_many(struct pannier_client *c, const struct pannier_bytes *keys, size_t n,
    int64_t *n_deleted)
{
	return call_number(c, &(struct pannier_request){ .op = PANNIER_OP_DELETE_MANY, .many = keys,
	    .n_many = n }, n_deleted);
}

int
pannier_lease(struct pannier_client *c, struct pannier_bytes key, uint32_t wait_ms,
    struct pannier_reply **out)
{
	return pannier_call(c, &(struct pannier_request){ .op = PANNIER_OP_LEASE, .key = key,
	    .timeout_ms = wait_ms }, out);
}

int
pannier_release(struct pannier_client *c, struct pannier_bytes key, struct pannier_bytes token)
{
	return pannier_call(c, &(struct pannier_request){ .op = PANNIER_OP_RELEASE, .key = key,
	    .value = token }, NULL);
}

int
pannier_flush(struct pannier_client *c)
{
	return pannier_call(c, &(struct pannier_request){ .op = PANNIER_OP_FLUSH }, NULL);
}

int
pannier_stats(struct pannier_client *c, const char *section, struct pannier_reply **out)
{
	struct pannier_request r = { .op = PANNIER_OP_STATS };

	if (section != NULL)
		r.key = pannier_str(section);
	return pannier_call(c, &r, out);
}

int
pannier_ping(struct pannier_client *c)
{
	return pannier_call(c, &(struct pannier_request){ .op = PANNIER_OP_PING }, NULL);
}
