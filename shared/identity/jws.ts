/**
 * JSON Web Signature (RFC 7515), compact: a text taken apart strictly before anything in it is believed, and its signature
 * verified with a key and an algorithm that the issuer's configuration chose. What the payload says is jwt.ts's business.
 */

import type { JwsAlgorithm, OidcIssuer } from "../config/config.ts";
import { BrokerError } from "../error.ts";
import { parseStrictJson } from "../json.ts";
import { quote } from "../policy/scope.ts";
import { selectKey, type VerificationKey } from "./jwks.ts";
import type { KeySource } from "./key-source.ts";
import { isSignatureOf } from "./signature.ts";

/** Longer texts are refused unread. Function Compute takes 8 KB of headers in all. */
const LONGEST = 8 * 1024;

/** Header parameters that bring a key or ask for processing that is not done here (RFC 7515 section 4.1, RFC 7797). */
const REFUSED_HEADERS = ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"];

export interface UnverifiedJws {
  /** Header and payload, as they came: what is signed. */
  readonly signed: string;
  readonly signature: Uint8Array;
  readonly algorithm: string;
  readonly kid: string | undefined;
  readonly type: string | undefined;
  /** Whatever it is; believed only once `verifyJws` has returned. */
  readonly payload: Uint8Array;
}

/**
 * Takes a text apart without believing it. Each part must be base64url without padding that re-encodes to the same text:
 * otherwise one signature would go with several texts, and what is remembered by text could be sidestepped.
 * @throws BrokerError invalid_token
 */
export function parseJws(text: string): UnverifiedJws {
  if (text.length > LONGEST) throw invalidToken(`it is longer than ${LONGEST} characters`);
  const parts = text.split(".", 4);
  if (parts.length !== 3) throw invalidToken("it does not have the three parts of a signed JWT");
  const [first, second, third] = parts as [string, string, string];
  const header = parseObject(decodePart(first, "header"), "header");
  const payload = decodePart(second, "payload");
  const signature = decodePart(third, "signature");

  const refused = REFUSED_HEADERS.find((name) => Object.hasOwn(header, name));
  if (refused !== undefined) throw invalidToken(`its header has ${refused}, which is not accepted here`);
  const { typ, alg, kid } = header;
  if (typ !== undefined && typeof typ !== "string") throw invalidToken("its header's typ is not a string");
  if (typeof alg !== "string") throw invalidToken("its header has no alg");
  if (kid !== undefined && typeof kid !== "string") throw invalidToken("its header's kid is not a string");
  return { signed: `${first}.${second}`, signature, algorithm: alg, kid, type: typ, payload };
}

function decodePart(text: string, name: string): Buffer {
  if (text === "") throw invalidToken(`its ${name} is empty`);
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") !== text) throw invalidToken(`its ${name} is not canonical base64url`);
  return bytes;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The JSON object in `bytes`. @throws BrokerError invalid_token where there is no UTF-8, no JSON, or another value */
export function parseObject(bytes: Uint8Array, name: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseStrictJson(utf8.decode(bytes));
  } catch (error) {
    throw invalidToken(`its ${name}: ${error instanceof SyntaxError ? error.message : "it is not UTF-8"}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalidToken(`its ${name} is not an object`);
  return value as Record<string, unknown>;
}

/**
 * The one key of the issuer that the header points to, and the algorithm: the header only chooses among the issuer's own.
 * @throws BrokerError invalid_token, issuer_unavailable
 */
export async function keyOf(
  { algorithm: claimed, kid }: Pick<UnverifiedJws, "algorithm" | "kid">,
  { name, algorithms }: Pick<OidcIssuer, "name" | "algorithms">,
  source: KeySource,
): Promise<{ key: VerificationKey; algorithm: JwsAlgorithm }> {
  const algorithm = algorithms.find((allowed) => allowed === claimed);
  if (algorithm === undefined) {
    throw invalidToken(`it is signed with ${quote(claimed)}; issuer ${name} may use ${algorithms.join(", ")}`);
  }
  const keys = await source.keys((known) => selectKey(known, kid, algorithm) !== undefined);
  const key = selectKey(keys, kid, algorithm);
  if (key === undefined) {
    const which =
      kid === undefined
        ? "it names no key (kid), and not just one would fit"
        : `its key ${quote(kid)} is not among the usable keys`;
    throw invalidToken(`${which} of issuer ${name}`, source.retryAfterSeconds());
  }
  return { key, algorithm };
}

/**
 * Verifies the signature and answers the key that it is by; when it returns, the payload is the issuer's word.
 * @throws BrokerError invalid_token, issuer_unavailable
 */
export async function verifyJws(
  jws: UnverifiedJws,
  issuer: Pick<OidcIssuer, "name" | "algorithms">,
  source: KeySource,
): Promise<VerificationKey> {
  const { key, algorithm } = await keyOf(jws, issuer, source);
  let isRight: boolean;
  try {
    const signed = Buffer.from(jws.signed, "latin1");
    isRight = isSignatureOf(signed, jws.signature, await key.import(algorithm), algorithm);
  } catch {
    throw invalidToken("it could not be verified");
  }
  if (!isRight) throw invalidToken(`its signature does not verify with the key of issuer ${issuer.name}`);
  return key;
}

/** A refusal of the whole token; `why` ends the sentence, and says what to change where the caller can. */
export function invalidToken(why: string, retryAfterSeconds?: number): BrokerError {
  return new BrokerError(
    "invalid_token",
    `the token was not accepted: ${why}`,
    retryAfterSeconds === undefined ? {} : { retryAfterSeconds },
  );
}
