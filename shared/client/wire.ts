/**
 * What goes over the wire, as docs/api.md has it. Types only, and the server's own: test/client/wire.test.ts holds them equal to
 * what the broker's schema takes and its answer is made of.
 */

import type { ErrorCode } from "../error.ts";

/** The body of `POST /v1/token`, but for `format`, which is always JSON here. */
export interface TokenFields {
  registry?: string | undefined;
  scope?: string[] | undefined;
  grant?: string | undefined;
  ttl?: number | undefined;
  min_ttl?: number | undefined;
}

/** What `POST /v1/token` answers. */
export interface TokenAnswer {
  readonly username: string;
  readonly password: string;
  readonly registry: string;
  readonly endpoints: readonly string[];
  readonly scope: readonly string[];
  readonly grants: readonly string[];
  readonly issued_at: string;
  readonly expires_at: string;
  readonly expires_in: number;
  readonly refresh_after: string;
  readonly token_fingerprint: string;
  readonly request_id: string;
}

/** What `GET /.well-known/acr-broker` answers, as much of it as is used here. */
export interface Discovery {
  readonly audience: string;
  readonly sts_host: string;
}

/** The broker's codes; one that is newer than this SDK is passed on as it is. */
export type BrokerCode = ErrorCode | "internal_error";
