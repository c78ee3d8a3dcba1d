#include "config.h"

#include "net/peer.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/mem.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59 /* Linux 4.13 */
#endif

int
peer_read(int fd, struct peer *out)
{
	struct ucred c;
	socklen_t len = sizeof c;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) != 0)
		return -errno;
	*out = (struct peer){ .pid = c.pid, .uid = c.uid, .gid = c.gid };
	return 0;
}

static bool
among(gid_t gid, const uint32_t *gids, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (gids[i] == gid)
			return true;
	return false;
}

/* Allocated; NULL: there are none, or nobody knows. */
static gid_t *
read_groups(int fd, unsigned *n)
{
	gid_t *groups;
	socklen_t len = 0;
	int rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len);

	if (rc != 0 && errno != ERANGE)
		return NULL;
	/* ERANGE: len is what it takes. They cannot change, so that is enough. */
	groups = len != 0 ? mem_alloc(len) : NULL;
	if (groups == NULL || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0) {
		mem_free(groups);
		return NULL;
	}
	*n = (unsigned)(len / sizeof *groups);
	return groups;
}

bool
peer_is_member(int fd, const struct peer *p, const uint32_t *gids, unsigned n)
{
	gid_t *groups;
	unsigned n_groups = 0;
	bool found = among(p->gid, gids, n);

	if (found || n == 0)
		return found;
	groups = read_groups(fd, &n_groups);
	for (unsigned i = 0; i < n_groups && !found; i++)
		found = among(groups[i], gids, n);
	mem_free(groups);
	return found;
}
