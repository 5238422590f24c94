/**
 * Time, where the machine's own clock may be wrong. How old something is comes from whichever of two clocks says more: the wall
 * clock can be set back, the monotonic one stands still while a machine sleeps. What time it is comes from the broker's answers.
 */

import type { Outside } from "./outside.ts";

export interface Clock {
  /** Starts a stopwatch: milliseconds since now. */
  begin(): () => number;
  /** The broker's time, as far as it is known. */
  now(): Date;
  /** Takes note of an answer's Date header. */
  learn(headers: Headers): void;
}

/** Below this an answer's way explains the difference, and a signature does not mind it. */
const LEAST_DIFFERENCE_MS = 30_000;

export function clock({ now, monotonicMs }: Pick<Outside, "now" | "monotonicMs">): Clock {
  let aheadMs = 0;
  return {
    begin() {
      const [wall, monotonic] = [now().getTime(), monotonicMs()];
      return () => Math.max(now().getTime() - wall, monotonicMs() - monotonic);
    },
    now: () => new Date(now().getTime() + aheadMs),
    learn(headers) {
      const time = Date.parse(headers.get("date") ?? "");
      if (Number.isNaN(time)) return;
      const difference = time - now().getTime();
      aheadMs = Math.abs(difference) < LEAST_DIFFERENCE_MS ? 0 : difference;
    },
  };
}
