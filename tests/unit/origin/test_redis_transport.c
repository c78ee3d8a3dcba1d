/* Attempts at scripted servers: what answers mean, and where an attempt goes. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/parse.h"
#include "origin/redis_answer.h"
#include "origin/redis_slot.h"
#include "origin/transport.h"
#include "unit/origin/scripted.h"

#define LONG_MS 20000
#define RULES 12
#define SERVERS 3

/* The first rule whose words the command begins with answers it. */
struct rule {
	const char *command, *reply;
	unsigned after; /* only so many commands that fit it were answered by others before */
};

struct stage {
	struct rule rules[RULES];
	struct scripted *server;
	char url[200], port[8];
};

struct got {
	enum attempt_end end;
	enum origin_status status;
	bool fault, repeatable, final;
	int64_t ttl_ms;
	char body[64], error[400];
};

static struct stage stages[SERVERS];
static unsigned n_stages;
static struct loop *loop;
static struct stats_origin stats;
static struct config_origin cfg;
static struct config_namespace ns;
static char *urls[SERVERS];
static struct transport *tr;
static struct attempt *attempt;
static struct got got;
static bool ended;
static char text_buf[8][400]; /* replies that name ports */

static void
script_rules(struct scripted_conn *c)
{
	struct stage *s = c->arg;
	unsigned seen[RULES] = { 0 };

	while (conn_command(c)) {
		const char *reply = "-ERR unknown command\r\n";

		for (unsigned i = 0; i < RULES && s->rules[i].command != NULL; i++) {
			const struct rule *r = &s->rules[i];

			if (strncmp(c->request, r->command, strlen(r->command)) == 0 &&
			    seen[i]++ >= r->after) {
				reply = r->reply;
				break;
			}
		}
		if (reply == NULL) {
			conn_hang(c);
			return;
		}
		if (*reply == '\0' || !conn_send(c, reply))
			return;
	}
}

static void
on_ended(void *arg UNUSED)
{
}

static void
on_done(void *arg UNUSED, const struct attempt_answer *a)
{
	attempt = NULL;
	ended = true;
	got = (struct got){ .end = a->end, .status = a->result.status, .fault = a->fault,
		.repeatable = a->repeatable, .final = a->result.final, .ttl_ms = a->result.ttl_ms };
	if (a->result.body != NULL)
		memcpy(got.body, blob_slice(a->result.body).ptr,
		    MIN(blob_slice(a->result.body).len, sizeof got.body - 1));
	snprintf(got.error, sizeof got.error, "%s", a->result.error != NULL ? a->result.error : "");
	loop_stop(loop);
}

static void
setup(void)
{
	ck_assert_int_eq(loop_new(0, &loop), 0);
	cfg = (struct config_origin){ .name = (char *)"users", .kind = ORIGIN_REDIS,
		.deadline_ms = 5000, .max_body_bytes = 64, .tls_verify = 1,
		.redis_key = (char *)"{key}", .redis_connections = 2, .redis_pipeline = 8,
		.redis_refresh_ms = LONG_MS, .redis_ping_ms = LONG_MS,
		.redis_endpoints = urls };
	ns = (struct config_namespace){ .prefix = (char *)"u:", .origin_cfg = &cfg };
}

static void
stop_servers(void)
{
	for (unsigned i = 0; i < n_stages; i++)
		scripted_stop(stages[i].server);
	n_stages = 0;
}

static void
teardown(void)
{
	redis_transport.close(tr);
	loop_free(loop);
	stop_servers();
	histogram_fini(&stats.latency_us);
}

