import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { holds } from "../../shared/policy/condition.ts";
import { type Decision, type DenyReason, decide } from "../../shared/policy/decision.ts";
import { explainDenial } from "../../shared/policy/explanation.ts";
import type { Grant } from "../../shared/policy/grant.ts";
import { grantIndex } from "../../shared/policy/grant-index.ts";
import { formatScope } from "../../shared/policy/scope.ts";
import { caller, grant, policy, scope, when } from "./grants.ts";

const web = grant("web", { allow: [scope("repository:web/*:pull,push")] });
const base = grant("base", { allow: [scope("repository:base/*:pull")], maxTtlSeconds: 900 });
const me = caller({ repository_id: "1" });

function ask(texts: string[], grants: readonly Grant[], principal = me): Decision {
  return decide(principal, { registry: "prod", scopes: texts.map(scope) }, policy(grants));
}

function reason(decision: Decision): DenyReason {
  if (decision.outcome === "allow") throw new Error("was allowed");
  return decision.reason;
}

describe("allowing", () => {
  test("several grants of one role may share the work, and the shortest life counts", () => {
    const decision = ask(["repository:web/app:push", "repository:base/node:pull"], [web, base]);
    expect(decision).toMatchObject({ outcome: "allow", maxTtlSeconds: 900 });
    expect(decision.outcome === "allow" && decision.grants.map((used) => used.name)).toEqual(["base", "web"]);
  });

  test("a grant that is not needed does not shorten the life", () => {
    expect(ask(["repository:web/app:push"], [web, base])).toMatchObject({ maxTtlSeconds: 1800 });
  });

  test("a named grant gives all of itself and nothing of others", () => {
    const decision = decide(me, { grant: base }, policy([web, base]));
    expect(decision.outcome === "allow" && decision.rights.scopes.map(formatScope)).toEqual(["repository:base/*:pull"]);
  });

  test("create_repository counts for what is pushed to under that grant only", () => {
    const creating = grant("creating", { allow: [scope("repository:new/*:push")], createRepository: true });
    const decision = ask(["repository:new/app:push", "repository:web/app:push"], [web, creating]);
    expect(decision.outcome === "allow" && decision.rights.creatable.map(formatScope)).toEqual([
      "repository:new/app:push",
    ]);
  });

  test("no life is longer than an hour, whatever a grant says", () => {
    expect(ask(["repository:web/app:pull"], [{ ...web, maxTtlSeconds: 43_200 }])).toMatchObject({
      maxTtlSeconds: 3600,
    });
  });
});

describe("denying", () => {
  test("nothing asked for is nothing given", () => {
    expect(reason(ask([], [web]))).toEqual({ kind: "nothing_requested" });
  });

  test("another issuer's caller is a stranger, though every claim be equal", () => {
    expect(reason(ask(["repository:web/app:pull"], [web], caller({ repository_id: "1" }, "gitlab")))).toEqual({
      kind: "stranger",
    });
  });

  test("an API key's grant is not for an issuer of the same name", () => {
    const keyed = grant("keyed", {
      holder: { apiKeys: ["github"] },
      when: [],
      allow: [scope("repository:web/*:pull")],
    });
    expect(reason(ask(["repository:web/app:pull"], [keyed]))).toEqual({ kind: "stranger" });
  });

  test("a grant of two API keys is for the holders of both, and for no other", () => {
    const holder = (apiKey: string) => ({ source: { apiKey }, subject: apiKey, claims: {} });
    const keyed = grant("keyed", {
      holder: { apiKeys: ["old", "new"] },
      when: [],
      allow: [scope("repository:web/*:pull")],
    });
    for (const name of ["old", "new"]) {
      expect(ask(["repository:web/app:pull"], [keyed], holder(name))).toMatchObject({ outcome: "allow" });
    }
    expect(reason(ask(["repository:web/app:pull"], [keyed], holder("ol")))).toEqual({ kind: "stranger" });
  });

  test("another registry's grant does not count", () => {
    expect(reason(ask(["repository:web/app:pull"], [{ ...web, registry: "staging" }]))).toEqual({ kind: "stranger" });
  });

  test("one scope too many refuses all", () => {
    expect(reason(ask(["repository:web/app:pull", "repository:secret/app:pull"], [web]))).toMatchObject({
      kind: "scope",
      missing: "pull",
    });
  });

  test("scopes of different roles are refused together", () => {
    const other = { ...base, roleArn: "acs:ram::1234567890123456:role/acr-base" };
    expect(reason(ask(["repository:web/app:pull", "repository:base/node:pull"], [web, other]))).toMatchObject({
      kind: "roles",
    });
  });

  test("the nearest miss is the grant with the fewest failing conditions", () => {
    const grants = [
      grant("far", { when: when({ repository_id: "2", ref: "main" }), allow: web.allow }),
      grant("near", { when: when({ repository_id: "1", ref: "main" }), allow: web.allow }),
    ];
    const denied = reason(ask(["repository:web/app:push"], grants, caller({ repository_id: "1", ref: "evil" })));
    expect(denied).toMatchObject({
      kind: "condition",
      nearest: { grant: { name: "near" }, failed: { claim: "ref" }, held: 1 },
    });
  });
});

