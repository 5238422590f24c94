/** Each property of test/fuzz/, for a moment, and on every input that once broke it. `npm run fuzz` runs them for longer. */

import { expect, test } from "vitest";
import { config } from "./config.ts";
import { decision } from "./decision.ts";
import { kept } from "./fuzzed.ts";
import { requests } from "./requests.ts";

const ALL = [...requests, ...config, ...decision];

test.each(ALL)("$name", async ({ run, runs }) => {
  expect((await run({ numRuns: runs })).broken).toBeUndefined();
});

test("what is kept is of properties that there are", () => {
  const names = ALL.map(({ name }) => name);
  expect(kept().filter(({ property }) => !names.includes(property))).toEqual([]);
});
