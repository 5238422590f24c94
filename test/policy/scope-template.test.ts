import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decide } from "../../shared/policy/decision.ts";
import { formatScope } from "../../shared/policy/scope.ts";
import {
  instantiate,
  isScopeTemplate,
  parseScopeTemplate,
  type ScopeTemplate,
  variablesOf,
} from "../../shared/policy/scope-template.ts";
import { SessionPolicy } from "../../shared/policy/session-policy.ts";
import { caller, grant, policy, scope } from "./grants.ts";

function template(text: string): ScopeTemplate {
  const parsed = parseScopeTemplate(text);
  if ("problem" in parsed) throw new Error(parsed.problem);
  return parsed.template;
}

const filled = (text: string, claims: Record<string, unknown>) => {
  const made = instantiate(template(text), claims);
  return made === undefined ? undefined : formatScope(made);
};

describe("writing", () => {
  test.each([
    ["repository:${team}/*:pull", { namespace: "team" }],
    ["repository:web/${project}:pull,push", { repository: "project" }],
    ["repository:team-${team}/app.${kind}:pull", { namespace: "team", repository: "kind" }],
    ["repository:${oidc.circleci.com/project-id}/*:pull", { namespace: "oidc.circleci.com/project-id" }],
    ["repository:${kubernetes.io.namespace}/*:pull", { namespace: "kubernetes.io.namespace" }],
  ])("%s", (text, variables) => {
    expect(isScopeTemplate(text)).toBe(true);
    expect(variablesOf(template(text))).toStrictEqual(variables);
  });

  test.each(["repository:web/app:pull", "repository:web/*:pull,push"])("%s has none", (text) => {
    expect(isScopeTemplate(text)).toBe(false);
  });

  test.each([
    ["repository:$team/*:pull", "is written ${claim}"],
    ["repository:${}/*:pull", "is written ${claim}"],
    ["repository:${a:b}/*:pull", "is written ${claim}"],
    ["repository:${${a}}/*:pull", "is written ${claim}"],
    ["repository:{team}/*:pull", "is written ${claim}"],
    ["repository:${a}${b}/*:pull", "one variable a level"],
    ["repository:${a}-${b}/*:pull", "one variable a level"],
    [`repository:${"${a}-".repeat(11)}a/*:pull`, "one variable a level"],
    ["repository:team${a}/*:pull", "between it and what stands beside it"],
    ["repository:${a}team/*:pull", "between it and what stands beside it"],
    ["repository:web/*${a}:pull", '"*" inside its repository'],
    ["repository:${a}:pull", "exactly two levels"],
    ["repository:web/app:${action}", "the actions are"],
    ["${type}:web/app:pull", 'only "repository:"'],
  ])("%s is refused", (text, why) => {
    const parsed = parseScopeTemplate(text);
    expect("problem" in parsed && parsed.problem).toContain(why);
  });
});

describe("filling in", () => {
  test("a claim's value, whole, between what is written", () => {
    expect(filled("repository:team-${team}/*:pull", { team: "web" })).toBe("repository:team-web/*:pull");
    expect(filled("repository:${k.ns}/app:pull", { k: { ns: "ci" } })).toBe("repository:ci/app:pull");
    expect(filled("repository:web/${id}:pull", { id: 42 })).toBe("repository:web/42:pull");
  });

  test.each([
    "*",
    "a*",
    "a/b",
    "../a",
    "..",
    "",
    " a",
    "A",
    "a:b",
    "${b}",
    "?",
    "-a",
    "a-",
    ".",
    "a\n",
    "ä",
    "a".repeat(300),
  ])("%j is no name and gives nothing", (team) => {
    expect(filled("repository:${team}/*:pull", { team })).toBeUndefined();
    expect(filled("repository:x-${team}/*:pull", { team })).toBeUndefined();
  });

  test.each([[["web"]], [{ a: 1 }], [null], [2 ** 60], [undefined]])("%j gives nothing", (team) => {
    expect(filled("repository:${team}/*:pull", { team })).toBeUndefined();
  });

  test("no value, whatever it is, reaches a name that is not its own", () => {
    const texts = ["repository:${v}/*:pull", "repository:team-${v}/*:push", "repository:web/${v}.img:pull"] as const;
    const value = fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[a-z0-9*/?.${}:_-]{0,12}$/));
    fc.assert(
      fc.property(fc.constantFrom(...texts), value, (text, v) => {
        const made = filled(text, { v });
        if (made === undefined) return;
        expect(made).toBe(text.replace("${v}", () => v));
        expect(v).toMatch(/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/);
      }),
      { numRuns: 5_000 },
    );
  });
});

