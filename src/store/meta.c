#include "config.h"

#include "store/meta.h"

#include <string.h>

/* The first byte: two bits of kind, then these. */
enum { HEAD_VALIDATE = 1 << 2, HEAD_NO_STALE = 1 << 3, HEAD_ANY_TAG = 1 << 4, HEAD_ALL = 0x1f };
/* The second: what is there at all, in this order. */
enum {
	HAS_AGE = 1 << 0,
	HAS_TTL = 1 << 1,
	HAS_SWR = 1 << 2,
	HAS_SIE = 1 << 3,
	HAS_ETAG = 1 << 4,
	HAS_DATE = 1 << 5,
	HAS_TAGS = 1 << 6,
	HAS_ALL = 0x7f,
};
#define TIME_MAX (((int64_t)1 << 47) - 1)

void
meta_init(struct meta *m)
{
	*m = (struct meta){ .ttl_ms = META_UNSAID, .swr_ms = META_UNSAID, .sie_ms = META_UNSAID };
}

/* --- writing ----------------------------------------------------------------------- */

static unsigned char *
put_number(unsigned char *to, int64_t n)
{
	uint64_t v = (uint64_t)MIN(MAX(n, 0), TIME_MAX);

	for (; v >= 0x80; v >>= 7)
		*to++ = (unsigned char)(v | 0x80);
	*to++ = (unsigned char)v;
	return to;
}

static unsigned char *
put_bytes(unsigned char *to, const void *from, size_t n, size_t count)
{
	to = put_number(to, (int64_t)count);
	if (n != 0)
		memcpy(to, from, n);
	return to + n;
}

static unsigned
present(const struct meta *m)
{
	unsigned has = 0;

	has |= m->age_ms > 0 ? HAS_AGE : 0;
	has |= m->ttl_ms >= 0 ? HAS_TTL : 0;
	has |= m->swr_ms >= 0 ? HAS_SWR : 0;
	has |= m->sie_ms >= 0 ? HAS_SIE : 0;
	has |= m->etag.len != 0 && m->etag.len <= META_ETAG_MAX ? HAS_ETAG : 0;
	has |= m->last_modified.len != 0 && m->last_modified.len <= META_DATE_MAX ? HAS_DATE : 0;
	has |= m->n_tags != 0 && m->n_tags <= META_TAGS_MAX ? HAS_TAGS : 0;
	return has;
}

size_t
meta_encode(const struct meta *m, unsigned char out[META_MAX])
{
	unsigned has = present(m);
	unsigned char *to = out;
	bool any_tag = m->any_tag || m->n_tags > META_TAGS_MAX;

	*to++ = (unsigned char)((unsigned)m->kind | (m->validate ? HEAD_VALIDATE : 0u) |
	    (m->no_stale ? HEAD_NO_STALE : 0u) | (any_tag ? HEAD_ANY_TAG : 0u));
	*to++ = (unsigned char)has;
	to = put_number(to, m->stored_ms);
	to = put_number(to, m->took_ms);
	if (has & HAS_AGE)
		to = put_number(to, m->age_ms);
	if (has & HAS_TTL)
		to = put_number(to, m->ttl_ms);
	if (has & HAS_SWR)
		to = put_number(to, m->swr_ms);
	if (has & HAS_SIE)
		to = put_number(to, m->sie_ms);
	if (has & HAS_ETAG)
		to = put_bytes(to, m->etag.ptr, m->etag.len, m->etag.len);
	if (has & HAS_DATE)
		to = put_bytes(to, m->last_modified.ptr, m->last_modified.len,
		    m->last_modified.len);
	if (has & HAS_TAGS)
		to = put_bytes(to, m->tags, m->n_tags * sizeof(uint32_t), m->n_tags);
	return (size_t)(to - out);
}

/* --- reading ------------------------------------------------------------------------- */

/* What is left to be read; `bad` once there was less than was wanted. */
struct reader {
	const unsigned char *at, *end;
	bool bad;
};

static int64_t
get_number(struct reader *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; r->at < r->end && shift < 49; shift += 7) {
		unsigned char c = *r->at++;

		v |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80 && v <= (uint64_t)TIME_MAX)
			return (int64_t)v;
		if (c < 0x80)
			break;
	}
	r->bad = true;
	return 0;
}

