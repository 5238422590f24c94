/** An order that is found again must be the one that would be made anew; what differs in anything must not be found. */

import fc from "fast-check";
import { expect, test } from "vitest";
import type { BrokerConfig } from "../../shared/config/config.ts";
import { type Order, orders } from "../../shared/issuing/order.ts";
import type { Action } from "../../shared/policy/scope.ts";
import type { AllowedDecision } from "../../shared/policy/terms.ts";

const registry = (name: string) =>
  ({
    name,
    instanceId: `cri-${name}`,
    region: "cn-hangzhou",
    accountId: "1234567890123456",
    endpoints: ["x"],
  }) as const;

function config(digest: string): BrokerConfig {
  return {
    audience: "https://broker.example",
    registries: new Map(["prod", "test"].map((name) => [name, registry(name)])),
    issuers: new Map(),
    apiKeys: new Map(),
    grants: [],
    denials: [],
    alibaba: {},
    digest,
  };
}

const scope = fc.record({
  namespace: fc.constantFrom("web", "base"),
  repository: fc.constantFrom("app", "*"),
  actions: fc.constantFrom<Action[]>(["pull"], ["push"], ["pull", "push"]),
});
const asked = fc.record({
  registry: fc.constantFrom("prod", "test"),
  role: fc.constantFrom("acr-web", "acr-base"),
  externalId: fc.constantFrom(undefined, "partner"),
  scopes: fc.uniqueArray(scope, {
    minLength: 1,
    maxLength: 3,
    selector: (one) => `${one.namespace}/${one.repository}`,
  }),
  creates: fc.boolean(),
  maxTtlSeconds: fc.constantFrom(900, 1800),
  // The second is cut to the session name of the first.
  caller: fc.constantFrom("ci:job", `ci:${"j".repeat(80)}`, `ci:${"j".repeat(80)}2`),
  ttlSeconds: fc.constantFrom(undefined, 900, 1200),
});
type Asked = typeof asked extends fc.Arbitrary<infer One> ? One : never;

function decision({ registry, role, externalId, scopes, creates, maxTtlSeconds }: Asked): AllowedDecision {
  const roleArn = `acs:ram::1234567890123456:role/${role}`;
  return {
    outcome: "allow",
    rights: {
      registry,
      roleArn,
      ...(externalId === undefined ? {} : { externalId }),
      scopes,
      creatable: creates ? scopes.filter(({ actions }) => actions.includes("push")) : [],
    } as AllowedDecision["rights"],
    grants: [],
    maxTtlSeconds,
  };
}

test("the order for a decision is the same whether it was made before or not, under either policy", () => {
  const policies = [config("sha256:0"), config("sha256:1")];
  const remembering = policies.map(orders);
  const keys = new Map<string, string>();
  fc.assert(
    fc.property(asked, fc.constantFrom(0, 1), (one, which) => {
      const ask = (orderOf: ReturnType<typeof orders>): Order =>
        orderOf(decision(one), one.caller, { ttlSeconds: one.ttlSeconds, minTtlSeconds: undefined });
      const known = ask(remembering[which] as ReturnType<typeof orders>);
      expect(known).toEqual(ask(orders(policies[which] as BrokerConfig)));
      // One key for two orders would be one credential for two decisions.
      const { registry, lifetimeSeconds, policy, sessionName, key } = known;
      const what = JSON.stringify([
        registry.name,
        lifetimeSeconds,
        policy.json,
        sessionName,
        one.caller,
        one.role,
        one.externalId,
        which,
      ]);
      expect(keys.get(key) ?? what).toBe(what);
      keys.set(key, what);
    }),
    { numRuns: 1_000 },
  );
  expect(keys.size).toBeGreaterThan(50);
});

test("a wish that was refused is refused again, and does not hinder others", () => {
  const orderOf = orders(config("sha256:0"));
  const [one] = fc.sample(asked, 1) as [Asked];
  const allowed = decision({ ...one, maxTtlSeconds: 900 });
  const ask = (minTtlSeconds: number) => orderOf(allowed, "ci:job", { ttlSeconds: 900, minTtlSeconds });
  for (const _ of [1, 2]) expect(() => ask(901)).toThrow("min_ttl is 901");
  expect(ask(900)).toBe(ask(900));
});
