/**
 * How often one token, known by (iss, jti), may be exchanged for credentials: once; any number of times for the same thing by
 * the same client (`bind`); so many times (`count`); or while it lives (`off`). Where that is remembered is the store's
 * business: replay-memory.ts, replay-redis.ts.
 */

import { createHash } from "node:crypto";
import type { Replay } from "../config/config.ts";
import { BrokerError } from "../error.ts";
import { type AuthenticatedPrincipal, principalName } from "./principal.ts";

export interface ReplayGuard {
  /**
   * Marks the token as used until it expires. `use` is what for and by whom, in one text. Call `release` where nothing was
   * issued after all, so that the caller may try again with the same token; it never rejects.
   * @throws BrokerError token_replayed, token_expired, invalid_token where there is no `jti` to remember, or not_ready
   */
  claim(
    principal: AuthenticatedPrincipal,
    issuer: { readonly name: string; readonly replay: Replay },
    use: string,
  ): Promise<{ release(): Promise<void> }>;
}

/** One use of one token. */
export interface TokenUse {
  /** The token's `iss`. */
  readonly issuer: string;
  readonly tokenId: string;
  /** Whose it is: nobody may fill the memory that all share. */
  readonly caller: string;
  /** The token's own end, in ms since the epoch; in the future. Until then every use of it counts. */
  readonly expiresAt: number;
  readonly purpose: string;
  /** How often the token may be used in all; `bound`: without end, but only for what it was first used for. */
  readonly most: number | "bound";
}

/** What stands for texts of any length in a store: who reads it learns none of them, and none of them can fill it. */
export function digest(...parts: string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
}

/** Two uses of one token at once never both pass where only one may. */
export interface ReplayStore {
  /** Counts the use, or refuses it. `giveBack` undoes exactly that, once; it never rejects. */
  use(use: TokenUse): Promise<{ giveBack(): Promise<void> } | "refused" | "unavailable">;
}

export function replayGuard(now: () => Date, store: ReplayStore): ReplayGuard {
  return {
    async claim(principal, { name, replay }, purpose) {
      if (replay === "off") return { release: async () => {} };
      if (principal.tokenId === undefined) {
        throw new BrokerError(
          "invalid_token",
          `the token was not accepted: it has no jti, which issuer ${name} must give unless its replay is off`,
        );
      }
      const expiresAt = principal.expiresAt.getTime();
      // A mark that has expired already would mark nothing.
      if (expiresAt <= now().getTime()) {
        throw new BrokerError("token_expired", "the token has expired; get a new one from your CI and ask again");
      }
      const most = replay === "once" ? 1 : replay === "bind" ? "bound" : replay.count;
      const taken = await store.use({
        issuer: String(principal.claims["iss"]),
        tokenId: principal.tokenId,
        caller: principalName(principal),
        expiresAt,
        purpose,
        most,
      });
      if (taken === "refused") throw new BrokerError("token_replayed", refusal(replay));
      if (taken === "unavailable") {
        throw new BrokerError("not_ready", "how often the token was used cannot be counted at the moment; try again", {
          retryAfterSeconds: 2,
        });
      }
      return { release: taken.giveBack };
    },
  };
}

/**
 * What this instance remembers first, then what all share, so that a failure of the shared one does not make this instance
 * forget. `whenUnavailable` says what that failure means: go on with the first alone, or not at all.
 */
export function ownThenShared(
  own: ReplayStore,
  shared: ReplayStore,
  whenUnavailable: "memory" | "refuse",
): ReplayStore {
  return {
    async use(use) {
      const mine = await own.use(use);
      if (typeof mine === "string") return mine;
      const ours = await shared.use(use);
      if (ours === "unavailable" && whenUnavailable === "memory") return mine;
      if (typeof ours === "string") {
        await mine.giveBack();
        return ours;
      }
      return {
        async giveBack() {
          await Promise.all([mine.giveBack(), ours.giveBack()]);
        },
      };
    },
  };
}

function refusal(replay: Exclude<Replay, "off">): string {
  if (replay === "bind") {
    return "the token was first used for something else or from elsewhere; get another for each set of scopes, or ask for all at once";
  }
  return replay === "once"
    ? "the token was used before; get a new one from your CI for each request"
    : `the token was used ${replay.count} times, which is as often as it may be; get a new one from your CI`;
}
