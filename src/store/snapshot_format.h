/* snapshot_format.h - what the writer and the reader of snapshots share: where fields lie.
 * doc/snapshot.md is the same for people. Numbers are in the writer's byte order, which
 * the head tells; a reader of the other order refuses. */
#ifndef PANNIER_STORE_SNAPSHOT_FORMAT_H
#define PANNIER_STORE_SNAPSHOT_FORMAT_H

#include <stdint.h>

#define SNAPSHOT_MAGIC "PANSNAP\n"
#define SNAPSHOT_ORDER 0x01020304u
#define SNAPSHOT_KIND_BLOCK 0x4b434c42u /* "BLCK" */
#define SNAPSHOT_KIND_TAIL 0x4c494154u  /* "TAIL" */

struct snapshot_head {
	char magic[8];
	uint32_t order;
	uint32_t version;
	int64_t begun_ms;
	uint32_t policy;
	uint32_t head_bytes;
	uint64_t reserved[3];
	uint64_t check; /* of what stands before it */
};

struct snapshot_block_head {
	uint32_t kind;
	uint32_t records;
	uint64_t bytes; /* of the payload */
	uint64_t payload_check;
	uint64_t check; /* of what stands before it; both seeded by the block's number */
};

enum { RECORD_META = 1 << 0, RECORD_PROTECTED = 1 << 1, RECORD_FLAGS = 3 };
#define RECORD_FREQUENCY_SHIFT 3 /* in `rank`; below it the policy's bits */

struct snapshot_record {
	uint32_t key_bytes;
	uint16_t meta_bytes;
	uint8_t flags;
	uint8_t rank;
	uint64_t value_bytes;
	int64_t expires_ms; /* 0: never */
	int64_t end_ms;
};

struct snapshot_tail {
	uint32_t kind;
	uint32_t zero;
	uint64_t blocks, entries, footprint, bytes;
	int64_t ended_ms;
	uint64_t blocks_check;
	uint64_t check;
};

#endif
