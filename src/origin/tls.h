/* tls.h - what https origins are trusted by: certificates, read once for all
 * loops.
 *
 * libcurl would read the system's 140 in each loop at its first handshake, in
 * which time (40 ms) that loop serves nobody, and would keep a copy for each.
 * This knows OpenSSL; with another TLS library libcurl does it its own way. */
#ifndef PANNIER_ORIGIN_TLS_H
#define PANNIER_ORIGIN_TLS_H

#include "config/config.h"
#include "origin/curl_api.h"

/* Of a configuration only its tls_* fields count.
 *
 * Reads the certificates to trust, those of a ca_file anew where it has changed;
 * any thread. The system's, which take some 40 ms, are read once, from the file that
 * SSL_CERT_FILE names, else from where libcurl has them. 0, or -EINVAL with why in
 * err: a file cannot be read, or has no certificate. */
int tls_prepare(const struct config_origin *cfg, char *err, size_t err_size) MUST_CHECK;

/* What tls_prepare() read last, to be given back with tls_trust_free(). NULL: nothing was
 * prepared, or OpenSSL is not there: tls_set_up() then leaves it to libcurl. */
struct tls_trust;
struct tls_trust *tls_trust_get(const struct config_origin *cfg);
void tls_trust_free(struct tls_trust *t); /* NULL is fine */

/* Lets a handle go by these; both must outlive it. */
CURLcode tls_set_up(const struct curl_api *curl, CURL *easy, const struct config_origin *cfg,
    struct tls_trust *t) MUST_CHECK;

#endif
