import type { NetConnectOpts } from 'node:net';
import * as codecs from './codecs.js';
import { Connection } from './connection.js';
import { PannierError, ReplyError, Timeout, Unavailable } from './errors.js';
import type { Op } from './numbers.js';
import type { Options, Outcome, Reply } from './wire.js';

/** Bytes; a string is taken as UTF-8. */
export type Key = string | Uint8Array;

/**
 * Called after each request: operation, status (a name of PROTOCOL.md, `error:CODE`, `unavailable`),
 * milliseconds; and for each load of getOrLoad(): `load` with `ok`, `error`, `direct` (without the
 * sidecar) or `stale` (the loader failed, a stale value served). Must not throw.
 */
export type Metrics = (op: string, status: string, ms: number) => void;

export interface ClientOptions {
  /** A path, `unix:PATH` or `tcp:HOST:PORT`; else $PANNIER_SOCKET, else /run/pannier/pannier.sock. */
  address?: string;
  /** Of each call, connecting included. 1000. */
  timeoutMs?: number;
  /** 250. */
  connectTimeoutMs?: number;
  password?: Key;
  metrics?: Metrics;
}

/** A value and what is known of it. `leftMs`, `ageMs`: null where there is no end, or nobody knows. */
export interface Entry {
  readonly value: Buffer;
  readonly status: 'hit' | 'stale' | 'filled' | 'coalesced';
  readonly leftMs: number | null;
  readonly ageMs: number | null;
  readonly token: Buffer | null;
}

/** The caller is the one to load `key`: set(..., { lease }), or release(lease). */
export interface Lease {
  readonly key: Buffer;
  readonly token: Buffer;
  /** An old value to fall back on. */
  readonly stale: Buffer | null;
}

export interface CallOptions {
  timeoutMs?: number;
  /** Cancels the request, at the server as well. */
  signal?: AbortSignal;
}

export interface SetOptions extends CallOptions {
  /** Time to live; without it the value stays until it is evicted. */
  ttlMs?: number;
  /** How long after its end it may still be served as stale. */
  graceMs?: number;
  /** At most one of these. */
  ifAbsent?: boolean;
  ifPresent?: boolean;
  ifToken?: Uint8Array;
  ifValue?: Key;
  lease?: Lease | Uint8Array | null;
}

export interface LoadOptions<T> {
  ttlMs?: number;
  graceMs?: number;
  /** How long to wait for somebody else's load. 5000; the daemon's `lease_time` (3 s) ends it before. */
  waitMs?: number;
  codec?: codecs.Codec<T>;
  signal?: AbortSignal;
}

const DEFAULT_PATH = '/run/pannier/pannier.sock';
const BACKOFF_FIRST_MS = 50;
const BACKOFF_MOST_MS = 2000;
const DEADLINE_MOST_MS = 3_600_000;
const CONDITIONS = ['if_absent', 'if_present', 'if_token', 'if_value', 'lease'] as const;
// May be sent again where the connection ended without a reply (PROTOCOL.md).
const AGAIN: ReadonlySet<Op> = new Set<Op>(['GET', 'GET_MANY', 'PEEK', 'LEASE', 'STATS', 'PING', 'TOUCH', 'RELEASE',
  'FLUSH', 'DELETE_MANY']);
const AGAIN_UNCONDITIONALLY: ReadonlySet<Op> = new Set<Op>(['SET', 'SET_MANY', 'DELETE']);

function addressOf(given: string | undefined): NetConnectOpts {
  const address = given ?? process.env['PANNIER_SOCKET'] ?? DEFAULT_PATH;
  if (address.startsWith('unix:') && address.length > 5) return { path: address.slice(5) };
  const tcp = /^tcp:\[?([^\]]+)\]?:(\d+)$/.exec(address);
  if (tcp) return { host: tcp[1]!, port: Number(tcp[2]) };
  if (/^[./]/.test(address)) return { path: address };
  throw new TypeError(`address '${address}': a path, unix:PATH or tcp:HOST:PORT is meant`);
}

function bytesOf(data: Key): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data);
  if (data instanceof Uint8Array) return data;
  throw new TypeError(`bytes or a string are meant, not ${data === null ? 'null' : `a ${typeof data}`}`);
}

function duration(ms: number | undefined, what: string): number | undefined {
  if (ms === undefined) return undefined;
  if (!(ms > 0) || !Number.isFinite(ms)) throw new RangeError(`${what} of ${ms} ms: it must be above 0 (left out: no end)`);
  return Math.ceil(ms);
}