/* A server with these rules, behind those that all share. Their number. */
static unsigned
serve(const struct rule *rules, unsigned n)
{
	struct stage *s = &stages[n_stages];
	unsigned i = 0;

	*s = (struct stage){ .server = NULL };
	for (; i < n; i++)
		s->rules[i] = rules[i];
	s->rules[i++] = (struct rule){ "HELLO", "%1\r\n+a\r\n+b\r\n", 0 };
	s->rules[i++] = (struct rule){ "PTTL", ":-1\r\n", 0 };
	s->rules[i++] = (struct rule){ "ASKING", "+OK\r\n", 0 };
	ck_assert_uint_le(i, RULES);
	s->server = scripted_start(NULL, script_rules, s);
	snprintf(s->url, sizeof s->url, "redis%s", scripted_url(s->server) + 4);
	snprintf(s->port, sizeof s->port, "%s", strrchr(s->url, ':') + 1);
	urls[cfg.n_redis_endpoints++] = s->url;
	return n_stages++;
}

#define SERVE(...) serve((const struct rule[]){ __VA_ARGS__ }, \
	ARRAY_LEN(((const struct rule[]){ __VA_ARGS__ })))

static void
open_it(void)
{
	ck_assert_int_eq(redis_transport.open(&(struct transport_opts){ .loop = loop, .cfg = &cfg,
	    .stats = &stats, .ended = on_ended }, &tr), 0);
}

static struct origin_request request;

static int
start(enum origin_op op, const char *key, const char *value, int64_t ttl_ms)
{
	if (tr == NULL)
		open_it();
	request = (struct origin_request){ .op = op, .ns = &ns, .key = slice_str(key),
		.value = slice_str(value), .ttl_ms = ttl_ms };
	ended = false;
	return redis_transport.start(tr, 0, &request, on_done, NULL, &attempt);
}

static void
run(enum origin_op op, const char *key, const char *value, int64_t ttl_ms)
{
	ck_assert_int_eq(start(op, key, value, ttl_ms), 0);
	ck_assert(!ended);
	loop_run(loop);
	ck_assert(ended);
}

static void
get(const char *key)
{
	run(ORIGIN_READ, key, "", 0);
}

static void
check_error(enum attempt_end end, const char *part)
{
	ck_assert_msg(got.end == end && got.status == ORIGIN_FAILED, "end %d, status %d: %s",
	    got.end, got.status, got.error);
	ck_assert_msg(strstr(got.error, part) != NULL, "%s does not say: %s", got.error, part);
}

/* --- alone ------------------------------------------------------------------------- */

START_TEST(a_value_has_the_time_to_live_of_the_server)
{
	SERVE({ "GET u:1", "$3\r\nann\r\n", 0 }, { "PTTL", ":5000\r\n", 0 });
	get("u:1");
	ck_assert_int_eq(got.status, ORIGIN_OK);
	ck_assert_str_eq(got.body, "ann");
	ck_assert_int_eq(got.ttl_ms, 5000);
	ck_assert_int_eq(counter_get(&stats.bytes), 3);
}
END_TEST

START_TEST(without_a_time_to_live_the_namespace_has_its_say)
{
	SERVE({ "GET u:1", "$3\r\nann\r\n", 0 });
	get("u:1");
	ck_assert_int_eq(got.ttl_ms, ORIGIN_TTL_UNSAID);
}
END_TEST

START_TEST(a_value_that_ended_meanwhile_is_not_kept)
{
	SERVE({ "GET u:1", "$3\r\nann\r\n", 0 }, { "PTTL", ":-2\r\n", 0 });
	get("u:1");
	ck_assert_int_eq(got.status, ORIGIN_OK);
	ck_assert_int_eq(got.ttl_ms, 0);
}
END_TEST

START_TEST(nil_is_not_found)
{
	SERVE({ "GET", "$-1\r\n", 0 });
	get("u:1");
	ck_assert_int_eq(got.end, ATTEMPT_ANSWERED);
	ck_assert_int_eq(got.status, ORIGIN_NOT_FOUND);
	get("u:2");
	ck_assert_int_eq(got.status, ORIGIN_NOT_FOUND);
}
END_TEST

START_TEST(keys_may_have_another_name_at_the_server)
{
	SERVE({ "GET app:1", "$3\r\nann\r\n", 0 });
	cfg.redis_key = (char *)"app:{rest}";
	get("u:1");
	ck_assert_str_eq(got.body, "ann");
}
END_TEST

