/**
 * Issued credentials that still live, and requests for one that are under way: equal rights are asked of the cloud once.
 * What counts as equal is in the key; see docs/architecture.md.
 */

import { createHash } from "node:crypto";
import { BrokerError } from "../error.ts";
import { recent } from "../recent.ts";
import type { Renewals } from "./renewal.ts";

export interface Credential {
  readonly username: string;
  readonly password: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  /** `sha256:` and the hex digest of the password: names it in logs without being it. */
  readonly fingerprint: string;
  readonly upstreamRequestIds: { readonly assumeRole: string; readonly authorizationToken: string };
}

/**
 * `hit`: from this instance's memory. `shared_hit`: from what all instances share. `joined`: found or made for an equal request
 * under way in this instance. `shared_joined`: made by another instance meanwhile. `miss`: made for this one. `outage_hit`: from this
 * instance's memory, and older than it would be, since the cloud does not answer.
 */
export type CacheOutcome = "hit" | "shared_hit" | "joined" | "shared_joined" | "miss" | "outage_hit";

/** Seconds, both. */
export interface WantedLife {
  /** How long it must live yet. */
  readonly minTtlSeconds: number;
  /** How long one can live yet that was made for these rights. */
  readonly longestSeconds: number;
}

/** One that another instance left for all, or what `make` gives. Rejects only as `make` does. */
export type FindOrMake = (
  key: string,
  wanted: WantedLife,
  make: () => Promise<Credential>,
) => Promise<{ credential: Credential; outcome: "shared_hit" | "shared_joined" | "miss" }>;

export interface Renew {
  readonly longestSeconds: number;
  make(): Promise<Credential>;
}

export interface CredentialCache {
  /**
   * A credential for `key` that lives for at least `minTtlSeconds` more, or one that is made; a failure is not kept. Where the
   * cloud does not answer, and `orWhatLives`: the one in memory as long as it lives.
   * `prepare` is called only where memory has none: requests share one that is being made where `means` are equal too, so
   * that nobody gets the failure of keys that are not his. `renew` is called beside an answer from memory that is ageing, to make
   * one in its place, and has recorded what came of it itself.
   */
  get(
    key: string,
    wanted: { readonly minTtlSeconds: number; readonly orWhatLives?: boolean },
    prepare: () => { readonly means: string; readonly longestSeconds: number; make(): Promise<Credential> },
    renew?: Renew,
  ): Promise<{ credential: Credential; outcome: CacheOutcome }>;
  /** What `get` would answer from memory, counted as given out, where it would do nothing beside; else undefined. */
  hit(key: string, minTtlSeconds: number): Credential | undefined;
}

/** Some 3 KB each, most of it the password. */
const MOST_CREDENTIALS = 5_000;
/** Of all user names and passwords: an answer of the cloud's may have 64 KiB (alibaba/sdk.ts), and 5,000 of those would be more memory than there is. */
const MOST_CHARACTERS = 16 * 1024 * 1024;

/** `findOrMake`: where instances share theirs; each makes its own when left out. `renewals`: none is renewed when left out. */
export function credentialCache(
  now: () => Date,
  findOrMake: FindOrMake = makeOnly,
  renewals?: Renewals,
  mostCharacters = MOST_CHARACTERS,
): CredentialCache {
  const kept = recent<Credential>(MOST_CREDENTIALS, mostCharacters);
  const underWay = new Map<string, ReturnType<FindOrMake>>();
  const keep = (key: string, credential: Credential) =>
    kept.set(key, credential, credential.username.length + credential.password.length);

  /** One that lives longer: which another instance has made meanwhile, or a new one. */
  async function renewBeside(key: string, known: Credential, { longestSeconds, make }: Renew): Promise<void> {
    const wanted = { minTtlSeconds: secondsLeft(known, now()) + 1, longestSeconds };
    keep(key, (await findOrMake(key, wanted, make)).credential);
  }

  const find: CredentialCache["get"] = async (key, wanted, prepare, renew) => {
    const { minTtlSeconds } = wanted;
    const known = kept.get(key);
    if (known !== undefined) {
      if (serves(known, minTtlSeconds, now())) {
        // Where it fails, the next request for it tries again, and nobody waits.
        if (renew && renewals?.given(known, minTtlSeconds)) renewBeside(key, known, renew).catch(() => {});
        return { credential: known, outcome: "hit" };
      }
      if (secondsLeft(known, now()) <= 0) kept.delete(key);
    }
    const { means, longestSeconds, make } = prepare();
    const flight = `${key} ${means}`;
    const joined = underWay.get(flight);
    if (joined !== undefined) {
      const { credential, outcome } = await joined;
      // None can be newer than one just made; one that was found may be too old for this request.
      if (outcome === "miss" || serves(credential, minTtlSeconds, now())) return { credential, outcome: "joined" };
      return find(key, wanted, prepare, renew);
    }
    const making = findOrMake(key, { minTtlSeconds, longestSeconds }, make);
    underWay.set(flight, making);
    try {
      const found = await making;
      keep(key, found.credential);
      return found;
    } finally {
      underWay.delete(flight);
    }
  };

  return {
    hit(key, minTtlSeconds) {
      const known = kept.get(key);
      if (known === undefined || !serves(known, minTtlSeconds, now())) return undefined;
      if (renewals?.isDue(known, minTtlSeconds)) return undefined;
      renewals?.given(known, minTtlSeconds);
      return known;
    },
    async get(key, wanted, prepare, renew) {
      try {
        return await find(key, wanted, prepare, renew);
      } catch (error) {
        // As it is now: it may have ended while the cloud was asked.
        const known = wanted.orWhatLives && isOutage(error) ? kept.get(key) : undefined;
        if (known === undefined || !serves(known, 0, now())) throw error;
        return { credential: known, outcome: "outage_hit" };
      }
    },
  };
}

/** A refusal is none: what the cloud takes back must end. */
function isOutage(error: unknown): boolean {
  return error instanceof BrokerError && ["upstream_unavailable", "upstream_timeout"].includes(error.code);
}

const makeOnly: FindOrMake = async (_key, _wanted, make) => ({ credential: await make(), outcome: "miss" });

/** Negative where it has ended. */
export function secondsLeft({ expiresAt }: Credential, now: Date): number {
  return (expiresAt.getTime() - now.getTime()) / 1000;
}

export function serves(credential: Credential, minTtlSeconds: number, now: Date): boolean {
  const left = secondsLeft(credential, now);
  return left > 0 && left >= minTtlSeconds;
}

export function fingerprintOf(password: string): string {
  return `sha256:${createHash("sha256").update(password).digest("hex")}`;
}

/** One key for all that makes two credentials different. */
export function cacheKey(parts: readonly (string | number)[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
}
