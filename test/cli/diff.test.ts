/** `acr-broker diff` as a process. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { acrBroker, ROOT } from "./run.ts";

const POLICY = `\
${readFileSync(join(ROOT, "broker.yaml"), "utf8")}
  nightly-pull:
    api_key: nightly
    registry: prod
    allow: ["repository:base/*:pull"]
    role_arn: acs:ram::1234567890123456:role/acr-web
    max_ttl: 900
denials:
  frozen: { registry: prod, deny: ["repository:web/legacy:push"] }
ceiling: ["repository:web/*:pull,push", "repository:api/*:pull,push", "repository:base/*:pull"]
api_keys:
  nightly: { sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, expires: 2027-06-30T00:00:00Z, cidrs: [10.0.0.0/8] }
redis: { host: r-abc.redis.rds.aliyuncs.com }
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "diff-"));
  writeFileSync(join(folder, "old.yaml"), POLICY);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The policy with `replaced` by `by`, against the policy. */
function against(replaced: string, by: string) {
  expect(POLICY.split(replaced).length, `${replaced} must stand in the policy`).toBeGreaterThan(1);
  writeFileSync(
    join(folder, "new.yaml"),
    POLICY.replace(replaced, () => by),
  );
  return acrBroker(["diff", "old.yaml", "new.yaml"], { cwd: folder });
}

const WEB_BRANCHES = POLICY.slice(POLICY.indexOf("  web-branches:\n"), POLICY.indexOf("  # Protected tags"));

describe("the same rights, exit code 0", () => {
  test.each([
    ["the same file", "version: 1", "version: 1"],
    ["another order of a list", "[refs/heads/main, refs/heads/release]", "[refs/heads/release, refs/heads/main]"],
    ["a list of one for a value", 'repository_id: "123456"', 'repository_id: { any_of: ["123456"] }'],
    ["a scope in two", '"repository:web/*:pull,push"', '"repository:web/*:pull", "repository:web/*:push"'],
    ["a default written out", "    max_ttl: 1800 # sec", "    create_repository: false\n    max_ttl: 1800 # sec"],
  ])("%s", (_, replaced, by) => {
    expect(against(replaced, by)).toEqual({ code: 0, out: "new.yaml gives the same rights as old.yaml\n", told: "" });
  });

  test("a new name, which is told", () => {
    const { code, out } = against("  web-branches:", "  web-all:");
    expect(code).toBe(0);
    expect(out).toContain("= grant web-all renamed: the same rights (new.yaml:57)\n=     name: web-branches → web-all");
  });

  test("an issuer that no grant names, which is told", () => {
    const { code, out } = against(
      "issuers:\n",
      "issuers:\n  ci: { provider: generic, issuer: https://ci.example.com }\n",
    );
    expect({ code, out }).toMatchObject({
      code: 0,
      out: expect.stringContaining("= issuer ci added: the same rights\n"),
    });
  });
});

