/**
 * What the SDK throws. Each error has a stable `code`; `message` says what to change. None ever holds a token, a password, a key
 * or an answer's body, in any of its properties: there is no `cause`, since those of fetch quote headers.
 */

import type { BrokerCode } from "./wire.ts";

/** Of the SDK itself, beside the broker's. */
export type ClientCode =
  | "invalid_options"
  | "no_identity"
  | "identity_failed"
  | "untrusted_audience"
  | "network_error"
  | "bad_response"
  | "deadline_exceeded";

export interface ErrorFacts {
  readonly status?: number | undefined;
  readonly requestId?: string | undefined;
  readonly retryAfterSeconds?: number | undefined;
  readonly retryable?: boolean;
}

/** The one to catch; its subclasses say whose fault it was. */
export class AcrBrokerError extends Error {
  override readonly name: string = "AcrBrokerError";
  readonly code: BrokerCode | ClientCode | (string & {});
  /** Of the HTTP answer, where there was one. */
  declare readonly status?: number;
  /** What the broker's log has the request under. */
  declare readonly requestId?: string;
  /** How long to wait before the next try, where the other side said. */
  declare readonly retryAfterSeconds?: number;
  /** Whether the same request may succeed later. Those that may have been tried again already, until the deadline. */
  readonly retryable: boolean;

  constructor(code: AcrBrokerError["code"], message: string, facts: ErrorFacts = {}) {
    super(printable(message));
    this.code = code;
    this.retryable = facts.retryable ?? false;
    if (facts.status !== undefined) this.status = facts.status;
    if (facts.requestId !== undefined) this.requestId = facts.requestId;
    if (facts.retryAfterSeconds !== undefined) this.retryAfterSeconds = facts.retryAfterSeconds;
  }
}

/** The broker's own refusal: `code` is one of docs/api.md, `message` its `detail`. */
export class RefusedError extends AcrBrokerError {
  override readonly name = "RefusedError";
}

/** There is no identity to show, or where it comes from did not give it: `no_identity`, `identity_failed`, `untrusted_audience`. */
export class IdentityError extends AcrBrokerError {
  override readonly name = "IdentityError";
  declare readonly code: ClientCode;
}

/** No answer, or none that can be understood: `network_error`, `bad_response`, `deadline_exceeded`. */
export class ConnectionError extends AcrBrokerError {
  override readonly name = "ConnectionError";
  declare readonly code: ClientCode;
}

/** What the SDK was called with cannot be meant: `invalid_options`. */
export class OptionsError extends AcrBrokerError {
  override readonly name = "OptionsError";
  declare readonly code: "invalid_options";
  constructor(message: string) {
    super("invalid_options", message);
  }
}

/** Longer than any detail of the broker's. */
const LONGEST_MESSAGE = 2_000;

/** Messages end up in terminals and logs: one line each, no escape sequences, and nothing that reverses what follows. */
function printable(message: string): string {
  return message.slice(0, LONGEST_MESSAGE).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ");
}
