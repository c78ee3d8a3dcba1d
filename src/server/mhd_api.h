/* mhd_api.h - libmicrohttpd, loaded when the admin page or the demo's backend needs
 * it: it brings GnuTLS along, which nobody else shall pay for. To use a further
 * function, add a row to the table. */
#ifndef PANNIER_SERVER_MHD_API_H
#define PANNIER_SERVER_MHD_API_H

#include <microhttpd.h>

#define MHD_API(FN) \
	FN(start_daemon) \
	FN(stop_daemon) \
	FN(get_daemon_info) \
	FN(get_timeout) \
	FN(lookup_connection_value) \
	FN(run) \
	FN(suspend_connection) \
	FN(resume_connection) \
	FN(create_response_from_buffer) \
	FN(add_response_header) \
	FN(queue_response) \
	FN(destroy_response)

struct mhd_api {
#define MHD_API_MEMBER(name) __typeof__(MHD_##name) *name;
	MHD_API(MHD_API_MEMBER)
#undef MHD_API_MEMBER
};

/* Loads the library at the first call; any thread. NULL: mhd_api_error() says
 * why, in one line. */
const struct mhd_api *mhd_api_get(void);
const char *mhd_api_error(void);

#endif
