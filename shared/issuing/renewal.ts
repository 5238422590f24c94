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

export interface Renewals {
  /**
   * Counts that the credential was given out to one who needs it to live so long, and says whether it is to be renewed now; once
   * for each until `PAUSE_MS` are over.
   */
  given(credential: Credential, minTtlSeconds: number): boolean;
}

/** `random`: from 0 to below 1, drawn once for each credential, so that those made together are not renewed together. */
export function renewals(now: () => Date, random: () => number): Renewals {
  const known = new WeakMap<Credential, { readonly share: number; uses: number; notBefore: number }>();

  return {
    given(credential, minTtlSeconds) {
      const time = now().getTime();
      // The last tenth to four tenths of the time in which it serves such a caller.
      const it = known.get(credential) ?? { share: 0.1 + 0.3 * random(), uses: 0, notBefore: 0 };
      known.set(credential, it);
      it.uses++;
      if (it.uses < HOT_USES || time < it.notBefore) return false;
      const servesUntil = credential.expiresAt.getTime() - minTtlSeconds * 1000;
      if (time < servesUntil - it.share * (servesUntil - credential.issuedAt.getTime())) return false;
      it.notBefore = time + PAUSE_MS;
      return true;
    },
  };
}
