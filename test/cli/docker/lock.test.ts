/** The lock beside a file, where somebody else can write there too. */

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { withLock } from "../../../cli/docker/lock.ts";

const folder = mkdtempSync(join(tmpdir(), "acr-lock-"));
afterAll(() => rmSync(folder, { recursive: true }));

test.each<[what: string, put: (lock: string) => void]>([
  ["a pipe, which nobody could read", (lock) => execFileSync("mkfifo", [lock])],
  ["a link to nothing", (lock) => symlinkSync("/nowhere/at/all", lock)],
  ["a link to what has no end", (lock) => symlinkSync("/dev/zero", lock)],
])("in the place of a lock %s is taken away like a lock that was left", async (what, put) => {
  const lock = join(folder, what.replaceAll(" ", "-"));
  put(lock);
  let ms = Date.now();
  const outside = {
    now: () => new Date(ms),
    monotonicMs: () => ms,
    random: () => 0,
    sleep: async () => {
      ms += 1_000;
    },
  };
  const held = await withLock(lock, outside, () => existsSync(lock));
  expect(held).toBe(true);
  expect(existsSync(lock)).toBe(false);
});
