/* stream_format.h - what the messages of a stream say: bytes in, changes out. Pure. */
#ifndef PANNIER_ORIGIN_STREAM_FORMAT_H
#define PANNIER_ORIGIN_STREAM_FORMAT_H

#include "base/buf.h"
#include "config/config.h"

enum stream_by { STREAM_KEY, STREAM_PREFIX, STREAM_TAG };

struct stream_change {
	enum stream_by by;
	bool soft;
	struct slice name;
};

/* Appends the changes that a message is about. 0; -EINVAL: it is malformed, and nothing
 * was appended; -ENOMEM, likewise. An empty message says nothing. */
int stream_format_read(const struct config_stream *cfg, struct slice message, struct buf *to)
    MUST_CHECK;
int stream_format_append(struct buf *to, const struct stream_change *c) MUST_CHECK;
/* Takes the next change off the front. False: there is none. */
bool stream_format_next(struct slice *rest, struct stream_change *out);

#endif
