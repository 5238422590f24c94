/**
 * JSON Web Tokens (RFC 7519): the claims of a signed token, held to the issuer's configuration. Before the signature is
 * verified (jws.ts) nothing of them but `iss` is looked at, and that only to find the issuer.
 */

import type { OidcIssuer } from "../config/config.ts";
import { BrokerError } from "../error.ts";
import { quote } from "../policy/scope.ts";
import { selectKey, type VerificationKey } from "./jwks.ts";
import { invalidToken, keyOf, parseJws, parseObject, type UnverifiedJws, verifyJws } from "./jws.ts";
import type { KeySource } from "./key-source.ts";
import { PROVIDERS } from "./providers.ts";

/** For clocks that differ; the issuer's and ours. */
const CLOCK_SKEW_SECONDS = 60;

/** The earliest that a Date holds (ECMA-262 section 21.4.1.1); before it there is none to be told. */
const FIRST_SECOND = -8.64e12;

/** Without one of these a token could be anybody's, for anybody, or good for ever. */
const REQUIRED = ["iss", "sub", "aud", "exp", "iat"];

export interface UnverifiedToken {
  readonly jws: UnverifiedJws;
  /** Not looked at before the signature is verified, but for `iss`. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** As the token has it: selects among the configured issuers, and proves nothing. */
  readonly issuer: string;
}

/** Takes a token apart without believing it. @throws BrokerError invalid_token */
export function parseToken(token: string): UnverifiedToken {
  const jws = parseJws(token);
  const claims = parseObject(jws.payload, "payload");
  const issuer = Object.hasOwn(claims, "iss") ? claims["iss"] : undefined;
  if (typeof issuer !== "string") throw invalidToken("it has no iss claim");
  return { jws, claims, issuer };
}

export interface VerifiedToken {
  readonly subject: string;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly tokenId?: string;
  readonly expiresAt: Date;
}

/** What of a token stays true while `key` is the issuer's: that it was signed by that key and says this. */
export interface SignedToken {
  readonly jws: Pick<UnverifiedJws, "algorithm" | "kid">;
  readonly key: VerificationKey;
  readonly claims: Readonly<Record<string, unknown>>;
}

/**
 * Verifies `typ` and signature of a token of `issuer`; its claims are still to be held to the rules.
 * @throws BrokerError invalid_token, issuer_unavailable
 */
export async function verifyToken(
  { jws, claims }: UnverifiedToken,
  issuer: OidcIssuer,
  source: KeySource,
): Promise<SignedToken> {
  const { types = ["JWT"] } = PROVIDERS[issuer.provider];
  if (!types.includes((jws.type ?? "JWT").toUpperCase())) {
    throw invalidToken(`its header's typ is not ${types.join(" or ")}`);
  }
  const { algorithm, kid } = jws;
  return { jws: { algorithm, kid }, key: await verifyJws(jws, issuer, source), claims };
}

/**
 * Whether the key is still the one that the issuer has for such a token, asked as for a new one: so a key that was taken back is
 * believed no longer than then. Of keys fetched anew none is the same, be it for the same bytes.
 * @throws BrokerError invalid_token, issuer_unavailable
 */
export async function isStillSigned(
  { jws, key }: SignedToken,
  issuer: OidcIssuer,
  source: KeySource,
): Promise<boolean> {
  return (await keyOf(jws, issuer, source)).key === key;
}

/** The same of the keys at hand; `false` where they are too old to say. */
export function isSignedNow({ jws, key }: SignedToken, { algorithms }: OidcIssuer, source: KeySource): boolean {
  const algorithm = algorithms.find((allowed) => allowed === jws.algorithm);
  const keys = source.current();
  return algorithm !== undefined && keys !== undefined && selectKey(keys, jws.kid, algorithm) === key;
}

