#include "config.h"

#include "server/help.h"

#include <ctype.h>
#include <stdio.h>

void
help_reply(struct call *c, const char *const *lines, size_t n)
{
	char head[128], name[32];
	size_t len = 0;

	for (const char *p = command_table[c->cmd->parent].name; *p && len < sizeof name - 1; p++)
		name[len++] = (char)toupper((unsigned char)*p);
	name[len] = '\0';
	snprintf(head, sizeof head, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
	    name);
	reply_array(c->reply, n + 3);
	reply_status(c->reply, head);
	for (size_t i = 0; i < n; i++)
		reply_status(c->reply, lines[i]);
	reply_status(c->reply, "HELP");
	reply_status(c->reply, "    Prints this help.");
}
