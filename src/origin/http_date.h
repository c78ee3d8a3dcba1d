/* http_date.h - dates as HTTP writes them (RFC 9110, 5.6.7). Pure. */
#ifndef PANNIER_ORIGIN_HTTP_DATE_H
#define PANNIER_ORIGIN_HTTP_DATE_H

#include <stdint.h>

#include "base/slice.h"
#include "base/util.h"

/* All three forms: IMF-fixdate, RFC 850 (years of two digits are taken as
 * 1970 to 2069) and asctime. Seconds since 1970, UTC. 0, or -EINVAL with *out
 * untouched. */
int http_date_parse(struct slice s, int64_t *out) MUST_CHECK;

#endif
