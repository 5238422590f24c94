/** `acr-broker ram --check`: what is needed passes, whatever form it has; each step away from it is said, and with its place. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { compare, type RoleFinding } from "../../../cli/ram/compare.ts";
import { documentsOf } from "../../../cli/ram/documents.ts";
import { givenBy } from "../../../cli/ram/given.ts";
import { needsOf } from "../../../cli/ram/needs.ts";
import { parseConfig } from "../../../shared/config/load.ts";
import { inFolder } from "./folder.ts";
import { CASES } from "./policies.ts";

const FUNCTION_ROLE = "acs:ram::1234567890123456:role/acr-token-broker";
const EXAMPLE = readFileSync(new URL("../../../broker.yaml", import.meta.url), "utf8");
const IMAGES = "acs:cr:cn-hangzhou:1234567890123456:repository/cri-abc123";

interface Statement {
  Effect: string;
  [key: string]: unknown;
}
interface Document {
  Version: string;
  Statement: Statement[];
}

function neededBy(text: string) {
  const needs = needsOf(parseConfig(text, { file: "broker.yaml", readFile: () => "" }), FUNCTION_ROLE);
  const documents = documentsOf(needs, FUNCTION_ROLE);
  const files = Object.fromEntries(
    [documents.functionRole, ...documents.roles].flatMap(({ stem, trust, policy }) => [
      [`${stem}-trust.json`, trust as Document],
      [`${stem}-policy.json`, policy as Document],
    ]),
  );
  return { needs, documents, files: structuredClone(files) };
}

/** What is said of files with these contents. */
async function foundIn(text: string, files: Readonly<Record<string, unknown>>): Promise<RoleFinding[]> {
  const { needs, documents } = neededBy(text);
  const texts = Object.fromEntries(Object.entries(files).map(([name, content]) => [name, JSON.stringify(content)]));
  return inFolder(texts, (folder) =>
    compare(
      givenBy(
        Object.keys(texts).map((name) => `${folder}/${name}`),
        documents,
      ),
      needs,
    ),
  );
}

/** Of one file changed, `kind message`. */
async function said(file: string, change: (statements: Statement[]) => void, text = EXAMPLE): Promise<string[]> {
  const document = neededBy(text).files[file] as Document;
  change(document.Statement);
  return (await foundIn(text, { [file]: document })).map(({ kind, message }) => `${kind} ${message}`);
}

describe.each(Object.entries(CASES))("%s", (_, { text }) => {
  const { files } = neededBy(text);

  test("exactly what is needed passes", async () => {
    expect(await foundIn(text, files)).toEqual([]);
  });

  test.each(Object.keys(files))("%s with any one thing less lacks something, and is not too wide", async (file) => {
    const whole = files[file] as Document;
    const less = whole.Statement.flatMap((statement, index) => [
      whole.Statement.toSpliced(index, 1),
      ...["Action", "Resource"].flatMap((key) => {
        const list = statement[key];
        return Array.isArray(list) && list.length > 1
          ? list.map((_item, at) => whole.Statement.with(index, { ...statement, [key]: list.toSpliced(at, 1) }))
          : [];
      }),
    ]);
    for (const Statement of less) {
      const name = file.includes("trust") && Statement.length === 0 ? undefined : file;
      if (name === undefined) continue; // an empty trust policy is none, and is named as not given
      const kinds = (await foundIn(text, { [name]: { Version: "1", Statement } })).map(({ kind }) => kind);
      expect(new Set(kinds)).toEqual(new Set(["missing"]));
    }
  });
});

