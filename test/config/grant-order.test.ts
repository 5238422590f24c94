/** What is said of two conditions or scopes holds for every token. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { coversAll, type Given, implies } from "../../shared/config/grant-order.ts";
import { type Condition, holds } from "../../shared/policy/condition.ts";
import { covers, type Scope } from "../../shared/policy/scope.ts";

const text = fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength: 3 });
const pattern = fc.string({ unit: fc.constantFrom("a", "b", "/", "*"), maxLength: 4 });
const condition: fc.Arbitrary<Condition> = fc.oneof(
  text.map((value) => ({ claim: "c", kind: "exact" as const, value })),
  fc.array(text, { minLength: 1, maxLength: 3 }).map((values) => ({ claim: "c", kind: "any_of" as const, values })),
  pattern.map((one) => ({ claim: "c", kind: "glob" as const, pattern: one })),
  text.map((value) => ({ claim: "c", kind: "contains" as const, value })),
  fc.array(text, { minLength: 1, maxLength: 3 }).map((values) => ({ claim: "c", kind: "none_of" as const, values })),
);
const claims = fc.oneof(
  fc.constant({}),
  text.map((c) => ({ c })),
  fc.array(text, { maxLength: 2 }).map((c) => ({ c })),
);

test("what implies another never holds without it", () => {
  fc.assert(
    fc.property(condition, condition, claims, (narrow, wide, all) => {
      if (implies(narrow, wide) && holds(narrow, all)) expect(holds(wide, all)).toBe(true);
      expect(implies(narrow, narrow)).toBe(true);
    }),
    { numRuns: 5000 },
  );
});

test("what covers scopes gives each of them", () => {
  const scope: fc.Arbitrary<Scope> = fc.record({
    namespace: fc.constantFrom("web", "api"),
    repository: fc.constantFrom("*", "app", "db"),
    actions: fc.constantFrom(["pull"] as const, ["push"] as const, ["pull", "push"] as const),
  });
  const scopes: fc.Arbitrary<Given[]> = fc.array(scope, { maxLength: 3 });
  fc.assert(
    fc.property(scopes, scopes, scope, (more, less, asked) => {
      const gives = (all: readonly Given[]) =>
        asked.actions.every((action) => all.some((one) => covers(one as Scope, asked, action)));
      if (coversAll(more, less) && gives(less)) expect(gives(more)).toBe(true);
    }),
    { numRuns: 5000 },
  );
});
