/* fixture.h - a store over two loops that do not run by themselves, with one
 * routed namespace, "user:", and the fake origin behind it. */
#ifndef PANNIER_TESTS_STORE_FIXTURE_H
#define PANNIER_TESTS_STORE_FIXTURE_H

#include "store/internal.h"
#include "unit/store/fake_origin.h"

#define LOOPS 2

extern struct store *store;
extern struct loop *loops[LOOPS];
extern struct stats_loop stats[LOOPS];
extern struct store_loop *sl[LOOPS];

void setup(void);
/* With another configuration; its first namespace is what ns_stat() counts. */
void setup_with(const char *text);
/* The same with other routes, which stay the caller's. */
void setup_of(struct routes *r);
void teardown(void);
struct routes *make_routes(void);
/* Of another configuration; namespaces are numbered as in the file, from 1. */
struct routes *make_routes_of(const char *text);
/* The sum over loops of a counter of struct stats_ns, of the routed one. */
int64_t ns_stat(size_t offset);
#define NS(name) ns_stat(offsetof(struct stats_ns, name))

#endif