describe("too wide", () => {
  test.each<[string, (statements: Statement[]) => void, string]>([
    [
      "every action",
      (all) => Object.assign(all[2] as Statement, { Action: "*" }),
      "* is more than is needed; write out what is: cr:GetAuthorizationToken",
    ],
    [
      "every action of the service",
      (all) => Object.assign(all[2] as Statement, { Action: "cr:*" }),
      "cr:* is more than is needed",
    ],
    [
      "some actions",
      (all) => Object.assign(all[2] as Statement, { Action: "cr:Pu*Repository" }),
      "cr:Pu*Repository is more than is needed",
    ],
    [
      "an action that no grant needs",
      (all) => Object.assign(all[2] as Statement, { Action: ["cr:PushRepository", "cr:DeleteRepository"] }),
      "cr:DeleteRepository is needed by no grant",
    ],
    [
      "every action but one",
      (all) => {
        all[2] = { Effect: "Allow", NotAction: "cr:DeleteRepository", Resource: "*" };
      },
      "NotAction gives every action but cr:DeleteRepository",
    ],
    [
      "every resource",
      (all) => Object.assign(all[2] as Statement, { Resource: "*" }),
      `cr:PushRepository on * is more than is needed; write ${IMAGES}/web/*`,
    ],
    [
      "the whole instance",
      (all) => Object.assign(all[2] as Statement, { Resource: `${IMAGES}/*` }),
      `cr:PushRepository on ${IMAGES}/* is more than is needed`,
    ],
    [
      "every region",
      (all) => Object.assign(all[2] as Statement, { Resource: "acs:cr:*:*:repository/cri-abc123/web/*" }),
      "is more than is needed",
    ],
    [
      "names that begin the same way",
      (all) => Object.assign(all[2] as Statement, { Resource: `${IMAGES}/web*` }),
      "is more than is needed",
    ],
    [
      "another namespace",
      (all) => all.push({ Effect: "Allow", Action: "cr:PushRepository", Resource: `${IMAGES}/secret/*` }),
      `cr:PushRepository on ${IMAGES}/secret/* is needed by no grant`,
    ],
    [
      "another instance",
      (all) => all.push({ Effect: "Allow", Action: "cr:PullRepository", Resource: `${IMAGES}x/web/*` }),
      "is needed by no grant",
    ],
    [
      "push where only pull is needed",
      (all) =>
        all.push({ Effect: "Allow", Action: ["cr:PullRepository", "cr:PushRepository"], Resource: `${IMAGES}/base/*` }),
      `cr:PushRepository on ${IMAGES}/base/* is needed by no grant`,
    ],
  ])("%s", async (_, change, says) => {
    const all = await said("acr-web-policy.json", change);
    expect(all).toContainEqual(expect.stringMatching(new RegExp(`^too_wide .*${literally(says)}`)));
  });

  test.each<[string, unknown, string]>([
    [
      "the whole account",
      { RAM: "acs:ram::1234567890123456:root" },
      "is every user and role of account 1234567890123456 that has sts:AssumeRole, and they get the whole role",
    ],
    ["the account by its number", { RAM: ["1234567890123456"] }, "is every user and role of account 1234567890123456"],
    [
      "another account",
      { RAM: [FUNCTION_ROLE, "acs:ram::6543210987654321:root"] },
      "is every user and role of account 6543210987654321",
    ],
    [
      "another role",
      { RAM: [FUNCTION_ROLE, "acs:ram::1234567890123456:role/dev"] },
      "RAM acs:ram::1234567890123456:role/dev may take the role too",
    ],
    [
      "a service",
      { RAM: [FUNCTION_ROLE], Service: "ecs.aliyuncs.com" },
      "Service ecs.aliyuncs.com may take the role too",
    ],
    [
      "an identity provider",
      { RAM: [FUNCTION_ROLE], Federated: "acs:ram::1:oidc-provider/x" },
      "Federated acs:ram::1:oidc-provider/x may take the role too",
    ],
    ["anybody", "*", "RAM * may take the role too"],
  ])("a trust policy for %s", async (_, Principal, says) => {
    const all = await said("acr-web-trust.json", ([one]) => Object.assign(one as Statement, { Principal }));
    expect(all).toEqual([expect.stringMatching(/^too_wide /)]);
    expect(all[0]).toContain(says);
  });

  test("a function's role that any service can take, and that can take any role", async () => {
    const trust = await said("function-trust.json", ([one]) =>
      Object.assign(one as Statement, { Principal: { Service: ["fc.aliyuncs.com", "ecs.aliyuncs.com"] } }),
    );
    expect(trust).toEqual([expect.stringContaining("Service ecs.aliyuncs.com may take the role too")]);
    // The system policy AliyunSTSAssumeRoleAccess.
    const system = await said("function-policy.json", ([one]) => Object.assign(one as Statement, { Resource: "*" }));
    expect(system).toEqual([
      expect.stringContaining("too_wide sts:AssumeRole on * is more than is needed; write acs:ram:"),
    ]);
  });

  test("a session of half a day", async () => {
    const { files } = neededBy(EXAMPLE);
    const AssumeRolePolicyDocument = JSON.stringify(files["acr-web-trust.json"]);
    const Role = { Arn: "acs:ram::1234567890123456:role/acr-web", AssumeRolePolicyDocument, MaxSessionDuration: 43200 };
    expect(await foundIn(EXAMPLE, { "x.json": { Role } })).toEqual([
      expect.objectContaining({
        kind: "too_wide",
        message: expect.stringContaining("asks for 1800 s at most; set 3600"),
      }),
    ]);
  });
});

