/** SHA256SUMS of dist/, by coreutils and as docs/supply-chain.md says. Needs `npm run build`. */

import { spawnSync } from "node:child_process";
import { appendFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { sum } from "../../packaging/describe.ts";
import { blocksOf } from "../markdown.ts";

const DIST = fileURLToPath(new URL("../../dist", import.meta.url));

let folder: string;
/** What was uploaded. */
let deployed: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sums-"));
  deployed = join(folder, "deployed");
  cpSync(DIST, deployed, { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true }));

function lines(command: string, cwd = deployed): { status: number | null; lines: string[] } {
  const { status, stdout } = spawnSync("bash", ["-c", command], {
    cwd,
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C" },
  });
  return { status, lines: stdout.split("\n").filter((line) => line !== "") };
}

const blocks = blocksOf(readFileSync(new URL("../../docs/supply-chain.md", import.meta.url), "utf8"));
/** The page's lines that begin with `command`. */
const shown = (command: string) =>
  blocks.flatMap(({ text }) => text.split("\n")).filter((line) => line.startsWith(`${command} `));

test("sha256sum --check passes, and has looked at each file but the sums themselves", () => {
  const checked = lines("sha256sum --check --strict SHA256SUMS");
  const files = lines("find . -type f ! -name SHA256SUMS -printf '%P: OK\\n'").lines;
  expect(files.length).toBeGreaterThan(5);
  expect({ ...checked, lines: checked.lines.sort() }).toEqual({ status: 0, lines: files.sort() });
});

test("the page's check says nothing of what is whole, and names a file with a byte more", () => {
  const [check = ""] = shown("sha256sum");
  expect(lines(check)).toEqual({ status: 0, lines: [] });
  appendFileSync(join(deployed, "policy.cjs"), "\n");
  expect(lines(check)).toEqual({ status: 1, lines: ["policy.cjs: FAILED"] });
});

describe("the page's comparison with a build of one's own", () => {
  const found = () => {
    cpSync(DIST, join(folder, "dist"), { recursive: true });
    sum(deployed);
    return shown("diff").map((command) =>
      lines(command, folder).lines.map((line) => line.replace(/ [0-9a-f]{64} +/, " ")),
    );
  };

  test("passes over V8's caches and their digests", () => {
    const caches = join(deployed, "code-cache", readdirSync(join(deployed, "code-cache"))[0] ?? "");
    appendFileSync(join(caches, "broker.cjs"), "\n");
    const server = join(deployed, "server.cjs");
    const text = readFileSync(server, "utf8");
    const other = text.replace(/("code-cache[^"]+":")[0-9a-f]{64}/, `$1${"0".repeat(64)}`);
    expect(other).not.toBe(text);
    writeFileSync(server, other);
    expect(found()).toEqual([[], []]);
  });

  test("finds other code, also where the sums are made anew", () => {
    appendFileSync(join(deployed, "alibaba.cjs"), "\n");
    expect(found()).toEqual([[expect.any(String), "< alibaba.cjs", "---", "> alibaba.cjs"], []]);
  });

  test("finds another server.cjs", () => {
    appendFileSync(join(deployed, "server.cjs"), "//\n");
    expect(found()).toEqual([[], [expect.any(String), "< //"]]);
  });
});