static int64_t
get_if(struct reader *r, unsigned has, unsigned bit, int64_t other)
{
	return has & bit ? get_number(r) : other;
}

/* `size` bytes each; *n of them. */
static const unsigned char *
get_bytes(struct reader *r, size_t size, size_t most, size_t *n)
{
	uint64_t count = (uint64_t)get_number(r);
	const unsigned char *from = r->at;

	*n = 0;
	if (r->bad || count > most || count * size > (size_t)(r->end - r->at)) {
		r->bad = true;
		return NULL;
	}
	*n = (size_t)count;
	r->at += count * size;
	return from;
}

static struct slice
get_text(struct reader *r, size_t most)
{
	size_t n;
	const unsigned char *from = get_bytes(r, 1, most, &n);

	return slice_of((const char *)from, n);
}

static void
get_rest(struct reader *r, unsigned has, struct meta *m)
{
	size_t n = 0;

	m->stored_ms = get_number(r);
	m->took_ms = get_number(r);
	m->age_ms = get_if(r, has, HAS_AGE, 0);
	m->ttl_ms = get_if(r, has, HAS_TTL, META_UNSAID);
	m->swr_ms = get_if(r, has, HAS_SWR, META_UNSAID);
	m->sie_ms = get_if(r, has, HAS_SIE, META_UNSAID);
	if (has & HAS_ETAG)
		m->etag = get_text(r, META_ETAG_MAX);
	if (has & HAS_DATE)
		m->last_modified = get_text(r, META_DATE_MAX);
	if (has & HAS_TAGS)
		m->tags = get_bytes(r, sizeof(uint32_t), META_TAGS_MAX, &n);
	m->n_tags = (unsigned)n;
}

bool
meta_decode(struct slice record, struct meta *m)
{
	struct reader r = { (const unsigned char *)record.ptr, NULL, false };
	unsigned head, has;

	meta_init(m);
	if (record.len < 2)
		return false;
	r.end = r.at + record.len;
	head = *r.at++;
	has = *r.at++;
	if (head > HEAD_ALL || has > HAS_ALL || (head & 3) >= META_KINDS)
		return false;
	m->kind = (enum meta_kind)(head & 3);
	m->validate = (head & HEAD_VALIDATE) != 0;
	m->no_stale = (head & HEAD_NO_STALE) != 0;
	m->any_tag = (head & HEAD_ANY_TAG) != 0;
	get_rest(&r, has, m);
	if (!r.bad && r.at == r.end)
		return true;
	meta_init(m);
	return false;
}

int64_t
meta_took_ms(struct slice record)
{
	struct reader r = { (const unsigned char *)record.ptr + 2, NULL, record.len < 2 };
	int64_t took_ms;

	if (r.bad)
		return 0;
	r.end = r.at + record.len - 2;
	get_number(&r);
	took_ms = get_number(&r);
	return r.bad ? 0 : took_ms;
}

/* --- tags ------------------------------------------------------------------------------ */

uint32_t
meta_tag_hash(struct slice tag)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < tag.len; i++)
		h = (h ^ (unsigned char)tag.ptr[i]) * 16777619u;
	return h;
}

bool
meta_has_tag(const struct meta *m, uint32_t tag)
{
	uint32_t one;

	for (unsigned i = 0; i < m->n_tags; i++) {
		memcpy(&one, m->tags + i * sizeof one, sizeof one);
		if (one == tag)
			return true;
	}
	return m->any_tag;
}

static bool
parts_tags(char c)
{
	return c == ' ' || c == ',' || c == '\t';
}

void
meta_set_tags(struct meta *m, struct slice list, uint32_t *room)
{
	m->tags = (const unsigned char *)room;
	m->n_tags = 0;
	m->any_tag = false;
	while (list.len != 0) {
		size_t len = 0;

		while (len < list.len && !parts_tags(list.ptr[len]))
			len++;
		if (len != 0 && m->n_tags == META_TAGS_MAX) {
			m->any_tag = true;
			return;
		}
		if (len != 0)
			room[m->n_tags++] = meta_tag_hash(slice_of(list.ptr, len));
		list = slice_skip(list, MIN(len + 1, list.len));
	}
}
