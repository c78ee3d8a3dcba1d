/* stream_kafka.c - invalidations from Kafka (librdkafka).
 *
 * Each process must see each message, so each has a consumer group of its own; without
 * `group`, one of a new name. Where the group has an offset committed, reading goes on there.
 * Where it has none, or what was there is deleted already, reading begins at the end,
 * and that is a gap. The end is asked for and not left to the library: what comes
 * between the gap's flush and the moment that a logical end is looked up would be lost.
 *
 * Offsets are stored when what they are about is applied, and committed once a second, by
 * the library: at least once. It also reconnects by itself, and goes on where it was. */
#include "config.h"

#include "origin/stream_impl.h"

#if HAVE_RDKAFKA

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "origin/dynlib.h"
#include "origin/kafka_api.h"

static struct {
	pthread_once_t once;
	struct kafka_api api;
	int rc;
	char error[256];
} loaded = { .once = PTHREAD_ONCE_INIT };

static struct log_gate library_gate;

struct kafka {
	rd_kafka_t *rk;
	rd_kafka_queue_t *queue;
	rd_kafka_topic_partition_list_t *taken; /* the next offset of each partition */
	bool failed;
};

static void
load(void)
{
	static const struct dynlib_fn functions[] = {
#define KAFKA_API_ROW(fn) { "rd_kafka_" #fn, offsetof(struct kafka_api, fn) },
		KAFKA_API(KAFKA_API_ROW)
#undef KAFKA_API_ROW
	};
	char why[200];

	loaded.rc = dynlib_load(KAFKA_LIBRARY, "librdkafka1", functions, ARRAY_LEN(functions),
	    &loaded.api, why, sizeof why);
	if (loaded.rc != 0)
		snprintf(loaded.error, sizeof loaded.error, "kafka needs librdkafka: %s", why);
}

static int
kafka_prepare(char *err, size_t err_size)
{
	pthread_once(&loaded.once, load);
	if (loaded.rc != 0)
		snprintf(err, err_size, "%s", loaded.error);
	return loaded.rc;
}

static bool
fail(struct stream *s, const char *what, rd_kafka_resp_err_t err)
{
	struct kafka *k = s->broker;

	k->failed = true;
	return stream_fail(s, "%s: %s", what, loaded.api.err2str(err));
}

/* --- settings --------------------------------------------------------------------- */

static bool
set(struct stream *s, rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char why[256];

	if (value == NULL || loaded.api.conf_set(conf, name, value, why, sizeof why) ==
	    RD_KAFKA_CONF_OK)
		return true;
	return stream_fail(s, "%s: %s", name, why);
}

static bool
set_list(struct stream *s, rd_kafka_conf_t *conf, const char *name, char *const *texts, unsigned n)
{
	struct buf list;
	bool fine = true;

	buf_init(&list);
	for (unsigned i = 0; i < n && fine; i++)
		fine = buf_printf(&list, "%s%s", i != 0 ? "," : "", texts[i]) == 0;
	fine = fine && buf_append(&list, "", 1) == 0 && set(s, conf, name, buf_data(&list));
	buf_fini(&list);
	return fine;
}

static bool
set_security(struct stream *s, rd_kafka_conf_t *conf)
{
	static const char *const protocols[2][2] = {
		{ "plaintext", "sasl_plaintext" }, { "ssl", "sasl_ssl" },
	};
	const struct config_stream *cfg = s->cfg;
	bool user = cfg->user != NULL;

	return set(s, conf, "security.protocol", protocols[cfg->tls][user]) &&
	    set(s, conf, "sasl.mechanism", user ? "PLAIN" : NULL) &&
	    set(s, conf, "sasl.username", cfg->user) &&
	    set(s, conf, "sasl.password", user && s->password.text != NULL ? s->password.text
	                                                                  : NULL) &&
	    set(s, conf, "ssl.ca.location", cfg->ca_file) &&
	    set(s, conf, "ssl.certificate.location", cfg->cert_file) &&
	    set(s, conf, "ssl.key.location", cfg->key_file) &&
	    set(s, conf, "enable.ssl.certificate.verification", cfg->verify ? NULL : "false");
}

