"use strict";
// node-redis: what its users do.

const { createClient, createClientPool, RESP_TYPES, WatchError } = require("redis");
const { version } = require("@redis/client/package.json");
const { assert, path, guarded, password, claim, ask, once, until, run } = require("./claims");

const names = Array.from({ length: 1000 }, (_, i) => `user:${i}`);

async function connect(more) {
  const r = createClient({ socket: { path, reconnectStrategy: () => 20 }, ...more });
  r.on("error", () => {});
  await r.connect();
  return r;
}

async function everyday(r) {
  await r.flushAll();
  assert.equal(await r.set("k", "v"), "OK");
  assert.equal(await r.get("k"), "v");
  assert.equal(await r.get("gone"), null);
  assert.equal(await r.set("k", "w", { condition: "NX", expiration: { type: "EX", value: 100 } }), null);
  assert.equal(await r.set("k", "w", { expiration: { type: "EX", value: 100 } }), "OK");
  assert.equal(await r.ttl("k"), 100);
  assert.equal(await r.setEx("e", 50, "x"), "OK");
  assert.equal(await r.mSet({ a: "1", b: "two" }), "OK");
  assert.deepEqual(await r.mGet(["a", "b", "gone"]), ["1", "two", null]);
  assert.deepEqual(await Promise.all([r.incr("n"), r.incrBy("n", 5), r.decr("n")]), [1, 6, 5]);
  assert.equal(String(await r.incrByFloat("n", 0.5)), "5.5");
  assert.equal(await r.exists(["a", "b", "gone"]), 2);
  assert.equal(await r.expire("a", 10), 1);
  assert.equal(await r.pExpire("a", 5000, "GT"), 0);
  assert.equal(await r.getEx("a", { type: "PERSIST" }), "1");
  assert.equal(await r.del(["a", "b", "gone"]), 2);
  assert.equal(await r.getDel("e"), "x");
  assert.equal(await r.type("k"), "string");
  assert.equal(await r.dbSize(), 2);
}

async function scans(r) {
  await r.flushAll();
  await r.mSet(names.map((name) => [name, "1"]));
  const seen = new Set();
  for await (const keys of r.scanIterator({ MATCH: "user:*", COUNT: 50, TYPE: "string" }))
    for (const key of keys) seen.add(key);
  assert.equal(seen.size, names.length);
}

async function pipelines(r) {
  assert.deepEqual(await r.multi().set("p", "1").incr("p").get("p").exec(), ["OK", 2, "2"]);
  assert.deepEqual(await r.multi().set("p", "1").incr("p").execAsPipeline(), ["OK", 2]);
  const other = await connect({});
  await r.watch("p");
  await other.set("p", "changed");
  await assert.rejects(r.multi().set("p", "mine").exec(), WatchError);
  other.destroy();
  const said = await Promise.all(names.map((name) => r.set(name, name)));
  assert.ok(said.every((x) => x === "OK"));
  assert.deepEqual(await Promise.all(names.map((name) => r.get(name))), names);
}

async function binary(r) {
  const bytes = Buffer.from(Array.from({ length: 1024 }, (_, i) => i % 256));
  const large = Buffer.alloc(1 << 20, bytes);
  const b = r.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  await b.set(bytes, bytes);
  assert.ok((await b.get(bytes)).equals(bytes));
  await b.set("large", large);
  assert.ok((await b.get("large")).equals(large));
  assert.equal(await r.set("grüße", "schöne"), "OK");
  assert.equal(await r.get("grüße"), "schöne");
}

async function published(r) {
  const sub = r.duplicate();
  await sub.connect();
  const heard = [];
  await sub.subscribe("news", (message, channel) => heard.push([channel, message]));
  await sub.pSubscribe("n*", (message, channel) => heard.push([channel, message]));
  assert.equal(await r.publish("news", "hello"), 2);
  await until(() => heard.length === 2, "two messages");
  assert.deepEqual(heard, [["news", "hello"], ["news", "hello"]]);
  await sub.unsubscribe("news");
  await sub.pUnsubscribe();
  sub.destroy();
}

async function refusals(r) {
  await r.set("text", "x");
  await assert.rejects(r.incr("text"), { message: "ERR value is not an integer or out of range" });
  await assert.rejects(r.lPush("l", "x"),
    { message: "ERR unknown command 'LPUSH', with args beginning with: 'l' 'x' " });
  await assert.rejects(r.sendCommand(["GET"]),
    { message: "ERR wrong number of arguments for 'get' command" });
  await assert.rejects(r.select(1), { message: "ERR DB index is out of range" });
  assert.equal(await r.get("text"), "x");
}

