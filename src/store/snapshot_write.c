#include "config.h"

#include "store/snapshot.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "cache/checksum.h"
#include "store/meta.h"
#include "store/snapshot_format.h"

_Static_assert(sizeof(struct snapshot_head) == SNAPSHOT_HEAD, "as doc/snapshot.md has it");
_Static_assert(sizeof(struct snapshot_block_head) == SNAPSHOT_BLOCK_HEAD, "likewise");
_Static_assert(sizeof(struct snapshot_record) == SNAPSHOT_RECORD_HEAD, "likewise");
_Static_assert(sizeof(struct snapshot_tail) == SNAPSHOT_TAIL, "likewise");

/* --- bytes --------------------------------------------------------------------------- */

static int
write_all(struct snapshot_writer *w, struct iovec *iov, int n)
{
	while (n > 0 && w->rc == 0) {
		ssize_t done = writev(w->fd, iov, n);

		if (done < 0 && errno != EINTR)
			w->rc = -errno;
		if (done <= 0)
			continue;
		w->sum.bytes += (uint64_t)done;
		for (; n > 0 && (size_t)done >= iov->iov_len; iov++, n--)
			done -= (ssize_t)iov->iov_len;
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	return w->rc;
}

static struct iovec
iov_of(const void *data, size_t n)
{
	return (struct iovec){ (void *)(uintptr_t)data, n };
}

int
snapshot_writer_init(struct snapshot_writer *w, int fd, enum cache_policy policy,
    int64_t wall_ms, int64_t offset_ms)
{
	struct snapshot_head h = { .magic = SNAPSHOT_MAGIC, .order = SNAPSHOT_ORDER,
		.version = SNAPSHOT_VERSION, .begun_ms = wall_ms, .policy = (uint32_t)policy,
		.head_bytes = sizeof h };
	struct iovec iov = iov_of(&h, sizeof h);

	*w = (struct snapshot_writer){ .fd = fd, .offset_ms = offset_ms };
	w->block = mem_alloc(SNAPSHOT_BLOCK_HEAD + SNAPSHOT_BLOCK);
	if (w->block == NULL)
		return w->rc = -ENOMEM;
	h.check = checksum_of(&h, offsetof(struct snapshot_head, check), 0);
	return write_all(w, &iov, 1);
}

void
snapshot_writer_fini(struct snapshot_writer *w)
{
	mem_free(w->block);
	w->block = NULL;
}

/* --- records -------------------------------------------------------------------------- */

/* The record with its time as in the stream. Bytes that are none the store made: none. */
static size_t
encode_meta(const struct snapshot_writer *w, struct slice record, unsigned char out[META_MAX])
{
	struct meta m;

	if (!meta_decode(record, &m))
		return 0;
	m.stored_ms += w->offset_ms;
	return meta_encode(&m, out);
}

static struct snapshot_record
record_head(const struct snapshot_writer *w, const struct cache_dumped *d, size_t meta_bytes)
{
	bool never = d->expires_ms == CACHE_NEVER;

	return (struct snapshot_record){
		.key_bytes = (uint32_t)d->key.len,
		.meta_bytes = (uint16_t)meta_bytes,
		.flags = (uint8_t)((meta_bytes != 0 ? RECORD_META : 0) |
		    (d->is_protected ? RECORD_PROTECTED : 0)),
		.rank = (uint8_t)((d->bits & 7) | d->frequency << RECORD_FREQUENCY_SHIFT),
		.value_bytes = d->value.len,
		.expires_ms = never ? 0 : d->expires_ms + w->offset_ms,
		.end_ms = never ? 0 : d->end_ms + w->offset_ms,
	};
}

bool
snapshot_fits_block(const struct cache_dumped *d)
{
	return d->value.len <= SNAPSHOT_BLOCK && d->key.len <= SNAPSHOT_BLOCK &&
	    SNAPSHOT_RECORD_HEAD + d->key.len + d->value.len + META_MAX <= SNAPSHOT_BLOCK;
}

static void
count_entry(struct snapshot_writer *w, const struct cache_dumped *d)
{
	w->records++;
	w->sum.entries++;
	w->sum.footprint += d->footprint;
}

static unsigned char *
append(unsigned char *to, struct slice from)
{
	if (from.len != 0)
		memcpy(to, from.ptr, from.len);
	return to + from.len;
}

bool
snapshot_writer_add(struct snapshot_writer *w, const struct cache_dumped *d)
{
	unsigned char meta[META_MAX], *to = w->block + SNAPSHOT_BLOCK_HEAD + w->used;
	struct snapshot_record head;
	size_t meta_bytes;

	if (!snapshot_fits_block(d) || SNAPSHOT_BLOCK - w->used <
	    SNAPSHOT_RECORD_HEAD + d->key.len + d->value.len + META_MAX)
		return false;
	meta_bytes = encode_meta(w, d->record, meta);
	head = record_head(w, d, meta_bytes);
	memcpy(to, &head, sizeof head);
	to = append(to + sizeof head, d->key);
	to = append(to, d->value);
	to = append(to, slice_of((char *)meta, meta_bytes));
	w->used = (size_t)(to - w->block) - SNAPSHOT_BLOCK_HEAD;
	count_entry(w, d);
	return true;
}

/* --- blocks ---------------------------------------------------------------------------- */

static struct snapshot_block_head
block_head(struct snapshot_writer *w, uint64_t bytes, uint64_t payload_check)
{
	struct snapshot_block_head h = { .kind = SNAPSHOT_KIND_BLOCK, .records = w->records,
		.bytes = bytes, .payload_check = payload_check };

	h.check = checksum_of(&h, offsetof(struct snapshot_block_head, check),
	    w->sum.blocks);
	w->sum.blocks++;
	w->sum.check = checksum_of(&payload_check, sizeof payload_check, w->sum.check);
	w->records = 0;
	return h;
}

int
snapshot_writer_flush(struct snapshot_writer *w)
{
	struct snapshot_block_head h;
	struct iovec iov = iov_of(w->block, SNAPSHOT_BLOCK_HEAD + w->used);

	if (w->used == 0 || w->rc != 0)
		return w->rc;
	h = block_head(w, w->used, checksum_of(w->block + SNAPSHOT_BLOCK_HEAD, w->used,
	    w->sum.blocks));
	memcpy(w->block, &h, sizeof h);
	w->used = 0;
	return write_all(w, &iov, 1);
}

int
snapshot_writer_large(struct snapshot_writer *w, const struct cache_dumped *d)
{
	unsigned char meta[META_MAX];
	size_t meta_bytes = encode_meta(w, d->record, meta), bytes;
	struct snapshot_record head = record_head(w, d, meta_bytes);
	struct snapshot_block_head h;
	struct iovec iov[5] = { { .iov_len = 0 }, iov_of(&head, sizeof head),
		iov_of(d->key.ptr, d->key.len), iov_of(d->value.ptr, d->value.len),
		iov_of(meta, meta_bytes) };
	struct checksum state;

	if (snapshot_writer_flush(w) != 0)
		return w->rc;
	bytes = sizeof head + d->key.len + d->value.len + meta_bytes;
	checksum_init(&state, w->sum.blocks);
	for (unsigned i = 1; i < 5; i++)
		checksum_add(&state, iov[i].iov_base, iov[i].iov_len);
	count_entry(w, d);
	h = block_head(w, bytes, checksum_end(&state));
	iov[0] = iov_of(&h, sizeof h);
	return write_all(w, iov, 5);
}

int
snapshot_writer_end(struct snapshot_writer *w, int64_t wall_ms)
{
	struct snapshot_tail t = { .kind = SNAPSHOT_KIND_TAIL, .ended_ms = wall_ms };
	struct iovec iov = iov_of(&t, sizeof t);

	if (snapshot_writer_flush(w) != 0)
		return w->rc;
	w->sum.ended_ms = wall_ms;
	t.blocks = w->sum.blocks;
	t.entries = w->sum.entries;
	t.footprint = w->sum.footprint;
	t.bytes = w->sum.bytes + sizeof t;
	t.blocks_check = w->sum.check;
	t.check = checksum_of(&t, offsetof(struct snapshot_tail, check), 0);
	return write_all(w, &iov, 1);
}
