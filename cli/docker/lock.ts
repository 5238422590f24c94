/**
 * One process at a time edits a file. The lock is a file beside it that says who holds it. One that a dead process left is taken
 * away, by one process at a time too: else two could do it, the second taking the first's new lock.
 */

import { lstatSync, rmSync, writeFileSync } from "node:fs";
import type { Outside } from "../../shared/client/outside.ts";
import { UsageError } from "../command.ts";
import { readPlain } from "../own-files.ts";
import { ownerOf, processStamp } from "../process-stamp.ts";

const LONGEST_WAIT_MS = 30_000;
/** Held for milliseconds, or for as long as the broker takes. Who cannot be asked whether it runs, or was killed before it wrote who it is, has had its time by then. */
const STALE_MS = 15_000;
const LONGEST_PAUSE_MS = 20;
/** Of a stamp. */
const MOST_BYTES = 4096;

export type LockOutside = Pick<Outside, "now" | "monotonicMs" | "random" | "sleep">;

/** Runs `action`, which must end by itself and soon, while no other process holds `lock`. @throws UsageError after 30 s */
export async function withLock<T>(lock: string, outside: LockOutside, action: () => T | Promise<T>): Promise<T> {
  const { monotonicMs, random, sleep } = outside;
  const end = monotonicMs() + LONGEST_WAIT_MS;
  const { signal } = new AbortController();
  while (!take(lock)) {
    if (isStale(lock, outside)) clear(lock, outside);
    else if (monotonicMs() > end) throw new UsageError(tooLong(lock));
    await sleep(1 + random() * LONGEST_PAUSE_MS, signal);
  }
  try {
    return await action();
  } finally {
    rmSync(lock, { force: true });
  }
}

function take(lock: string): boolean {
  try {
    writeFileSync(lock, processStamp(), { mode: 0o600, flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** What has been let go of meanwhile is not stale. A link or a pipe, which somebody else has put there, becomes it. */
function isStale(lock: string, { now }: LockOutside): boolean {
  try {
    const owner = ownerOf(readPlain(lock, MOST_BYTES) ?? "");
    return owner === "gone" || (owner === "unknown" && now().getTime() - lstatSync(lock).mtimeMs > STALE_MS);
  } catch {
    return false;
  }
}

function clear(lock: string, outside: LockOutside): void {
  const clearing = `${lock}.clearing`;
  if (!take(clearing)) return;
  try {
    if (isStale(lock, outside)) rmSync(lock, { force: true });
  } finally {
    rmSync(clearing, { force: true });
  }
}

function tooLong(lock: string): string {
  return `${lock} has been there for ${LONGEST_WAIT_MS / 1000} s: another acr-broker is at work on the file beside it; if none is, delete ${lock} and ${lock}.clearing`;
}
