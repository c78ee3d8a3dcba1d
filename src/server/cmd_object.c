/* OBJECT, MEMORY USAGE, RANDOMKEY and TIME: what tools ask of a server. The rest of
 * MEMORY is in cmd_memory.c. */
#include "config.h"

#include "server/call.h"

#include <errno.h>

#include "base/clock.h"
#include "base/parse.h"
#include "server/door.h"
#include "server/help.h"
#include "server/hotkeys.h"
#include "server/server.h"
#include "server/session.h"

/* --- OBJECT -------------------------------------------------------------------- */

/* A look, and no use of the key. False: nil is written. */
static bool
look(struct call *c, size_t *len, bool *is_int)
{
	struct slice key = c->argv[2];
	struct store_cursor cur;
	bool found = store_open(c->store, key, 0, &cur) == CACHE_HIT;
	int64_t n;

	if (found) {
		*len = cur.c.value.len;
		*is_int = *len <= 20 && parse_i64(cur.c.value, &n) == 0;
	}
	store_close(&cur);
	if (!found)
		reply_nil(c->reply);
	return found;
}

#define EMBSTR_MAX 44 /* Redis's, which decides by it */

void
cmd_object_encoding(struct call *c)
{
	bool is_int;
	size_t len;

	if (look(c, &len, &is_int))
		reply_bulk_str(c->reply, is_int ? "int" : len <= EMBSTR_MAX ? "embstr" : "raw");
}

static bool
counts_uses(const struct call *c)
{
	return server_config(c->sl)->eviction != CACHE_LRU;
}

/* As the eviction policy counts uses, where it does; else by the keys that are read most: the
 * others have none. */
void
cmd_object_freq(struct call *c)
{
	struct slice key = c->argv[2];
	struct store_cursor cur;
	bool found = store_open(c->store, key, 0, &cur) == CACHE_HIT;
	int uses = found ? cache_frequency(&cur.c) : 0;

	store_close(&cur);
	if (!found)
		reply_nil(c->reply);
	else if (counts_uses(c))
		reply_int(c->reply, MAX(uses, 0));
	else if (server_config(c->sl)->hot_keys != 0)
		reply_int(c->reply, topk_lfu(hotkeys_reads(c->sl->server,
		    store_hash(c->store, key), c->now_ms)));
	else
		reply_error(c->reply,
		    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
		    "Please note that when switching between policies at runtime LRU and LFU data "
		    "will take some time to adjust.");
}

/* Uses are kept as an order, or counted, without their times. */
void
cmd_object_idletime(struct call *c)
{
	bool is_int;
	size_t len;

	if (!look(c, &len, &is_int))
		return;
	if (counts_uses(c))
		reply_error(c->reply,
		    "ERR An LFU maxmemory policy is selected, idle time not tracked. "
		    "Please note that when switching between policies at runtime LRU and LFU data "
		    "will take some time to adjust.");
	else
		reply_error(c->reply, "ERR idle time not tracked");
}

/* No two keys share a value. */
void
cmd_object_refcount(struct call *c)
{
	bool is_int;
	size_t len;

	if (look(c, &len, &is_int))
		reply_int(c->reply, 1);
}

void
cmd_object_help(struct call *c)
{
	static const char *const lines[] = {
		"ENCODING <key>",
		"    Return the kind of internal representation used in order to store the value",
		"    associated with a <key>.",
		"FREQ <key>",
		"    Return the access frequency index of the <key>. The returned integer is",
		"    proportional to the logarithm of the recent access frequency of the key.",
		"IDLETIME <key>",
		"    Return the idle time of the <key>, that is the approximated number of",
		"    seconds elapsed since the last access to the key.",
		"REFCOUNT <key>",
		"    Return the number of references of the value associated with the specified",
		"    <key>.",
	};

	help_reply(c, lines, ARRAY_LEN(lines));
}

/* --- MEMORY -------------------------------------------------------------------- */

