/** The decision of a policy as it is written, beside a second reading of the same policy that is as plain as can be and knows nothing of the first. */

import fc from "fast-check";
import { expect } from "vitest";
import { parseConfig } from "../../shared/config/load.ts";
import { decide } from "../../shared/policy/decision.ts";
import { parseScope, type Scope } from "../../shared/policy/scope.ts";
import { fuzzed } from "./fuzzed.ts";

const CLAIMS = ["ref", "environment", "project"];
const word = fc.constantFrom("main", "prod", "a", "a/b", "prod-1", "*", "main ", "MAIN");
const plain = fc.constantFrom("main", "prod", "a", "prod-1", "a/b");
const condition = fc.oneof(
  plain,
  fc.record({ any_of: fc.uniqueArray(plain, { minLength: 1, maxLength: 3 }) }),
  fc.record({ glob: fc.constantFrom("prod-*", "a/*", "m*n", "*a") }),
);
type Condition = string | { any_of: string[] } | { glob: string };

const pattern = fc.tuple(
  fc.constantFrom("web", "base", "team"),
  fc.constantFrom("app", "lib", "*"),
  fc.constantFrom("pull", "pull,push"),
);
const grant = fc.record({
  when: fc.dictionary(fc.constantFrom(...CLAIMS), condition, { maxKeys: 2 }),
  allow: fc.uniqueArray(pattern, {
    minLength: 1,
    maxLength: 3,
    selector: ([namespace, name]) => `${namespace}/${name}`,
  }),
  role: fc.constantFrom("one", "two"),
});
const asked = fc.tuple(
  fc.constantFrom("web", "base", "team", "team-evil", "we"),
  fc.constantFrom("app", "lib", "app2", "*"),
  fc.constantFrom("pull", "push"),
);

const inputs = fc.record({
  grants: fc.array(grant, { minLength: 1, maxLength: 4 }),
  claims: fc.dictionary(
    fc.constantFrom(...CLAIMS, "__proto__", "toString"),
    fc.oneof(word, fc.jsonValue({ maxDepth: 1 })),
    { maxKeys: 4 },
  ),
  scopes: fc.array(asked, { maxLength: 3 }),
});

type Input = typeof inputs extends fc.Arbitrary<infer Value> ? Value : never;

function yaml({ grants }: Input): string {
  const written = grants.map(
    ({ when, allow, role }, index) =>
      `  g${index}: { issuer: ci, when: ${JSON.stringify({ sub: "job", ...when })}, registry: prod, allow: ${JSON.stringify(allow.map(([namespace, name, actions]) => `repository:${namespace}/${name}:${actions}`))}, role_arn: "acs:ram::1234567890123456:role/${role}", max_ttl: 900 }`,
  );
  return `
version: 1
audience: https://broker.example
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [prod.example.com] }
issuers:
  ci: { provider: generic, issuer: https://issuer.example }
grants:
${written.join("\n")}
`;
}

/** A claim's value as the policy compares it: text, or a number or a truth value in words. */
function holdsPlainly(condition: Condition, value: unknown): boolean {
  if (!["string", "number", "boolean"].includes(typeof value)) return false;
  const said = String(value);
  if (typeof condition === "string") return said === condition;
  if ("any_of" in condition) return condition.any_of.includes(said);
  const [before = "", behind = ""] = condition.glob.split("*");
  if (said.length < before.length + behind.length || !said.startsWith(before) || !said.endsWith(behind)) return false;
  return !/[/:@]/.test(said.slice(before.length, said.length - behind.length));
}

/** For each role: whether its grants, of those that are for this caller, give all that is asked. */
function allowedPlainly({ grants, claims, scopes }: Input): boolean {
  const mine = grants.filter(({ when }) =>
    Object.entries(when).every(
      ([name, condition]) => Object.hasOwn(claims, name) && holdsPlainly(condition as Condition, claims[name]),
    ),
  );
  return ["one", "two"].some((role) =>
    scopes.every(([namespace, name, action]) =>
      mine.some(
        (grant) =>
          grant.role === role &&
          grant.allow.some(
            ([givenNamespace, givenName, actions]) =>
              givenNamespace === namespace &&
              (givenName === "*" || givenName === name) &&
              actions.split(",").includes(action),
          ),
      ),
    ),
  );
}

export const decision = [
  fuzzed("a decision is what the policy says, read plainly", 300, inputs, (input) => {
    const config = parseConfig(yaml(input), { file: "broker.yaml", readFile: () => "" });
    const scopes = input.scopes.map(([namespace, name, action]) => {
      const result = parseScope(`repository:${namespace}/${name}:${action}`);
      return (result as { scope: Scope }).scope;
    });
    const principal = { source: { issuer: "ci" }, subject: "job", claims: { ...input.claims, sub: "job" } };
    const { outcome } = decide(principal, { registry: "prod", scopes }, config);
    expect(outcome).toBe(scopes.length > 0 && allowedPlainly(input) ? "allow" : "deny");
  }),
];
