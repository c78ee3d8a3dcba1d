/* demo.h - `pannier demo`: a slow backend, the sidecar in front of it, and
 * traffic, all in one process, with figures that are measured while it runs. */
#ifndef PANNIER_CLI_DEMO_H
#define PANNIER_CLI_DEMO_H

/* argv[0] is "demo". Answers an exit code of sysexits.h. */
int demo_main(int argc, char **argv);

#endif
