/* version.h - what this daemon calls itself. */
#ifndef PANNIER_SERVER_VERSION_H
#define PANNIER_SERVER_VERSION_H

/* The Redis whose behaviour the commands have; clients choose their ways by
 * it, so HELLO and INFO say this. */
#define REDIS_VERSION "7.0.15"
/* Our own, in INFO's pannier_version. */
#define PANNIER_VERSION PACKAGE_VERSION

#endif