function mayRepeat(op: Op, options: Options): boolean {
  return AGAIN.has(op) || (AGAIN_UNCONDITIONALLY.has(op) && !CONDITIONS.some((c) => options[c]));
}

function statusOf(outcome: unknown): string {
  if (outcome instanceof ReplyError) return `error:${outcome.code}`;
  if (outcome instanceof Unavailable) return 'unavailable';
  return outcome instanceof Error ? 'unexpected' : (outcome as Reply).status;
}

function entryOf(reply: Reply): Entry | null {
  if (reply.value === undefined) return null;
  return { value: reply.value, status: reply.status as Entry['status'], leftMs: reply.leftMs ?? null,
    ageMs: reply.ageMs ?? null, token: reply.token ?? null };
}

function isLease(found: Entry | Lease | null): found is Lease {
  return found !== null && 'key' in found;
}

/**
 * A sidecar. All calls share one connection, and an answer that takes long holds up no other. Values
 * come back as Buffers. Every call but getOrLoad() rejects with Unavailable where the sidecar is away,
 * and with ReplyError where it answers with an error.
 */
export class Client {
  private readonly where: NetConnectOpts;
  private readonly timeoutMs: number;
  private readonly connectTimeoutMs: number;
  private readonly password: Uint8Array | null;
  private readonly metrics: Metrics | undefined;
  private connection: Connection | null = null;
  private connecting: Promise<Connection> | null = null;
  private backoffMs = BACKOFF_FIRST_MS;
  private notBefore = 0;

  constructor(options: ClientOptions = {}) {
    this.where = addressOf(options.address);
    this.timeoutMs = options.timeoutMs ?? 1000;
    this.connectTimeoutMs = options.connectTimeoutMs ?? 250;
    this.password = options.password === undefined ? null : bytesOf(options.password);
    this.metrics = options.metrics;
  }

  /** Requests without a reply fail. The client may be used again. */
  close(): void {
    this.connection?.fail(new Unavailable('the client was closed'));
    this.connection = null;
  }

  // --- calls ---------------------------------------------------------------------------

  private async open(): Promise<Connection> {
    if (performance.now() < this.notBefore) throw new Unavailable('the sidecar could not be reached a moment ago');
    try {
      const connection = await Connection.open(this.where, this.connectTimeoutMs);
      if (this.password !== null) {
        const outcome = await connection.call('AUTH', [this.password], {}, this.connectTimeoutMs);
        if (outcome instanceof Error) {
          connection.fail(new Unavailable('the password was refused'));
          throw outcome;
        }
      }
      this.backoffMs = BACKOFF_FIRST_MS;
      this.connection = connection;
      return connection;
    } catch (e) {
      if (e instanceof Unavailable) {
        // An application must not wait for a sidecar that is not there.
        this.notBefore = performance.now() + this.backoffMs * (0.5 + Math.random() / 2);
        this.backoffMs = Math.min(this.backoffMs * 2, BACKOFF_MOST_MS);
      }
      throw e;
    }
  }

  /** Whoever comes first makes the connection, and the others wait for that. */
  private reach(): Promise<Connection> {
    if (this.connection?.isOpen) return Promise.resolve(this.connection);
    this.connecting ??= this.open().finally(() => {
      this.connecting = null;
    });
    return this.connecting;
  }

  private async once(op: Op, args: readonly unknown[], options: Options, how: CallOptions): Promise<Outcome> {
    const end = performance.now() + (how.timeoutMs ?? this.timeoutMs);
    const left = (): number => Math.max(end - performance.now(), 1);
    const had = this.connection;
    const connection = await this.reach();
    try {
      return await connection.call(op, args, options, left(), how.signal);
    } catch (e) {
      const mayBeGone = e instanceof Unavailable && !(e instanceof Timeout);
      if (!mayBeGone || connection !== had || !mayRepeat(op, options)) throw e;
    }
    // The daemon was restarted since the last call.
    return (await this.reach()).call(op, args, options, left(), how.signal);
  }

  private note(op: string, status: string, begun: number): void {
    this.metrics?.(op, status, performance.now() - begun);
  }

  private async call(op: Op, args: readonly unknown[] = [], options: Options = {}, how: CallOptions = {}): Promise<Reply> {
    const begun = performance.now();
    let outcome: Outcome;
    try {
      outcome = await this.once(op, args, options, how);
    } catch (e) {
      this.note(op, statusOf(e), begun);
      throw e;
    }
    this.note(op, statusOf(outcome), begun);
    if (outcome instanceof Error) throw outcome;
    return outcome;
  }

