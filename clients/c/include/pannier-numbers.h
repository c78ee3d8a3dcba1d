/* pannier-numbers.h - Made from proto/binary.def by clients/make_constants.py: do not edit. */
#ifndef PANNIER_NUMBERS_H
#define PANNIER_NUMBERS_H

enum pannier_op {
	PANNIER_OP_GET = 1,
	PANNIER_OP_SET = 2,
	PANNIER_OP_DELETE = 3,
	PANNIER_OP_TOUCH = 4,
	PANNIER_OP_INCR = 5,
	PANNIER_OP_PEEK = 6,
	PANNIER_OP_GET_MANY = 7,
	PANNIER_OP_SET_MANY = 8,
	PANNIER_OP_DELETE_MANY = 9,
	PANNIER_OP_LEASE = 10,
	PANNIER_OP_RELEASE = 11,
	PANNIER_OP_FLUSH = 12,
	PANNIER_OP_STATS = 13,
	PANNIER_OP_PING = 14,
	PANNIER_OP_CANCEL = 15,
	PANNIER_OP_AUTH = 16,
};

/* How a reply came about. */
enum pannier_status {
	PANNIER_HIT = 0, /* The value was in the cache, and is fresh. */
	PANNIER_STALE = 1, /* The value was in the cache, and its time is over; it is within its grace. */
	PANNIER_FILLED = 2, /* The value was fetched from the origin for this request. */
	PANNIER_COALESCED = 3, /* The value was fetched, or loaded by the holder of a lease, for a request that came before. */
	PANNIER_NEGATIVE = 4, /* The origin says that there is no such value. */
	PANNIER_MISS = 5, /* Not there. */
	PANNIER_STORED = 6, /* Stored. */
	PANNIER_REFUSED = 7, /* A condition of the request did not hold; nothing was changed. */
	PANNIER_LEASE = 8, /* Not there, and the lease is yours: load it, then SET it with the token. */
	PANNIER_DONE = 9, /* Done. */
	PANNIER_ERROR = 15, /* A code and a text follow. */
};

#endif
