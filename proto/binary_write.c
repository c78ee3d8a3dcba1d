/* binary_write.c - frames that are written. Elements go through msgpack-c's
 * packer, which knows the shortest form of each and writes it at once; only the
 * hottest reply, a value, is put together by hand. */
#include "config.h"

#include <msgpack/pack.h>

#include "proto/binary.h"

static int
append(void *data, const char *buf, size_t len)
{
	out_append(data, buf, len);
	return 0; /* what fails for lack of memory marks the queue */
}

static inline msgpack_packer
packer(struct out *o)
{
	return (msgpack_packer){ .data = o, .callback = append };
}

/* --- elements ------------------------------------------------------------------- */

void
binary_put_nil(struct out *o)
{
	msgpack_packer pk = packer(o);

	msgpack_pack_nil(&pk);
}

void
binary_put_flag(struct out *o, bool yes)
{
	msgpack_packer pk = packer(o);

	if (yes)
		msgpack_pack_true(&pk);
	else
		msgpack_pack_false(&pk);
}

void
binary_put_uint(struct out *o, uint64_t n)
{
	msgpack_packer pk = packer(o);

	msgpack_pack_uint64(&pk, n);
}

void
binary_put_int(struct out *o, int64_t n)
{
	msgpack_packer pk = packer(o);

	msgpack_pack_int64(&pk, n);
}

void
binary_put_bytes(struct out *o, struct slice s)
{
	msgpack_packer pk = packer(o);

	msgpack_pack_bin(&pk, s.len);
	if (s.len != 0)
		msgpack_pack_bin_body(&pk, s.ptr, s.len);
}

void
binary_put_str(struct out *o, struct slice s)
{
	msgpack_packer pk = packer(o);

	msgpack_pack_str(&pk, s.len);
	if (s.len != 0)
		msgpack_pack_str_body(&pk, s.ptr, s.len);
}

void
binary_put_text(struct out *o, const char *s)
{
	binary_put_str(o, slice_str(s));
}

void
binary_put_array(struct out *o, size_t n)
{
	msgpack_packer pk = packer(o);

	msgpack_pack_array(&pk, n);
}

void
binary_put_map(struct out *o, size_t n)
{
	msgpack_packer pk = packer(o);

	msgpack_pack_map(&pk, n);
}

void
binary_put_ref(struct out *o, const struct out_ref *ref)
{
	msgpack_packer pk = packer(o);

	msgpack_pack_bin(&pk, ref->len);
	out_append_ref(o, ref);
}

/* --- frames ------------------------------------------------------------------------ */

#define LENGTH_ROOM 5 /* ce and four bytes */

/* Room for the longest length; binary_end() closes up what is not needed. Offsets
 * are from the first unsent byte: memory may move, but nothing is sent between. */
struct binary_mark
binary_begin(struct out *o)
{
	struct binary_mark m = { buf_len(&o->bytes), 0 };

	if (out_reserve(o, LENGTH_ROOM) != NULL)
		out_commit(o, LENGTH_ROOM);
	m.len = out_len(o);
	return m;
}

static size_t
length_bytes(size_t len)
{
	return len < 0x80 ? 1 : len <= UINT8_MAX ? 2 : len <= UINT16_MAX ? 3 : 5;
}

static void
put_length(char *p, size_t len, size_t bytes)
{
	for (size_t i = bytes; i-- > 0; len >>= 8)
		p[i] = (char)len;
	if (bytes > 1)
		p[0] = (char)(bytes == 2 ? 0xcc : bytes == 3 ? 0xcd : 0xce);
}

/* Where a part of the body is sent by reference, it may not be moved: the long form
 * stays. */
void
binary_end(struct out *o, struct binary_mark m)
{
	size_t len, bytes;
	char *p;

	if (out_failed(o))
		return;
	len = out_len(o) - m.len;
	bytes = o->ref_bytes != 0 ? LENGTH_ROOM : length_bytes(len);
	p = buf_data(&o->bytes) + m.tail;
	put_length(p, len, bytes);
	if (bytes == LENGTH_ROOM)
		return;
	memmove(p + bytes, p + LENGTH_ROOM, len);
	o->bytes.tail -= LENGTH_ROOM - bytes;
}

/* --- replies ----------------------------------------------------------------------- */

void
binary_reply_wide(struct out *o, uint32_t id, enum binary_status status)
{
	struct binary_mark m = binary_begin(o);

	binary_put_array(o, 2);
	binary_put_uint(o, id);
	binary_put_uint(o, status);
	binary_end(o, m);
}

/* Control characters of a key's or an origin's words become spaces. */
static void
put_line(struct out *o, const char *text)
{
	char line[512];
	size_t n = 0;

	for (; n < sizeof line - 1 && text[n] != '\0'; n++)
		line[n] = (unsigned char)text[n] < ' ' || text[n] == 0x7f ? ' ' : text[n];
	binary_put_str(o, slice_of(line, n));
}

