/* internal.h - what server.c, run.c and reload.c share. */
#ifndef PANNIER_SERVER_INTERNAL_H
#define PANNIER_SERVER_INTERNAL_H

#include "server/server.h"

/* Background work of the cache: in a loop that would sleep, and by the clock
 * where it never does. */
#define TICK_IDLE_US 200
#define TICK_MS 100
#define TICK_BUSY_US 700

/* Input beyond the largest value: its command, key and framing. */
#define INPUT_SLACK (64u << 10)

#define TOO_MANY_CLIENTS "-ERR max number of clients reached\r\n"

/* run.c: signals that stop or reload wait until server_run() is ready for them. */
void server_block_signals(void);
void server_unblock_signals(void);

/* Gives namespaces and origins of cfg their numbers. */
int server_number_names(struct server *s, struct config *cfg, char *err, size_t err_size)
    MUST_CHECK;
/* Whether what namespaces keep for themselves leaves enough for the others: half. */
int server_check_minimums(const struct config *cfg, const struct memory_plan *plan, char *err,
    size_t err_size) MUST_CHECK;
/* What the namespace has of its quota; zeros: it has none. */
void server_quota(const struct server *s, const struct config *cfg, unsigned stats_id,
    struct cache_quota_stats *out);
/* Loads what cfg's origins need, before a request has to wait for it. */
int server_prepare_origins(const struct config *cfg, char *err, size_t err_size) MUST_CHECK;
uint64_t server_memory_limit(const struct server *s, const struct config *cfg);
int server_plan_memory(const struct server *s, const struct config *cfg, uint64_t base_bytes,
    struct memory_plan *out, char *err, size_t err_size) MUST_CHECK;
struct conn_limits server_conn_limits(const struct server *s, const struct config *cfg);
struct resp_limits server_resp_limits(const struct server *s, const struct config *cfg);
struct resp_limits server_stranger_limits(const struct resp_limits *known);
void server_limit_tracking(const struct server *s, const struct config *cfg);
uint64_t server_max_value(const struct server *s, const struct config *cfg);

/* reload.c: what the memory plan comes to for clients, on each loop by post. */
void server_post_limits(struct server *s);
/* reload.c: makes cfg (taken over) the configuration of every loop. */
int server_publish(struct server *s, struct config *cfg, char *err, size_t err_size) MUST_CHECK;
/* On SIGHUP. Whether the new configuration holds now. */
bool server_reload(struct server *s);

/* binary_read.c */
void binary_spare_free(struct server_loop *sl);

#endif
