/* stream_rabbitmq.c - invalidations from RabbitMQ, by AMQP 0-9-1 (librabbitmq).
 *
 * Each process must see each message, so each has a queue of its own. Without `queue`
 * that is an exclusive one, which is gone with the connection: after each connect
 * messages may have been missed. A durable queue keeps them: only where it was not
 * there yet is there a gap. It expires by itself when nobody has read it for an hour, so
 * that a pod that is gone for good leaves none that fills.
 *
 * A message that cannot be understood is rejected, to the queue's dead-letter exchange if it
 * has one. Acknowledged is up to the last good one, when all of them are applied. */
#include "config.h"

#include "origin/stream_impl.h"

#if HAVE_RABBITMQ

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/stream_text.h"
#include "origin/dynlib.h"
#include "origin/rabbitmq_api.h"

#define HEARTBEAT_S 20
#define QUEUE_EXPIRES_MS 3600000
#define FRAME_BYTES 131072

static struct {
	pthread_once_t once;
	struct rabbitmq_api api;
	int rc;
	char error[256];
} loaded = { .once = PTHREAD_ONCE_INIT };

struct rabbit {
	amqp_connection_state_t conn;
	amqp_channel_t channel;
	uint64_t last_good; /* delivery tag; 0: none to acknowledge */
};

static void
load(void)
{
	static const struct dynlib_fn functions[] = {
#define RABBITMQ_API_ROW(fn) { "amqp_" #fn, offsetof(struct rabbitmq_api, fn) },
		RABBITMQ_API(RABBITMQ_API_ROW)
#undef RABBITMQ_API_ROW
	};
	char why[200];

	loaded.rc = dynlib_load(RABBITMQ_LIBRARY, "librabbitmq4", functions, ARRAY_LEN(functions),
	    &loaded.api, why, sizeof why);
	if (loaded.rc != 0)
		snprintf(loaded.error, sizeof loaded.error, "rabbitmq needs librabbitmq: %s", why);
}

static int
rabbit_prepare(char *err, size_t err_size)
{
	pthread_once(&loaded.once, load);
	if (loaded.rc != 0)
		snprintf(err, err_size, "%s", loaded.error);
	return loaded.rc;
}

/* --- errors -------------------------------------------------------------------- */

