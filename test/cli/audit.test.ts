/** `acr-broker audit` as its users meet it: answers, exit codes, what a caller cannot do to it. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { startHarness } from "../broker/harness.ts";
import { allUsed, given } from "./audit/events.ts";
import { acrBroker, ROOT } from "./run.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "audit-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const UNTIL = ["--days", "90", "--until", "2026-11-24"];
/** Over the ninety days that end with 24 November, and a bit on both sides. */
const REACH = given("2026-08-01T00:00:00Z") + given("2026-11-25T01:00:00Z");

const ask = (log: string, ...args: string[]) => acrBroker(["audit", "-", ...args], { input: log });

function asked(log: string, ...args: string[]) {
  const { code, out, told } = ask(log, ...args, "--json");
  return { code, told, ...JSON.parse(out) };
}

const principals = (entries: readonly { principal: string }[]) => entries.map(({ principal }) => principal);

test("it reads what a broker wrote", async () => {
  const h = await startHarness();
  for (const scope of ["web/app:pull,push", "web/app:pull,push", "secret/vault:pull"]) {
    await h.ask({ registry: "prod", scope: [`repository:${scope}`] });
  }
  await h.ask({ registry: "prod", scope: ["repository:web/app:pull"] }, "no.token.atall");
  const answer = asked(
    h
      .logged()
      .map((event) => `${JSON.stringify(event)}\n`)
      .join(""),
  );
  await h.close();
  expect(answer).toMatchObject({ code: 0, log: { decisions: 3, refused: 1, damaged: 0 } });
  expect(answer.given).toMatchObject([
    { principal: "ci:job", scope: ["repository:web/app:pull,push"], grants: ["web-main"], credentials: 2 },
  ]);
});

describe("who got what", () => {
  const key = { issuer: undefined, api_key: "nightly", subject: "nightly", scope: ["repository:api/server:push"] };
  const log = [
    given("2026-11-23T10:00:00Z", { subject: "one", scope: ["repository:web/app:pull"] }),
    given("2026-11-24T10:00:00Z", { subject: "two", scope: ["repository:web/*:pull"] }),
    given("2026-11-24T11:00:00Z", key),
    given("2026-11-24T12:00:00Z", { subject: "not-issued", issued: false, code: "upstream_timeout" }),
    given("2026-11-24T12:00:00Z", { subject: "asked", issued: undefined, explain: true }),
    given("2026-11-24T12:00:00Z", { subject: "renewed", cache: "renewal" }),
    given("2026-11-24T12:00:00Z", { subject: "denied", outcome: "deny", issued: false, code: "access_denied" }),
  ].join("");
  test.each([
    [[], ["api_key.nightly", "github:two", "github:one"]],
    [
      ["--repository", "web/app"],
      ["github:two", "github:one"],
    ],
    [["--repository", "web/*", "--until", "2026-11-23"], ["github:one"]],
    [["--principal", "github:two"], ["github:two"]],
    [
      ["--principal", "github:*"],
      ["github:two", "github:one"],
    ],
    [
      ["--since", "2026-11-24", "--until", "2026-11-24T11:00:00Z"],
      ["api_key.nightly", "github:two"],
    ],
    [["--since", "2026-11-24T18:30:00+08:00"], ["api_key.nightly"]],
  ])("%j", (args, expected) => {
    const { code, given: entries } = asked(log, ...args);
    expect([code, principals(entries)]).toEqual([0, expected]);
  });

  test("nobody is 1, and 2 where the log does not reach over the time", () => {
    expect(ask(log, "--registry", "test")).toMatchObject({ code: 1, out: "nobody got anything of it\n" });
    expect(asked(log, "--registry", "test", "--since", "2026-11-01")).toMatchObject({
      ...{ code: 2, certain: false, doubt: expect.stringContaining("the log begins 2026-11-23T10:00:00Z") },
    });
  });
});

