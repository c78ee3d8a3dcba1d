/** Base of everything that this library throws of its own. */
export class PannierError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** The sidecar cannot be reached, or closed the connection. What was asked for may have been done. */
export class Unavailable extends PannierError {}

/** No answer within the call's time. */
export class Timeout extends Unavailable {}

/** The other side does not speak this protocol. The connection was closed. */
export class ProtocolError extends Unavailable {}

/** The sidecar answered with an error; the connection is fine. `code` is one of proto/PROTOCOL.md's. */
export class ReplyError extends PannierError {
  constructor(
    readonly code: string,
    readonly text: string,
  ) {
    super(`${code}: ${text}`);
  }
}

/** A reply that this operation cannot have; the request failed, the connection is fine. */
export class UnexpectedReply extends PannierError {}
