/* What of an element of `invalidations:` no value alone can tell. */
#include <config.h>

#include "config/config.h"
#include "config/load.h"
#include "config/stream_text.h"

struct stream_check {
	const struct config_stream *s;
	const struct node *node;
	struct place at;
	struct diag *d;
};

static struct mark
mark_of_key(const struct stream_check *k, const char *key)
{
	const struct node *n = node_member(k->node, key);

	return n != NULL ? n->at : k->node->at;
}

static void
check_kind(const struct stream_check *k)
{
	static const char *const of_rabbitmq[] = { "vhost", "exchange", "queue", "routing_keys" };
	static const char *const of_kafka[] = { "topics", "group", "properties" };
	bool kafka = k->s->kind == STREAM_KAFKA;
	const char *const *others = kafka ? of_rabbitmq : of_kafka;
	size_t n = kafka ? ARRAY_LEN(of_rabbitmq) : ARRAY_LEN(of_kafka);

	for (size_t i = 0; i < n; i++)
		if (node_member(k->node, others[i]) != NULL)
			diag_error(k->d, mark_of_key(k, others[i]), &k->at, "%s: belongs to %s",
			    others[i], kafka ? "rabbitmq" : "kafka");
	if (kafka && k->s->n_topics == 0)
		diag_error(k->d, k->node->at, &k->at, "kafka needs topics:, and there is none");
	if (!kafka && k->s->exchange == NULL && k->s->queue == NULL)
		diag_error(k->d, k->node->at, &k->at,
		    "rabbitmq needs exchange: or queue:, and there is none");
	if (k->s->n_routing_keys != 0 && k->s->exchange == NULL)
		diag_error(k->d, mark_of_key(k, "routing_keys"), &k->at,
		    "routing_keys: needs exchange:, and there is none");
}

static void
check_endpoints(const struct stream_check *k)
{
	const struct node *list = node_member(k->node, "endpoints");
	struct place where = { .up = &k->at, .key = "endpoints" };
	struct slice host;
	uint16_t port;

	for (unsigned i = 0; i < k->s->n_endpoints; i++)
		if (k->s->endpoints[i] != NULL &&
		    !stream_endpoint_parse(slice_str(k->s->endpoints[i]), &host, &port))
			diag_error(k->d, node_element(list, i)->at, &where,
			    "\"%s\" is no broker; write for example broker-1:%s",
			    k->s->endpoints[i], k->s->kind == STREAM_KAFKA ? "9092" : "5672");
}

static void
check_templates(const struct stream_check *k, const char *key, char *const *texts, unsigned n)
{
	const struct node *list = node_member(k->node, key);
	struct place where = { .up = &k->at, .key = key };

	for (unsigned i = 0; i < n; i++) {
		const char *wrong =
		    texts[i] != NULL ? template_text_check(slice_str(texts[i])) : NULL;

		if (wrong != NULL)
			diag_error(k->d, node_element(list, i)->at, &where, "\"%s\" %s", texts[i],
			    wrong);
	}
	if (n != 0 && k->s->format != STREAM_JSON)
		diag_error(k->d, list->at, &where, "is for format: json");
}

static void
check_properties(const struct stream_check *k)
{
	const struct node *list = node_member(k->node, "properties");
	struct place where = { .up = &k->at, .key = "properties" };

	for (unsigned i = 0; i < k->s->n_properties; i++) {
		const char *text = k->s->properties[i];

		if (text != NULL && (strchr(text, '=') == NULL || text[0] == '='))
			diag_error(k->d, node_element(list, i)->at, &where,
			    "\"%s\" is no name=value; write for example "
			    "\"session.timeout.ms=10000\"", text);
	}
}

static void
check_tls(const struct stream_check *k)
{
	static const char *const keys[] = { "ca_file", "cert_file", "key_file", "verify" };

	for (size_t i = 0; i < ARRAY_LEN(keys) && !k->s->tls; i++)
		if (node_member(k->node, keys[i]) != NULL &&
		    !(strcmp(keys[i], "verify") == 0 && k->s->verify))
			diag_error(k->d, mark_of_key(k, keys[i]), &k->at, "%s: needs tls: true",
			    keys[i]);
	if ((k->s->cert_file != NULL) != (k->s->key_file != NULL))
		diag_error(k->d, mark_of_key(k, "cert_file"), &k->at,
		    "cert_file: and key_file: need each other");
	if (k->s->password_file != NULL && k->s->user == NULL)
		diag_error(k->d, mark_of_key(k, "password_file"), &k->at,
		    "password_file: needs user:, and there is none");
}

void
validate_streams(const struct config *c, const struct tree *t, struct diag *d)
{
	struct place up = { .key = "invalidations" };
	const struct node *map = node_member(t->root, "invalidations");

	for (unsigned i = 0; i < c->n_streams && d->n == 0; i++) {
		const struct config_stream *s = &c->streams[i];
		struct stream_check k = { .s = s, .node = node_member(map, s->name),
			.at = { .up = &up, .key = s->name }, .d = d };

		if (k.node == NULL)
			continue;
		check_kind(&k);
		check_endpoints(&k);
		check_templates(&k, "keys", s->keys, s->n_keys);
		check_templates(&k, "prefixes", s->prefixes, s->n_prefixes);
		check_templates(&k, "tags", s->tags, s->n_tags);
		check_properties(&k);
		check_tls(&k);
	}
}