describe("who could push", () => {
  const late = given("2026-11-23T23:45:00Z", { subject: "late" });
  const held = late + given("2026-11-24T09:00:00Z", { scope: ["repository:web/app:pull"] });
  const pushed = (log: string, at: string, ...more: string[]) =>
    ask(log, "--could-push", "web/app", "--at", at, ...more);

  test("also with a credential of the day before that still lived, but not with one to pull", () => {
    const answer = asked(held, "--could-push", "web/app", "--at", "2026-11-24");
    expect([answer.code, principals(answer.held)]).toEqual([0, ["github:late"]]);
    expect(pushed(REACH + held, "2026-11-24T00:14:59Z").code).toBe(0);
    expect(pushed(REACH + held, "2026-11-24T00:15:00Z")).toMatchObject({
      ...{ code: 1, out: "nobody held a credential to push there\n" },
    });
  });

  test("nobody is no answer where the log begins less than an hour before, or ends sooner", () => {
    expect(pushed(REACH, "2026-08-01T00:45:00Z")).toMatchObject({
      ...{ code: 2, told: expect.stringContaining("would have to begin 2026-07-31T23:45:00Z") },
    });
    expect(pushed(REACH, "2026-11-26")).toMatchObject({
      ...{ code: 2, told: expect.stringContaining("the log ends 2026-11-25T01:00:00Z") },
    });
  });

  test("by the policy, with the grants that give it and whether it was another then", () => {
    const log = REACH + held;
    const by = (repository: string) =>
      ask(log, "--could-push", repository, "--at", "2026-11-24", "--config", "broker.yaml");
    const { code, out } = by("api/server");
    expect(code).toBe(0);
    expect(out).toMatch(
      /^nobody held a credential to push there\nbroker\.yaml:\d+: grant api-release gives it to callers of gitlab with project_id "42", /,
    );
    expect(out).toContain(`the policy was another then: sha256:${"0".repeat(64)}`);
    const none = "no grant of the policy gives it\n";
    expect(by("base/alpine")).toMatchObject({ code: 1, out: expect.stringContaining(none) });
  });
});

describe("what nobody needs", () => {
  test("grants that were not used, with their lines", () => {
    const { code, out } = ask(REACH + given("2026-10-01T00:00:00Z"), "--unused-grants", ...UNTIL);
    expect(code).toBe(1);
    expect(out).toMatch(
      /^broker\.yaml:\d+: grant web-branches was not used in 90 days\nbroker\.yaml:\d+: grant api-release was not used in 90 days\n$/,
    );
    expect(ask(REACH + allUsed("2026-10-01T00:00:00Z"), "--unused-grants", ...UNTIL).code).toBe(0);
    // Before the ninety days.
    expect(ask(REACH + allUsed("2026-08-02T00:00:00Z"), "--unused-grants", ...UNTIL).code).toBe(1);
  });

  const end = given("2026-11-24T23:00:00Z");
  test.each([
    ["begins too late", given("2026-11-01T00:00:00Z") + end, "the log begins 2026-11-01T00:00:00Z"],
    ["ends too soon", given("2026-08-01T00:00:00Z"), "the log ends 2026-08-01T00:00:00Z"],
    ["is damaged", `${REACH}${end.slice(0, 100)}\n`, "lines that could not be read may say otherwise"],
    ["has a later form", REACH + given("2026-10-01T00:00:00Z", { version: 2 }), "use a newer acr-broker"],
  ])("a log that %s is no proof that a grant is unused", (_, log, says) => {
    const { code, out, told } = ask(log, "--unused-grants", ...UNTIL);
    expect([code, out, told]).toEqual([2, expect.stringContaining("web-branches"), expect.stringContaining(says)]);
  });

  test("the narrower grants load in place of the old ones, and take from them alone", () => {
    const log = [
      REACH,
      given("2026-11-01T00:00:00Z", { scope: ["repository:base/alpine:pull", "repository:web/app:push"] }),
      given("2026-11-02T00:00:00Z", {
        ...{ scope: ["repository:api/server:pull"], grants: [{ name: "api-release", line: 1 }] },
      }),
    ].join("");
    const { code, out } = ask(log, "--broader-grants", ...UNTIL);
    expect(code).toBe(1);
    const narrower = parse(out).grants;
    const allows = Object.entries(narrower).map(([name, grant]) => [name, (grant as { allow: string[] }).allow]);
    expect(allows).toEqual([
      ["web-main", ["repository:base/alpine:pull", "repository:web/app:push"]],
      ["api-release", ["repository:api/server:pull"]],
    ]);
    const policy = parse(readFileSync(join(ROOT, "broker.yaml"), "utf8"));
    const file = join(folder, "narrower.yaml");
    writeFileSync(file, stringify({ ...policy, grants: { ...policy.grants, ...narrower } }));
    expect(acrBroker(["check", file]).code).toBe(0);
    const { changes } = JSON.parse(acrBroker(["diff", "broker.yaml", file, "--json"]).out);
    expect(changes.map(({ name, direction }: Record<string, string>) => [name, direction])).toEqual([
      ["web-main", "narrowed"],
      ["api-release", "narrowed"],
    ]);
    expect(ask(log, "--broader-grants", ...UNTIL, "--config", file)).toMatchObject({
      ...{ code: 0, out: "# no grant that was used gives more than was used\n" },
    });
  });

  test("a grant of the same name in another registry was not used", () => {
    const log = REACH + allUsed("2026-10-01T00:00:00Z").replaceAll('"registry":"prod"', '"registry":"other"');
    expect(ask(log, "--unused-grants", ...UNTIL).out).toContain("web-branches");
  });
});

