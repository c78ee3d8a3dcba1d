#include "config.h"

#include "server/help.h"

#include <ctype.h>
#include <stdio.h>

void
container_name(char out[CONTAINER_NAME_MAX], const struct command *cmd)
{
	const char *p = command_table[cmd->parent].name;
	size_t len = 0;

	for (; *p != '\0' && len < CONTAINER_NAME_MAX - 1; p++)
		out[len++] = (char)toupper((unsigned char)*p);
	out[len] = '\0';
}

void
help_reply(struct call *c, const char *const *lines, size_t n)
{
	char head[128], name[CONTAINER_NAME_MAX];

	container_name(name, c->cmd);
	snprintf(head, sizeof head, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
	    name);
	reply_array(c->reply, n + 3);
	reply_status(c->reply, head);
	for (size_t i = 0; i < n; i++)
		reply_status(c->reply, lines[i]);
	reply_status(c->reply, "HELP");
	reply_status(c->reply, "    Prints this help.");
}