describe("a difference, exit code 1", () => {
  test.each([
    [
      "a condition less",
      '      environment: { glob: "prod-*" }\n',
      "",
      "+",
      "grant web-main",
      'when.environment: like "prod-*" (* stays within one segment) → nothing',
    ],
    [
      "a condition more",
      "      ref_type: tag\n",
      "      ref_type: tag\n      environment: production\n",
      "-",
      "grant api-release",
      'when.environment: nothing → "production"',
    ],
    [
      "a value more",
      "refs/heads/release]",
      "refs/heads/release, refs/heads/next]",
      "+",
      "grant web-main",
      "when.ref: one of",
    ],
    [
      "a value for a pattern that has it",
      '{ glob: "prod-*" }',
      "prod-eu",
      "-",
      "grant web-main",
      "when.environment: like",
    ],
    [
      "a value for a pattern that has it not",
      '{ glob: "prod-*" }',
      "dev",
      "!",
      "grant web-main",
      "when.environment: like",
    ],
    ["a wider pattern", '"prod-*"', '"prod*"', "+", "grant web-main", "when.environment: like"],
    [
      "pull requests",
      'repository_id: "123456"\n    registry',
      'repository_id: "123456"\n      event_name: { any_of: [push, pull_request] }\n    registry',
      "!",
      "grant web-branches",
      "when.event_name: none of",
    ],
    [
      "a repository more",
      '"repository:api/server:pull,push"',
      '"repository:api/server:pull,push", "repository:api/db:pull"',
      "+",
      "grant api-release",
      "allow: now repository:api/db:pull",
    ],
    [
      "a whole namespace for a repository",
      '"repository:api/server:pull,push"',
      '"repository:api/*:pull,push"',
      "+",
      "grant api-release",
      "allow: now repository:api/*:pull,push",
    ],
    [
      "an action less",
      '"repository:api/server:pull,push"',
      '"repository:api/server:push"',
      "-",
      "grant api-release",
      "allow: no longer repository:api/server:pull",
    ],
    [
      "another role",
      "role/acr-api",
      "role/acr-web",
      "!",
      "grant api-release",
      "role_arn: acs:ram::1234567890123456:role/acr-api → acs:ram::1234567890123456:role/acr-web",
    ],
    [
      "an external id",
      "    create_repository: true\n",
      "    create_repository: true\n    external_id: acme-broker\n",
      "!",
      "grant api-release",
      "external_id: nothing → acme-broker",
    ],
    ["a longer life", "max_ttl: 1800 # sec", "max_ttl: 3600 # sec", "+", "grant web-main", "max_ttl: 1800 → 3600"],
    [
      "repositories no more made",
      "    create_repository: true\n",
      "",
      "-",
      "grant api-release",
      "create_repository: true → false",
    ],
    ["a grant gone", WEB_BRANCHES, "", "-", "grant web-branches", "for: callers of github"],
    [
      "a denial that denies more",
      "repository:web/legacy:push",
      "repository:web/*:push",
      "-",
      "denial frozen",
      "deny: now repository:web/*:push",
    ],
    [
      "a denial for some alone",
      "frozen: { registry",
      "frozen: { issuer: github, registry",
      "+",
      "denial frozen",
      "issuer: every caller → github",
    ],
    [
      "a lower ceiling",
      '"repository:api/*:pull,push"',
      '"repository:api/server:pull,push"',
      "-",
      "ceiling",
      "ceiling: no longer repository:api/*:pull,push",
    ],
    ["tokens used twice", "replay: once", "replay: off", "+", "issuer github", "replay: once → off"],
    [
      "another issuer's tokens",
      "issuer: https://gitlab.com",
      "issuer: https://gitlab.example.com",
      "!",
      "issuer gitlab",
      "issuer: https://gitlab.com → https://gitlab.example.com",
    ],
    ["another instance", "cri-abc123", "cri-abc124", "!", "registry prod", "instance_id: cri-abc123 → cri-abc124"],
    [
      "a key for longer",
      "2027-06-30",
      "2027-07-30",
      "+",
      "api key nightly",
      "expires: 2027-06-30T00:00:00.000Z → 2027-07-30T00:00:00.000Z",
    ],
    ["a key from anywhere", ", cidrs: [10.0.0.0/8]", "", "+", "api key nightly", 'cidrs: ["10.0.0.0/8"] → anywhere'],
    [
      "another Redis",
      "host: r-abc",
      "host: r-abd",
      "!",
      "redis.host",
      "redis.host: r-abc.redis.rds.aliyuncs.com:6379 → r-abd.redis.rds.aliyuncs.com:6379",
    ],
    ["a Redis in the clear", "host: r-abc", "tls: false, host: r-abc", "!", "redis.tls", "redis.tls: true → false"],
    [
      "a Redis that keeps credentials too",
      "{ host: r-abc.redis.rds.aliyuncs.com }",
      "{ host: r-abc.redis.rds.aliyuncs.com, credentials: { key_env: [B, A] } }",
      "!",
      "redis.credentials.key_env",
      "redis.credentials.key_env: nothing → B, A",
    ],
    ["another key", "9f86", "0f86", "!", "api key nightly", "sha256: another key"],
  ])("%s", (_, replaced, by, sign, subject, says) => {
    const { code, out, told } = against(replaced, by);
    expect({ code, told }).toEqual({ code: 1, told: "" });
    const [head = "", detail = ""] = out.split("\n");
    expect(head.startsWith(`${sign} ${subject} `), head).toBe(true);
    expect(out).toContain(`${sign}     ${says}`);
    expect(detail.startsWith(`${sign}     `), detail).toBe(true);
    expect(out.trimEnd().split("\n").at(-1)).toMatch(/^new\.yaml against old\.yaml: 1 change, /);
  });

  test("in JSON", () => {
    against("max_ttl: 1800 # sec", "max_ttl: 3600 # sec");
    const { code, out } = acrBroker(["diff", "old.yaml", "new.yaml", "--json"], { cwd: folder });
    expect(code).toBe(1);
    expect(JSON.parse(out)).toEqual({
      old: { file: "old.yaml", policy_digest: expect.stringMatching(/^sha256:/) },
      new: { file: "new.yaml", policy_digest: expect.stringMatching(/^sha256:/) },
      same_rights: false,
      direction: "widened",
      changes: [
        {
          subject: "grant",
          name: "web-main",
          kind: "changed",
          direction: "widened",
          old_line: 45,
          new_line: 45,
          details: [{ field: "max_ttl", direction: "widened", text: "1800 → 3600" }],
        },
      ],
    });
  });
});

describe("no answer, exit code 2", () => {
  test("without two policies", () => {
    expect(acrBroker(["diff", "old.yaml"], { cwd: folder })).toMatchObject({
      code: 2,
      out: "",
      told: expect.stringContaining("OLD NEW"),
    });
  });

  test("where one cannot be used", () => {
    const ran = against("version: 1", "version: 2");
    expect(ran).toMatchObject({ code: 2, out: "", told: expect.stringContaining("new.yaml:5:10") });
  });
});
