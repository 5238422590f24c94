/** Tries again what may pass by itself, inside one deadline. */

import { AcrBrokerError, ConnectionError } from "./errors.ts";
import type { Outside } from "./outside.ts";

const FIRST_BACKOFF_MS = 200;
const LONGEST_BACKOFF_MS = 5_000;

/**
 * Runs `attempt` until it succeeds, fails for good, or a further one would not begin before the deadline. Between two it waits as
 * long as the other side said, and for a random time on top (full jitter: the callers of one outage do not come back together).
 * The signal that `attempt` gets is aborted with `signal`, and at the deadline.
 * @throws what the last attempt threw; ConnectionError deadline_exceeded where that came first; the signal's reason
 */
export async function withinDeadline<T>(
  deadlineMs: number,
  signal: AbortSignal,
  { monotonicMs, random, sleep }: Outside,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const end = monotonicMs() + deadlineMs;
  const limit = new AbortController();
  let last: AcrBrokerError | undefined;
  const timer = setTimeout(() => limit.abort(exceeded(deadlineMs, last)), deadlineMs);
  const stop = () => limit.abort(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  // An identity function that does not look at its signal must not hold everybody up.
  const over = new Promise<never>((_, reject) => {
    limit.signal.addEventListener("abort", () => reject(limit.signal.reason), { once: true });
  });
  over.catch(() => {});
  try {
    for (let count = 1; ; count++) {
      try {
        return await Promise.race([attempt(limit.signal), over]);
      } catch (error) {
        if (limit.signal.aborted) throw limit.signal.reason;
        if (!(error instanceof AcrBrokerError) || !error.retryable) throw error;
        last = error;
      }
      const backoff = Math.min(FIRST_BACKOFF_MS * 2 ** count, LONGEST_BACKOFF_MS);
      const pause = (last.retryAfterSeconds ?? 0) * 1000 + random() * backoff;
      if (monotonicMs() + pause >= end) throw last;
      await sleep(pause, limit.signal);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

function exceeded(deadlineMs: number, last: AcrBrokerError | undefined): ConnectionError {
  const before = last === undefined ? "" : `; before that: ${last.message}`;
  return new ConnectionError("deadline_exceeded", `there was no answer within ${deadlineMs / 1000} s${before}`, {
    retryable: true,
  });
}
