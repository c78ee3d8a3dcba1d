/* routed.h - writes of keys that belong to an origin and are not `write: local`:
 * SET, SETEX, PSETEX, MSET, DEL, UNLINK and their like in the binary protocol. What
 * else changes a value is refused, since an origin could not be told of it;
 * times to live are the cache's own and may be changed.
 *
 * Asked only where the listener's policy says that there are such namespaces. */
#ifndef PANNIER_SERVER_ROUTED_H
#define PANNIER_SERVER_ROUTED_H

#include "server/call.h"
#include "store/write.h"

/* Of a command: true where it was answered here, or is parked until its origin
 * has answered; else its handler is to run. */
bool routed_command(struct call *c) MUST_CHECK;

/* --- for the protocols ---------------------------------------------------------- */

/* One key to be written, or removed. ns is NULL or WRITE_LOCAL for those that
 * concern the cache alone. */
struct routed_item {
	const struct config_namespace *ns;
	struct slice key, value;
	bool remove;
	int64_t expires_ms;
};

/* How the request is answered when all are written: `removed` of the keys were
 * there. Errors are answered by routed.c. */
typedef void routed_answer(struct reply *r, uint32_t removed);

/* The mode of a key's namespace; *ns is set. */
enum write_mode routed_mode(const struct call *c, struct slice key,
    const struct config_namespace **ns);
/* Whether a write of this key can be carried out by its origin here and now. If not, the
 * error is written: its namespace refuses it, or it would have to wait within a
 * transaction. */
bool routed_admits(struct call *c, const struct config_namespace *ns) MUST_CHECK;
/* The error for what no origin can be told of: "SET with NX". */
void routed_refuse(struct call *c, const struct config_namespace *ns, const char *what);
/* Item i of a request; arg is the caller's, good until routed_run() returns. */
typedef void routed_item_fn(const struct call *c, void *arg, uint32_t i,
    struct routed_item *out);
/* Carries out n items; answers now or later. */
void routed_run(struct call *c, uint32_t n, routed_item_fn *item, void *arg,
    routed_answer *answer);

#endif
