/* demo_show.h - figures as people read them, on a terminal or in a file. */
#ifndef PANNIER_CLI_DEMO_SHOW_H
#define PANNIER_CLI_DEMO_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

#define SHOW_MAX 32 /* bytes of each figure */

/* "1,234,567" */
const char *show_count(char out[SHOW_MAX], uint64_t n);
/* Microseconds as "0.09 ms", "41.3 ms", "412 ms", "2.4 s". */
const char *show_us(char out[SHOW_MAX], int64_t us);
/* 0.974 as "97.4 %"; what is not quite all is never "100.0 %". */
const char *show_share(char out[SHOW_MAX], double share);
/* A word that a shell takes as one, quoted only where needed; cut to fit. */
const char *show_shell_word(char *out, size_t size, const char *word);

/* Standard output. Live lines are drawn over one another on a terminal. */
void show_init(void);
void show_line(const char *fmt, ...) PRINTF(1, 2);
void show_gap(void);
void show_title(const char *fmt, ...) PRINTF(1, 2);
/* `last`: stays, and the next one begins a new line. */
void show_live(bool last, const char *fmt, ...) PRINTF(2, 3);
/* A live line that is drawn over is put on a line of its own. */
void show_break(void);

#endif
