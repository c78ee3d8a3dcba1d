/* test_libpannier_vectors.c - proto/vectors the client's way: requests are these bytes,
 * replies mean this, whole and in parts. */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "clients/c/src/impl.h"
#include "unit/suite.h"

struct part {
	const char *ptr;
	size_t len, times;
};

struct bytes {
	const struct part *parts;
	size_t n;
};

struct asked_for {
	enum pannier_op op;
	uint32_t id;
	struct bytes key, value, condition;
	const struct bytes *many;
	size_t n_many;
	int64_t ttl_ms, grace_ms, delta, initial;
	uint32_t deadline_ms, target;
	unsigned flags;
};

struct meant {
	enum pannier_op to;
	uint32_t id;
	int status;
	struct bytes value, token;
	bool has_meta;
	int64_t left_ms, age_ms, number;
	const char *code;
	const struct meant *items;
	size_t n_items, n_fields;
};

struct step {
	const char *name;
	struct bytes send, receive;
	const struct asked_for *asked;
	const struct meant *reply;
	const char *client;
	bool other_forms, raw;
};

#include "vectors.inc"

/* All memory that a step's bytes were put together in. */
static void *blocks[65536];
static size_t n_blocks;

static struct pannier_bytes
whole(const struct bytes *b)
{
	size_t len = 0;
	char *p, *to;

	if (b->parts == NULL)
		return pannier_bytes(NULL, 0);
	for (size_t i = 0; i < b->n; i++)
		len += b->parts[i].len * b->parts[i].times;
	to = p = mem_alloc(len);
	ck_assert(p != NULL && n_blocks < ARRAY_LEN(blocks));
	blocks[n_blocks++] = p;
	for (size_t i = 0; i < b->n; i++)
		for (size_t k = 0; k < b->parts[i].times; k++, to += b->parts[i].len)
			memcpy(to, b->parts[i].ptr, b->parts[i].len);
	return pannier_bytes(p, len);
}

static void
forget(void)
{
	while (n_blocks > 0)
		mem_free(blocks[--n_blocks]);
}

static void
ask(const struct asked_for *a, struct pannier_request *r)
{
	struct pannier_bytes *many = mem_calloc(a->n_many + 1, sizeof *many);

	ck_assert_ptr_nonnull(many);
	for (size_t i = 0; i < a->n_many; i++)
		many[i] = whole(&a->many[i]);
	blocks[n_blocks++] = many;
	*r = (struct pannier_request){ .op = a->op, .flags = a->flags, .key = whole(&a->key),
		.value = whole(&a->value), .condition = whole(&a->condition), .many = many,
		.n_many = a->n_many, .ttl_ms = a->ttl_ms, .grace_ms = a->grace_ms,
		.delta = a->delta, .initial = a->initial, .deadline_ms = a->deadline_ms,
		.target = a->target };
}

/* Two options may stand in any order: then the same bytes are somewhere. */
static bool
same_frame(const struct asked_for *a, const char *made, const char *sent, size_t len)
{
	size_t counts[256] = { 0 };

	if (memcmp(made, sent, len) == 0)
		return true;
	for (size_t i = 0; i < len; i++) {
		counts[(unsigned char)made[i]]++;
		counts[(unsigned char)sent[i]]--;
	}
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		if (counts[i] != 0)
			return false;
	return (a->flags & (a->flags - 1)) != 0 || a->grace_ms != 0 || a->initial != 0;
}

/* A GET's key may be str or bin, its id longer than it need be. Whether it is one, with the id and key that were sent. */
static bool
same_get(const struct out *made, struct pannier_bytes sent)
{
	struct binary_parser p = { .max_frame = UINT32_MAX };
	static struct binary_batch a, b;
	size_t used;

	if (binary_parse(&p, buf_data(&made->bytes), out_len(made), &a, &used) != PARSE_DONE ||
	    binary_parse(&p, sent.ptr, sent.len, &b, &used) != PARSE_DONE)
		return false;
	return a.n == 1 && b.n == 1 && a.req[0].is_get && b.req[0].a == BINARY_OP_get &&
	    b.req[0].argc == 1 && !b.req[0].has_options && a.req[0].b == b.req[0].b &&
	    slice_eq(binary_bytes(&a.req[0].argv[0]), binary_bytes(&b.req[0].argv[0]));
}

