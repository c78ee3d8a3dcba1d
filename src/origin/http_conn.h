/* http_conn.h - the sockets that libcurl has open, and whether those that are
 * kept are clean. For http_client.c and http_attempt.c alone.
 *
 * What comes on a kept connection when nobody has asked for anything would be taken
 * for the answer to the next request, and that one's for the answer to the one behind:
 * each key would get another's value from then on. libcurl 7.88 only looks whether the
 * connection is alive. */
#ifndef PANNIER_ORIGIN_HTTP_CONN_H
#define PANNIER_ORIGIN_HTTP_CONN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/list.h"
#include "origin/curl_api.h"

struct http_client;

struct http_conn {
	struct list link;
	int fd;
	ino_t inode;  /* of that socket: whether it is still the same */
	bool plain;   /* neither TLS nor HTTP/2, below which there are words of their own */
	bool watched; /* a request is under way */
};

/* It is connected. False: no memory. */
bool http_conn_add(struct http_client *hc, int fd, bool plain) MUST_CHECK;
/* As CURLOPT_CLOSESOCKETFUNCTION, with the client. Not called for what was never
 * connected. */
int http_conn_close(void *hc, curl_socket_t fd);
/* Forgets all; libcurl has closed them. */
void http_conn_forget(struct http_client *hc);
/* libcurl waits for something on it, or not any more. Others than ours may be named. */
void http_conn_watched(struct http_client *hc, curl_socket_t fd, bool watched);
/* Cuts those that nobody waits on and that have something to read: libcurl then finds
 * them dead, and takes another. */
void http_conn_cut_spoilt(struct http_client *hc);

#endif
