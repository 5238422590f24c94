import { describe, expect, test } from "vitest";
import { type Blockable, blockList, decideUnblocked, parseBlock } from "../../shared/policy/blocks.ts";
import { decide } from "../../shared/policy/decision.ts";
import type { Grant } from "../../shared/policy/grant.ts";
import { parseScope, type Scope } from "../../shared/policy/scope.ts";

const scope = (text: string) => (parseScope(text) as { scope: Scope }).scope;

function grant(name: string, sub: string | undefined, allow = "repository:web/*:pull"): Grant {
  return {
    name,
    holder: { issuer: "ci" },
    when: sub === undefined ? [] : [{ claim: "sub", kind: "exact", value: sub }],
    registry: "prod",
    allow: [scope(allow)],
    roleArn: "acs:ram::1234567890123456:role/web",
    maxTtlSeconds: 900,
    createRepository: false,
    line: 1,
  };
}

const caller: Blockable = {
  source: { issuer: "ci" },
  subject: "repo:acme/app:main",
  claims: { sub: "repo:acme/app:main" },
  tokenId: "jti 1",
};
const holder: Blockable = { source: { apiKey: "nightly" }, subject: "nightly", claims: {} };
const member: Blockable = { ...caller, member: "eu/1" };

function listOf(...entries: string[]) {
  return blockList(
    new Map(
      entries.map((entry) => {
        const parsed = parseBlock(entry);
        if ("problem" in parsed || parsed.block === undefined) throw new Error(`not a block: ${entry}`);
        return [entry, parsed.block];
      }),
    ),
  );
}

describe("an entry stands against", () => {
  test.each<[string, Blockable, boolean]>([
    ["all", caller, true],
    ["all", holder, true],
    ["issuer ci", caller, true],
    ["issuer ci", member, true],
    ["issuer ci", holder, false],
    ["issuer ci/eu/1", member, true],
    ["issuer ci/eu/1", caller, false],
    ["issuer ci/eu", member, false],
    ["issuer c", caller, false],
    ["subject ci repo:acme/app:main", caller, true],
    ["subject ci repo:acme/app:main", member, true],
    ["subject ci/eu/1 repo:acme/app:main", member, true],
    ["subject ci/us repo:acme/app:main", member, false],
    ["subject other repo:acme/app:main", caller, false],
    ["subject ci repo:acme/app", caller, false],
    ["subject ci repo:acme/*", caller, true],
    ["subject ci *", caller, true],
    ["subject ci repo:acme/lib*", caller, false],
    ["subject nightly nightly", holder, false],
    ["token ci jti 1", caller, true],
    ["token ci jti", caller, false],
    ["token ci jti*", caller, false],
    ["api-key nightly", holder, true],
    ["api-key nightly-2", holder, false],
    ["api-key ci", caller, false],
    ["grant web", caller, false],
  ])("%s: %o: %s", (entry, principal, stands) => {
    expect(listOf("token ci other", entry).against(principal)?.entry).toBe(stands ? entry : undefined);
  });
});

test.each([
  ["alls", "is no block"],
  ["", "is no block"],
  ["all ci", "has something behind all"],
  ["issuer", "does not name an issuer"],
  ["issuer CI", "does not name an issuer"],
  ["issuer ci extra", "has something behind the name"],
  ["subject ci", "lacks what stands behind"],
  ["token", "does not name an issuer"],
  ["grant", "is not grant and one name"],
  ["grant a b", "is not grant and one name"],
  ["api-key abk_x", "is not api-key and one name"],
  ["subject ci a\nall", "has a control character"],
])("%j is refused with what to write instead", (entry, why) => {
  const { problem } = parseBlock(entry) as { problem: string };
  expect(problem).toContain(why);
  expect(problem).toContain("write all, none, issuer NAME");
});

test("blanks around an entry do not count, and none is no block", () => {
  expect(parseBlock("  issuer ci \t")).toEqual({ block: { kind: "issuer", issuer: "ci" } });
  expect(parseBlock("none")).toEqual({ block: undefined });
});

describe("a blocked grant", () => {
  const policy = { grants: [grant("wide", undefined), grant("own", "repo:acme/app:main")], denials: [] };
  const wanted = { registry: "prod", scopes: [scope("repository:web/app:pull")] };

  test("gives nothing, and what another grant gives is given", () => {
    const decision = decideUnblocked(listOf("grant wide"), caller, wanted, policy);
    expect(decision).toMatchObject({ outcome: "allow", grants: [{ name: "own" }] });
  });

  test("is named as the reason to whom it would give, and to nobody else", () => {
    const both = listOf("grant wide", "grant own");
    const denied = decideUnblocked(both, caller, wanted, policy);
    expect(denied).toMatchObject({ outcome: "deny", reason: { kind: "blocked", against: { kind: "grant" } } });
    const beyond = { registry: "prod", scopes: [scope("repository:web/app:push")] };
    expect(decideUnblocked(both, caller, beyond, policy)).toEqual(decide(caller, beyond, policy));
  });

  test("is blocked by its name, too", () => {
    const byName = { grant: policy.grants[0] as Grant };
    const denied = decideUnblocked(listOf("grant wide"), caller, byName, policy);
    expect(denied).toMatchObject({ outcome: "deny", reason: { kind: "blocked", against: { entry: "grant wide" } } });
    expect(decideUnblocked(listOf("grant own"), caller, byName, policy)).toMatchObject({ outcome: "allow" });
  });
});
