/** The binary protocol (proto/PROTOCOL.md) without any I/O: bytes in, replies out. */
import { Decoder, Encoder } from '@msgpack/msgpack';
import { ProtocolError, ReplyError, UnexpectedReply } from './errors.js';
import { OPS, OPTIONS, STATUSES, STATUSES_OF, type Op, type OptionName, type Status } from './numbers.js';

export const VERSION = 1;
const MAGIC = 0xc1;
const MAX_FRAME = 2 ** 30;
const PLAIN_LINE = 1024;
const LEVELS_MAX = 4;
const ID_MAX = 2 ** 32 - 1;
const SHORT_ID_MAX = 127; // takes a byte

export type Options = Partial<Record<OptionName, unknown>>;

/** What the server said of itself. */
export interface Server {
  readonly version: number;
  readonly about: Readonly<Record<string, unknown>>;
}

/**
 * A reply that is no error. What is set beside `status` depends on operation and status. Times are
 * milliseconds; null: no end, or not known. `items`: of GET_MANY and SET_MANY.
 */
export interface Reply {
  readonly status: Status;
  readonly value?: Buffer;
  readonly leftMs?: number | null;
  readonly ageMs?: number | null;
  readonly token?: Buffer;
  readonly number?: number | bigint;
  readonly length?: number;
  readonly fields?: Readonly<Record<string, number | bigint | string>>;
  readonly items?: readonly (Reply | ReplyError)[];
}

export type Outcome = Reply | ReplyError | UnexpectedReply;

const encoder = new Encoder({ useBigInt64: true });

// Lengths are checked against the frame by the decoder itself, which reads in place.
const decoder = new Decoder({
  useBigInt64: true,
  rawStrings: true,
  mapKeyConverter: (key: unknown) => (key instanceof Uint8Array ? textOf(key) : String(key)),
});

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function lengthPrefix(n: number): Buffer {
  if (n < 0x80) return Buffer.from([n]);
  if (n <= 0xff) return Buffer.from([0xcc, n]);
  const b = Buffer.alloc(n <= 0xffff ? 3 : 5);
  b[0] = n <= 0xffff ? 0xcd : 0xce;
  b.writeUIntBE(n, 1, b.length - 1);
  return b;
}

/** The encoder writes numbers beyond 32 bits as floats, and bigints in nine bytes. */
function shortest(v: unknown): unknown {
  if (typeof v === 'number' && Number.isSafeInteger(v) && (v > 0xffffffff || v < -0x80000000)) return BigInt(v);
  if (typeof v === 'bigint' && v <= 0xffffffffn && v >= -0x80000000n) return Number(v);
  return v;
}

/** A body as one frame. */
export function frame(body: unknown): Buffer {
  const packed = encoder.encode(body);
  return Buffer.concat([lengthPrefix(packed.length), packed]);
}

/** A request. Arguments and options in PROTOCOL.md's order and units; options that are null,
 * undefined or false are left out. */
export function encode(op: Op, id: number, args: readonly unknown[] = [], options: Options = {}): Buffer {
  const body: unknown[] = [OPS[op], id, ...args.map(shortest)];
  const given = Object.entries(options).filter(([, v]) => v !== undefined && v !== null && v !== false);
  if (given.length === 0) return frame(body);
  // Numbers as keys, which an object's cannot be.
  const map = Buffer.concat([
    Buffer.from([0x80 | given.length]),
    ...given.flatMap(([k, v]) => [Buffer.from([OPTIONS[k as OptionName]]), Buffer.from(encoder.encode(shortest(v)))]),
  ]);
  const packed = Buffer.concat([Buffer.from([0x90 | (body.length + 1)]),
    ...body.map((v) => Buffer.from(encoder.encode(v))), map]);
  return Buffer.concat([lengthPrefix(packed.length), packed]);
}

// --- what a reply means ----------------------------------------------------------

function kind(raw: unknown): string {
  return raw === null || raw === undefined ? 'nothing' : Array.isArray(raw) ? 'an array' : `a ${typeof raw}`;
}

function bytes(raw: unknown): Buffer {
  if (!(raw instanceof Uint8Array)) throw new UnexpectedReply(`bytes were expected, not ${kind(raw)}`);
  return Buffer.from(raw); // a copy: what was read with it need not be kept
}

function text(raw: unknown): string {
  return bytes(raw).toString('utf8');
}

function integer(raw: unknown): number | bigint {
  if (typeof raw === 'bigint')
    return raw >= Number.MIN_SAFE_INTEGER && raw <= Number.MAX_SAFE_INTEGER ? Number(raw) : raw;
  if (typeof raw !== 'number' || !Number.isInteger(raw))
    throw new UnexpectedReply(`an integer was expected, not ${kind(raw)}`);
  return raw;
}

function milliseconds(raw: unknown): number | null {
  return raw === null ? null : Number(integer(raw));
}

