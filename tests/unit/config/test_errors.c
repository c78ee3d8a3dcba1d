#include "config.h"

#include "unit/suite.h"

#include "unit/config/fixture.h"

struct bad {
	const char *text, *error;
};

static void
assert_all(const struct bad *cases, size_t n)
{
	fixture_enter();
	for (size_t i = 0; i < n; i++)
		assert_error(slice_str(cases[i].text), cases[i].error);
	fixture_leave();
}

#define REDIS "origins:\n  users:\n    redis: {endpoints: [\"redis://x\"]"
#define ORIGIN "origins:\n  users:\n    http: {endpoints: [\"http://127.0.0.1:8081\"]}\n"

#define NS "namespaces:\n  - prefix: \"a:\"\n    "

START_TEST(each_wrong_quota_says_where_what_and_what_would_be_right)
{
	static const struct bad cases[] = {
		{ NS "max_memory: 101%\n", "pannier.yaml:3:17: namespaces[0].max_memory: \"101%\" "
		    "is no size or share; write for example 64MiB or 25%" },
		{ NS "min_memory: 0%\n", "pannier.yaml:3:17: namespaces[0].min_memory: \"0%\" "
		    "is no size or share; write for example 64MiB or 25%" },
		{ NS "min_memory: 33GiB\n", "pannier.yaml:3:17: namespaces[0].min_memory: "
		    "\"33GiB\" is too much; the most is 32GiB" },
		{ NS "min_memory: 2MiB\n    max_memory: 1MiB\n", "pannier.yaml:4:17: "
		    "namespaces[0].max_memory: is less than min_memory" },
		{ NS "class: protected\n    max_memory: 1MiB\n", "pannier.yaml:4:17: "
		    "namespaces[0].max_memory: is for class: cache; all protected keys share "
		    "protected_limit, and none of them is evicted" },
		{ "memory: 64MiB\n" NS "min_memory: 33MiB\n", "namespaces: min_memory of all "
		    "together is 33792 KiB; at most half of memory, 32767 KiB here, may be kept "
		    "for some: lower them, or raise memory" },
		{ NS "min_memory: 30%\n  - prefix: \"b:\"\n    min_memory: 30%\n",
		    "namespaces: min_memory of all together is 60%; at most 50% of the cache may "
		    "be kept for some" },
	};

	assert_all(cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(each_wrong_scalar_says_where_what_and_what_would_be_right)
{
	static const struct bad cases[] = {
		{ "memory: 5x\n",
		    "pannier.yaml:1:9: memory: \"5x\" is no size; write for example 256MiB" },
		{ "memory: 1MiB\n",
		    "pannier.yaml:1:9: memory: \"1MiB\" is too little; the least is 16MiB" },
		{ "memory: 0\n", "pannier.yaml:1:9: memory: \"0\" is too little; the least is 16MiB" },
		{ "memory: 33GiB\n",
		    "pannier.yaml:1:9: memory: \"33GiB\" is too much; the most is 32GiB" },
		{ "memory: 99999999999999999999\n",
		    "pannier.yaml:1:9: memory: \"99999999999999999999\" is too much; the most is 32GiB" },
		{ "threads: -1\n",
		    "pannier.yaml:1:10: threads: \"-1\" is no whole number; write for example 1000" },
		{ "threads: 1.5\n",
		    "pannier.yaml:1:10: threads: \"1.5\" is no whole number; write for example 1000" },
		{ "max_clients: auto\n",
		    "pannier.yaml:1:14: max_clients: \"auto\" is no whole number; write for example 1000" },
		{ "\nidle_timeout: 5\n",
		    "pannier.yaml:2:15: idle_timeout: \"5\" is no duration; write for example 300s" },
		{ "drain_timeout: 2h\n",
		    "pannier.yaml:1:16: drain_timeout: \"2h\" is too much; the most is 1h" },
		{ "log_level: degub\n",
		    "pannier.yaml:1:12: log_level: \"degub\" is no log level; did you mean \"debug\"? "
		    "There is debug, info, warn, error" },
		{ "eviction: random\n",
		    "pannier.yaml:1:11: eviction: \"random\" is no eviction policy; there is lru, s3fifo, tinylfu" },
		{ "redis_version: 7.4\n",
		    "pannier.yaml:1:16: redis_version: \"7.4\" is no version that is known; "
		    "did you mean \"7.4.0\"? There is 7.0.15, 7.4.0" },
		{ "memory:\n",
		    "pannier.yaml:1:8: memory: nothing stands here, a size is wanted; "
		    "write for example 256MiB" },
		{ "memory: ~\n",
		    "pannier.yaml:1:9: memory: nothing stands here, a size is wanted; "
		    "write for example 256MiB" },
		{ "memory: [1]\n",
		    "pannier.yaml:1:9: memory: a list stands here, a size is wanted; "
		    "write for example 256MiB" },
		{ "memory: \"a\\nb\\tc\"\n",
		    "pannier.yaml:1:9: memory: \"a\\x0ab\\x09c\" is no size; write for example 256MiB" },
		{ "memory: 0123456789012345678901234567890123456789012345678901234567890123456789\n",
		    "pannier.yaml:1:9: memory: "
		    "\"012345678901234567890123456789012345678901234567890123456789...\" is no size; "
		    "write for example 256MiB" },
	};

	assert_all(cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(limits_larger_than_memory_are_refused)
{
	static const struct bad cases[] = {
		{ "memory: 32MiB\nmax_value: 64MiB\n",
		    "pannier.yaml:2:12: max_value: \"64MiB\" is more than memory, which is 32MiB" },
		{ "buffers_limit: 64MiB\nmemory: 32MiB\n",
		    "pannier.yaml:1:16: buffers_limit: \"64MiB\" is more than memory, which is 32MiB" },
		{ "output_limit: 33MiB\nmemory: 32MiB\n",
		    "pannier.yaml:1:15: output_limit: \"33MiB\" is more than memory, which is 32MiB" },
	};

	assert_all(cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(unknown_and_repeated_keys_are_refused_with_the_nearest_known_one)
{
	static const struct bad cases[] = {
		{ "memry: 1GiB\n", "pannier.yaml:1:1: unknown key \"memry\"; did you mean \"memory\"?" },
		{ "log-level: info\n",
		    "pannier.yaml:1:1: unknown key \"log-level\"; did you mean \"log_level\"?" },
		{ "Memory: 1GiB\n", "pannier.yaml:1:1: unknown key \"Memory\"; did you mean \"memory\"?" },
		{ "listen:\n  - unix: a.sock\n    quux: 1\n",
		    "pannier.yaml:3:5: listen[0]: unknown key \"quux\"; "
		    "a listener has unix, mode, owner, group, tcp, read_only, admin, "
		    "allow_uids, allow_gids, namespaces, password_file" },
		{ "namespaces:\n  - prefix: a\n    tll: 5s\n",
		    "pannier.yaml:3:5: namespaces[0]: unknown key \"tll\"; did you mean \"ttl\"?" },
		{ "origins:\n  users:\n    endpoints: []\n",
		    "pannier.yaml:3:5: origins.users: unknown key \"endpoints\"; "
		    "an origin has http, redis, deadline, max_body, max_connections, max_waiters, "
		    "write_queue, write_delay, write_parallel, write_give_up, tls, rate, concurrency, "
		    "breaker, retry, hedge, balance, ejection, health" },
		{ "memory: 32MiB\nthreads: 1\nmemory: 64MiB\n",
		    "pannier.yaml:3:1: \"memory\" stands here twice, first in line 1" },
		{ ORIGIN "  users:\n    http: {endpoints: [\"http://127.0.0.1:1\"]}\n",
		    "pannier.yaml:4:3: origins: \"users\" stands here twice, first in line 2" },
		{ "namespaces:\n  - {prefix: a, ttl: 5s, prefix: b}\n",
		    "pannier.yaml:2:26: namespaces[0]: \"prefix\" stands here twice, first in line 2" },
	};

	assert_all(cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(listeners_are_checked)
{
	static const struct bad cases[] = {
		{ "listen: /run/x.sock\n",
		    "pannier.yaml:1:9: listen: a value stands here, a list is wanted" },
		{ "listen:\n  - /run/x.sock\n",
		    "pannier.yaml:2:5: listen[0]: a value stands here; "
		    "a listener is a mapping, it begins with unix:" },
		{ "listen:\n  - mode: \"0660\"\n",
		    "pannier.yaml:2:5: listen[0]: needs unix: or tcp:, and there is none" },
		{ "listen:\n  - unix: a.sock\n    tcp: 127.0.0.1:1\n",
		    "pannier.yaml:2:5: listen[0]: has unix: and tcp:; write two listeners" },
		{ "listen:\n  - tcp: 127.0.0.1:1\n    owner: root\n",
		    "pannier.yaml:3:12: listen[0]: owner: belongs to a Unix socket, not to TCP" },
		{ "listen:\n  - tcp: 0.0.0.0:6379\n",
		    "pannier.yaml:2:10: listen[0].tcp: \"0.0.0.0:6379\" is not on loopback, and TCP has "
		    "no password here; write for example 127.0.0.1:6380" },
		{ "admin_http: tcp:example.com:9464\n",
		    "pannier.yaml:1:13: admin_http: \"example.com:9464\" has no address of this machine; "
		    "write tcp:0.0.0.0:9464 for all of them, or tcp:127.0.0.1:9464" },
		{ "listen:\n  - tcp: 127.0.0.1:66666\n",
		    "pannier.yaml:2:10: listen[0].tcp: \"127.0.0.1:66666\" has no port from 0 to 65535; "
		    "write for example 127.0.0.1:6380" },
		{ "listen:\n  - tcp: 6379\n",
		    "pannier.yaml:2:10: listen[0].tcp: \"6379\" is no host:port; "
		    "write for example 127.0.0.1:6380" },
		{ "listen:\n  - unix: \"\"\n",
		    "pannier.yaml:2:11: listen[0].unix: \"\" is no path; "
		    "write for example /run/pannier/pannier.sock" },
		{ "listen:\n  - unix: \"a\\0b\"\n",
		    "pannier.yaml:2:11: listen[0].unix: \"a\\x00b\" has a control character, "
		    "which a path must not have" },
		{ "listen:\n  - unix: a\n    mode: 0999\n",
		    "pannier.yaml:3:11: listen[0].mode: \"0999\" is no file mode; "
		    "write for example \"0660\"" },
		{ "listen:\n  - unix: a\n    mode: 07777\n",
		    "pannier.yaml:3:11: listen[0].mode: \"07777\" is no file mode; "
		    "write for example \"0660\"" },
		{ "listen:\n  - unix: a\n    owner: no-such-user\n",
		    "pannier.yaml:3:12: listen[0].owner: \"no-such-user\" is no user on this machine; "
		    "write a name that is known here, or a number" },
		{ "listen:\n  - unix: a\n    group: no-such-group\n",
		    "pannier.yaml:3:12: listen[0].group: \"no-such-group\" is no group on this machine; "
		    "write a name that is known here, or a number" },
		{ "listen:\n  - unix: a\n    owner: 4294967295\n",
		    "pannier.yaml:3:12: listen[0].owner: \"4294967295\" is too much for the number of "
		    "a user" },
		{ "listen:\n  - unix: a\n  - unix: a\n", "listen: two listeners on a" },
		{ "listen:\n  - tcp: localhost:7\n  - tcp: localhost:7\n",
		    "listen: two listeners on localhost:7" },
	};

	assert_all(cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(a_socket_path_has_at_most_107_bytes)
{
	char text[256], path[109], error[512];

	memset(path, 'a', sizeof path);
	fixture_enter();
	snprintf(text, sizeof text, "listen:\n  - unix: %.107s\n", path);
	config_free(load_good(text));
	snprintf(text, sizeof text, "listen:\n  - unix: %.108s\n", path);
	snprintf(error, sizeof error,
	    "pannier.yaml:2:11: listen[0].unix: \"%.60s...\" is too long for a Unix socket; "
	    "at most 107 bytes", path);
	assert_error(slice_str(text), error);
	fixture_leave();
}
END_TEST

START_TEST(namespaces_are_checked)
{
	static const struct bad cases[] = {
		{ "namespaces:\n  - prefix: \"user:\"\n    ttl: 5x\n",
		    "pannier.yaml:3:10: namespaces[0].ttl: \"5x\" is no duration; "
		    "write for example 300s" },
		{ "namespaces:\n  - ttl: 5s\n",
		    "pannier.yaml:2:5: namespaces[0]: a namespace needs prefix:, and there is none" },
		{ ORIGIN "namespaces:\n  - prefix: a\n    origin: usres\n    path: /{key}\n",
		    "pannier.yaml:6:13: namespaces[0].origin: \"usres\" is not among origins:; "
		    "did you mean \"users\"?" },
		{ "namespaces:\n  - prefix: a\n    origin: users\n    path: /{key}\n",
		    "pannier.yaml:3:13: namespaces[0].origin: \"users\" is not among origins:" },
		{ ORIGIN "namespaces:\n  - prefix: a\n    origin: users\n",
		    "pannier.yaml:6:13: namespaces[0]: origin: needs path:, "
		    "for example path: /users/{rest}" },
		{ "namespaces:\n  - prefix: a\n    path: /{key}\n",
		    "pannier.yaml:3:11: namespaces[0]: path: needs origin:, and there is none" },
		{ ORIGIN "namespaces:\n  - prefix: a\n    origin: users\n    path: users/{key}\n",
		    "pannier.yaml:7:11: namespaces[0].path: \"users/{key}\" must begin with /, "
		    "as in /users/{rest}" },
		{ ORIGIN "namespaces:\n  - prefix: a\n    origin: users\n    path: /users\n",
		    "pannier.yaml:7:11: namespaces[0].path: \"/users\" has neither {key} nor {rest}; "
		    "all keys would fetch the same" },
		{ ORIGIN "namespaces:\n  - prefix: a\n    origin: users\n    path: \"/{id}\"\n",
		    "pannier.yaml:7:11: namespaces[0].path: \"/{id}\" knows the placeholders {key} and "
		    "{rest} only" },
		{ "namespaces:\n  - prefix: \"a:\"\n  - prefix: b\n  - prefix: \"a:\"\n",
		    "pannier.yaml:4:13: namespaces[2].prefix: \"a:\" is the prefix of namespaces[0] too" },
		{ "namespaces:\n  - prefix: \"a:\"\n  - prefix: \"a.\"\n",
		    "pannier.yaml:3:5: namespaces[1]: is called \"a\", as namespaces[0] is; "
		    "give it a name: of its own" },
		{ "namespaces:\n  - prefix: \"a:\"\n    name: x\n  - prefix: b\n    name: x\n",
		    "pannier.yaml:5:11: namespaces[1]: is called \"x\", as namespaces[0] is; "
		    "give it a name: of its own" },
		{ "namespaces:\n  - prefix: \"::\"\n",
		    "pannier.yaml:2:5: namespaces[0]: no name can be made from the prefix; add name:" },
		{ "namespaces:\n  - prefix: \"default:\"\n",
		    "pannier.yaml:2:5: namespaces[0].name: default is the namespace of prefix \"\"; "
		    "write another name:" },
		{ "namespaces:\n  - prefix: \"\"\n    name: x\n",
		    "pannier.yaml:3:11: namespaces[0].name: the namespace of prefix \"\" is called "
		    "default; leave name: out" },
		{ "namespaces:\n  - prefix: a\n    name: \"a,b\"\n",
		    "pannier.yaml:3:11: namespaces[0].name: \"a,b\" is no name; letters, digits, \"_\", "
		    "\"-\" and \".\" may stand in it" },
		{ "namespaces:\n  - prefix: a\n    name: \"\"\n",
		    "pannier.yaml:3:11: namespaces[0].name: \"\" is no name; write at least one letter" },
		{ "namespaces:\n  - prefix: \"a\\0b\"\n",
		    "pannier.yaml:2:13: namespaces[0].prefix: \"a\\x00b\" has a control character, "
		    "which a prefix must not have" },
		{ "namespaces:\n  - a\n",
		    "pannier.yaml:2:5: namespaces[0]: a value stands here; "
		    "a namespace is a mapping, it begins with prefix:" },
		{ "namespaces:\n  a: b\n",
		    "pannier.yaml:2:3: namespaces: a mapping stands here, a list is wanted" },
	};

	assert_all(cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(origins_are_checked)
{
	static const struct bad cases[] = {
		{ "origins: [a]\n",
		    "pannier.yaml:1:10: origins: a list stands here, a mapping is wanted" },
		{ "origins:\n  users: {}\n",
		    "pannier.yaml:2:10: origins.users: an origin needs http: or redis:, and there is none" },
		{ "origins:\n  users: {http: {}}\n",
		    "pannier.yaml:2:17: origins.users.http: http needs endpoints:, and there is none" },
		{ "origins:\n  users: {http: 5}\n",
		    "pannier.yaml:2:17: origins.users.http: a value stands here, a mapping is wanted" },
		{ "origins:\n  users: {http: {endpoints: []}}\n",
		    "pannier.yaml:2:29: origins.users.http.endpoints: is empty; write at least one, "
		    "for example http://127.0.0.1:8081" },
		{ ORIGIN "    tls: {ca_file: /x.pem}\n",
		    "pannier.yaml:4:10: origins.users.tls: is for endpoints over https or rediss, and there is none" },
		{ ORIGIN "    tls: {verify: false}\n",
		    "pannier.yaml:4:10: origins.users.tls: is for endpoints over https or rediss, and there is none" },
		{ "origins:\n  users:\n    http: {endpoints: [\"https://x\"]}\n    tls: {key_file: /k}\n",
		    "pannier.yaml:4:21: origins.users.tls.key_file: needs cert_file:, and there is none" },
		{ "origins:\n  users:\n    http: {endpoints: [\"https://x\"]}\n    tls: {verify: maybe}\n",
		    "pannier.yaml:4:19: origins.users.tls.verify: \"maybe\" is no truth value; there is false, true" },
		{ "origins:\n  users: {http: {endpoints: [\"ftp://x\"]}}\n",
		    "pannier.yaml:2:30: origins.users.http.endpoints[0]: \"ftp://x\" must begin with "
		    "http://, https:// or http+unix://" },
		{ "origins:\n  users: {http: {endpoints: [\"http://x\", \"http://me:secret@x\"]}}\n",
		    "pannier.yaml:2:42: origins.users.http.endpoints[1]: \"@x\" must not carry a user or "
		    "password" },
		{ ORIGIN "    deadline: 0\n",
		    "pannier.yaml:4:15: origins.users.deadline: \"0\" is too little; the least is 1ms" },
		{ ORIGIN "    max_body: 1GiB\n",
		    "pannier.yaml:4:15: origins.users.max_body: \"1GiB\" is too much; "
		    "the most is 512MiB" },
		{ ORIGIN "    max_connections: 0\n",
		    "pannier.yaml:4:22: origins.users.max_connections: \"0\" is too little; "
		    "the least is 1" },
		{ ORIGIN "    max_waiters: 99999999999\n",
		    "pannier.yaml:4:18: origins.users.max_waiters: \"99999999999\" is too much; "
		    "the most is 1000000" },
		{ "origins:\n  \"a b\":\n    http: {endpoints: [\"http://x\"]}\n",
		    "pannier.yaml:2:3: origins: \"a b\" is no name; letters, digits, \"_\", \"-\" and "
		    "\".\" may stand in it" },
		{ "origins:\n  users:\n",
		    "pannier.yaml:2:9: origins.users: nothing stands here; "
		    "an origin is a mapping, it begins with http:" },
	};

	assert_all(cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(redis_origins_are_checked)
{
	static const struct bad cases[] = {
		{ "origins:\n  users: {http: {endpoints: [\"http://x\"]}, redis: {endpoints: [\"redis://x\"]}}\n",
		    "pannier.yaml:2:51: origins.users: has http: and redis:; write two origins" },
		{ "origins:\n  users: {redis: {}}\n",
		    "pannier.yaml:2:18: origins.users.redis: redis needs endpoints:, and there is none" },
		{ "origins:\n  users: {redis: {endpoints: [\"http://x\"]}}\n",
		    "pannier.yaml:2:31: origins.users.redis.endpoints[0]: \"http://x\" must begin with "
		    "redis://, rediss:// or redis+unix://" },
		{ "origins:\n  users: {redis: {endpoints: [\"redis://:secret@x\"]}}\n",
		    "pannier.yaml:2:31: origins.users.redis.endpoints[0]: \"@x\" must not carry a user or "
		    "password; see username and password_file" },
		{ "origins:\n  users: {redis: {endpoints: [\"redis://x/3\"]}}\n",
		    "pannier.yaml:2:31: origins.users.redis.endpoints[0]: \"redis://x/3\" must not have a "
		    "path; a database stands in database:" },
		{ REDIS ", mode: sentinel}\n",
		    "pannier.yaml:3:12: origins.users.redis: mode: sentinel needs master_name:, and there is none" },
		{ REDIS ", master_name: m}\n",
		    "pannier.yaml:3:52: origins.users.redis.master_name: is for mode: sentinel; leave it out" },
		{ REDIS ", read_from: any}\n",
		    "pannier.yaml:3:50: origins.users.redis.read_from: is for mode: sentinel or cluster; leave it out" },
		{ REDIS ", mode: cluster, database: 3}\n",
		    "pannier.yaml:3:64: origins.users.redis.database: is for mode: standalone or sentinel; leave it out" },
		{ REDIS ", username: u}\n",
		    "pannier.yaml:3:49: origins.users.redis.username: needs password_file: or password_env:, and there is none" },
		{ REDIS ", password_file: /p, password_env: E}\n",
		    "pannier.yaml:3:72: origins.users.redis.password_env: stands beside password_file:; leave one out" },
		{ REDIS ", key: x}\n",
		    "pannier.yaml:3:44: origins.users.redis.key: \"x\" must end with {key} or {rest}, as in \"app:{key}\"" },
		{ REDIS ", mode: ring}\n", "pannier.yaml:3:45: origins.users.redis.mode: \"ring\" is no kind of Redis; "
		    "there is standalone, sentinel, cluster" },
		{ "origins:\n  users: {redis: {mode: cluster, endpoints: [\"redis://x\", \"rediss://y\"]}}\n",
		    "pannier.yaml:2:45: origins.users.redis.endpoints[1]: must be over TLS (rediss://) where the others are, and not where not" },
		{ REDIS "}\nnamespaces:\n  - {prefix: \"u:\", origin: users, path: \"/x/{key}\"}\n",
		    "pannier.yaml:5:41: namespaces[0]: path: is for HTTP; what a key is called in Redis says key: of the origin" },
	};

	assert_all(cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(guards_are_checked)
{
	static const struct bad cases[] = {
		{ ORIGIN "    breaker: {min_calls: 200}\n",
		    "pannier.yaml:4:26: origins.users.breaker.min_calls: \"200\" is more than "
		    "window_calls, which is 100" },
		{ ORIGIN "    breaker: {window_calls: 10}\n",
		    "pannier.yaml:4:29: origins.users.breaker.min_calls: \"20\" is more than "
		    "window_calls, which is 10" },
		{ ORIGIN "    breaker: {open_time: 2m}\n",
		    "pannier.yaml:4:26: origins.users.breaker.open_time: \"2m\" is more than "
		    "open_time_max, which is 10s" },
		{ ORIGIN "    retry: {backoff_max: 1ms}\n",
		    "pannier.yaml:4:26: origins.users.retry.backoff: \"10ms\" is more than "
		    "backoff_max, which is 1ms" },
		{ ORIGIN "    concurrency: {adaptive: true, limit: 2}\n",
		    "pannier.yaml:4:42: origins.users.concurrency.min: \"3\" is more than "
		    "limit, which is 2" },
		{ ORIGIN "    concurrency: {adaptive: true, limit: 300}\n",
		    "pannier.yaml:4:42: origins.users.concurrency.limit: \"300\" is more than "
		    "max, which is 200" },
		{ ORIGIN "    ejection: {time: 10m}\n",
		    "pannier.yaml:4:22: origins.users.ejection.time: \"10m\" is more than "
		    "time_max, which is 5m" },
		{ ORIGIN "    health: {path: \"/{key}\"}\n",
		    "pannier.yaml:4:20: origins.users.health.path: \"/{key}\" has a placeholder, "
		    "and a check is about no key; write for example /healthz" },
		{ ORIGIN "    health: {path: healthz}\n",
		    "pannier.yaml:4:20: origins.users.health.path: \"healthz\" must begin with /, "
		    "as in /users/{rest}" },
		{ ORIGIN "    health: {enabled: true}\n",
		    "pannier.yaml:4:23: origins.users.health: needs path:, for example "
		    "path: /healthz" },
		{ ORIGIN "    balance: {policy: random}\n",
		    "pannier.yaml:4:23: origins.users.balance.policy: \"random\" is no way to "
		    "balance; there is round_robin, least_connections, two_choices" },
		{ ORIGIN "    retry: {enabled: maybe}\n",
		    "pannier.yaml:4:22: origins.users.retry.enabled: \"maybe\" is no truth value; "
		    "there is false, true" },
		{ ORIGIN "    rate: {burst: 0}\n",
		    "pannier.yaml:4:19: origins.users.rate.burst: \"0\" is too little; "
		    "the least is 1" },
	};

	assert_all(cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(what_is_no_plain_yaml_is_refused_in_words)
{
	static const struct bad cases[] = {
		{ "",
		    "pannier.yaml: the file holds no settings; write {} if you mean the defaults" },
		{ "# nothing\n",
		    "pannier.yaml: the file holds no settings; write {} if you mean the defaults" },
		{ "---\n",
		    "pannier.yaml: the file holds no settings; write {} if you mean the defaults" },
		{ "5\n",
		    "pannier.yaml:1:1: a value stands here; a configuration is a mapping, "
		    "for example memory: 256MiB" },
		{ "- a\n",
		    "pannier.yaml:1:1: a list stands here; a configuration is a mapping, "
		    "for example memory: 256MiB" },
		{ "memory: &m 32MiB\n",
		    "pannier.yaml:1:9: anchors (&name) are not taken here; "
		    "write the value out at each place" },
		{ "memory: *m\n",
		    "pannier.yaml:1:9: aliases (*name) are not taken here; "
		    "write the value out at each place" },
		{ "memory: !!str 32MiB\n",
		    "pannier.yaml:1:9: tags (!name) are not taken here; leave it out" },
		{ "? [a]\n: b\n",
		    "pannier.yaml:1:3: a key must be plain text, not a list or a mapping" },
		{ "a: b\n---\nc: d\n", "pannier.yaml:2:1: a second document begins here; write one" },
		{ "listen:\n\t- unix: a\n",
		    "pannier.yaml:2:1: this line is indented with a tab; write spaces" },
		{ "listen:\n  - unix: a\n  \tmode: 0660\n",
		    "pannier.yaml:3:3: this line is indented with a tab; write spaces" },
		{ "memory: 32MiB: 5\n",
		    "pannier.yaml:1:14: a \":\" cannot stand here; quote the value, "
		    "or begin the key on a line of its own" },
		{ "memory: @x\n",
		    "pannier.yaml:1:9: a value cannot begin with this character; put it in double quotes" },
		{ "memory: \"32MiB\n", "pannier.yaml:2:1: a quote is opened and never closed" },
		{ "memory: 32MiB\nthreads\n",
		    "pannier.yaml:3:1: a key without \":\" behind it; write key: value" },
		{ "listen:\n    - unix: a\n  - unix: b\n",
		    "pannier.yaml:3:3: a key is wanted here; is the indentation that of the lines above?" },
		{ "a: {b: c\n", "pannier.yaml:2:1: a mapping that began with { lacks a comma or its }" },
		{ "a: [b, c\n", "pannier.yaml:2:1: a list that began with [ lacks a comma or its ]" },
		{ "a: b\xff\n",
		    "pannier.yaml:1:5: not UTF-8 text (invalid leading UTF-8 octet)" },
		{ "\xff\xfe" "a\n", "pannier.yaml:1:1: UTF-16 text; save the file as UTF-8" },
		{ "%YAML 9.9\n---\na: b\n",
		    "pannier.yaml:1:1: not valid YAML: found incompatible YAML document" },
	};

	assert_all(cases, ARRAY_LEN(cases));
	fixture_enter();
	assert_error(SLICE("a: b\n\0\0\0"), "pannier.yaml:2:1: byte 0x00: this is no text file");
	assert_error(SLICE("\x7f" "ELF\2\1\1\0"), "pannier.yaml:1:1: byte 0x7f: this is no text file");
	fixture_leave();
}
END_TEST

/* count times `part`, then `end`. */
static struct slice
many(const char *part, size_t count, const char *end)
{
	size_t len = strlen(part);
	char *text = malloc(len * count + strlen(end) + 1);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < count; i++)
		memcpy(text + i * len, part, len);
	strcpy(text + count * len, end);
	return slice_str(text);
}

START_TEST(bombs_of_depth_and_size_are_refused)
{
	struct slice text;

	fixture_enter();
	text = many("[", 1000000, "");
	assert_error(text,
	    "pannier.yaml:1:17: nested deeper than 16 levels; nothing here needs that");
	free((char *)text.ptr);
	text = many("{a: ", 200000, "");
	assert_error(text,
	    "pannier.yaml:1:65: nested deeper than 16 levels; nothing here needs that");
	free((char *)text.ptr);
	text = many("- ", 500000, "");
	assert_error(text,
	    "pannier.yaml:1:33: nested deeper than 16 levels; nothing here needs that");
	free((char *)text.ptr);
	text = many("- a\n", 200000, "");
	assert_error(text, "pannier.yaml:65536:3: more than 65536 values; this is no configuration");
	free((char *)text.ptr);
	text = many("#aaaaaaaaaaaaaaa", 1 << 16, "\na: b\n");
	assert_error(text, "pannier.yaml: larger than 1MiB; this is no configuration");
	free((char *)text.ptr);
	text = many("  - unix: a\n", 65, "");
	assert_error(text, "pannier.yaml:1:3: a list stands here; a configuration is a mapping, "
	    "for example memory: 256MiB");
	free((char *)text.ptr);
	fixture_leave();
}
END_TEST

START_TEST(lists_have_a_most)
{
	char text[32768] = "namespaces:\n";
	size_t n = strlen(text);

	for (unsigned i = 0; i < CONFIG_NAMESPACES_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "  - prefix: p%u\n", i);
	fixture_enter();
	assert_error(slice_str(text),
	    "pannier.yaml:2:3: namespaces: has 256 elements; the most is 255");
	fixture_leave();
}
END_TEST

START_TEST(files_that_cannot_be_read_are_named)
{
	struct config_error err;
	struct config *c = NULL;

	fixture_enter();
	ck_assert_int_eq(config_load("none.yaml", NULL, 0, NULL, &c, &err), -ENOENT);
	ck_assert_str_eq(err.text, "none.yaml: cannot be read: No such file or directory");
	ck_assert_int_eq(config_load(".", NULL, 0, NULL, &c, &err), -EISDIR);
	ck_assert_str_eq(err.text, ".: a directory; name a file in it");
	ck_assert_int_eq(config_load("/dev/null", NULL, 0, NULL, &c, &err), -EINVAL);
	ck_assert_str_eq(err.text, "/dev/null: no regular file");
	ck_assert_ptr_null(c);
	fixture_leave();
}
END_TEST

struct seen {
	char text[8][512];
	unsigned n;
};

static void
see(void *arg, const char *text)
{
	struct seen *s = arg;

	if (s->n < 8)
		snprintf(s->text[s->n], sizeof s->text[0], "%s", text);
	s->n++;
}

START_TEST(a_check_tells_every_error_of_a_file)
{
	struct seen seen = { .n = 0 };
	struct config *c = NULL;
	struct slice text;

	fixture_enter();
	write_text(FIXTURE_FILE, SLICE("memory: x\ntreads: 2\nnamespaces:\n  - ttl: y\n"));
	ck_assert_int_eq(config_check(FIXTURE_FILE, NULL, 0, NULL, &c, see, &seen), -EINVAL);
	ck_assert_uint_eq(seen.n, 4);
	ck_assert_str_eq(seen.text[0],
	    "pannier.yaml:1:9: memory: \"x\" is no size; write for example 256MiB");
	ck_assert_str_eq(seen.text[1],
	    "pannier.yaml:2:1: unknown key \"treads\"; did you mean \"threads\"?");
	ck_assert_str_eq(seen.text[2],
	    "pannier.yaml:4:10: namespaces[0].ttl: \"y\" is no duration; write for example 300s");
	ck_assert_str_eq(seen.text[3],
	    "pannier.yaml:4:5: namespaces[0]: a namespace needs prefix:, and there is none");

	/* What is likely one mistake does not fill the screen. */
	seen.n = 0;
	text = many("a: b\n", 1000, "");
	write_text(FIXTURE_FILE, text);
	ck_assert_int_eq(config_check(FIXTURE_FILE, NULL, 0, NULL, &c, see, &seen), -EINVAL);
	ck_assert_uint_eq(seen.n, 20);
	free((char *)text.ptr);
	fixture_leave();
}
END_TEST

#define ROUTED "namespaces:\n  - prefix: \"u:\"\n    origin: users\n    path: /{rest}\n"

START_TEST(freshness_is_for_namespaces_with_an_origin)
{
	static const struct bad cases[] = {
		{ "namespaces:\n  - prefix: \"u:\"\n    stale_if_error: 5m\n",
		    "pannier.yaml:3:21: namespaces[0]: stale_if_error: needs origin:, and there is none" },
		{ "namespaces:\n  - prefix: \"u:\"\n    fallback: nil\n",
		    "pannier.yaml:3:15: namespaces[0]: fallback: needs origin:, and there is none" },
		{ ROUTED "    fallback: value\n" ORIGIN,
		    "pannier.yaml:5:15: namespaces[0]: fallback: value needs fallback_value:, "
		    "for example fallback_value: \"{}\"" },
		{ ROUTED "    fallback_value: x\n" ORIGIN,
		    "pannier.yaml:5:21: namespaces[0]: fallback_value: needs fallback: value" },
		{ ROUTED "    fallback: nul\n" ORIGIN,
		    "pannier.yaml:5:15: namespaces[0].fallback: \"nul\" is no fallback; "
		    "did you mean \"nil\"? There is error, nil, value, stale" },
		{ ROUTED "    ttl_jitter: 101\n" ORIGIN,
		    "pannier.yaml:5:17: namespaces[0].ttl_jitter: \"101\" is too much; the most is 100" },
		{ ROUTED "origins:\n  users:\n    http:\n      endpoints: [\"http://127.0.0.1:1\"]\n"
		    "      not_found_status: [403, 4xx]\n",
		    "pannier.yaml:9:31: origins.users.http.not_found_status: \"4xx\" is no status "
		    "from 400 to 599, for example 403" },
	};

	assert_all(cases, ARRAY_LEN(cases));
}
END_TEST

#define STREAM "invalidations: {s: {kind: rabbitmq, endpoints: [\"b:5672\"], "
#define KAFKA "invalidations: {s: {kind: kafka, endpoints: [\"b:9092\"], "

START_TEST(streams_say_what_belongs_to_their_kind)
{
	static const struct bad cases[] = {
		{ "invalidations: {s: {kind: mqtt, endpoints: [\"b:1\"]}}\n",
		    "pannier.yaml:1:27: invalidations.s.kind: \"mqtt\" is no kind; there is rabbitmq, kafka" },
		{ "invalidations: {s: {kind: kafka}}\n",
		    "pannier.yaml:1:20: invalidations.s: a stream needs endpoints:, and there is none" },
		{ STREAM "vhost: v}}\n",
		    "pannier.yaml:1:20: invalidations.s: rabbitmq needs exchange: or queue:, and there is none" },
		{ KAFKA "group: g}}\n",
		    "pannier.yaml:1:20: invalidations.s: kafka needs topics:, and there is none" },
		{ KAFKA "topics: [t], queue: q}}\n",
		    "pannier.yaml:1:77: invalidations.s: queue: belongs to rabbitmq" },
		{ STREAM "exchange: x, group: g}}\n",
		    "pannier.yaml:1:80: invalidations.s: group: belongs to kafka" },
		{ STREAM "queue: q, routing_keys: [a]}}\n",
		    "pannier.yaml:1:84: invalidations.s: routing_keys: needs exchange:, and there is none" },
		{ "invalidations: {s: {kind: kafka, endpoints: [\"broker\"], topics: [t]}}\n",
		    "pannier.yaml:1:46: invalidations.s.endpoints: \"broker\" is no broker; "
		    "write for example broker-1:9092" },
		{ STREAM "exchange: x, keys: [\"a{b\"]}}\n",
		    "pannier.yaml:1:80: invalidations.s.keys: \"a{b\" has a { without a name and a } "
		    "behind it; write for example \"user:{after.id}\", and {{ for a brace" },
		{ STREAM "exchange: x, format: plain, tags: [a]}}\n",
		    "pannier.yaml:1:94: invalidations.s.tags: is for format: json" },
		{ KAFKA "topics: [t], properties: [x]}}\n",
		    "pannier.yaml:1:83: invalidations.s.properties: \"x\" is no name=value; "
		    "write for example \"session.timeout.ms=10000\"" },
		{ STREAM "exchange: x, ca_file: /x}}\n",
		    "pannier.yaml:1:82: invalidations.s: ca_file: needs tls: true" },
		{ STREAM "exchange: x, tls: true, cert_file: /x}}\n",
		    "pannier.yaml:1:95: invalidations.s: cert_file: and key_file: need each other" },
		{ STREAM "exchange: x, password_file: /x}}\n",
		    "pannier.yaml:1:88: invalidations.s: password_file: needs user:, and there is none" },
	};

	assert_all(cases, ARRAY_LEN(cases));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("config errors");

	SUITE_ADD(s, "values", freshness_is_for_namespaces_with_an_origin,
	    each_wrong_quota_says_where_what_and_what_would_be_right,
	    each_wrong_scalar_says_where_what_and_what_would_be_right,
	    limits_larger_than_memory_are_refused,
	    unknown_and_repeated_keys_are_refused_with_the_nearest_known_one, listeners_are_checked,
	    a_socket_path_has_at_most_107_bytes, namespaces_are_checked, origins_are_checked,
	    redis_origins_are_checked, guards_are_checked,
	    streams_say_what_belongs_to_their_kind);
	SUITE_ADD(s, "files", what_is_no_plain_yaml_is_refused_in_words,
	    bombs_of_depth_and_size_are_refused, lists_have_a_most,
	    files_that_cannot_be_read_are_named, a_check_tells_every_error_of_a_file);
	return suite_main(s);
}
