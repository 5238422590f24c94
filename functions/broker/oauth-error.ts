/** Errors as OAuth 2.0 writes them (RFC 6749 section 5.2, RFC 8693 section 2.2.2): how they leave `/oauth2/token`. */

import { BrokerError, type ErrorCode } from "../../shared/error.ts";
import { answer } from "./http/answer.ts";
import { sayWhen } from "./problem.ts";

/**
 * RFC 8693 section 2.2.2 demands `invalid_request`, and not `invalid_grant`, where the subject token is not accepted.
 * The last two are of the authorization endpoint (RFC 6749 section 4.1.2.1) and go with the status that says the same in HTTP:
 * section 5.2 has no word for trouble of the server's own.
 */
export const OAUTH_ERRORS = [
  "invalid_request",
  "invalid_client",
  "invalid_scope",
  "invalid_target",
  "unsupported_grant_type",
  "temporarily_unavailable",
  "server_error",
] as const;
export type OAuthErrorName = (typeof OAUTH_ERRORS)[number];

/** Codes not named here are `invalid_request`. */
const ERROR_OF: Partial<Readonly<Record<ErrorCode, OAuthErrorName>>> = {
  invalid_scope: "invalid_scope",
  unknown_grant: "invalid_scope",
  access_denied: "invalid_scope",
  policy_too_large: "invalid_scope",
  unknown_registry: "invalid_target",
  rate_limited: "temporarily_unavailable",
  upstream_unavailable: "temporarily_unavailable",
  issuer_unavailable: "temporarily_unavailable",
  not_ready: "temporarily_unavailable",
  upstream_timeout: "temporarily_unavailable",
  upstream_rejected: "server_error",
};

/** The `error` for a code, and the HTTP status that goes with it: 400 but for what is not the caller's doing, and what waiting helps. */
export function oauthErrorOf(code: ErrorCode, status: number): { error: OAuthErrorName; status: number } {
  return { error: ERROR_OF[code] ?? "invalid_request", status: status === 429 || status >= 500 ? status : 400 };
}

/** What only OAuth 2.0 has a word for. */
export class OAuthError extends BrokerError {
  constructor(
    readonly error: OAuthErrorName,
    code: ErrorCode,
    message: string,
    /** Of `invalid_client`: how the client tried to authenticate, to be named in `WWW-Authenticate`. */
    readonly scheme?: "Basic" | "Bearer",
  ) {
    super(code, message);
  }
}

/** The response for `error`; anything but a BrokerError becomes a 500 that says nothing of it. */
export function oauthError(error: unknown, requestId: string): Response {
  if (!(error instanceof BrokerError)) {
    const description = "a defect of the broker; its log has more under this request_id";
    return respond(500, { error: "server_error", error_description: description, code: "internal_error", requestId });
  }
  const { code, message, facts } = error;
  const named =
    error instanceof OAuthError
      ? { error: error.error, status: error.error === "invalid_client" ? 401 : 400 }
      : oauthErrorOf(code, error.status);
  const response = respond(named.status, {
    error: named.error,
    error_description: printable(message),
    code,
    requestId,
  });
  sayWhen(response, facts);
  if (error instanceof OAuthError && error.scheme !== undefined) {
    response.headers.set("www-authenticate", `${error.scheme} realm="acr-token-broker"`);
  }
  return response;
}

/** RFC 6749 section 5.1: neither tokens nor refusals are to be kept on the way. */
export const OAUTH_HEADERS = {
  "content-type": "application/json",
  "cache-control": "no-store",
  pragma: "no-cache",
} as const;

function respond(
  status: number,
  { requestId, ...body }: { error: OAuthErrorName; error_description: string; code: string; requestId: string },
): Response {
  return answer(`${JSON.stringify({ ...body, request_id: requestId })}\n`, status, OAUTH_HEADERS);
}

/** RFC 6749 section 5.2: %x20-21 / %x23-5B / %x5D-7E, so no quotation mark, no backslash, and nothing but ASCII. */
function printable(text: string): string {
  return text
    .replaceAll('"', "'")
    .replaceAll("…", "...")
    .replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, "?");
}
