/** `acr-broker test` as a process: the repository's own policy tests, and what each kind of failure looks like. */

import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { acrBroker, ROOT } from "./run.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "policy-test-"));
  copyFileSync(join(ROOT, "broker.yaml"), join(folder, "broker.yaml"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function run(text: string, ...args: string[]) {
  writeFileSync(join(folder, "broker.test.yaml"), text);
  return acrBroker(["test", ...args], { cwd: folder });
}

const CASE = `\
- name: main publishes
  issuer: github
  claims: { repository_id: "123456", ref: refs/heads/main, environment: prod-eu }
  scope: repository:web/app:push
  expect: allow
`;

test("broker.test.yaml, the example beside broker.yaml, passes and leaves no grant out", () => {
  const { code, out, told } = acrBroker(["test"]);
  expect({ code, told }).toEqual({ code: 0, told: "" });
  expect(out).toMatch(/^\d+ cases in 1 file: all pass\n$/);
});

test("files are found beside the policy, wherever that is", () => {
  mkdirSync(join(folder, "elsewhere"));
  writeFileSync(join(folder, "more.test.yaml"), CASE);
  writeFileSync(join(folder, "broker.test.yaml"), CASE);
  writeFileSync(join(folder, "other.yaml"), "not a test");
  const ran = acrBroker(["test", "--config", "../broker.yaml"], { cwd: join(folder, "elsewhere") });
  expect(ran.out).toContain("2 cases in 2 files: all pass");
});

test("no tests at all are not a pass", () => {
  expect(acrBroker(["test"], { cwd: folder })).toMatchObject({
    code: 2,
    told: expect.stringContaining("there is no *.test.yaml beside broker.yaml"),
  });
});

describe("a case that fails", () => {
  test("is a line that begins with its place, expected against got, and the explanation; exit code 1", () => {
    const { code, out, told } = run(CASE.replace("refs/heads/main", "refs/heads/evil"));
    expect({ code, told }).toEqual({ code: 1, told: "" });
    expect(out).toMatch(/^broker\.test\.yaml:5:11: main publishes: fails: expected allow, got deny \(/);
    expect(out).toMatch(/nearest miss web-main \(broker\.yaml:\d+\)/);
    expect(out).toMatch(/fails {2}ref +is "refs\/heads\/evil"/);
    expect(out).toContain("1 case in 1 file: 1 of them fail\n");
  });

  test.each([
    ["an allow too many", CASE.replace("allow", "deny"), "5:11", "expected deny, got allow"],
    ["another grant", `${CASE}  grants: [web-branches]\n`, "6:11", "expected grants web-branches, got web-main"],
    ["another lifetime", `${CASE}  ttl: 900\n`, "6:8", "expected ttl 900, got 1800"],
    [
      "another reason",
      `${CASE.replace("allow", "deny").replace("web/app", "vault/app")}  reason: condition\n`,
      "6:11",
      "expected reason condition, got scope",
    ],
    [
      "another claim",
      `${CASE.replace("allow", "deny").replace("heads/main", "heads/x")}  claim: environment\n`,
      "6:10",
      "expected claim environment, got ref",
    ],
  ])("by %s says so at its place", (_, text, place, says) => {
    const { code, out } = run(text);
    expect(code).toBe(1);
    expect(out).toContain(`broker.test.yaml:${place}: main publishes: fails: ${says}`);
  });

  test("what STS could not take is no allow", () => {
    const scopes = Array.from({ length: 60 }, (_, index) => `repository:web/app-${index}:pull`);
    expect(run(CASE.replace("repository:web/app:push", JSON.stringify(scopes))).code).toBe(1);
  });
});

test("grants that no case has allow anything are named: a slip in them would go unnoticed", () => {
  expect(run(CASE).out).toContain("no case has these grants allow anything: web-branches, api-release\n");
});

test("--json has every case, its place, and its explanation", () => {
  const report = JSON.parse(
    run(`${CASE}${CASE.replace("main publishes", "again").replace("allow", "deny")}`, "--json").out,
  );
  expect(report).toMatchObject({
    passed: 1,
    failed: 1,
    never_allowing: ["web-branches", "api-release"],
    cases: [
      { file: "broker.test.yaml", line: 1, name: "main publishes", passed: true, failures: [] },
      {
        name: "again",
        passed: false,
        failures: [{ field: "expect", expected: "deny", got: "allow", line: 10, column: 11 }],
        explanation: { outcome: "allow" },
      },
    ],
  });
});

describe("a file that is not exactly meant is refused, with exit code 2:", () => {
  test.each([
    ["an unknown key", `${CASE}  grant_s: [web-main]\n`, "6:3: [0].grant_s: is not known here; did you mean grants?"],
    [
      "no expectation",
      CASE.replace("  expect: allow\n", ""),
      "[0].expect: is missing; write what the broker should answer",
    ],
    [
      "another word",
      CASE.replace("allow", "maybe"),
      '5:11: [0].expect: "maybe" is not known here; write one of allow, deny',
    ],
    ["nobody", CASE.replace(/ {2}(issuer|claims).*\n/g, ""), "[0].claims: is missing"],
    ["nothing asked for", CASE.replace(/ {2}scope.*\n/, ""), "[0].scope: is missing"],
    ["no scope", CASE.replace("web/app", "web"), "4:10: [0].scope: "],
    [
      "an unknown issuer",
      CASE.replace("github", "githb"),
      '2:11: [0].issuer: there is no issuer "githb"; did you mean github?',
    ],
    ["an unknown grant", `${CASE}  grants: [web-mian]\n`, '6:12: [0].grants[0]: there is no grant "web-mian"'],
    ["a reason to allow", `${CASE}  reason: scope\n`, "6:3: [0].reason: goes with expect: deny"],
    ["two claims to a name", CASE + CASE, "6:9: [1].name: is another case's name already"],
    ["claims and a key", `${CASE}  api_key: k\n`, "[0].claims: stands beside api_key"],
    ["a map", "name: x\n", "1:1: is not a list; write a list of cases"],
    ["nothing", "", "1:1: the file is empty; begin with a list of cases"],
    ["an alias", "- &a { name: x }\n- *a\n", "an anchor"],
    ["a key twice", `${CASE}  expect: deny\n`, 'the key "expect" stands twice'],
  ])("%s", (_, text, says) => {
    const { code, out, told } = run(text);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(told).toContain(says);
    for (const line of told.trimEnd().split("\n")) expect(line).toMatch(/^broker\.test\.yaml:\d+:\d+: /);
  });

  test("a policy that does not load", () => {
    writeFileSync(join(folder, "broker.yaml"), "version: 2\n");
    expect(run(CASE)).toMatchObject({ code: 2, out: "", told: expect.stringMatching(/^broker\.yaml:1:/) });
  });
});