static const char *
text_of(amqp_bytes_t text, char *out, size_t size)
{
	snprintf(out, size, "%.*s", (int)MIN(text.len, size), (const char *)text.bytes);
	for (char *p = out; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	return out;
}

/* False, when it went wrong; then what the broker said is logged. */
static bool
check(struct stream *s, const char *what, amqp_rpc_reply_t r)
{
	char text[256];

	switch (r.reply_type) {
	case AMQP_RESPONSE_NORMAL:
		return true;
	case AMQP_RESPONSE_LIBRARY_EXCEPTION:
		return stream_fail(s, "%s: %s", what, loaded.api.error_string2(r.library_error));
	case AMQP_RESPONSE_SERVER_EXCEPTION:
		if (r.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
			const amqp_channel_close_t *m = r.reply.decoded;

			return stream_fail(s, "%s: %s", what,
			    text_of(m->reply_text, text, sizeof text));
		}
		if (r.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
			const amqp_connection_close_t *m = r.reply.decoded;

			return stream_fail(s, "%s: %s", what,
			    text_of(m->reply_text, text, sizeof text));
		}
		return stream_fail(s, "%s: refused", what);
	default:
		return stream_fail(s, "%s: no answer", what);
	}
}

static bool
check_rpc(struct stream *s, const char *what)
{
	const struct rabbit *rb = s->broker;

	return check(s, what, loaded.api.get_rpc_reply(rb->conn));
}

/* --- connecting ---------------------------------------------------------------- */

static amqp_bytes_t
bytes_of(const char *text)
{
	amqp_bytes_t b = { 0, NULL };

	if (text != NULL) {
		b.len = strlen(text);
		b.bytes = (void *)(uintptr_t)text;
	}
	return b;
}

static amqp_socket_t *
make_socket(struct stream *s, amqp_connection_state_t conn)
{
	const struct config_stream *cfg = s->cfg;
	amqp_socket_t *sock;

	if (!cfg->tls)
		return loaded.api.tcp_socket_new(conn);
	sock = loaded.api.ssl_socket_new(conn);
	if (sock == NULL)
		return NULL;
	loaded.api.ssl_socket_set_verify_peer(sock, cfg->verify);
	loaded.api.ssl_socket_set_verify_hostname(sock, cfg->verify);
	if ((cfg->ca_file != NULL &&
	    loaded.api.ssl_socket_set_cacert(sock, cfg->ca_file) != AMQP_STATUS_OK) ||
	    (cfg->cert_file != NULL && loaded.api.ssl_socket_set_key(sock, cfg->cert_file,
	    cfg->key_file) != AMQP_STATUS_OK)) {
		stream_fail(s, "ca_file, cert_file or key_file cannot be used");
		return NULL;
	}
	return sock;
}

/* Without ca_file there is nothing that librabbitmq would trust: it does not look where
 * the system has its certificates. */
static bool
connect_to(struct stream *s, const char *endpoint)
{
	const struct timeval most = { .tv_sec = STREAM_RPC_MS / 1000 };
	struct rabbit *rb = s->broker;
	amqp_socket_t *sock;
	struct slice host;
	uint16_t port = 0;
	char name[256];
	int rc;

	if (!stream_endpoint_parse(slice_str(endpoint), &host, &port))
		return stream_fail(s, "%s is no broker", endpoint);
	snprintf(name, sizeof name, "%.*s", (int)host.len, host.ptr);
	rb->conn = loaded.api.new_connection();
	sock = rb->conn != NULL ? make_socket(s, rb->conn) : NULL;
	if (sock == NULL)
		return stream_fail(s, "no socket");
	rc = loaded.api.socket_open_noblock(sock, name, port, &most);
	if (rc != AMQP_STATUS_OK)
		return stream_fail(s, "connect to %s: %s", endpoint,
		    loaded.api.error_string2(rc));
	loaded.api.set_handshake_timeout(rb->conn, &most);
	loaded.api.set_rpc_timeout(rb->conn, &most);
	return true;
}

static amqp_table_entry_t
entry_of_table(const char *key, amqp_table_entry_t *entry)
{
	return (amqp_table_entry_t){
		.key = bytes_of(key),
		.value = { .kind = AMQP_FIELD_KIND_TABLE, .value.table = { 1, entry } },
	};
}

/* Asks to be told when the queue is removed: else the consumer would wait for ever. */
static bool
login(struct stream *s)
{
	amqp_table_entry_t cancel = {
		.key = bytes_of("consumer_cancel_notify"),
		.value = { .kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1 },
	};
	amqp_table_entry_t capabilities = entry_of_table("capabilities", &cancel);
	const amqp_table_t properties = { 1, &capabilities };
	const struct config_stream *cfg = s->cfg;
	struct rabbit *rb = s->broker;
	const char *user = cfg->user != NULL ? cfg->user : "guest";
	const char *password = s->password.text != NULL ? s->password.text :
	    cfg->user != NULL ? "" : "guest";

	return check(s, "login", loaded.api.login_with_properties(rb->conn,
	    cfg->vhost != NULL ? cfg->vhost : "/", 0, FRAME_BYTES, HEARTBEAT_S, &properties,
	    AMQP_SASL_METHOD_PLAIN, user, password));
}

/* Another channel each time: an error closes the one that it is about. */
static bool
open_channel(struct stream *s)
{
	struct rabbit *rb = s->broker;

	loaded.api.channel_open(rb->conn, ++rb->channel);
	return check_rpc(s, "channel");
}

static bool
has_queue(struct stream *s)
{
	struct rabbit *rb = s->broker;

	loaded.api.queue_declare(rb->conn, rb->channel, bytes_of(s->cfg->queue), 1, 0, 0, 0,
	    (amqp_table_t){ 0, NULL });
	return loaded.api.get_rpc_reply(rb->conn).reply_type == AMQP_RESPONSE_NORMAL;
}

/* The queue's name in *name, good until buffers are released. */
static bool
declare(struct stream *s, amqp_bytes_t *name)
{
	amqp_table_entry_t expires = {
		.key = bytes_of("x-expires"),
		.value = { .kind = AMQP_FIELD_KIND_I32, .value.i32 = QUEUE_EXPIRES_MS },
	};
	const struct config_stream *cfg = s->cfg;
	struct rabbit *rb = s->broker;
	bool own = cfg->queue == NULL;
	const amqp_queue_declare_ok_t *ok;

	*name = bytes_of(cfg->queue);
	if (!own && has_queue(s))
		return true;
	stream_gap(s);
	if (!own && cfg->exchange == NULL)
		return stream_fail(s, "there is no queue %s, and no exchange: to bind one to",
		    cfg->queue);
	if (!own && !open_channel(s))
		return false;
	ok = loaded.api.queue_declare(rb->conn, rb->channel, *name, 0, !own, own, own,
	    own ? (amqp_table_t){ 0, NULL } : (amqp_table_t){ 1, &expires });
	if (!check_rpc(s, "queue"))
		return false;
	if (own)
		*name = ok->queue;
	return true;
}

static bool
bind_queue(struct stream *s, amqp_bytes_t queue)
{
	const struct config_stream *cfg = s->cfg;
	struct rabbit *rb = s->broker;
	unsigned n = MAX(cfg->n_routing_keys, 1u);

	for (unsigned i = 0; i < n && cfg->exchange != NULL; i++) {
		const char *key = cfg->n_routing_keys != 0 ? cfg->routing_keys[i] : "#";

		loaded.api.queue_bind(rb->conn, rb->channel, queue, bytes_of(cfg->exchange),
		    bytes_of(key), (amqp_table_t){ 0, NULL });
		if (!check_rpc(s, "exchange"))
			return false;
	}
	return true;
}

static bool
consume(struct stream *s)
{
	struct rabbit *rb = s->broker;
	amqp_bytes_t queue;

	if (!open_channel(s) || !declare(s, &queue) || !bind_queue(s, queue))
		return false;
	loaded.api.basic_qos(rb->conn, rb->channel, 0, (uint16_t)s->cfg->prefetch, 0);
	if (!check_rpc(s, "prefetch"))
		return false;
	loaded.api.basic_consume(rb->conn, rb->channel, queue, (amqp_bytes_t){ 0, NULL }, 0, 0, 0,
	    (amqp_table_t){ 0, NULL });
	return check_rpc(s, "consume");
}

static bool
rabbit_open(struct stream *s)
{
	struct rabbit *rb = mem_zalloc(sizeof *rb);

	s->broker = rb;
	if (rb == NULL)
		return stream_fail(s, "out of memory");
	if (!connect_to(s, s->cfg->endpoints[s->endpoint % s->cfg->n_endpoints]) || !login(s) ||
	    !consume(s))
		return false;
	stream_connected(s);
	return true;
}

/* A broker that does not answer must not hold up our end. */
static void
end_connection(struct stream *s, amqp_connection_state_t conn)
{
	const struct timeval most = { .tv_sec = 1 };

	if (stream_is_stopping(s) && stream_is_connected(s)) {
		loaded.api.set_rpc_timeout(conn, &most);
		loaded.api.connection_close(conn, AMQP_REPLY_SUCCESS);
	}
	loaded.api.destroy_connection(conn);
}

static void
rabbit_close(struct stream *s)
{
	struct rabbit *rb = s->broker;

	s->broker = NULL;
	if (rb == NULL)
		return;
	if (rb->conn != NULL)
		end_connection(s, rb->conn);
	mem_free(rb);
}

/* --- messages ---------------------------------------------------------------------- */

static void
take_message(struct stream *s, const amqp_envelope_t *e)
{
	struct rabbit *rb = s->broker;

	if (stream_take(s, slice_of(e->message.body.bytes, e->message.body.len)))
		rb->last_good = e->delivery_tag;
	else
		loaded.api.basic_reject(rb->conn, e->channel, e->delivery_tag, 0);
}

enum got { GOT_MESSAGE, GOT_NOTHING, GOT_LOST };

/* Without waiting. All but messages ends the connection: the queue was removed, or the
 * broker closed the channel. */
static enum got
get_message(struct stream *s)
{
	const struct timeval at_once = { 0, 0 };
	struct rabbit *rb = s->broker;
	amqp_envelope_t envelope;
	amqp_rpc_reply_t r;

	loaded.api.maybe_release_buffers(rb->conn);
	r = loaded.api.consume_message(rb->conn, &envelope, &at_once, 0);
	if (r.reply_type == AMQP_RESPONSE_NORMAL) {
		take_message(s, &envelope);
		loaded.api.destroy_envelope(&envelope);
		return GOT_MESSAGE;
	}
	if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
	    r.library_error == AMQP_STATUS_TIMEOUT)
		return GOT_NOTHING;
	if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
	    r.library_error == AMQP_STATUS_UNEXPECTED_STATE)
		stream_fail(s, "the broker ended the channel, or the queue is gone");
	else
		check(s, "read", r);
	return GOT_LOST;
}

