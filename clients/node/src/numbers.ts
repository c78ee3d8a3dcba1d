// Made from proto/binary.def by clients/make_constants.py: do not edit.

export const OPS = {
  GET: 1,
  SET: 2,
  DELETE: 3,
  TOUCH: 4,
  INCR: 5,
  PEEK: 6,
  GET_MANY: 7,
  SET_MANY: 8,
  DELETE_MANY: 9,
  LEASE: 10,
  RELEASE: 11,
  FLUSH: 12,
  STATS: 13,
  PING: 14,
  CANCEL: 15,
  AUTH: 16,
} as const;

export type Op = keyof typeof OPS;

// What a reply to each of them may be.
export const STATUSES_OF: Record<Op, ReadonlySet<Status>> = {
  GET: new Set<Status>(['hit', 'stale', 'filled', 'coalesced', 'negative', 'miss', 'error']),
  SET: new Set<Status>(['stored', 'refused', 'error']),
  DELETE: new Set<Status>(['done', 'refused', 'miss', 'error']),
  TOUCH: new Set<Status>(['done', 'miss', 'error']),
  INCR: new Set<Status>(['stored', 'error']),
  PEEK: new Set<Status>(['hit', 'miss', 'error']),
  GET_MANY: new Set<Status>(['done', 'error']),
  SET_MANY: new Set<Status>(['stored', 'done', 'error']),
  DELETE_MANY: new Set<Status>(['done', 'error']),
  LEASE: new Set<Status>(['hit', 'stale', 'filled', 'coalesced', 'negative', 'lease', 'miss', 'error']),
  RELEASE: new Set<Status>(['done', 'miss', 'error']),
  FLUSH: new Set<Status>(['done', 'error']),
  STATS: new Set<Status>(['done', 'error']),
  PING: new Set<Status>(['done', 'error']),
  CANCEL: new Set<Status>(['done', 'miss', 'error']),
  AUTH: new Set<Status>(['done', 'error']),
};

export const OPTIONS = {
  deadline_ms: 1,
  meta: 2,
  grace_ms: 3,
  if_absent: 4,
  if_present: 5,
  if_token: 6,
  if_value: 7,
  lease: 8,
  ttl_ms: 9,
  initial: 10,
} as const;

export type OptionName = keyof typeof OPTIONS;

export type Status =
  | 'hit'
  | 'stale'
  | 'filled'
  | 'coalesced'
  | 'negative'
  | 'miss'
  | 'stored'
  | 'refused'
  | 'lease'
  | 'done'
  | 'error';

export const STATUSES: ReadonlyMap<number, Status> = new Map<number, Status>([
  [0, 'hit'],
  [1, 'stale'],
  [2, 'filled'],
  [3, 'coalesced'],
  [4, 'negative'],
  [5, 'miss'],
  [6, 'stored'],
  [7, 'refused'],
  [8, 'lease'],
  [9, 'done'],
  [15, 'error'],
]);
