import { describe, expect, test } from "vitest";
import { type Blockable, blockedDetail, blockList, decideUnblocked, parseBlock } from "../../shared/policy/blocks.ts";
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
    ["subject other repo:acme/*", caller, false],
    ["subject ci/us repo:acme/*", member, false],
    ["subject ci/eu/1 repo:acme/*", member, true],
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

test("it is told with its kind, and by which words it stands there", () => {
  const kinds = ["all", "issuer ci", "subject ci repo:acme/app:main", "subject ci repo:*", "token ci jti 1"].map(
    (entry) => listOf(entry).against(caller),
  );
  expect(kinds).toEqual([
    { entry: "all", kind: "all" },
    { entry: "issuer ci", kind: "issuer" },
    { entry: "subject ci repo:acme/app:main", kind: "subject" },
    { entry: "subject ci repo:*", kind: "subject" },
    { entry: "token ci jti 1", kind: "token" },
  ]);
});

test("a caller without a token's id is no token that is blocked, whatever its id", () => {
  const { tokenId: _, ...without } = caller;
  expect(listOf("token ci null", "token ci undefined").against(without)).toBeUndefined();
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
  ["subject ci a\u2028all", "is no block"],
  ["issuer /ci", "does not name an issuer"],
  ["issuer ci/", "does not name an issuer"],
])("%j is refused with what to write instead", (entry, why) => {
  const { problem } = parseBlock(entry) as { problem: string };
  expect(problem).toContain(why);
  expect(problem).toContain("write all, none, issuer NAME");
});

test("blanks around an entry do not count, and none is no block", () => {
  expect(parseBlock("  issuer   ci \t")).toStrictEqual({ block: { kind: "issuer", issuer: "ci" } });
  expect(parseBlock("subject  ci/eu   a  b")).toStrictEqual({
    block: { kind: "subject", issuer: "ci", member: "eu", value: "a  b" },
  });
  expect(parseBlock("none")).toEqual({ block: undefined });
});

describe("a blocked grant", () => {
  const policy = { grants: [grant("wide", undefined), grant("own", "repo:acme/app:main")], denials: [] };
  const wanted = { registry: "prod", scopes: [scope("repository:web/app:pull")] };

  test("leaves the list of grants as it is where it is of none", () => {
    expect(listOf("all").unblocked(policy.grants)).toBe(policy.grants);
    const without = listOf("grant wide");
    expect(without.unblocked(policy.grants).map(({ name }) => name)).toEqual(["own"]);
    expect(without.unblocked(policy.grants)).toBe(without.unblocked(policy.grants));
  });

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

test("a blocked caller is denied whatever he asks for, and told whom to ask", () => {
  const policy = { grants: [grant("wide", undefined)], denials: [] };
  const against = { entry: "subject ci repo:acme/app:main", kind: "subject" };
  const blocks = blockList(new Map([[against.entry, (parseBlock(against.entry) as { block: never }).block]]), "Ann");
  for (const scopes of [[scope("repository:web/app:pull")], [scope("repository:other/app:push")]]) {
    expect(decideUnblocked(blocks, caller, { registry: "prod", scopes }, policy)).toEqual({
      outcome: "deny",
      reason: { kind: "blocked", against, askWhom: "Ann" },
    });
  }
  expect(blockedDetail("subject", "Ann")).toBe("you are blocked for now, whatever the policy gives; ask Ann");
});