static bool
samples_parse(struct call *c)
{
	int64_t n;

	for (uint32_t i = 3; i < c->argc; i++) {
		if (!slice_caseeq(c->argv[i], SLICE("samples")) || ++i == c->argc) {
			call_syntax_error(c);
			return false;
		}
		if (parse_i64(c->argv[i], &n) != 0) {
			call_not_integer(c);
			return false;
		}
		if (n < 0) {
			call_syntax_error(c);
			return false;
		}
	}
	return true;
}

/* What the entry takes of the cache's memory, all of it counted. */
void
cmd_memory_usage(struct call *c)
{
	struct store_cursor cur;
	uint64_t bytes = 0;

	if (!samples_parse(c))
		return;
	if (store_open(c->store, c->argv[2], 0, &cur) == CACHE_HIT)
		bytes = cache_footprint(&cur.c);
	store_close(&cur);
	if (bytes == 0)
		reply_nil(c->reply);
	else
		reply_int(c->reply, (int64_t)bytes);
}

/* --- others --------------------------------------------------------------------- */

static void
reply_one_of(struct reply *r, struct slice run, uint64_t random)
{
	struct slice all = run;
	size_t n = 0, chosen;
	uint32_t len;

	for (; run.len > 0; n++) {
		memcpy(&len, run.ptr, sizeof len);
		run = slice_skip(run, sizeof len + len);
	}
	if (n == 0) {
		reply_nil(r);
		return;
	}
	for (chosen = random % n;; chosen--) {
		memcpy(&len, all.ptr, sizeof len);
		if (chosen == 0)
			break;
		all = slice_skip(all, sizeof len + len);
	}
	reply_bulk(r, slice_of(all.ptr + sizeof len, len));
}

#define RANDOM_OF 16 /* keys, of which one is chosen */

/* Leaves those of others out. */
static size_t
keep_own(const struct session *s, char *run, size_t len)
{
	size_t kept = 0, size;
	uint32_t n;

	for (size_t at = 0; at < len; at += size) {
		memcpy(&n, run + at, sizeof n);
		size = sizeof n + n;
		if (!door_owns_key(s, slice_of(run + at + sizeof n, n)))
			continue;
		memmove(run + kept, run + at, size);
		kept += size;
	}
	return kept;
}

/* The keys from *cursor on; where the session does not see all, it may take more than
 * one look to find some. */
static MUST_CHECK int
scan_own(struct call *c, uint64_t *cursor, struct buf *keys)
{
	size_t kept;
	int rc;

	if (likely(!c->session->policy->confined))
		return store_scan(c->store, cursor, RANDOM_OF, keys);
	do {
		buf_clear(keys);
		rc = store_scan(c->store, cursor, 16 * RANDOM_OF, keys);
		if (rc != 0)
			return rc;
		kept = keep_own(c->session, buf_data(keys), buf_len(keys));
		keys->tail = keys->head + kept;
	} while (kept == 0 && *cursor != 0);
	return 0;
}

/* From a random place on, and once around the end. The hash is seeded, so
 * that of the time cannot be told from outside. */
void
cmd_randomkey(struct call *c)
{
	int64_t now_us = clock_mono_us();
	uint64_t random = store_hash(c->store, slice_of(&now_us, sizeof now_us));
	uint64_t cursor = cache_scan_start(store_cache(c->sl->server->store), random);
	struct buf keys;
	int rc;

	buf_init(&keys);
	rc = scan_own(c, &cursor, &keys);
	if (rc == 0 && buf_len(&keys) == 0 && cursor == 0)
		rc = scan_own(c, &cursor, &keys);
	if (rc == 0)
		reply_one_of(c->reply, buf_slice(&keys), random >> 32);
	else
		call_put_failed(c, rc);
	buf_fini(&keys);
}

void
cmd_time(struct call *c)
{
	int64_t now_us = clock_wall_us();

	reply_array(c->reply, 2);
	reply_bulk_i64(c->reply, now_us / 1000000);
	reply_bulk_i64(c->reply, now_us % 1000000);
}