describe("missing", () => {
  test("is said with the grants that need it", async () => {
    const { files } = neededBy(EXAMPLE);
    const document = files["acr-web-policy.json"] as Document;
    document.Statement.splice(1, 1);
    expect(await foundIn(EXAMPLE, { "acr-web-policy.json": document })).toEqual([
      {
        role: "acs:ram::1234567890123456:role/acr-web",
        kind: "missing",
        message: `cr:PullRepository on ${IMAGES}/base/*`,
        grants: [
          { name: "web-main", line: lineOf("web-main:") },
          { name: "web-branches", line: lineOf("web-branches:") },
        ],
      },
      expect.objectContaining({
        message: `cr:PullRepository on ${IMAGES}/web/*`,
        grants: [{ name: "web-main", line: lineOf("web-main:") }],
      }),
    ]);
  });

  test("where only a part is given, that is named", async () => {
    const all = await said("acr-web-policy.json", (statements) =>
      Object.assign(statements[2] as Statement, { Resource: `${IMAGES}/web/app` }),
    );
    expect(all).toEqual([`missing cr:PushRepository on ${IMAGES}/web/*, of which there is only ${IMAGES}/web/app`]);
  });

  test("what is denied is not given", async () => {
    const all = await said("acr-web-policy.json", (statements) =>
      statements.push({ Effect: "Deny", Action: "cr:Push*", Resource: `${IMAGES}/web/legacy` }),
    );
    expect(all).toEqual([
      expect.stringMatching(/^missing cr:PushRepository on .*acr-web-policy\.json, statement 4, denies$/),
    ]);
  });

  test("a function's role that the trust policy does not name", async () => {
    const all = await said("acr-web-trust.json", ([one]) =>
      Object.assign(one as Statement, { Principal: { RAM: `${FUNCTION_ROLE}-2` } }),
    );
    expect(all).toContainEqual(`missing that ${FUNCTION_ROLE} may take acr-web`);
  });

  test("an external id that the grants do not have", async () => {
    const all = await said("acr-web-trust.json", ([one]) =>
      Object.assign(one as Statement, { Condition: { StringEquals: { "sts:ExternalId": "x-1" } } }),
    );
    expect(all).toEqual([
      expect.stringMatching(/^missing .*demands an external id and the grants have none: write external_id$/),
    ]);
  });
});

describe("an external id", () => {
  const { text } = CASES["registries, accounts, roles, a ceiling and a denial"] as { text: string };
  const saidOf = (Condition: unknown) =>
    said("acr-partner-trust.json", ([one]) => Object.assign(one as Statement, { Condition }), text);

  test.each<[string, unknown, RegExp]>([
    [
      "is not demanded",
      undefined,
      /^too_wide demands no external id; add "Condition": \{"StringEquals":\{"sts:ExternalId":"acme-broker-2027"\}\}$/,
    ],
    [
      "is one of several",
      { StringEquals: { "sts:ExternalId": ["acme-broker-2027", "x-1"] } },
      /^too_wide also takes the external id x-1; write acme-broker-2027 alone$/,
    ],
    ["is a pattern", { StringLike: { "sts:ExternalId": "acme-*" } }, /^too_wide also takes the external id acme-\*/],
    [
      "is another",
      { StringEquals: { "sts:ExternalId": "x-1" } },
      /^missing .*demands another external id than the grants have$/,
    ],
    [
      "must not be another",
      { StringNotEquals: { "sts:ExternalId": "x-1" } },
      /^(?:too_wide demands no external id|note lets in only under a Condition)/,
    ],
  ])("that %s", async (_, condition, says) => {
    for (const one of await saidOf(condition)) expect(one).toMatch(says);
    expect(await saidOf(condition)).not.toEqual([]);
  });
});

