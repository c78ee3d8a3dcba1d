/* What the scripts of scripts.def do, in C: each function is its script, line by line,
 * and its calls of Redis are calls of our handlers, so that replies and errors
 * are theirs. All of it runs within one bracket of the keys
 * (store_atomic_begin()). */
#include "config.h"

#include "server/script_run.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/parse.h"
#include "server/door.h"
#include "server/monitor.h"
#include "server/range.h"
#include "server/server.h"
#include "server/session.h"

#define CALL_ARGS_MAX 6
#define NUMBER_MAX 512 /* a longer one is no number here */

struct run {
	struct call *c;
	const struct script *script;
	const struct script_args *in;
	bool failed;       /* the reply is written, and says why */
	struct out out;    /* the reply of a call of Redis */
};

/* What a call of Redis answered. */
struct answer {
	enum { ANSWER_NIL, ANSWER_STATUS, ANSWER_INT } kind;
	int64_t n;
};

/* Absent ones are nil, which has no bytes: an empty string has. */
static struct slice
nth(const struct slice *of, uint32_t n, unsigned i)
{
	if (i >= n)
		return slice_of(NULL, 0);
	return of[i].len != 0 ? of[i] : slice_of("", 0);
}

static struct slice
key(const struct run *r, unsigned i)
{
	return nth(r->in->keys, r->in->n_keys, i);
}

static struct slice
arg(const struct run *r, unsigned i)
{
	return nth(r->in->args, r->in->n_args, i);
}

/* --- errors --------------------------------------------------------------------- */

/* Always false, for callers to pass on. */
static bool
fail(struct run *r, unsigned mark, struct slice error)
{
	char sha[SHA1_HEX + 1];

	sha1_hex(r->script->sha, sha);
	reply_error(r->c->reply, "%.*s script: %s, on @user_script:%u.", (int)error.len, error.ptr,
	    sha, r->script->lines[mark]);
	r->failed = true;
	return false;
}

/* A sum of what is no number. */
static bool
fail_sum(struct run *r, unsigned mark, const char *what)
{
	char text[128];

	snprintf(text, sizeof text, "ERR user_script:%u: attempt to perform arithmetic on %s",
	    r->script->lines[mark], what);
	return fail(r, mark, slice_str(text));
}

static bool
takes_args(struct run *r, unsigned mark, const struct slice *args, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (args[i].ptr == NULL)
			return fail(r, mark, SLICE("ERR Lua redis lib command arguments must be "
			    "strings or integers"));
	return true;
}

static bool
may_write(struct run *r, unsigned mark)
{
	if (r->in->read_only)
		return fail(r, mark, SLICE("ERR Write commands are not allowed from "
		    "read-only scripts."));
	if (r->c->session->policy->read_only)
		return fail(r, mark, SLICE("READONLY You can't write against a read only "
		    "replica."));
	return true;
}

/* --- calls of Redis --------------------------------------------------------------- */

static void
count_call(const struct run *r, enum command_id id, bool failed)
{
	struct stats_command *st = &r->c->sl->stats.commands[id];

	counter_inc(&st->calls);
	if (failed)
		counter_inc(&st->failed);
}

static bool
read_answer(struct run *r, unsigned mark, struct answer *out)
{
	struct slice s = out_copied(&r->out);

	if (s.len < 4)
		return fail(r, mark, SLICE("OOM command not allowed: out of memory"));
	s.len -= 2;
	*out = (struct answer){ ANSWER_NIL, 0 };
	switch (s.ptr[0]) {
	case '-':
		return fail(r, mark, slice_skip(s, 1));
	case '+':
		out->kind = ANSWER_STATUS;
		break;
	case ':':
		out->kind = ANSWER_INT;
		return parse_i64(slice_skip(s, 1), &out->n) == 0;
	}
	return true;
}

