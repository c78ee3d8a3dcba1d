/* hiredis: what its users do. Tells tests/integration/real.py. */
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *path;
static char why[512]; /* of the first thing that was wrong in a claim */

#define CHECK(ok) check((ok), #ok, __LINE__)

static void
check(bool ok, const char *what, int line)
{
	if (!ok && why[0] == '\0')
		snprintf(why, sizeof why, "line %d: %s", line, what);
}

static void
claim(const char *name, void (*test)(redisContext *))
{
	redisContext *c = redisConnectUnix(path);

	why[0] = '\0';
	CHECK(c != NULL && c->err == 0);
	if (why[0] == '\0')
		test(c);
	if (c != NULL)
		redisFree(c);
	printf("%s %s%s%s\n", why[0] ? "not ok" : "ok", name, why[0] ? ": " : "", why);
}

static void
ask(const char *what)
{
	char line[16];

	printf("ask %s\n", what);
	CHECK(fgets(line, sizeof line, stdin) != NULL && strcmp(line, "done\n") == 0);
}

/* Whether the command's reply is of this type, and its text this (NULL: any). */
static bool
is(redisContext *c, int type, const char *text, const char *format, ...)
{
	va_list ap;
	redisReply *r;
	bool same;

	va_start(ap, format);
	r = redisvCommand(c, format, ap);
	va_end(ap);
	if (r == NULL)
		return false;
	same = r->type == type && (text == NULL || strcmp(r->str, text) == 0);
	if (!same)
		fprintf(stderr, "%s: type %d, %s\n", format, r->type, r->str ? r->str : "no text");
	freeReplyObject(r);
	return same;
}

static bool
counts(redisContext *c, long long n, const char *format, ...)
{
	va_list ap;
	redisReply *r;
	bool same;

	va_start(ap, format);
	r = redisvCommand(c, format, ap);
	va_end(ap);
	same = r != NULL && r->type == REDIS_REPLY_INTEGER && r->integer == n;
	freeReplyObject(r);
	return same;
}

static void
everyday(redisContext *c)
{
	CHECK(is(c, REDIS_REPLY_STATUS, "PONG", "PING"));
	CHECK(is(c, REDIS_REPLY_STATUS, "OK", "FLUSHALL"));
	CHECK(is(c, REDIS_REPLY_STATUS, "OK", "SET %s %s EX 100", "k", "v"));
	CHECK(is(c, REDIS_REPLY_STRING, "v", "GET k"));
	CHECK(is(c, REDIS_REPLY_NIL, NULL, "GET gone"));
	CHECK(is(c, REDIS_REPLY_NIL, NULL, "SET k w NX"));
	CHECK(counts(c, 100, "TTL k"));
	CHECK(counts(c, 7, "INCRBY n %d", 7));
	CHECK(counts(c, 2, "EXISTS k n gone"));
	CHECK(counts(c, 1, "EXPIRE n 10"));
	CHECK(is(c, REDIS_REPLY_ARRAY, NULL, "MGET k n gone"));
	CHECK(counts(c, 2, "DEL k n gone"));
	CHECK(is(c, REDIS_REPLY_STRING, NULL, "INFO"));
}

static void
values(redisContext *c)
{
	size_t len = 1 << 20;
	char *large = malloc(len);
	redisReply *r;

	if (large == NULL)
		abort();
	for (size_t i = 0; i < len; i++)
		large[i] = (char)i;
	CHECK(is(c, REDIS_REPLY_STATUS, "OK", "SET %b %b", large, (size_t)1024, large, len));
	r = redisCommand(c, "GET %b", large, (size_t)1024);
	CHECK(r != NULL && r->type == REDIS_REPLY_STRING && r->len == len &&
	    memcmp(r->str, large, len) == 0);
	freeReplyObject(r);
	free(large);
}

static void
pipelines(redisContext *c)
{
	redisReply *r;

	for (int i = 0; i < 2000; i++) {
		redisAppendCommand(c, "SET k%d %d", i, i);
		redisAppendCommand(c, "GET k%d", i);
	}
	for (int i = 0; i < 4000; i++) {
		CHECK(redisGetReply(c, (void **)&r) == REDIS_OK);
		if (why[0] != '\0')
			return;
		CHECK(i % 2 ? r->type == REDIS_REPLY_STRING && atoi(r->str) == i / 2 :
		    r->type == REDIS_REPLY_STATUS);
		freeReplyObject(r);
	}
}

