#include "config.h"

#include "server/slowlog.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/address.h"
#include "server/session.h"

/* As Redis cuts them. */
#define ARGS_MAX 32
#define ARG_BYTES_MAX 128

struct slow_entry {
	struct list link;
	uint64_t id;
	int64_t unix_s, spent_us;
	const char *cause;
	struct slice args;  /* an array of strings as a reply has it; the same on both wires */
	struct slice addr, name;
	size_t bytes;
	char text[];        /* of the three */
};

void
slowlog_init(struct slowlog *l)
{
	pthread_mutex_init(&l->lock, NULL);
	list_init(&l->entries);
	l->n = l->bytes = 0;
	l->next_id = 0;
}

void
slowlog_fini(struct slowlog *l)
{
	slowlog_reset(l);
	pthread_mutex_destroy(&l->lock);
}

static void
drop_locked(struct slowlog *l, struct slow_entry *e)
{
	list_del(&e->link);
	l->n--;
	l->bytes -= e->bytes;
	mem_free(e);
}

/* --- an entry ---------------------------------------------------------------------- */

bool
slowlog_is_secret(const struct slice *argv, uint32_t argc, uint32_t i)
{
	if (slice_caseeq(argv[0], SLICE("auth")))
		return i > 0;
	if (!slice_caseeq(argv[0], SLICE("hello")))
		return false;
	for (uint32_t k = 2; k < i && k < argc; k++)
		if (slice_caseeq(argv[k], SLICE("auth")) && i <= k + 2)
			return true;
	return false;
}

static void
write_arg(struct reply *r, struct slice arg)
{
	char text[ARG_BYTES_MAX + 64];
	int n;

	if (arg.len <= ARG_BYTES_MAX) {
		reply_bulk(r, arg);
		return;
	}
	memcpy(text, arg.ptr, ARG_BYTES_MAX);
	n = snprintf(text + ARG_BYTES_MAX, sizeof text - ARG_BYTES_MAX, "... (%zu more bytes)",
	    arg.len - ARG_BYTES_MAX);
	reply_bulk(r, slice_of(text, ARG_BYTES_MAX + (size_t)n));
}

/* Where more would come, the last one tells how much. */
static void
write_args(struct reply *r, const struct slice *argv, uint32_t argc, unsigned of)
{
	uint32_t shown = MIN(argc, ARGS_MAX);
	char text[64];

	reply_array(r, shown + (of > 1));
	for (uint32_t i = 0; i < shown; i++) {
		if (i == ARGS_MAX - 1 && argc > ARGS_MAX) {
			snprintf(text, sizeof text, "... (%u more arguments)",
			    argc - ARGS_MAX + 1);
			reply_bulk_str(r, text);
		} else {
			write_arg(r,
			    slowlog_is_secret(argv, argc, i) ? SLICE("(redacted)") : argv[i]);
		}
	}
	if (of > 1) {
		snprintf(text, sizeof text, "... (likely, of %u pipelined requests)", of);
		reply_bulk_str(r, text);
	}
}

static struct slice
put(char **at, struct slice s)
{
	struct slice copy = slice_of(*at, s.len);

	if (s.len != 0)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return copy;
}

static struct slow_entry *
entry_new(const struct session *s, struct slice args, const struct slow_what *what)
{
	char local[ADDRESS_MAX], peer[ADDRESS_MAX], *at;
	struct slice name = slice_str(s->name != NULL ? s->name : ""), addr;
	struct slow_entry *e;
	size_t bytes;

	session_addresses(s, local, peer);
	addr = slice_str(peer);
	bytes = sizeof *e + args.len + addr.len + name.len;
	e = mem_alloc(bytes);
	if (e == NULL)
		return NULL;
	at = e->text;
	e->unix_s = clock_wall_ms() / 1000;
	e->spent_us = what->spent_us;
	e->cause = what->cause;
	e->bytes = bytes;
	e->args = put(&at, args);
	e->addr = put(&at, addr);
	e->name = put(&at, name);
	return e;
}

static void
add(struct slowlog *l, struct slow_entry *e, uint64_t max_len)
{
	pthread_mutex_lock(&l->lock);
	e->id = l->next_id++;
	list_push_head(&l->entries, &e->link);
	l->n++;
	l->bytes += e->bytes;
	while (l->n > 0 && (l->n > max_len || l->bytes > SLOWLOG_BYTES_MAX))
		drop_locked(l, list_entry(l->entries.prev, struct slow_entry, link));
	pthread_mutex_unlock(&l->lock);
}

void
slowlog_add(struct slowlog *l, const struct session *s, const struct slow_what *what,
    uint64_t max_len)
{
	struct slow_entry *e = NULL;
	struct out args;
	struct reply r = { .out = &args };

	out_init(&args);
	write_args(&r, what->argv, what->argc, what->of);
	if (!out_failed(&args))
		e = entry_new(s, buf_slice(&args.bytes), what);
	out_fini(&args);
	if (e != NULL)
		add(l, e, max_len);
}

/* --- asking ------------------------------------------------------------------------- */

size_t
slowlog_len(struct slowlog *l)
{
	size_t n;

	pthread_mutex_lock(&l->lock);
	n = l->n;
	pthread_mutex_unlock(&l->lock);
	return n;
}

void
slowlog_reset(struct slowlog *l)
{
	pthread_mutex_lock(&l->lock);
	while (!list_empty(&l->entries))
		drop_locked(l, list_entry(l->entries.next, struct slow_entry, link));
	pthread_mutex_unlock(&l->lock);
}

static void
reply_entry(struct reply *r, const struct slow_entry *e, bool causes)
{
	reply_array(r, causes ? 7 : 6);
	reply_int(r, (int64_t)e->id);
	reply_int(r, e->unix_s);
	reply_int(r, e->spent_us);
	out_append(r->out, e->args.ptr, e->args.len);
	reply_bulk(r, e->addr);
	reply_bulk(r, e->name);
	if (causes)
		reply_bulk_str(r, e->cause);
}

/* How many of the newest n fit. */
static size_t
fitting_locked(const struct slowlog *l, size_t n, size_t max_bytes)
{
	size_t fit = 0, bytes = 0;

	list_foreach(it, &l->entries) {
		bytes += list_entry(it, struct slow_entry, link)->bytes;
		if (fit == n || bytes > max_bytes)
			break;
		fit++;
	}
	return fit;
}

void
slowlog_reply(struct slowlog *l, size_t n, size_t max_bytes, bool causes, struct reply *r)
{
	pthread_mutex_lock(&l->lock);
	n = fitting_locked(l, n, max_bytes);
	reply_array(r, n);
	list_foreach(it, &l->entries) {
		if (n-- == 0)
			break;
		reply_entry(r, list_entry(it, struct slow_entry, link), causes);
	}
	pthread_mutex_unlock(&l->lock);
}
