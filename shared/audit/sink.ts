/**
 * A second place for the audit events, beside standard output. No credential leaves before it has the event, or it leaves all the
 * same: that is the configuration's choice. What the sink does not take is not offered again: standard output has it, and one line
 * that the sink refuses would keep all later ones from it.
 */

import { type LinesOutside, lines, unwritten } from "./lines.ts";

/** How long a batch may take, and how long a credential waits for it at most, also where a batch before it took most of that. */
export const LONGEST_PUT_MS = 2_000;

/** That it fails is told that often at most: one that fails every other time shall not fill the log. */
const TOLD_EVERY_MS = 60_000;

/** Takes whole lines with their ends; of none it only sees whether it could. Answers with what is wrong, in words of ours; never throws. */
export type Put = (text: string) => Promise<string | undefined>;

export interface Sink {
  write(line: string): void;
  /**
   * Resolves when it has all lines so far, or does not have to.
   * @throws BrokerError not_ready where it has to and cannot, after two seconds at most
   */
  written(): Promise<void>;
  /** Whether it took what it was last offered. */
  isUp(): boolean;
}

export interface SinkParts extends Pick<LinesOutside, "soon" | "after"> {
  /** For people. */
  readonly name: string;
  readonly put: Put;
  /** What becomes of credentials while it does not take events. */
  readonly whenUnavailable: "refuse" | "continue";
  readonly warn: (message: string) => void;
  readonly now: () => Date;
}

export function sink({ name, put, whenUnavailable, warn, now, soon, after }: SinkParts): Sink {
  let isUp = true;
  let isTold = false;
  let toldAt = Number.NEGATIVE_INFINITY;
  /** Since the start. */
  let missing = 0;
  let toldMissing = 0;
  const mayTell = () => Math.abs(now().getTime() - toldAt) >= TOLD_EVERY_MS;

  function tell(what: string): void {
    toldMissing = missing;
    warn(`the audit sink (${name}) ${what}; ${missing} events since the start are on standard output alone`);
  }

  function failed(why: string): void {
    isUp = false;
    if (!mayTell()) return;
    toldAt = now().getTime();
    isTold = true;
    const credentials =
      whenUnavailable === "refuse" ? "no credential leaves until it does" : "credentials leave all the same";
    tell(`does not take events (${why}): ${credentials}`);
  }

  function took(): void {
    isUp = true;
    // Also of a failure that could not be told when it was.
    if (isTold || (missing > toldMissing && mayTell())) tell("takes events again");
    isTold = false;
  }

  const ready = put("").then((problem) => problem === undefined || failed(problem));
  const out = lines({
    soon,
    after,
    longestWriteMs: LONGEST_PUT_MS,
    output: (text, done) => {
      void ready
        .then(() => put(text))
        .then((problem) => {
          if (problem !== undefined) missing += text.split("\n").length - 1;
          done(problem !== undefined);
          if (problem === undefined) took();
          else failed(problem);
        });
    },
    onStuck: () => failed(`nothing within ${LONGEST_PUT_MS / 1000} s`),
    onDropped: (count) => {
      missing += count;
    },
  });

  function inTime(): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = after(LONGEST_PUT_MS, () => reject(unwritten()));
      void out.written().then(resolve, reject).finally(cancel);
    });
  }

  return {
    write: out.write,
    async written() {
      if (whenUnavailable === "refuse") return inTime();
      // One that is known to fail need not be waited for.
      if (isUp) await inTime().catch(() => {});
    },
    isUp: () => isUp,
  };
}
