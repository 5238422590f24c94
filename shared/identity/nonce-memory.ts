/**
 * Nonces of signed identities, each good for one acceptance. The memory is this process's own; STS keeps the one that all
 * instances share, since it refuses a nonce that it has accepted before. Its row of the cache table: docs/architecture.md.
 *
 * The order matters, because a nonce stands there before anybody has proved anything. While an identity is being verified
 * its nonce is taken, so that two equal ones cannot both pass. Only acceptance keeps it: whoever sends a forgery with
 * another's nonce must not use that nonce up. Where nobody knows what STS did (no answer, a broken one), nothing was
 * accepted here, so the nonce is free again and STS is the one to say whether it has seen it.
 */

import { BrokerError } from "../error.ts";

/** Kept for four minutes at most, and only of callers whose account is configured: 400 a second. */
const MOST_KEPT = 100_000;
/** Strangers can make the broker ask STS; this many at once, for 3 s at most. */
const MOST_IN_FLIGHT = 100;

export interface NonceMemory {
  /**
   * Runs `accept` unless the nonce was accepted before or is being verified; remembers it until `goodUntil` if `accept`
   * does not throw.
   * @throws BrokerError token_replayed, rate_limited, not_ready, or what `accept` throws
   */
  once<T>(accessKeyId: string, nonce: string, goodUntil: Date, accept: () => Promise<T>): Promise<T>;
}

export function nonceMemory(now: () => Date): NonceMemory {
  /** When each may be forgotten, in ms since the epoch. */
  const kept = new Map<string, number>();
  const inFlight = new Set<string>();

  function makeRoom(): void {
    if (kept.size + inFlight.size < MOST_KEPT) return;
    const time = now().getTime();
    // Strictly before: an identity is still good in the last millisecond of its window.
    for (const [key, until] of kept) if (until < time) kept.delete(key);
    if (kept.size + inFlight.size < MOST_KEPT) return;
    throw new BrokerError("not_ready", "too many signed identities to remember at once; try again", {
      retryAfterSeconds: 30,
    });
  }

  return {
    async once(accessKeyId, nonce, goodUntil, accept) {
      const key = `${accessKeyId} ${nonce}`;
      if (kept.has(key) || inFlight.has(key)) {
        throw new BrokerError(
          "token_replayed",
          "the signed identity's nonce was used before; sign a new one for each request",
        );
      }
      if (inFlight.size >= MOST_IN_FLIGHT) {
        throw new BrokerError("rate_limited", "too many signed identities are being verified; try again", {
          retryAfterSeconds: 1,
        });
      }
      makeRoom();
      inFlight.add(key);
      try {
        const result = await accept();
        kept.set(key, goodUntil.getTime());
        return result;
      } finally {
        inFlight.delete(key);
      }
    },
  };
}
