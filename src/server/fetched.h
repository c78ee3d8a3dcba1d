/* fetched.h - values that were fetched, in replies. A large one is sent from the blob
 * that all who waited share, not from a copy for each. What clients that read
 * slowly hold so is bounded for the daemon, by twice what is set aside for
 * their buffers; one value may be more. */
#ifndef PANNIER_SERVER_FETCHED_H
#define PANNIER_SERVER_FETCHED_H

#include "base/blob.h"
#include "base/out.h"
#include "proto/msg.h"

struct server_loop;

enum fetched_way {
	FETCHED_COPY,    /* *ref is not set */
	FETCHED_REF,     /* *ref has a reference of its own to the blob */
	FETCHED_REFUSED, /* too large for a copy, and others hold what may be held */
};

#define FETCHED_REFUSAL \
	"other clients have not read their large replies yet, and this one has no room; " \
	"buffers_limit is for them"

/* How a value gets into a reply on this loop. */
enum fetched_way fetched_way(struct server_loop *sl, struct blob *value, struct out_ref *ref)
    MUST_CHECK;
/* As a bulk string, or an error. */
void reply_fetched(struct server_loop *sl, struct reply *r, struct blob *value);

#endif