static void
transactions(redisContext *c)
{
	redisContext *other = redisConnectUnix(path);
	redisReply *r;

	CHECK(is(c, REDIS_REPLY_STATUS, "OK", "MULTI"));
	CHECK(is(c, REDIS_REPLY_STATUS, "QUEUED", "SET n 5"));
	CHECK(is(c, REDIS_REPLY_STATUS, "QUEUED", "INCR n"));
	r = redisCommand(c, "EXEC");
	CHECK(r != NULL && r->elements == 2 && r->element[1]->integer == 6);
	freeReplyObject(r);
	CHECK(is(c, REDIS_REPLY_STATUS, "OK", "WATCH n"));
	CHECK(counts(other, 7, "INCR n"));
	CHECK(is(c, REDIS_REPLY_STATUS, "OK", "MULTI"));
	CHECK(is(c, REDIS_REPLY_STATUS, "QUEUED", "SET n mine"));
	CHECK(is(c, REDIS_REPLY_NIL, NULL, "EXEC"));
	redisFree(other);
}

static void
published(redisContext *c)
{
	redisContext *sub = redisConnectUnix(path);
	redisReply *r = NULL;

	CHECK(is(sub, REDIS_REPLY_ARRAY, NULL, "SUBSCRIBE news"));
	CHECK(counts(c, 1, "PUBLISH news %s", "hello"));
	CHECK(redisGetReply(sub, (void **)&r) == REDIS_OK && r->elements == 3 &&
	    strcmp(r->element[2]->str, "hello") == 0);
	freeReplyObject(r);
	redisFree(sub);
}

static void
refusals(redisContext *c)
{
	CHECK(is(c, REDIS_REPLY_STATUS, "OK", "SET text x"));
	CHECK(is(c, REDIS_REPLY_ERROR, "ERR value is not an integer or out of range", "INCR text"));
	CHECK(is(c, REDIS_REPLY_ERROR,
	    "ERR unknown command 'LPUSH', with args beginning with: 'l' 'x' ", "LPUSH l x"));
	CHECK(is(c, REDIS_REPLY_STRING, "x", "GET text"));
}

static void
password(redisContext *open)
{
	redisContext *c = redisConnectUnix(getenv("GUARDED"));

	CHECK(is(open, REDIS_REPLY_STATUS, "OK", "SET k v"));
	CHECK(is(c, REDIS_REPLY_ERROR, "NOAUTH Authentication required.", "GET k"));
	CHECK(is(c, REDIS_REPLY_ERROR, NULL, "AUTH x"));
	CHECK(is(c, REDIS_REPLY_STATUS, "OK", "AUTH %s", getenv("PASSWORD")));
	CHECK(is(c, REDIS_REPLY_STRING, "v", "GET k"));
	redisFree(c);
}

static void
many(redisContext *c)
{
	redisContext *all[50];

	CHECK(is(c, REDIS_REPLY_STATUS, "OK", "SET n 0"));
	for (int i = 0; i < 50; i++)
		all[i] = redisConnectUnix(path);
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < 50; i++)
			CHECK(counts(all[i], round * 50 + i + 1, "INCR n"));
	for (int i = 0; i < 50; i++)
		redisFree(all[i]);
}

static void
comes_back(redisContext *c)
{
	CHECK(is(c, REDIS_REPLY_STATUS, "OK", "SET k v"));
	ask("restart");
	CHECK(redisCommand(c, "GET k") == NULL && c->err != 0);
	CHECK(redisReconnect(c) == REDIS_OK);
	CHECK(is(c, REDIS_REPLY_NIL, NULL, "GET k"));
}

int
main(void)
{
	path = getenv("SOCKET");
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	claim("everyday commands", everyday);
	claim("binary and large values", values);
	claim("pipelines", pipelines);
	claim("MULTI and WATCH", transactions);
	claim("publish and subscribe", published);
	claim("errors are told", refusals);
	claim("a password is asked for", password);
	claim("fifty connections at once", many);
	claim("it comes back when the daemon does", comes_back);
	return 0;
}
