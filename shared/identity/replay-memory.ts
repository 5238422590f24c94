/** Uses of tokens as this process remembers them: another instance of the function does not know of them. */

import { BrokerError } from "../error.ts";
import { digestOf } from "./digest-table.ts";
import { fairMemory } from "./fair-memory.ts";
import type { ReplayStore } from "./replay.ts";

/** More marks than 10,000 pipelines leave behind in an hour; full, it refuses rather than forget one. One caller alone may have half. */
const MOST_MARKS = 200_000;

/** Its `use` throws BrokerError not_ready where it is full. */
export function memoryReplayStore(now: () => Date): ReplayStore & { marks(): number } {
  const marks = fairMemory(MOST_MARKS);

  return {
    /** How many are kept, those included that have expired and not made room yet. */
    marks: () => marks.size,
    // Nothing in it waits, so two uses cannot meet halfway.
    async use({ issuer, tokenId, caller, expiresAt, purpose, most }) {
      const time = now().getTime();
      const key = digestOf(JSON.stringify([issuer, tokenId]));
      const note = digestOf(purpose);
      const known = marks.get(key, time, note);
      if (known && (most === "bound" ? !known.isNoted : known.uses >= most)) return "refused";
      const id = known?.id ?? marks.keep(key, { owner: digestOf(caller), until: expiresAt, note }, time);
      if (id === undefined) {
        const why =
          "more tokens of yours are in use than this instance remembers at once; use each longer, or try again";
        throw new BrokerError("not_ready", why, { retryAfterSeconds: 30 });
      }
      marks.count(key, id, 1);
      return {
        async giveBack() {
          marks.count(key, id, -1);
        },
      };
    },
  };
}