static void
wait_for_input(struct stream *s)
{
	const struct rabbit *rb = s->broker;
	struct pollfd fds[] = {
		{ .fd = loaded.api.get_sockfd(rb->conn), .events = POLLIN },
		{ .fd = s->wake_fd, .events = POLLIN },
	};

	poll(fds, ARRAY_LEN(fds), STREAM_WAIT_MS);
}

static bool
rabbit_receive(struct stream *s)
{
	enum got got = get_message(s);

	if (got == GOT_NOTHING) {
		wait_for_input(s);
		got = get_message(s);
	}
	while (got == GOT_MESSAGE && s->n_taken < s->cfg->prefetch)
		got = get_message(s);
	return got != GOT_LOST;
}

static bool
rabbit_ack(struct stream *s)
{
	struct rabbit *rb = s->broker;
	int rc = AMQP_STATUS_OK;

	if (rb->last_good != 0)
		rc = loaded.api.basic_ack(rb->conn, rb->channel, rb->last_good, 1);
	rb->last_good = 0;
	return rc == AMQP_STATUS_OK || stream_fail(s, "ack: %s", loaded.api.error_string2(rc));
}

static void
rabbit_wake(struct stream *s)
{
	const uint64_t one = 1;
	ssize_t n = write(s->wake_fd, &one, sizeof one);

	(void)n; /* full is awake too */
}

const struct stream_ops stream_rabbitmq = {
	.name = "rabbitmq",
	.prepare = rabbit_prepare,
	.open = rabbit_open,
	.receive = rabbit_receive,
	.ack = rabbit_ack,
	.close = rabbit_close,
	.wake = rabbit_wake,
};

#else

#include <errno.h>
#include <stdio.h>

static int
rabbit_prepare(char *err, size_t err_size)
{
	snprintf(err, err_size, "this pannier was built without librabbitmq");
	return -ENOTSUP;
}

const struct stream_ops stream_rabbitmq = { .name = "rabbitmq", .prepare = rabbit_prepare };

#endif
