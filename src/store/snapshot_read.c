/* What is read may be damaged or made to do harm. The rule here: a length is used when the
 * checksum over it was right, and is looked at all the same. */
#include "config.h"

#include "store/snapshot.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cache/checksum.h"
#include "store/meta.h"
#include "store/snapshot_format.h"

/* A number of milliseconds that can be a time: so that sums cannot overflow. */
#define TIME_MOST ((int64_t)1 << 47)

static int bad(char error[SNAPSHOT_ERROR], const char *fmt, ...) PRINTF(2, 3);

static int
bad(char error[SNAPSHOT_ERROR], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error, SNAPSHOT_ERROR, fmt, ap);
	va_end(ap);
	return -EBADMSG;
}

/* n bytes: 0, -EBADMSG where there are fewer, or what read() said. */
static int
read_all(struct snapshot_reader *r, void *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = read(r->fd, (char *)to + done, n - done);

		if (got == 0)
			return bad(r->error, "at byte %llu: it ends in the middle",
			    (unsigned long long)r->at);
		if (got < 0 && errno != EINTR) {
			int rc = -errno;

			bad(r->error, "at byte %llu: %s", (unsigned long long)r->at,
			    strerror(-rc));
			return rc;
		}
		if (got > 0) {
			done += (size_t)got;
			r->at += (uint64_t)got;
		}
	}
	return 0;
}

/* --- the head ----------------------------------------------------------------------------- */

static int
check_head(struct snapshot_reader *r, const struct snapshot_head *h)
{
	if (memcmp(h->magic, SNAPSHOT_MAGIC, sizeof h->magic) != 0)
		return bad(r->error, "at byte 0: this is no snapshot of pannier");
	if (h->order != SNAPSHOT_ORDER)
		return bad(r->error, "at byte 8: written by a machine of another byte order");
	if (h->version != SNAPSHOT_VERSION)
		return bad(r->error, "at byte 12: version %u; this pannier reads version %u",
		    h->version, SNAPSHOT_VERSION);
	if (h->check != checksum_of(h, offsetof(struct snapshot_head, check), 0) ||
	    h->head_bytes != sizeof *h)
		return bad(r->error, "at byte 0: the checksum of the head is wrong");
	return 0;
}

int
snapshot_reader_init(struct snapshot_reader *r, int fd, size_t most, int64_t offset_ms)
{
	struct snapshot_head h;
	int rc;

	*r = (struct snapshot_reader){ .fd = fd, .most = MAX(most, SNAPSHOT_BLOCK),
		.offset_ms = offset_ms };
	rc = read_all(r, &h, sizeof h);
	if (rc == 0)
		rc = check_head(r, &h);
	if (rc != 0)
		return rc;
	r->begun_ms = h.begun_ms;
	r->policy = (int)MIN(h.policy, (uint32_t)INT32_MAX);
	return 0;
}

/* --- the tail ------------------------------------------------------------------------------ */

static bool
tail_is_right(const struct snapshot_tail *t)
{
	return t->kind == SNAPSHOT_KIND_TAIL &&
	    t->check == checksum_of(t, offsetof(struct snapshot_tail, check), 0);
}

static struct snapshot_sum
sum_of(const struct snapshot_tail *t)
{
	return (struct snapshot_sum){ .blocks = t->blocks, .entries = t->entries,
		.footprint = t->footprint, .bytes = t->bytes, .ended_ms = t->ended_ms,
		.check = t->blocks_check };
}

/* Its first bytes have the size of a block's head and are read already. */
static int
read_tail(struct snapshot_reader *r, const struct snapshot_block_head *begin)
{
	struct snapshot_tail t;
	uint64_t from = r->at - sizeof *begin;
	int rc;

	memcpy(&t, begin, sizeof *begin);
	rc = read_all(r, (char *)&t + sizeof *begin, sizeof t - sizeof *begin);
	if (rc != 0)
		return rc;
	if (!tail_is_right(&t))
		return bad(r->error, "at byte %llu: the checksum of the tail is wrong",
		    (unsigned long long)from);
	if (t.blocks != r->sum.blocks || t.entries != r->sum.entries ||
	    t.blocks_check != r->sum.check || t.bytes != r->at)
		return bad(r->error, "at byte %llu: the tail is that of another snapshot",
		    (unsigned long long)from);
	r->sum = sum_of(&t);
	return 0;
}

