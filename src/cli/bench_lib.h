/* bench_lib.h - connections of the load generator that libpannier drives: the binary
 * protocol as applications have it, answers in any order. Failures are -errno with
 * w->fault set. */
#ifndef PANNIER_CLI_BENCH_LIB_H
#define PANNIER_CLI_BENCH_LIB_H

#include "cli/bench_run.h"

/* Makes c->lib, which connects and waits until the server has greeted. 0 or -errno
 * with a sentence in err. */
int bench_lib_open(struct bench_conn *c, const char *address, char *err, size_t err_size)
    MUST_CHECK;

/* As bench_ask(), bench_flush() and bench_receive(), where c->lib is. */
int bench_lib_ask(struct bench_worker *w, struct bench_conn *c, const struct bench_op *op,
    struct slice value, const struct bench_expiry *expiry) MUST_CHECK;
int bench_lib_flush(struct bench_worker *w, struct bench_conn *c, bool *want_write) MUST_CHECK;
int bench_lib_receive(struct bench_worker *w, struct bench_conn *c) MUST_CHECK;

#endif
