/** docs/reliability.md: each row of its tables is observed, and each fault with each upstream has its row. */

import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeCa } from "../certificates.ts";
import { haveTools } from "../e2e/tools.ts";
import { FAULTS } from "./faults.ts";
import { type At, combinations, type Observed, observe, type Surroundings, surroundings } from "./observe.ts";

const page = readFileSync(new URL("../../docs/reliability.md", import.meta.url), "utf8");

/** `STS: nobody listens`, and the rest of the row as it stands. */
const rows = new Map<string, string>();
const [, chapter = ""] = page.split(/^## (?=Fault by fault)|^## (?=More than)/m);
for (const section of chapter.split(/^### /m).slice(1)) {
  const at = section.slice(0, section.indexOf("\n"));
  for (const line of section
    .split("\n")
    .filter((one) => one.startsWith("| "))
    .slice(2)) {
    const [name = "", ...cells] = line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
    rows.set(`${at}: ${name}`, cells.join(" | "));
  }
}

const asRow = ({ answer, tried, takes, fallback, told }: Observed) =>
  [answer, tried, takes, fallback, told].join(" | ");

const hasRedis = haveTools(["redis-server"]);
const needed = combinations().filter(({ at }) => at !== "Redis" || hasRedis);

test("each fault has a row with each whom it can befall, and each row is one", () => {
  expect([...rows.keys()].sort()).toEqual(
    combinations()
      .map(({ at, name }) => `${at}: ${name}`)
      .sort(),
  );
});

describe("as the table says", () => {
  let around: Surroundings;
  beforeAll(async () => {
    around = await surroundings(hasRedis);
  });
  afterAll(() => around.close());

  test.each(needed.filter(({ name }) => !FAULTS[name]?.tls))("$at: $name", async ({ at, name }) => {
    expect(asRow(await observe(at, name, around))).toBe(rows.get(`${at}: ${name}`));
  });
});

describe("as the table says, of certificates", () => {
  const seen = new Map<string, Observed | string>();
  beforeAll(async () => {
    const folder = mkdtempSync(join(tmpdir(), "faults-"));
    const ca = makeCa();
    writeFileSync(join(folder, "ca.pem"), ca.cert);
    writeFileSync(join(folder, "ca.json"), JSON.stringify(ca));
    const child = fork(fileURLToPath(new URL("./apart.ts", import.meta.url)), [folder, hasRedis ? "redis" : ""], {
      execArgv: ["--import", "tsx"],
      env: { ...process.env, NODE_EXTRA_CA_CERTS: join(folder, "ca.pem") },
    });
    child.on("message", ({ at, name, observed }: { at: At; name: string; observed: Observed | string }) =>
      seen.set(`${at}: ${name}`, observed),
    );
    // What still waits for a limit there need not end.
    await once(child, "disconnect");
    child.kill();
    rmSync(folder, { recursive: true });
  });

  test.each(needed.filter(({ name }) => FAULTS[name]?.tls))("$at: $name", ({ at, name }) => {
    const observed = seen.get(`${at}: ${name}`);
    expect(typeof observed === "object" ? asRow(observed) : observed).toBe(rows.get(`${at}: ${name}`));
  });
});