  /**
   * A little less than what the client waits itself, so that the server's answer comes first. A GET has none: one
   * that is late is cancelled, and costs less without.
   */
  private deadline(how: CallOptions): number {
    return Math.min(Math.floor((how.timeoutMs ?? this.timeoutMs) * 0.9), DEADLINE_MOST_MS);
  }

  // --- operations ------------------------------------------------------------------------

  /** The value, from the cache or through it from its origin; null: there is none. */
  async get(key: Key, how: CallOptions = {}): Promise<Buffer | null> {
    const reply = await this.call('GET', [bytesOf(key)], {}, how);
    return reply.value ?? null;
  }

  /** As get(), with how it came about and how long it stays good. */
  async getEntry(key: Key, how: CallOptions = {}): Promise<Entry | null> {
    return entryOf(await this.call('GET', [bytesOf(key)], { meta: true }, how));
  }

  /** Length, time left and token of what is in the cache; counts as no use, fetches nothing. */
  async peek(key: Key, how: CallOptions = {}): Promise<Reply | null> {
    const reply = await this.call('PEEK', [bytesOf(key)], {}, how);
    return reply.status === 'hit' ? reply : null;
  }

  /** False: the condition did not hold, or the lease is over; nothing was changed. */
  async set(key: Key, value: Key, options: SetOptions = {}): Promise<boolean> {
    const { lease } = options;
    const wire: Options = {
      grace_ms: duration(options.graceMs, 'graceMs'), if_absent: options.ifAbsent, if_present: options.ifPresent,
      if_token: options.ifToken, if_value: options.ifValue === undefined ? undefined : bytesOf(options.ifValue),
      lease: lease instanceof Uint8Array ? lease : lease?.token,
    };
    const args = [bytesOf(key), bytesOf(value), duration(options.ttlMs, 'ttlMs') ?? null];
    return (await this.call('SET', args, wire, options)).status === 'stored';
  }

  /** True: it was there (and, with a condition, that held), and is not any more. */
  async delete(key: Key, options: CallOptions & { ifToken?: Uint8Array; ifValue?: Key } = {}): Promise<boolean> {
    const wire: Options = { if_token: options.ifToken,
      if_value: options.ifValue === undefined ? undefined : bytesOf(options.ifValue) };
    return (await this.call('DELETE', [bytesOf(key)], wire, options)).status === 'done';
  }

  /** Another time to live, counted from now. False: it is not there. */
  async touch(key: Key, ttlMs?: number, how: CallOptions = {}): Promise<boolean> {
    return (await this.call('TOUCH', [bytesOf(key), duration(ttlMs, 'ttlMs') ?? null], {}, how)).status === 'done';
  }

  /** The sum; a bigint beyond 2^53. A counter that is not there begins with `initial` (0). */
  async incr(key: Key, delta: number | bigint = 1, options: CallOptions & { ttlMs?: number; initial?: number | bigint } = {},
  ): Promise<number | bigint> {
    const wire: Options = { ttl_ms: duration(options.ttlMs, 'ttlMs'), initial: options.initial };
    return (await this.call('INCR', [bytesOf(key), delta], wire, options)).number!;
  }

  /** In the order of keys; null where there is none, or its fetch failed. */
  async getMany(keys: readonly Key[], how: CallOptions = {}): Promise<(Buffer | null)[]> {
    const reply = await this.call('GET_MANY', [keys.map(bytesOf)], { deadline_ms: this.deadline(how) }, how);
    return reply.items!.map((i) => (i instanceof Error ? null : i.value ?? null));
  }

  /** What could not be stored, and why; empty: all is. */
  async setMany(pairs: Iterable<readonly [Key, Key]>, options: CallOptions & { ttlMs?: number; graceMs?: number } = {},
  ): Promise<Map<Key, ReplyError>> {
    const all = [...pairs];
    const args = [all.flatMap(([k, v]) => [bytesOf(k), bytesOf(v)]), duration(options.ttlMs, 'ttlMs') ?? null];
    const reply = await this.call('SET_MANY', args, { grace_ms: duration(options.graceMs, 'graceMs') }, options);
    const failed = new Map<Key, ReplyError>();
    reply.items?.forEach((i, n) => i instanceof ReplyError && failed.set(all[n]![0], i));
    return failed;
  }

