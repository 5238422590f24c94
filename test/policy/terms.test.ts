import { expect, test } from "vitest";
import { decide } from "../../shared/policy/decision.ts";
import { type AllowedDecision, termsOf } from "../../shared/policy/terms.ts";
import { caller, grant, policy, scope } from "./grants.ts";

const location = { region: "cn-hangzhou", accountId: "1234567890123456", instanceId: "cri-abc123" };
const two = [
  grant("base", { allow: [scope("repository:base/*:pull")], maxTtlSeconds: 1200 }),
  grant("web", { allow: [scope("repository:web/*:pull")], maxTtlSeconds: 3600 }),
];

function allowed(texts: readonly string[]): AllowedDecision {
  const request = { registry: "prod", scopes: texts.map(scope) };
  return decide(caller({ repository_id: "1" }), request, policy(two)) as AllowedDecision;
}

const both = allowed(["repository:base/node:pull", "repository:web/app:pull"]);

test.each([
  [{}, 1200],
  [{ ttlSeconds: 900 }, 900],
  [{ ttlSeconds: 3600 }, 1200],
  [{ minTtlSeconds: 1200 }, 1200],
  [{ ttlSeconds: 900, minTtlSeconds: 900 }, 900],
])("a wish of %j comes to %d s", (wish, lifetimeSeconds) => {
  expect(termsOf(both, location, wish)).toEqual({ lifetimeSeconds, policy: expect.anything() });
});

test("a life that is too short is refused, and whose max_ttl it is", () => {
  expect(termsOf(both, location, { minTtlSeconds: 1201 })).toEqual({
    lifetimeSeconds: 1200,
    refused: "invalid_request",
    detail: "min_ttl is 1201, and the credential lives 1200 s; ask for less, or raise max_ttl of base, web",
  });
});

test("a session policy that is too large is refused, and by how much", () => {
  const many = allowed(Array.from({ length: 40 }, (_, index) => `repository:web/app-${index}:pull`));
  expect(termsOf(many, location, {})).toEqual({
    lifetimeSeconds: 3600,
    refused: "policy_too_large",
    characters: expect.any(Number),
    detail: expect.stringMatching(/^the 40 scopes make a session policy of \d{4} characters, and STS takes 2048; /),
  });
});
