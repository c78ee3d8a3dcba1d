/* <config.h> is the build's: in this directory "config.h" would be ours. */
#include <config.h>

#include "config/load.h"
#include "config/machine.h"

#define MINIMUMS_PCT 50 /* of memory, for all together */

static uint64_t
bytes_of(uint64_t amount, uint64_t memory)
{
	return amount >> 63 ? memory / 100 * (amount & 0xff) : amount;
}

static void
check_one(const struct config_namespace *ns, const struct node *n, const struct place *at,
    uint64_t memory, struct diag *d)
{
	const char *which = ns->max_memory != 0 ? "max_memory" : "min_memory";
	struct place where = { .up = at, .key = which };
	const struct node *key = node_member(n, which);
	struct mark mark = key != NULL ? key->at : (struct mark){ 0, 0 };

	if (ns->min_memory == 0 && ns->max_memory == 0)
		return;
	if (ns->class == CLASS_PROTECTED)
		diag_error(d, mark, &where, "is for class: cache; all protected keys share "
		    "protected_limit, and none of them is evicted");
	else if (ns->max_memory != 0 &&
	    bytes_of(ns->min_memory, memory) > bytes_of(ns->max_memory, memory))
		diag_error(d, mark, &where, "is less than min_memory");
}

static void
check_all(const struct config *c, uint64_t memory, const struct place *up, struct diag *d)
{
	struct mark nowhere = { 0, 0 };
	uint64_t minimums = 0, shares = 0;
	unsigned quotas = 0;

	for (unsigned i = 0; i < c->n_namespaces; i++) {
		const struct config_namespace *ns = &c->namespaces[i];

		minimums += bytes_of(ns->min_memory, memory);
		shares += ns->min_memory >> 63 ? ns->min_memory & 0xff : 0;
		quotas += ns->min_memory != 0 || ns->max_memory != 0;
	}
	if (quotas > CONFIG_QUOTAS_MAX)
		diag_error(d, nowhere, up, "%u have min_memory or max_memory; at most %d may",
		    quotas, CONFIG_QUOTAS_MAX);
	if (shares > MINIMUMS_PCT)
		diag_error(d, nowhere, up, "min_memory of all together is %u%%; at most %d%% of "
		    "the cache may be kept for some", (unsigned)shares, MINIMUMS_PCT);
	else if (minimums > memory / 100 * MINIMUMS_PCT)
		diag_error(d, nowhere, up, "min_memory of all together is %llu KiB; at most half "
		    "of memory, %llu KiB here, may be kept for some: lower them, or raise memory",
		    (unsigned long long)minimums >> 10,
		    (unsigned long long)(memory / 100 * MINIMUMS_PCT) >> 10);
}

void
validate_quotas(const struct config *c, const struct tree *t, struct diag *d)
{
	uint64_t memory = c->memory != CONFIG_AUTO ? c->memory
	                                           : machine_memory_auto(machine_root());
	const struct node *list = node_member(t->root, "namespaces");
	struct place up = { .key = "namespaces" };

	for (unsigned i = 0; i < c->n_namespaces; i++) {
		struct place at = { .up = &up, .index = i != 0 ? i - 1 : 0 };

		check_one(&c->namespaces[i], i != 0 ? node_element(list, i - 1) : NULL, &at,
		    memory, d);
	}
	check_all(c, memory, &up, d);
}
