/* bench_binary.h - what bench_wire.c needs for the binary protocol. */
#ifndef PANNIER_CLI_BENCH_BINARY_H
#define PANNIER_CLI_BENCH_BINARY_H

#include "cli/bench_wire.h"
#include "proto/binary.h"

#define BENCH_BINARY_ROOM 16 /* what stands before the first argument, at most */

/* Prefix and zeroes as msgpack, into a head of bench_wire; its length. */
int bench_binary_key(char head[320], const char *prefix, int digits);
/* Frame, array of n elements, op and id, for arguments of so many bytes. */
char *bench_binary_head(char *at, enum binary_op op, unsigned n, uint32_t wire_id,
    size_t arguments);
/* The head of so many bytes, at most 8 long; its length. */
size_t bench_binary_bytes(char head[8], size_t len);
/* The third argument of SET; 0: there is none. */
size_t bench_binary_ttl(char at[16], const struct bench_expiry *expiry);
int64_t bench_binary_reply(struct slice data, struct bench_reply *out);
int bench_binary_hello(int fd, char *err, size_t err_size) MUST_CHECK;

#endif
