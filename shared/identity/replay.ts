/**
 * Replay protection for issuers with `replay: once`: a token identity (iss, jti) gets credentials once. The marks live in
 * this process: another instance of the function does not know of them.
 */

import { BrokerError } from "../error.ts";
import type { AuthenticatedPrincipal } from "./principal.ts";

export interface ReplayGuard {
  /**
   * Marks the token as used until it expires. Call `release` where nothing was issued after all, so that the caller may
   * try again with the same token.
   * @throws BrokerError token_replayed, token_expired, or invalid_token where there is no `jti` to remember
   */
  claim(principal: AuthenticatedPrincipal, issuer: string): { release(): void };
}

/** More marks than 10,000 pipelines leave behind in an hour; full, it refuses rather than forget one. */
const MOST_MARKS = 200_000;

export function replayGuard(now: () => Date): ReplayGuard {
  /** Expiry in ms since the epoch, by (iss, jti). */
  const used = new Map<string, number>();

  function sweep(time: number): void {
    for (const [key, expiresAt] of used) if (expiresAt <= time) used.delete(key);
  }

  return {
    claim(principal, issuer) {
      if (principal.tokenId === undefined) {
        throw new BrokerError(
          "invalid_token",
          `the token was not accepted: it has no jti, which issuer ${issuer} (replay: once) must give`,
        );
      }
      const time = now().getTime();
      // A mark that has expired already would mark nothing.
      if (principal.expiresAt.getTime() <= time)
        throw new BrokerError("token_expired", "the token has expired; get a new one from your CI and ask again");
      const key = JSON.stringify([issuer, principal.tokenId]);
      if ((used.get(key) ?? 0) > time) {
        throw new BrokerError(
          "token_replayed",
          "the token was used before; get a new one from your CI for each request",
        );
      }
      if (used.size >= MOST_MARKS) {
        sweep(time);
        if (used.size >= MOST_MARKS) {
          throw new BrokerError("not_ready", "too many tokens to remember at once; try again", {
            retryAfterSeconds: 30,
          });
        }
      }
      used.set(key, principal.expiresAt.getTime());
      return { release: () => used.delete(key) };
    },
  };
}
