/** `acr-broker explain` as a process: offline, on claims, and never on a token. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { acrBroker } from "./run.ts";

const GITHUB = "https://token.actions.githubusercontent.com";
const main = {
  iss: GITHUB,
  sub: "repo:acme/app:environment:prod-eu",
  repository_id: "123456",
  ref: "refs/heads/main",
  environment: "prod-eu",
};
const evil = { ...main, ref: "refs/heads/evil" };
const PUSH = ["--scope", "repository:web/app:push"];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "explain-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function explain(claims: unknown, ...args: string[]) {
  return acrBroker(["explain", "--claims", "-", ...args], { input: JSON.stringify(claims) });
}

describe("an allow", () => {
  test("shows the deciding grant with its line, and the session policy; exit code 0", () => {
    const { code, out, told } = explain(main, ...PUSH);
    expect({ code, told }).toEqual({ code: 0, told: "" });
    expect(out).toMatch(/^ALLOW {2}repository:web\/app:push {2}in registry prod\n/);
    const line =
      readFileSync(new URL("../../broker.yaml", import.meta.url), "utf8")
        .split("\n")
        .indexOf("  web-main:") + 1;
    expect(out).toContain(`by grant web-main (broker.yaml:${line})`);
    expect(out).toMatch(/session policy, \d+ of 2048 characters:\n\{/);
  });

  test("that STS could not take is no yes", () => {
    const scopes = Array.from({ length: 60 }, (_, index) => ["--scope", `repository:web/app-${index}:pull`]).flat();
    const { code, out } = explain(main, ...scopes);
    expect(code).toBe(1);
    expect(out).toContain("ALLOW, BUT");
    expect(out).toContain("the broker would answer policy_too_large");
  });

  test("may be of a whole grant", () => {
    const { code, out } = explain(main, "--grant", "web-main", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      outcome: "allow",
      scope: ["repository:base/*:pull", "repository:web/*:pull,push"],
    });
  });
});

describe("a deny", () => {
  test("shows the nearest miss, each condition and the claim's value; exit code 1", () => {
    const { code, out, told } = explain(evil, ...PUSH);
    expect({ code, told }).toEqual({ code: 1, told: "" });
    expect(out).toMatch(/^DENY /);
    expect(out).toMatch(/nearest miss web-main \(broker\.yaml:\d+\)/);
    expect(out).toMatch(
      /fails {2}ref +is "refs\/heads\/evil", and must be one of "refs\/heads\/main", "refs\/heads\/release"/,
    );
    expect(out).toMatch(/holds {2}repository_id +is "123456"/);
  });

  test("is the documented shape in JSON", () => {
    const explanation = JSON.parse(explain(evil, ...PUSH, "--json").out);
    expect(explanation).toMatchObject({
      outcome: "deny",
      code: "access_denied",
      reason: "condition",
      principal: { issuer: "github", subject: main.sub },
      registry: "prod",
      scope: ["repository:web/app:push"],
      nearest: { grant: "web-main", line: expect.any(Number), claim: "ref", actual: "refs/heads/evil" },
      file: "broker.yaml",
      policy_digest: expect.stringMatching(/^sha256:/),
    });
    expect(explanation.grants.map(({ name }: { name: string }) => name)).toEqual(["web-main", "web-branches"]);
  });
});

describe("who is asking", () => {
  test("is known by the claim iss, or by --issuer", () => {
    const { iss: _, ...anonymous } = main;
    expect(explain(anonymous, ...PUSH, "--issuer", "github").code).toBe(0);
    expect(explain(anonymous, ...PUSH)).toMatchObject({
      code: 2,
      told: expect.stringContaining("one of github, gitlab"),
    });
    expect(explain(main, ...PUSH, "--issuer", "gitlab").told).toContain("the claim iss is not that of gitlab");
    expect(explain(main, ...PUSH, "--issuer", "githb").told).toContain("did you mean github?");
    expect(explain({ iss: `${GITHUB}/` }, ...PUSH).told).toContain("the broker would answer untrusted_issuer");
  });

  test("may be the holder of an API key", () => {
    const policy = join(folder, "keyed.yaml");
    const key = { sha256: "0".repeat(64), expires: "2099-01-01T00:00:00Z" };
    const grant = {
      api_key: "nightly",
      registry: "prod",
      allow: ["repository:base/*:pull"],
      role_arn: "acs:ram::1234567890123456:role/r",
      max_ttl: 900,
    };
    const registry = {
      instance_id: "cri-abc123",
      region: "cn-hangzhou",
      account_id: "1234567890123456",
      endpoints: ["a.example.com"],
    };
    const content = {
      version: 1,
      audience: "https://b.example.com",
      registries: { prod: registry },
      grants: { pull: grant },
      api_keys: { nightly: key },
    };
    writeFileSync(policy, JSON.stringify(content));
    const ask = (name: string) => acrBroker(["explain", "--api-key", name, "--grant", "pull", "--config", policy]);
    expect(ask("nightly").code).toBe(0);
    expect(ask("nihgtly").told).toContain("did you mean nightly?");
  });
});

describe("a token in the place of claims", () => {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = `${encode({ alg: "RS256" })}.${encode(main)}.${"c2lnbmF0dXJl".repeat(8)}`;
  const file = () => {
    const path = join(folder, "token");
    writeFileSync(path, `${token}\n`);
    return path;
  };

  test.each([
    ["on standard input", () => acrBroker(["explain", "--claims", "-", ...PUSH], { input: token })],
    ["with Bearer before it", () => acrBroker(["explain", "--claims", "-", ...PUSH], { input: `Bearer ${token}` })],
    ["in quotes", () => acrBroker(["explain", "--claims", "-", ...PUSH], { input: JSON.stringify(token) })],
    ["in an object", () => explain({ ...main, token }, ...PUSH)],
    ["in a file", () => acrBroker(["explain", "--claims", file(), ...PUSH])],
    ["as the argument", () => acrBroker(["explain", "--claims", token, ...PUSH])],
    ["with a policy that cannot be used", () => acrBroker(["explain", "--claims", token, "--config", "/nowhere"])],
  ])("%s is refused, is not repeated, and is told how to get its claims", (_, run) => {
    const { code, out, told } = run();
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(told).toContain("that is a token or key, not claims");
    expect(told).toContain("claims.json");
    for (const part of token.split(".")) expect(told).not.toContain(part.slice(0, 12));
  });

  test("an encrypted one and a key are refused as well", () => {
    for (const input of ["a.b.c.d.e", `abk_nightly_${"0".repeat(64)}`]) {
      expect(acrBroker(["explain", "--claims", "-", ...PUSH], { input }).told).toContain("a token or key, not claims");
    }
  });

  test("a claim that merely begins like one is a claim", () => {
    expect(explain({ ...main, repository: "acme/abk_tools", actor: "eyJ" }, ...PUSH).code).toBe(0);
  });

  test("the way it is told leads to claims that work", () => {
    const { told } = acrBroker(["explain", "--claims", "-"], { input: token });
    const command = told.split("\n").find((line) => line.includes("cut -d.")) as string;
    execFileSync("sh", ["-c", command], { cwd: folder, env: { ...process.env, TOKEN: token } });
    const claims = readFileSync(join(folder, "claims.json"), "utf8");
    expect(acrBroker(["explain", "--claims", "-", ...PUSH], { input: claims }).code).toBe(0);
  });
});

test.each([
  ["[]", "are not a JSON object"],
  ["{", "cannot be read: it is not JSON"],
  ['{"a":1,"a":2}', 'the key "a" stands twice'],
])("claims %s are refused", (input, says) => {
  expect(acrBroker(["explain", "--claims", "-", ...PUSH], { input })).toMatchObject({
    code: 2,
    told: expect.stringContaining(says),
  });
});

test.each([
  [["--scope", "repository:web:pull"], "--scope: "],
  [[], "--scope: is missing"],
  [["--grant", "web-mian"], "did you mean web-main?"],
  [["--grant", "web-main", ...PUSH], "keep one of the two"],
  [[...PUSH, "--registry", "prud"], "did you mean prod?"],
])("%j is refused with what to write", (args, says) => {
  expect(explain(main, ...args)).toMatchObject({ code: 2, out: "", told: expect.stringContaining(says) });
});

test("a policy that cannot be used is no deny", () => {
  const broken = join(folder, "broken.yaml");
  writeFileSync(broken, "version: 2\n");
  const { code, out, told } = explain(main, ...PUSH, "--config", broken);
  expect({ code, out }).toEqual({ code: 2, out: "" });
  expect(told).toMatch(/^\S+broken\.yaml:1:\d+: /);
});
