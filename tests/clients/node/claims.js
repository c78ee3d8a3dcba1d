"use strict";
// The way of talking to tests/integration/real.py, in JavaScript.

const assert = require("node:assert/strict");
const readline = require("node:readline");

const { SOCKET: path, GUARDED: guarded, PASSWORD: password } = process.env;
const lines = readline.createInterface({ input: process.stdin });
const waiting = [];

lines.on("line", () => waiting.shift()());

async function claim(name, test) {
  try {
    await test();
    console.log(`ok ${name}`);
  } catch (e) {
    console.error(e);
    console.log(`not ok ${name}: ${String(e).replace(/\s+/g, " ")}`);
  }
}

// Of the daemon: stop, start, restart. Resolves when it is done.
function ask(what) {
  return new Promise((resolve) => {
    waiting.push(resolve);
    console.log(`ask ${what}`);
  });
}

// An event, once, or what rejects instead.
function once(emitter, event) {
  return new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));
}

async function until(test, what) {
  const end = Date.now() + 20000;
  while (!(await test())) {
    if (Date.now() > end) throw new Error(`gave up waiting for ${what}`);
    await new Promise(setImmediate);
  }
}

function run(main) {
  main().then(() => process.exit(0), (e) => {
    console.error(e);
    process.exit(1);
  });
}

module.exports = { assert, path, guarded, password, claim, ask, once, until, run };