void
binary_reply_error(struct out *o, uint32_t id, const char *code, const char *text)
{
	struct binary_mark m = binary_begin(o);

	binary_put_array(o, 4);
	binary_put_uint(o, id);
	binary_put_uint(o, BINARY_error);
	binary_put_text(o, code);
	put_line(o, text);
	binary_end(o, m);
}

void
binary_put_error(struct out *o, const char *code, const char *text)
{
	binary_put_array(o, 3);
	binary_put_uint(o, BINARY_error);
	binary_put_text(o, code);
	put_line(o, text);
}

void
binary_write_last(struct out *o, const char *text)
{
	struct binary_mark m = binary_begin(o);

	binary_put_array(o, 4);
	binary_put_nil(o);
	binary_put_uint(o, BINARY_error);
	binary_put_text(o, binary_error_code(BINARY_ERROR_protocol));
	put_line(o, text);
	binary_end(o, m);
}

/* n in `width` bytes behind a header; returns what it took. */
static size_t
put_wide(char *p, unsigned header, uint64_t n, unsigned width)
{
	p[0] = (char)header;
	for (unsigned i = 0; i < width; i++)
		p[width - i] = (char)(n >> 8 * i);
	return 1 + width;
}

static size_t
put_small_uint(char *p, uint32_t n)
{
	if (n < 0x80) {
		p[0] = (char)n;
		return 1;
	}
	if (n <= UINT8_MAX)
		return put_wide(p, 0xcc, n, 1);
	return n <= UINT16_MAX ? put_wide(p, 0xcd, n, 2) : put_wide(p, 0xce, n, 4);
}

size_t
binary_value_head(char *p, uint32_t id, enum binary_status status, size_t len)
{
	char inner[BINARY_HEAD_MAX];
	size_t n = 1, head;

	inner[0] = (char)0x93;
	n += put_small_uint(inner + n, id);
	inner[n++] = (char)status;
	if (len <= UINT8_MAX)
		n += put_wide(inner + n, 0xc4, len, 1);
	else if (len <= UINT16_MAX)
		n += put_wide(inner + n, 0xc5, len, 2);
	else
		n += put_wide(inner + n, 0xc6, len, 4);
	head = length_bytes(n + len);
	put_length(p, n + len, head);
	memcpy(p + head, inner, n);
	return head + n;
}

void
binary_reply_long(struct out *o, uint32_t id, enum binary_status status, struct slice value)
{
	char *p = out_reserve(o, BINARY_HEAD_MAX + value.len);
	size_t head;

	if (unlikely(p == NULL))
		return;
	head = binary_value_head(p, id, status, value.len);
	out_commit(o, head + value.len);
	if (value.len != 0)
		memcpy(p + head, value.ptr, value.len);
}

/* --- the preface --------------------------------------------------------------------- */

static struct binary_mark
begin_preface(struct out *o, uint32_t version, bool map)
{
	struct binary_mark m;

	out_append(o, (char[]){ (char)BINARY_MAGIC }, 1);
	m = binary_begin(o);
	binary_put_array(o, map ? 3 : 2);
	binary_put_text(o, BINARY_NAME);
	binary_put_uint(o, version);
	return m;
}

static void
put_pair(struct out *o, const char *key, uint64_t n)
{
	binary_put_text(o, key);
	binary_put_uint(o, n);
}

void
binary_write_offer(struct out *o, const struct binary_offer *offer)
{
	struct binary_mark m = begin_preface(o, BINARY_VERSION, true);

	binary_put_map(o, 8);
	binary_put_text(o, "server");
	binary_put_text(o, offer->server);
	put_pair(o, "id", offer->id);
	put_pair(o, "max_frame", offer->max_frame);
	put_pair(o, "max_value", offer->max_value);
	put_pair(o, "max_batch", BINARY_BATCH_KEYS);
	put_pair(o, "max_waiting", offer->max_waiting);
	binary_put_text(o, "auth");
	binary_put_flag(o, offer->auth);
	binary_put_text(o, "features");
	binary_put_array(o, offer->n_features);
	for (unsigned i = 0; i < offer->n_features; i++)
		binary_put_text(o, offer->features[i]);
	binary_end(o, m);
}

void
binary_write_refusal(struct out *o, const char *error)
{
	struct binary_mark m = begin_preface(o, 0, true);

	binary_put_map(o, 3);
	binary_put_text(o, "error");
	put_line(o, error);
	put_pair(o, "min", 1);
	put_pair(o, "max", BINARY_VERSION);
	binary_end(o, m);
}

void
binary_write_hello(struct out *o, const char *client)
{
	struct binary_mark m = begin_preface(o, BINARY_VERSION, client != NULL);

	if (client != NULL) {
		binary_put_map(o, 1);
		binary_put_text(o, "client");
		binary_put_text(o, client);
	}
	binary_end(o, m);
}
