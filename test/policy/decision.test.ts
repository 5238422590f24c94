import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Condition, holds } from "../../shared/policy/condition.ts";
import { type Decision, type DenyReason, decide, grantFor, isNearly } from "../../shared/policy/decision.ts";
import { explainDenial } from "../../shared/policy/explanation.ts";
import type { Denial, Grant } from "../../shared/policy/grant.ts";
import { grantIndex, grantScan } from "../../shared/policy/grant-index.ts";
import { formatScope } from "../../shared/policy/scope.ts";
import { caller, grant, policy, scope, when } from "./grants.ts";

const web = grant("web", { allow: [scope("repository:web/*:pull,push")] });
const base = grant("base", { allow: [scope("repository:base/*:pull")], maxTtlSeconds: 900 });
const me = caller({ repository_id: "1" });

function ask(texts: string[], grants: readonly Grant[], principal = me): Decision {
  return decide(principal, { registry: "prod", scopes: texts.map(scope) }, policy(grants));
}

/** What a decision gives; nothing where it denies. */
function given(decision: Decision) {
  if (decision.outcome === "deny") return undefined;
  const { rights, maxTtlSeconds, grants } = decision;
  return { rights, maxTtlSeconds, grants: grants.map(({ name }) => name) };
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

describe("where several grants would do", () => {
  const all = [scope("repository:web/*:pull,push")];
  const long = grant("long", { allow: all, maxTtlSeconds: 3600 });
  const creating = grant("creating", { allow: all, maxTtlSeconds: 900, createRepository: true });

  test("a push takes one that may create the repository, and a pull the longest-lived", () => {
    for (const grants of [
      [long, creating],
      [creating, long],
    ]) {
      const push = ask(["repository:web/app:push"], grants);
      expect(given(push)).toMatchObject({ grants: ["creating"], maxTtlSeconds: 900 });
      expect(push.outcome === "allow" && push.rights.creatable.map(formatScope)).toEqual(["repository:web/app:push"]);
      expect(given(ask(["repository:web/app:pull"], grants))).toMatchObject({ grants: ["long"], maxTtlSeconds: 3600 });
    }
  });

  test("of equal ones the first by name, and they are told by name", () => {
    const z = grant("z", { allow: [scope("repository:a/*:pull")] });
    const b = grant("b", { allow: [scope("repository:b/*:pull")] });
    const asked = ["repository:a/x:pull", "repository:b/x:pull"];
    expect(given(ask(asked, [z, b]))).toMatchObject({ grants: ["b", "z"] });
    expect(given(ask(asked, [z, b, { ...b, name: "a" }]))).toMatchObject({ grants: ["a", "z"] });
  });
});

test("a role's external id goes with the role, and with no other", () => {
  const [plain, demanding] = [web, { ...web, externalId: "id-1" }].map((one) =>
    ask(["repository:web/app:pull"], [one]),
  );
  expect(given(plain as Decision)?.rights).not.toHaveProperty("externalId");
  expect(given(demanding as Decision)?.rights).toMatchObject({ roleArn: web.roleArn, externalId: "id-1" });
});

test("a grant without a claim's value in it is the same for everybody", () => {
  expect(grantFor(web, me.claims)).toBe(web);
});

describe("a grant is nearly for", () => {
  const [id, ref] = when({ repository_id: "1", ref: "main" }) as [Condition, Condition];
  const of = (conditions: readonly Condition[], claims: Record<string, unknown>, issuer?: string) =>
    isNearly(caller(claims, issuer), grant("one", { when: conditions, allow: web.allow }));

  test("whom it is for, and who meets a condition that tells callers apart", () => {
    expect(of([], {})).toBe(true);
    expect(of([id, ref], { repository_id: "1", ref: "main" })).toBe(true);
    expect(of([id, ref], { repository_id: "1", ref: "other" })).toBe(true);
    expect(of([{ ...ref, callerChosen: true }], { ref: "main" })).toBe(true);
  });

  test("nobody else", () => {
    expect(of([id, ref], { repository_id: "2", ref: "other" })).toBe(false);
    expect(of([id, { ...ref, callerChosen: true }], { repository_id: "2", ref: "main" })).toBe(false);
    expect(of([id, { kind: "exact", claim: "aud", value: "x" }], { repository_id: "2", aud: "x" })).toBe(false);
    expect(of([id, { kind: "none_of", claim: "ref", values: ["x"] }], { repository_id: "2" })).toBe(false);
    expect(of([], {}, "gitlab")).toBe(false);
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

describe("of several misses the nearest is", () => {
  const time = new Date("2027-06-04T12:00:00Z");
  const over = { kind: "time", notAfter: new Date("2027-01-01T00:00:00Z") } as const;
  const elsewhere = { kind: "network", cidrs: ["10.0.0.0/8"] } as const;
  const miss = (name: string, wanted: Record<string, string>, rest: Partial<Grant> = {}) =>
    grant(name, { when: when(wanted), allow: web.allow, ...rest });
  const nearest = (...grants: Grant[]) => {
    const who = { ...caller({ a: "1", b: "1", c: "1" }), time };
    const denied = [grants, grants.toReversed()].map((list) => reason(ask(["repository:web/app:push"], list, who)));
    return denied.map((one) => one.kind === "condition" && one.nearest.grant.name);
  };

  test("one of whose conditions some hold, though more fail", () => {
    expect(nearest(miss("none", { a: "2" }), miss("some", { a: "1", b: "2", c: "2" }))).toEqual(["some", "some"]);
    expect(nearest(miss("some", { a: "2" }), miss("z", { a: "1", b: "2", c: "2" }))).toEqual(["z", "z"]);
  });

  test("then with the fewest that fail, limits too", () => {
    expect(nearest(miss("two", { a: "1", b: "2", c: "2" }), miss("z one", { a: "1", b: "2" }))).toEqual([
      "z one",
      "z one",
    ]);
    const limited = miss("limits", { a: "1", b: "1" }, { limits: [over, elsewhere] });
    expect(nearest(limited, miss("z one", { a: "1", b: "2" }))).toEqual(["z one", "z one"]);
  });

  test("then with the most that hold, then the first by name", () => {
    expect(nearest(miss("less", { a: "1", b: "2" }), miss("more", { a: "1", b: "1", c: "2" }))).toEqual([
      "more",
      "more",
    ]);
    expect(nearest(miss("b", { a: "1", b: "2" }), miss("a", { a: "1", b: "2" }))).toEqual(["a", "a"]);
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

const claim = fc.constantFrom("x", "y", "z");
const randomCondition: fc.Arbitrary<Condition> = fc.oneof(
  fc.record({ kind: fc.constant("exact" as const), claim, value: name }),
  fc.record({ kind: fc.constant("any_of" as const), claim, values: fc.array(name, { minLength: 1 }) }),
  fc.record({ kind: fc.constant("none_of" as const), claim, values: fc.array(name, { minLength: 1 }) }),
  fc.record({ kind: fc.constant("glob" as const), claim, pattern: fc.constantFrom("a*", "*b", "*", "*") }),
  fc.record({ kind: fc.constant("contains" as const), claim, value: name }),
);
const place = fc.constantFrom("a", "b");
const pattern = fc
  .tuple(place, fc.constantFrom("*", "*", "a"), fc.constantFrom("pull,push", "pull,push", "pull", "push"))
  .map(([n, r, a]) => scope(`repository:${n}/${r}:${a}`));
const patterns = fc.array(pattern, { minLength: 1, maxLength: 2 });
const randomDenial: fc.Arbitrary<Denial> = fc.record(
  {
    name: fc.constant("denial"),
    issuer: fc.constantFrom("github", "github", "gitlab"),
    when: fc.oneof(fc.constant([]), fc.array(randomCondition, { maxLength: 2 })),
    registry: fc.constantFrom("prod", "prod", "prod", "staging"),
    deny: patterns,
    line: fc.constant(1),
  },
  { requiredKeys: ["name", "when", "registry", "deny", "line"] },
);
/** Dense: much of what is asked is allowed, so that what must not be allowed any more is often enough. */
const randomPolicy = fc
  .record(
    {
      grants: fc.array(
        fc.record({
          when: fc.array(randomCondition, { minLength: 1, maxLength: 2 }),
          allow: patterns,
          roleArn: fc.constantFrom("acs:ram::1:role/r1", "acs:ram::1:role/r2"),
          maxTtlSeconds: fc.constantFrom(900, 1800, 3600),
          createRepository: fc.boolean(),
        }),
        { minLength: 2, maxLength: 8 },
      ),
      denials: fc.array(randomDenial, { maxLength: 1 }),
      ceiling: fc.constantFrom(
        [scope("repository:a/*:pull,push")],
        [scope("repository:b/*:pull"), scope("repository:a/*:pull,push")],
      ),
    },
    { requiredKeys: ["grants", "denials"] },
  )
  .map(({ grants, ...rest }) =>
    policy(
      grants.map((facts, index) => grant(`g${index}`, facts)),
      rest,
    ),
  );
const dense = fc.tuple(
  fc.record({ x: name, y: name }).map((claims) => caller(claims)),
  fc.array(
    fc
      .tuple(place, fc.constantFrom("a", "a", "*"), fc.constantFrom("pull", "push", "pull,push"))
      .map(([n, r, a]) => scope(`repository:${n}/${r}:${a}`)),
    { minLength: 1, maxLength: 2 },
  ),
);

/** The same entries in another order. */
function shuffled<T>(list: readonly T[], numbers: Iterator<number>): T[] {
  return list
    .map((entry) => [numbers.next().value as number, entry] as const)
    .sort(([a], [b]) => a - b)
    .map(([, entry]) => entry);
}

describe("for all policies", () => {
  test("no order of grants, or of what stands in them, changes an answer", () => {
    let allowed = 0;
    const order = fc.infiniteStream(fc.nat());
    fc.assert(
      fc.property(dense, randomPolicy, order, ([who, scopes], { grants, denials, ceiling }, numbers) => {
        const other = {
          grants: shuffled(grants, numbers).map((one) => ({
            ...one,
            when: shuffled(one.when, numbers),
            allow: shuffled(one.allow, numbers),
          })),
          denials: shuffled(denials, numbers).map((one) => ({
            ...one,
            when: shuffled(one.when, numbers),
            deny: shuffled(one.deny, numbers),
          })),
          ...(ceiling === undefined ? {} : { ceiling: shuffled(ceiling, numbers) }),
        };
        const before = decide(who, { registry: "prod", scopes }, { grants, denials, ...(ceiling && { ceiling }) });
        const after = decide(who, { registry: "prod", scopes: shuffled(scopes, numbers) }, other);
        expect(given(after)).toEqual(given(before));
        if (before.outcome === "allow") allowed++;
      }),
      { numRuns: 2000 },
    );
    expect(allowed).toBeGreaterThan(100);
  });

  test("another condition never allows more, whatever is asked and by name", () => {
    let narrowed = 0;
    fc.assert(
      fc.property(dense, randomPolicy, fc.nat(), randomCondition, ([who, scopes], wide, index, condition) => {
        const grants = wide.grants.map((one, at) =>
          at === index % wide.grants.length ? { ...one, when: [...one.when, condition] } : one,
        );
        const narrow = { ...wide, grants };
        const before = decide(who, { registry: "prod", scopes }, wide);
        const after = decide(who, { registry: "prod", scopes }, narrow);
        if (before.outcome === "deny") expect(after.outcome).toBe("deny");
        else if (after.outcome === "deny") narrowed++;
        if (after.outcome === "allow") expect(after.rights.scopes).toEqual(given(before)?.rights.scopes);
        // By name only one grant counts, so that what it gives can be compared whole.
        for (const [at, grant] of grants.entries()) {
          const named = given(decide(who, { grant }, narrow));
          const whole = given(decide(who, { grant: wide.grants[at] as Grant }, wide));
          if (named !== undefined) expect(named).toEqual(whole);
        }
      }),
      { numRuns: 2000 },
    );
    expect(narrowed).toBeGreaterThan(0);
  });

  test("another denial never allows more, and changes nothing of what is still allowed", () => {
    let denied = 0;
    fc.assert(
      fc.property(dense, randomPolicy, randomDenial, ([who, scopes], wide, denial) => {
        const before = given(decide(who, { registry: "prod", scopes }, wide));
        const after = given(decide(who, { registry: "prod", scopes }, { ...wide, denials: [denial, ...wide.denials] }));
        if (after !== undefined) expect(after).toEqual(before);
        if (after === undefined && before !== undefined) denied++;
      }),
      { numRuns: 2000 },
    );
    expect(denied).toBeGreaterThan(0);
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

  test("going through all grants answers what the index does", () => {
    fc.assert(
      fc.property(randomCaller, randomScopes, randomGrants, (who, scopes, grants) => {
        const request = { registry: "prod", scopes };
        expect(decide(who, request, policy(grants), grantScan)).toEqual(decide(who, request, policy(grants)));
      }),
      { numRuns: 1000 },
    );
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