describe("the well-known mistake", () => {
  test("a namespace where the instance id belongs is named as such, and what it was for is missing", async () => {
    const all = await said("acr-web-policy.json", (statements) =>
      Object.assign(statements[2] as Statement, { Resource: IMAGES.replace("cri-abc123", "web/*") }),
    );
    expect(all).toEqual([
      `mistake ${IMAGES.replace("cri-abc123", "web/*")} has a namespace where the instance id belongs: RAM takes it, and it matches nothing; write ${IMAGES}/web/*`,
      `missing cr:PushRepository on ${IMAGES}/web/*`,
    ]);
  });
});

describe("a note", () => {
  test.each<[string, string, (statements: Statement[]) => void]>([
    [
      "a Condition on a right",
      "acr-web-policy.json",
      (all) => Object.assign(all[2] as Statement, { Condition: { IpAddress: { "acs:SourceIp": "10.0.0.0/8" } } }),
    ],
    [
      "a denial under a Condition",
      "acr-web-policy.json",
      (all) =>
        all.push({
          Effect: "Deny",
          Action: "*",
          Resource: "*",
          Condition: { Bool: { "acs:SecureTransport": "false" } },
        }),
    ],
    [
      "a Condition on trust",
      "acr-web-trust.json",
      (all) => Object.assign(all[0] as Statement, { Condition: { StringEquals: { "acs:SourceVpc": "vpc-1" } } }),
    ],
    [
      "the function's log",
      "function-policy.json",
      (all) =>
        all.push({
          Effect: "Allow",
          Action: "log:PostLogStoreLogs",
          Resource: "acs:log:cn-hangzhou:1234567890123456:project/p/logstore/broker",
        }),
    ],
  ])("and nothing else is said of %s", async (_, file, change) => {
    const all = await said(file, change);
    expect(all.length).toBeGreaterThan(0);
    for (const one of all) expect(one).toMatch(/^note /);
  });

  test("every log is not the function's", async () => {
    const all = await said("function-policy.json", (statements) =>
      statements.push({ Effect: "Allow", Action: "log:PostLogStoreLogs", Resource: "*" }),
    );
    expect(all).toEqual(["too_wide log:PostLogStoreLogs is needed by no grant; take it out"]);
  });
});

test("what aliyun ram prints is read, and a role may have several policies", async () => {
  const { files } = neededBy(EXAMPLE);
  const { Version, Statement } = files["acr-web-policy.json"] as Document;
  const policy = (statements: Statement[], PolicyName: string) => ({
    Policy: { PolicyName, PolicyType: "Custom" },
    DefaultPolicyVersion: { VersionId: "v1", PolicyDocument: JSON.stringify({ Version, Statement: statements }) },
  });
  const found = await foundIn(EXAMPLE, {
    "exported.json": policy(Statement.slice(0, 1), "acr-web-login"),
    "acr-web-images.json": policy(Statement.slice(1, 2), "images"),
    "acr-web.json": { PolicyVersion: { PolicyDocument: JSON.stringify({ Version, Statement: Statement.slice(2) }) } },
    "any.json": {
      Role: {
        Arn: "acs:ram::1234567890123456:role/ACR-Web",
        RoleName: "ACR-Web",
        MaxSessionDuration: 3600,
        AssumeRolePolicyDocument: JSON.stringify(files["acr-web-trust.json"]),
      },
    },
  });
  expect(found).toEqual([]);
});

test("names of actions and roles in another case are the same", async () => {
  expect(
    await said("acr-web-policy.json", (all) => Object.assign(all[2] as Statement, { Action: "cr:pushrepository" })),
  ).toEqual([]);
  expect(
    await said("acr-web-trust.json", ([one]) =>
      Object.assign(one as Statement, { Principal: { RAM: FUNCTION_ROLE.replace("acr-t", "ACR-T") } }),
    ),
  ).toEqual([]);
});

function lineOf(key: string): number {
  return EXAMPLE.split("\n").findIndex((line) => line.startsWith(`  ${key}`)) + 1;
}

