import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decide } from "../../shared/policy/decision.ts";
import { explainDenial } from "../../shared/policy/explanation.ts";
import type { Denial, Policy } from "../../shared/policy/grant.ts";
import { parseScopeTemplate } from "../../shared/policy/scope-template.ts";
import { caller, grant, policy, scope, when } from "./grants.ts";

const web = grant("web", { allow: [scope("repository:web/*:pull,push")] });
const me = caller({ repository_id: "1", ref: "main" });

function denial(facts: Partial<Denial>): Denial {
  return { name: "frozen", when: [], registry: "prod", deny: [scope("repository:web/legacy:push")], line: 1, ...facts };
}

function ask(texts: string[], rest: Partial<Policy>, principal = me) {
  return decide(principal, { registry: "prod", scopes: texts.map(scope) }, policy([web], rest));
}

describe("a denial", () => {
  const denials = [denial({})];

  test("overrules what grants give, and nothing beside it", () => {
    expect(ask(["repository:web/legacy:push"], { denials })).toMatchObject({
      reason: { kind: "denied", denial: { name: "frozen" } },
    });
    expect(ask(["repository:web/legacy:pull"], { denials })).toMatchObject({ outcome: "allow" });
    expect(ask(["repository:web/app:push"], { denials })).toMatchObject({ outcome: "allow" });
  });

  test("refuses a whole namespace that has what it denies in it", () => {
    expect(ask(["repository:web/*:push"], { denials })).toMatchObject({ outcome: "deny", reason: { kind: "denied" } });
    expect(ask(["repository:web/*:pull"], { denials })).toMatchObject({ outcome: "allow" });
  });

  test("of a whole namespace denies each of its repositories", () => {
    expect(
      ask(["repository:web/app:pull"], { denials: [denial({ deny: [scope("repository:web/*:pull")] })] }).outcome,
    ).toBe("deny");
  });

  test("of several names denies each of them", () => {
    const deny = [scope("repository:other/app:push"), scope("repository:web/legacy:push")];
    expect(ask(["repository:web/legacy:push"], { denials: [denial({ deny })] }).outcome).toBe("deny");
  });

  test("applies at every time, or where all of its limits are kept", () => {
    const at = { ...me, time: new Date("2027-06-04T12:00:00Z") };
    const during = { kind: "time", notBefore: new Date("2027-06-04T00:00:00Z") } as const;
    const open = { kind: "time", notAfter: new Date("2027-06-05T00:00:00Z") } as const;
    const over = { kind: "time", notAfter: new Date("2027-06-01T00:00:00Z") } as const;
    const outcome = (facts: Partial<Denial>) =>
      ask(["repository:web/legacy:push"], { denials: [denial(facts)] }, at).outcome;
    expect(outcome({})).toBe("deny");
    expect(outcome({ limits: [during, open] })).toBe("deny");
    expect(outcome({ limits: [during, over] })).toBe("allow");
  });

  test("is for its issuer, registry and conditions", () => {
    const denied = (facts: Partial<Denial>) =>
      ask(["repository:web/legacy:push"], { denials: [denial(facts)] }).outcome;
    expect(denied({ issuer: "github" })).toBe("deny");
    expect(denied({ issuer: "gitlab" })).toBe("allow");
    expect(denied({ registry: "staging" })).toBe("allow");
    expect(denied({ issuer: "github", when: when({ ref: "main" }) })).toBe("deny");
    expect(denied({ issuer: "github", when: when({ ref: "other" }) })).toBe("allow");
    expect(denied({ issuer: "github", when: when({ absent: "x" }) })).toBe("allow");
  });

  test("does not fail open on a claim that cannot be compared", () => {
    const rest = { denials: [denial({ issuer: "github", when: when({ ref: "main" }) })] };
    for (const ref of [["other"], { a: 1 }, null, 2 ** 60]) {
      expect(ask(["repository:web/legacy:push"], rest, caller({ repository_id: "1", ref })).outcome, String(ref)).toBe(
        "deny",
      );
    }
  });

  test("is told to those whom a grant would have given it, not to others", () => {
    const stranger = caller({ repository_id: "2" });
    expect(ask(["repository:web/legacy:push"], { denials }, stranger)).toMatchObject({ reason: { kind: "condition" } });
    const decision = ask(["repository:web/legacy:push"], { denials });
    expect(decision.outcome === "deny" && explainDenial(decision.reason, "me")).toBe(
      "repository:web/legacy:push is granted, but frozen denies it (repository:web/legacy:push); ask without what it denies",
    );
  });
});

describe("the ceiling", () => {
  const parsed = parseScopeTemplate("repository:${team}/*:pull,push");
  if ("problem" in parsed) throw new Error(parsed.problem);
  const teams = grant("teams", { allow: [], allowFor: [parsed.template] });
  const ask = (team: string, ceiling: string[]) =>
    decide(caller({ repository_id: "1", team }), { grant: teams }, policy([teams], { ceiling: ceiling.map(scope) }));

  test("of several patterns is kept by what one of them covers", () => {
    const ceiling = ["repository:other/*:pull,push", "repository:web/*:pull", "repository:web/*:push"];
    expect(ask("web", ceiling)).toMatchObject({ outcome: "allow" });
    expect(ask("web", ceiling.slice(0, 2))).toMatchObject({ reason: { kind: "ceiling" } });
  });

  test("holds what a claim's value makes of a grant", () => {
    expect(ask("web", ["repository:web/*:pull,push"])).toMatchObject({ outcome: "allow" });
    expect(ask("infra", ["repository:web/*:pull,push"])).toMatchObject({ reason: { kind: "ceiling" } });
    expect(ask("web", ["repository:web/*:pull"])).toMatchObject({ reason: { kind: "ceiling" } });
    expect(ask("web", ["repository:web/app:pull,push"])).toMatchObject({ reason: { kind: "ceiling" } });
  });
});

test("neither ever allows more", () => {
  const text = fc
    .tuple(
      fc.constantFrom("web", "base"),
      fc.constantFrom("app", "legacy", "*"),
      fc.constantFrom("pull", "push", "pull,push"),
    )
    .map(([ns, name, actions]) => scope(`repository:${ns}/${name}:${actions}`));
  const scopes = fc.array(text, { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(scopes, scopes, scopes, fc.option(scopes, { nil: undefined }), (allow, asked, denied, ceiling) => {
      const request = { registry: "prod", scopes: asked };
      const grants = [grant("any", { allow })];
      const plain = decide(me, request, policy(grants));
      const ruled = decide(
        me,
        request,
        policy(grants, { denials: [denial({ deny: denied })], ...(ceiling === undefined ? {} : { ceiling }) }),
      );
      if (ruled.outcome === "allow") expect(ruled).toEqual(plain);
    }),
  );
});
