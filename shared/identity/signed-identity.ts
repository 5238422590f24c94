/**
 * Signed Alibaba Cloud identities: `acs1.` and base64url of the few facts from which the broker makes a GetCallerIdentity
 * request that the caller has signed. Here: the form, what can be checked without STS, and from STS's answer to a principal.
 * The request is made in caller-identity.ts. https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature
 */

import type { AlibabaIssuer, BrokerConfig } from "../config/config.ts";
import { BrokerError } from "../error.ts";
import { parseStrictJson } from "../json.ts";
import { quote } from "../policy/scope.ts";
import type { Fetch } from "./bounded-fetch.ts";
import {
  ACS3,
  type CallerIdentity,
  getCallerIdentity,
  RPC,
  type SignedIdentity,
  stsOrigin,
} from "./caller-identity.ts";
import type { Ask } from "./key-source.ts";
import { nonceMemory } from "./nonce-memory.ts";
import type { AuthenticatedPrincipal } from "./principal.ts";

const PREFIX = "acs1.";
/** The whole credential. Function Compute takes 8 KB of headers in all. */
const LONGEST_CREDENTIAL = 4 * 1024;
/** How far its date may be from our clock, either way. */
const WINDOW_SECONDS = 120;

/**
 * What each field may look like: nothing in one can end a header's line, a header's part or a parameter.
 * `audience` is not here: it must equal a configured one, and is escaped where it is used.
 */
const FORMS: Readonly<Record<string, RegExp>> = {
  access_key_id: /^[A-Za-z0-9.]{8,128}$/,
  security_token: /^[A-Za-z0-9+/=_.-]{1,3072}$/,
  // Both schemes document this one form, in UTC.
  date: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
  // At least a UUID's or a digest's randomness: short ones collide among many builds with one key.
  nonce: /^[A-Za-z0-9_-]{16,128}$/,
};

/** 32 bytes in hex; 20 bytes in base64, whose 27th character has two bits to spare. */
const SIGNATURES: Readonly<Record<SignedIdentity["algorithm"], RegExp>> = {
  [ACS3]: /^[0-9a-f]{64}$/,
  [RPC]: /^[A-Za-z0-9+/]{26}[AEIMQUYcgkosw048]=$/,
};

const FIELDS = ["access_key_id", "security_token", "date", "nonce", "audience", "signature", "algorithm"];

/** Takes a credential apart without believing it. @throws BrokerError invalid_identity */
export function parseSignedIdentity(credential: string): SignedIdentity {
  if (credential.length > LONGEST_CREDENTIAL) throw invalid(`it is longer than ${LONGEST_CREDENTIAL} characters`);
  const fields = readFields(credential.slice(PREFIX.length));
  const unknown = Object.keys(fields).find((name) => !FIELDS.includes(name));
  if (unknown !== undefined) throw invalid(`${quote(unknown)} is no field of it; the fields are ${FIELDS.join(", ")}`);

  const text = (name: string): string => {
    const value = fields[name];
    if (value === undefined) throw invalid(`it has no ${name}`);
    if (typeof value !== "string") throw invalid(`its ${name} is not text`);
    if (FORMS[name]?.test(value) === false) throw invalid(`its ${name} does not have the form of one`);
    return value;
  };
  const algorithm = fields["algorithm"] === undefined ? ACS3 : text("algorithm");
  if (algorithm !== ACS3 && algorithm !== RPC) throw invalid(`its algorithm is neither ${ACS3} nor ${RPC}`);
  const signature = text("signature");
  if (!SIGNATURES[algorithm].test(signature)) throw invalid(`its signature does not have the form of ${algorithm}`);
  return {
    accessKeyId: text("access_key_id"),
    ...(fields["security_token"] === undefined ? {} : { securityToken: text("security_token") }),
    date: text("date"),
    nonce: text("nonce"),
    audience: text("audience"),
    signature,
    algorithm,
  };
}

