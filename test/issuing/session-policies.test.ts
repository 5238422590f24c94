/**
 * What reaches STS, seen by STS: for thousands of random requests each AssumeRole carries a policy, and that policy gives what
 * was granted and nothing else, by the sandbox's own reading of RAM's language.
 */

import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { issuer } from "../../shared/issuing/issue.ts";
import type { Rights } from "../../shared/policy/decision.ts";
import { canonicalScopes, formatScope, type Scope } from "../../shared/policy/scope.ts";
import { grant, scope } from "../policy/grants.ts";
import { FUNCTION_ROLE } from "../sandbox/broker-process.ts";
import { type Cloud, startCloud } from "../sandbox/cloud.ts";

let cloud: Cloud;
beforeAll(async () => {
  cloud = await startCloud();
});
afterAll(() => cloud.close());

const ROLE = "acs:ram::1234567890123456:role/acr-web";
const registry = {
  name: "prod",
  instanceId: "cri-abc123",
  region: "cn-hangzhou",
  accountId: "1234567890123456",
  endpoints: ["x"],
};

/** Half of these namespaces exist and the role may use them; all names are near misses of each other. */
const namespace = fc.constantFrom("web", "base", "secret", "web-evil", "we");
const repository = fc.oneof(
  fc.constantFrom("app", "app2", "ap", "app.x", "app_x", "*"),
  fc.stringMatching(/^[a-z0-9]{1,12}$/),
);
const scopeText = fc
  .tuple(namespace, repository, fc.constantFrom("pull", "push", "pull,push"))
  .map(([ns, name, actions]) => `repository:${ns}/${name}:${actions}`);

function rightsOf(texts: readonly string[], create: boolean): Rights {
  const scopes = canonicalScopes(texts.map(scope));
  const creatable = create ? scopes.filter(({ actions }) => actions.includes("push")) : [];
  return { registry: "prod", roleArn: ROLE, scopes, creatable };
}

function policyActions(policy: {
  Statement: { Action: string | string[]; Resource: string | string[] }[];
}): Set<string> {
  const list = (value: string | string[]) => (typeof value === "string" ? [value] : value);
  return new Set(
    policy.Statement.flatMap(({ Action, Resource }) =>
      list(Action).flatMap((action) => list(Resource).map((on) => `${action} ${on}`)),
    ),
  );
}

function expected({ scopes, creatable }: Rights): Set<string> {
  const on = ({ namespace, repository }: Scope) =>
    `acs:cr:cn-hangzhou:1234567890123456:repository/cri-abc123/${namespace}/${repository}`;
  return new Set([
    "cr:GetAuthorizationToken *",
    ...scopes.flatMap((one) =>
      one.actions.map((action) => `cr:${action === "pull" ? "Pull" : "Push"}Repository ${on(one)}`),
    ),
    ...creatable.map((one) => `cr:CreateRepository ${on(one)}`),
  ]);
}

test("every AssumeRole has a policy of at most 2,048 characters that gives exactly what was granted", {
  timeout: 120_000,
}, async () => {
  const issuing = issuer(
    {
      audience: "x",
      registries: new Map([["prod", registry]]),
      issuers: new Map(),
      apiKeys: new Map(),
      grants: [],
      denials: [],
      alibaba: { stsEndpoint: cloud.url, crEndpoint: cloud.url },
      digest: "sha256:0",
    },
    { now: () => new Date(), sleep: async () => {}, random: Math.random },
    { budget: { of: () => ({ turn: async () => {}, throttled: () => {} }), spare: () => Promise.reject(new Error()) } },
  );
  const keys = { ...cloud.functionRoleKeys(FUNCTION_ROLE), from: "environment" as const };
  let asked = 0;
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(scopeText, { minLength: 1, maxLength: 40, size: "max" }),
      fc.boolean(),
      async (texts, create) => {
        const rights = rightsOf(texts, create);
        const before = cloud.calls.length;
        const decision = {
          outcome: "allow" as const,
          rights,
          grants: [grant("any", { allow: rights.scopes })],
          maxTtlSeconds: 900,
        };
        const outcome = await issuing
          .issue({ decision, caller: `caller-${asked++}`, keys: () => keys, waited: () => {}, renewed: () => {} })
          .catch((error: { code: string }) => error.code);
        const assumed = cloud.calls.slice(before).filter((call) => call.api === "AssumeRole");
        if (outcome === "policy_too_large") {
          refused++;
          expect(assumed).toEqual([]);
          return;
        }
        if (typeof outcome === "string") throw new Error(outcome);
        expect(assumed).toHaveLength(1);
        const text = assumed[0]?.params["Policy"] as string;
        expect(text.length).toBeLessThanOrEqual(2048);
        expect(policyActions(JSON.parse(text))).toEqual(expected(rights));

        // And as the registry sees it: what the role has of what was asked, and nothing beside it.
        const login = cloud.login(outcome.credential.username, outcome.credential.password);
        for (const probe of ["web/app", "web/other", "base/app", "secret/vault", "web-evil/app"]) {
          const [ns, name] = probe.split("/");
          const granted = rights.scopes.some(
            (one) => one.namespace === ns && ["*", name].includes(one.repository) && one.actions.includes("pull"),
          );
          expect(login?.allows("pull", probe), `${probe} by ${rights.scopes.map(formatScope)}`).toBe(
            granted && (ns === "web" || ns === "base"),
          );
        }
      },
    ),
    { numRuns: 2_000 },
  );
  expect(refused).toBeGreaterThan(20);
  expect(cloud.calls.filter((call) => call.api === "AssumeRole").length).toBeGreaterThan(1_000);
});
