/* slow_resolver.c - LD_PRELOADed into a daemon: a resolver that finds 127.0.0.1 for
 * "here.test", hangs for "stalls.test" while the file $RESOLVER_STALLS is there, then
 * finds it too, and knows no other name. Addresses are left to the C library. */
#include "config.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
    struct addrinfo **res)
{
	lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
	const char *file = getenv("RESOLVER_STALLS");
	struct in6_addr ip;

	if (name == NULL || inet_pton(AF_INET, name, &ip) == 1 || inet_pton(AF_INET6, name, &ip) == 1)
		return real(name, service, hints, res);
	if (strcmp(name, "stalls.test") == 0)
		while (file != NULL && access(file, F_OK) == 0)
			poll(NULL, 0, 5);
	else if (strcmp(name, "here.test") != 0)
		return EAI_NONAME;
	return real("127.0.0.1", service, hints, res);
}