function literally(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

test("one more statement that lets the function's role in with another external id is too wide", async () => {
  const { text } = CASES["registries, accounts, roles, a ceiling and a denial"] as { text: string };
  const all = await said(
    "acr-partner-trust.json",
    (statements) =>
      statements.push({
        ...(statements[0] as Statement),
        Condition: { StringEquals: { "sts:ExternalId": "x-1" } },
      }),
    text,
  );
  expect(all).toEqual(["too_wide lets it in with the external id x-1, which no grant has; take the statement out"]);
});

test("a log store's name with a wildcard in it is not the function's log alone", async () => {
  const all = await said("function-policy.json", (statements) =>
    statements.push({
      Effect: "Allow",
      Action: "log:PostLogStoreLogs",
      Resource: "acs:log:cn-hangzhou:1234567890123456:project/p/logstore/???",
    }),
  );
  expect(all).toEqual([expect.stringMatching(/^too_wide log:PostLogStoreLogs is needed by no grant/)]);
});

test("a version that is not in force is called that", async () => {
  const { files } = neededBy(EXAMPLE);
  const PolicyDocument = JSON.stringify(files["acr-web-policy.json"]);
  const version = (IsDefaultVersion: boolean) =>
    foundIn(EXAMPLE, { "acr-web-policy.json": { PolicyVersion: { IsDefaultVersion, PolicyDocument } } });
  expect(await version(true)).toEqual([]);
  expect(await version(false)).toEqual([
    expect.objectContaining({
      kind: "note",
      message: expect.stringContaining("is a version of its policy that is not in force"),
    }),
  ]);
});

describe("a file is refused, and not passed over, of which RAM might see more than is seen here:", () => {
  const whole = (files: ReturnType<typeof neededBy>["files"], name: string) => JSON.stringify(files[name]);
  test.each<[string, string, (text: string) => string, RegExp]>([
    [
      "an element twice",
      "policy",
      (text) => text.replace('"Effect":"Allow"', '"Action":"*","Effect":"Allow"'),
      /the key "Action" stands twice/,
    ],
    ["an element in another case", "policy", (text) => text.replace('"Action"', '"action"'), /"action" is no element/],
    ["an effect in another case", "policy", (text) => text.replace('"Allow"', '"allow"'), /Effect is neither/],
    [
      "Action and NotAction",
      "policy",
      (text) => text.replace('"Effect"', '"NotAction":"cr:X","Effect"'),
      /Action or NotAction, one of them/,
    ],
    [
      "Resource and NotResource",
      "policy",
      (text) => text.replace('"Effect"', '"NotResource":"*","Effect"'),
      /Resource or NotResource, one of them/,
    ],
    ["no action", "policy", (text) => text.replace('"cr:GetAuthorizationToken"', "[]"), /Action is no text/],
    ["no resource", "policy", (text) => text.replace('"Resource":"*"', '"Resource":[]'), /Resource is no text/],
    [
      "what moves a cursor",
      "policy",
      (text) => text.replace('"Resource":"*"', '"Resource":"\\u001b[2A\\nno more"'),
      /statement 1: Resource is no text and no list of texts/,
    ],
    [
      "a Condition that is none",
      "policy",
      (text) => text.replace('"Effect"', '"Condition":{"Bool":{}},"Effect"'),
      /Condition is no object/,
    ],
    [
      "a Principal in one statement of several",
      "policy",
      (text) => text.replace('"Effect"', '"Principal":"*","Effect"'),
      /some of its statements have a Principal/,
    ],
    [
      "a Principal that is nobody",
      "trust",
      (text) => text.replace(/"Principal":\{.*?\}/, '"Principal":{}'),
      /Principal is no/,
    ],
    [
      "a Principal of no kind",
      "trust",
      (text) => text.replace('"RAM":', '"RAM\\u001b[2A":'),
      /Principal is no object of texts or lists of texts, by RAM, Service, Federated/,
    ],
  ])("%s", async (_, kind, change, says) => {
    const { files, documents } = neededBy(EXAMPLE);
    const name = `acr-web-${kind}.json`;
    const changed = change(whole(files, name));
    expect(changed).not.toBe(whole(files, name));
    await inFolder({ [name]: changed }, (folder) => {
      expect(() => givenBy([`${folder}/${name}`], documents)).toThrow(says);
    });
  });
});
