/** docs/performance.md says what was measured, and whether that is what is aimed at. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { allKept } from "../../bench/results.ts";
import { performancePage } from "../../docs/performance.ts";

test("docs/performance.md is what bench/results gives; if not: npm run docs", () => {
  const page = readFileSync(new URL("../../docs/performance.md", import.meta.url), "utf8");
  expect(page).toBe(performancePage(allKept()));
});

/** What stands in the row of targets that begins so. */
function targetRow(page: string, what: string): string[] {
  const row = page.split("\n").find((line) => line.startsWith(`| ${what}`)) ?? "";
  return row.split("|").map((cell) => cell.trim());
}

test("a target that is not reached says so, on either side of it; so does one that was not measured", () => {
  const kept = allKept();
  const withCalls = (calls: number) =>
    targetRow(
      performancePage({ ...kept, upstream: { ...kept.upstream, result: [{ of: "dist", what: "hit", calls }] } }),
      "for a hit",
    );
  expect(withCalls(0)).toEqual(["", "for a hit", "at most 0", "0", "yes", ""]);
  expect(withCalls(1)).toEqual(["", "for a hit", "at most 0", "1", "**no**", ""]);

  const none = performancePage({ ...kept, cold: { ...kept.cold, result: [] } });
  expect(targetRow(none, "Start to first refusal").slice(2)).toEqual(["at most 1.3", "not measured yet", "", ""]);
});

test("what is measured at least is reached from below", () => {
  const kept = allKept();
  const [first] = kept.warm.result;
  if (first === undefined) throw new Error("nothing was measured");
  const withRatio = (median: number) => {
    const one = {
      ...first,
      of: "dist",
      what: "kept credential, repeated token",
      ratio: { median, p10: median, p90: median },
    };
    return targetRow(
      performancePage({ ...kept, warm: { ...kept.warm, result: [one] } }),
      "The same, the same token each time",
    );
  };
  expect(withRatio(0.59).slice(2, 5)).toEqual(["at least 0.6", "0.59", "**no**"]);
  expect(withRatio(0.61).slice(2, 5)).toEqual(["at least 0.6", "0.61", "yes"]);
});
