import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  evaluate,
  PolicyGrammarError,
  parsePolicy,
  parseTrustPolicy,
  sessionAllows,
  trusts,
  wildcardMatches,
} from "./ram.ts";
import { permission, trust } from "./world.ts";

const REPO = "acs:cr:cn-hangzhou:1:repository/cri-1/web/app";
const policy = (...args: Parameters<typeof permission>) => parsePolicy(JSON.stringify(permission(...args)));

describe("wildcards", () => {
  test("a star crosses slashes and colons", () => {
    expect(wildcardMatches("acs:cr:*/web/*", REPO)).toBe(true);
    expect(wildcardMatches("acs:cr:*:repository/cri-1/web/*", `${REPO}/deeper`)).toBe(true);
  });

  test("a star does not cross the text around it", () => {
    expect(wildcardMatches("acs:cr:*/base/*", REPO)).toBe(false);
    expect(wildcardMatches("*/web", REPO)).toBe(false);
  });

  test("a question mark is exactly one character", () => {
    expect(wildcardMatches("web/ap?", "web/app")).toBe(true);
    expect(wildcardMatches("web/app?", "web/app")).toBe(false);
    expect(wildcardMatches("?", "/")).toBe(true);
  });

  test("nothing else is special", () => {
    expect(wildcardMatches("a.c", "abc")).toBe(false);
    expect(wildcardMatches("[a](b)+{1}|^$\\", "[a](b)+{1}|^$\\")).toBe(true);
  });

  test("agree with a naive reference for any pattern and text", () => {
    const text = (alphabet: string) =>
      fc.array(fc.constantFrom(...alphabet), { maxLength: 9 }).map((letters) => letters.join(""));
    fc.assert(
      fc.property(text("ab/*?"), text("ab/"), (pattern, value) => {
        expect(wildcardMatches(pattern, value)).toBe(naive(pattern, value));
      }),
      { numRuns: 5000, seed: 1 },
    );
  });

  test("a pattern of many stars is answered at once", () => {
    expect(wildcardMatches("*a".repeat(1000), "a".repeat(999))).toBe(false);
  });

  function naive(pattern: string, value: string): boolean {
    if (pattern === "") return value === "";
    const [first, rest] = [pattern[0], pattern.slice(1)];
    if (first === "*") return naive(rest, value) || (value !== "" && naive(pattern, value.slice(1)));
    return value !== "" && (first === "?" || first === value[0]) && naive(rest, value.slice(1));
  }
});

describe("evaluation", () => {
  const pull = { action: "cr:PullRepository", resource: REPO };

  test("what no statement covers is not allowed", () => {
    expect(evaluate([], pull)).toBe("none");
    expect(evaluate([policy("Allow", "cr:PushRepository", "*")], pull)).toBe("none");
    expect(evaluate([policy("Allow", "cr:PullRepository", "acs:cr:*:*:*/base/*")], pull)).toBe("none");
  });

  test("an explicit deny wins, wherever it stands", () => {
    const allow = policy("Allow", "cr:*", "*");
    const deny = policy("Deny", "cr:Pull*", "acs:cr:*:*:*/web/*");
    expect(evaluate([allow], pull)).toBe("allow");
    expect(evaluate([allow, deny], pull)).toBe("deny");
    expect(evaluate([deny, allow], pull)).toBe("deny");
    expect(evaluate([allow, deny], { ...pull, action: "cr:PushRepository" })).toBe("allow");
  });

  test("NotAction is every action but these", () => {
    const document = { Version: "1", Statement: [{ Effect: "Allow", NotAction: "cr:Push*", Resource: "*" }] };
    const notPush = parsePolicy(JSON.stringify(document));
    expect(evaluate([notPush], pull)).toBe("allow");
    expect(evaluate([notPush], { ...pull, action: "cr:PushRepository" })).toBe("none");
  });

  test("RAM's own ARNs compare without regard to case, others with it", () => {
    const assume = policy("Allow", "sts:AssumeRole", "acs:ram::1:role/ACR-Web");
    expect(evaluate([assume], { action: "sts:AssumeRole", resource: "acs:ram::1:role/acr-web" })).toBe("allow");
    expect(evaluate([policy("Allow", "cr:*", REPO.toUpperCase().replace("ACS", "acs"))], pull)).toBe("none");
  });

  test("a session has what both the role and the session policy allow", () => {
    const role = [policy("Allow", "cr:*", "acs:cr:*:*:*/web/*")];
    const base = { ...pull, resource: REPO.replace("web", "base") };
    expect(sessionAllows(role, undefined, pull)).toBe(true);
    expect(sessionAllows(role, policy("Allow", "cr:Pull*", "*"), pull)).toBe(true);
    expect(sessionAllows(role, policy("Allow", "cr:Pull*", "*"), { ...pull, action: "cr:PushRepository" })).toBe(false);
    expect(sessionAllows(role, policy("Allow", "*", "*"), base)).toBe(false);
    expect(sessionAllows(role, policy("Deny", "*", "*"), pull)).toBe(false);
  });

  test.each([
    ["StringEquals", "main", { ref: "main" }, true],
    ["StringEquals", "main", { ref: "mainly" }, false],
    ["StringEquals", ["dev", "main"], { ref: "main" }, true],
    ["StringEquals", "main", {}, false],
    ["StringNotEquals", "main", { ref: "dev" }, true],
    ["StringNotEquals", "main", { ref: "main" }, false],
    ["StringNotEquals", "main", {}, true],
    ["StringLike", "rel*", { ref: "release/1" }, true],
    ["StringLike", "rel*", { ref: "main" }, false],
  ])("condition %s %j in %j: %s", (operator, values, context: Record<string, string>, expected) => {
    const statement = { Effect: "Allow", Action: "*", Resource: "*", Condition: { [operator]: { ref: values } } };
    const conditional = parsePolicy(JSON.stringify({ Version: "1", Statement: [statement] }));
    expect(evaluate([conditional], { ...pull, context }) === "allow").toBe(expected);
  });
});

