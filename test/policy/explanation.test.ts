/** The words of each refusal, whole. To whom they are told: explain.test.ts. */

import { expect, test } from "vitest";
import type { DenyReason } from "../../shared/policy/decision.ts";
import { describeActual, explainDenial, subjectOf } from "../../shared/policy/explanation.ts";
import type { Denial } from "../../shared/policy/grant.ts";
import { grant, scope, when } from "./grants.ts";

const web = grant("web", { allow: [scope("repository:web/*:pull,push")], roleArn: "acs:ram::1:role/a" });
const base = grant("base", { allow: [scope("repository:base/*:pull")], roleArn: "acs:ram::1:role/b" });
const asked = scope("repository:web/app:push");
const [failed] = when({ ref: "main" }) as [ReturnType<typeof when>[number]];
const frozen: Denial = {
  name: "frozen",
  when: [],
  registry: "prod",
  deny: [scope("repository:web/*:push"), scope("repository:base/*:push")],
  line: 1,
};
const june = { kind: "time", notBefore: new Date("2027-06-01T00:00:00Z") } as const;
const fridays = { kind: "time", days: ["fri"], zone: "UTC" } as const;

test.each<[DenyReason, string]>([
  [
    { kind: "nothing_requested" },
    "what was asked for comes to nothing, and that never means everything; send scope, or a grant whose claims are fit for names",
  ],
  [{ kind: "stranger" }, "the request was refused"],
  [
    { kind: "condition", scope: asked, nearest: { grant: web, failed, held: 1, actual: { kind: "absent" } } },
    'repository:web/app:push was refused; the nearest grant is web, whose condition on claim ref failed: the claim is not there, and must be "main"',
  ],
  [
    { kind: "condition", scope: asked, nearest: { grant: web, failed, held: 0, actual: { kind: "value", text: "x" } } },
    `repository:web/app:push was refused; the nearest grant's condition on claim ref failed: the claim is "x"; more is told only to callers whom the grant is nearly for: ask the broker's operator`,
  ],
  [
    { kind: "condition", scope: asked, nearest: { grant: web, failed: june, held: 0, actual: { kind: "absent" } } },
    "repository:web/app:push was refused; the nearest grant is web, whose condition on the time failed: it is not there, and must be from 2027-06-01T00:00:00.000Z",
  ],
  [
    { kind: "scope", scope: asked, missing: "push", matching: [] },
    "no grant for callers of yours allows push on web/app",
  ],
  [
    { kind: "scope", scope: asked, missing: "push", matching: [base, web] },
    "no grant of me allows push on web/app; what it has: base (repository:base/*:pull), web (repository:web/*:pull,push)",
  ],
  [
    { kind: "denied", scope: asked, denial: frozen },
    "repository:web/app:push is granted, but frozen denies it (repository:web/*:push repository:base/*:push); ask without what it denies",
  ],
  [
    { kind: "denied", scope: asked, denial: { ...frozen, limits: [june, fridays] } },
    "repository:web/app:push is granted, but frozen denies it from 2027-06-01T00:00:00.000Z on fri in UTC (repository:web/*:push repository:base/*:push); ask without what it denies, or at another time",
  ],
  [
    { kind: "blocked", against: { entry: "issuer ci", kind: "issuer" }, askWhom: "Ann" },
    "all callers of your token's issuer are blocked for now, whatever the policy gives; ask Ann",
  ],
  [{ kind: "ceiling", scope: asked }, "repository:web/app:push is beyond the ceiling that no grant exceeds"],
  [
    { kind: "roles", matching: [web, base, web] },
    "the scopes are granted only under different roles, and one credential has one role; ask for them separately: web (acs:ram::1:role/a), base (acs:ram::1:role/b)",
  ],
])("%o", (reason, words) => {
  expect(explainDenial(reason, "me")).toBe(words);
});

test("a claim as a sentence ends", () => {
  expect(describeActual({ kind: "value", text: 'a"b' })).toBe('is "a\\"b"');
  expect(describeActual({ kind: "list", texts: ["a", "b"] })).toBe('is the list "a, b"');
  expect(describeActual({ kind: "absent" })).toBe("is not there");
  expect(describeActual({ kind: "unusable", why: "it is null" })).toBe("cannot be compared (it is null)");
});

test("what a condition or limit is about", () => {
  const network = { kind: "network", cidrs: ["10.0.0.0/8"] } as const;
  expect([failed, network, june].map(subjectOf)).toEqual(["claim ref", "the caller's address", "the time"]);
});
