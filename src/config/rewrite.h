/* rewrite.h - writes what CONFIG SET changed back into the configuration's file. */
#ifndef PANNIER_CONFIG_REWRITE_H
#define PANNIER_CONFIG_REWRITE_H

#include "config/config.h"

/* Puts each option whose source is CONFIG_RUNTIME where the file has it, or at its end;
 * every other byte stays, comments too. A new file takes the old one's place at once
 * (written beside it, flushed, renamed; with its mode), and only after it was read back and
 * says what it should. Symbolic links are followed. Blocks on the disk. 0; -EINVAL: the
 * file's way of saying it cannot be changed in place; -ENOMEM; or what the system refused:
 * err says it, and the file is as it was. */
int config_rewrite(const char *path, const struct config *c, struct config_error *err) MUST_CHECK;

#endif
