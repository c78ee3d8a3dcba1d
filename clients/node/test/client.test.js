// The client against a scripted server: what it does when things go wrong.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { Client, codecs, ProtocolError, ReplyError, Timeout, Unavailable, UnexpectedReply } from 'pannier';
import { OPS } from '../dist/esm/numbers.js';
import { reply, serve } from './scripted.js';
import { load, meaning, wireBytes } from './vectors.js';

const hit = (socket, op, id, args) => reply(socket, id, 0, args[0]);
const text = (bytes) => Buffer.from(bytes).toString();

function connect(t, address, options = {}) {
  const client = new Client({ address, ...options });
  t.after(() => client.close());
  return client;
}

test('a value comes back', async (t) => {
  assert.equal(text(await connect(t, (await serve(t, hit)).path).get('k')), 'k');
});

test('CommonJS gets the same', () => {
  const { Client: Required } = createRequire(import.meta.url)('pannier');
  assert.equal(typeof Required.prototype.getOrLoad, 'function');
});

test('nobody there fails at once, and is not asked again and again', async (t) => {
  const client = connect(t, '/nowhere/at/all');
  await assert.rejects(client.get('k'), (e) => e instanceof Unavailable && /no connection/.test(e.message));
  await assert.rejects(client.get('k'), /a moment ago/);
});

test('getOrLoad loads directly where nobody is there', async (t) => {
  const noted = [];
  const client = connect(t, '/nowhere/at/all', { metrics: (op, status) => noted.push(`${op} ${status}`) });
  assert.deepEqual(await client.getOrLoad('k', () => ({ a: 1 }), { ttlMs: 5 }), { a: 1 });
  assert.deepEqual(noted, ['LEASE unavailable', 'load direct']);
});

test('a server that is no pannier is named', async (t) => {
  const client = connect(t, (await serve(t, hit, '-ERR max number of clients reached\r\n')).path);
  await assert.rejects(client.get('k'), (e) => e instanceof ProtocolError && /max number of clients/.test(e.message));
});

test('a silent server is given up in time', async (t) => {
  const client = connect(t, (await serve(t, hit, '')).path, { connectTimeoutMs: 30 });
  await assert.rejects(client.get('k'), Unavailable);
});

test('a call without an answer ends in time and is cancelled, and the next one works', async (t) => {
  const server = await serve(t, (socket, op, id, args) => {
    if (op === OPS.CANCEL) {
      reply(socket, args[0], 15, 'CANCELLED', 'as you like');
      reply(socket, id, 9);
    } else if (text(args[0]) !== 'slow') hit(socket, op, id, args);
  });
  const client = connect(t, server.path);
  await assert.rejects(client.get('slow', { timeoutMs: 30 }), Timeout);
  assert.equal(text(await client.get('k')), 'k');
  const abort = new AbortController();
  const asked = client.get('slow', { signal: abort.signal });
  setImmediate(() => abort.abort(new Error('enough')));
  await assert.rejects(asked, /enough/);
  assert.equal(text(await client.get('k')), 'k');
  assert.equal(server.requests.filter((r) => r[0] === OPS.CANCEL).length, 2);
});

test('errors have a code and leave the connection', async (t) => {
  const server = await serve(t, (socket, op, id, args) =>
    text(args[0]) === 'bad' ? reply(socket, id, 15, 'ORIGIN', 'it is away') : hit(socket, op, id, args));
  const client = connect(t, server.path);
  await assert.rejects(client.get('bad'), (e) => e instanceof ReplyError && e.code === 'ORIGIN' && e.text === 'it is away');
  assert.equal(text(await client.get('k')), 'k');
  assert.equal(server.accepted, 1);
});

test('answers in another order find their request', async (t) => {
  const held = [];
  const server = await serve(t, (socket, op, id, args) => {
    held.push([id, args[0]]);
    if (held.length === 3) held.reverse().forEach(([i, key]) => reply(socket, i, 0, key));
  });
  const client = connect(t, server.path);
  const got = await Promise.all(['a', 'b', 'c'].map((k) => client.get(k)));
  assert.deepEqual(got.map(text), ['a', 'b', 'c']);
});

test('a daemon that restarted is found again', async (t) => {
  const server = await serve(t, hit);
  const client = connect(t, server.path);
  await client.get('k');
  server.dropAll();
  assert.equal(text(await client.get('k')), 'k');
});

test('what must not be sent twice is not', async (t) => {
  const server = await serve(t, (socket, op, id, args) => (op === OPS.INCR ? socket.destroy() : hit(socket, op, id, args)));
  const client = connect(t, server.path);
  await client.get('k');
  await assert.rejects(client.incr('n'), Unavailable);
  assert.equal(server.requests.filter((r) => r[0] === OPS.INCR).length, 1);
});

