/* pause.h - CLIENT PAUSE: requests that wait until it is over. Each loop has the
 * same; its sessions are guarded meanwhile, so that nobody else pays for it. */
#ifndef PANNIER_SERVER_PAUSE_H
#define PANNIER_SERVER_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "net/loop.h"

struct call;
struct server_loop;

enum pause_mode { PAUSE_OFF, PAUSE_WRITES, PAUSE_ALL };

struct pause {
	enum pause_mode mode;
	int64_t end_ms; /* monotonic */
	struct timer timer;
};

/* All of them on the loop's thread. */
void pause_init(struct server_loop *sl);
void pause_fini(struct server_loop *sl);
/* For longer or for more, never for less. */
void pause_begin(struct server_loop *sl, enum pause_mode mode, int64_t end_ms);
void pause_end(struct server_loop *sl);
/* Whether the call must wait. */
bool pause_holds(const struct call *c);

#endif
