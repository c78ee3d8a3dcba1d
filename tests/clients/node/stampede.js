"use strict";
// A herd of everyday cache-aside code, over ioredis or node-redis: as
// tests/clients/python/stampede.py, with the clients all in one thread.
//
//     stampede.js LIBRARY shared|single CLIENTS FOLDER
//
// shared: all callers over one connection.

const fs = require("node:fs");
const { setTimeout: after } = require("node:timers/promises");

const path = process.env.SOCKET;
const [library, sharing, clients, folder] = process.argv.slice(2);
const LOAD_MS = 200;

// What every application has somewhere; the two spell the time to live in their own ways.
async function cached(r, key, load) {
  let value = await r.get(key);
  if (value === null) {
    value = await load();
    if (library === "ioredis") await r.set(key, value, "EX", 300);
    else await r.set(key, value, { EX: 300 });
  }
  return value;
}

function say(...words) {
  fs.writeSync(1, `${words.join(" ")}\n`);
}

async function load() {
  const slow = fs.existsSync(`${folder}/slow`);
  if (slow) fs.unlinkSync(`${folder}/slow`);
  say("load", process.pid);
  await after(slow ? 3600000 : LOAD_MS);
  return "made";
}

async function connect() {
  if (library === "ioredis") {
    const r = new (require("ioredis"))({ path });
    await r.ping();
    return r;
  }
  return require("redis").createClient({ socket: { path } }).connect();
}

async function client(r) {
  const begun = Date.now();
  const value = await cached(r, "page:front", load);
  say("got", Date.now() - begun, value);
}

async function main() {
  const connections = sharing === "shared" ? 1 : Number(clients);
  const all = await Promise.all(Array.from({ length: connections }, connect));
  const go = new Promise((resolve) => process.stdin.once("data", resolve));
  say("ready");
  await go;
  await Promise.all(Array.from({ length: Number(clients) }, (_, i) => client(all[i % connections])));
}

main().then(() => process.exit(0));
