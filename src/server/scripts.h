/* scripts.h - which scripts clients have loaded, by their SHA-1. One for the
 * server; any thread may call.
 *
 * Only texts of scripts.def get in. They may be written in endless ways, so the
 * registry has a bound: one more takes the place of the one that was loaded
 * first, whose clients are told NOSCRIPT and send it again. */
#ifndef PANNIER_SERVER_SCRIPTS_H
#define PANNIER_SERVER_SCRIPTS_H

#include "base/sha1.h"
#include "base/util.h"
#include "server/script_form.h"

struct script {
	uint8_t sha[SHA1_BYTES];
	unsigned row; /* of scripts.def */
	uint32_t lines[SCRIPT_MARKS]; /* of its marks, in the text as it was sent */
};

struct scripts;
struct scripts *scripts_new(void); /* NULL: no memory */
void scripts_free(struct scripts *s); /* NULL is fine */

/* By its text; it is loaded from then on. False: it is none of ours. */
bool scripts_load(struct scripts *s, struct slice text, struct script *out) MUST_CHECK;
/* By its SHA-1, as text in any case. */
bool scripts_find(struct scripts *s, struct slice hex, struct script *out) MUST_CHECK;
void scripts_flush(struct scripts *s);
unsigned scripts_count(struct scripts *s);

#endif
