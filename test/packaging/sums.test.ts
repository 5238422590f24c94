/** SHA256SUMS of dist/, by coreutils. Needs `npm run build`. */

import { spawnSync } from "node:child_process";
import { appendFileSync, cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sums-"));
  cpSync(fileURLToPath(new URL("../../dist", import.meta.url)), folder, { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true }));

function lines(command: string): { status: number | null; lines: string[] } {
  const { status, stdout } = spawnSync("sh", ["-c", command], { cwd: folder, encoding: "utf8" });
  return { status, lines: stdout.split("\n").filter((line) => line !== "") };
}

test("sha256sum --check passes, and has looked at each file but the sums themselves", () => {
  const checked = lines("LC_ALL=C sha256sum --check --strict SHA256SUMS");
  const files = lines("find . -type f ! -name SHA256SUMS -printf '%P: OK\\n'").lines;
  expect(files.length).toBeGreaterThan(5);
  expect({ ...checked, lines: checked.lines.sort() }).toEqual({ status: 0, lines: files.sort() });
});

test("a byte more in one file fails it, and names the file", () => {
  appendFileSync(join(folder, "policy.cjs"), "\n");
  expect(lines("LC_ALL=C sha256sum --check --quiet SHA256SUMS")).toEqual({ status: 1, lines: ["policy.cjs: FAILED"] });
});