START_TEST(requests_are_these_bytes)
{
	size_t looked_at = 0;

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		const struct step *s = &steps[i];
		struct pannier_bytes sent;
		struct pannier_request r;
		const char *why;
		struct out o;

		if (s->asked == NULL || s->other_forms)
			continue;
		out_init(&o);
		ask(s->asked, &r);
		sent = whole(&s->send);
		ck_assert_msg(request_write(&o, s->asked->id, &r, 0, &why) == 0, "%s: %s", s->name, why);
		looked_at++;
		if (same_get(&o, sent)) {
			out_fini(&o);
			forget();
			continue;
		}
		/* A preface may stand before it. */
		ck_assert_msg(out_len(&o) <= sent.len, "%s: %zu bytes, not %zu", s->name, out_len(&o),
		    sent.len);
		ck_assert_msg(same_frame(s->asked, buf_data(&o.bytes),
		    (const char *)sent.ptr + sent.len - out_len(&o), out_len(&o)), "%s: other bytes",
		    s->name);
		ck_assert_msg(s->raw || sent.len == out_len(&o), "%s: %zu bytes, not %zu", s->name,
		    out_len(&o), sent.len);
		out_fini(&o);
		forget();
	}
	ck_assert_uint_gt(looked_at, 100);
}
END_TEST

static bool
same_bytes(struct pannier_bytes a, struct pannier_bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static void
same(const char *name, const struct meant *want, const struct pannier_reply *r)
{
	ck_assert_msg(r->status == want->status, "%s: %s, not %s", name,
	    pannier_status_name(r->status), pannier_status_name(want->status));
	if (want->status == PANNIER_ERROR) {
		ck_assert_msg(same_bytes(r->code, pannier_str(want->code)), "%s: the code", name);
		ck_assert_uint_gt(r->text.len, 0);
		return;
	}
	ck_assert_msg(same_bytes(r->value, whole(&want->value)), "%s: the value", name);
	ck_assert_msg((r->value.ptr != NULL) == (want->value.parts != NULL), "%s: a value", name);
	/* More elements than are meant may be there. */
	ck_assert_msg(want->token.parts == NULL || same_bytes(r->token, whole(&want->token)),
	    "%s: the token", name);
	ck_assert_msg(r->number == want->number, "%s: the number", name);
	ck_assert_msg(!want->has_meta || (r->left_ms == want->left_ms && r->age_ms == want->age_ms),
	    "%s: its times", name);
	ck_assert_msg(r->n_items == want->n_items && r->n_fields == want->n_fields,
	    "%s: how many", name);
	for (size_t i = 0; i < r->n_items; i++)
		same(name, &want->items[i], &r->items[i]);
}

/* What the first whole frame is; PARSE_MORE: there is none yet. */
static enum parse_status
parse(const char *data, size_t len, struct binary_batch *b)
{
	struct binary_parser p = { .max_frame = UINT32_MAX, .replies = true };
	size_t used;

	return binary_parse(&p, data, len, b, &used);
}

START_TEST(replies_mean_this_and_are_not_there_before_their_end)
{
	struct binary_batch b;
	struct pannier_reply r, *copy;
	size_t looked_at = 0;

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		const struct step *s = &steps[i];
		struct pannier_bytes in;

		if (s->reply == NULL || s->receive.parts == NULL ||
		    (s->client != NULL && strcmp(s->client, "answers") != 0))
			continue;
		in = whole(&s->receive);
		for (size_t cut = 0; cut < in.len; cut += 1 + in.len / 600)
			ck_assert_msg(parse(in.ptr, cut, &b) != PARSE_ERROR && b.n == 0, "%s at %zu",
			    s->name, cut);
		ck_assert_msg(parse(in.ptr, in.len, &b) == PARSE_DONE && b.n == 1, "%s: no frame", s->name);
		ck_assert_msg(b.req[0].a == s->reply->id, "%s: the id", s->name);
		reply_read(&b.req[0], s->reply->to, s->reply->n_items, &r);
		same(s->name, s->reply, &r);
		copy = reply_copy(&r);
		reply_fini(&r);
		ck_assert_ptr_nonnull(copy);
		forget();
		same(s->name, s->reply, copy);
		pannier_reply_free(copy);
		forget();
		looked_at++;
	}
	ck_assert_uint_gt(looked_at, 300);
}
END_TEST

