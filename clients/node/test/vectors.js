// proto/vectors, as bytes and meanings.
import { readdirSync, readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const FOLDER = process.env.PANNIER_VECTORS
  ? pathToFileURL(`${process.env.PANNIER_VECTORS}/`) : new URL('../../../proto/vectors/', import.meta.url);

/** What stands on the wire: hex, or a list of hex and repetitions. */
export function wireBytes(spec) {
  if (typeof spec === 'string') return Buffer.from(spec, 'hex');
  return Buffer.concat(spec.map((part) => typeof part === 'string' ? Buffer.from(part, 'hex')
    : Buffer.alloc((part.repeat.length / 2) * part.times, Buffer.from(part.repeat, 'hex'))));
}

/** A meaning's value as JavaScript has it. */
export function meaning(value) {
  if (Array.isArray(value)) return value.map(meaning);
  if (value === null || typeof value !== 'object') return value;
  const keys = Object.keys(value).sort().join(' ');
  if (keys === 'text') return Buffer.from(value.text);
  if (keys === 'hex') return Buffer.from(value.hex, 'hex');
  if (keys === 'repeat times') return wireBytes([value]);
  if (keys === 'int') return BigInt(value.int);
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, meaning(v)]));
}

/** [{ file, vector }] */
export function load() {
  return readdirSync(FOLDER).filter((n) => n.endsWith('.json')).sort().flatMap((name) =>
    JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')).vectors.map((vector) => ({ file: name.slice(0, -5), vector })));
}

const NAMES = { GET: ['key'], SET: ['key', 'value', 'ttl_ms'], DELETE: ['key'], TOUCH: ['key', 'ttl_ms'],
  INCR: ['key', 'delta'], PEEK: ['key'], LEASE: ['key'], RELEASE: ['key', 'lease'], FLUSH: [], STATS: ['section'],
  PING: ['payload'], CANCEL: ['target'], AUTH: ['password', 'user'] };

/** By position, as the client passes them on. */
export function argumentsOf(op, given) {
  const args = meaning(given);
  if (op === 'GET_MANY' || op === 'DELETE_MANY') return [args.keys];
  if (op === 'SET_MANY') return [args.pairs.flat(), ...('ttl_ms' in args ? [args.ttl_ms] : [])];
  return NAMES[op].filter((n) => n in args)
    .map((n) => (op === 'STATS' && args[n] instanceof Buffer ? args[n].toString() : args[n]));
}
