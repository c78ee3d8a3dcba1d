/* world.h - a loop, an origin client on it, and the answers it gave. */
#ifndef PANNIER_TESTS_ORIGIN_WORLD_H
#define PANNIER_TESTS_ORIGIN_WORLD_H

#include <check.h>

#include "origin/origin.h"

#define LONG_MS 20000 /* a deadline that no test waits for */
#define WORLD_ANSWERS 64

struct answer {
	enum origin_status status;
	bool final;
	int http_status;
	int64_t ttl_ms;
	struct origin_validity valid; /* all 0: none came; its slices are gone */
	char etag[64];
	char body[4096]; /* its beginning, NUL-terminated */
	size_t body_len;
	char error[512];
	int64_t late_ms; /* after its deadline; negative: before */
};

struct world {
	struct loop *loop;
	struct config_origin cfg;
	struct config_namespace ns;
	struct stats_origin stats;
	struct origin_client *client;
	char *endpoints[4];
	struct asked *asked[WORLD_ANSWERS]; /* open fetches, in the order of asking */
	unsigned n_asked;
	struct answer answers[WORLD_ANSWERS]; /* in the order of asking */
	unsigned n_answered;
	bool background;   /* nobody waits for what is asked from now on */
	unsigned want;     /* the loop stops when so many are answered */
	void (*on_answer)(struct world *w, unsigned nth);
	unsigned order[WORLD_ANSWERS]; /* in which they were answered */
};

/* Origin "users", namespace "user:" with path /users/{rest}, body cap 1 KiB,
 * 4 connections. Up to four URLs. */
void world_init(struct world *w, const char *const *urls, unsigned n_urls);
void world_open(struct world *w, const char *url);
/* Also checks that no turn of the loop took long. */
void world_close(struct world *w);

/* Its number. deadline_ms from now. */
unsigned world_ask(struct world *w, const char *key, int64_t deadline_ms);
/* With a condition. */
unsigned world_ask_if(struct world *w, const char *key, const char *etag,
    const char *last_modified);
/* A write, or with value NULL a removal. */
unsigned world_write(struct world *w, const char *key, const char *value, int64_t deadline_ms);
/* Runs the loop until all are answered; checks that none came late. */
void world_run(struct world *w);
/* Until n of them are. */
void world_run_until(struct world *w, unsigned n);
/* Both, for one key. Good until world_close(). */
const struct answer *world_get(struct world *w, const char *key, int64_t deadline_ms);
/* Takes back number nth. */
void world_cancel(struct world *w, unsigned nth);

void check_ok(const struct answer *a, const char *body);
void check_failed(const struct answer *a, const char *error_part);
void check_timeout(const struct answer *a, const char *error_part);

#endif