describe("grammar", () => {
  const statement = { Effect: "Allow", Action: "cr:PullRepository", Resource: REPO };
  const document = { Version: "1", Statement: [statement] };
  const { Effect: _e, ...noEffect } = statement;
  const { Action: _a, ...noAction } = statement;
  const { Resource: _r, ...noResource } = statement;

  test("accepts strings and lists", () => {
    const lists = { ...statement, Action: ["cr:Pull*", "*"], Resource: ["*", REPO] };
    expect(() => parsePolicy(JSON.stringify({ ...document, Statement: [lists] }))).not.toThrow();
  });

  test.each([
    ["no JSON", "{"],
    ["a trailing comma", '{"Version":"1","Statement":[],}'],
    ["a list", []],
    ["another version", { ...document, Version: "2012-10-17" }],
    ["a number as version", { ...document, Version: 1 }],
    ["no statement", { Version: "1" }],
    ["an empty statement list", { ...document, Statement: [] }],
    ["a statement that is no list", { ...document, Statement: statement }],
    ["an unknown element", { ...document, Id: "x" }],
    ["an unknown statement element", { ...document, Statement: [{ ...statement, Sid: "x" }] }],
    ["no Effect", { ...document, Statement: [noEffect] }],
    ["a lower-case effect", { ...document, Statement: [{ ...statement, Effect: "allow" }] }],
    ["no Action", { ...document, Statement: [noAction] }],
    ["Action and NotAction", { ...document, Statement: [{ ...statement, NotAction: "cr:*" }] }],
    ["an action without a service", { ...document, Statement: [{ ...statement, Action: "PullRepository" }] }],
    ["an empty list of actions", { ...document, Statement: [{ ...statement, Action: [] }] }],
    ["a number as action", { ...document, Statement: [{ ...statement, Action: [1] }] }],
    ["no Resource", { ...document, Statement: [noResource] }],
    ["a resource that is no ARN", { ...document, Statement: [{ ...statement, Resource: "web/app" }] }],
    ["an AWS resource", { ...document, Statement: [{ ...statement, Resource: "arn:aws:s3:::x" }] }],
    ["a principal", { ...document, Statement: [{ ...statement, Principal: { RAM: "acs:ram::1:root" } }] }],
    ["an unknown operator", { ...document, Statement: [{ ...statement, Condition: { StringIs: { a: "b" } } }] }],
  ])("refuses %s", (_, bad) => {
    expect(() => parsePolicy(typeof bad === "string" ? bad : JSON.stringify(bad))).toThrow(PolicyGrammarError);
  });
});

describe("trust", () => {
  const user = { principalArn: "acs:ram::1:user/ci", accountId: "1" };
  const trustOf = (...args: Parameters<typeof trust>) => parseTrustPolicy(JSON.stringify(trust(...args)));

  test("a user, a role, a service or a whole account", () => {
    expect(trusts(trustOf({ RAM: "acs:ram::1:user/ci" }), user, {})).toBe(true);
    expect(trusts(trustOf({ RAM: ["acs:ram::1:user/cd", "acs:ram::1:root"] }), user, {})).toBe(true);
    expect(trusts(trustOf({ RAM: "acs:ram::1:role/Broker" }), { principalArn: "acs:ram::1:role/broker" }, {})).toBe(
      true,
    );
    expect(trusts(trustOf({ Service: "fc.aliyuncs.com" }), { service: "fc.aliyuncs.com" }, {})).toBe(true);
  });

  test("nobody else", () => {
    expect(trusts(trustOf({ RAM: "acs:ram::1:user/cd" }), user, {})).toBe(false);
    expect(trusts(trustOf({ RAM: "acs:ram::2:root" }), user, {})).toBe(false);
    expect(trusts(trustOf({ Service: "fc.aliyuncs.com" }), user, {})).toBe(false);
    expect(trusts(trustOf({ Service: "fc.aliyuncs.com" }), { service: "ecs.aliyuncs.com" }, {})).toBe(false);
  });

  test("only with the external id that the role demands", () => {
    const demanding = trustOf({ RAM: "acs:ram::1:root" }, { StringEquals: { "sts:ExternalId": "abc" } });
    expect(trusts(demanding, user, { "sts:ExternalId": "abc" })).toBe(true);
    expect(trusts(demanding, user, { "sts:ExternalId": "abd" })).toBe(false);
    expect(trusts(demanding, user, {})).toBe(false);
  });

  test.each([
    ["everyone", { RAM: "*" }],
    ["a misspelt ARN", { RAM: "acs:ram::1:group/x" }],
    ["no one", {}],
  ])("grammar: refuses to trust %s", (_, principal) => {
    expect(() => trustOf(principal)).toThrow(PolicyGrammarError);
  });
});
