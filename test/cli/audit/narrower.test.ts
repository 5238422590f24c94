/** A narrower grant does all that was done under the old one, and nothing that the old one did not. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { scopesOfLine } from "../../../cli/audit/given.ts";
import { MOST_NAMED, usage } from "../../../cli/audit/narrower.ts";
import { narrowerYaml } from "../../../cli/audit/narrower-yaml.ts";
import { DecisionLine } from "../../../shared/audit/event-schema.ts";
import { decide } from "../../../shared/policy/decision.ts";
import type { Grant, Principal } from "../../../shared/policy/grant.ts";
import { parseScopeTemplate } from "../../../shared/policy/scope-template.ts";
import { decided, scopesOf } from "./events.ts";

const names = fc.constantFrom("a", "b", "team-x");
const actions = fc.constantFrom("pull", "push", "pull,push");
const level = fc.oneof(names, fc.constantFrom("${team}", "team-${team}", "${team}-b"));
const scopeOf = (namespace: fc.Arbitrary<string>, repository: fc.Arbitrary<string>) =>
  fc
    .tuple(namespace, fc.oneof(repository, fc.constant("*")), actions)
    .map(([first, second, action]) => `repository:${first}/${second}:${action}`);
const wanted = scopeOf(names, names);
const allowed = fc.oneof(wanted, scopeOf(level, level));
const policies = fc.array(
  fc.record({
    allow: fc.uniqueArray(allowed, { minLength: 1, maxLength: 4 }),
    role: fc.constantFrom("one", "two"),
    maxTtlSeconds: fc.constantFrom(900, 1800, 3600),
    createRepository: fc.boolean(),
  }),
  { minLength: 1, maxLength: 4 },
);
const requests = fc.array(
  fc.record({
    team: fc.constantFrom("a", "b", "x", "team-x"),
    scopes: fc.uniqueArray(wanted, { minLength: 1, maxLength: 3 }),
  }),
  { maxLength: 12 },
);

function grant(name: string, allow: readonly string[], more: Partial<Grant> = {}): Grant {
  const templates = allow.flatMap((text) => {
    const read = parseScopeTemplate(text);
    return text.includes("$") && "template" in read ? [read.template] : [];
  });
  return {
    ...{ name, holder: { issuer: "ci" }, when: [], registry: "prod", roleArn: "role/one", line: 1 },
    ...{ maxTtlSeconds: 900, createRepository: false, ...more },
    allow: scopesOf(...allow.filter((text) => !text.includes("$"))),
    ...(templates.length === 0 ? {} : { allowFor: templates }),
  };
}

const caller = (team: string): Principal => ({ source: { issuer: "ci" }, subject: "job", claims: { team } });

function narrowed(grants: readonly Grant[], lines: readonly string[]): Grant[] {
  const uses = new Map(grants.map((one) => [one.name, usage(one)]));
  for (const line of lines) {
    const event = DecisionLine.parse(JSON.parse(line));
    for (const { name } of event.grants) uses.get(name)?.add(scopesOfLine(event));
  }
  return grants.map(({ name, roleArn, maxTtlSeconds, createRepository }) => {
    const allow = uses.get(name)?.allow() ?? [];
    const creates = createRepository && allow.some((text) => /[:,]push$/.test(text));
    return grant(name, allow, { roleArn, maxTtlSeconds, createRepository: creates });
  });
}

test("with every grant narrowed, each request of the log is decided as it was, and none is allowed that was not", () => {
  let [allowedAgain, newlyDenied] = [0, 0];
  const property = fc.property(policies, requests, requests, (fields, logged, others) => {
    const grants = fields.map(({ allow, role, ...more }, index) =>
      grant(`grant-${index}`, allow, { roleArn: `role/${role}`, ...more }),
    );
    const old = { grants, denials: [] };
    const entries = logged.map(({ team, scopes }) => {
      const { line, decision } = decided(caller(team), scopesOf(...scopes), old);
      return { team, scopes, line, decision };
    });
    const used = entries.filter(({ decision }) => decision.outcome === "allow").map(({ line }) => line);
    const now = { grants: narrowed(grants, used), denials: [] };
    for (const { team, scopes, decision: was } of entries) {
      const { decision: is } = decided(caller(team), scopesOf(...scopes), now);
      expect(is.outcome).toBe(was.outcome);
      if (is.outcome !== "allow" || was.outcome !== "allow") continue;
      allowedAgain++;
      expect([is.rights, is.maxTtlSeconds]).toEqual([was.rights, was.maxTtlSeconds]);
      expect(is.grants.map(({ name }) => name)).toEqual(was.grants.map(({ name }) => name));
    }
    for (const { team, scopes } of others) {
      const request = { registry: "prod", scopes: scopesOf(...scopes) };
      const [was, is] = [old, now].map((policy) => decide(caller(team), request, policy).outcome);
      if (is === "allow") expect(was).toBe("allow");
      else if (was === "allow") newlyDenied++;
    }
  });
  fc.assert(property, { numRuns: 500 });
  expect(allowedAgain).toBeGreaterThan(100);
  expect(newlyDenied).toBeGreaterThan(100);
});

function uses(allow: readonly string[], used: readonly string[]): string[] {
  const found = usage(grant("one", allow));
  found.add(scopesOf(...used));
  return found.allow();
}

test("a wildcard becomes what was used of it, each repository with its actions", () => {
  const used = ["repository:web/app:pull,push", "repository:web/base:pull"];
  expect(uses(["repository:web/*:pull,push"], used)).toEqual(used);
});

test("a wildcard stays where more repositories were used than a policy can name, with the actions that were used", () => {
  const many = Array.from({ length: MOST_NAMED + 1 }, (_, index) => `repository:web/app-${index}:pull`);
  const pushed = "repository:web/app-1:push";
  const wide = ["repository:web/*:pull,push"];
  expect(uses(wide, [...many, pushed])).toEqual(["repository:web/*:pull", pushed]);
  expect(new Set(uses(wide, many.slice(1)))).toEqual(new Set(many.slice(1)));
});

test("a claim's value in a scope stays, since whose claims it was is not in the log", () => {
  expect(uses(["repository:${team}/*:pull,push", "repository:base/*:pull"], ["repository:web/app:pull"])).toEqual([
    "repository:${team}/*:pull",
  ]);
});

test("what other grants gave in the same decision is not added", () => {
  const used = ["repository:web/app:pull,push", "repository:base/x:pull"];
  expect(uses(["repository:web/app:pull"], used)).toEqual(["repository:web/app:pull"]);
});

test("the YAML is the policy's own, with its comments, another allow, and no create_repository without push", () => {
  const policy = `grants:
  "7":
    issuer: ci # ours
    allow: [ "repository:web/*:pull,push" ]
    create_repository: true
  other: { issuer: ci }
`;
  const text = narrowerYaml(policy, new Map([["7", ["repository:web/a:pull"]]]));
  expect(text).toContain("issuer: ci # ours");
  expect(parse(text)).toEqual({ grants: { "7": { issuer: "ci", allow: ["repository:web/a:pull"] } } });
});