for (const { file, vector } of load()) {
  const step = vector.steps[0];
  if (file !== 'client' || vector.raw || !step.client || !['GET', 'GET_MANY'].includes(step.request.op)) continue;
  test(`a violation of the server: ${vector.name}`, async (t) => {
    const server = await serve(t, (socket) => {
      socket.write(wireBytes(step.receive)); // the vector's id is 1; so is the client's first
      if (step.client === 'closes') socket.end();
    });
    const client = connect(t, server.path);
    const ask = () => (step.request.op === 'GET' ? client.get('k') : client.getMany(['a', 'b']));
    if (step.client === 'answers') assert.deepEqual(await ask(), meaning(step.reply).value);
    else if (step.client === 'fails') await assert.rejects(ask(), (e) => e instanceof ReplyError || e instanceof UnexpectedReply);
    else if (vector.name === 'same_reply_twice') await ask(); // the second is of no concern to the caller
    else await assert.rejects(ask(), Unavailable);
  });
}

/** One key, whose lease the first one gets. */
function leases(first = [8, Buffer.from('t')]) {
  const seen = [];
  const answer = (socket, op, id, args) => {
    seen.push([Object.keys(OPS).find((n) => OPS[n] === op), ...args.map((a) => (a instanceof Uint8Array ? text(a) : a))]);
    if (op === OPS.LEASE) reply(socket, id, ...first);
    else reply(socket, id, op === OPS.SET ? 6 : 9);
  };
  return { seen, answer };
}

async function leased(t, first) {
  const l = leases(first);
  return { seen: l.seen, client: connect(t, (await serve(t, l.answer)).path) };
}

test('a lease is redeemed with its token', async (t) => {
  const { seen, client } = await leased(t);
  assert.equal(await client.getOrLoad('k', async () => 'v', { ttlMs: 1500, graceMs: 3000 }), 'v');
  const [name, key, value, ttl, options] = seen.at(-1);
  assert.deepEqual([name, key, value, ttl], ['SET', 'k', '\u00a1v'.length ? text([0xa1, 0x76]) : '', 1500]);
  assert.deepEqual([options[3], text(options[8])], [3000, 't']);
});

test('a failed load gives the lease back', async (t) => {
  const { seen, client } = await leased(t);
  await assert.rejects(client.getOrLoad('k', () => Promise.reject(new Error('away'))), /away/);
  assert.deepEqual(seen.at(-1), ['RELEASE', 'k', 't']);
});

test('a value that cannot be encoded gives the lease back', async (t) => {
  const { seen, client } = await leased(t);
  await assert.rejects(client.getOrLoad('k', () => 'text', { codec: codecs.raw }), TypeError);
  assert.equal(seen.at(-1)[0], 'RELEASE');
});

test('a stale value stands in for a failed load', async (t) => {
  const { seen, client } = await leased(t, [8, Buffer.from('t'), Buffer.from('"old"')]);
  const load = () => Promise.reject(new Error('away'));
  assert.equal(await client.getOrLoad('k', load, { codec: codecs.json }), 'old');
  assert.equal(seen.at(-1)[0], 'RELEASE');
});

test('without a lease it is loaded and stored', async (t) => {
  const { seen, client } = await leased(t, [5]);
  assert.equal(await client.getOrLoad('k', () => 7), 7);
  assert.deepEqual(seen.at(-1), ['SET', 'k', '\x07', null]);
});

test('what cannot be decoded is loaded anew', async (t) => {
  const { client } = await leased(t, [0, Buffer.from([0xc1])]);
  assert.equal(await client.getOrLoad('k', () => 7), 7);
});

test('passwords are sent first', async (t) => {
  const server = await serve(t, (socket, op, id, args) => {
    if (op !== OPS.AUTH) hit(socket, op, id, args);
    else if (text(args[0]) === 'secret') reply(socket, id, 9);
    else reply(socket, id, 15, 'WRONGPASS', 'no');
  });
  assert.equal(text(await connect(t, server.path, { password: 'secret' }).get('k')), 'k');
  await assert.rejects(connect(t, server.path, { password: 'other' }).get('k'), /WRONGPASS/);
});

test('addresses and times that are none are told so', async (t) => {
  for (const address of ['', 'tcp:localhost', 'http://x', 'x']) assert.throws(() => new Client({ address }), /is meant/);
  const client = connect(t, (await serve(t, hit)).path);
  for (const ttlMs of [0, -1, NaN, Infinity]) await assert.rejects(client.set('k', 'v', { ttlMs }), RangeError);
  await assert.rejects(client.get(5), /bytes or a string are meant/);
});
