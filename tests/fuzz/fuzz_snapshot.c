/* fuzz_snapshot.c - any bytes as a snapshot: read to its end without a crash, with no more
 * memory than was allowed, and every entry that comes out of it can be one. An even first
 * byte: the rest is the stream. An odd one: it is the payload of a block with right
 * checksums, so that what lies behind those is reached; its other bits say how many records
 * there shall be. */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "cache/checksum.h"
#include "store/meta.h"
#include "store/snapshot.h"
#include "store/snapshot_format.h"

#define MOST (256u << 10)
#define OFFSET 1700000000000

#define CHECK(cond) \
	do { \
		if (!(cond)) \
			check_failed(#cond, __LINE__); \
	} while (0)

NORETURN static void
check_failed(const char *cond, int line)
{
	fprintf(stderr, "fuzz_snapshot.c:%d: %s\n", line, cond);
	abort();
}

static void
put(int fd, const void *data, size_t n)
{
	CHECK(write(fd, data, n) == (ssize_t)n);
}

static void
put_head(int fd)
{
	struct snapshot_head h = { .magic = SNAPSHOT_MAGIC, .order = SNAPSHOT_ORDER,
		.version = SNAPSHOT_VERSION, .begun_ms = OFFSET, .head_bytes = sizeof h };

	h.check = checksum_of(&h, offsetof(struct snapshot_head, check), 0);
	put(fd, &h, sizeof h);
}

static void
put_block(int fd, const uint8_t *data, size_t n, uint32_t records)
{
	struct snapshot_block_head h = { .kind = SNAPSHOT_KIND_BLOCK, .records = records,
		.bytes = n, .payload_check = checksum_of(data, n, 0) };

	h.check = checksum_of(&h, offsetof(struct snapshot_block_head, check), 0);
	put(fd, &h, sizeof h);
	put(fd, data, n);
}

static void
look(const struct cache_dumped *d)
{
	volatile unsigned char sum = 0;
	struct meta m;

	for (size_t i = 0; i < d->key.len; i++)
		sum = (unsigned char)(sum + (unsigned char)d->key.ptr[i]);
	for (size_t i = 0; i < d->value.len; i++)
		sum = (unsigned char)(sum + (unsigned char)d->value.ptr[i]);
	CHECK(d->expires_ms >= 0 && d->end_ms >= d->expires_ms);
	CHECK(d->bits < 8 && d->frequency < 32 && d->record.len <= META_MAX);
	CHECK(d->record.ptr == NULL || meta_decode(d->record, &m));
}

static void
read_all(int fd)
{
	struct snapshot_reader r;
	struct snapshot_block b;
	unsigned char meta[META_MAX];
	struct cache_dumped d;
	int rc = snapshot_reader_init(&r, fd, MOST, OFFSET);

	snapshot_block_init(&b);
	while (rc == 0 && (rc = snapshot_reader_next(&r, &b)) > 0) {
		CHECK(b.cap <= MOST);
		while ((rc = snapshot_block_next(&r, &b, meta, &d)) > 0)
			look(&d);
	}
	CHECK(rc == 0 || rc == -EBADMSG);
	snapshot_block_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct snapshot_sum sum;
	char error[SNAPSHOT_ERROR];
	int fd;

	if (n == 0)
		return 0;
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	CHECK(fd >= 0);
	if (data[0] & 1) {
		put_head(fd);
		put_block(fd, data + 1, n - 1, data[0] >> 1);
	} else {
		put(fd, data + 1, n - 1);
	}
	CHECK(snapshot_sum_of_file(fd, (uint64_t)lseek(fd, 0, SEEK_CUR), &sum, error) <= 0);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	read_all(fd);
	close(fd);
	return 0;
}
