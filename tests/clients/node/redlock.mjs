// redlock, 4 and 5, over ioredis: locks on one resource and on several.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const Redis = require("ioredis");
const Redlock4 = require("redlock4");
const { default: Redlock5, ExecutionError } = require("redlock5");
const { assert, path, claim, until, run } = require("./claims.js");

const WORKERS = 8, ROUNDS = 20;
const patient = { retryCount: -1, retryDelay: 1, retryJitter: 2 };
const once = { retryCount: 0 };

// The two differ in names: one way for both.
function of4(r, settings) {
  const l = new Redlock4([r], settings);
  return {
    acquire: (what, ms) => l.lock(what, ms),
    extend: (lock, ms) => lock.extend(ms),
    release: (lock) => lock.unlock(),
    busy: Redlock4.LockError,
  };
}

function of5(r, settings) {
  const l = new Redlock5([r], { ...settings, automaticExtensionThreshold: 200 });
  l.on("error", () => {}); // says each refusal once more
  return {
    acquire: (what, ms) => l.acquire([].concat(what), ms),
    extend: (lock, ms) => lock.extend(ms),
    release: (lock) => lock.release(),
    busy: ExecutionError,
    using: l.using.bind(l),
  };
}

async function holdsAndGivesBack(r, make) {
  await r.flushall();
  const l = make(r, once);
  let lock = await l.acquire("l", 60000);
  await assert.rejects(l.acquire("l", 60000), l.busy);
  const left = await r.pttl("l");
  assert.ok(left > 50000 && left <= 60000, `${left} ms left`);
  await l.release(lock);
  assert.equal(await r.exists("l"), 0);
  lock = await l.acquire("l", 60000);
  await l.release(lock);
}

async function severalAllOrNone(r, make) {
  await r.flushall();
  const l = make(r, once);
  const one = await l.acquire(["a", "b", "c"], 60000);
  assert.equal(await r.exists("a", "b", "c"), 3);
  await assert.rejects(l.acquire(["x", "c", "y"], 60000), l.busy);
  assert.equal(await r.exists("x", "y"), 0);
  await l.extend(one, 90000);
  for (const key of ["a", "b", "c"]) assert.ok((await r.pttl(key)) > 80000);
  await l.release(one);
  assert.equal(await r.dbsize(), 0);
}

async function lostIsTold(r, make) {
  await r.flushall();
  const l = make(r, once);
  let lock = await l.acquire("l", 60000);
  await r.set("l", "somebody else's");
  await assert.rejects(l.extend(lock, 60000), l.busy);
  assert.equal(await r.get("l"), "somebody else's");
  await r.del("l");
  lock = await l.acquire("l", 30);
  await until(async () => (await r.exists("l")) === 0, "the lock's time to be over");
  await assert.rejects(l.extend(lock, 60000));
  await l.release(await l.acquire("l", 60000));
}

async function excludes(r, make) {
  await r.flushall();
  let inside = 0, worst = 0;
  const clients = Array.from({ length: WORKERS }, () => new Redis({ path }));
  await Promise.all(clients.map(async (own) => {
    const l = make(own, patient);
    for (let i = 0; i < ROUNDS; i++) {
      const lock = await l.acquire(["l", "m"], 60000);
      worst = Math.max(worst, ++inside);
      await own.set("n", Number(await own.get("n")) + 1); // not atomic but for the lock
      inside--;
      await l.release(lock);
    }
  }));
  for (const own of clients) own.disconnect();
  assert.equal(worst, 1);
  assert.equal(await r.get("n"), String(WORKERS * ROUNDS));
}

async function usingExtends(r, make) {
  await r.flushall();
  const l = make(r, once);
  await l.using(["l"], 500, async (signal) => {
    const first = await r.get("l");
    let before = await r.pttl("l"), extended = false;
    await until(async () => {
      const now = await r.pttl("l");
      extended ||= now > before;
      before = now;
      return extended;
    }, "it to be extended");
    assert.equal(signal.aborted, false);
    assert.equal(await r.get("l"), first);
  });
  assert.equal(await r.exists("l"), 0);
}

async function main() {
  const r = new Redis({ path });
  for (const [name, make] of [["redlock 4", of4], ["redlock 5", of5]]) {
    await r.script("FLUSH");
    await claim(`${name}, a lock is one's own`, () => holdsAndGivesBack(r, make));
    await claim(`${name}, several resources, all or none`, () => severalAllOrNone(r, make));
    await claim(`${name}, a lock that is lost is told`, () => lostIsTold(r, make));
    await claim(`${name}, many clients, one at a time`, () => excludes(r, make));
  }
  await claim("redlock 5, using() extends by itself", () => usingExtends(r, of5));
  r.disconnect();
}

run(main);
