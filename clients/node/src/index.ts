/** pannier: the client library of the caching sidecar. See README.md. */
export { Client } from './client.js';
export type { CallOptions, ClientOptions, Entry, Key, Lease, LoadOptions, Metrics, SetOptions } from './client.js';
export * as codecs from './codecs.js';
export type { Codec } from './codecs.js';
export { PannierError, ProtocolError, ReplyError, Timeout, Unavailable, UnexpectedReply } from './errors.js';
export type { Reply } from './wire.js';
