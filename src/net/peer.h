/* peer.h - who is at the other end of a Unix socket, as the kernel knows it. Any
 * thread. Ids are those of the peer when it connected, told in our own user
 * namespace: one that is not mapped there is the overflow id, 65534. */
#ifndef PANNIER_NET_PEER_H
#define PANNIER_NET_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/util.h"

struct peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/* 0 or -errno. */
int peer_read(int fd, struct peer *out) MUST_CHECK;
/* Whether its group, or one of its supplementary groups, is among these. Where
 * the kernel does not tell the latter, only the group counts. */
bool peer_is_member(int fd, const struct peer *p, const uint32_t *gids, unsigned n);

#endif
