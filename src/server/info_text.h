/* info_text.h - the text of INFO while it is written, and its sections. */
#ifndef PANNIER_SERVER_INFO_TEXT_H
#define PANNIER_SERVER_INFO_TEXT_H

#include "base/buf.h"
#include "base/mem.h"
#include "server/server.h"

struct info {
	struct buf text;
	struct server_loop *sl; /* who asks */
	const struct session *session; /* likewise */
	int64_t now_ms;
	bool failed;            /* no memory for some line */
};

/* The sections that the words name, as INFO's arguments. */
void info_write(struct info *i, const struct slice *words, uint32_t n);
/* Appends; lines end by CR LF. */
void info_printf(struct info *i, const char *fmt, ...) PRINTF(2, 3);
/* "field:1234" and "field_human:1.21K". */
void info_bytes(struct info *i, const char *field, uint64_t bytes);

/* A name that may be any bytes: what could end a field or a line is %XX. */
void info_name_print(struct info *i, const char *name);

/* Entries and tables of the cache, and the heap beside it. */
int64_t info_used_memory(const struct server *s);
/* The allocator's part, without the cache's arena. */
void info_heap(const struct server *s, struct mem_heap *out);
/* Of all clients, with what their transactions have queued. */
uint64_t info_client_buffers(const struct server *s);

/* Sections of Redis (info_redis.c). */
void info_server(struct info *i);
void info_clients(struct info *i);
void info_memory(struct info *i);
void info_persistence(struct info *i);
void info_stats(struct info *i);
void info_replication(struct info *i);
void info_cpu(struct info *i);
void info_cluster(struct info *i);
void info_keyspace(struct info *i);
/* A line for each command, kind of error, namespace, origin (info_tables.c). */
void info_commandstats(struct info *i);
void info_errorstats(struct info *i);
void info_latencystats(struct info *i);
void info_namespaces(struct info *i);
void info_origins(struct info *i);
/* What more memory would buy (cmd_advise.c). */
void info_advice(struct info *i);
void info_invalidations(struct info *i);
/* Sections that have no lines here. */
void info_nothing(struct info *i);

#endif
