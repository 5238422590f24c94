/** Errors that a caller may see: a stable code, the status that goes with it, and what to change. */

/** Each code of the contract, and its HTTP status. */
export const ERROR_STATUS = {
  invalid_request: 400,
  invalid_scope: 400,
  unknown_registry: 400,
  unknown_grant: 400,
  missing_credentials: 401,
  invalid_token: 401,
  token_expired: 401,
  untrusted_issuer: 401,
  invalid_audience: 401,
  token_replayed: 401,
  invalid_api_key: 401,
  invalid_identity: 401,
  access_denied: 403,
  not_found: 404,
  method_not_allowed: 405,
  payload_too_large: 413,
  unsupported_media_type: 415,
  policy_too_large: 422,
  rate_limited: 429,
  upstream_rejected: 502,
  upstream_unavailable: 503,
  issuer_unavailable: 503,
  not_ready: 503,
  upstream_timeout: 504,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

export interface ErrorFacts {
  /** Where waiting helps: for how long. */
  readonly retryAfterSeconds?: number;
  /** Which quota is used up, and how many it has in a minute. */
  readonly quota?: { readonly name: string; readonly perMinute: number };
  /** A cloud API's refusal: its own code and request id, never its words. */
  readonly upstream?: UpstreamFailure;
  /** Of a token that is refused for what it says: the configured issuer whose key has signed it. */
  readonly signedBy?: { readonly issuer: string; readonly member?: string };
  /** Of a caller that was verified and is refused all the same: who it is. */
  readonly caller?: {
    readonly source: { readonly issuer: string } | { readonly apiKey: string };
    readonly member?: string;
    readonly subject: string;
  };
  /** The entry of the list of blocks that came while the request was under way. */
  readonly block?: string;
  /** The broker's own keys, which have expired: where they came from. */
  readonly expiredKeys?: "environment" | "request";
  readonly cause?: unknown;
}

export interface UpstreamFailure {
  readonly api: "AssumeRole" | "GetAuthorizationToken" | "GetCallerIdentity";
  readonly code: string;
  readonly requestId?: string;
}

/** Thrown wherever a request ends; `message` is the problem document's `detail`, so it holds no secret and no upstream text. */
export class BrokerError extends Error {
  override readonly name = "BrokerError";
  readonly status: number;
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly facts: ErrorFacts = {},
  ) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.status = ERROR_STATUS[code];
  }
}
