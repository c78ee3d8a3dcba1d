/* How long things took, as metrics: by namespace, by class of commands, turns of loops. */
#include "config.h"

#include "base/mem.h"
#include "proto/command.h"
#include "server/internal.h"
#include "server/metrics.h"

/* --- namespaces ---------------------------------------------------------------------- */

static const struct {
	const char *name, *help;
	double unit; /* in seconds */
} times[STATS_TIMES] = {
	[STATS_FETCH_US] = { "namespace_fetch_seconds",
	    "Time of fetches that were answered: queue, retries and all.", 1e-6 },
	[STATS_WAIT_US] = { "namespace_wait_seconds",
	    "Time that reads waited for a fetch or a lease, until they were answered.", 1e-6 },
	[STATS_COMMAND_NS] = { "namespace_command_seconds",
	    "Time in the handler of those commands that were timed, by the namespace of their "
	    "first key.", 1e-9 },
};

/* Those that have none are left out. */
static void
write_time(struct metrics *m, const struct server *s, enum stats_time which)
{
	metrics_family(m, times[which].name, METRIC_HISTOGRAM, times[which].help);
	for (unsigned id = 0; id < stats_ns_count(s->names); id++) {
		struct histogram_sum h;

		stats_sum_time(s->stats, s->n_loops, id, which, &h);
		if (h.count != 0)
			metrics_histogram(m, "ns", stats_ns_name(s->names, id), &h,
			    times[which].unit);
		histogram_sum_fini(&h);
	}
}

static void
write_saved(struct metrics *m, struct server *s)
{
	saved_count(s, loop_now_ms(s->loops[0].loop));
	metrics_family(m, "namespace_origin_saved_seconds", METRIC_COUNTER,
	    "Time of the origin that was saved: reads answered without a fetch of their own, "
	    "times what a fetch took in the mean.");
	for (unsigned id = 0; id < stats_ns_count(s->names); id++)
		metrics_double(m, "ns", stats_ns_name(s->names, id),
		    (double)saved_us(s, id) / 1e6);
}

/* --- classes of commands ---------------------------------------------------------------- */

enum class { CLASS_READ, CLASS_WRITE, CLASS_SCRIPT, CLASS_OTHER, CLASSES };

static const char *const class_names[CLASSES] = { "read", "write", "script", "other" };

static enum class
class_of(const struct command *cmd)
{
	if (strcmp(cmd->group, "scripting") == 0)
		return CLASS_SCRIPT;
	if (cmd->flags & CMD_WRITE)
		return CLASS_WRITE;
	return cmd->flags & CMD_READONLY ? CLASS_READ : CLASS_OTHER;
}

static void
write_classes(struct metrics *m, const struct server *s)
{
	metrics_family(m, "command_class_seconds", METRIC_HISTOGRAM,
	    "The same by class of command: read, write, script, other.");
	for (unsigned class = 0; class < CLASSES; class++) {
		struct histogram_sum h;

		histogram_sum_init(&h);
		for (unsigned id = 0; id < CMD_COUNT; id++)
			for (unsigned l = 0; l < s->n_loops; l++)
				if (class_of(&command_table[id]) == class)
					histogram_sum_add(&h,
					    &s->stats[l]->commands[id].latency_ns);
		metrics_histogram(m, "class", class_names[class], &h, 1e-9);
		histogram_sum_fini(&h);
	}
}

void
time_metrics(struct metrics *m, struct server *s)
{
	struct histogram_sum h;

	write_classes(m, s);
	for (unsigned which = 0; which < STATS_TIMES; which++)
		write_time(m, s, which);
	write_saved(m, s);
	metrics_family(m, "loop_lag_seconds", METRIC_HISTOGRAM,
	    "The longest turn of each event loop in each second.");
	histogram_sum_init(&h);
	histogram_sum_add(&h, &s->lag_us);
	metrics_histogram(m, NULL, NULL, &h, 1e-6);
	histogram_sum_fini(&h);
}
