/** RAM's wildcards, held against the stand-in cloud's own reading of them. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { canMeet, takesIn } from "../../../cli/ram/wildcard.ts";
import { wildcardMatches } from "../../sandbox/ram.ts";

const pattern = fc.string({ unit: fc.constantFrom("a", "b", "/", "*", "?"), maxLength: 7 });
const text = fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength: 7 });

test("a pattern takes in a text as RAM matches it", () => {
  fc.assert(
    fc.property(pattern, text, (one, value) => {
      expect(takesIn(one, value)).toBe(wildcardMatches(one, value));
      expect(canMeet(one, value)).toBe(wildcardMatches(one, value));
    }),
    { numRuns: 20_000 },
  );
});

test("a pattern that takes in another takes in each text that the other does", () => {
  fc.assert(
    fc.property(pattern, pattern, text, (wide, narrow, value) => {
      if (takesIn(wide, narrow) && wildcardMatches(narrow, value)) expect(wildcardMatches(wide, value)).toBe(true);
    }),
    { numRuns: 20_000 },
  );
});

test("two patterns that cannot meet have no text in common", () => {
  fc.assert(
    fc.property(pattern, pattern, text, (one, other, value) => {
      if (wildcardMatches(one, value) && wildcardMatches(other, value)) expect(canMeet(one, other)).toBe(true);
    }),
    { numRuns: 20_000 },
  );
});

test.each([
  ["acs:cr:*:*:repository/cri-1/*", "acs:cr:cn-hangzhou:1:repository/cri-1/web/*", true],
  ["repository/cri-1/web/*", "repository/cri-1/*", false],
  ["repository/cri-1/web/?", "repository/cri-1/web/*", false],
  ["web/*", "web/", true],
])("%s takes in %s: %s", (wide, narrow, is) => {
  expect(takesIn(wide, narrow)).toBe(is);
});