/* Over ours, but not over what the promises rest on. */
static bool
set_properties(struct stream *s, rd_kafka_conf_t *conf)
{
	bool fine = true;

	for (unsigned i = 0; i < s->cfg->n_properties && fine; i++) {
		const char *text = s->cfg->properties[i], *equals = strchr(text, '=');
		char name[128];

		snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
		fine = set(s, conf, name, equals + 1);
	}
	return fine && set(s, conf, "enable.auto.commit", "true") &&
	    set(s, conf, "enable.auto.offset.store", "false") &&
	    set(s, conf, "auto.offset.reset", "error") &&
	    set(s, conf, "partition.assignment.strategy", "range,roundrobin");
}

static bool
set_group(struct stream *s, rd_kafka_conf_t *conf)
{
	char name[64];
	uint64_t random;

	if (s->cfg->group != NULL)
		return set(s, conf, "group.id", s->cfg->group);
	if (getrandom(&random, sizeof random, 0) != sizeof random)
		return stream_fail(s, "the system gives no random numbers");
	snprintf(name, sizeof name, "pannier-%016" PRIx64, random);
	return set(s, conf, "group.id", name);
}

static bool
set_all(struct stream *s, rd_kafka_conf_t *conf)
{
	char most[32];

	snprintf(most, sizeof most, "%" PRIu64, s->cfg->max_message_bytes);
	return set(s, conf, "client.id", "pannier") &&
	    set(s, conf, "fetch.message.max.bytes", most) &&
	    set(s, conf, "queued.max.messages.kbytes", "4096") &&
	    set(s, conf, "auto.commit.interval.ms", "1000") &&
	    set_list(s, conf, "bootstrap.servers", s->cfg->endpoints, s->cfg->n_endpoints) &&
	    set_group(s, conf) && set_security(s, conf) && set_properties(s, conf);
}

/* --- where reading begins ------------------------------------------------------------ */

static bool
find_end(struct stream *s, rd_kafka_t *rk, rd_kafka_topic_partition_t *p)
{
	int64_t low, high;
	rd_kafka_resp_err_t err = loaded.api.query_watermark_offsets(rk, p->topic, p->partition,
	    &low, &high, STREAM_RPC_MS);

	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return fail(s, "where the topic ends", err);
	if (p->offset >= low && p->offset <= high)
		return true;
	p->offset = high;
	stream_gap(s);
	return true;
}

/* From what the group has committed, as far as that is still there. */
static bool
find_begin(struct stream *s, rd_kafka_t *rk, rd_kafka_topic_partition_list_t *partitions)
{
	rd_kafka_resp_err_t err = loaded.api.committed(rk, partitions, STREAM_RPC_MS);
	bool fine = true;

	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return fail(s, "what the group has committed", err);
	for (int i = 0; i < partitions->cnt && fine; i++)
		fine = find_end(s, rk, &partitions->elems[i]);
	return fine;
}

/* Within consumer_poll(), on the stream's thread. */
static void
on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *partitions,
    void *arg)
{
	struct stream *s = arg;

	if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && find_begin(s, rk, partitions)) {
		loaded.api.assign(rk, partitions);
		stream_connected(s);
		return;
	}
	loaded.api.assign(rk, NULL);
}

/* --- messages ---------------------------------------------------------------------------- */

static void
note_offset(struct stream *s, const rd_kafka_message_t *m)
{
	struct kafka *k = s->broker;
	const char *topic = loaded.api.topic_name(m->rkt);
	rd_kafka_topic_partition_t *p =
	    loaded.api.topic_partition_list_find(k->taken, topic, m->partition);

	if (p == NULL)
		p = loaded.api.topic_partition_list_add(k->taken, topic, m->partition);
	p->offset = m->offset + 1;
}

/* A tombstone, which has no value, says nothing that the message before it did not. */
static bool
take_message(struct stream *s, const rd_kafka_message_t *m)
{
	switch (m->err) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		stream_take(s, slice_of(m->payload, m->len));
		note_offset(s, m);
		return true;
	case RD_KAFKA_RESP_ERR__PARTITION_EOF:
		return true;
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
		/* Deleted before it was read. find_begin() sees it when we come back. */
		return fail(s, "messages are gone before they were read", m->err);
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
		return fail(s, "subscribe", m->err);
	default:
		stream_fail(s, "%s", loaded.api.err2str(m->err)); /* it tries again by itself */
		return true;
	}
}

static bool
kafka_receive(struct stream *s)
{
	struct kafka *k = s->broker;
	int wait_ms = STREAM_WAIT_MS;
	bool fine = true;

	while (fine && !s->gap && s->n_taken < s->cfg->prefetch) {
		rd_kafka_message_t *m = loaded.api.consumer_poll(k->rk, wait_ms);

		if (m == NULL)
			break;
		fine = take_message(s, m);
		loaded.api.message_destroy(m);
		wait_ms = 0;
	}
	return fine && !k->failed;
}

