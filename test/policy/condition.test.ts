import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Condition,
  claimValue,
  describeCondition,
  fails,
  globMatches,
  holds,
} from "../../shared/policy/condition.ts";
import { seeded } from "../seeded.ts";

describe("globs", () => {
  test.each([
    ["acme/*", "acme/app", true],
    ["acme/*", "acme/", true],
    ["acme/*", "acme/app/evil", false],
    ["acme/*", "acme", false],
    ["prod-*", "prod-eu", true],
    ["prod-*", "xprod-eu", false],
    ["refs/heads/*", "refs/heads/feature/x", false],
    ["repo:acme/*:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/main", true],
    ["repo:acme/*:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/x:ref:refs/heads/main", false],
    ["*@acme", "a@b@acme", false],
    ["a*b*c", "aXbXbc", true],
    ["a*b*c", "aXbXb", false],
    ["Main", "main", false],
    ["a.c", "abc", false],
    ["a?c", "abc", false],
    ["[ab]", "a", false],
  ])("%s on %s: %s", (pattern, text, expected) => {
    expect(globMatches(pattern, text)).toBe(expected);
  });

  /** Tries every length for each star: slow, and plainly right. */
  function naive(pattern: string, text: string): boolean {
    if (pattern === "") return text === "";
    if (pattern[0] !== "*") return text !== "" && pattern[0] === text[0] && naive(pattern.slice(1), text.slice(1));
    for (let taken = 0; taken <= text.length; taken++) {
      if (/[/:@]/.test(text.slice(0, taken))) return false;
      if (naive(pattern.slice(1), text.slice(taken))) return true;
    }
    return false;
  }

  test("agree with a naive reference on a million random cases", { timeout: 60_000 }, () => {
    const part = seeded(20_261_123);
    const random = (below: number) => Math.floor(part() * below);
    const text = (alphabet: string, longest: number) =>
      Array.from({ length: random(longest + 1) }, () => alphabet[random(alphabet.length)]).join("");
    let matched = 0;
    for (let count = 0; count < 1_000_000; count++) {
      const pattern = text("ab*/:@*", 7);
      // Every other text is made from the pattern, or few would match.
      const subject = count % 2 === 0 ? text("ab/:@", 8) : pattern.replaceAll("*", () => text("ab/:@", 3));
      const expected = naive(pattern, subject);
      if (globMatches(pattern, subject) !== expected) throw new Error(`${pattern} on ${subject} is not ${expected}`);
      if (expected) matched++;
    }
    expect(matched).toBeGreaterThan(100_000);
    expect(matched).toBeLessThan(900_000);
  });
});

