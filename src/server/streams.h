/* streams.h - applies what the streams of the configuration's `invalidations:` say, on
 * loop 0. Streams are those of the start: a reload does not change them. */
#ifndef PANNIER_SERVER_STREAMS_H
#define PANNIER_SERVER_STREAMS_H

#include "base/util.h"
#include "origin/stream.h"

struct server;
struct streams;

/* Before memory is planned: loads libraries. 0 or -errno with err set. */
int streams_new(struct server *s, struct streams **out, char *err, size_t err_size) MUST_CHECK;
/* When the loops run, or are about to. 0 or -errno. */
int streams_start(struct streams *all) MUST_CHECK;
/* When loop 0 runs no more, on its thread. */
void streams_stop(struct streams *all);
void streams_free(struct streams *all); /* after the loops; NULL is fine */

unsigned streams_count(const struct streams *all);
const struct stream *streams_get(const struct streams *all, unsigned i);

#endif
