/* load.h - the steps of config_load(), apart so that each fits one file. */
#ifndef PANNIER_CONFIG_LOAD_H
#define PANNIER_CONFIG_LOAD_H

#include "config/diag.h"
#include "config/tree.h"

#define CONFIG_FILE_MAX (1u << 20)

/* Of all of these: 0, or -ENOMEM. What is wrong with the input goes to d and
 * is not in the result, so that one run finds many errors. */

/* Fills c from the file's tree. */
int load_tree(struct config *c, const struct tree *t, struct diag *d) MUST_CHECK;
/* A scalar of config.def, or `listen` (one more), from flags or environment;
 * `key` names it in errors. */
int load_override(struct config *c, const char *name, const char *key, struct slice value,
    enum config_source source, struct diag *d) MUST_CHECK;

/* Appends what the file has, 1 MiB at most. 0, or -errno with d told (but of -ENOMEM). */
struct buf;
int config_read_file(const char *path, struct buf *to, struct diag *d) MUST_CHECK;

/* What the file says of listeners, before anything stands over it. */
void validate_listens(struct config *c, const struct tree *t, struct diag *d);
/* What no value alone can tell; then names and the default namespace are put
 * right. t: for places; may be empty. */
int validate(struct config *c, const struct tree *t, struct diag *d) MUST_CHECK;

/* Minimums and maximums of namespaces, against each other and against memory. */
void validate_quotas(const struct config *c, const struct tree *t, struct diag *d);

/* What belongs to one kind of stream stands with no other. */
void validate_streams(const struct config *c, const struct tree *t, struct diag *d);

/* Only that no limit is larger than memory. */
void validate_guard(const struct config_origin *o, const struct node *origin,
    const struct place *at, struct diag *d);
void validate_limits(const struct config *c, const struct tree *t, struct diag *d);

/* Which kind an origin is, and what its redis: says together. n: its mapping. */
void validate_redis(struct config_origin *o, const struct node *n, const struct place *origin,
    struct diag *d);
/* Whether an endpoint of its redis: is over TLS. */
bool redis_is_over_tls(const struct config_origin *o);

/* Resolves names of origins; all of them are there. */
void config_resolve(struct config *c);

#endif
