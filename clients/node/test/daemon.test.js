// The client against the real daemon, which $PANNIER names.
import assert from 'node:assert/strict';
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { Client, ReplyError } from 'pannier';

const BINARY = process.env.PANNIER;
const PATIENCE_MS = process.env.SANITIZER ? 60_000 : 20_000;
const skip = BINARY ? false : 'PANNIER does not name the daemon';

async function daemon(t, more = '') {
  const folder = mkdtempSync(join(tmpdir(), 'pannier-node-'));
  const path = join(folder, 's');
  writeFileSync(join(folder, 'c.yaml'), `listen:\n  - unix: ${path}\n  - tcp: 127.0.0.1:0\nmemory: 64MiB\nthreads: 2\n${more}`);
  const child = spawn(BINARY, ['serve', '--config', join(folder, 'c.yaml')], { stdio: ['ignore', 'ignore', 'pipe'] });
  const tcp = await new Promise((resolve) => createInterface(child.stderr).on('line', (l) => {
    const found = /listening on (tcp:\S+)/.exec(l); // the last one
    if (found) resolve(found[1]);
  }));
  t.after(async () => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    rmSync(folder, { recursive: true });
  });
  return { path, tcp };
}

async function connected(t, more) {
  const client = new Client({ address: (await daemon(t, more)).path, timeoutMs: PATIENCE_MS, connectTimeoutMs: PATIENCE_MS });
  t.after(() => client.close());
  return client;
}

test('values', { skip }, async (t) => {
  const c = await connected(t);
  assert.equal(await c.get('k'), null);
  assert.ok(await c.set('k', Buffer.from([0, 255]), { ttlMs: 100_000 }));
  assert.deepEqual(await c.get('k'), Buffer.from([0, 255]));
  const entry = await c.getEntry('k');
  assert.ok(entry.status === 'hit' && entry.leftMs > 0 && entry.leftMs <= 100_000);
  assert.ok(await c.set('k', 'other', { ifToken: entry.token }));
  assert.ok(!(await c.set('k', 'third', { ifToken: entry.token })));
  assert.ok(!(await c.set('k', 'x', { ifAbsent: true })));
  assert.equal((await c.peek('k')).length, 5);
  assert.ok(await c.touch('k', 5000));
  assert.ok((await c.delete('k')) && !(await c.delete('k')));
});

test('large values and many', { skip }, async (t) => {
  const c = await connected(t);
  const large = Buffer.alloc(100_000, 'ab');
  assert.ok(await c.set('large', large));
  assert.ok(large.equals(await c.get('large')));
  assert.equal((await c.setMany([['a', '1'], ['b', '2']])).size, 0);
  assert.deepEqual((await c.getMany(['a', 'none', 'b'])).map((v) => v && v.toString()), ['1', null, '2']);
  assert.equal(await c.deleteMany(['a', 'none']), 1);
  await c.flush();
  assert.equal(await c.get('b'), null);
});

test('counters', { skip }, async (t) => {
  const c = await connected(t);
  assert.equal(await c.incr('n'), 1);
  assert.equal(await c.incr('n', 2n ** 62n), 2n ** 62n + 1n);
  assert.equal(await c.incr('m', 5, { initial: 10, ttlMs: 60_000 }), 15);
  await c.set('text', 'x');
  await assert.rejects(c.incr('text'), (e) => e instanceof ReplyError && e.code === 'NOTINT');
});

test('what the daemon says of itself', { skip }, async (t) => {
  const c = await connected(t);
  assert.ok((await c.ping()) >= 0);
  assert.equal((await c.stats('server')).redis_mode, 'standalone');
});

test('TCP', { skip }, async (t) => {
  const { path, tcp } = await daemon(t);
  const [c, d] = [path, tcp].map((address) => new Client({ address, timeoutMs: PATIENCE_MS, connectTimeoutMs: PATIENCE_MS }));
  t.after(() => [c, d].forEach((client) => client.close()));
  assert.ok(await d.set('k', Buffer.alloc(100_000, 'v')));
  assert.ok((await c.get('k')).equals(await d.get('k')));
});

test('a stale value stands in while the loader fails', { skip }, async (t) => {
  const c = await connected(t);
  const broken = () => Promise.reject(new Error('the database is away'));
  assert.equal(await c.getOrLoad('k', () => 'old', { ttlMs: 1, graceMs: 600_000 }), 'old');
  while (await c.peek('k')); // a millisecond
  assert.equal(await c.get('k'), null);
  assert.equal(await c.getOrLoad('k', broken, { ttlMs: 60_000, graceMs: 600_000 }), 'old');
  assert.equal(await c.getOrLoad('k', () => 'new', { ttlMs: 60_000 }), 'new');
  assert.equal(await c.getOrLoad('k', broken, { ttlMs: 60_000 }), 'new');
  await assert.rejects(c.getOrLoad('nothing', broken, { ttlMs: 60_000 }), /the database is away/);
});

test('a thousand calls load once', { skip }, async (t) => {
  const c = await connected(t);
  let loads = 0;
  const load = () => new Promise((resolve) => { loads++; setTimeout(resolve, 50, 'v'); }); // what a backend takes
  const got = await Promise.all(Array.from({ length: 1000 }, () => c.getOrLoad('k', load, { waitMs: PATIENCE_MS })));
  assert.deepEqual(new Set(got), new Set(['v']));
  assert.equal(loads, 1);
});

for (const killed of [false, true]) {
  test(`four processes load once${killed ? ', and who is killed is replaced' : ''}`, { skip }, async (t) => {
    const { path } = await daemon(t, 'namespaces:\n  - prefix: k\n    lease_time: 60s\n');
    const stats = new Client({ address: path, timeoutMs: PATIENCE_MS });
    const children = Array.from({ length: 4 }, () => fork(new URL('process.js', import.meta.url), [path]));
    t.after(() => {
      stats.close();
      children.forEach((c) => c.kill('SIGKILL'));
    });
    const loading = [];
    const got = [];
    let changed;
    const until = async (ready) => {
      while (!ready()) await new Promise((resolve) => { changed = resolve; });
    };
    children.forEach((c) => c.on('message', (m) => {
      if (m.loading) loading.push(c);
      if (m.got) got.push(m.got);
      changed?.();
    }));
    await Promise.all(children.map((c) => once(c, 'message')));
    children.forEach((c) => c.send('go'));
    await until(() => loading.length === 1);
    while ((await stats.stats('clients')).blocked_clients < 3);
    if (killed) {
      loading[0].kill('SIGKILL');
      await until(() => loading.length === 2);
    }
    const winner = loading.at(-1);
    winner.send('loaded');
    await until(() => got.length === (killed ? 3 : 4));
    assert.deepEqual(new Set(got), new Set([`v${winner.pid}`]));
    assert.equal(loading.length, killed ? 2 : 1);
  });
}
