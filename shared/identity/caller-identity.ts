/**
 * STS GetCallerIdentity, 2015-04-01, in a caller's name: makes the one request that the caller can have signed, sends it to
 * the configured endpoint, and reads who it was. Nothing of the caller's but the signed facts goes in, nothing of STS's
 * but the identity comes out: STS echoes the string-to-sign in some errors.
 * https://www.alibabacloud.com/help/en/ram/developer-reference/api-sts-2015-04-01-getcalleridentity
 *
 * One attempt: STS may have seen the nonce even where no answer came, and would refuse it a second time. Only the caller
 * can sign another.
 */

import type { BrokerConfig, Registry } from "../config/config.ts";
import { BrokerError, type UpstreamFailure } from "../error.ts";
import { boundedFetch, type Fetch, readJson } from "./bounded-fetch.ts";

const API = "GetCallerIdentity";
const VERSION = "2015-04-01";
/** SHA-256 of nothing. */
const EMPTY_BODY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

export const ACS3 = "ACS3-HMAC-SHA256";
export const RPC = "HMAC-SHA1";

/** The facts that a caller has signed, and all that of a caller gets to STS; their form is checked in signed-identity.ts. */
export interface SignedIdentity {
  readonly accessKeyId: string;
  /** Of temporary keys. */
  readonly securityToken?: string;
  /** As it was signed: `2026-06-01T12:00:00Z`. */
  readonly date: string;
  readonly nonce: string;
  readonly audience: string;
  /** Hex for ACS3, base64 for RPC. */
  readonly signature: string;
  readonly algorithm: typeof ACS3 | typeof RPC;
}

/** Who STS says it was. Names are as RAM has them; `sessionName` is whatever the caller wrote into AssumeRole. */
export interface CallerIdentity {
  readonly accountId: string;
  readonly arn: string;
  readonly identityType: "Account" | "RAMUser" | "AssumedRoleUser";
  readonly principalId: string;
  readonly userName?: string;
  readonly roleName?: string;
  readonly sessionName?: string;
}

/** Where identities are verified, and so what host they must be signed for: as configured, else the first registry's region. */
export function stsOrigin(config: BrokerConfig): string {
  const [first] = config.registries.values();
  return config.alibaba.stsEndpoint ?? `https://sts.${(first as Registry).region}.aliyuncs.com`;
}

/** @throws BrokerError invalid_identity, upstream_rejected, upstream_unavailable, upstream_timeout */
export async function getCallerIdentity(
  identity: SignedIdentity,
  origin: string,
  fetch: Fetch,
): Promise<CallerIdentity> {
  let response: Response;
  let answer: unknown;
  try {
    const { url, init } = callerIdentityRequest(identity, origin);
    response = await boundedFetch(fetch, url, init);
    answer = response.status >= 500 ? await response.body?.cancel() : await readJson(response);
  } catch (error) {
    throw noAnswer(error);
  }
  if (response.status === 200) return readIdentity(answer);
  throw refusal(response.status, answer);
}

/** The request that `identity` says was signed; the same facts always make the same request. */
export function callerIdentityRequest(identity: SignedIdentity, origin: string): { url: string; init: RequestInit } {
  const { accessKeyId, securityToken, date, nonce, audience, signature } = identity;
  const common = {
    accept: "application/json",
    "user-agent": "acr-token-broker",
    // An idle connection may have died while the instance was frozen, and there is no second attempt.
    connection: "close",
  };
  if (identity.algorithm === RPC) {
    const parameters = {
      Action: API,
      Version: VERSION,
      Format: "JSON",
      AccessKeyId: accessKeyId,
      BrokerAudience: audience,
      SignatureMethod: RPC,
      SignatureNonce: nonce,
      SignatureVersion: "1.0",
      Timestamp: date,
      ...(securityToken === undefined ? {} : { SecurityToken: securityToken }),
      Signature: signature,
    };
    // In the body, where a security token belongs; this scheme signs parameters wherever they stand.
    const body = Object.entries(parameters)
      .map(([name, value]) => `${name}=${percentEncode(value)}`)
      .join("&");
    const headers = { ...common, "content-type": "application/x-www-form-urlencoded" };
    return { url: `${origin}/`, init: { method: "POST", headers, body } };
  }
  const signed = {
    "x-acs-action": API,
    "x-acs-content-sha256": EMPTY_BODY,
    "x-acs-date": date,
    ...(securityToken === undefined ? {} : { "x-acs-security-token": securityToken }),
    "x-acs-signature-nonce": nonce,
    "x-acs-version": VERSION,
  };
  const names = ["host", ...Object.keys(signed)].join(";");
  const authorization = `${identity.algorithm} Credential=${accessKeyId},SignedHeaders=${names},Signature=${signature}`;
  return {
    url: `${origin}/?BrokerAudience=${percentEncode(audience)}`,
    init: { method: "POST", headers: { ...common, ...signed, authorization } },
  };
}

/** RFC 3986: all but unreserved characters; encodeURIComponent leaves five of them alone. */
function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