describe("deciding", () => {
  const teams = grant("teams", {
    allow: [scope("repository:base/*:pull")],
    allowFor: [template("repository:${team}/*:pull,push")],
  });
  const ask = (team: unknown, text: string) =>
    decide(caller({ repository_id: "1", team }), { registry: "prod", scopes: [scope(text)] }, policy([teams]));

  test("each team gets its own namespace, and no other's", () => {
    expect(ask("web", "repository:web/app:push")).toMatchObject({ outcome: "allow" });
    expect(ask("web", "repository:web/*:pull")).toMatchObject({ outcome: "allow" });
    expect(ask("web", "repository:api/app:push")).toMatchObject({ outcome: "deny", reason: { kind: "scope" } });
    expect(ask("*", "repository:api/app:push")).toMatchObject({ outcome: "deny" });
    expect(ask(undefined, "repository:base/node:pull")).toMatchObject({ outcome: "allow" });
  });

  test("a named grant gives what it is for this caller", () => {
    const decision = decide(caller({ repository_id: "1", team: "web" }), { grant: teams }, policy([teams]));
    expect(decision.outcome === "allow" && decision.rights.scopes.map(formatScope)).toEqual([
      "repository:base/*:pull",
      "repository:web/*:pull,push",
    ]);
    const alone = { ...teams, allow: [] };
    expect(decide(caller({ repository_id: "1" }), { grant: alone }, policy([alone]))).toMatchObject({
      reason: { kind: "nothing_requested" },
    });
  });

  test("no claim's value widens a session policy", () => {
    // Each place a variable may stand at, and how the names that it makes may look: a `*` only where the grant wrote one.
    const forms: Readonly<Record<string, RegExp>> = {
      "repository:${team}/*:pull,push": /^[a-z0-9._-]+\/\*$/,
      "repository:team-${team}/*:push": /^team-[a-z0-9._-]+\/\*$/,
      "repository:${team}.img/app:pull": /^[a-z0-9._-]+\.img\/app$/,
      "repository:web/${team}:pull": /^web\/[a-z0-9._-]+$/,
      "repository:web/ci-${kind}.tmp:pull": /^web\/ci-[a-z0-9._-]+\.tmp$/,
      "repository:x-${team}/${kind}:push": /^x-[a-z0-9._-]+\/[a-z0-9._-]+$/,
    };
    const text = fc.oneof(
      fc.stringMatching(/^[a-z0-9]{1,6}$/),
      fc.stringMatching(/^[a-z0-9*/?.${}:_ -]{0,8}$/),
      fc.string({ unit: "binary" }),
      fc.constantFrom("*", "**", "a/b", "../web", "${kind}", "web\n", "ＷＥＢ", "web\u200b", "a*", "%2a", '"', "web/*"),
    );
    const value = fc.oneof(
      text,
      text,
      fc.array(text, { maxLength: 2 }),
      fc.jsonValue({ maxDepth: 1 }),
      fc.constant(undefined),
    );
    const texts = fc.subarray(Object.keys(forms), { minLength: 1 });
    let made = 0;
    fc.assert(
      fc.property(texts, value, value, fc.boolean(), (templates, team, kind, createRepository) => {
        const written = grant("teams", { allow: [], allowFor: templates.map(template), createRepository });
        const who = caller({ repository_id: "1", team, kind });
        const decision = decide(who, { grant: written }, policy([written]));
        if (decision.outcome === "deny") return;
        const result = SessionPolicy.of(decision.rights, {
          region: "cn-hangzhou",
          accountId: "1",
          instanceId: "cri-a",
        });
        const [login, ...statements] = JSON.parse("policy" in result ? result.policy.json : "").Statement;
        expect(login).toEqual({ Effect: "Allow", Action: "cr:GetAuthorizationToken", Resource: "*" });
        for (const { Resource } of statements) {
          for (const arn of [Resource].flat() as string[]) {
            const [, name = ""] = /^acs:cr:cn-hangzhou:1:repository\/cri-a\/(.*)$/s.exec(arn) ?? [];
            expect(
              templates.some((one) => forms[one]?.test(name) && !/[\n\r]/.test(name)),
              arn,
            ).toBe(true);
            made++;
          }
        }
      }),
      { numRuns: 3_000 },
    );
    expect(made).toBeGreaterThan(100);
  });
});
