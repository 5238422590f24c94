/**
 * Issued credentials that still live, and requests for one that are under way: equal rights are asked of the cloud once.
 * What counts as equal is in the key; see docs/architecture.md.
 */

import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";

export interface Credential {
  readonly username: string;
  readonly password: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  /** `sha256:` and the hex digest of the password: names it in logs without being it. */
  readonly fingerprint: string;
  readonly upstreamRequestIds: { readonly assumeRole: string; readonly authorizationToken: string };
}

/** `hit`: from the cache. `joined`: made for an equal request under way. `miss`: made for this one. */
export type CacheOutcome = "hit" | "joined" | "miss";

export interface CredentialCache {
  /**
   * A credential for `key` that lives for at least `minTtlSeconds` more, or one that is made; a failure is not kept.
   * `prepare` is called only where one has to be: requests share one that is being made where `means` are equal too, so
   * that nobody gets the failure of keys that are not his.
   */
  get(
    key: string,
    minTtlSeconds: number,
    prepare: () => { readonly means: string; make(): Promise<Credential> },
  ): Promise<{ credential: Credential; outcome: CacheOutcome }>;
}

/** Some 3 KB each, most of it the password. */
const MOST_CREDENTIALS = 5_000;

export function credentialCache(now: () => Date): CredentialCache {
  const kept = new LRUCache<string, Credential>({ max: MOST_CREDENTIALS });
  const underWay = new Map<string, Promise<Credential>>();

  return {
    async get(key, minTtlSeconds, prepare) {
      const known = kept.get(key);
      if (known !== undefined) {
        const left = (known.expiresAt.getTime() - now().getTime()) / 1000;
        if (left > 0 && left >= minTtlSeconds) return { credential: known, outcome: "hit" };
        if (left <= 0) kept.delete(key);
      }
      const { means, make } = prepare();
      const flight = `${key} ${means}`;
      const joined = underWay.get(flight);
      if (joined !== undefined) return { credential: await joined, outcome: "joined" };
      const making = make();
      underWay.set(flight, making);
      try {
        const credential = await making;
        kept.set(key, credential);
        return { credential, outcome: "miss" };
      } finally {
        underWay.delete(flight);
      }
    },
  };
}

/** One key for all that makes two credentials different. */
export function cacheKey(parts: readonly (string | number)[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
}
