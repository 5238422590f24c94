import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Rights } from "../../shared/policy/decision.ts";
import { canonicalScopes, type Scope } from "../../shared/policy/scope.ts";
import { SessionPolicy } from "../../shared/policy/session-policy.ts";
import { scope } from "./grants.ts";

const location = { region: "cn-hangzhou", accountId: "1234567890123456", instanceId: "cri-abc123" };

function rights(texts: readonly string[], creatable: readonly string[] = []): Rights {
  return {
    registry: "prod",
    roleArn: "acs:ram::1234567890123456:role/acr-web",
    scopes: canonicalScopes(texts.map(scope)),
    creatable: creatable.map(scope),
  };
}

function text(of: Rights): string {
  const result = SessionPolicy.of(of, location);
  if ("characters" in result) throw new Error(`too large: ${result.characters}`);
  return result.policy.json;
}

const arn = (name: string) => `acs:cr:cn-hangzhou:1234567890123456:repository/cri-abc123/${name}`;

test("one statement for each set of actions, each repository in one of them", () => {
  const policy = text(
    rights([
      "repository:web/app:pull,push",
      "repository:base/node:pull",
      "repository:base/*:pull",
      "repository:out/log:push",
    ]),
  );
  expect(JSON.parse(policy)).toEqual({
    Version: "1",
    Statement: [
      { Effect: "Allow", Action: "cr:GetAuthorizationToken", Resource: "*" },
      { Effect: "Allow", Action: "cr:PullRepository", Resource: arn("base/*") },
      { Effect: "Allow", Action: ["cr:PullRepository", "cr:PushRepository"], Resource: arn("web/app") },
      { Effect: "Allow", Action: "cr:PushRepository", Resource: arn("out/log") },
    ],
  });
});

test("creating is allowed on exactly the repositories that say so", () => {
  const policy = text(
    rights(
      ["repository:web/app:push", "repository:web/other:push", "repository:base/app:push"],
      ["repository:web/app:push"],
    ),
  );
  expect(JSON.parse(policy).Statement.slice(1)).toEqual([
    { Effect: "Allow", Action: "cr:PushRepository", Resource: [arn("base/app"), arn("web/other")] },
    { Effect: "Allow", Action: ["cr:PushRepository", "cr:CreateRepository"], Resource: arn("web/app") },
  ]);
});

describe("what could mean more than itself", () => {
  const odd: [string, Scope][] = ["*", "?", "a*", "${x}", "a/b", "", "..", "A"].flatMap((bad) => [
    [`namespace ${JSON.stringify(bad)}`, { namespace: bad, repository: "app", actions: ["pull"] }],
    ...(bad === "*"
      ? []
      : [
          [`repository ${JSON.stringify(bad)}`, { namespace: "web", repository: bad, actions: ["pull"] }] as [
            string,
            Scope,
          ],
        ]),
  ]);
  test.each(odd)("%s is never written", (_, bad) => {
    expect(() => SessionPolicy.of({ ...rights([]), scopes: [bad] }, location)).toThrow("not an exact name");
  });

  test.each([
    ...["*", "", "*a", "a*", "a:b"].map((region) => ({ region })),
    ...["*", "", "*1", "1*", "1:1"].map((accountId) => ({ accountId })),
    ...["cri-*", "cri-", "web", "*cri-a", "cri-a*", "cri-a/b"].map((instanceId) => ({ instanceId })),
  ])("%o is never written", (bad) => {
    expect(() => SessionPolicy.of(rights(["repository:web/app:pull"]), { ...location, ...bad })).toThrow(
      "not an exact name",
    );
  });

  test("no rights make no policy", () => {
    expect(() => SessionPolicy.of(rights([]), location)).toThrow("without scopes");
  });
});

test("one that STS would refuse for its length is not made: 2,048 characters are, and none more", () => {
  // Each repository of two letters costs as many characters; the last one's name makes up what is left.
  const sized = (last: number) => {
    const names = Array.from({ length: 25 }, (_, index) => `repository:w/a${String.fromCharCode(97 + index)}:pull`);
    return rights([...names, `repository:w/${"z".repeat(last)}:pull`]);
  };
  const short = text(sized(2)).length;
  const left = 2048 - short + 2;
  expect(text(sized(left))).toHaveLength(2048);
  expect(SessionPolicy.of(sized(left + 1), location)).toEqual({ characters: 2049 });
});

test("is canonical: equal rights give equal text, whatever the order they were asked in", () => {
  const some = fc.subarray(
    ["repository:a/b:pull", "repository:a/c:push", "repository:b/c:pull,push", "repository:b/*:pull"],
    { minLength: 1 },
  );
  fc.assert(
    fc.property(some, (texts) => {
      const asked = rights(texts);
      expect(text(rights([...texts].reverse()))).toBe(text(asked));
      expect(text({ ...asked, scopes: [...asked.scopes].reverse() })).toBe(text(asked));
    }),
  );
});

test("no code but assume-role.ts calls AssumeRole, and that takes nothing but a SessionPolicy", () => {
  const files = readdirSync(new URL("../../", import.meta.url), { recursive: true, encoding: "utf8" }).filter((file) =>
    /^(shared|functions|cli)\/.*\.ts$/.test(file),
  );
  const calling = files.filter((file) =>
    /assumeRoleWithOptions|\.assumeRole\(|"AssumeRole"\s*,\s*version/.test(
      readFileSync(new URL(`../../${file}`, import.meta.url), "utf8"),
    ),
  );
  expect(calling).toEqual(["shared/alibaba/assume-role.ts"]);
  // @ts-expect-error: the constructor is private; only SessionPolicy.of makes one, and only from rights.
  const forge = () => new SessionPolicy("{}");
  expect(forge).toBeTypeOf("function");
});
