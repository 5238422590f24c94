/**
 * JSON Web Tokens (RFC 7519) in compact JWS form (RFC 7515): taken apart strictly before anything is believed, then
 * verified by jose with a key that the issuer's configuration chose, then held to the claims' rules.
 */

import { errors, jwtVerify } from "jose";
import type { JwsAlgorithm, OidcIssuer } from "../config/config.ts";
import { BrokerError } from "../error.ts";
import { parseStrictJson } from "../json.ts";
import { quote } from "../policy/scope.ts";
import { selectKey } from "./jwks.ts";
import type { KeySource } from "./key-source.ts";
import { PROVIDERS } from "./providers.ts";

/** Longer tokens are refused unread. Function Compute takes 8 KB of headers in all. */
export const LONGEST_TOKEN = 8 * 1024;

/** For clocks that differ; the issuer's and ours. */
const CLOCK_SKEW_SECONDS = 60;

/** Header parameters that bring a key or ask for processing that is not done here (RFC 7515 section 4.1, RFC 7797). */
const REFUSED_HEADERS = ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"];

export interface UnverifiedToken {
  readonly token: string;
  readonly algorithm: string;
  readonly kid: string | undefined;
  /** The header's `typ` in capitals. */
  readonly type: string;
  readonly issuer: string;
}

/**
 * Takes a token apart without believing it. Each part must be base64url without padding that re-encodes to the same text:
 * otherwise one signature would go with several texts, and what is remembered by text could be sidestepped.
 * @throws BrokerError invalid_token
 */
export function parseToken(token: string): UnverifiedToken {
  if (token.length > LONGEST_TOKEN) throw invalid(`it is longer than ${LONGEST_TOKEN} characters`);
  const parts = token.split(".", 4);
  if (parts.length !== 3) throw invalid("it does not have the three parts of a signed JWT");
  const [header, claims] = (["header", "payload", "signature"] as const).map((name, index) => {
    const bytes = decodePart(parts[index] as string, name);
    return name === "signature" ? {} : parseObject(bytes, name);
  }) as [Record<string, unknown>, Record<string, unknown>];

  const refused = REFUSED_HEADERS.find((name) => Object.hasOwn(header, name));
  if (refused !== undefined) throw invalid(`its header has ${refused}, which is not accepted here`);
  const { typ, alg, kid } = header;
  if (typ !== undefined && typeof typ !== "string") throw invalid("its header's typ is not a string");
  if (typeof alg !== "string") throw invalid("its header has no alg");
  if (kid !== undefined && typeof kid !== "string") throw invalid("its header's kid is not a string");
  if (!Object.hasOwn(claims, "iss") || typeof claims["iss"] !== "string") throw invalid("it has no iss claim");
  return { token, algorithm: alg, kid, type: (typ ?? "JWT").toUpperCase(), issuer: claims["iss"] };
}

function decodePart(text: string, name: string): Buffer {
  const bytes = Buffer.from(text, "base64url");
  if (text === "" || bytes.toString("base64url") !== text) throw invalid(`its ${name} is not canonical base64url`);
  return bytes;
}

function parseObject(bytes: Buffer, name: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseStrictJson(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw invalid(`its ${name}: ${error instanceof SyntaxError ? error.message : "it is not UTF-8"}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(`its ${name} is not an object`);
  return value as Record<string, unknown>;
}

export interface VerifiedToken {
  readonly subject: string;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly tokenId?: string;
  readonly expiresAt: Date;
}

/**
 * Verifies a token of `issuer`: signature, `iss`, `aud` (one, exactly ours), `exp`, `iat`, `nbf`, `sub`, age and lifetime.
 * @throws BrokerError invalid_token, token_expired, invalid_audience, issuer_unavailable
 */
export async function verifyToken(
  unverified: UnverifiedToken,
  issuer: OidcIssuer,
  source: KeySource,
  now: () => Date,
): Promise<VerifiedToken> {
  const { token, kid } = unverified;
  const algorithm = issuer.algorithms.find((allowed) => allowed === unverified.algorithm);
  if (algorithm === undefined) {
    throw invalid(
      `it is signed with ${quote(unverified.algorithm)}; issuer ${issuer.name} may use ${issuer.algorithms.join(", ")}`,
    );
  }
  const { types = ["JWT"], subject } = PROVIDERS[issuer.provider];
  if (!types.includes(unverified.type)) throw invalid(`its header's typ is not ${types.join(" or ")}`);
  const claims = await verifySignature(token, algorithm, kid, issuer, source, now);

  const { sub, iat, exp, jti } = claims as { sub: unknown; iat: number; exp: number; jti: unknown };
  if (typeof sub !== "string" || sub === "") throw invalid("its sub claim is not a string");
  if (subject?.test(sub) === false) throw invalid(`its sub claim is not of the form that ${issuer.provider} gives`);
  if (exp - iat > issuer.maxTokenLifetimeSeconds) {
    throw invalid(
      `it lives ${exp - iat} s; issuer ${issuer.name} may give ${issuer.maxTokenLifetimeSeconds} s (max_token_lifetime)`,
    );
  }
  checkAudience(claims["aud"], issuer);
  return {
    subject: sub,
    claims,
    ...(typeof jti === "string" && jti !== "" ? { tokenId: jti } : {}),
    expiresAt: new Date((exp + CLOCK_SKEW_SECONDS) * 1000),
  };
}

async function verifySignature(
  token: string,
  algorithm: JwsAlgorithm,
  kid: string | undefined,
  issuer: OidcIssuer,
  source: KeySource,
  now: () => Date,
): Promise<Record<string, unknown>> {
  const keys = await source.keys((known) => selectKey(known, kid, algorithm) !== undefined);
  const key = selectKey(keys, kid, algorithm);
  if (key === undefined) {
    const which =
      kid === undefined
        ? "it names no key (kid), and not just one would fit"
        : `its key ${quote(kid)} is not among the usable keys`;
    throw invalid(`${which} of issuer ${issuer.name}`, source.retryAfterSeconds());
  }
  try {
    const { payload } = await jwtVerify(token, await key.import(algorithm), {
      algorithms: [algorithm],
      issuer: issuer.issuer,
      requiredClaims: ["exp", "iat", "aud", "sub"],
      clockTolerance: CLOCK_SKEW_SECONDS,
      maxTokenAge: issuer.maxTokenLifetimeSeconds,
      currentDate: now(),
    });
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) {
      throw new BrokerError("token_expired", "the token has expired; get a new one from your CI and ask again");
    }
    if (error instanceof errors.JWSSignatureVerificationFailed) {
      throw invalid(`its signature does not verify with the key of issuer ${issuer.name}`);
    }
    if (error instanceof errors.JWTClaimValidationFailed) throw invalid(claimProblem(error.claim, error.reason));
    throw invalid("it could not be verified");
  }
}

function claimProblem(claim: string, reason: string): string {
  if (reason === "missing") return `it has no ${claim} claim`;
  if (claim === "nbf" || claim === "iat") return `it is not valid yet (${claim}); compare the clocks`;
  return `its ${claim} claim is not acceptable`;
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

function invalid(why: string, retryAfterSeconds?: number): BrokerError {
  return new BrokerError(
    "invalid_token",
    `the token was not accepted: ${why}`,
    retryAfterSeconds === undefined ? {} : { retryAfterSeconds },
  );
}
