#include "config.h"

#include "server/client_filter.h"

bool
client_type_parse(struct call *c, struct slice word, enum client_type *out)
{
	static const struct {
		const char *name;
		enum client_type type;
	} types[] = {
		{ "normal", CLIENT_NORMAL }, { "pubsub", CLIENT_PUBSUB },
		{ "slave", CLIENT_NOBODY }, { "replica", CLIENT_NOBODY },
		{ "master", CLIENT_NOBODY },
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (slice_caseeq(word, slice_str(types[i].name))) {
			*out = types[i].type;
			return true;
		}
	reply_error(c->reply, "ERR Unknown client type '%.*s'", (int)MIN(word.len, 512), word.ptr);
	return false;
}

bool
client_is_of(const struct session *s, enum client_type type)
{
	if (type == CLIENT_ANY)
		return true;
	return type == (pubsub_listens(&s->pubsub) ? CLIENT_PUBSUB : CLIENT_NORMAL);
}
