/**
 * When a credential is renewed before it has to be: one that is given out again and again would otherwise have everybody wait
 * for the next at the moment when it is too old, and 10,000 jobs that began on the hour at the same moment. Begun by a request that was
 * decided just now and has its answer already, and by nothing else: what nobody is allowed any more, or asks for, ends.
 */

import type { Credential } from "./credential-cache.ts";

/** Given out so often from memory that it will probably be wanted again. */
const HOT_USES = 2;
/** Where a renewal came to nothing, or there was no turn for it. */
const PAUSE_MS = 10_000;

interface Uses {
  readonly share: number;
  count: number;
  /** In ms since the epoch. */
  notBefore: number;
}

export interface Renewals {
  /**
   * Counts that the credential was given out to one who needs it to live so long, and says whether it is to be renewed now; once
   * for each until `PAUSE_MS` are over.
   */
  given(credential: Credential, minTtlSeconds: number): boolean;
  /** What `given` would say, without counting. */
  isDue(credential: Credential, minTtlSeconds: number): boolean;
}

/** `random`: from 0 to below 1, drawn once for each credential, so that those made together are not renewed together. */
export function renewals(now: () => Date, random: () => number): Renewals {
  const known = new WeakMap<Credential, Uses>();

  function usesOf(credential: Credential): Uses {
    const uses = known.get(credential);
    if (uses !== undefined) return uses;
    // The last tenth to four tenths of the time in which it serves a caller.
    const first = { share: 0.1 + 0.3 * random(), count: 0, notBefore: 0 };
    known.set(credential, first);
    return first;
  }

  function isDue({ issuedAt, expiresAt }: Credential, minTtlSeconds: number, { share, notBefore }: Uses): boolean {
    const time = now().getTime();
    if (time < notBefore) return false;
    const servesUntil = expiresAt.getTime() - minTtlSeconds * 1000;
    return time >= servesUntil - share * (servesUntil - issuedAt.getTime());
  }

  return {
    given(credential, minTtlSeconds) {
      const uses = usesOf(credential);
      uses.count++;
      if (uses.count < HOT_USES || !isDue(credential, minTtlSeconds, uses)) return false;
      uses.notBefore = now().getTime() + PAUSE_MS;
      return true;
    },
    isDue(credential, minTtlSeconds) {
      const uses = usesOf(credential);
      return uses.count + 1 >= HOT_USES && isDue(credential, minTtlSeconds, uses);
    },
  };
}
