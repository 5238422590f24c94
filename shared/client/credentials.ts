/** What the broker issues: for `docker login`, and for nothing else that prints or serializes itself. */

import type { TokenAnswer } from "./wire.ts";

/**
 * A registry login. `password` can be read and destructured, and is in no output that was not asked for: neither
 * `JSON.stringify`, nor `console.log`, nor a copy by spreading has it.
 */
export class Credentials {
  readonly username: string;
  readonly #password: string;
  readonly registry: string;
  /** The hosts that it works at. */
  readonly endpoints: readonly string[];
  /** What was granted, in canonical form, and by which grants. */
  readonly scope: readonly string[];
  readonly grants: readonly string[];
  /** By the broker's clock. */
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  /** From then on asking again gives a new one. */
  readonly refreshAfter: Date;
  /** `sha256:` and the hex SHA-256 of the password: what the broker's log has of it. */
  readonly fingerprint: string;
  readonly requestId: string;
  readonly #expiresInMs: number;
  readonly #ageMs: () => number;

  /** `ageMs` counts from when the answer was asked for, so that it never seems to live longer than it does. */
  constructor(answer: TokenAnswer, ageMs: () => number) {
    this.username = answer.username;
    this.#password = answer.password;
    this.registry = answer.registry;
    this.endpoints = answer.endpoints;
    this.scope = answer.scope;
    this.grants = answer.grants;
    this.issuedAt = new Date(answer.issued_at);
    this.expiresAt = new Date(answer.expires_at);
    this.refreshAfter = new Date(answer.refresh_after);
    this.fingerprint = answer.token_fingerprint;
    this.requestId = answer.request_id;
    this.#expiresInMs = answer.expires_in * 1000;
    this.#ageMs = ageMs;
  }

  get password(): string {
    return this.#password;
  }

  /** What `console.log` shows. Without this, Node would show what getters answer, if it is told to. */
  [Symbol.for("nodejs.util.inspect.custom")](
    _depth: number,
    options: object,
    inspect: (value: unknown, options: object) => string,
  ): string {
    return `Credentials ${inspect({ ...this, password: "(not shown)" }, options)}`;
  }

  /** Seconds that it still lives; right also where this machine's clock is wrong. Never negative. */
  get expiresInSeconds(): number {
    return Math.max(0, Math.floor((this.#expiresInMs - this.#ageMs()) / 1000));
  }

  /** Whether `refreshAfter` has passed. */
  get isDue(): boolean {
    const afterMs = this.expiresAt.getTime() - this.refreshAfter.getTime();
    return this.#expiresInMs - this.#ageMs() <= afterMs;
  }
}
