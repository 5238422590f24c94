/** Uses of tokens as this process remembers them: another instance of the function does not know of them. */

import { BrokerError } from "../error.ts";
import { digest, type ReplayStore } from "./replay.ts";

/** More marks than 10,000 pipelines leave behind in an hour; full, it refuses rather than forget one. */
const MOST_MARKS = 200_000;

interface Mark {
  /** In ms since the epoch: the token's own. */
  readonly expiresAt: number;
  /** What it was first used for, as a digest. */
  readonly purpose: string;
  /** How often it has been used, or is being. */
  uses: number;
}

/** Its `use` throws BrokerError not_ready where it is full. */
export function memoryReplayStore(now: () => Date): ReplayStore {
  const marks = new Map<string, Mark>();

  function makeRoom(time: number): void {
    if (marks.size < MOST_MARKS) return;
    for (const [key, { expiresAt }] of marks) if (expiresAt <= time) marks.delete(key);
    if (marks.size < MOST_MARKS) return;
    throw new BrokerError("not_ready", "too many tokens to remember at once; try again", { retryAfterSeconds: 30 });
  }

  return {
    // Nothing in it waits, so two uses cannot meet halfway.
    async use({ issuer, tokenId, expiresAt, purpose: whatFor, most }) {
      const time = now().getTime();
      // A jti may be 5 KB long and so may what is asked for: 200,000 of those would be more memory than there is.
      const key = digest(issuer, tokenId);
      const purpose = digest(whatFor);
      const known = marks.get(key);
      const mark = known !== undefined && known.expiresAt > time ? known : { expiresAt, purpose, uses: 0 };
      if (mark.uses > 0 && (most === "bound" ? mark.purpose !== purpose : mark.uses >= most)) return "refused";
      if (mark !== known) {
        makeRoom(time);
        marks.set(key, mark);
      }
      mark.uses++;
      return {
        async giveBack() {
          mark.uses--;
          if (mark.uses === 0 && marks.get(key) === mark) marks.delete(key);
        },
      };
    },
  };
}