function readFields(encoded: string): Record<string, unknown> {
  const bytes = Buffer.from(encoded, "base64url");
  if (encoded === "" || bytes.toString("base64url") !== encoded) {
    throw invalid("what stands behind acs1. is not canonical base64url");
  }
  let value: unknown;
  try {
    value = parseStrictJson(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw invalid(error instanceof SyntaxError ? error.message : "it is not UTF-8");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("it is not an object");
  // Without a prototype, so that a field which is not there is not found there either.
  return Object.assign(Object.create(null), value) as Record<string, unknown>;
}

export interface SignedIdentities {
  /** @throws BrokerError invalid_identity, invalid_audience, token_expired, token_replayed, or as `getCallerIdentity` does */
  verify(credential: string, address: string | undefined): Promise<AuthenticatedPrincipal>;
  /** How many nonces of accepted identities are remembered. */
  nonces(): number;
}

export function signedIdentities(
  config: BrokerConfig,
  fetch: Fetch,
  now: () => Date,
  watch: Ask = (ask) => ask(),
): SignedIdentities {
  const issuers = [...config.issuers.values()].filter((issuer) => issuer.provider === "alibaba");
  const audiences = new Set(issuers.map((issuer) => issuer.audience));
  const byAccount = new Map(issuers.flatMap((issuer) => issuer.accounts.map((account) => [account, issuer] as const)));
  const nonces = nonceMemory(now);

  return {
    nonces: nonces.kept,
    async verify(credential, address) {
      if (issuers.length === 0) throw invalid("no issuer of provider alibaba is configured here");
      const identity = parseSignedIdentity(credential);
      // Which issuer it is shows only when STS has named the account; that its audience is none of ours shows now.
      if (!audiences.has(identity.audience)) throw wrongAudience(identity, [...audiences]);
      const goodUntil = endOfWindow(identity.date, now());
      const { accessKeyId, nonce } = identity;
      return nonces.once({ accessKeyId, nonce, goodUntil, address }, async () => {
        const caller = await watch(() => getCallerIdentity(identity, stsOrigin(config), fetch));
        const issuer = byAccount.get(caller.accountId);
        if (issuer === undefined) throw invalid(`account ${caller.accountId} is not among those accepted here`);
        if (issuer.audience !== identity.audience) throw wrongAudience(identity, [issuer.audience]);
        return principal(issuer, caller, goodUntil);
      });
    },
  };
}

function principal(issuer: AlibabaIssuer, caller: CallerIdentity, expiresAt: Date): AuthenticatedPrincipal {
  const { accountId, arn, identityType, principalId, roleName, userName, sessionName } = caller;
  return {
    source: { issuer: issuer.name },
    subject: arn,
    claims: {
      account_id: accountId,
      arn,
      identity_type: identityType,
      principal_id: principalId,
      ...(roleName === undefined ? {} : { role_name: roleName }),
      ...(userName === undefined ? {} : { user_name: userName }),
      ...(sessionName === undefined ? {} : { session_name: sessionName }),
    },
    expiresAt,
  };
}

/** When an identity of this date ends. @throws BrokerError token_expired, invalid_identity where it is not yet good */
function endOfWindow(date: string, now: Date): Date {
  const time = new Date(date).getTime();
  // A day that the month does not have would otherwise quietly become another.
  if (Number.isNaN(time) || new Date(time).toISOString() !== date.replace("Z", ".000Z")) {
    throw invalid("its date is no date");
  }
  const age = now.getTime() - time;
  if (age > WINDOW_SECONDS * 1000) {
    throw new BrokerError(
      "token_expired",
      `the signed identity is older than ${WINDOW_SECONDS} s; sign a new one for each request, and compare the clocks`,
    );
  }
  if (-age > WINDOW_SECONDS * 1000) {
    throw invalid(`its date is more than ${WINDOW_SECONDS} s in the future; compare the clocks`);
  }
  return new Date(time + WINDOW_SECONDS * 1000);
}

function wrongAudience({ audience }: SignedIdentity, ours: readonly string[]): BrokerError {
  return new BrokerError(
    "invalid_audience",
    `the identity was signed for ${quote(audience)}; sign BrokerAudience as ${ours.map(quote).join(" or ")}`,
  );
}

function invalid(why: string): BrokerError {
  return new BrokerError("invalid_identity", `the signed Alibaba Cloud identity was not accepted: ${why}`);
}