/* redis.call(), of commands whose replies are short. False: it failed. */
static bool
redis_call(struct run *r, unsigned mark, enum command_id id, const struct slice *args,
    unsigned n, struct answer *out)
{
	struct reply reply = { .out = &r->out, .wire = WIRE_RESP2 };
	struct slice argv[CALL_ARGS_MAX + 1] = { slice_str(command_table[id].name) };
	struct call one = *r->c;

	assert(n > 0 && n <= CALL_ARGS_MAX);
	if (!takes_args(r, mark, args, n))
		return false;
	if ((command_table[id].flags & CMD_WRITE) && !may_write(r, mark))
		return false;
	memcpy(argv + 1, args, n * sizeof *args);
	one.cmd = &command_table[id];
	one.argv = argv;
	one.argc = n + 1;
	one.hash = store_hash(one.store, argv[1]);
	one.reply = &reply;
	out_reset(&r->out);
	command_handlers[id](&one);
	if (unlikely(monitor_is_on(&one.sl->watchers)))
		monitor_feed(&one, one.cmd, true);
	count_call(r, id, reply.failed);
	return read_answer(r, mark, out);
}

#define REDIS_CALL(r, mark, id, answer, ...) \
	redis_call(r, mark, CMD_ID_##id, (const struct slice[]){ __VA_ARGS__ }, \
	    ARRAY_LEN(((const struct slice[]){ __VA_ARGS__ })), answer)

enum compared { COMPARE_FAILED, COMPARE_ABSENT, COMPARE_SAME, COMPARE_OTHER };

/* redis.call("get", k), and whether it is that. Without a copy, whatever the
 * value's length. */
static enum compared
compare(struct run *r, unsigned mark, struct slice k, struct slice with)
{
	struct store_loop *sl = r->c->store;
	struct store_cursor cur;
	enum compared res = COMPARE_ABSENT;

	if (!takes_args(r, mark, &k, 1))
		return COMPARE_FAILED;
	if (store_open(sl, k, STORE_TOUCH | STORE_COUNT, &cur) == CACHE_HIT)
		res = with.ptr != NULL && slice_eq(cur.c.value, with) ? COMPARE_SAME
		                                                      : COMPARE_OTHER;
	store_close(&cur);
	count_call(r, CMD_ID_get, false);
	return res;
}

/* redis.call("getrange", k, 0, end), and whether it is that. */
static bool
compare_head(struct run *r, struct slice k, int64_t end, struct slice with)
{
	struct store_cursor cur;
	int64_t start = 0;
	struct slice head = { "", 0 };
	bool same;

	if (store_open(r->c->store, k, STORE_TOUCH | STORE_COUNT, &cur) == CACHE_HIT &&
	    range_clamp(&start, &end, cur.c.value.len))
		head = slice_of(cur.c.value.ptr, (size_t)end + 1);
	same = slice_eq(head, with);
	store_close(&cur);
	count_call(r, CMD_ID_getrange, false);
	return same;
}

/* --- replies ---------------------------------------------------------------------- */

static void
return_int(struct run *r, int64_t n)
{
	if (!r->failed)
		reply_int(r->c->reply, n);
}

static void
return_answer(struct run *r, const struct answer *a)
{
	if (a->kind == ANSWER_INT)
		reply_int(r->c->reply, a->n);
	else if (a->kind == ANSWER_STATUS)
		reply_ok(r->c->reply);
	else
		reply_nil(r->c->reply);
}

/* --- numbers ------------------------------------------------------------------------ */

/* As Lua reads a string for arithmetic: to the first NUL, hexadecimal too. */
static bool
number_of(struct slice s, double *out)
{
	char text[NUMBER_MAX], *end;
	size_t len = s.len != 0 ? strnlen(s.ptr, s.len) : 0;

	if (s.ptr == NULL || len >= sizeof text)
		return false;
	memcpy(text, s.ptr, len);
	text[len] = '\0';
	*out = strtod(text, &end);
	if (end == text)
		return false;
	end += strspn(end, " \t\n\v\f\r");
	return *end == '\0';
}

/* As Redis hands a number over to a command. */
static struct slice
number_text(double d, char out[32])
{
	snprintf(out, 32, "%.17g", d);
	return slice_str(out);
}

/* --- the common form: if the key has our token, then a command ------------------------- */