START_TEST(what_a_client_must_survive_fails_one_request)
{
	struct binary_batch b;
	struct pannier_reply r;
	size_t fails = 0;

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		const struct step *s = &steps[i];
		struct pannier_bytes in;

		if (s->client == NULL || s->asked == NULL)
			continue;
		in = whole(&s->receive);
		if (strcmp(s->client, "fails") == 0) {
			ck_assert_msg(parse(in.ptr, in.len, &b) == PARSE_DONE && b.n == 1, "%s", s->name);
			reply_read(&b.req[0], s->asked->op, s->asked->n_many, &r);
			ck_assert_msg(r.status == PANNIER_E_UNEXPECTED || r.status == PANNIER_ERROR, "%s",
			    s->name);
			reply_fini(&r);
			fails++;
		}
		forget();
	}
	ck_assert_uint_gt(fails, 5);
}
END_TEST

/* --- violations, at a connection -------------------------------------------------------- */

static int listening = -1;

static void
listen_for(struct pannier_options *o)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof sa;
	char text[64];

	listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listening, (struct sockaddr *)&sa, sizeof sa), 0);
	ck_assert_int_eq(listen(listening, 5), 0);
	ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&sa, &len), 0);
	snprintf(text, sizeof text, "tcp:127.0.0.1:%u", ntohs(sa.sin_port));
	ck_assert_int_eq(pannier_options_address(o, text), 0);
	ck_assert_int_eq(pannier_options_timeout(o, 30000), 0);
	ck_assert_int_eq(pannier_options_connect_timeout(o, 30000), 0);
}

/* Steps until *n callbacks came, or so many bytes are at the server. */
static void
drive(struct pannier_conn *c, const unsigned *n, unsigned until, int peer, int bytes)
{
	int have = 0;

	while (until != 0 ? *n < until : have < bytes) {
		int events = pannier_conn_events(c);
		struct pollfd p = { .fd = pannier_conn_fd(c),
			.events = (short)(((events & PANNIER_READ) != 0 ? POLLIN : 0) |
			    ((events & PANNIER_WRITE) != 0 ? POLLOUT : 0)) };

		poll(&p, 1, 1);
		pannier_conn_step(c, p.revents != 0 ? events : 0);
		if (until == 0)
			ck_assert_int_eq(ioctl(peer, FIONREAD, &have), 0);
	}
}

static void
count(void *arg, const struct pannier_reply *r)
{
	(void)r;
	++*(unsigned *)arg;
}

/* A PING has id 0, and waits; then comes the request of the vector, whose id is 1. */
static void
closes(const struct step *s, struct pannier_conn *c)
{
	static const char offer[] = "\xc1\x0b\x93\xa7pannier\x01\x80";
	struct pannier_request ping = { .op = PANNIER_OP_PING }, r;
	struct pannier_bytes in = whole(&s->receive);
	unsigned n = 0;
	int peer;

	ck_assert_int_eq(pannier_send(c, &ping, count, &n, NULL), 0);
	if (s->asked != NULL) {
		ask(s->asked, &r);
		ck_assert_uint_eq(s->asked->id, 1);
		ck_assert_int_eq(pannier_send(c, &r, count, &n, NULL), 0);
	}
	peer = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(peer, 0);
	drive(c, NULL, 0, peer, 10);
	if (s->asked != NULL)
		ck_assert_int_eq(send(peer, offer, sizeof offer - 1, MSG_NOSIGNAL), sizeof offer - 1);
	if (in.len != 0)
		ck_assert_int_eq(send(peer, in.ptr, in.len, MSG_NOSIGNAL), (ssize_t)in.len);
	if (strstr(s->name, "/ends") != NULL)
		shutdown(peer, SHUT_WR);
	drive(c, &n, s->asked != NULL ? 2 : 1, peer, 0);
	ck_assert_msg(pannier_conn_fd(c) < 0 && pannier_conn_pending(c) == 0, "%s", s->name);
	close(peer);
}

