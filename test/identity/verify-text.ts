/** The production path of a signature, for tests that have a key and a text, and no token. */

import type { JwsAlgorithm, OidcIssuer } from "../../shared/config/config.ts";
import { parseJws, verifyJws } from "../../shared/identity/jws.ts";
import { keySource } from "../../shared/identity/key-source.ts";

/** All that an issuer can be configured with. */
export const ALL_ALGORITHMS: readonly JwsAlgorithm[] = [
  ...(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] as const),
  ...(["ES256", "ES384", "ES512", "EdDSA"] as const),
];

/**
 * Verifies `text` with the keys of an issuer of that key set; answers the payload.
 * @throws BrokerError as a caller would get it; Error where `keys` are too many for a key set
 */
export async function verifyText(text: string, keys: readonly unknown[], algorithms = ALL_ALGORITHMS): Promise<string> {
  const issuer: OidcIssuer = {
    name: "tested",
    provider: "generic",
    issuer: "https://issuer.example",
    audience: "https://broker.example",
    algorithms,
    keys: { from: "file", path: "keys.json", jwks: { keys } },
    maxTokenLifetimeSeconds: 3600,
    replay: "off",
  };
  const noNetwork = () => Promise.reject(new Error("a pinned issuer is never fetched from"));
  const jws = parseJws(text);
  await verifyJws(
    jws,
    issuer,
    keySource(issuer, noNetwork, () => new Date(0)),
  );
  return Buffer.from(jws.payload).toString();
}