  /** How many of them were there. */
  async deleteMany(keys: readonly Key[], how: CallOptions = {}): Promise<number> {
    return Number((await this.call('DELETE_MANY', [keys.map(bytesOf)], {}, how)).number);
  }

  /** An Entry: the value. A Lease: load it yourself. null: neither, in time; load it and set() it. */
  async lease(key: Key, how: CallOptions = {}): Promise<Entry | Lease | null> {
    const reply = await this.call('LEASE', [bytesOf(key)], { deadline_ms: this.deadline(how), meta: true }, how);
    if (reply.status === 'lease') return { key: Buffer.from(bytesOf(key)), token: reply.token!, stale: reply.value ?? null };
    return entryOf(reply);
  }

  /** The load failed: the next one who waits gets the lease. False: it was over already. */
  async release(lease: Lease, how: CallOptions = {}): Promise<boolean> {
    return (await this.call('RELEASE', [lease.key, lease.token], {}, how)).status === 'done';
  }

  /** Removes all keys. */
  async flush(how: CallOptions = {}): Promise<void> {
    await this.call('FLUSH', [], {}, how);
  }

  /** The fields of INFO. */
  async stats(section?: string, how: CallOptions = {}): Promise<Readonly<Record<string, number | bigint | string>>> {
    return (await this.call('STATS', section === undefined ? [] : [section], {}, how)).fields!;
  }

  /** Milliseconds to the sidecar and back. */
  async ping(how: CallOptions = {}): Promise<number> {
    const begun = performance.now();
    await this.call('PING', [], {}, how);
    return performance.now() - begun;
  }

  // --- one load for all ----------------------------------------------------------------------

  /**
   * The value; where it is not cached, what `loader` gives, which one caller of all runs, in whatever
   * process, while the others wait. Never fails because of the sidecar: where that is away, or has no
   * lease to give, it loads directly. An error of the loader reaches the caller who ran it, unless a
   * stale value is at hand, which is returned then. What the codec cannot decode is loaded anew.
   */
  async getOrLoad<T>(key: Key, loader: () => T | Promise<T>, options: LoadOptions<T> = {}): Promise<T> {
    const codec = options.codec ?? (codecs.msgpack as codecs.Codec<T>);
    duration(options.ttlMs, 'ttlMs'); // said before anything is loaded
    duration(options.graceMs, 'graceMs');
    const how: CallOptions = { timeoutMs: options.waitMs ?? 5000, ...(options.signal && { signal: options.signal }) };
    let found: Entry | Lease | null = null;
    try {
      found = await this.lease(key, how);
    } catch (e) {
      if (!(e instanceof PannierError)) throw e;
      return this.load(loader, 'direct');
    }
    if (!isLease(found) && found !== null) {
      try {
        return codec.decode(found.value);
      } catch {
        found = null; // written by another version of the application, perhaps
      }
    }
    return this.loadAndStore(key, loader, found as Lease | null, options, codec);
  }

  private async load<T>(loader: () => T | Promise<T>, status = 'ok'): Promise<T> {
    const begun = performance.now();
    try {
      const value = await loader();
      this.note('load', status, begun);
      return value;
    } catch (e) {
      this.note('load', 'error', begun);
      throw e;
    }
  }

  private async loadAndStore<T>(key: Key, loader: () => T | Promise<T>, lease: Lease | null, options: LoadOptions<T>,
    codec: codecs.Codec<T>): Promise<T> {
    let value: T;
    let data: Uint8Array;
    try {
      value = await this.load(loader);
      data = codec.encode(value);
    } catch (e) {
      return this.instead(e, lease, codec);
    }
    const { ttlMs, graceMs } = options;
    try {
      await this.set(key, data, { ...(ttlMs !== undefined && { ttlMs }), ...(graceMs !== undefined && { graceMs }), lease });
    } catch (e) {
      if (!(e instanceof PannierError)) throw e; // not stored: the next one loads again
    }
    return value;
  }

  /** The load failed: gives the lease back, and answers with the stale value, if any. */
  private async instead<T>(error: unknown, lease: Lease | null, codec: codecs.Codec<T>): Promise<T> {
    if (lease === null) throw error;
    try {
      await this.release(lease);
    } catch (e) {
      if (!(e instanceof PannierError)) throw e;
    }
    if (lease.stale === null) throw error;
    let old: T;
    try {
      old = codec.decode(lease.stale);
    } catch {
      throw error;
    }
    this.note('load', 'stale', performance.now());
    return old;
  }
}
