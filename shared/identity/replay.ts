/**
 * How often one token, known by (iss, jti), may be exchanged for credentials: once; any number of times for the same thing by
 * the same client (`bind`); so many times (`count`); or while it lives (`off`). The marks live in this process: another
 * instance of the function does not know of them.
 */

import type { Replay } from "../config/config.ts";
import { BrokerError } from "../error.ts";
import type { AuthenticatedPrincipal } from "./principal.ts";

export interface ReplayGuard {
  /**
   * Marks the token as used until it expires. `use` is what for and by whom, in one text. Call `release` where nothing was
   * issued after all, so that the caller may try again with the same token.
   * @throws BrokerError token_replayed, token_expired, or invalid_token where there is no `jti` to remember
   */
  claim(principal: AuthenticatedPrincipal, issuer: { name: string; replay: Replay }, use: string): { release(): void };
}

/** More marks than 10,000 pipelines leave behind in an hour; full, it refuses rather than forget one. */
const MOST_MARKS = 200_000;

interface Mark {
  /** In ms since the epoch: the token's own. */
  readonly expiresAt: number;
  /** What it was first used for. */
  readonly use: string;
  /** How often it has been used, or is being. */
  uses: number;
}

export function replayGuard(now: () => Date): ReplayGuard {
  const marks = new Map<string, Mark>();

  function makeRoom(time: number): void {
    if (marks.size < MOST_MARKS) return;
    for (const [key, { expiresAt }] of marks) if (expiresAt <= time) marks.delete(key);
    if (marks.size < MOST_MARKS) return;
    throw new BrokerError("not_ready", "too many tokens to remember at once; try again", { retryAfterSeconds: 30 });
  }

  return {
    claim(principal, { name, replay }, use) {
      if (replay === "off") return { release: () => {} };
      if (principal.tokenId === undefined) {
        throw new BrokerError(
          "invalid_token",
          `the token was not accepted: it has no jti, which issuer ${name} must give unless its replay is off`,
        );
      }
      const time = now().getTime();
      const expiresAt = principal.expiresAt.getTime();
      // A mark that has expired already would mark nothing.
      if (expiresAt <= time) {
        throw new BrokerError("token_expired", "the token has expired; get a new one from your CI and ask again");
      }
      const key = JSON.stringify([name, principal.member, principal.tokenId]);
      const known = marks.get(key);
      const mark = known !== undefined && known.expiresAt > time ? known : { expiresAt, use, uses: 0 };
      const problem = refusal(mark, replay, use);
      if (problem !== undefined) throw new BrokerError("token_replayed", problem);
      if (mark !== known) {
        makeRoom(time);
        marks.set(key, mark);
      }
      mark.uses++;
      return {
        release: () => {
          mark.uses--;
          if (mark.uses === 0 && marks.get(key) === mark) marks.delete(key);
        },
      };
    },
  };
}

function refusal(mark: Mark, replay: Exclude<Replay, "off">, use: string): string | undefined {
  if (replay === "bind") {
    return mark.uses === 0 || mark.use === use
      ? undefined
      : "the token was first used for something else or from elsewhere; get another for each set of scopes, or ask for all at once";
  }
  const most = replay === "once" ? 1 : replay.count;
  if (mark.uses < most) return undefined;
  return most === 1
    ? "the token was used before; get a new one from your CI for each request"
    : `the token was used ${most} times, which is as often as it may be; get a new one from your CI`;
}
