/* A message of JSON is an object, or an array of such:
 *
 *   {"keys": ["user:42"], "prefixes": [...], "tags": [...], "soft": true}
 *
 * where one name may stand without its brackets, and "key", "prefix" and "tag" are the
 * same. Or, with templates, it is any object, such as Debezium's change events, of
 * which the templates take fields. One whose fields the message lacks says nothing, so
 * that messages of several tables may come by one stream; but one of them must say
 * something. */
#include "config.h"

#include "origin/stream_format.h"

#include <errno.h>

#include "base/json.h"
#include "config/stream_text.h"

struct change_head {
	uint32_t len;
	uint8_t by, soft;
};

int
stream_format_append(struct buf *to, const struct stream_change *c)
{
	struct change_head head = { .len = (uint32_t)c->name.len, .by = (uint8_t)c->by,
		.soft = c->soft };
	int rc = buf_reserve(to, sizeof head + c->name.len);

	if (rc != 0)
		return rc;
	rc = buf_append(to, &head, sizeof head);
	return rc == 0 ? buf_append(to, c->name.ptr, c->name.len) : rc;
}

bool
stream_format_next(struct slice *rest, struct stream_change *out)
{
	struct change_head head;

	if (rest->len < sizeof head)
		return false;
	memcpy(&head, rest->ptr, sizeof head);
	*out = (struct stream_change){ .by = (enum stream_by)head.by, .soft = head.soft != 0,
		.name = slice_of(rest->ptr + sizeof head, head.len) };
	*rest = slice_skip(*rest, sizeof head + head.len);
	return true;
}

struct reader {
	const struct config_stream *cfg;
	struct buf *to;
	struct buf text; /* one name */
	bool soft;
};

static int
append(struct reader *r, enum stream_by by)
{
	struct stream_change c = { .by = by, .soft = r->soft, .name = buf_slice(&r->text) };

	return stream_format_append(r->to, &c);
}

/* --- messages that name what is old -------------------------------------------- */

static int
read_name(struct reader *r, enum stream_by by, struct json value)
{
	int rc;

	if (value.kind != JSON_STRING)
		return -EINVAL;
	buf_clear(&r->text);
	rc = json_text(value, &r->text);
	return rc == 0 ? append(r, by) : rc;
}

static int
read_names(struct reader *r, enum stream_by by, struct json value)
{
	struct json key, name;
	struct json_walk w;
	int rc = 0;

	if (value.kind != JSON_ARRAY)
		return read_name(r, by, value);
	json_walk_init(&w, value);
	while (rc == 0 && json_next(&w, &key, &name))
		rc = read_name(r, by, name);
	return rc;
}

static int
read_object(struct reader *r, struct json message)
{
	static const char *const names[][2] = {
		[STREAM_KEY] = { "keys", "key" },
		[STREAM_PREFIX] = { "prefixes", "prefix" },
		[STREAM_TAG] = { "tags", "tag" },
	};
	struct json soft = json_member(message, SLICE("soft"));
	bool any = false;
	int rc = 0;

	if (message.kind != JSON_OBJECT)
		return -EINVAL;
	r->soft = soft.kind == JSON_TRUE || (soft.kind != JSON_FALSE && r->cfg->soft);
	for (unsigned by = 0; by < ARRAY_LEN(names); by++) {
		for (unsigned i = 0; i < 2 && rc == 0; i++) {
			struct json value = json_member(message, slice_str(names[by][i]));

			if (value.kind <= JSON_NULL)
				continue;
			any = true;
			rc = read_names(r, (enum stream_by)by, value);
		}
	}
	return rc != 0 || any ? rc : -EINVAL;
}

/* --- templates ----------------------------------------------------------------- */

/* The first of the paths that leads to a value. */
static struct json
find_field(struct json message, struct slice paths)
{
	struct json value = { .kind = JSON_NONE };
	struct slice path, name;

	while (value.kind <= JSON_NULL && template_cut(&paths, '|', &path)) {
		value = message;
		while (template_cut(&path, '.', &name))
			value = json_member(value, name);
	}
	return value;
}

/* 0; 1: the message has no such field. */
static int
expand(struct reader *r, const char *text, struct json message)
{
	struct slice rest = slice_str(text);
	struct template_part part;
	int rc = 0;

	buf_clear(&r->text);
	while (rc == 0 && template_part_next(&rest, &part) > 0) {
		struct json field;

		if (!part.is_field) {
			rc = buf_append(&r->text, part.text.ptr, part.text.len);
			continue;
		}
		field = find_field(message, part.text);
		rc = field.kind <= JSON_NULL ? 1 : json_text(field, &r->text);
	}
	return rc;
}

static int
expand_all(struct reader *r, enum stream_by by, char *const *texts, unsigned n,
    struct json message, bool *any)
{
	int rc = 0;

	for (unsigned i = 0; i < n && rc == 0; i++) {
		rc = expand(r, texts[i], message);
		if (rc == 0) {
			*any = true;
			rc = append(r, by);
		}
		if (rc > 0)
			rc = 0;
	}
	return rc;
}

static int
read_fields(struct reader *r, struct json message)
{
	const struct config_stream *cfg = r->cfg;
	bool any = false;
	int rc;

	r->soft = cfg->soft;
	rc = expand_all(r, STREAM_KEY, cfg->keys, cfg->n_keys, message, &any);
	if (rc == 0)
		rc = expand_all(r, STREAM_PREFIX, cfg->prefixes, cfg->n_prefixes, message, &any);
	if (rc == 0)
		rc = expand_all(r, STREAM_TAG, cfg->tags, cfg->n_tags, message, &any);
	return rc != 0 || any ? rc : -EINVAL;
}

/* --- all ------------------------------------------------------------------------- */

static int
read_json(struct reader *r, struct slice message)
{
	struct json value, key, element;
	struct json_walk w;
	int rc = 0;

	if (!json_read(message, &value))
		return -EINVAL;
	if (r->cfg->n_keys + r->cfg->n_prefixes + r->cfg->n_tags != 0)
		return read_fields(r, value);
	if (value.kind != JSON_ARRAY)
		return read_object(r, value);
	json_walk_init(&w, value);
	while (rc == 0 && json_next(&w, &key, &element))
		rc = read_object(r, element);
	return rc;
}

/* Keys, one a line. */
static int
read_plain(struct reader *r, struct slice message)
{
	struct slice line;
	int rc = 0;

	r->soft = r->cfg->soft;
	while (rc == 0 && template_cut(&message, '\n', &line)) {
		if (line.len != 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0)
			continue;
		buf_clear(&r->text);
		rc = buf_append(&r->text, line.ptr, line.len);
		if (rc == 0)
			rc = append(r, STREAM_KEY);
	}
	return rc;
}

int
stream_format_read(const struct config_stream *cfg, struct slice message, struct buf *to)
{
	struct reader r = { .cfg = cfg, .to = to };
	size_t before = buf_len(to);
	int rc;

	if (message.len == 0)
		return 0;
	buf_init(&r.text);
	rc = cfg->format == STREAM_JSON ? read_json(&r, message) : read_plain(&r, message);
	buf_fini(&r.text);
	if (rc != 0)
		to->tail -= buf_len(to) - before;
	return rc;
}
