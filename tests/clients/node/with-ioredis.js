"use strict";
// ioredis: what its users do.

const Redis = require("ioredis");
const { version } = require("ioredis/package.json");
const { assert, path, guarded, password, claim, ask, once, until, run } = require("./claims");

const names = Array.from({ length: 1000 }, (_, i) => `user:${i}`);

async function everyday(r) {
  await r.flushall();
  assert.equal(await r.set("k", "v"), "OK");
  assert.equal(await r.get("k"), "v");
  assert.equal(await r.get("gone"), null);
  assert.equal(await r.set("k", "w", "EX", 100, "NX"), null);
  assert.equal(await r.set("k", "w", "EX", 100), "OK");
  assert.equal(await r.ttl("k"), 100);
  assert.equal(await r.mset({ a: 1, b: "two" }), "OK");
  assert.equal(await r.mset(new Map([["c", 3]])), "OK");
  assert.deepEqual(await r.mget("a", "b", "gone"), ["1", "two", null]);
  assert.deepEqual(await Promise.all([r.incr("n"), r.incrby("n", 5), r.decr("n")]), [1, 6, 5]);
  assert.equal(await r.incrbyfloat("n", 0.5), "5.5");
  assert.equal(await r.exists("a", "b", "gone"), 2);
  assert.equal(await r.expire("a", 10), 1);
  assert.equal(await r.pexpire("a", 5000, "GT"), 0);
  assert.equal(await r.del("a", "b", "gone"), 2);
  assert.equal(await r.getdel("c"), "3");
  assert.equal(await r.type("k"), "string");
  assert.equal(await r.dbsize(), 2);
}

async function scans(r) {
  await r.flushall();
  await r.mset(names.flatMap((name) => [name, 1]));
  const seen = new Set();
  for await (const keys of r.scanStream({ match: "user:*", count: 50 }))
    for (const key of keys) seen.add(key);
  assert.equal(seen.size, names.length);
}

async function pipelines(r) {
  assert.deepEqual(await r.pipeline().set("p", 1).incr("p").get("p").exec(),
    [[null, "OK"], [null, 2], [null, "2"]]);
  assert.deepEqual(await r.multi().set("p", 1).incr("p").exec(), [[null, "OK"], [null, 2]]);
  const failed = await r.multi().set("p", "text").incr("p").exec();
  assert.equal(failed[0][1], "OK");
  assert.equal(failed[1][0].message, "ERR value is not an integer or out of range");
  const other = r.duplicate();
  await r.watch("p");
  await other.set("p", "changed");
  assert.equal(await r.multi().set("p", "mine").exec(), null);
  other.disconnect();
  const long = r.pipeline();
  for (let i = 0; i < 2000; i++) long.set(`k${i}`, i).get(`k${i}`);
  const said = await long.exec();
  assert.equal(said.length, 4000);
  assert.ok(said.every(([e, v], i) => e === null && v === (i % 2 ? String((i - 1) / 2) : "OK")));
}

async function binary(r) {
  const bytes = Buffer.from(Array.from({ length: 1024 }, (_, i) => i % 256));
  const large = Buffer.alloc(1 << 20, bytes);
  await r.set(bytes, bytes);
  assert.ok((await r.getBuffer(bytes)).equals(bytes));
  await r.set("large", large);
  assert.ok((await r.getBuffer("large")).equals(large));
  assert.equal(await r.set("grüße", "schöne"), "OK");
  assert.equal(await r.get("grüße"), "schöne");
}

async function published(r) {
  const sub = r.duplicate();
  const message = once(sub, "message"), pmessage = once(sub, "pmessage");
  assert.equal(await sub.subscribe("news", "more"), 2);
  assert.equal(await sub.psubscribe("n*"), 3);
  assert.equal(await r.publish("news", "hello"), 2);
  assert.deepEqual(await message, ["news", "hello"]);
  assert.deepEqual(await pmessage, ["n*", "news", "hello"]);
  assert.equal(await sub.unsubscribe("news"), 2);
  sub.disconnect();
}