describe("the words of a refusal", () => {
  const strict = grant("strict", { when: when({ repository_id: "1", ref: "refs/heads/main" }), allow: web.allow });
  const words = (claims: Record<string, unknown>) =>
    explainDenial(reason(ask(["repository:web/app:push"], [strict], caller(claims))), "github:repo:acme/app");

  test("name the claim, its value, and what it must be, to one who is nearly there", () => {
    expect(words({ repository_id: "1", ref: "refs/heads/evil" })).toBe(
      'repository:web/app:push was refused; the nearest grant is strict, whose condition on claim ref failed: the claim is "refs/heads/evil", and must be "refs/heads/main"',
    );
  });

  test("keep what is expected from a caller who meets no condition", () => {
    const text = words({ repository_id: "666", ref: "refs/heads/evil" });
    expect(text).toContain('condition on claim repository_id failed: the claim is "666"');
    expect(text).not.toContain('"1"');
    expect(text).not.toContain("strict");
  });

  test("do not take it for nearness that a caller meets a condition which anybody can choose to meet", () => {
    const [id, ref] = when({ repository_id: "1", ref: "refs/heads/main" });
    const chosen = grant("chosen", { when: [id, { ...ref, callerChosen: true }] as Grant["when"], allow: web.allow });
    const denied = reason(
      ask(["repository:web/app:push"], [chosen], caller({ repository_id: "666", ref: "refs/heads/main" })),
    );
    const text = explainDenial(denied, "x");
    expect(text).toContain("condition on claim repository_id failed");
    expect(text).not.toMatch(/"1"|chosen/);
  });

  test("tell a stranger nothing", () => {
    const denied = reason(ask(["repository:web/app:push"], [strict], caller({}, "gitlab")));
    expect(explainDenial(denied, "x")).toBe("the request was refused");
  });

  test("list what the caller has, where its grants do not reach", () => {
    const denied = reason(ask(["repository:secret/app:pull"], [web]));
    expect(explainDenial(denied, "github:repo:acme/app")).toBe(
      "no grant of github:repo:acme/app allows pull on secret/app; what it has: web (repository:web/*:pull,push)",
    );
  });
});

const name = fc.constantFrom("a", "b", "c");
const randomGrant = fc.record({
  when: fc.dictionary(fc.constantFrom("x", "y"), name, { minKeys: 1 }).map((claims) => when({ ...claims })),
  allow: fc.array(
    fc
      .tuple(name, fc.oneof(name, fc.constant("*")), fc.constantFrom("pull", "push", "pull,push"))
      .map(([n, r, a]) => scope(`repository:${n}/${r}:${a}`)),
    { minLength: 1, maxLength: 3 },
  ),
  roleArn: fc.constantFrom("acs:ram::1:role/r1", "acs:ram::1:role/r2"),
  maxTtlSeconds: fc.constantFrom(900, 1800, 3600),
  createRepository: fc.boolean(),
});
const randomGrants = fc
  .array(randomGrant, { maxLength: 6 })
  .map((list) => list.map((facts, index) => grant(`g${index}`, facts)));
