/** Uses of tokens as this process remembers them: another instance of the function does not know of them. */

import { BrokerError } from "../error.ts";
import { fairMemory } from "./fair-memory.ts";
import { digest, type ReplayStore } from "./replay.ts";

/** More marks than 10,000 pipelines leave behind in an hour; full, it refuses rather than forget one. One caller alone may have half. */
const MOST_MARKS = 200_000;

interface Mark {
  /** What it was first used for, as a digest. */
  readonly purpose: string;
  /** How often it has been used, or is being. */
  uses: number;
}

/** Its `use` throws BrokerError not_ready where it is full. */
export function memoryReplayStore(now: () => Date): ReplayStore {
  const marks = fairMemory<Mark>(MOST_MARKS);

  return {
    // Nothing in it waits, so two uses cannot meet halfway.
    async use({ issuer, tokenId, caller, expiresAt, purpose: whatFor, most }) {
      const time = now().getTime();
      // A jti may be 5 KB long and so may what is asked for: 200,000 of those would be more memory than there is.
      const key = digest(issuer, tokenId);
      const purpose = digest(whatFor);
      const known = marks.get(key, time);
      const mark = known ?? { purpose, uses: 0 };
      if (mark.uses > 0 && (most === "bound" ? mark.purpose !== purpose : mark.uses >= most)) return "refused";
      if (mark !== known) {
        if (!marks.keep(key, { owner: digest(caller), until: expiresAt, value: mark }, time)) {
          const why =
            "more tokens of yours are in use than this instance remembers at once; use each longer, or try again";
          throw new BrokerError("not_ready", why, { retryAfterSeconds: 30 });
        }
      }
      mark.uses++;
      return {
        async giveBack() {
          mark.uses--;
          if (mark.uses === 0 && marks.get(key, time) === mark) marks.delete(key);
        },
      };
    },
  };
}
