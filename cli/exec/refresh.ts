/** Keeps a login good while a command runs: a new one before the old one ends, however long that is. */

import type { Credentials } from "../../shared/client/credentials.ts";
import type { Outside } from "../../shared/client/outside.ts";

/** A machine that slept does not notice by a timer; so this looks at the clocks now and then. */
const LONGEST_PAUSE_MS = 30_000;
/** After a refresh has failed, twice as long each time: a token that has expired does not come back to life. */
const FIRST_RETRY_MS = 10_000;
const LONGEST_RETRY_MS = 60_000;

export type Life = Pick<Credentials, "isDue" | "expiresInSeconds" | "expiresAt" | "refreshAfter">;

export interface Refresh<C extends Life> {
  /** Asks for one that lives for so many seconds at least, so not for one that is kept. */
  readonly ask: (minTtlSeconds: number, signal: AbortSignal) => Promise<C>;
  readonly write: (credentials: C) => Promise<void>;
  /** Told once of each series of failures. */
  readonly failed: (error: unknown, current: C) => void;
  readonly sleep: Outside["sleep"];
}

/** Until `signal` is aborted; never rejects. */
export async function keepFresh<C extends Life>(first: C, refresh: Refresh<C>, signal: AbortSignal): Promise<void> {
  let [current, failures] = [first, 0];
  while (!signal.aborted) {
    try {
      await refresh.sleep(failures > 0 ? retryMs(failures) : pauseMs(current), signal);
      if (!current.isDue) continue;
      const next = await refresh.ask(current.expiresInSeconds + 1, signal);
      await refresh.write(next);
      [current, failures] = [next, 0];
    } catch (error) {
      if (signal.aborted) return;
      if (failures++ === 0) refresh.failed(error, current);
    }
  }
}

function retryMs(failures: number): number {
  return Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LONGEST_RETRY_MS);
}

function pauseMs({ isDue, expiresInSeconds, expiresAt, refreshAfter }: Life): number {
  if (isDue) return 0;
  const untilDue = expiresInSeconds * 1000 - (expiresAt.getTime() - refreshAfter.getTime());
  return Math.min(Math.max(untilDue, 1_000), LONGEST_PAUSE_MS);
}
