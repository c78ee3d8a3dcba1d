#include "config.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/lock.h"
#include "base/mem.h"
#include "stats/stats.h"

/* A name is written once, before the count that covers it is published, and
 * never changes: so readers need no lock. */
struct name_table {
	char **names; /* [max], owned */
	unsigned max;
	atomic_uint count;
};

struct stats_names {
	struct lock lock; /* one writer at a time */
	struct name_table ns, origins;
	char *ns_slots[STATS_NAMESPACES];
	char *origin_slots[STATS_ORIGINS];
};

static unsigned
table_count(const struct name_table *t)
{
	return atomic_load_explicit(&t->count, memory_order_acquire);
}

static int
table_add(struct name_table *t, const char *name)
{
	unsigned n = table_count(t);

	if (n == t->max)
		return -ENOSPC;
	t->names[n] = mem_strdup(name);
	if (t->names[n] == NULL)
		return -ENOMEM;
	atomic_store_explicit(&t->count, n + 1, memory_order_release);
	return (int)n;
}

static int
table_id_locked(struct stats_names *s, struct name_table *t, const char *name)
{
	assert(lock_held(&s->lock));
	for (unsigned i = 0; i < table_count(t); i++)
		if (strcmp(t->names[i], name) == 0)
			return (int)i;
	return table_add(t, name);
}

static int
table_id(struct stats_names *s, struct name_table *t, const char *name)
{
	int id;

	lock_acquire(&s->lock);
	id = table_id_locked(s, t, name);
	lock_release(&s->lock);
	return id;
}

static void
table_fini(struct name_table *t)
{
	for (unsigned i = 0; i < table_count(t); i++)
		mem_free(t->names[i]);
}

struct stats_names *
stats_names_new(void)
{
	struct stats_names *s = mem_zalloc(sizeof *s);

	if (s == NULL)
		return NULL;
	lock_init(&s->lock);
	s->ns.names = s->ns_slots;
	s->ns.max = STATS_NAMESPACES;
	s->origins.names = s->origin_slots;
	s->origins.max = STATS_ORIGINS;
	if (stats_ns_id(s, "default") == 0)
		return s;
	stats_names_free(s);
	return NULL;
}

void
stats_names_free(struct stats_names *s)
{
	if (s == NULL)
		return;
	table_fini(&s->ns);
	table_fini(&s->origins);
	lock_fini(&s->lock);
	mem_free(s);
}

int
stats_ns_id(struct stats_names *s, const char *name)
{
	return table_id(s, &s->ns, name);
}

int
stats_origin_id(struct stats_names *s, const char *name)
{
	return table_id(s, &s->origins, name);
}

unsigned
stats_ns_count(const struct stats_names *s)
{
	return table_count(&s->ns);
}

unsigned
stats_origin_count(const struct stats_names *s)
{
	return table_count(&s->origins);
}

const char *
stats_ns_name(const struct stats_names *s, unsigned id)
{
	return s->ns.names[id];
}

const char *
stats_origin_name(const struct stats_names *s, unsigned id)
{
	return s->origins.names[id];
}
