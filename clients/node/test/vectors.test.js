// What the client sends, and what it understands: proto/vectors.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProtocolError, ReplyError, UnexpectedReply } from '../dist/esm/errors.js';
import { OPS, STATUSES_OF } from '../dist/esm/numbers.js';
import { encode, itemsOf, Wire } from '../dist/esm/wire.js';
import { argumentsOf, load, meaning, wireBytes } from './vectors.js';

const CUTS_MAX = 600;
const VECTORS = load();

function each(filter, claim) {
  for (const { file, vector } of VECTORS) {
    const steps = vector.steps.filter((step) => filter(step, vector));
    if (steps.length > 0) test(`${claim.name}: ${file}-${vector.name}`, () => steps.forEach((s) => claim(s, vector)));
  }
}

each((s, v) => s.request && !v.forms && s.request.op in OPS && !Object.values(s.request.options ?? {}).includes(false),
  function requestsAreTheseBytes(step) {
    const { op, id, args, options } = step.request;
    const made = encode(op, id, argumentsOf(op, args), meaning(options ?? {}));
    const data = wireBytes(step.send);
    assert.deepEqual(made, data[0] === 0xc1 ? data.subarray(data.length - made.length) : data);
  });

const FIELDS = { count: 'number', sum: 'number', payload: 'value', stats: 'fields', left_ms: 'leftMs', age_ms: 'ageMs' };

function sameItem(item, want) {
  if (want.status === 'error') {
    assert.ok(item instanceof ReplyError);
    assert.equal(item.code, want.code.toString());
    return;
  }
  assert.ok(!(item instanceof Error), String(item));
  for (const [name, value] of Object.entries(want)) {
    if (name === 'to' || name === 'id') continue;
    const have = item[FIELDS[name] ?? name];
    if (name === 'items') {
      assert.equal(have.length, value.length);
      have.forEach((one, i) => sameItem(one, value[i]));
    } else if (name === 'stats') {
      assert.deepEqual(have, Object.fromEntries(Object.entries(value).map(([k, v]) => [k, v instanceof Buffer ? v.toString() : v])));
    } else {
      assert.deepEqual(have, value, name);
    }
  }
}

function opened(op, id, nItems) {
  const w = new Wire();
  w.server = { version: 1, about: {} };
  w.waiting.set(id, { op, nItems });
  return w;
}

each((s) => s.receive && s.reply && s.reply.to in STATUSES_OF, function repliesMeanThisHoweverTheyAreCut(step) {
  const data = wireBytes(step.receive);
  const want = meaning(step.reply);
  for (let cut = 0; cut < data.length; cut += Math.max(1, Math.floor(data.length / CUTS_MAX))) {
    const w = opened(step.reply.to, want.id, want.items?.length ?? 0);
    const found = [...w.receive(data.subarray(0, cut)), ...w.receive(data.subarray(cut))];
    assert.deepEqual(found.map((f) => f.id), [want.id]);
    sameItem(found[0].outcome, want);
  }
});

each((s) => s.reply?.to === 'preface', function prefacesAreUnderstood(step) {
  const data = wireBytes(step.receive);
  const want = meaning(step.reply);
  for (let cut = 0; cut < data.length; cut++) {
    const w = new Wire();
    const feed = () => [data.subarray(0, cut), data.subarray(cut)].forEach((part) => w.receive(part));
    if (want.version === 0) {
      assert.throws(feed, (e) => e instanceof ProtocolError && e.message.includes('why'));
      continue;
    }
    feed();
    assert.equal(w.server.version, want.version);
    const plain = (v) => (v instanceof Buffer ? v.toString() : Array.isArray(v) ? v.map(plain) : v);
    for (const [key, value] of Object.entries(want.offer)) assert.deepEqual(w.server.about[key], plain(value));
  }
});

each((s) => 'client' in s, function whatAClientMustSurvive(step, vector) {
  const data = wireBytes(step.receive);
  const { op, id, args } = step.request ?? {};
  const w = vector.raw ? new Wire() : opened(op, id, itemsOf(op, argumentsOf(op, args)));
  if (step.client === 'closes') {
    try {
      w.receive(data);
    } catch (e) {
      assert.ok(e instanceof ProtocolError, String(e));
      return;
    }
    // Or it is the end of the connection that comes too soon.
    assert.ok(w.waiting.size > 0 || w.broken !== null, 'it should have been closed');
    return;
  }
  const [{ outcome }] = w.receive(data);
  if (step.client === 'fails') assert.ok(outcome instanceof ReplyError || outcome instanceof UnexpectedReply);
  else sameItem(outcome, meaning(step.reply));
});