/* Without the token: `otherwise`. */
static void
compare_then(struct run *r, enum command_id id, unsigned n_args, int64_t otherwise)
{
	struct slice args[2] = { key(r, 0), arg(r, 1) };
	struct answer a;

	if (compare(r, 0, args[0], arg(r, 0)) != COMPARE_SAME)
		return_int(r, otherwise);
	else if (redis_call(r, 1, id, args, n_args, &a))
		return_answer(r, &a);
}

static void
run_compare_del(struct run *r)
{
	compare_then(r, CMD_ID_del, 1, 0);
}

static void
run_compare_pexpire(struct run *r)
{
	compare_then(r, CMD_ID_pexpire, 2, 0);
}

static void
run_compare_expire(struct run *r)
{
	compare_then(r, CMD_ID_expire, 2, 0);
}

static void
run_redislock_ttl(struct run *r)
{
	compare_then(r, CMD_ID_pttl, 1, -3);
}

static void
run_pottery_acquired(struct run *r)
{
	struct answer a;

	if (compare(r, 0, key(r, 0), arg(r, 0)) != COMPARE_SAME)
		return_int(r, 0);
	else if (REDIS_CALL(r, 1, pttl, &a, key(r, 0)))
		return_int(r, MAX(a.n, 0));
}

/* --- redis-py ------------------------------------------------------------------------- */

static void
run_redispy_release(struct run *r)
{
	struct answer a;

	if (compare(r, 0, key(r, 0), arg(r, 0)) != COMPARE_SAME)
		return_int(r, 0);
	else if (REDIS_CALL(r, 1, del, &a, key(r, 0)))
		return_int(r, 1);
}

static void
run_redispy_reacquire(struct run *r)
{
	struct answer a;

	if (compare(r, 0, key(r, 0), arg(r, 0)) != COMPARE_SAME)
		return_int(r, 0);
	else if (REDIS_CALL(r, 1, pexpire, &a, key(r, 0), arg(r, 1)))
		return_int(r, 1);
}

/* ARGV[2] + expiration */
static bool
extended(struct run *r, int64_t left, char out[32], struct slice *text)
{
	struct slice more = arg(r, 1);
	double d;

	if (!number_of(more, &d))
		return fail_sum(r, 2, more.ptr == NULL ? "field '?' (a nil value)"
		                                       : "field '?' (a string value)");
	*text = number_text(d + (double)left, out);
	return true;
}

static void
run_redispy_extend(struct run *r)
{
	struct slice newttl = arg(r, 1);
	char text[32];
	struct answer a;

	if (compare(r, 0, key(r, 0), arg(r, 0)) != COMPARE_SAME) {
		return_int(r, 0);
		return;
	}
	if (!REDIS_CALL(r, 1, pttl, &a, key(r, 0)))
		return;
	if (a.n < 0) {
		return_int(r, 0);
		return;
	}
	if (slice_eq(arg(r, 2), SLICE("0")) && !extended(r, a.n, text, &newttl))
		return;
	if (REDIS_CALL(r, 3, pexpire, &a, key(r, 0), newttl))
		return_int(r, 1);
}

/* --- redlock of node: several keys, all or none ---------------------------------------- */

static void
set_all(struct run *r)
{
	struct answer a;

	for (uint32_t i = 0; i < r->in->n_keys; i++)
		if (!REDIS_CALL(r, 1, set, &a, key(r, i), arg(r, 0), SLICE("px"), arg(r, 1)))
			return;
	return_int(r, r->in->n_keys);
}

static void
run_redlock_acquire(struct run *r)
{
	struct answer a;

	for (uint32_t i = 0; i < r->in->n_keys; i++) {
		if (!REDIS_CALL(r, 0, exists, &a, key(r, i)))
			return;
		if (a.n == 1) {
			return_int(r, 0);
			return;
		}
	}
	set_all(r);
}

static void
run_redlock_extend(struct run *r)
{
	for (uint32_t i = 0; i < r->in->n_keys; i++) {
		if (compare(r, 0, key(r, i), arg(r, 0)) != COMPARE_SAME) {
			return_int(r, 0);
			return;
		}
	}
	set_all(r);
}

