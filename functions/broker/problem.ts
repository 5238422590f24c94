/** Problem documents (RFC 9457): how every error leaves the broker. */

import { BrokerError, type ErrorCode, type ErrorFacts } from "../../shared/error.ts";
import { answer } from "./http/answer.ts";

export const TITLES: Readonly<Record<ErrorCode, string>> = {
  invalid_request: "The request is not valid",
  invalid_scope: "A scope is not valid",
  unknown_registry: "No such registry",
  unknown_grant: "No such grant",
  missing_credentials: "Credentials are missing",
  invalid_token: "The token was not accepted",
  token_expired: "The token has expired",
  untrusted_issuer: "The token's issuer is not trusted",
  invalid_audience: "The token is for another audience",
  token_replayed: "The token was used before",
  invalid_api_key: "The API key was not accepted",
  invalid_identity: "The signed identity was not accepted",
  access_denied: "Access denied",
  not_found: "Not found",
  method_not_allowed: "Method not allowed",
  payload_too_large: "The request is too large",
  unsupported_media_type: "Unsupported media type",
  policy_too_large: "Too many scopes for one credential",
  rate_limited: "Too many requests",
  upstream_rejected: "Alibaba Cloud refused",
  upstream_unavailable: "Alibaba Cloud is unavailable",
  issuer_unavailable: "The token's issuer is unavailable",
  not_ready: "The broker is not ready",
  upstream_timeout: "Alibaba Cloud did not answer in time",
};

/** The response for `error`; anything but a BrokerError becomes a 500 that says nothing of it. */
export function problem(error: unknown, requestId: string): Response {
  if (!(error instanceof BrokerError)) {
    return document(
      500,
      "internal_error",
      "Internal error",
      "a defect of the broker; its log has more under this request_id",
      requestId,
    );
  }
  const { code, status, message, facts } = error;
  const response = document(status, code, TITLES[code], message, requestId);
  sayWhen(response, facts);
  if (status === 401) {
    // RFC 6750 section 3: no error code where no credentials were sent.
    const challenge = 'Bearer realm="acr-token-broker"';
    response.headers.set(
      "www-authenticate",
      code === "missing_credentials" ? challenge : `${challenge}, error="invalid_token"`,
    );
  }
  return response;
}

/** Where waiting helps: for how long, and of which quota (draft-ietf-httpapi-ratelimit-headers-10). */
export function sayWhen({ headers }: Response, { retryAfterSeconds, quota }: ErrorFacts): void {
  if (retryAfterSeconds === undefined) return;
  headers.set("retry-after", String(retryAfterSeconds));
  if (quota === undefined) return;
  headers.set("ratelimit-policy", `"${quota.name}";q=${quota.perMinute};w=60`);
  headers.set("ratelimit", `"${quota.name}";r=0;t=${retryAfterSeconds}`);
}

function document(status: number, code: string, title: string, detail: string, requestId: string): Response {
  const body = { type: `urn:acr-token-broker:problem:${code}`, title, status, detail, code, request_id: requestId };
  // With an end of line: it is read in terminals.
  return answer(`${JSON.stringify(body)}\n`, status, {
    "content-type": "application/problem+json",
    "cache-control": "no-store",
  });
}
