/** The command itself: `npm run bench`. */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

function bench(...args: string[]) {
  const command = ["--import", "tsx", "bench/run.ts", ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: ROOT, encoding: "utf8" });
  return { status, stdout, told: stderr.trim() };
}

test("several builds stand in one table, and nothing is written of them", () => {
  const written = () => readFileSync(join(ROOT, "bench/results/size.json"), "utf8");
  const before = written();
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  try {
    const builds = ["old", "new"].map((name) => join(folder, name));
    for (const [index, build] of builds.entries()) {
      mkdirSync(build);
      writeFileSync(join(build, "server.cjs"), "x".repeat(1_000 + index));
    }
    const { status, stdout } = bench("size", ...builds.flatMap((build) => ["--dist", build]));
    expect(status).toBe(0);
    expect(stdout).toMatch(/old +\| `server\.cjs` +\| 1,000 +\| \d+ +\|\n.*new +\| `server\.cjs` +\| 1,001 +\|/);
    expect(written()).toBe(before);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a benchmark that is not there, and a number that is none, are told", () => {
  expect(bench("speed")).toMatchObject({
    status: 1,
    told: "there is no benchmark speed; there are decision, explain, helper, size, upstream, cold, warm, overload, memory, simulate",
  });
  expect(bench("cold", "--rounds", "0")).toMatchObject({ status: 1, told: "0: give a whole number from 1" });
});

test("a build that is not there is told, and what makes it", () => {
  const { status, told } = bench("upstream", "--dist", "/nowhere");
  expect([status, told]).toEqual([1, "/nowhere/server.cjs is not there: npm run build makes it"]);
});
