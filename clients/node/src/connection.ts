/** A socket that all calls share. Replies find their request by its id. */
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { PannierError, Timeout, Unavailable } from './errors.js';
import type { Op } from './numbers.js';
import { Wire, type Options, type Outcome } from './wire.js';

interface Waiter {
  resolve(outcome: Outcome): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

export class Connection {
  readonly wire = new Wire();
  private readonly socket: Socket;
  private readonly waiters = new Map<number, Waiter>();
  private opened: { resolve(): void; reject(e: Error): void } | null = null;
  private ended: PannierError | null = null;

  private constructor(where: NetConnectOpts) {
    this.socket = connect(where);
    this.socket.setNoDelay(true);
    this.socket.on('connect', () => this.socket.write(this.wire.hello()));
    this.socket.on('data', (chunk: Buffer) => this.receive(chunk));
    this.socket.on('error', (e) => this.fail(new Unavailable(`no connection: ${e.message}`)));
    this.socket.on('close', () => this.fail(new Unavailable('the connection was closed')));
    this.socket.unref(); // an idle cache keeps no process alive; calls do
  }

  static open(where: NetConnectOpts, timeoutMs: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const c = new Connection(where);
      const timer = setTimeout(() => c.fail(new Timeout('no connection: no answer in time')), timeoutMs);
      c.opened = {
        resolve: () => {
          clearTimeout(timer);
          resolve(c);
        },
        reject: (e) => {
          clearTimeout(timer);
          reject(e);
        },
      };
    });
  }

  get isOpen(): boolean {
    return this.ended === null;
  }

  private receive(chunk: Buffer): void {
    try {
      const replies = this.wire.receive(chunk);
      if (this.wire.server !== null) this.takeOpened()?.resolve();
      for (const { id, outcome } of replies) this.take(id)?.resolve(outcome);
      if (this.wire.broken !== null) this.fail(this.wire.broken);
    } catch (e) {
      this.fail(e instanceof PannierError ? e : new Unavailable(String(e)));
    }
  }

  private takeOpened(): typeof this.opened {
    const { opened } = this;
    this.opened = null;
    return opened;
  }

  private take(id: number): Waiter | undefined {
    const waiter = this.waiters.get(id);
    if (waiter === undefined) return undefined;
    clearTimeout(waiter.timer);
    this.waiters.delete(id);
    return waiter;
  }

  /** The end: all that wait have no answer. */
  fail(error: PannierError): void {
    if (this.ended !== null) return;
    this.ended = error;
    this.socket.destroy();
    this.takeOpened()?.reject(error);
    for (const id of [...this.waiters.keys()]) this.take(id)?.reject(error);
  }

  call(op: Op, args: readonly unknown[], options: Options, timeoutMs: number, signal?: AbortSignal): Promise<Outcome> {
    if (this.ended !== null) return Promise.reject(this.ended);
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const { id, data } = this.wire.request(op, args, options);
    return new Promise<Outcome>((resolve, reject) => {
      const giveUp = (error: Error): void => {
        if (this.take(id) === undefined) return;
        this.cancel(id);
        reject(error);
      };
      const onAbort = (): void => giveUp(signal?.reason as Error);
      const settle = <T>(f: (v: T) => void) => (v: T): void => {
        signal?.removeEventListener('abort', onAbort);
        f(v);
      };
      const timer = setTimeout(() => giveUp(new Timeout('no answer in time')), timeoutMs);
      this.waiters.set(id, { resolve: settle(resolve), reject: settle(reject), timer });
      signal?.addEventListener('abort', onAbort, { once: true });
      this.socket.write(data);
    });
  }

  /** The reply still comes, and finds nobody. */
  private cancel(id: number): void {
    if (this.ended === null) this.socket.write(this.wire.request('CANCEL', [id]).data);
  }
}
