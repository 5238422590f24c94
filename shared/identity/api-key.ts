/**
 * API keys, `abk_<name>_<secret>`: for scripts that have no identity of their own to prove. The configuration holds the name
 * and the SHA-256 of the whole key, never the key.
 *
 * No slow hash (bcrypt, Argon2): those make guessing dear where there are few things to guess, as with passwords. The secret
 * is 256 random bits, of which a trillion guesses a second would need 10^57 years; and whoever sends wrong keys would have the
 * broker do the slow work. That holds for random secrets alone, so the form is exactly that of `newApiKey`: what somebody
 * made up is refused even where its digest is configured.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import { networks } from "../address.ts";
import type { ApiKey } from "../config/config.ts";
import { BrokerError } from "../error.ts";
import type { AuthenticatedPrincipal } from "./principal.ts";

/** As every name in broker.yaml; without `_`, so that a key comes apart in one way. */
export const API_KEY_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

/**
 * The name; then 64 lower-case hex digits, which is what `openssl rand -hex 32` makes too.
 * One key has one spelling. Secret scanners may search for this.
 */
const FORM = /^abk_([a-z0-9][a-z0-9-]{0,62})_[0-9a-f]{64}$/;
const SECRET_BYTES = 32;

/** Stands in for the digest of a key that there is not, so that an unknown name takes the same steps as a wrong secret. */
const NO_DIGEST = Buffer.alloc(32);

export interface ApiKeys {
  /**
   * Who holds the key. `address` is where the request came from, undefined where that is not known for certain.
   * @throws BrokerError invalid_api_key; only to whoever sent the right secret does it say more than that
   */
  verify(key: string, address: string | undefined, now: Date): AuthenticatedPrincipal;
}

export function apiKeys(configured: ReadonlyMap<string, ApiKey>): ApiKeys {
  const holders = new Map(
    [...configured].map(([name, key]) => [name, { key, digest: Buffer.from(key.sha256, "hex") }]),
  );

  return {
    verify(presented, address, now) {
      const name = FORM.exec(presented)?.[1];
      if (name === undefined) {
        throw refused(
          "it is not abk_<name>_<64 hex digits in lower case>; send the whole key, as acr-broker key new printed it",
        );
      }
      const holder = holders.get(name);
      const isRight = timingSafeEqual(digest(presented), holder?.digest ?? NO_DIGEST);
      if (holder === undefined || !isRight) {
        throw refused("the broker does not know it, or no longer; ask its operator for a new one");
      }
      const { key } = holder;
      const problem = keyProblem(key, address, now);
      if (problem !== undefined) throw refused(problem);
      return { source: { apiKey: name }, subject: name, claims: {}, expiresAt: key.expires };
    },
  };
}

/** Why its holder may not use the key from there and then; `now` left out: whenever it has not expired. */
export function keyProblem(
  { name, expires, cidrs }: ApiKey,
  address: string | undefined,
  now: Date | undefined,
): string | undefined {
  if (now !== undefined && expires <= now) {
    return `${name} expired at ${expires.toISOString()}; ask the broker's operator for a new one (acr-broker key new)`;
  }
  if (cidrs.length === 0) return undefined;
  if (address === undefined) {
    return `${name} may be used from certain networks only (cidrs), and this broker cannot tell where a request comes from; its operator must name the header that his gateway sets (client_address), or take cidrs out`;
  }
  return networks(cidrs).includes(address)
    ? undefined
    : `${name} may not be used from ${address}, which is in none of its cidrs`;
}

/** What its holder is told. */
export function refusedKey(why: string): string {
  return `the API key was not accepted: ${why}`;
}

/** A key, shown once to whoever will hold it, and what broker.yaml keeps of it. */
export interface NewApiKey {
  readonly key: string;
  /** Hex SHA-256 of the whole key. */
  readonly sha256: string;
  /** Its last four digits: tells two keys of one script apart. The 240 bits before them stay secret. */
  readonly last4: string;
}

/**
 * Makes a key. `random` gives that many random bytes of a cryptographic source.
 * @throws TypeError where the name is none, or `random` gives something else
 */
export function newApiKey(name: string, random: (bytes: number) => Uint8Array): NewApiKey {
  const bytes = random(SECRET_BYTES);
  const key = `abk_${name}_${Buffer.from(bytes).toString("hex")}`;
  if (!FORM.test(key)) throw new TypeError("not a name and 32 random bytes");
  return { key, sha256: digest(key).toString("hex"), last4: key.slice(-4) };
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

function refused(why: string): BrokerError {
  return new BrokerError("invalid_api_key", refusedKey(why));
}
