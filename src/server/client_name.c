#include "config.h"

#include "server/client_name.h"

#include <errno.h>

#include "base/mem.h"

/* Redis has no limit; here names count against nobody's budget. */
#define CLIENT_NAME_MAX 4096

bool
client_name_valid(struct slice name)
{
	if (name.len > CLIENT_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] < '!' || name.ptr[i] > '~')
			return false;
	return true;
}

int
client_name_set(char **to, struct slice name)
{
	char *copy = NULL;

	if (name.len != 0 && (copy = mem_slicedup(name)) == NULL)
		return -ENOMEM;
	mem_free(*to);
	*to = copy;
	return 0;
}