async function refusals(r) {
  await r.set("text", "x");
  await assert.rejects(r.incr("text"), { name: "ReplyError", message: /not an integer or out of range/ });
  await assert.rejects(r.lpush("l", "x"),
    { message: "ERR unknown command 'lpush', with args beginning with: 'l' 'x' " });
  await assert.rejects(r.call("GET"), { message: "ERR wrong number of arguments for 'get' command" });
  await assert.rejects(r.select(1), { message: "ERR DB index is out of range" });
  assert.equal(await r.get("text"), "x");
}

async function passwords(protocol) {
  for (const [more, words] of [[{}, /^NOAUTH/], [{ password: "x" }, /^WRONGPASS/]]) {
    const r = new Redis({ path: guarded, protocol, ...more });
    const errors = [];
    r.on("error", (e) => errors.push(e.message));
    await assert.rejects(r.get("k").catch((e) => { errors.push(e.message); throw e; }));
    assert.ok(errors.some((e) => words.test(e)), String(errors));
    r.disconnect();
  }
  const r = new Redis({ path: guarded, protocol, password });
  assert.equal(await r.set("k", "v"), "OK");
  r.disconnect();
}

async function tells(r) {
  assert.equal(await r.ping(), "PONG");
  assert.match(await r.info("server"), /redis_version:7\.0/);
  const line = await r.client("INFO");
  assert.match(line, new RegExp(`name=claims .*lib-name=ioredis lib-ver=${version}`));
  assert.match(await r.client("LIST"), /name=claims/);
}

async function locked(r) {
  // As redlock does: a value of one's own, taken back only by the owner.
  assert.equal(await r.set("lock", "mine", "PX", 30000, "NX"), "OK");
  assert.equal(await r.set("lock", "yours", "PX", 30000, "NX"), null);
}

async function many() {
  const clients = Array.from({ length: 50 }, () => new Redis(path));
  await clients[0].del("n");
  await Promise.all(clients.flatMap((c) => Array.from({ length: 20 }, () => c.incr("n"))));
  assert.equal(await clients[0].get("n"), "1000");
  clients.forEach((c) => c.disconnect());
}

async function autoPipelined() {
  const r = new Redis({ path, enableAutoPipelining: true });
  const said = await Promise.all(names.map((name) => r.set(name, name)));
  assert.ok(said.every((x) => x === "OK"));
  assert.deepEqual(await Promise.all(names.map((name) => r.get(name))), names);
  r.disconnect();
}

async function comesBack() {
  const r = new Redis({ path, retryStrategy: () => 20 });
  const sub = new Redis({ path, retryStrategy: () => 20 });
  for (const c of [r, sub]) c.on("error", () => {});
  await sub.subscribe("news");
  await r.set("k", "v");
  const closed = once(r, "close");
  await ask("stop");
  await closed;
  const waits = r.get("k"); // is queued until there is somebody to ask
  await ask("start");
  assert.equal(await waits, null);
  const heard = once(sub, "message");
  await until(async () => (await r.publish("news", "again")) === 1, "the subscription to be renewed");
  assert.deepEqual(await heard, ["news", "again"]);
  r.disconnect();
  sub.disconnect();
}

run(async () => {
  for (const protocol of [2, 3]) {
    const name = `RESP${protocol}, `;
    const r = new Redis({ path, protocol, connectionName: "claims" });
    await claim(name + "it says who it is and asks who we are", () => tells(r));
    await claim(name + "everyday commands", () => everyday(r));
    await claim(name + "scanStream gives every key", () => scans(r));
    await claim(name + "pipelines, MULTI and WATCH", () => pipelines(r));
    await claim(name + "binary and large values", () => binary(r));
    await claim(name + "publish and subscribe", () => published(r));
    await claim(name + "errors are its exceptions", () => refusals(r));
    await claim(name + "a password is asked for", () => passwords(protocol));
    await claim(name + "SET NX as a lock", () => locked(r));
    await claim(name + "QUIT ends well", async () => assert.equal(await r.quit(), "OK"));
  }
  await claim("automatic pipelining", autoPipelined);
  await claim("fifty connections at once", many);
  await claim("it comes back when the daemon does", comesBack);
});
