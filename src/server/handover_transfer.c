#include "config.h"

#include "server/handover_transfer.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/handover_wire.h"

static int64_t
left_ms(int64_t until_ms)
{
	return MAX(until_ms - clock_mono_ms(), 0);
}

static int
write_all(int fd, struct slice s)
{
	while (s.len != 0) {
		ssize_t n = write(fd, s.ptr, s.len);

		if (n < 0 && errno != EINTR)
			return -errno;
		s = slice_skip(s, n > 0 ? (size_t)n : 0);
	}
	return 0;
}

static int
send_state(int to, int64_t until_ms, struct slice state, const int *fds, unsigned n_fds)
{
	uint64_t counts[] = { state.len, n_fds };
	int memfd = memfd_create("pannier-handover", MFD_CLOEXEC), rc;

	if (memfd < 0)
		return -errno;
	rc = write_all(memfd, state);
	if (rc == 0)
		rc = handover_send(to, HANDOVER_STATE, slice_of(counts, sizeof counts), &memfd, 1,
		    left_ms(until_ms));
	close(memfd);
	while (n_fds != 0 && rc == 0) {
		unsigned n = MIN(n_fds, (unsigned)HANDOVER_FDS);

		rc = handover_send(to, HANDOVER_CLIENTS, slice_of("", 0), fds, n,
		    left_ms(until_ms));
		fds += n;
		n_fds -= n;
	}
	return rc;
}

/* The successor's word decides. If it does not come in time, the socket is closed to it,
 * and then looked at once more: either it stands there, or it can never come. */
static int
wait_taken(int to, int64_t until_ms)
{
	static const char why[] = "it did not take over in time";
	struct handover_message m;
	int rc = handover_receive(to, &m, left_ms(until_ms)), told;

	if (rc == -ETIMEDOUT) {
		told = handover_send(to, HANDOVER_GIVEN_UP, slice_str(why), NULL, 0, 0);
		(void)told; /* it sees the end in any case */
		shutdown(to, SHUT_RDWR);
		rc = handover_receive(to, &m, 0);
		if (rc == -ENODATA)
			rc = -ETIMEDOUT;
	}
	if (rc != 0)
		return rc;
	rc = m.type == HANDOVER_TAKEN ? 0 : -EPROTO;
	handover_message_fini(&m);
	return rc;
}

int
handover_transfer(struct server *s, int to, const struct handover_offer *o, unsigned *n_clients)
{
	unsigned most = atomic_load(&s->clients);
	int *fds = mem_calloc(most + 1, sizeof *fds), rc;
	struct buf state;

	if (fds == NULL)
		return -ENOMEM;
	buf_init(&state);
	rc = handover_state_pack(s, o->contents, &o->pause, &state, fds, most, n_clients);
	if (rc == 0)
		rc = send_state(to, o->until_ms, buf_slice(&state), fds, *n_clients);
	if (rc == 0)
		rc = wait_taken(to, o->until_ms);
	buf_fini(&state);
	mem_free(fds);
	return rc;
}
