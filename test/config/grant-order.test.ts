/** What is said of two conditions or scopes holds for every token. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { coversAll, type Given, implies, limitWithin } from "../../shared/config/grant-order.ts";
import { type Condition, holds } from "../../shared/policy/condition.ts";
import { DAYS, keeps, type Limit } from "../../shared/policy/limit.ts";
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

test("a limit that is said to lie within another is kept only where the other is", () => {
  const days = fc.option(fc.subarray([...DAYS], { minLength: 1 }), { nil: undefined });
  const minute = fc.integer({ min: 0, max: 95 }).map((quarter) => quarter * 15);
  const hours = fc.option(
    fc.record({ from: minute, to: minute }).filter(({ from, to }) => from !== to),
    { nil: undefined },
  );
  const end = fc.option(
    fc.integer({ min: 0, max: 20 }).map((day) => new Date(Date.UTC(2027, 5, 1 + day))),
    { nil: undefined },
  );
  const time = fc.record({ days, hours, notBefore: end, notAfter: end }).map(
    ({ days, hours, notBefore, notAfter }): Limit => ({
      kind: "time",
      zone: "Asia/Shanghai",
      ...(days && { days }),
      ...(hours && { hours }),
      ...(notBefore && { notBefore }),
      ...(notAfter && { notAfter }),
    }),
  );
  const network = fc
    .array(fc.constantFrom("10.0.0.0/8", "10.2.0.0/16", "10.2.0.0/24", "10.2.3.0/24", "::/0", "2001:db8::/32"), {
      minLength: 1,
    })
    .map((cidrs): Limit => ({ kind: "network", cidrs }));
  const moments = fc.array(
    fc.integer({ min: 0, max: 30 * 24 * 4 }).map((quarter) => new Date(Date.UTC(2027, 5, 1) + quarter * 900_000)),
    { minLength: 30, maxLength: 60 },
  );
  let within = 0;
  fc.assert(
    fc.property(fc.oneof(fc.tuple(time, time), fc.tuple(network, network)), moments, ([narrow, wide], times) => {
      if (!limitWithin(narrow, wide)) return;
      within++;
      for (const address of ["10.2.3.4", "10.2.9.9", "10.9.9.9", "192.0.2.1", "2001:db8::1", "2001:db9::1"]) {
        for (const time of times) {
          if (keeps(narrow, { address, time })) expect(keeps(wide, { address, time })).toBe(true);
        }
      }
    }),
    { numRuns: 1000 },
  );
  expect(within).toBeGreaterThan(50);
});