describe("claims", () => {
  const exact = (claim: string, value: string): Condition => ({ kind: "exact", claim, value });

  test("dots lead into nested claims, and may be part of a name", () => {
    const claims = { "kubernetes.io": { namespace: "ci", serviceaccount: { name: "builder" } } };
    expect(holds(exact("kubernetes.io.namespace", "ci"), claims)).toBe(true);
    expect(holds(exact("kubernetes.io.serviceaccount.name", "builder"), claims)).toBe(true);
    expect(holds(exact("kubernetes.io.pod.name", "x"), claims)).toBe(false);
  });

  test("a name that leads to two places is no value", () => {
    expect(claimValue({ "a.b": "x", a: { b: "x" } }, "a.b").kind).toBe("unusable");
  });

  test("what every object has is no claim", () => {
    for (const name of [
      "constructor",
      "__proto__",
      "toString",
      "constructor.name",
      "__proto__.x",
      "__proto__.toString",
    ]) {
      expect(claimValue({}, name)).toEqual({ kind: "absent" });
    }
    expect(claimValue(JSON.parse('{"__proto__":{"admin":"yes"}}'), "admin")).toEqual({ kind: "absent" });
  });

  test("nothing lies below a text, a list or null, nor under a name of nothing", () => {
    const claims = { ref: "main", groups: ["a"], none: null, "": { b: "x" } };
    for (const name of ["ref.length", "ref.0", "groups.0", "groups.length", "none.x", "ab"]) {
      expect([name, claimValue(claims, name)]).toEqual([name, { kind: "absent" }]);
    }
  });

  test("what cannot be compared says why", () => {
    const why = (value: unknown) => claimValue({ claim: value }, "claim");
    expect(why(["a", {}])).toEqual({ kind: "unusable", why: "it is a list of more than texts and numbers" });
    expect(why(2 ** 53)).toEqual({ kind: "unusable", why: "it is a number that is not a whole number below 2^53" });
    expect(why(null)).toEqual({ kind: "unusable", why: "it is null" });
    expect(why({})).toEqual({ kind: "unusable", why: "it is an object" });
  });

  test("true and false compare as text", () => {
    expect(claimValue({ protected: true }, "protected")).toEqual({ kind: "value", text: "true" });
    expect(holds(exact("protected", "false"), { protected: false })).toBe(true);
    expect(holds(exact("protected", "true"), { protected: false })).toBe(false);
  });

  test("a condition fails on what is absent or another value, and not on what cannot be compared", () => {
    const all: readonly Condition[] = [
      exact("c", "a"),
      { kind: "any_of", claim: "c", values: ["a"] },
      { kind: "glob", claim: "c", pattern: "a*" },
    ];
    for (const condition of all) {
      for (const claims of [{}, { c: "b" }]) expect(fails(condition, claims)).toBe(true);
      for (const c of ["a", ["b"], null, {}, 1.5]) expect([c, fails(condition, { c })]).toEqual([c, false]);
    }
    const contains: Condition = { kind: "contains", claim: "c", value: "a" };
    for (const claims of [{}, { c: ["b"] }, { c: [] }]) expect(fails(contains, claims)).toBe(true);
    for (const c of [["a"], "b", null, {}, ["b", {}]]) expect([c, fails(contains, { c })]).toEqual([c, false]);
  });

  test("numbers compare as text, unless JSON has rounded them", () => {
    expect(holds(exact("id", "123456"), { id: 123456 })).toBe(true);
    expect(holds(exact("id", "123456"), { id: "123456" })).toBe(true);
    expect(holds(exact("id", "9007199254740992"), JSON.parse('{"id":9007199254740993}'))).toBe(false);
    expect(holds(exact("id", "1.5"), { id: 1.5 })).toBe(false);
  });

  test.each([[["main"]], [{ main: true }], [null]])("%j equals no text", (value) => {
    expect(holds(exact("ref", "main"), { ref: value })).toBe(false);
    expect(holds({ kind: "glob", claim: "ref", pattern: "*" }, { ref: value })).toBe(false);
  });

  test("a list contains its elements, whole, and nothing else does", () => {
    const condition: Condition = { kind: "contains", claim: "groups", value: "admins" };
    expect(holds(condition, { groups: ["users", "admins"] })).toBe(true);
    expect(holds({ ...condition, value: "7" }, { groups: [7] })).toBe(true);
    for (const groups of [
      "admins",
      ["admins2"],
      [["admins"]],
      [{ admins: 1 }, "admins"],
      [null, "admins"],
      [],
      {},
      null,
    ]) {
      expect(holds(condition, { groups }), JSON.stringify(groups)).toBe(false);
    }
    expect(holds(condition, {})).toBe(false);
  });

  test("none_of holds for what is absent or other, and for nothing that cannot be compared", () => {
    const condition: Condition = { kind: "none_of", claim: "event_name", values: ["pull_request"] };
    expect(holds(condition, {})).toBe(true);
    expect(holds(condition, { event_name: "push" })).toBe(true);
    for (const event of ["pull_request", ["pull_request"], ["push"], null, {}]) {
      expect(holds(condition, { event_name: event }), JSON.stringify(event)).toBe(false);
    }
  });

  test("each condition has its words", () => {
    const values = ["a", 'b"'];
    const words = [
      exact("c", "a"),
      { kind: "any_of", claim: "c", values } as const,
      { kind: "glob", claim: "c", pattern: "a*" } as const,
      { kind: "contains", claim: "c", value: "a" } as const,
      { kind: "none_of", claim: "c", values } as const,
    ].map(describeCondition);
    expect(words).toEqual([
      '"a"',
      'one of "a", "b\\""',
      'like "a*" (* stays within one segment)',
      'a list with "a" in it',
      'none of "a", "b\\"", unless the grant has a condition on it',
    ]);
  });

  describe("padding a value, before or after, never makes it match", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "B", "/", ":", "@", "-", "."), minLength: 1, maxLength: 6 });
    const padding = fc.oneof(
      text,
      fc.string({ minLength: 1, unit: "binary" }),
      fc.constantFrom("\n", "\r\n", " ", "\0", "\u200b", "\ufeff", "*", "$", "|", "/x", "-evil"),
    );

    test("where it is a value that is written", () => {
      fc.assert(
        fc.property(text, fc.array(text), padding, fc.boolean(), (value, others, pad, isBefore) => {
          const padded = isBefore ? pad + value : value + pad;
          const values = [value, ...others.filter((other) => other !== padded)];
          expect(holds(exact("c", value), { c: padded })).toBe(false);
          expect(holds({ kind: "any_of", claim: "c", values }, { c: padded })).toBe(false);
          expect(holds({ kind: "contains", claim: "c", value }, { c: [padded] })).toBe(false);
          expect(holds({ kind: "none_of", claim: "c", values: [padded] }, { c: padded })).toBe(false);
        }),
        { numRuns: 2_000 },
      );
    });

    test("where it is a pattern, but for what a * at that end stands for", () => {
      let matched = 0;
      const parts = fc.array(fc.oneof(fc.constantFrom("a", "/", ":", "-"), fc.constant("*")), {
        minLength: 1,
        maxLength: 6,
      });
      const star = fc.infiniteStream(fc.constantFrom("", "a", "-", "aa"));
      fc.assert(
        fc.property(parts, star, padding, fc.boolean(), (pattern, stars, pad, isBefore) => {
          // A value that matches: something without a separator for each star.
          const value = pattern.map((part) => (part === "*" ? stars.next().value : part)).join("");
          const condition: Condition = { kind: "glob", claim: "c", pattern: pattern.join("") };
          expect(holds(condition, { c: value })).toBe(true);
          const matches = holds(condition, { c: isBefore ? pad + value : value + pad });
          // No star takes a separator, so there are as many in each value as in the pattern.
          if (/[/:@]/.test(pad)) expect(matches).toBe(false);
          // A letter at the end stands for itself.
          const [end, outer] = isBefore ? [pattern[0], pad[0]] : [pattern.at(-1), pad.at(-1)];
          if (end !== "*" && end !== outer) expect(matches).toBe(false);
          if (matches) matched++;
        }),
        { numRuns: 5_000 },
      );
      // There are some that a star at the end does take in, so the test knows the difference.
      expect(matched).toBeGreaterThan(100);
    });
  });
});
