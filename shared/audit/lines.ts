/**
 * Lines on their way to standard output, or to a second sink (sink.ts): in order, many at once where many come at once, and known to have been written. Node
 * alone promises nothing of the kind: into a pipe that is full it takes every line and keeps it in memory, as many as come.
 *
 * Written means that the kernel has taken a line: in Function Compute it is in the pipe to the platform's log agent then, and
 * outlives this process. What the agent makes of it is beyond us. A line waits for the end of the turn of the event loop, so that
 * all that were logged in it cost one call; whoever must not go on before, waits for `written`.
 */

import { BrokerError } from "../error.ts";

/** How long a write may take before those who wait for it are told so: longer than any hiccup, shorter than clients' patience. */
const LONGEST_WRITE_MS = 5_000;

/** Characters that wait behind a write which does not end; further ones are dropped, and nothing is issued. */
const MOST_WAITING = 1024 * 1024;

export interface Lines {
  write(line: string): void;
  /**
   * Resolves when all lines so far have been written.
   * @throws BrokerError not_ready where that takes longer than it may, fails, or a line was dropped
   */
  written(): Promise<void>;
  /** Takes what is still waiting, for a process that ends at once. */
  rest(): string;
}

export interface LinesOutside {
  /** Calls `done` when it has been written; with true where it could not be, and is given up. */
  readonly output: (text: string, done: (hasFailed?: boolean) => void) => void;
  /** Calls back at the end of this turn of the event loop. */
  readonly soon: (callback: () => void) => void;
  /** Calls back after so many ms, unless it is cancelled by what it answers. */
  readonly after: (ms: number, callback: () => void) => () => void;
  /** So many lines were dropped while nothing could be written; told when it can again. */
  readonly onDropped: (count: number) => void;
  /** Five seconds when left out. */
  readonly longestWriteMs?: number;
  /** A write takes longer than it may. */
  readonly onStuck?: () => void;
}

interface Batch {
  readonly written: Promise<void>;
  readonly settle: (error?: BrokerError) => void;
}

export function lines({
  output,
  soon,
  after,
  onDropped,
  longestWriteMs = LONGEST_WRITE_MS,
  onStuck,
}: LinesOutside): Lines {
  let waiting = "";
  let waitingBatch = batch();
  /** What is being written. */
  let writing: Batch | undefined;
  let isStuck = false;
  let isScheduled = false;
  let dropped = 0;

  function flush(): void {
    isScheduled = false;
    if (writing !== undefined || waiting === "") return;
    const [text, current] = [waiting, waitingBatch];
    [waiting, waitingBatch, writing] = ["", batch(), current];
    const cancel = after(longestWriteMs, () => {
      isStuck = true;
      onStuck?.();
      current.settle(unwritten());
      waitingBatch.settle(unwritten());
    });
    output(text, (hasFailed = false) => {
      cancel();
      writing = undefined;
      if (isStuck) waitingBatch = batch();
      isStuck = false;
      current.settle(hasFailed ? unwritten() : undefined);
      const count = dropped;
      dropped = 0;
      flush();
      if (count > 0) onDropped(count);
    });
  }

  return {
    write(line) {
      if (waiting.length + line.length > MOST_WAITING) {
        dropped++;
        return;
      }
      waiting += line;
      if (isScheduled || writing !== undefined) return;
      isScheduled = true;
      soon(flush);
    },
    async written() {
      if (isStuck || dropped > 0) throw unwritten();
      await (waiting === "" ? writing : waitingBatch)?.written;
    },
    rest() {
      const text = waiting;
      waiting = "";
      return text;
    },
  };
}

function batch(): Batch {
  let settle: Batch["settle"] = () => {};
  const written = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error));
  });
  written.catch(() => {}); // often nobody waits
  return { written, settle };
}

export function unwritten(): BrokerError {
  return new BrokerError(
    "not_ready",
    "what is decided cannot be recorded at the moment; try again, and tell the broker's operator if it stays so",
    {
      retryAfterSeconds: 5,
    },
  );
}
