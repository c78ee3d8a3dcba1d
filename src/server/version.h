/* version.h - what this daemon calls itself. */
#ifndef PANNIER_SERVER_VERSION_H
#define PANNIER_SERVER_VERSION_H

/* Our own, in INFO's pannier_version. That of Redis is an option. */
#define PANNIER_VERSION PACKAGE_VERSION

#endif
