/* tls.h - the certificates that https origins are checked against, read once
 * for all loops.
 *
 * libcurl would read the system's 140 in each loop at its first handshake, in
 * which time (40 ms) that loop serves nobody, and would keep a copy for each.
 * This knows OpenSSL; with another TLS library libcurl does it its own way. */
#ifndef PANNIER_ORIGIN_TLS_H
#define PANNIER_ORIGIN_TLS_H

#include "origin/curl_api.h"

/* Reads them at the first call, which takes some 40 ms; any thread. They come
 * from the file that SSL_CERT_FILE names, else from where libcurl has them. */
void tls_prepare(void);
/* Lets a handle use them, where tls_prepare() found some. */
CURLcode tls_set_up(const struct curl_api *curl, CURL *easy) MUST_CHECK;

#endif
