/* Plays requests against a limit with a clock of its own, for a model in another language
 * to compare with. Each line of input: max_burst count period now_ns quantity,
 * where now_ns 0 begins anew with no state; of output: the five numbers of CL.THROTTLE
 * and the state, or "error". */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "resil/gcra.h"

int
main(void)
{
	int64_t burst, count, period, now_ns, quantity, tat_ns = 0;
	struct gcra_answer a;
	struct gcra g;

	while (scanf("%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64, &burst, &count,
	    &period, &now_ns, &quantity) == 5) {
		if (now_ns == 0) {
			tat_ns = 0;
			continue;
		}
		if (gcra_init(&g, burst, count, period) != 0) {
			puts("error");
			continue;
		}
		gcra_take(&g, tat_ns, now_ns, quantity, &a);
		tat_ns = a.tat_ns;
		printf("%d %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n",
		    a.limited, g.limit, a.remaining, gcra_seconds(a.retry_after_ns),
		    gcra_seconds(a.reset_after_ns), a.tat_ns);
	}
	return 0;
}