START_TEST(what_no_client_may_go_on_behind_ends_the_connection)
{
	struct pannier_options *o = pannier_options_new();
	size_t n = 0;

	listen_for(o);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		const struct step *s = &steps[i];
		struct pannier_conn *c;

		if (s->client == NULL || strcmp(s->client, "closes") != 0)
			continue;
		ck_assert_int_eq(pannier_conn_new(o, &c), 0);
		closes(s, c);
		ck_assert_str_ne(pannier_conn_reason(c), "");
		pannier_conn_free(c);
		forget();
		n++;
	}
	ck_assert_uint_gt(n, 10);
	pannier_options_free(o);
	close(listening);
}
END_TEST

START_TEST(an_offer_is_read_and_a_refusal_says_why)
{
	static const char refused[] = "\x93\xa7pannier\x00\x83\xa5" "error\xa3why\xa3min\x01\xa3max\x01";
	static const char good[] = "\x93\xa7pannier\x01\x82\xa1x\x92\x01\x81\x01\x02\xa9max_frame\xcd\x10\x00";
	struct offer offer;

	ck_assert_ptr_null(offer_read(refused, sizeof refused - 1, &offer));
	ck_assert_uint_eq(offer.version, 0);
	ck_assert(same_bytes(offer.error, pannier_str("why")));
	ck_assert_ptr_null(offer_read(good, sizeof good - 1, &offer));
	ck_assert_uint_eq(offer.version, 1);
	ck_assert_uint_eq(offer.max_frame, 4096);
	for (size_t cut = 0; cut < sizeof good - 1; cut++)
		ck_assert_ptr_nonnull(offer_read(good, cut, &offer));
}
END_TEST

START_TEST(what_cannot_be_asked_is_said_before_it_is_sent)
{
	static const struct pannier_bytes three[3];
	const struct pannier_request wrong[] = {
		{ .op = 0 }, { .op = 17 }, { .op = PANNIER_OP_GET, .flags = PANNIER_IF_ABSENT },
		{ .op = PANNIER_OP_SET, .flags = PANNIER_IF_ABSENT | PANNIER_IF_PRESENT },
		{ .op = PANNIER_OP_SET, .ttl_ms = -1 }, { .op = PANNIER_OP_SET, .grace_ms = -1 },
		{ .op = PANNIER_OP_SET, .ttl_ms = BINARY_TTL_MAX + 1 },
		{ .op = PANNIER_OP_SET, .flags = PANNIER_IF_TOKEN },
		{ .op = PANNIER_OP_RELEASE }, { .op = PANNIER_OP_GET, .timeout_ms = 3600001 },
		{ .op = PANNIER_OP_SET_MANY, .many = three, .n_many = 3 },
		{ .op = PANNIER_OP_GET_MANY, .many = three, .n_many = 16385 },
		{ .op = PANNIER_OP_SET, .value = { three, UINT32_MAX } },
	};
	const char *why;
	struct out o;

	out_init(&o);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		ck_assert_msg(request_write(&o, 1, &wrong[i], 0, &why) == PANNIER_E_ARGS, "%zu", i);
		ck_assert_ptr_nonnull(why);
		ck_assert_uint_eq(out_len(&o), 0);
	}
	out_fini(&o);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("libpannier: vectors");

	SUITE_ADD(s, "vectors", requests_are_these_bytes,
	    replies_mean_this_and_are_not_there_before_their_end,
	    what_a_client_must_survive_fails_one_request,
	    what_no_client_may_go_on_behind_ends_the_connection,
	    an_offer_is_read_and_a_refusal_says_why,
	    what_cannot_be_asked_is_said_before_it_is_sent);
	return suite_main(s);
}
