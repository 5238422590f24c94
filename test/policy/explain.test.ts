/** What an explanation says, and to whom. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decide } from "../../shared/policy/decision.ts";
import { type Explanation, explain } from "../../shared/policy/explain.ts";
import { callerView, operatorView } from "../../shared/policy/explanation-view.ts";
import type { Denial, Grant, Policy, Principal } from "../../shared/policy/grant.ts";
import { parseScopeTemplate, type ScopeTemplate } from "../../shared/policy/scope-template.ts";
import { caller, grant, policy as policyOf, scope, when } from "./grants.ts";

function template(text: string): ScopeTemplate {
  const parsed = parseScopeTemplate(text);
  if ("problem" in parsed) throw new Error(parsed.problem);
  return parsed.template;
}

const location = { region: "cn-hangzhou", accountId: "1234567890123456", instanceId: "cri-abc123" };
const web = grant("web", {
  when: when({ repository_id: "1", ref: "refs/heads/main" }),
  allow: [scope("repository:web/*:pull,push")],
  line: 10,
});
const base = grant("base", { allow: [scope("repository:base/*:pull")], maxTtlSeconds: 900, line: 20 });
const gitlab = grant("gitlab", { holder: { issuer: "gitlab" }, allow: [scope("repository:web/*:pull")] });
const policy = [web, base, gitlab];

function ask(
  texts: string[],
  principal: Principal,
  grants: readonly Grant[] = policy,
  limits: Partial<Policy> = {},
): Explanation {
  const request = { registry: "prod", scopes: texts.map(scope) };
  return explain({ principal, caller: "github:me", request, policy: policyOf(grants, limits), location });
}

const main = caller({ repository_id: "1", ref: "refs/heads/main" });
const evil = caller({ repository_id: "1", ref: "refs/heads/evil" });
const nobody = caller({ repository_id: "666", ref: "refs/heads/evil" });

describe("an allowed request", () => {
  const view = operatorView(ask(["repository:web/app:push", "repository:base/node:pull"], main));

  test("names the deciding grants with their lines, the lifetime and the role", () => {
    expect(view).toMatchObject({
      outcome: "allow",
      lifetime: { seconds: 900, max_ttl: 900 },
      role_arn: "acs:ram::1234567890123456:role/acr-web",
      grants: [
        { name: "web", line: 10, matches: true, decides: true, covers: ["repository:web/app:push"] },
        { name: "base", line: 20, matches: true, decides: true, covers: ["repository:base/node:pull"] },
      ],
    });
    expect(view.code).toBeUndefined();
  });

  test("shows the session policy that would be sent, and its length", () => {
    const { characters, policy: sent } = view.session_policy ?? { characters: 0 };
    expect(JSON.stringify(sent)).toHaveLength(characters);
    expect(JSON.stringify(sent)).toContain("repository/cri-abc123/web/app");
  });

  test("that is too large for STS says so, and by how much", () => {
    const many = Array.from({ length: 60 }, (_, index) => `repository:web/app-${index}:pull`);
    const tooLarge = operatorView(ask(many, main));
    expect(tooLarge).toMatchObject({ outcome: "allow", code: "policy_too_large" });
    expect(tooLarge.session_policy?.characters).toBeGreaterThan(2048);
    expect(tooLarge.session_policy).not.toHaveProperty("policy");
  });

  test("lives as long as is wished, within what is granted", () => {
    const request = { registry: "prod", scopes: [scope("repository:web/app:pull")] };
    const question = { principal: main, caller: "", request, policy: policyOf(policy), location };
    expect(operatorView(explain({ ...question, ttlSeconds: 1000 })).lifetime).toEqual({ seconds: 1000, max_ttl: 1800 });
    expect(operatorView(explain({ ...question, minTtlSeconds: 1900 }))).toMatchObject({
      outcome: "allow",
      code: "invalid_request",
    });
  });
});

describe("a denied request", () => {
  test("shows each condition with the claim's value, the first that failed, and the nearest miss", () => {
    const view = operatorView(ask(["repository:web/app:push"], evil));
    expect(view).toMatchObject({
      outcome: "deny",
      code: "access_denied",
      reason: "condition",
      nearest: { grant: "web", line: 10, claim: "ref", actual: "refs/heads/evil", expected: '"refs/heads/main"' },
    });
    expect(view.grants[0]).toEqual({
      name: "web",
      line: 10,
      registry: "prod",
      matches: false,
      decides: false,
      failed: "ref",
      conditions: [
        { claim: "repository_id", holds: true, actual: "1", expected: '"1"' },
        { claim: "ref", holds: false, actual: "refs/heads/evil", expected: '"refs/heads/main"' },
      ],
      covers: ["repository:web/app:push"],
    });
  });

  test("shows absent claims, lists, and what cannot be compared", () => {
    const odd = caller({ ref: { deep: 1 } });
    const [grant] = operatorView(ask(["repository:web/app:push"], odd)).grants;
    expect(grant?.conditions.map(({ actual }) => actual)).toEqual([null, { unusable: "it is an object" }]);
  });

  test("for a named grant is about that grant alone", () => {
    const explained = explain({
      principal: evil,
      caller: "",
      request: { grant: web },
      policy: policyOf(policy),
      location,
    });
    expect(explained.registry).toBe("prod");
    const { grants } = operatorView(explained);
    expect(grants.map(({ name, registry }) => [name, registry])).toEqual([["web", "prod"]]);
  });

  test("has a nearest miss where a condition is what failed, and else none", () => {
    expect(ask(["repository:web/app:push"], evil)).toHaveProperty("nearest");
    expect(ask(["repository:secret/app:pull"], main)).not.toHaveProperty("nearest");
  });
});

test("without a limit each grant of the caller's issuer is explained, wherever it is and whatever it gives", () => {
  const elsewhere = { ...web, name: "elsewhere", registry: "staging" };
  const { grants } = ask(["repository:base/node:pull"], main, [web, base, gitlab, elsewhere]);
  expect(
    grants.map(({ grant, isInRegistry, matches, decides }) => [grant.name, isInRegistry, matches, decides]),
  ).toEqual([
    ["web", true, true, false],
    ["base", true, true, true],
    ["elsewhere", false, true, false],
  ]);
});

test("only those of several deciding grants decide, and each of them does", () => {
  const { grants } = ask(["repository:base/node:pull", "repository:web/app:pull"], main, [
    web,
    base,
    { ...base, name: "z" },
  ]);
  expect(grants.map(({ grant, decides }) => [grant.name, decides])).toEqual([
    ["web", true],
    ["base", true],
    ["z", false],
  ]);
});

test("each limit is shown with what it is held against, and one that is not kept lets nothing match", () => {
  const cidrs = ["10.0.0.0/8"];
  const limited = { ...base, limits: [{ kind: "network", cidrs } as const] };
  const of = (address: string) => ask(["repository:base/node:pull"], { ...main, address }, [limited]).grants[0];
  const [limit] = limited.limits;
  expect(of("10.0.0.1")).toMatchObject({
    matches: true,
    limits: [{ limit, keeps: true, actual: { kind: "value", text: "10.0.0.1" } }],
  });
  expect(of("192.0.2.1")).toMatchObject({
    matches: false,
    limits: [{ limit, keeps: false, actual: { kind: "value", text: "192.0.2.1" } }],
  });
});

describe("a policy with denials, a ceiling and variables", () => {
  const team = grant("team", {
    allow: [],
    allowFor: [template("repository:${team}/*:pull,push"), template("repository:base/${other}:pull")],
    line: 30,
  });

  test("a denial that overrules a grant is named with its line", () => {
    const denial: Denial = {
      name: "no-vault",
      when: [],
      registry: "prod",
      deny: [scope("repository:web/vault:pull")],
      line: 40,
    };
    const view = callerView(ask(["repository:web/vault:pull"], main, policy, { denials: [denial] }));
    expect(view).toMatchObject({ outcome: "deny", reason: "denied", denial: { name: "no-vault", line: 40 } });
    expect(view.grants[0]).toMatchObject({ name: "web", matches: true, decides: false });
  });

  test("so is the ceiling", () => {
    const view = callerView(
      ask(["repository:web/app:push"], main, policy, { ceiling: [scope("repository:web/*:pull")] }),
    );
    expect(view).toMatchObject({ outcome: "deny", code: "access_denied", reason: "ceiling" });
  });

  test("a variable shows what it became for this caller, or that its claim is not fit for a name", () => {
    const asking = (value: string) =>
      operatorView(ask(["repository:web/app:push"], caller({ repository_id: "1", team: value }), [team]));
    expect(asking("web")).toMatchObject({ outcome: "allow" });
    expect(asking("web").grants[0]).toMatchObject({
      decides: true,
      covers: ["repository:web/app:push"],
      variables: [
        { written: "repository:${team}/*:pull,push", scope: "repository:web/*:pull,push" },
        { written: "repository:base/${other}:pull", scope: null },
      ],
    });
    expect(asking("web/*").grants[0]).toMatchObject({ covers: [], variables: [{ scope: null }, { scope: null }] });
  });
});

describe("to the caller", () => {
  test("a stranger to every grant's issuer learns only that it is refused", () => {
    const stranger = caller({ repository_id: "1", ref: "refs/heads/main" }, "other");
    expect(callerView(ask(["repository:web/app:push"], stranger))).toEqual({
      outcome: "deny",
      code: "access_denied",
      detail: "the request was refused",
      principal: { issuer: "other", subject: "repo:acme/app" },
      registry: "prod",
      scope: ["repository:web/app:push"],
      grants: [],
    });
  });

  test("who meets no condition sees its own value beside the nearest miss, and no grant by name", () => {
    const view = callerView(ask(["repository:web/app:push"], nobody));
    expect(view.grants).toEqual([]);
    expect(view.nearest).toEqual({ claim: "repository_id", actual: "666" });
    expect(JSON.stringify(view)).not.toMatch(/"web"|refs\/heads\/main/);
  });

  test("who meets another condition sees what it must be", () => {
    const view = callerView(ask(["repository:web/app:push"], evil));
    expect(view.nearest?.expected).toBe('"refs/heads/main"');
    const [first] = view.grants;
    expect(first?.conditions).toEqual([
      // The only one that holds: what else it would take is not told.
      { claim: "repository_id", holds: true, actual: "1" },
      { claim: "ref", holds: false, actual: "refs/heads/evil", expected: '"refs/heads/main"' },
    ]);
  });

  test("conditions that anybody can meet, or that a preset adds by itself, open nothing", () => {
    const guarded = grant("guarded", {
      when: [
        ...when({ repository_id: "1" }),
        { claim: "ref", kind: "exact", value: "refs/heads/evil", callerChosen: true },
        { claim: "event_name", kind: "none_of", values: ["pull_request"] },
      ],
      allow: web.allow,
    });
    const view = callerView(ask(["repository:web/app:push"], nobody, [guarded]));
    expect(view.grants).toEqual([]);
    expect(JSON.stringify(view)).not.toMatch(/guarded|"1"/);
  });

  test("an API key's holder sees its own grants", () => {
    const nightly = grant("nightly", { holder: { apiKeys: ["nightly"] }, when: [], allow: base.allow });
    const holder: Principal = { source: { apiKey: "nightly" }, subject: "nightly", claims: {} };
    const view = callerView(ask(["repository:web/app:push"], holder, [nightly, ...policy]));
    expect(view).toMatchObject({ principal: { api_key: "nightly" }, reason: "scope" });
    expect(view.grants.map(({ name }) => name)).toEqual(["nightly"]);
  });
});

/** Policies whose every expected value names its grant, so that a leak can be traced. */
const names = ["g0", "g1", "g2", "g3", "g4"];
const random = fc.record({
  policy: fc.array(
    fc.record({
      issuer: fc.constantFrom("github", "gitlab"),
      claims: fc.subarray(["a", "b", "c"], { minLength: 1 }),
      registry: fc.constantFrom("prod", "other"),
      allow: fc.constantFrom("repository:x/*:pull", "repository:x/y:pull,push", "repository:z/y:push"),
    }),
    { minLength: 1, maxLength: names.length },
  ),
  issuer: fc.constantFrom("github", "gitlab", "elsewhere"),
  claims: fc.dictionary(fc.constantFrom("a", "b", "c"), fc.constantFrom(...names)),
  scopes: fc.subarray(["repository:x/y:pull", "repository:x/*:pull", "repository:z/y:push", "repository:w/y:pull"], {
    minLength: 1,
  }),
});

