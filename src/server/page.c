#include "config.h"

#include "server/page.h"

/* PAGE_ETAG, PAGE_STYLES, PAGE_SCRIPTS and page_text, made by src/server/page/embed. */
#include "server/page/page.inc"

struct slice
page_html(void)
{
	return slice_of(page_text, sizeof page_text - 1);
}

/* The icon is a data: URL. */
const char *
page_policy(void)
{
	return "default-src 'none'; script-src" PAGE_SCRIPTS "; style-src" PAGE_STYLES
	    "; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
	    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
}

const char *
page_etag(void)
{
	return PAGE_ETAG;
}