function array(raw: unknown): unknown[] {
  if (!Array.isArray(raw)) throw new UnexpectedReply(`an array was expected, not ${kind(raw)}`);
  return raw;
}

function withValue(status: Status, rest: unknown[]): Reply {
  const value = bytes(rest[0]);
  if (rest.length < 4) return { status, value };
  return { status, value, leftMs: milliseconds(rest[1]), ageMs: milliseconds(rest[2]), token: bytes(rest[3]) };
}

function fieldsOf(raw: unknown): Record<string, number | bigint | string> {
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw) || raw instanceof Uint8Array)
    throw new UnexpectedReply('STATS is answered with a map');
  return Object.fromEntries(
    Object.entries(raw).map(([k, v]) => [k, v instanceof Uint8Array ? textOf(v) : integer(v)]),
  );
}

function done(op: Op, rest: unknown[]): Reply {
  switch (op) {
    case 'GET_MANY':
      return { status: 'done', items: array(rest[0]).map((i) => item('GET', array(i))) };
    case 'SET_MANY':
      return { status: 'done', items: array(rest[0]).map((i) => item('SET', array(i))) };
    case 'DELETE_MANY':
      return { status: 'done', number: integer(rest[0]) };
    case 'STATS':
      return { status: 'done', fields: fieldsOf(rest[0]) };
    case 'PING':
      return rest.length > 0 ? { status: 'done', value: bytes(rest[0]) } : { status: 'done' };
    default:
      return { status: 'done' };
  }
}

function success(op: Op, status: Status, rest: unknown[]): Reply {
  if (op === 'PEEK' && status === 'hit')
    return { status, length: Number(integer(rest[0])), leftMs: milliseconds(rest[1] ?? null),
      ageMs: milliseconds(rest[2] ?? null), token: bytes(rest[3]) };
  switch (status) {
    case 'hit':
    case 'stale':
    case 'filled':
    case 'coalesced':
      return withValue(status, rest);
    case 'lease': {
      const token = bytes(rest[0]);
      return rest.length > 1 && rest[1] !== null ? { status, token, value: bytes(rest[1]) } : { status, token };
    }
    case 'done':
      return done(op, rest);
    case 'stored':
      return op === 'INCR' ? { status, number: integer(rest[0]) } : { status };
    default:
      return { status };
  }
}

function item(op: Op, fields: unknown[]): Reply | ReplyError {
  const status = typeof fields[0] === 'number' ? STATUSES.get(fields[0]) : undefined;
  if (status === undefined || !STATUSES_OF[op].has(status))
    throw new UnexpectedReply(`${op}: a status that it cannot have: ${String(fields[0])}`);
  if (status === 'error') return new ReplyError(text(fields[1]), text(fields[2]));
  return success(op, status, fields.slice(1));
}

/** What the elements of a reply behind its id mean, for that operation. */
export function decode(op: Op, fields: unknown[], nItems = 0): Outcome {
  try {
    const outcome = item(op, fields);
    if (!(outcome instanceof ReplyError) && outcome.items !== undefined && outcome.items.length !== nItems)
      throw new UnexpectedReply(`${op}: ${outcome.items.length} items for ${nItems}`);
    return outcome;
  } catch (e) {
    if (e instanceof UnexpectedReply) return e;
    throw e;
  }
}

/** How many items a reply to this request has, if any. */
export function itemsOf(op: Op, args: readonly unknown[]): number {
  if (op !== 'GET_MANY' && op !== 'SET_MANY') return 0;
  return (args[0] as unknown[]).length / (op === 'SET_MANY' ? 2 : 1);
}

function isFlat(element: unknown, levels: number): boolean {
  if (Array.isArray(element)) return levels > 0 && element.every((e) => isFlat(e, levels - 1));
  if (element !== null && typeof element === 'object' && !(element instanceof Uint8Array))
    return levels > 0 && Object.values(element).every((e) => isFlat(e, levels - 1));
  return true;
}

// --- a connection -----------------------------------------------------------------

/** A connection's state: the preface, and what is waited for. */
export class Wire {
  server: Server | null = null;
  /** The stream broke behind replies that receive() still gave. */
  broken: ProtocolError | null = null;
  readonly waiting = new Map<number, { op: Op; nItems: number }>();
  private parts: Buffer[] = [];
  private held = 0;
  private wanted = 0; // bytes without which nothing goes on
  private lastId = 0;

  constructor(private readonly client = 'pannier-node-1.0') {}

  /** The first bytes to send. */
  hello(): Buffer {
    return Buffer.concat([Buffer.from([MAGIC]), frame(['pannier', VERSION, { client: this.client }])]);
  }

