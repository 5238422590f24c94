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
import { digestOf } from "./digest-table.ts";
import { fairMemory } from "./fair-memory.ts";

/** Kept for four minutes at most, and only of callers whose account is configured: 400 a second. */
const MOST_KEPT = 100_000;
/** Of all callers at once, for 3 s at most. */
const MOST_IN_FLIGHT = 200;
/** Anybody can make the broker ask STS, with an access key id that he made up. Those whose id was never accepted have half of the places. */
const MOST_STRANGERS = 100;
/** How many access key ids are known; the least recently accepted is forgotten first. */
const MOST_KNOWN = 10_000;

/** What of an identity says which one it is, and where it came from if that is known. */
export interface Signed {
  readonly accessKeyId: string;
  readonly nonce: string;
  readonly goodUntil: Date;
  readonly address: string | undefined;
}

export interface NonceMemory {
  /**
   * Runs `accept` unless the nonce was accepted before or is being verified; remembers it until `goodUntil` if `accept`
   * does not throw.
   * @throws BrokerError token_replayed, rate_limited, not_ready, or what `accept` throws
   */
  once<T>(signed: Signed, accept: () => Promise<T>): Promise<T>;
  /** How many are kept, those included that have expired and not made room yet. */
  kept(): number;
}

export function nonceMemory(now: () => Date): NonceMemory {
  const kept = fairMemory(MOST_KEPT);
  const inFlight = fairMemory(MOST_IN_FLIGHT);
  let strangers = 0;
  /** Access key ids that STS has vouched for, the last at the end. */
  const known = new Set<string>();

  function remember(accessKeyId: string): void {
    known.delete(accessKeyId);
    known.add(accessKeyId);
    const [oldest] = known;
    if (known.size > MOST_KNOWN && oldest !== undefined) known.delete(oldest);
  }

  return {
    kept: () => kept.size,
    async once({ accessKeyId, nonce, goodUntil, address }, accept) {
      const time = now().getTime();
      const key = digestOf(`${accessKeyId} ${nonce}`);
      if (kept.get(key, time) || inFlight.get(key, time)) {
        throw new BrokerError(
          "token_replayed",
          "the signed identity's nonce was used before; sign a new one for each request",
        );
      }
      const isStranger = !known.has(accessKeyId);
      const owner = digestOf(address ?? accessKeyId);
      const isTooMany = isStranger && strangers >= MOST_STRANGERS;
      // Taken out when it ends, and not by time.
      const taken = { owner, until: Number.POSITIVE_INFINITY };
      if (isTooMany || inFlight.keep(key, taken, time) === undefined) {
        throw new BrokerError("rate_limited", "too many signed identities are being verified; try again", {
          retryAfterSeconds: 1,
        });
      }
      if (isStranger) strangers++;
      try {
        // Before STS is asked: an identity that cannot be remembered must not be accepted there. One millisecond longer, since it is
        // still good in the last one of its window.
        if (kept.keep(key, { owner: digestOf(accessKeyId), until: goodUntil.getTime() + 1 }, time) === undefined) {
          const why = "more signed identities of yours are in use than this instance remembers at once; try again";
          throw new BrokerError("not_ready", why, { retryAfterSeconds: 30 });
        }
        const result = await accept();
        remember(accessKeyId);
        return result;
      } catch (error) {
        kept.delete(key);
        throw error;
      } finally {
        inFlight.delete(key);
        if (isStranger) strangers--;
      }
    },
  };
}
