/** docs/threat-model.md: each threat has a test, each test that it names exists, and nothing that happened to others is left out. */

import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const ROOT = new URL("../../", import.meta.url);
const page = readFileSync(new URL("docs/threat-model.md", ROOT), "utf8");

/** The cells of each row below its table's head, by the heading that it stands under. */
const rows = page.split(/^## /m).flatMap((section) => {
  const heading = section.slice(0, section.indexOf("\n"));
  return section
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .slice(2)
    .map((line) => ({
      heading,
      cells: line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    }));
});
const threats = rows.filter(({ cells }) => cells.length === 4);

/** The tests that a cell names: a file, and a name in quotes. */
const proofs = (cell: string) =>
  [...cell.matchAll(/`(test\/[\w./-]+\.ts)` "([^"]+)"/g)].map(([, file = "", name = ""]) => ({ file, name }));

test.each(threats)("$cells.0", ({ cells }) => {
  const shown = cells.at(-1) as string;
  expect(proofs(shown).length).toBe(shown.split("; `").length);
  for (const { file, name } of proofs(shown)) {
    expect(existsSync(new URL(file, ROOT)), file).toBe(true);
    expect(readFileSync(new URL(file, ROOT), "utf8").includes(`"${name}"`), `${file} has ${name}`).toBe(true);
  }
});

test("each part of a request's way has threats, and of all six kinds there are some", () => {
  const parts = ["The caller", "The network", "The function", "STS and ACR", "The issuer", "Redis", "The log"];
  expect([...new Set(threats.map(({ heading }) => heading))]).toEqual([
    ...parts,
    ...["The operator", "The build machine", "What happened to others"],
  ]);
  const letters = threats.filter(({ heading }) => heading !== "What happened to others").map(({ cells }) => cells[1]);
  expect(new Set(letters.join(", ").split(", "))).toEqual(new Set(["S", "T", "R", "I", "D", "E"]));
});

test("what happened to others is there from S1 to S32", () => {
  const ids = threats.filter(({ heading }) => heading === "What happened to others").map(({ cells }) => cells[0]);
  expect(ids).toEqual(Array.from({ length: 32 }, (_, index) => `S${index + 1}`));
});

test("what is accepted has its reason", () => {
  const accepted = rows.filter(({ heading }) => heading === "What is accepted, and why");
  expect(accepted.length).toBeGreaterThan(5);
  for (const { cells } of accepted) expect(cells[1]?.length, cells[0]).toBeGreaterThan(20);
});
