/** What an index of grants leaves out. That it leaves out nothing that matters is decision.test.ts's to show. */

import { describe, expect, test } from "vitest";
import type { Grant } from "../../shared/policy/grant.ts";
import { grantIndex, grantScan } from "../../shared/policy/grant-index.ts";
import { parseScopeTemplate } from "../../shared/policy/scope-template.ts";
import { caller, grant, scope, when } from "./grants.ts";

const names = (grants: readonly Grant[]) => grants.map(({ name }) => name).sort();
const wanting = (name: string, conditions: Grant["when"]) =>
  grant(name, { when: conditions, allow: [scope("repository:web/*:pull")] });

test("an index is made once for each list", () => {
  const grants = [wanting("a", [])];
  expect(grantIndex(grants)).toBe(grantIndex(grants));
  expect(grantIndex(grants)).not.toBe(grantIndex([...grants]));
});

test.each([grantIndex, grantScan])("a stranger, or another registry, has no grants at all (%o)", (make) => {
  const index = make([wanting("a", [])]);
  for (const [who, registry] of [
    [caller({}, "gitlab"), "prod"],
    [caller({}), "dev"],
  ] as const) {
    expect(index.isStranger(who, registry)).toBe(true);
    expect([index.possible(who, registry), index.giving(who, registry, "web")]).toEqual([[], []]);
  }
  expect(index.isStranger(caller({}), "prod")).toBe(false);
});

describe("possible are", () => {
  const same = when({ owner: "acme" });
  const make = () =>
    grantIndex([
      ...["1", "2", "3"].map((id) => wanting(`exact ${id}`, [...when({ repository_id: id }), ...same])),
      wanting("any of", [...same, { kind: "any_of", claim: "repository_id", values: ["2", "4"] }]),
      wanting("like", [{ kind: "glob", claim: "ref", pattern: "v*" }]),
    ]);
  const possible = (claims: Record<string, unknown>) => names(make().possible(caller(claims), "prod"));

  test("those under the claim that tells most apart, and those that want no exact value", () => {
    expect(possible({ repository_id: "2", owner: "acme" })).toEqual(["any of", "exact 2", "like"]);
    expect(possible({ repository_id: "4" })).toEqual(["any of", "like"]);
    expect(possible({ owner: "acme" })).toEqual(["like"]);
    expect(possible({ repository_id: ["2"] })).toEqual(["like"]);
  });
});

describe("giving something in a namespace are", () => {
  const template = (text: string) => {
    const parsed = parseScopeTemplate(text);
    if ("problem" in parsed) throw new Error(parsed.problem);
    return parsed.template;
  };
  const make = () =>
    grantIndex([
      grant("written", { allow: [scope("repository:web/*:pull"), scope("repository:web/a:push")] }),
      grant("elsewhere", { allow: [scope("repository:base/*:pull")] }),
      grant("anywhere", {
        allow: [],
        allowFor: [template("repository:web/a:pull"), template("repository:${team}/*:pull")],
      }),
      grant("there", { allow: [], allowFor: [template("repository:web/${app}:pull")] }),
    ]);

  test("those that write it out, once, and those that have a claim's value for it", () => {
    const giving = (namespace: string) => names(make().giving(caller({}), "prod", namespace));
    expect(giving("web")).toEqual(["anywhere", "there", "written"]);
    expect(giving("base")).toEqual(["anywhere", "elsewhere"]);
    expect(giving("other")).toEqual(["anywhere"]);
  });
});