/**
 * Holds the claims of a verified token to the rules: `iss` to the letter, `exp`, `iat` and `nbf`, age and lifetime, `sub`, and one
 * audience, ours (RFC 7519 section 4.1).
 * @throws BrokerError invalid_token, token_expired, invalid_audience
 */
export function checkClaims(claims: Readonly<Record<string, unknown>>, issuer: OidcIssuer, now: Date): VerifiedToken {
  const missing = REQUIRED.find((name) => !Object.hasOwn(claims, name));
  if (missing !== undefined) {
    throw invalidToken(`it has no ${missing} claim; send the ID token, which has ${REQUIRED.join(", ")}`);
  }
  const { iss, sub, aud, jti } = claims;
  if (iss !== issuer.issuer) throw invalidToken(`its iss claim is not ${quote(issuer.issuer)} to the letter`);
  const expiresAt = checkTimes(claims, issuer, Math.floor(now.getTime() / 1000));
  if (typeof sub !== "string" || sub === "") throw invalidToken("its sub claim is not a string, or empty");
  if (PROVIDERS[issuer.provider].subject?.test(sub) === false) {
    throw invalidToken(`its sub claim is not of the form that ${issuer.provider} gives`);
  }
  checkAudience(aud, issuer);
  return { subject: sub, claims, ...(typeof jti === "string" && jti !== "" ? { tokenId: jti } : {}), expiresAt };
}

/** All in seconds since the epoch; answers until when the token proves anything, skew included. */
function checkTimes(
  claims: Readonly<Record<string, unknown>>,
  { name, maxTokenLifetimeSeconds: longest }: OidcIssuer,
  now: number,
): Date {
  const issuedAt = numericDate(claims["iat"], "iat");
  const expiry = numericDate(claims["exp"], "exp");
  for (const claim of ["iat", "nbf"]) {
    const from = Object.hasOwn(claims, claim) ? numericDate(claims[claim], claim) : now;
    if (from > now + CLOCK_SKEW_SECONDS) {
      throw invalidToken(
        `it is not valid yet: its ${claim} claim is ${from - now} s ahead; compare the issuer's clock`,
      );
    }
  }
  if (expiry <= now - CLOCK_SKEW_SECONDS) {
    const ended = new Date(Math.max(expiry, FIRST_SECOND) * 1000);
    throw new BrokerError(
      "token_expired",
      `the token has expired, ${now - expiry} s ago (${ended.toISOString()}); get a new one from your CI and ask again`,
    );
  }
  if (now - issuedAt > longest + CLOCK_SKEW_SECONDS) {
    throw new BrokerError(
      "token_expired",
      `the token is older (iat) than the ${longest} s that issuer ${name} may give (max_token_lifetime); get a new one from your CI and ask again`,
    );
  }
  if (expiry - issuedAt > longest) {
    throw invalidToken(
      `it lives ${expiry - issuedAt} s; issuer ${name} may give ${longest} s (max_token_lifetime): ask for a shorter one`,
    );
  }
  return new Date((expiry + CLOCK_SKEW_SECONDS) * 1000);
}

/** RFC 7519 section 2. JSON has no NaN, but 1e400 is read as Infinity, which no comparison would stop. */
function numericDate(value: unknown, claim: string): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw invalidToken(`its ${claim} claim is not a number of seconds; the issuer must write it as a JSON number`);
}

/** Exactly one audience, ours: a token that others may also receive could be one that others have replayed to us. */
function checkAudience(audience: unknown, issuer: OidcIssuer): void {
  const values: unknown[] = Array.isArray(audience) ? audience : [audience];
  if (values.length === 1 && values[0] === issuer.audience) return;
  const theirs = values.slice(0, 5).map((value) => (typeof value === "string" ? quote(value) : "no string"));
  throw new BrokerError(
    "invalid_audience",
    `the token is for ${theirs.join(", ") || "nobody"}; ask your CI for one whose only audience is ${quote(issuer.audience)}`,
  );
}
