import { mkdtempSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { privateFolder } from "../../../cli/exec/private-folder.ts";
import { ROOT } from "../run.ts";

// Temporary folders may well be in memory; a checkout is not.
const disk = mkdtempSync(join(ROOT, "node_modules/.private-folder-"));
const memory = mkdtempSync("/dev/shm/private-folder-");
afterAll(() => {
  for (const folder of [disk, memory]) rmSync(folder, { recursive: true });
});

let count = 0;
const terminal = {
  environment: {},
  userId: process.getuid?.(),
  now: () => new Date(),
  random: (bytes: number) => new Uint8Array(bytes).fill(count++),
};

test("it is in memory wherever there is such a place, and says so where there is none", () => {
  const found = privateFolder(terminal, [join(disk, "nowhere"), disk, memory]);
  expect([dirname(found.path), found.inMemory]).toEqual([memory, true]);
  const last = privateFolder(terminal, [join(disk, "nowhere"), disk]);
  expect([dirname(last.path), last.inMemory, statSync(last.path).mode & 0o777]).toEqual([disk, false, 0o700]);
});
