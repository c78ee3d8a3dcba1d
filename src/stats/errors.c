/* Errors by their first word, for INFO's errorstats. Words come from error
 * texts, and some of those from origins: so their number is bounded. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "stats/base.h"

#define OTHERS (STATS_ERRORS - 1)

static unsigned
names_count(const struct stats_loop *s)
{
	return atomic_load_explicit(&s->n_errors, memory_order_acquire);
}

/* The name's place, or a new one. A reader sees a name as a whole, since the
 * count that covers it comes behind. */
static unsigned
error_id(struct stats_loop *s, const char *name)
{
	unsigned n = names_count(s);

	for (unsigned i = 0; i < n; i++)
		if (strcmp(s->errors[i].name, name) == 0)
			return i;
	if (n == OTHERS)
		return OTHERS;
	strcpy(s->errors[n].name, name);
	atomic_store_explicit(&s->n_errors, n + 1, memory_order_release);
	return n;
}

void
stats_error(struct stats_loop *s, const char *word)
{
	bool usable = word[0] != '\0' && strlen(word) < STATS_ERROR_NAME;

	counter_inc(&s->errors[error_id(s, usable ? word : "ERR")].n);
}

/* --- sums ------------------------------------------------------------------- */

/* The last place is kept for the others. */
static void
add(struct stats_sum_error *out, unsigned *found, const char *name, int64_t count)
{
	unsigned i = 0;

	if (count == 0)
		return;
	while (i < *found && strcmp(out[i].name, name) != 0)
		i++;
	if (i == *found && i < OTHERS) {
		strcpy(out[i].name, name);
		++*found;
	}
	out[i].n += count;
}

static void
add_loop(struct stats_sum_error *out, unsigned *found, const struct stats_loop *s)
{
	struct stats_base *base = s->base;
	unsigned n;

	lock_acquire(&base->lock);
	n = names_count(s);
	for (unsigned i = 0; i < n; i++)
		add(out, found, s->errors[i].name,
		    counter_get(&s->errors[i].n) - base->errors[i]);
	out[OTHERS].n += counter_get(&s->errors[OTHERS].n) - base->errors[OTHERS];
	lock_release(&base->lock);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct stats_sum_error *)a)->name,
	    ((const struct stats_sum_error *)b)->name);
}

unsigned
stats_sum_errors(struct stats_loop *const *loops, unsigned n,
    struct stats_sum_error out[STATS_ERRORS])
{
	unsigned found = 0;

	memset(out, 0, STATS_ERRORS * sizeof *out);
	for (unsigned i = 0; i < n; i++)
		add_loop(out, &found, loops[i]);
	if (out[OTHERS].n != 0) {
		strcpy(out[OTHERS].name, "ERRORSTATS_OVERFLOW"); /* as Redis 8 calls it */
		out[found++] = out[OTHERS];
	}
	qsort(out, found, sizeof *out, by_name);
	return found;
}