  /** An id, which receive() will name, and the bytes to send. */
  request(op: Op, args: readonly unknown[] = [], options: Options = {}): { id: number; data: Buffer } {
    const most = this.waiting.size < SHORT_ID_MAX - 27 ? SHORT_ID_MAX : ID_MAX;
    let id = this.lastId;
    do id = id < most ? id + 1 : 0;
    while (this.waiting.has(id));
    const data = encode(op, id, args, options);
    this.lastId = id;
    this.waiting.set(id, { op, nItems: itemsOf(op, args) });
    return { id, data };
  }

  /**
   * Replies that are whole now. Throws ProtocolError where the stream is broken, or the server says
   * that ours is: the end for all that wait. Replies in front of the break come first (`broken`).
   */
  receive(chunk: Buffer): { id: number; outcome: Outcome }[] {
    this.parts.push(chunk);
    this.held += chunk.length;
    const found: { id: number; outcome: Outcome }[] = [];
    if (this.held < this.wanted) return found;
    const data = this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts);
    let at = 0;
    try {
      if (this.server === null) {
        at = this.takePreface(data);
        if (at === 0) return found;
      }
      for (;;) {
        const taken = this.takeFrame(data, at);
        if (taken === null) break;
        at = taken.end;
        found.push(this.replyOf(taken.fields));
      }
    } catch (e) {
      if (found.length === 0 || !(e instanceof ProtocolError)) throw e;
      this.broken = e;
    } finally {
      this.parts = at < data.length ? [data.subarray(at)] : [];
      this.held = data.length - at;
    }
    return found;
  }

  private takePreface(data: Buffer): number {
    if (data.length === 0) return 0;
    if (data[0] !== MAGIC) {
      if (data[0] === 0x2d && !data.includes(0x0a) && data.length < PLAIN_LINE) return 0;
      const line = data.subarray(0, PLAIN_LINE).toString('utf8').split('\n')[0]!.trim();
      throw new ProtocolError(`this is no pannier, or it refused: ${JSON.stringify(line)}`);
    }
    const taken = this.takeFrame(data, 1);
    if (taken === null) return 0;
    this.server = this.serverOf(taken.fields);
    return taken.end;
  }

  private serverOf([name, version, offer]: unknown[]): Server {
    const isMap = offer !== null && typeof offer === 'object' && !Array.isArray(offer) && !(offer instanceof Uint8Array);
    if (!(name instanceof Uint8Array) || textOf(name) !== 'pannier' || typeof version !== 'number' || !isMap)
      throw new ProtocolError('the answer to the preface is none');
    const readable = (v: unknown): unknown =>
      v instanceof Uint8Array ? textOf(v) : Array.isArray(v) ? v.map(readable) : v;
    const about = Object.fromEntries(Object.entries(offer as object).map(([k, v]) => [k, readable(v)]));
    if (version === 0) throw new ProtocolError(`the server refused: ${String(about['error'] ?? 'it does not say why')}`);
    if (version !== VERSION) throw new ProtocolError(`the server chose version ${version}, which was not offered`);
    return { version, about };
  }

  private takeFrame(data: Buffer, at: number): { fields: unknown[]; end: number } | null {
    this.wanted = 0;
    if (at >= data.length) return null;
    const first = data[at]!;
    let begin = at + 1;
    let n = first;
    if (first >= 0x80) {
      const size = first === 0xcc ? 1 : first === 0xcd ? 2 : first === 0xce ? 4 : 0;
      if (size === 0) throw new ProtocolError(`a frame's length cannot begin with 0x${first.toString(16)}`);
      if (data.length < begin + size) return null;
      n = data.readUIntBE(begin, size);
      begin += size;
    }
    if (n === 0 || n > MAX_FRAME) throw new ProtocolError(`a frame of ${n} bytes; 1 to ${MAX_FRAME} are possible`);
    if (data.length < begin + n) {
      this.wanted = begin + n - at;
      return null;
    }
    return { fields: this.unpack(data.subarray(begin, begin + n)), end: begin + n };
  }

  private unpack(body: Buffer): unknown[] {
    let fields: unknown;
    try {
      fields = decoder.decode(body);
    } catch (e) {
      throw new ProtocolError(`a frame that is no msgpack: ${String(e)}`);
    }
    if (!Array.isArray(fields) || fields.length < 2 || !isFlat(fields, LEVELS_MAX))
      throw new ProtocolError('a frame that is no reply');
    return fields as unknown[];
  }

  private replyOf(fields: unknown[]): { id: number; outcome: Outcome } {
    const id = fields[0];
    if (id === null && fields[1] === 15)
      throw new ProtocolError(`the server says: ${fields[3] instanceof Uint8Array ? textOf(fields[3]) : ''}`);
    if (typeof id !== 'number') throw new ProtocolError('a reply without an id');
    const waited = this.waiting.get(id);
    if (waited === undefined) throw new ProtocolError(`a reply to request ${id}, which nobody made`);
    this.waiting.delete(id);
    return { id, outcome: decode(waited.op, fields.slice(1), waited.nItems) };
  }
}