describe("for all policies and callers", () => {
  const build = ({ policy, issuer, claims, scopes }: typeof random extends fc.Arbitrary<infer T> ? T : never) => {
    const grants = policy.map((facts, index) =>
      grant(`name-${index}`, {
        holder: { issuer: facts.issuer },
        when: when(Object.fromEntries(facts.claims.map((claim) => [claim, `expected-g${index}-${claim}`]))),
        registry: facts.registry,
        allow: [scope(facts.allow)],
      }),
    );
    const mine = Object.fromEntries(
      Object.entries(claims).map(([claim, name]) => [claim, `expected-${name}-${claim}`]),
    );
    const principal = caller(mine, issuer);
    return { grants, principal, explanation: ask(scopes, principal, grants), scopes: scopes.map(scope) };
  };

  test("the decision is decide's", () => {
    fc.assert(
      fc.property(random, (facts) => {
        const { grants, principal, explanation, scopes } = build(facts);
        expect(explanation.decision).toEqual(decide(principal, { registry: "prod", scopes }, policyOf(grants)));
        const view = operatorView(explanation);
        expect(view.code === undefined).toBe(view.outcome === "allow");
        expect(callerView(explanation).outcome).toBe(view.outcome);
      }),
      { numRuns: 1000 },
    );
  });

  test("no caller sees another issuer's grant, or an expected value of a grant whose conditions it does not meet", () => {
    let hidden = 0;
    fc.assert(
      fc.property(random, (facts) => {
        const { grants, principal, explanation } = build(facts);
        const text = JSON.stringify(callerView(explanation));
        for (const [index, { name, holder, when: conditions }] of grants.entries()) {
          const isMine =
            "issuer" in holder && "issuer" in principal.source && holder.issuer === principal.source.issuer;
          const held = conditions.filter((one) => one.kind === "exact" && principal.claims[one.claim] === one.value);
          if (isMine && held.length > 0) continue;
          expect(text).not.toContain(name);
          hidden++;
          for (const { claim } of conditions) {
            const value = `expected-g${index}-${claim}`;
            // It may have the value as its own claim, at another issuer.
            if (principal.claims[claim] !== value) expect(text).not.toContain(value);
          }
        }
      }),
      { numRuns: 2000 },
    );
    expect(hidden).toBeGreaterThan(500);
  });
});

