/** How values of getOrLoad() become bytes. */
import { decode, encode } from '@msgpack/msgpack';

export interface Codec<T = unknown> {
  encode(value: T): Uint8Array;
  decode(bytes: Buffer): T;
}

/** null, booleans, numbers, strings, Uint8Array, arrays, plain objects, Date. The default. */
export const msgpack: Codec<any> = { encode: (v) => encode(v), decode: (b) => decode(b) };
/** Readable by everybody. */
export const json: Codec<any> = {
  encode: (v) => {
    const text = JSON.stringify(v);
    if (text === undefined) throw new TypeError(`codec json: a ${typeof v} cannot be written`);
    return Buffer.from(text);
  },
  decode: (b) => JSON.parse(b.toString('utf8')),
};
/** Bytes as they are. */
export const raw: Codec<Uint8Array> = {
  encode: (v) => {
    if (!(v instanceof Uint8Array)) throw new TypeError(`codec raw: bytes are meant, not a ${typeof v}`);
    return v;
  },
  decode: (b) => b,
};
