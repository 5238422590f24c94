import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Action,
  canonicalScopes,
  covers,
  formatScope,
  isNameComponent,
  overlaps,
  parseScope,
  quote,
  type Scope,
} from "../../shared/policy/scope.ts";

function scope(text: string): Scope {
  const result = parseScope(text);
  if ("problem" in result) throw new Error(result.problem);
  return result.scope;
}

describe("parsing", () => {
  test.each([
    ["repository:web/app:pull", "repository:web/app:pull"],
    ["repository:web/app:push,pull", "repository:web/app:pull,push"],
    ["repository:web/app:push", "repository:web/app:push"],
    ["repository:web/*:pull", "repository:web/*:pull"],
    // Names of real users of ACR EE.
    [
      "repository:swebench/sweb.eval.x86_64.astropy_1776_astropy-12907:pull",
      "repository:swebench/sweb.eval.x86_64.astropy_1776_astropy-12907:pull",
    ],
    ["repository:easycv/torch_cuda:pull", "repository:easycv/torch_cuda:pull"],
    ["repository:a.b.c/app:pull", "repository:a.b.c/app:pull"],
    [`repository:web/${"a".repeat(251)}:pull`, `repository:web/${"a".repeat(251)}:pull`],
  ])("%s is %s", (text, canonical) => {
    expect(formatScope(scope(text))).toBe(canonical);
  });

  test.each([
    ["", "is not a scope"],
    ["repository:web/app", "is not a scope"],
    ["repository:web/app:pull:push", "is not a scope"],
    ["repository:web/app:pull,repository:base/alpine:pull", "write spaces between them"],
    ["repository:web/app:1.0:pull,push", 'names the tag "1.0"; leave it out'],
    [
      "repository:r.cn-hangzhou.cr.aliyuncs.com/web/app:pull",
      "the registry's host; leave it out: repository:web/app:pull",
    ],
    ["repository:cri-abc123/web/app:pull", "names the instance; leave it out: repository:web/app:pull"],
    ["repository:abccri-/web/app:pull", "exactly two levels"],
    ["pull", "cut at its comma"],
    ["push", "cut at its comma"],
    ["repository:web/app:1.0:latest", "is not a scope"],
    ["repository:web/app:1.0:pull:x", "is not a scope"],
    ["repository:web/app:?1.0:pull", "is not a scope"],
    ["repository:Web/*:pull", "lower-case letters"],
    ["registry:catalog:*", 'only "repository:"'],
    ["repository(plugin):web/app:pull", 'only "repository:"'],
    ["repository:web:pull", "exactly two levels"],
    ["repository:a/b/c:pull", "exactly two levels"],
    ["repository:*/app:pull", '"*" in its namespace'],
    ["repository:*/*:pull", '"*" in its namespace'],
    ["repository:web/app*:pull", '"*" inside its repository'],
    ["repository:web/**:pull", '"*" inside its repository'],
    ["repository:web/..:pull", "lower-case letters"],
    ["repository:../app:pull", "lower-case letters"],
    ["repository:Web/app:pull", "lower-case letters"],
    ["repository:web/app\0:pull", "lower-case letters"],
    ["repository:web/%2e%2e:pull", "lower-case letters"],
    ["repository:web/аpp:pull", "lower-case letters"], // a Cyrillic а
    ["repository:web/${acs:username}:pull", "is not a scope"],
    ["repository:web/$x:pull", "lower-case letters"],
    ["repository:web/?:pull", "lower-case letters"],
    ["repository:web/:pull", "lower-case letters"],
    ["repository:web/app:", "the actions are"],
    ["repository:web/app:*", "the actions are"],
    ["repository:web/app:delete", "the actions are"],
    ["repository:web/app:PULL", "the actions are"],
    ["repository:web/app:pull,", "the actions are"],
    ["repository:web/app:pull,pull", "twice"],
    [`repository:web/${"a".repeat(252)}:pull`, "over 255"],
  ])("%j is refused and says why", (text, why) => {
    const result = parseScope(text);
    expect("problem" in result && result.problem).toContain(why);
  });

  test("no text makes it throw", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void parseScope(text)));
  });
});

test("a level of a name has 255 characters at most", () => {
  expect([255, 256].map((length) => isNameComponent("a".repeat(length)))).toEqual([true, false]);
});

test("what is quoted in a message is cut at 100 characters", () => {
  const [whole, longer] = ["a".repeat(100), "a".repeat(101)];
  expect([quote(whole), quote(longer)]).toEqual([`"${whole}"`, `"${whole}…"`]);
});

const component = fc.constantFrom("a", "b", "web", "web-evil");
const scopes = fc.array(
  fc.record({
    namespace: component,
    repository: fc.oneof(component, fc.constant("*")),
    actions: fc.constantFrom<readonly Action[]>(["pull"], ["push"], ["pull", "push"]),
  }),
  { minLength: 1, maxLength: 8 },
);

describe("canonical form", () => {
  test("does not depend on order or repetition", () => {
    fc.assert(
      fc.property(scopes, (list) => {
        expect(canonicalScopes([...list].reverse().concat(list))).toEqual(canonicalScopes(list));
      }),
    );
  });

  test("gives exactly the same rights as what it was made of", () => {
    const rights = (list: readonly Scope[], wanted: Scope, action: Action) =>
      list.some((one) => covers(one, wanted, action));
    fc.assert(
      fc.property(scopes, component, fc.oneof(component, fc.constant("*")), (list, namespace, repository) => {
        for (const action of ["pull", "push"] as const) {
          const wanted = { namespace, repository, actions: [action] };
          expect(rights(canonicalScopes(list), wanted, action)).toBe(rights(list, wanted, action));
        }
      }),
    );
  });
});

test("a name covers itself and nothing that only begins like it", () => {
  expect(covers(scope("repository:team/*:pull"), scope("repository:team-evil/app:pull"), "pull")).toBe(false);
  expect(covers(scope("repository:team/app:pull"), scope("repository:team/app2:pull"), "pull")).toBe(false);
  expect(covers(scope("repository:team/app:pull"), scope("repository:team/app:pull"), "push")).toBe(false);
});

test("a whole namespace is covered only by a whole namespace", () => {
  expect(covers(scope("repository:team/app:pull"), scope("repository:team/*:pull"), "pull")).toBe(false);
  expect(covers(scope("repository:team/*:pull"), scope("repository:team/*:pull"), "pull")).toBe(true);
});

test.each([
  ["team/app:pull", "team/app:pull,push", true],
  ["team/app:pull,push", "team/app:push", true],
  ["team/*:pull", "team/app:pull", true],
  ["team/*:pull", "team/*:push", false],
  ["team/app:pull", "team/app:push", false],
  ["team/app:pull", "team/app2:pull", false],
  ["team/app:pull", "other/app:pull", false],
  ["team/*:pull", "other/*:pull", false],
])("%s and %s have something in common: %s", (one, other, expected) => {
  const [a, b] = [scope(`repository:${one}`), scope(`repository:${other}`)];
  expect([overlaps(a, b), overlaps(b, a)]).toEqual([expected, expected]);
});
