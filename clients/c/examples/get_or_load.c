/* get_or_load.c - prints a key's value, which is loaded once for all processes.
 *
 *     get_or_load KEY VALUE          "loads" VALUE, which takes until a line comes in */
#include "config.h"

#include <pannier.h>

#include <stdio.h>

static int
load(void *arg, struct pannier_bytes key, struct pannier_load *into)
{
	const char *value = arg;

	printf("loading %.*s\n", (int)key.len, (const char *)key.ptr);
	fflush(stdout);
	if (getchar() == EOF)
		return -1;
	return pannier_load_put(into, value, strlen(value));
}

int
main(int argc, char **argv)
{
	struct pannier_how how = { .ttl_ms = 60000, .wait_ms = 60000 };
	struct pannier_client *client;
	struct pannier_reply *reply;
	int rc;

	if (argc != 3) {
		fprintf(stderr, "usage: get_or_load KEY VALUE\n");
		return 2;
	}
	if (pannier_client_new(NULL, &client) != 0) {
		fprintf(stderr, "get_or_load: no memory, or PANNIER_SOCKET is no address\n");
		return 1;
	}
	rc = pannier_get_or_load(client, pannier_str(argv[1]), &how, load, argv[2], &reply);
	if (rc >= 0)
		printf("%s %.*s\n", pannier_status_name(rc), (int)reply->value.len,
		    (const char *)reply->value.ptr);
	else
		fprintf(stderr, "get_or_load: %s\n", pannier_status_name(rc));
	pannier_reply_free(reply);
	pannier_client_free(client);
	return rc >= 0 ? 0 : 1;
}
