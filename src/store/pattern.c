#include "config.h"

#include "store/pattern.h"

#include <stdlib.h>

static bool
is_tag(const struct pattern *p)
{
	return p->prefix.ptr == NULL;
}

static int
compare(const void *va, const void *vb)
{
	const struct pattern *a = va, *b = vb;

	if (is_tag(a) != is_tag(b))
		return is_tag(a) - is_tag(b);
	if (!is_tag(a))
		return slice_cmp(a->prefix, b->prefix);
	return (a->tag > b->tag) - (a->tag < b->tag);
}

/* In this order, those that one begins with come before it: the nearest is the one
 * before it, or one that that one begins with. Equal ones begin with each other. */
static void
link_prefixes(struct pattern_set *set)
{
	for (uint32_t i = 0; i < set->n_prefixes; i++) {
		struct pattern *p = &set->all[i];

		for (p->begins_with = i; p->begins_with != 0;
		    p->begins_with = set->all[p->begins_with - 1].begins_with)
			if (slice_has_prefix(p->prefix, set->all[p->begins_with - 1].prefix))
				break;
	}
}

void
pattern_set_init(struct pattern_set *set, struct pattern *all, uint32_t n)
{
	*set = (struct pattern_set){ .all = all };
	if (n == 0)
		return;
	qsort(all, n, sizeof *all, compare);
	while (set->n_prefixes < n && !is_tag(&all[set->n_prefixes]))
		set->n_prefixes++;
	set->n_tags = n - set->n_prefixes;
	link_prefixes(set);
}

/* How many prefixes stand before the key or are equal to it. */
static uint32_t
count_up_to(const struct pattern_set *set, struct slice key)
{
	uint32_t low = 0, high = set->n_prefixes;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (slice_cmp(set->all[mid].prefix, key) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool
pattern_set_ask_key(const struct pattern_set *set, struct slice key, pattern_met_fn *fn, void *arg)
{
	uint32_t at = set->n_prefixes == 0 ? 0 : count_up_to(set, key);

	while (at != 0 && !slice_has_prefix(key, set->all[at - 1].prefix))
		at = set->all[at - 1].begins_with;
	for (; at != 0; at = set->all[at - 1].begins_with)
		if (fn(arg, &set->all[at - 1]))
			return true;
	return false;
}

bool
pattern_set_ask_tag(const struct pattern_set *set, uint64_t tag, pattern_met_fn *fn, void *arg)
{
	const struct pattern *tags = set->all + set->n_prefixes;
	uint32_t low = 0, high = set->n_tags;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (tags[mid].tag < tag)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < set->n_tags && tags[low].tag == tag; low++)
		if (fn(arg, &tags[low]))
			return true;
	return false;
}

bool
pattern_set_ask_tags(const struct pattern_set *set, pattern_met_fn *fn, void *arg)
{
	for (uint32_t i = 0; i < set->n_tags; i++)
		if (fn(arg, &set->all[set->n_prefixes + i]))
			return true;
	return false;
}
