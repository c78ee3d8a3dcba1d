/* bench.h - `pannier bench`, the load generator. */
#ifndef PANNIER_CLI_BENCH_H
#define PANNIER_CLI_BENCH_H

/* argv[0] is "bench". Answers an exit code of sysexits.h: 0 only where every
 * request was answered, and rightly. */
int bench_main(int argc, char **argv);

#endif
