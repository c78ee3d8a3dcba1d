/* script_run.h - runs a script of scripts.def on the keys and arguments of an
 * EVAL. */
#ifndef PANNIER_SERVER_SCRIPT_RUN_H
#define PANNIER_SERVER_SCRIPT_RUN_H

#include "server/call.h"
#include "server/scripts.h"

struct script_args {
	const struct slice *keys, *args;
	uint32_t n_keys, n_args;
	bool read_only; /* EVAL_RO: refuses to write */
};

/* Nobody sees or changes the keys while it runs. Writes the reply. */
void script_run(struct call *c, const struct script *script, const struct script_args *args);

#endif