static bool
kafka_ack(struct stream *s)
{
	struct kafka *k = s->broker;

	/* Of partitions that are no longer ours it fails: who has them reads those again. */
	loaded.api.offsets_store(k->rk, k->taken);
	return true;
}

/* --- connecting ------------------------------------------------------------------------ */

static void
on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	const struct stream *s = loaded.api.opaque(rk);

	log_limited(&library_gate, level <= 4 ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG,
	    "invalidations %s: %s: %s", s != NULL ? s->cfg->name : "", facility, text);
}

static void
on_error(rd_kafka_t *rk, int err, const char *why, void *arg)
{
	(void)rk;
	(void)err;
	stream_fail(arg, "%s", why);
}

static bool
make_consumer(struct stream *s)
{
	rd_kafka_conf_t *conf = loaded.api.conf_new();
	struct kafka *k = s->broker;
	char why[256];

	loaded.api.conf_set_opaque(conf, s);
	loaded.api.conf_set_log_cb(conf, on_log);
	loaded.api.conf_set_error_cb(conf, on_error);
	loaded.api.conf_set_rebalance_cb(conf, on_rebalance);
	if (!set_all(s, conf)) {
		loaded.api.conf_destroy(conf);
		return false;
	}
	k->rk = loaded.api.new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
	if (k->rk == NULL) {
		loaded.api.conf_destroy(conf);
		return stream_fail(s, "%s", why);
	}
	loaded.api.poll_set_consumer(k->rk);
	return true;
}

static bool
subscribe(struct stream *s)
{
	struct kafka *k = s->broker;
	rd_kafka_topic_partition_list_t *topics =
	    loaded.api.topic_partition_list_new((int)s->cfg->n_topics);
	rd_kafka_resp_err_t err;

	for (unsigned i = 0; i < s->cfg->n_topics; i++)
		loaded.api.topic_partition_list_add(topics, s->cfg->topics[i],
		    RD_KAFKA_PARTITION_UA);
	err = loaded.api.subscribe(k->rk, topics);
	loaded.api.topic_partition_list_destroy(topics);
	return err == RD_KAFKA_RESP_ERR_NO_ERROR || fail(s, "subscribe", err);
}

static bool
kafka_open(struct stream *s)
{
	struct kafka *k = mem_zalloc(sizeof *k);

	s->broker = k;
	if (k == NULL)
		return stream_fail(s, "out of memory");
	if (!make_consumer(s))
		return false;
	k->taken = loaded.api.topic_partition_list_new(8);
	pthread_mutex_lock(&s->lock);
	k->queue = loaded.api.queue_get_consumer(k->rk);
	pthread_mutex_unlock(&s->lock);
	return subscribe(s);
}

static void
kafka_close(struct stream *s)
{
	struct kafka *k = s->broker;
	rd_kafka_queue_t *queue;

	if (k == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	queue = k->queue;
	k->queue = NULL;
	pthread_mutex_unlock(&s->lock);
	if (queue != NULL)
		loaded.api.queue_destroy(queue);
	if (k->taken != NULL)
		loaded.api.topic_partition_list_destroy(k->taken);
	if (k->rk != NULL) {
		loaded.api.consumer_close(k->rk);
		loaded.api.destroy(k->rk);
	}
	pthread_mutex_lock(&s->lock);
	s->broker = NULL;
	pthread_mutex_unlock(&s->lock);
	mem_free(k);
}

static void
kafka_wake(struct stream *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->broker != NULL && ((struct kafka *)s->broker)->queue != NULL)
		loaded.api.queue_yield(((struct kafka *)s->broker)->queue);
	pthread_mutex_unlock(&s->lock);
}

const struct stream_ops stream_kafka = {
	.name = "kafka",
	.prepare = kafka_prepare,
	.open = kafka_open,
	.receive = kafka_receive,
	.ack = kafka_ack,
	.close = kafka_close,
	.wake = kafka_wake,
};

#else

#include <errno.h>
#include <stdio.h>

static int
kafka_prepare(char *err, size_t err_size)
{
	snprintf(err, err_size, "this pannier was built without librdkafka");
	return -ENOTSUP;
}

const struct stream_ops stream_kafka = { .name = "kafka", .prepare = kafka_prepare };

#endif