const randomScopes = fc.array(
  fc
    .tuple(name, fc.oneof(name, fc.constant("*")), fc.constantFrom("pull", "push", "pull,push"))
    .map(([n, r, a]) => scope(`repository:${n}/${r}:${a}`)),
  { minLength: 1, maxLength: 4 },
);
const randomCaller = fc.record({ x: name, y: name }).map((claims) => caller(claims));

describe("for all policies", () => {
  test("the order of grants never changes the answer", () => {
    fc.assert(
      fc.property(randomCaller, randomScopes, randomGrants, (who, scopes, grants) => {
        const request = { registry: "prod", scopes };
        expect(decide(who, request, policy([...grants].reverse()))).toEqual(decide(who, request, policy(grants)));
      }),
    );
  });

  test("another condition never allows more", () => {
    fc.assert(
      fc.property(randomCaller, randomScopes, randomGrants, fc.nat(), name, (who, scopes, grants, index, value) => {
        const narrower = grants.map((one, at) =>
          at === index % grants.length ? { ...one, when: [...one.when, ...when({ z: value })] } : one,
        );
        const request = { registry: "prod", scopes };
        if (decide(who, request, policy(grants)).outcome === "deny")
          expect(decide(who, request, policy(narrower)).outcome).toBe("deny");
      }),
    );
  });

  test("what is allowed was asked for, and each part of it is given by a matching grant of the one role", () => {
    let allowed = 0;
    fc.assert(
      fc.property(randomCaller, randomScopes, randomGrants, (who, scopes, grants) => {
        const decision = decide(who, { registry: "prod", scopes }, policy(grants));
        if (decision.outcome === "deny") return;
        allowed++;
        const matching = grants.filter(
          (one) =>
            one.roleArn === decision.rights.roleArn &&
            one.when.every(
              (condition) => condition.kind === "exact" && who.claims[condition.claim] === condition.value,
            ),
        );
        for (const { namespace, repository, actions } of decision.rights.scopes) {
          for (const action of actions) {
            expect(
              scopes.some(
                (one) => one.namespace === namespace && one.repository === repository && one.actions.includes(action),
              ),
            ).toBe(true);
            expect(
              matching.some((one) =>
                one.allow.some(
                  (pattern) =>
                    pattern.namespace === namespace &&
                    ["*", repository].includes(pattern.repository) &&
                    pattern.actions.includes(action),
                ),
              ),
            ).toBe(true);
          }
        }
        for (const created of decision.rights.creatable) expect(created.actions).toContain("push");
      }),
      { numRuns: 2000 },
    );
    expect(allowed).toBeGreaterThan(20);
  });

  test("the index leaves out nothing that matters", () => {
    fc.assert(
      fc.property(randomCaller, name, randomGrants, (who, namespace, grants) => {
        const index = grantIndex(grants);
        const matches = (one: Grant) => one.when.every((condition) => holds(condition, who.claims));
        expect(index.possible(who, "prod")).toEqual(expect.arrayContaining(grants.filter(matches)));
        const gives = (one: Grant) => one.allow.some((pattern) => pattern.namespace === namespace);
        expect(index.giving(who, "prod", namespace)).toEqual(expect.arrayContaining(grants.filter(gives)));
        expect(index.isStranger(who, "prod")).toBe(grants.length === 0);
        expect(index.isStranger({ ...who, source: { issuer: "other" } }, "prod")).toBe(true);
        expect(index.isStranger(who, "staging")).toBe(true);
      }),
    );
  });
});