describe("a caller cannot", () => {
  const hostile =
    'x\u001b]0;title\u0007\u001b[31m\u202e\u2028\nci:root: prod repository:secret/vault:push, 1 credential"';
  const log = given("2026-11-24T10:00:00Z", { subject: hostile });

  test("write a line of its own, or to the terminal, by its name", () => {
    const { out } = ask(log);
    expect(out).toMatch(
      /^"github:x\?\]0;title\?\?\[31m\?\?\?ci:root: prod repository:secret\/vault:push, 1 credential\\"": prod repository:web\/app/,
    );
    expect(out).toMatch(/^[\x20-\x7e]*\n$/);
  });

  test("be another by its name: the JSON has it whole", () => {
    const { given: entries } = asked(log + given("2026-11-24T10:00:00Z", { subject: "__proto__" }));
    expect(principals(entries).sort()).toEqual(["github:__proto__", `github:${hostile}`]);
  });

  test("fill the page by a long one", () => {
    expect(ask(given("2026-11-24T10:00:00Z", { subject: "x".repeat(8000) })).out.length).toBeLessThan(500);
  });
});

test.each([
  [[], "name the files of the log, or - for standard input"],
  [["-", "--at", "2026-11-24"], "--at has no use without --could-push"],
  [["-", "--could-push", "web/app"], "--could-push needs the day or time"],
  [["-", "--could-push", "web", "--at", "2026-11-24"], "--could-push is a repository, web/app"],
  [["-", "--could-push", "web/app", "--at", "last tuesday"], "--at is a day, 2026-11-24"],
  [["-", "--since", "2026-02-30"], "--since is a day"],
  [["-", "--since", "2026-11-24T10:00:00"], "--since is a day"],
  [["-", "--unused-grants", "--broader-grants"], "--unused-grants and --broader-grants are two questions"],
  [["-", "--unused-grants", "--days", "0"], "--days is a number of days"],
  [["-", "--unused-grants", "--repository", "web/app"], "--repository has no use with --unused-grants"],
  [["/nowhere"], "/nowhere cannot be read to its end (ENOENT)"],
  [["-"], "there is no audit event of the broker in it"],
])("%j is no question", (args, says) => {
  const { code, out, told } = acrBroker(["audit", ...args], { input: "FC Invoke Start\n" });
  expect([code, out, told]).toEqual([2, "", expect.stringContaining(says)]);
});