int
snapshot_sum_of_file(int fd, uint64_t size, struct snapshot_sum *out, char error[SNAPSHOT_ERROR])
{
	struct snapshot_tail t;
	ssize_t got;

	if (size < SNAPSHOT_HEAD + SNAPSHOT_TAIL)
		return bad(error, "it has only %llu bytes", (unsigned long long)size);
	do {
		got = pread(fd, &t, sizeof t, (off_t)(size - sizeof t));
	} while (got < 0 && errno == EINTR);
	if (got < 0) {
		int rc = -errno;

		bad(error, "%s", strerror(-rc));
		return rc;
	}
	if (got != sizeof t || !tail_is_right(&t) || t.bytes != size)
		return bad(error, "it was cut off: there is no tail at byte %llu",
		    (unsigned long long)(size - sizeof t));
	*out = sum_of(&t);
	return 0;
}

/* --- blocks ----------------------------------------------------------------------------------- */

void
snapshot_block_init(struct snapshot_block *b)
{
	*b = (struct snapshot_block){ .data = NULL };
}

void
snapshot_block_fini(struct snapshot_block *b)
{
	mem_free(b->data);
	snapshot_block_init(b);
}

/* What a large record took is given back with the next block. */
static int
make_room(struct snapshot_block *b, size_t bytes)
{
	size_t cap = MAX(bytes, SNAPSHOT_BLOCK);

	if (b->data != NULL && b->cap == cap)
		return 0;
	snapshot_block_fini(b);
	b->data = mem_alloc(cap);
	if (b->data == NULL)
		return -ENOMEM;
	b->cap = cap;
	return 0;
}

static int
wrong_payload(struct snapshot_reader *r, uint64_t from)
{
	return bad(r->error, "at byte %llu: the checksum of block %llu is wrong",
	    (unsigned long long)from, (unsigned long long)r->sum.blocks);
}

/* Too large to be held; but what follows it counts only if it is right. */
static int
pass_over(struct snapshot_reader *r, const struct snapshot_block_head *h,
    struct snapshot_block *b)
{
	uint64_t from = r->at;
	struct checksum state;
	int rc = make_room(b, 0);

	checksum_init(&state, r->sum.blocks);
	for (uint64_t left = h->bytes; rc == 0 && left > 0;) {
		size_t n = (size_t)MIN(left, b->cap);

		rc = read_all(r, b->data, n);
		if (rc == 0)
			checksum_add(&state, b->data, n);
		left -= n;
	}
	if (rc == 0 && checksum_end(&state) != h->payload_check)
		rc = wrong_payload(r, from);
	b->len = b->at = 0;
	b->records = b->read = 0;
	r->passed += rc == 0;
	return rc;
}

static int
take_in(struct snapshot_reader *r, const struct snapshot_block_head *h, struct snapshot_block *b)
{
	uint64_t from = r->at;
	int rc = make_room(b, h->bytes);

	if (rc == 0)
		rc = read_all(r, b->data, h->bytes);
	if (rc == 0 && checksum_of(b->data, h->bytes, r->sum.blocks) != h->payload_check)
		rc = wrong_payload(r, from);
	b->len = rc == 0 ? h->bytes : 0;
	b->at = 0;
	b->records = rc == 0 ? h->records : 0;
	b->read = 0;
	return rc;
}