START_TEST(writes_and_removals)
{
	SERVE({ "SET u:1 ann PX 5000", "+OK\r\n", 0 }, { "SET u:2 bob", "+OK\r\n", 0 },
	    { "UNLINK u:1", ":1\r\n", 0 }, { "UNLINK u:2", ":0\r\n", 0 });
	run(ORIGIN_WRITE, "u:1", "ann", 5000);
	ck_assert_int_eq(got.status, ORIGIN_DONE);
	run(ORIGIN_WRITE, "u:2", "bob", 0);
	ck_assert_int_eq(got.status, ORIGIN_DONE);
	run(ORIGIN_REMOVE, "u:1", "", 0);
	ck_assert_int_eq(got.status, ORIGIN_DONE);
	run(ORIGIN_REMOVE, "u:2", "", 0);
	ck_assert_int_eq(got.status, ORIGIN_NOT_FOUND);
}
END_TEST

START_TEST(each_error_says_whose_fault_it_is_and_whether_to_repeat)
{
	static const struct {
		const char *reply, *part;
		bool fault, repeatable, final;
	} errors[] = {
		{ "-LOADING Redis is loading the dataset in memory\r\n", "LOADING", true, true, false },
		{ "-BUSY Redis is busy running a script\r\n", "BUSY", true, true, false },
		{ "-MASTERDOWN Link with MASTER is down\r\n", "MASTERDOWN", true, true, false },
		{ "-TRYAGAIN Multiple keys\r\n", "TRYAGAIN", false, true, false },
		{ "-CLUSTERDOWN The cluster is down\r\n", "CLUSTERDOWN", true, true, false },
		{ "-NOAUTH Authentication required.\r\n", "; see username and password_file", true,
		    false, false },
		{ "-NOPERM this user has no permissions\r\n", "; see username", true, false, true },
		{ "-WRONGTYPE Operation against\r\n", "WRONGTYPE", false, false, true },
		{ "-ERR unknown command\r\n", "ERR unknown", false, false, true },
		{ "-MOVED 1 127.0.0.1:1\r\n", "set mode: cluster", true, true, false },
		{ "-OOM command not allowed\r\n", "OOM", true, false, false },
		{ "!8\r\nERR a\x01\nb\r\n", "ERR a  b", false, false, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		cfg.n_redis_endpoints = 0;
		SERVE({ "GET", errors[i].reply, 0 });
		get("u:1");
		check_error(ATTEMPT_ANSWERED, errors[i].part);
		ck_assert_int_eq(got.fault, errors[i].fault);
		ck_assert_int_eq(got.repeatable, errors[i].repeatable);
		ck_assert_int_eq(got.final, errors[i].final);
		redis_transport.close(tr);
		tr = NULL;
		stop_servers();
	}
}
END_TEST

START_TEST(what_is_no_value_is_an_error)
{
	SERVE({ "GET u:1", "*1\r\n:1\r\n", 0 }, { "GET u:2", "$100\r\n"
	    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
	    "567890123456789\r\n", 0 }, { "GET u:3", "$1\r\nx\r\n", 0 });
	get("u:1");
	check_error(ATTEMPT_ANSWERED, "answers what was not asked for");
	get("u:2");
	check_error(ATTEMPT_ANSWERED, "body over 64");
	get("u:3");
	ck_assert_str_eq(got.body, "x");
}
END_TEST

START_TEST(a_server_that_wants_a_password_is_unreached)
{
	SERVE({ "HELLO", "-NOAUTH HELLO must be called with the client already\r\n", 0 });
	get("u:1");
	check_error(ATTEMPT_UNREACHED, "it wants a password; set password_file");
	ck_assert(got.fault);
	/* In the pause after a failure it is told at once. */
	get("u:1");
	check_error(ATTEMPT_UNREACHED, "it wants a password; set password_file");
}
END_TEST

START_TEST(a_connection_that_breaks_is_no_value)
{
	SERVE({ "GET u:1", "", 0 }, { "GET u:2", "$5\r\nhel\r\n*\r\n", 0 }, { "GET u:3", "$-3\r\n", 0 });
	get("u:1");
	check_error(ATTEMPT_BROKEN, "127.0.0.1:");
	get("u:2");
	check_error(ATTEMPT_BROKEN, "sends what is no reply of Redis");
	get("u:3");
	check_error(ATTEMPT_BROKEN, "sends what is no reply of Redis");
	ck_assert(got.fault && got.repeatable);
}
END_TEST

START_TEST(nobody_listens)
{
	urls[cfg.n_redis_endpoints++] = (char *)"redis://127.0.0.1:1";
	get("u:1");
	check_error(ATTEMPT_UNREACHED, "no connection to 127.0.0.1:1: Connection refused");
}
END_TEST

START_TEST(it_says_what_it_waits_for_and_may_be_taken_back)
{
	struct attempt_answer late;
	char text[300];

	SERVE({ "GET u:1", NULL, 0 }, { "PING", "+PONG\r\n", 0 });
	ck_assert_int_eq(start(ORIGIN_READ, "u:1", "", 0), 0);
	ck_assert(!redis_transport.cut_off(attempt, &late, text, sizeof text));
	ck_assert_msg(strncmp(text, "no connection to 127.0.0.1:", 27) == 0, "%s", text);
	redis_transport.cancel(attempt);
	ck_assert_int_eq(start(ORIGIN_READ, "u:1", "", 0), 0);
	redis_transport.close(tr);
	tr = NULL;
	ck_assert(!ended);
	open_it();
	ck_assert_int_eq(redis_transport.probe(tr, 0, "", on_done, NULL, &attempt), 0);
	loop_run(loop);
	ck_assert_int_eq(got.status, ORIGIN_DONE);
}
END_TEST

START_TEST(there_is_room_for_connections_times_pipeline)
{
	static struct origin_request rq[16];
	static struct attempt *open_ones[16];

	SERVE({ "GET", NULL, 0 });
	open_it();
	for (int i = 0; i < 16; i++) {
		ck_assert(redis_transport.has_room(tr));
		rq[i] = (struct origin_request){ .ns = &ns, .key = SLICE("u:1") };
		ck_assert_int_eq(redis_transport.start(tr, 0, &rq[i], on_done, NULL, &open_ones[i]), 0);
	}
	ck_assert(!redis_transport.has_room(tr));
	redis_transport.cancel(open_ones[3]);
	ck_assert(redis_transport.has_room(tr));
}
END_TEST

/* --- Cluster -------------------------------------------------------------------------- */

/* CLUSTER SLOTS of one server that has them all. */
static const char *
all_slots(char *to, const char *port)
{
	sprintf(to, "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:%s\r\n$2\r\nid\r\n", port);
	return to;
}

static const char *
redirect(char *to, const char *kind, const char *port)
{
	sprintf(to, "-%s 3999 127.0.0.1:%s\r\n", kind, port);
	return to;
}

/* The rules of a server may name its port: set once it has one. */
static void
set_reply(unsigned nth, unsigned rule, const char *reply)
{
	stages[nth].rules[rule].reply = reply;
}

static void
serve_cluster(void)
{
	cfg.redis_mode = REDIS_CLUSTER;
	SERVE({ "CLUSTER SLOTS", "-ERR not yet\r\n", 0 }, { "GET u:here", "$1\r\nh\r\n", 0 },
	    { "GET u:loop", "", 0 }, { "GET u:ask", "", 0 }, { "GET u:moved", "", 0 },
	    { "GET u:bad", "-MOVED here and there\r\n", 0 },
	    { "GET u:down", "-CLUSTERDOWN Hash slot not served\r\n", 0 });
	SERVE({ "GET u:ask", "$1\r\na\r\n", 0 }, { "GET u:moved", "$1\r\nm\r\n", 0 });
	cfg.n_redis_endpoints = 1;
	set_reply(0, 0, all_slots(text_buf[0], stages[0].port));
	set_reply(0, 2, redirect(text_buf[1], "MOVED", stages[0].port));
	set_reply(0, 3, redirect(text_buf[2], "ASK", stages[1].port));
	set_reply(0, 4, redirect(text_buf[3], "MOVED", stages[1].port));
}

START_TEST(a_key_is_asked_for_at_the_node_of_its_slot)
{
	serve_cluster();
	get("u:here");
	ck_assert_str_eq(got.body, "h");
}
END_TEST

START_TEST(moved_is_followed)
{
	serve_cluster();
	get("u:moved");
	ck_assert_str_eq(got.body, "m");
}
END_TEST

START_TEST(moved_in_a_loop_ends)
{
	serve_cluster();
	get("u:loop");
	check_error(ATTEMPT_BROKEN, "redirected too often, the last: MOVED 3999 127.0.0.1:");
	get("u:here");
	ck_assert_str_eq(got.body, "h");
}
END_TEST

START_TEST(ask_is_followed_once)
{
	serve_cluster();
	get("u:ask");
	ck_assert_str_eq(got.body, "a");
	ck_assert_uint_eq(scripted_requests(stages[1].server), 5); /* HELLO, twice ASKING */
}
END_TEST

START_TEST(a_redirection_to_nowhere_is_an_error)
{
	serve_cluster();
	get("u:bad");
	check_error(ATTEMPT_BROKEN, "a redirection to nowhere: MOVED here and there");
	get("u:down");
	check_error(ATTEMPT_ANSWERED, "CLUSTERDOWN");
	ck_assert(got.repeatable);
}
END_TEST

static void
check_bad_slots(const char *reply, const char *part)
{
	cfg.redis_mode = REDIS_CLUSTER;
	SERVE({ "CLUSTER SLOTS", reply, 0 });
	get("u:1");
	check_error(ATTEMPT_UNREACHED, "no node tells the slots of the cluster: ");
	check_error(ATTEMPT_UNREACHED, part);
}

START_TEST(a_server_that_is_no_cluster_is_told)
{
	check_bad_slots("-ERR This instance has cluster support disabled\r\n",
	    "ERR This instance has cluster support disabled");
}
END_TEST

START_TEST(an_empty_table_of_slots_is_told)
{
	check_bad_slots("*0\r\n", "no slots are assigned");
}
END_TEST

START_TEST(malformed_tables_of_slots_are_refused)
{
	static const char *const tables[] = { ":1\r\n", "*1\r\n:1\r\n", "*1\r\n*3\r\n:0\r\n:16384\r\n"
		"*2\r\n$1\r\na\r\n:1\r\n", "*1\r\n*3\r\n:5\r\n:4\r\n*2\r\n$1\r\na\r\n:1\r\n",
		"*1\r\n*3\r\n:-1\r\n:4\r\n*2\r\n$1\r\na\r\n:1\r\n", "*1\r\n*2\r\n:0\r\n:4\r\n",
		"*1\r\n*3\r\n:0\r\n:4\r\n*2\r\n$1\r\na\r\n:0\r\n",
		"*1\r\n*3\r\n:0\r\n:4\r\n*2\r\n$1\r\na\r\n$1\r\n7\r\n",
		"*1\r\n*4\r\n:0\r\n:4\r\n*2\r\n$1\r\na\r\n:7\r\n:8\r\n" };

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		cfg.n_redis_endpoints = 0;
		check_bad_slots(tables[i], "gives no usable answer");
		redis_transport.close(tr);
		tr = NULL;
		stop_servers();
	}
}
END_TEST

