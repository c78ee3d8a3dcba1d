/* snapshot.h - the contents of a cache as a stream of bytes: doc/snapshot.md has it byte by
 * byte. A writer and a reader over a descriptor, be it a file, a pipe or a socket that
 * blocks. Neither locks anything nor knows the store; what they cost is a block of memory.
 *
 * A stream is a head, blocks of whole records, and a tail. Each of them is checked by
 * XXH3 before anything in it is believed, the length of a block included. Nothing that is
 * read can make the reader take more memory than it was given: a record that is larger is
 * passed over.
 *
 * Times in the stream are wall-clock, those of the cache monotonic: both sides are told by
 * how much the two differ where they are.
 *
 * One thread at a time. */
#ifndef PANNIER_STORE_SNAPSHOT_H
#define PANNIER_STORE_SNAPSHOT_H

#include "cache/dump.h"

#define SNAPSHOT_VERSION 1
#define SNAPSHOT_HEAD 64
#define SNAPSHOT_BLOCK_HEAD 32
#define SNAPSHOT_RECORD_HEAD 32
#define SNAPSHOT_TAIL 64
/* Payload of a block but for a record that is larger alone. */
#define SNAPSHOT_BLOCK (128u << 10)
#define SNAPSHOT_ERROR 160

/* What the tail sums up. */
struct snapshot_sum {
	uint64_t blocks, entries;
	uint64_t footprint;  /* of the entries, in the arena that they came from */
	uint64_t bytes;      /* of the stream, from head to tail */
	int64_t ended_ms;    /* wall-clock */
	uint64_t check;      /* of the blocks' checksums, in their order */
};

/* --- writing ---------------------------------------------------------------------- */

struct snapshot_writer {
	int fd;
	int rc;              /* what failed first; all that follows does nothing */
	int64_t offset_ms;   /* wall-clock less monotonic */
	unsigned char *block; /* head and payload */
	size_t used;         /* of the payload */
	uint32_t records;    /* in it */
	struct snapshot_sum sum;
};

/* Writes the head. 0, -ENOMEM, or what write() said. Either way snapshot_writer_fini(). */
int snapshot_writer_init(struct snapshot_writer *w, int fd, enum cache_policy policy,
    int64_t wall_ms, int64_t offset_ms) MUST_CHECK;
/* Copies it into the block, without a system call. False: it has no room there now. */
bool snapshot_writer_add(struct snapshot_writer *w, const struct cache_dumped *d) MUST_CHECK;
/* Whether it ever has. */
bool snapshot_fits_block(const struct cache_dumped *d);
/* Writes the block, if there is anything in it. */
int snapshot_writer_flush(struct snapshot_writer *w);
/* One that does not fit, in a block of its own: its value is written from where it lies.
 * What stands in the block already goes first. */
int snapshot_writer_large(struct snapshot_writer *w, const struct cache_dumped *d);
/* The rest, and the tail. 0, or what failed first. */
int snapshot_writer_end(struct snapshot_writer *w, int64_t wall_ms) MUST_CHECK;
void snapshot_writer_fini(struct snapshot_writer *w); /* the descriptor stays open */

/* --- reading ------------------------------------------------------------------------ */

/* A block whose checksum was right. */
struct snapshot_block {
	unsigned char *data; /* owned */
	size_t cap, len, at;
	uint32_t records, read;
};
void snapshot_block_init(struct snapshot_block *b);
void snapshot_block_fini(struct snapshot_block *b);

struct snapshot_reader {
	int fd;
	size_t most;         /* bytes of a block that may be held */
	int64_t offset_ms;
	int64_t begun_ms;    /* wall-clock: when the writer began */
	int policy;          /* enum cache_policy, maybe of one that is not known here */
	uint64_t at;         /* bytes read */
	uint64_t passed;     /* blocks that were too large to be held */
	struct snapshot_sum sum;
	char error[SNAPSHOT_ERROR]; /* what is wrong, and where; one line */
};

/* Reads the head. 0; -EBADMSG: it is no snapshot, or none that is understood; or what
 * read() said. r->error says it either way. */
int snapshot_reader_init(struct snapshot_reader *r, int fd, size_t most, int64_t offset_ms)
    MUST_CHECK;
/* 1: *b is the next block. 0: that was the tail, and all of it is right. Below: -EBADMSG,
 * damaged, r->error says where; -ENOMEM; or what read() said. */
int snapshot_reader_next(struct snapshot_reader *r, struct snapshot_block *b) MUST_CHECK;
/* Its next record. Slices point into the block but d->record, which points into `meta`.
 * 1, 0: that was the last, -EBADMSG: what it says cannot be. */
int snapshot_block_next(const struct snapshot_reader *r, struct snapshot_block *b,
    unsigned char meta[], struct cache_dumped *d) MUST_CHECK;

/* Of a file: reads the tail, from its end, and leaves the descriptor where it is. That
 * its length is right says that nothing was cut off. 0, -EBADMSG with `error`, or
 * what pread() said. */
int snapshot_sum_of_file(int fd, uint64_t size, struct snapshot_sum *out,
    char error[SNAPSHOT_ERROR]) MUST_CHECK;

/* --- files ---------------------------------------------------------------------------- */

/* One that is being written beside the one that it is to replace. */
struct snapshot_file {
	int fd, dir;
	char *path;      /* owned; the last part of it is `name` */
	const char *name;
	char *temp;      /* owned; in the same directory */
};

/* 0, -ENOMEM, or what open() said. A file of a name that a killed process left behind is
 * replaced. */
int snapshot_file_create(struct snapshot_file *f, const char *path) MUST_CHECK;
/* It is on the disk and takes the place of the old one: 0. Else the old one stays as it was,
 * and the new one is gone. Either way *f is done with. */
int snapshot_file_commit(struct snapshot_file *f) MUST_CHECK;
void snapshot_file_abort(struct snapshot_file *f);

/* To be read: a regular file, not a link, of this user or root, that nobody else may
 * write. A descriptor and its size, or -errno with `error`; -ENOENT: there is none. */
int snapshot_file_open(const char *path, uint64_t *size, char error[SNAPSHOT_ERROR]) MUST_CHECK;

#endif