test("with a limit no more grants are explained, and those that decide are among them", () => {
  const many = Array.from({ length: 500 }, (_, index) =>
    grant(`g${index}`, {
      when: when({ owner: "acme", repository_id: String(index) }),
      allow: [scope("repository:base/*:pull")],
    }),
  );
  const principal = caller({ owner: "acme", repository_id: "499" });
  const request = { registry: "prod", scopes: [scope("repository:base/node:pull")] };
  const question = { principal, caller: "", request, policy: policyOf(many), location };
  const limited = callerView(explain({ ...question, mostGrants: 50 }));
  expect(limited.grants).toHaveLength(50);
  expect(limited.grants.find(({ decides }) => decides)?.name).toBe("g499");
  expect(operatorView(explain(question)).grants).toHaveLength(500);
  const few = explain({ ...question, policy: policyOf(many.slice(-3)), mostGrants: 50 });
  expect(few.grants.map(({ grant }) => grant.name).sort()).toEqual(["g497", "g498", "g499"]);
  const matching = many.map((one) => ({ ...one, when: when({ owner: "acme" }) }));
  expect(explain({ ...question, policy: policyOf(matching), mostGrants: 50 }).grants).toHaveLength(50);
});

describe("what is shown of", () => {
  const address = { kind: "network", cidrs: ["10.0.0.0/8"] } as const;
  const limited = { ...base, limits: [address] };
  const from = (of: Principal, where: string) =>
    ask(["repository:base/node:pull"], { ...of, address: where }, [limited]);

  test("a limit: what it is, what it is held against, and what it must be to whom the grant is for but for it", () => {
    const shown = { limit: "network", keeps: false, actual: "192.0.2.1" };
    const near = callerView(from(main, "192.0.2.1"));
    expect(near.nearest).toEqual({
      grant: "base",
      line: 20,
      limit: "network",
      actual: "192.0.2.1",
      expected: "in 10.0.0.0/8",
    });
    expect(near.grants[0]?.limits).toEqual([{ ...shown, expected: "in 10.0.0.0/8" }]);
    expect(operatorView(from(nobody, "192.0.2.1")).grants[0]?.limits).toEqual([
      { ...shown, expected: "in 10.0.0.0/8" },
    ]);
    expect(callerView(from(nobody, "192.0.2.1")).grants).toEqual([]);
    expect(operatorView(ask(["repository:base/node:pull"], main, [base])).grants[0]).not.toHaveProperty("limits");
  });

  test("a grant of which nothing failed: nothing failed", () => {
    expect(operatorView(ask(["repository:base/node:pull"], main, [base])).grants[0]).not.toHaveProperty("failed");
  });

  test("a grant that any caller of the issuer has: all of it, to each of them", () => {
    const open = grant("open", {
      when: [{ kind: "exact", claim: "ref", value: "x", callerChosen: true }],
      allow: [],
      allowFor: [template("repository:${team}/*:pull")],
    });
    const view = (claims: Record<string, unknown>) =>
      callerView(ask(["repository:web/app:pull"], caller({ team: "web", ...claims }), [open])).grants;
    expect(view({ ref: "x" })).toMatchObject([
      { name: "open", variables: [{ written: "repository:${team}/*:pull", scope: "repository:web/*:pull" }] },
    ]);
    expect(view({ ref: "y" })).toEqual([]);
  });

  test("a grant that another condition fails: what it needs, without what a variable would become", () => {
    const team = grant("team", {
      when: when({ repository_id: "1", ref: "main" }),
      allow: [],
      allowFor: [template("repository:${team}/*:pull")],
    });
    const [shown] = callerView(
      ask(["repository:web/app:pull"], caller({ repository_id: "1", team: "web" }), [team]),
    ).grants;
    expect(shown?.name).toBe("team");
    expect(shown).not.toHaveProperty("variables");
  });

  test("a claim that is a list: its texts", () => {
    const groups = ["a", "b"];
    const of = ask(["repository:web/app:pull"], caller({ repository_id: groups }), [web]);
    expect(operatorView(of).grants[0]?.conditions[0]?.actual).toEqual(groups);
  });

  test("the session policy: itself, its length and the most there may be; none where the life is too short", () => {
    const explained = ask(["repository:base/node:pull"], main, [base]);
    const json = explained.terms !== undefined && "policy" in explained.terms ? explained.terms.policy.json : "";
    expect(operatorView(explained).session_policy).toEqual({
      characters: json.length,
      most_characters: 2048,
      policy: JSON.parse(json),
    });
    const many = Array.from({ length: 60 }, (_, index) => `repository:web/app-${index}:pull`);
    expect(operatorView(ask(many, main)).session_policy).toEqual({
      characters: expect.any(Number),
      most_characters: 2048,
    });
    const request = { registry: "prod", scopes: [scope("repository:base/node:pull")] };
    const question = { principal: main, caller: "", request, policy: policyOf([base]), location };
    expect(operatorView(explain({ ...question, minTtlSeconds: 1800 }))).not.toHaveProperty("session_policy");
  });
});
