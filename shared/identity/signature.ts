/**
 * Whether a signature is of a text and a key, by the algorithms of RFC 7518 section 3 and RFC 8037. OpenSSL decides, called at
 * once on this thread: WebCrypto, which jose calls, hands each to a thread pool, and on one core that costs several times what
 * the signature does. The key has been imported by jose for the same algorithm; nothing here is taken from a token.
 */

import { constants, type KeyObject, verify } from "node:crypto";
import type { JwsAlgorithm } from "../config/config.ts";

/** The digest; and of the elliptic curves how long a signature is, both of its numbers at full length (section 3.4). */
const PARAMETERS: Readonly<Record<JwsAlgorithm, { readonly digest: string | null; readonly bytes?: number }>> = {
  RS256: { digest: "sha256" },
  RS384: { digest: "sha384" },
  RS512: { digest: "sha512" },
  PS256: { digest: "sha256" },
  PS384: { digest: "sha384" },
  PS512: { digest: "sha512" },
  ES256: { digest: "sha256", bytes: 64 },
  ES384: { digest: "sha384", bytes: 96 },
  ES512: { digest: "sha512", bytes: 132 },
  // The curve's own: SHA-512, twice.
  EdDSA: { digest: null, bytes: 64 },
};

/** @throws Error where OpenSSL cannot use the key or the signature at all, which is no better than `false` */
export function isSignatureOf(
  signed: Uint8Array,
  signature: Uint8Array,
  key: KeyObject,
  algorithm: JwsAlgorithm,
): boolean {
  const { digest, bytes } = PARAMETERS[algorithm];
  if (bytes !== undefined && signature.byteLength !== bytes) return false;
  return verify(digest, signed, { key, ...options(algorithm) }, signature);
}

function options(algorithm: JwsAlgorithm) {
  switch (algorithm.slice(0, 2)) {
    case "RS":
      return { padding: constants.RSA_PKCS1_PADDING };
    case "PS":
      // Section 3.5: the salt is as long as the digest, and not whatever the signature says.
      return { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
    case "ES":
      return { dsaEncoding: "ieee-p1363" as const };
    default:
      return {};
  }
}