const ACCOUNT_ID = /^\d{1,32}$/;
const PRINCIPAL_ID = /^[A-Za-z0-9]{1,64}$/;
/** RAM user and role names; role session names as AssumeRole takes them. */
const ARN =
  /^acs:ram::(?<account>\d+):(?:(?<root>root)|user\/(?<user>[A-Za-z0-9._-]{1,64})|assumed-role\/(?<role>[A-Za-z0-9._-]{1,64})\/(?<session>[A-Za-z0-9.@_-]{2,64}))$/;

/**
 * Each field must say the same as the others. What does not fit is no identity, not a lesser one: a wrong guess here would
 * be somebody else's rights.
 */
function readIdentity(answer: unknown): CallerIdentity {
  const { AccountId: accountId, Arn: arn, IdentityType: type, PrincipalId: principalId } = objectOf(answer);
  if (!isText(accountId, ACCOUNT_ID) || typeof arn !== "string" || typeof principalId !== "string") throw malformed();
  const { account, root, user, role, session } = ARN.exec(arn)?.groups ?? {};
  if (account !== accountId) throw malformed();
  const known = { accountId, arn, principalId };
  if (type === "Account" && root !== undefined && principalId === accountId) return { ...known, identityType: type };
  // The vendor's reference writes both.
  if ((type === "RAMUser" || type === "RamUser") && user !== undefined && PRINCIPAL_ID.test(principalId)) {
    return { ...known, identityType: "RAMUser", userName: user };
  }
  if (type === "AssumedRoleUser" && role !== undefined && session !== undefined) {
    const [roleId, name] = splitOnce(principalId);
    if (PRINCIPAL_ID.test(roleId) && name === session) {
      return { ...known, identityType: type, roleName: role, sessionName: session };
    }
  }
  throw malformed();
}

function splitOnce(principalId: string): [roleId: string, session: string] {
  const colon = principalId.indexOf(":");
  return [principalId.slice(0, colon), principalId.slice(colon + 1)];
}

/** What the caller did wrong, by STS's code; a code that is not here is not repeated. */
const CALLERS_FAULT: readonly (readonly [code: RegExp, advice: string])[] = [
  [
    /^SignatureDoesNotMatch$/,
    "the signature is not that of the request which the broker makes; sign for the sts_host of /.well-known/acr-broker, action GetCallerIdentity, an empty body and exactly the fields sent",
  ],
  [/^InvalidAccessKeyId\.NotFound$/, "there is no such access key"],
  [/^InvalidSecurityToken\.Expired$/, "the temporary keys have expired; get new ones and sign again"],
  [/^InvalidSecurityToken\.[A-Za-z]{1,40}$/, "the security token does not belong to the access key"],
  [/^InvalidTimeStamp\.[A-Za-z]{1,40}$/, "the date is too far from Alibaba Cloud's clock"],
  [/^SignatureNonceUsed$/, "the nonce was used before; sign a new identity for each request"],
];

function refusal(status: number, answer: unknown): BrokerError {
  const { Code: code, RequestId: requestId } = status < 500 ? objectOf(answer) : {};
  const upstream: UpstreamFailure = {
    api: API,
    code: isText(code, /^[A-Za-z0-9._-]{1,100}$/) ? code : `Status${status}`,
    ...(isText(requestId, /^[A-Za-z0-9-]{1,64}$/) ? { requestId } : {}),
  };
  if (status >= 500 || upstream.code.startsWith("Throttling")) return unavailable(upstream);
  // A refusal has a code. Anything else is no STS.
  if (status < 400 || !isText(code, /./)) return malformed(upstream);
  const known = CALLERS_FAULT.find(([pattern]) => pattern.test(upstream.code));
  const request = upstream.requestId === undefined ? "" : `, request ${upstream.requestId}`;
  const why = known === undefined ? "STS refused it" : `${known[1]} (${upstream.code}${request})`;
  return new BrokerError("invalid_identity", `the signed Alibaba Cloud identity was not accepted: ${why}`, {
    upstream,
  });
}

/** The connection's errors by kind; all others are ours, about the answer's size or form. */
function noAnswer(error: unknown): BrokerError {
  if (error instanceof Error && error.name === "TimeoutError") {
    return new BrokerError(
      "upstream_timeout",
      `Alibaba Cloud did not answer ${API} in time; sign a new identity and try again`,
      { upstream: { api: API, code: "Timeout" }, retryAfterSeconds: 2 },
    );
  }
  // The decoder throws TypeErrors too, which have a code of Node's.
  if (error instanceof TypeError && !("code" in error)) return unavailable({ api: API, code: "NoAnswer" });
  return malformed();
}

function unavailable(upstream: UpstreamFailure): BrokerError {
  return new BrokerError(
    "upstream_unavailable",
    `Alibaba Cloud could not answer ${API} (${upstream.code}); sign a new identity and try again`,
    { upstream, retryAfterSeconds: 2 },
  );
}

function malformed(upstream: UpstreamFailure = { api: API, code: "MalformedAnswer" }): BrokerError {
  return new BrokerError(
    "upstream_rejected",
    `what answered ${API} is not what STS's documentation says; the broker's operator should check alibaba.sts_endpoint`,
    { upstream },
  );
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function isText(value: unknown, form: RegExp): value is string {
  return typeof value === "string" && form.test(value);
}
