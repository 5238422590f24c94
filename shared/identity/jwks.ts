/**
 * JSON Web Key Sets (RFC 7517): which keys of a set may verify an issuer's tokens. Keys that are weak, private, meant for
 * something else or ambiguous are left out; a token that names one of those is refused like one that names no key at all.
 */

import { KeyObject, type webcrypto } from "node:crypto";
import { importJWK, type JWK } from "jose";
import type { JwsAlgorithm } from "../config/config.ts";

/** More than any issuer has; each costs time at import. */
const MOST_KEYS = 50;

export interface VerificationKey {
  readonly kid: string | undefined;
  /** Whether this key can have made a signature by this algorithm. */
  fits(algorithm: JwsAlgorithm): boolean;
  /** Imports once for each algorithm. */
  import(algorithm: JwsAlgorithm): Promise<KeyObject>;
}

/** The usable keys of a set. @throws Error where it is no JWK set, or has more than 50 keys. */
export function usableKeys(jwks: unknown, algorithms: readonly JwsAlgorithm[]): readonly VerificationKey[] {
  const keys = isObject(jwks) ? jwks["keys"] : undefined;
  if (!Array.isArray(keys)) throw new Error("it is no JWK set: there is no list of keys");
  if (keys.length > MOST_KEYS) throw new Error(`it has more than ${MOST_KEYS} keys`);
  return keys
    .filter(isObject)
    .map((key) => ({ key, fitting: algorithms.filter((algorithm) => isUsable(key, algorithm)) }))
    .filter(({ fitting }) => fitting.length > 0)
    .map(({ key, fitting }) => verificationKey(key, fitting));
}

/** The key that a token's header points to; none where several fit, be it for want of a `kid` or because two share one. */
export function selectKey(
  keys: readonly VerificationKey[],
  kid: string | undefined,
  algorithm: JwsAlgorithm,
): VerificationKey | undefined {
  const fitting = keys.filter((key) => key.fits(algorithm) && (kid === undefined || key.kid === kid));
  return fitting.length === 1 ? fitting[0] : undefined;
}

/** `algorithms` are those that the key fits: found once, since every request asks. */
function verificationKey(jwk: Record<string, unknown>, algorithms: readonly JwsAlgorithm[]): VerificationKey {
  const imported = new Map<JwsAlgorithm, Promise<KeyObject>>();
  return {
    kid: jwk["kid"] as string | undefined,
    fits: (algorithm) => algorithms.includes(algorithm),
    import: (algorithm) => {
      const key = imported.get(algorithm) ?? importKey(publicPart(jwk), algorithm);
      imported.set(algorithm, key);
      return key;
    },
  };
}

/** By jose, which holds it to the algorithm: what it does not take verifies nothing. */
async function importKey(jwk: JWK, algorithm: JwsAlgorithm): Promise<KeyObject> {
  return KeyObject.from((await importJWK(jwk, algorithm)) as webcrypto.CryptoKey);
}

/** Only what the key is: `ext`, `key_ops` and certificates play no part in verification. */
function publicPart({ kty, n, e, crv, x, y }: Record<string, unknown>): JWK {
  return Object.fromEntries(Object.entries({ kty, n, e, crv, x, y }).filter(([, value]) => value !== undefined)) as JWK;
}

function isUsable(key: Record<string, unknown>, algorithm: JwsAlgorithm): boolean {
  const { kid, use, alg, key_ops: operations } = key;
  return (
    (kid === undefined || typeof kid === "string") &&
    (use === undefined || use === "sig") &&
    (alg === undefined || alg === algorithm) &&
    (operations === undefined || (Array.isArray(operations) && operations.includes("verify"))) &&
    // A private key in a public place is everybody's key.
    key["d"] === undefined &&
    hasRightType(key, algorithm)
  );
}

/** RFC 7518 section 3.1, RFC 8037 section 3.1. */
function hasRightType(key: Record<string, unknown>, algorithm: JwsAlgorithm): boolean {
  switch (algorithm) {
    case "RS256":
    case "RS384":
    case "RS512":
    case "PS256":
    case "PS384":
    case "PS512":
      return (
        key["kty"] === "RSA" &&
        bitLength(key["n"]) >= 2048 &&
        bitLength(key["e"]) >= 17 && // 65537 has 17 bits
        !isRoca(key["n"] as string)
      );
    case "ES256":
      return key["kty"] === "EC" && key["crv"] === "P-256";
    case "ES384":
      return key["kty"] === "EC" && key["crv"] === "P-384";
    case "ES512":
      return key["kty"] === "EC" && key["crv"] === "P-521";
    case "EdDSA":
      return key["kty"] === "OKP" && key["crv"] === "Ed25519";
  }
}

/** Bits of a base64url big-endian number, leading zeros left out; 0 where it is none. */
function bitLength(value: unknown): number {
  if (typeof value !== "string") return 0;
  const bytes = Buffer.from(value, "base64url");
  const first = bytes.findIndex((byte) => byte !== 0);
  return first === -1 ? 0 : (bytes.length - first) * 8 - Math.clz32(bytes[first] as number) + 24;
}

/** The primes up to 167 that tell something: modulo the others every number is a power of 65537. */
const ROCA_PRIMES = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

/**
 * Whether it looks like a key of Infineon's RSALib, whose private half can be computed (ROCA, CVE-2017-15361): modulo each
 * small prime its modulus is a power of 65537. So is one in some 2^27 of other keys.
 * https://crocs.fi.muni.cz/public/papers/rsa_ccs17, section 2.2
 */
function isRoca(n: string): boolean {
  const modulus = BigInt(`0x${Buffer.from(n, "base64url").toString("hex")}`);
  return ROCA_PRIMES.every((prime) => {
    const residue = Number(modulus % BigInt(prime));
    let power = 1;
    do {
      if (power === residue) return true;
      power = (power * 65537) % prime;
    } while (power !== 1);
    return false;
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