async function passwords(RESP) {
  const socket = { path: guarded, reconnectStrategy: false };
  for (const [more, words] of [[{}, /NOAUTH/], [{ password: "x" }, /WRONGPASS/]])
    await assert.rejects(async () => {
      const r = createClient({ RESP, socket, ...more });
      r.on("error", () => {});
      await r.connect();
      await r.get("k");
    }, words);
  const r = createClient({ RESP, socket, password });
  await r.connect();
  assert.equal(await r.set("k", "v"), "OK");
  await r.close();
}

async function tells(r, protocol) {
  assert.equal(await r.ping(), "PONG");
  assert.match(await r.info("server"), /redis_version:7\.0/);
  const mine = await r.clientInfo();
  assert.equal(mine.name, "claims");
  assert.equal(mine.libName, "node-redis");
  assert.equal(mine.libVer, version);
  assert.equal(mine.resp, protocol);
  assert.ok((await r.clientList()).some((c) => c.name === "claims"));
  assert.equal((await r.configGet("maxmemory-policy"))["maxmemory-policy"], "allkeys-lru");
  assert.equal((await r.commandInfo(["GET"]))[0].name, "get");
}

async function many() {
  const clients = await Promise.all(Array.from({ length: 50 }, () => connect({})));
  await clients[0].del("n");
  await Promise.all(clients.flatMap((c) => Array.from({ length: 20 }, () => c.incr("n"))));
  assert.equal(await clients[0].get("n"), "1000");
  clients.forEach((c) => c.destroy());
}

async function pooled() {
  const pool = createClientPool({ socket: { path } }, { minimum: 2, maximum: 8 });
  await pool.connect();
  await pool.del("n");
  await Promise.all(names.map(() => pool.incr("n")));
  assert.equal(await pool.get("n"), "1000");
  pool.destroy();
}

// What it has read stays with it, until it changes.
async function cached() {
  const other = await connect({});
  const gets = async () => Number(/cmdstat_get:calls=(\d+)/.exec(await other.info("commandstats"))?.[1] ?? 0);
  const clientSideCache = { ttl: 0, maxEntries: 100, evictPolicy: "LRU" };
  for (const open of [() => connect({ RESP: 3, clientSideCache }),
    () => createClientPool({ RESP: 3, socket: { path } }, { clientSideCache }).connect()]) {
    // Opened when it is its turn: a flush before could be heard of late, and cost one more read.
    const r = await open();
    r.on("error", () => {});
    const keeps = async (value) => {
      await until(async () => (await r.get("k")) === value, `it to read ${value}`);
      const before = await gets();
      for (let i = 0; i < 100; i++) assert.equal(await r.get("k"), value);
      assert.equal(await gets(), before);
    };
    await other.set("k", "1");
    await keeps("1");
    await other.incr("k");
    await keeps("2");
    await other.del("k");
    await keeps(null);
    await other.set("k", "3", { expiration: { type: "PX", value: 50 } });
    await until(async () => (await r.get("k")) === null, "its end");
    await other.set("k", "4");
    await keeps("4");
    await other.flushAll();
    await until(async () => (await r.get("k")) === null, "it to hear of the flush");
    r.destroy();
  }
  other.destroy();
}

async function comesBack() {
  const r = await connect({}), sub = await connect({}), heard = [];
  await sub.subscribe("news", (message) => heard.push(message));
  await r.set("k", "v");
  const lost = once(r, "reconnecting");
  await ask("stop");
  await lost;
  const waits = r.get("k"); // is queued until there is somebody to ask
  await ask("start");
  assert.equal(await waits, null);
  await until(async () => (await r.publish("news", "again")) === 1, "the subscription to be renewed");
  await until(() => heard.length === 1, "the message");
  r.destroy();
  sub.destroy();
}

run(async () => {
  for (const RESP of [2, 3]) {
    const name = `RESP${RESP}, `;
    const r = await connect({ RESP, name: "claims" });
    await claim(name + "it says who it is and asks who we are", () => tells(r, RESP));
    await claim(name + "everyday commands", () => everyday(r));
    await claim(name + "scanIterator gives every key", () => scans(r));
    await claim(name + "pipelines, MULTI and WATCH", () => pipelines(r));
    await claim(name + "binary and large values", () => binary(r));
    await claim(name + "publish and subscribe", () => published(r));
    await claim(name + "errors are its exceptions", () => refusals(r));
    await claim(name + "a password is asked for", () => passwords(RESP));
    await claim(name + "close ends well", () => r.close());
  }
  await claim("a pool of connections", pooled);
  await claim("client-side caching, alone and in a pool", cached);
  await claim("fifty connections at once", many);
  await claim("it comes back when the daemon does", comesBack);
});