int
snapshot_reader_next(struct snapshot_reader *r, struct snapshot_block *b)
{
	struct snapshot_block_head h;
	uint64_t from = r->at;
	int rc = read_all(r, &h, sizeof h);

	if (rc != 0)
		return rc;
	if (h.kind == SNAPSHOT_KIND_TAIL)
		return read_tail(r, &h);
	if (h.kind != SNAPSHOT_KIND_BLOCK || h.check != checksum_of(&h,
	    offsetof(struct snapshot_block_head, check), r->sum.blocks))
		return bad(r->error, "at byte %llu: the checksum of block %llu's head is wrong",
		    (unsigned long long)from, (unsigned long long)r->sum.blocks);
	rc = h.bytes > r->most ? pass_over(r, &h, b) : take_in(r, &h, b);
	if (rc == -ENOMEM)
		bad(r->error, "at byte %llu: out of memory", (unsigned long long)from);
	if (rc != 0)
		return rc;
	r->sum.blocks++;
	r->sum.entries += h.records;
	r->sum.check = checksum_of(&h.payload_check, sizeof h.payload_check,
	    r->sum.check);
	return 1;
}

/* --- records ------------------------------------------------------------------------------ */

static bool
is_possible(const struct snapshot_record *h, size_t left)
{
	if (h->flags & ~RECORD_FLAGS || h->meta_bytes > META_MAX ||
	    (h->meta_bytes != 0) != ((h->flags & RECORD_META) != 0))
		return false;
	if (h->expires_ms < 0 || h->expires_ms > TIME_MOST || h->end_ms < h->expires_ms ||
	    h->end_ms - h->expires_ms > CACHE_GRACE_MOST ||
	    (h->expires_ms == 0 && h->end_ms != 0))
		return false;
	return h->value_bytes <= left && h->key_bytes <= left - h->value_bytes &&
	    h->meta_bytes <= left - h->value_bytes - h->key_bytes;
}

/* A time that lies before the monotonic clock's beginning is its beginning. */
static int64_t
mono_of(const struct snapshot_reader *r, int64_t wall_ms)
{
	return wall_ms == 0 ? CACHE_NEVER : MAX(wall_ms - r->offset_ms, 1);
}

/* The record with its time as in the cache; what was fetched before the clock's beginning
 * is so much older. */
static bool
decode_meta(const struct snapshot_reader *r, struct slice bytes, unsigned char meta[META_MAX],
    struct slice *out)
{
	struct meta m;

	if (!meta_decode(bytes, &m))
		return false;
	m.stored_ms -= r->offset_ms;
	if (m.stored_ms < 1) {
		m.age_ms += 1 - m.stored_ms;
		m.stored_ms = 1;
	}
	*out = slice_of((char *)meta, meta_encode(&m, meta));
	return true;
}

int
snapshot_block_next(const struct snapshot_reader *r, struct snapshot_block *b,
    unsigned char meta[], struct cache_dumped *d)
{
	struct snapshot_record h;
	const char *at;

	if (b->read == b->records)
		return b->at == b->len ? 0 : -EBADMSG;
	if (b->len - b->at < sizeof h)
		return -EBADMSG;
	memcpy(&h, b->data + b->at, sizeof h);
	b->at += sizeof h;
	if (!is_possible(&h, b->len - b->at))
		return -EBADMSG;
	at = (const char *)b->data + b->at;
	*d = (struct cache_dumped){ .key = slice_of(at, h.key_bytes),
		.value = slice_of(at + h.key_bytes, h.value_bytes),
		.expires_ms = mono_of(r, h.expires_ms), .end_ms = mono_of(r, h.end_ms),
		.is_protected = (h.flags & RECORD_PROTECTED) != 0, .bits = h.rank & 7,
		.frequency = h.rank >> RECORD_FREQUENCY_SHIFT };
	at += h.key_bytes + h.value_bytes;
	b->at += h.key_bytes + h.value_bytes + h.meta_bytes;
	b->read++;
	if (h.meta_bytes != 0 && !decode_meta(r, slice_of(at, h.meta_bytes), meta, &d->record))
		return -EBADMSG;
	return 1;
}
