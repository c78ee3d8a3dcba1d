#include <config.h>

#include "config/host.h"

#include <arpa/inet.h>
#include <string.h>

static bool
host_is_loopback(struct slice host)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost", "::1" };

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (slice_eq(host, slice_str(hosts[i])))
			return true;
	return false;
}

static bool
host_is_number(struct slice host)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr to;

	if (host.len >= sizeof text)
		return false;
	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	return inet_pton(AF_INET, text, &to) == 1 || inet_pton(AF_INET6, text, &to) == 1;
}

const char *
host_wrong(struct slice host, bool any_host)
{
	if (host_is_loopback(host) || (any_host && host_is_number(host)))
		return NULL;
	return any_host ? "has no address of this machine; write tcp:0.0.0.0:9464 for all of them, "
	                  "or tcp:127.0.0.1:9464"
	                : "is not on loopback, and TCP has no password here; write for example ";
}
