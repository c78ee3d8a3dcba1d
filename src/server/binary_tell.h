/* binary_tell.h - values in replies of the binary protocol: alone or as items of
 * many, with what is known of them or without; and what reads that may wait share. */
#ifndef PANNIER_SERVER_BINARY_TELL_H
#define PANNIER_SERVER_BINARY_TELL_H

#include "server/binary_call.h"

/* How a value is told. */
struct told {
	struct server_loop *sl;
	struct out *out;
	uint32_t id;
	bool item; /* of a batch: without the id */
	bool meta; /* with time left, age and token */
};

/* The value that an open cursor stands on: copied, or sent from where it lies. */
void tell_entry(const struct told *t, enum binary_status status, struct store_cursor *cur,
    int64_t now_ms);
/* Its time left, age and token alone. */
void tell_meta(const struct server_loop *sl, struct out *o, const struct store_cursor *cur,
    int64_t now_ms);
void tell_status(const struct told *t, enum binary_status status);
/* A FILL_VALUE. `key` is what it was fetched for. */
void tell_fetched(const struct told *t, const struct store_waiter *w, struct slice key,
    int64_t now_ms);
/* "ORIGIN", "TIMEOUT": the code of a wait that failed; NULL: it did not. */
const char *binary_wait_error(const struct store_waiter *w);

/* Whether an origin serves the key. */
bool binary_is_routed(const struct binary_call *b, struct slice key);
/* When the request must be answered; 0: whenever. */
int64_t binary_deadline(const struct binary_call *b);
/* Its deadline is 0: it takes what the cache has. */
bool binary_waits_not(const struct binary_call *b);
bool binary_too_many_wait(const struct binary_call *b);
#define BINARY_TOO_MANY_WAIT "too many requests of this connection wait already"

#endif