START_TEST(slots_are_those_of_the_specification)
{
	ck_assert_uint_eq(redis_slot(SLICE("123456789")), 0x31c3);
	ck_assert_uint_eq(redis_slot(SLICE("foo")), 12182);
	ck_assert_uint_eq(redis_slot(SLICE("{user1000}.following")), redis_slot(SLICE("user1000")));
	ck_assert_uint_eq(redis_slot(SLICE("foo{{bar}}zap")), redis_slot(SLICE("{bar")));
	ck_assert_uint_eq(redis_slot(SLICE("foo{bar}{zap}")), redis_slot(SLICE("bar")));
	ck_assert_uint_eq(redis_slot(SLICE("")), 0);
	ck_assert_uint_ne(redis_slot(SLICE("foo{}{bar}")), redis_slot(SLICE("bar")));
}
END_TEST

START_TEST(redirections_are_read)
{
	static const char *const bad[] = { "MOVED", "MOVED 1", "MOVED 16384 a:1", "MOVED -1 a:1",
		"MOVED 1 a", "MOVED 1 a:0", "MOVED 1 a:65536", "MOVED 1 a:b", "MOVED x a:1" };
	unsigned slot, port;
	struct slice host;

	ck_assert_int_eq(redis_parse_redirect(SLICE("MOVED 3 ::1:6379"), &slot, &host, &port), 0);
	ck_assert(slot == 3 && port == 6379 && slice_eq(host, SLICE("::1")));
	ck_assert_int_eq(redis_parse_redirect(SLICE("ASK 3 :6379 more"), &slot, &host, &port), 0);
	ck_assert(port == 6379 && host.len == 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_int_eq(redis_parse_redirect(slice_str(bad[i]), &slot, &host, &port), -EINVAL);
}
END_TEST

/* --- Sentinel --------------------------------------------------------------------------- */

static const char *
master_at(char *to, const char *port)
{
	sprintf(to, "*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n", strlen(port), port);
	return to;
}

static void
serve_sentinel(const char *role)
{
	cfg.redis_mode = REDIS_SENTINEL;
	cfg.redis_master_name = (char *)"tier";
	SERVE({ "SUBSCRIBE", ">3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n", 0 },
	    { "SENTINEL get-master-addr-by-name tier", "*-1\r\n", 0 });
	SERVE({ "ROLE", role, 0 }, { "GET u:1", "$1\r\nx\r\n", 0 });
	cfg.n_redis_endpoints = 1;
}

START_TEST(the_master_is_asked_whom_a_sentinel_tells)
{
	serve_sentinel("*3\r\n$6\r\nmaster\r\n:1\r\n*0\r\n");
	set_reply(0, 1, master_at(text_buf[0], stages[1].port));
	get("u:1");
	ck_assert_str_eq(got.body, "x");
}
END_TEST

/* The sentinel tells of a switch as soon as it is listened to. */
START_TEST(a_switch_that_a_sentinel_tells_of_is_followed)
{
	cfg.redis_mode = REDIS_SENTINEL;
	cfg.redis_master_name = (char *)"tier";
	SERVE({ "SUBSCRIBE", ">3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n"
	    ">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$1\r\nx\r\n", 0 },
	    { "SENTINEL get-master-addr-by-name tier", "", 1 },
	    { "SENTINEL get-master-addr-by-name tier", "", 0 });
	for (int i = 1; i <= 2; i++)
		SERVE({ "ROLE", "*3\r\n$6\r\nmaster\r\n:1\r\n*0\r\n", 0 },
		    { "GET u:1", i == 1 ? "$1\r\n1\r\n" : "$1\r\n2\r\n", 0 });
	cfg.n_redis_endpoints = 1;
	set_reply(0, 1, master_at(text_buf[0], stages[2].port));
	set_reply(0, 2, master_at(text_buf[1], stages[1].port));
	do {
		get("u:1");
		ck_assert_int_eq(got.status, ORIGIN_OK);
	} while (strcmp(got.body, "2") != 0);
}
END_TEST

START_TEST(a_master_that_no_sentinel_knows_is_told)
{
	serve_sentinel("*3\r\n$6\r\nmaster\r\n:1\r\n*0\r\n");
	get("u:1");
	check_error(ATTEMPT_UNREACHED, "knows no master tier; see master_name");
}
END_TEST

START_TEST(a_master_that_is_none_is_not_asked)
{
	serve_sentinel("*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:1\r\n");
	set_reply(0, 1, master_at(text_buf[0], stages[1].port));
	get("u:1");
	check_error(ATTEMPT_UNREACHED, "is a slave, not a master");
}
END_TEST

START_TEST(an_address_that_is_none_is_passed_over)
{
	serve_sentinel("");
	set_reply(0, 1, "*2\r\n$9\r\n127.0.0.1\r\n$1\r\nx\r\n");
	get("u:1");
	check_error(ATTEMPT_UNREACHED, "no sentinel tells the master: ");
}
END_TEST

/* --- without memory ----------------------------------------------------------------------- */

/* Each allocation fails in turn, until none of a whole read does. */
static void
check_without_memory(void)
{
	bool failed = true;

	for (unsigned long n = 1; failed; n++) {
		mem_fail_nth(n, 0);
		got = (struct got){ .end = ATTEMPT_BROKEN };
		if (redis_transport.open(&(struct transport_opts){ .loop = loop, .cfg = &cfg,
		    .stats = &stats, .ended = on_ended }, &tr) != 0)
			tr = NULL;
		else if (start(ORIGIN_READ, "u:1", "", 0) == 0)
			loop_run(loop);
		failed = mem_fail_seen() >= n;
		mem_fail_nth(0, 0);
		redis_transport.close(tr);
		tr = NULL;
		ck_assert_uint_lt(n, 500);
	}
	ck_assert_str_eq(got.body, "x");
}

START_TEST(without_memory_alone)
{
	SERVE({ "GET u:1", "$1\r\nx\r\n", 0 });
	check_without_memory();
}
END_TEST

START_TEST(without_memory_in_a_cluster)
{
	cfg.redis_mode = REDIS_CLUSTER;
	SERVE({ "CLUSTER SLOTS", "", 0 }, { "GET u:1", "$1\r\nx\r\n", 0 });
	set_reply(0, 0, all_slots(text_buf[0], stages[0].port));
	check_without_memory();
}
END_TEST

START_TEST(without_memory_behind_sentinel)
{
	serve_sentinel("*3\r\n$6\r\nmaster\r\n:1\r\n*0\r\n");
	set_reply(0, 1, master_at(text_buf[0], stages[1].port));
	check_without_memory();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("redis_transport");

	SUITE_ADD_FIXTURE(s, "alone", setup, teardown, a_value_has_the_time_to_live_of_the_server,
	    without_a_time_to_live_the_namespace_has_its_say,
	    a_value_that_ended_meanwhile_is_not_kept, nil_is_not_found,
	    keys_may_have_another_name_at_the_server, writes_and_removals,
	    each_error_says_whose_fault_it_is_and_whether_to_repeat, what_is_no_value_is_an_error,
	    a_server_that_wants_a_password_is_unreached, a_connection_that_breaks_is_no_value,
	    nobody_listens, it_says_what_it_waits_for_and_may_be_taken_back,
	    there_is_room_for_connections_times_pipeline);
	SUITE_ADD_FIXTURE(s, "cluster", setup, teardown, a_key_is_asked_for_at_the_node_of_its_slot,
	    moved_is_followed, moved_in_a_loop_ends, ask_is_followed_once,
	    a_redirection_to_nowhere_is_an_error, a_server_that_is_no_cluster_is_told,
	    an_empty_table_of_slots_is_told, malformed_tables_of_slots_are_refused,
	    slots_are_those_of_the_specification, redirections_are_read);
	SUITE_ADD_FIXTURE(s, "sentinel", setup, teardown, the_master_is_asked_whom_a_sentinel_tells,
	    a_switch_that_a_sentinel_tells_of_is_followed, a_master_that_no_sentinel_knows_is_told, a_master_that_is_none_is_not_asked,
	    an_address_that_is_none_is_passed_over);
	SUITE_ADD_FIXTURE(s, "memory", setup, teardown, without_memory_alone,
	    without_memory_in_a_cluster, without_memory_behind_sentinel);
	return suite_main(s);
}
