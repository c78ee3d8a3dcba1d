/* page.h - the page for people, as it is served at / of the admin HTTP. Its source is
 * in src/server/page/; the build puts style and scripts into the HTML, so that nothing
 * else has to be loaded. All of these are constants. */
#ifndef PANNIER_SERVER_PAGE_H
#define PANNIER_SERVER_PAGE_H

#include "base/slice.h"

struct slice page_html(void);
/* Its Content-Security-Policy: scripts and styles are known by their SHA-256
 * (https://www.w3.org/TR/CSP3/), so that nothing that gets into the page by
 * whatever way is ever run. */
const char *page_policy(void);
/* With its quotes, as in HTTP. */
const char *page_etag(void);

#endif