/* Its redis.pcall() cannot fail but where writing is forbidden, which it then does
 * not notice. */
static void
run_redlock_release(struct run *r)
{
	bool writes = !r->in->read_only && !r->c->session->policy->read_only;
	struct answer a;
	int64_t count = 0;

	for (uint32_t i = 0; i < r->in->n_keys; i++) {
		if (compare(r, 0, key(r, i), arg(r, 0)) != COMPARE_SAME)
			continue;
		if (writes && !REDIS_CALL(r, 1, del, &a, key(r, i)))
			return;
		count++;
	}
	return_int(r, count);
}

/* --- bsm/redislock ---------------------------------------------------------------------- */

/* string.sub(ARGV[1], 1, offset) */
static struct slice
lua_head(struct slice s, int64_t offset)
{
	int64_t len = (int64_t)s.len, end = offset < 0 ? offset + len + 1 : MIN(offset, len);

	return slice_of(s.ptr, end > 0 ? (size_t)end : 0);
}

/* Whether the key's value begins with the token, which ARGV[2] is as long as. */
static bool
is_own_token(struct run *r, bool *own)
{
	char text[32];
	double offset;
	int64_t end;

	if (!number_of(arg(r, 1), &offset))
		return fail_sum(r, 2, "local 'offset' (a nil value)");
	if (parse_i64(number_text(offset - 1, text), &end) != 0)
		return fail(r, 1, SLICE("ERR value is not an integer or out of range"));
	*own = compare_head(r, key(r, 0), end, lua_head(arg(r, 0), (int64_t)offset));
	return true;
}

static void
run_redislock_obtain(struct run *r)
{
	struct answer a;
	bool own = false;

	if (!REDIS_CALL(r, 0, set, &a, key(r, 0), arg(r, 0), SLICE("nx"), SLICE("px"), arg(r, 2)))
		return;
	if (a.kind == ANSWER_STATUS) {
		return_answer(r, &a);
		return;
	}
	if (!is_own_token(r, &own))
		return;
	if (!own)
		reply_nil(r->c->reply);
	else if (REDIS_CALL(r, 3, set, &a, key(r, 0), arg(r, 0), SLICE("px"), arg(r, 2)))
		return_answer(r, &a);
}

/* --- redsync ------------------------------------------------------------------------------ */

static void
run_redsync_release(struct run *r)
{
	struct answer a;

	switch (compare(r, 0, key(r, 0), arg(r, 0))) {
	case COMPARE_SAME:
		if (REDIS_CALL(r, 1, del, &a, key(r, 0)))
			return_answer(r, &a);
		break;
	case COMPARE_ABSENT:
		return_int(r, -1);
		break;
	default:
		return_int(r, 0);
	}
}

static void
run_redsync_extend(struct run *r)
{
	enum compared res = compare(r, 0, key(r, 0), arg(r, 0));
	struct answer a;

	if (res == COMPARE_FAILED)
		return;
	if (res == COMPARE_SAME) {
		if (REDIS_CALL(r, 1, pexpire, &a, key(r, 0), arg(r, 1)))
			return_answer(r, &a);
	} else if (REDIS_CALL(r, 2, set, &a, key(r, 0), arg(r, 0), SLICE("px"), arg(r, 1),
	    SLICE("nx"))) {
		return_int(r, a.kind == ANSWER_STATUS);
	}
}

/* --- running --------------------------------------------------------------------------------- */

static void (*const runs[])(struct run *r) = {
#define SCRIPT(run, who, text) run_##run,
#include "server/scripts.def"
#undef SCRIPT
};

void
script_run(struct call *c, const struct script *script, const struct script_args *args)
{
	struct run r = { .c = c, .script = script, .in = args };
	struct store_atomic a;

	out_init(&r.out);
	store_atomic_init(&a, c->store);
	for (uint32_t i = 0; i < args->n_keys; i++)
		store_atomic_add(&a, args->keys[i], store_hash(c->store, args->keys[i]));
	store_atomic_begin(&a);
	runs[script->row](&r);
	store_atomic_end(&a);
	out_fini(&r.out);
}
