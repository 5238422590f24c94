/**
 * `acr-broker ram --check` never lets pass what gives more than is needed: random policies, held against the
 * stand-in cloud's own reading of them and of what is needed.
 */

import fc from "fast-check";
import { expect, test } from "vitest";
import { UsageError } from "../../../cli/command.ts";
import { compare } from "../../../cli/ram/compare.ts";
import { documentsOf, type RoleDocuments } from "../../../cli/ram/documents.ts";
import { givenBy } from "../../../cli/ram/given.ts";
import { needsOf } from "../../../cli/ram/needs.ts";
import { parseConfig } from "../../../shared/config/load.ts";
import { parseTrustPolicy, trusts, wildcardMatches } from "../../sandbox/ram.ts";
import { inFolder } from "./folder.ts";
import { CASES } from "./policies.ts";

const RUNS = 500;
const FUNCTION_ROLE = "acs:ram::1234567890123456:role/acr-token-broker";
const { text } = CASES["registries, accounts, roles, a ceiling and a denial"] as { text: string };
const needs = needsOf(parseConfig(text, { file: "broker.yaml", readFile: () => "" }), FUNCTION_ROLE);
const documents = documentsOf(needs, FUNCTION_ROLE);
const { functionRole } = documents;
const [web, partner] = ["acr-web", "acr-partner"].map((name) => documents.roles.find((role) => role.name === name)) as [
  RoleDocuments,
  RoleDocuments,
];

/** Whether the file passes, notes apart; undefined where it is refused as no policy. */
async function passes(file: string, content: string): Promise<boolean | undefined> {
  return inFolder({ [file]: content }, (folder) => {
    try {
      return compare(givenBy([`${folder}/${file}`], documents), needs).every(({ kind }) => kind === "note");
    } catch (error) {
      if (error instanceof UsageError) return undefined;
      throw error;
    }
  });
}

interface Written {
  readonly Version: string;
  readonly Statement: readonly Readonly<Record<string, unknown>>[];
}

const textsOf = (value: unknown) => [value].flat() as string[];

/** Whether some statement gives it, were each Condition fulfilled and no Deny there. Actions' names have no case. */
function gives({ Statement }: Written, action: string, resource: string): boolean {
  return Statement.some(({ Effect, Action, NotAction, Resource = "*" }) => {
    const isNamed = textsOf(Action ?? NotAction).some((one) =>
      wildcardMatches(one.toLowerCase(), action.toLowerCase()),
    );
    const isMeant = isNamed !== (Action === undefined);
    return Effect === "Allow" && isMeant && textsOf(Resource).some((one) => wildcardMatches(one, resource));
  });
}

const ACTIONS = [
  "cr:GetAuthorizationToken",
  "cr:PullRepository",
  "cr:PushRepository",
  "cr:CreateRepository",
  "cr:DeleteRepository",
  "sts:AssumeRole",
  "log:PostLogStoreLogs",
  "ram:CreateUser",
];
const oneOf = (some: readonly string[]) => fc.constantFrom(...some);
/** Something that is needed, with a piece of it made a wildcard, taken out, or put in. */
const nearly = (some: readonly string[]) =>
  fc.oneof(
    { weight: 4, arbitrary: oneOf(some) },
    fc
      .tuple(oneOf(some), fc.nat(120), fc.nat(3), oneOf(["*", "?", "**", "?*", "", "x", "/", ":", "/*", "${a}"]))
      .map(([one, at, length, by]) => `${one.slice(0, at)}${by}${one.slice(at + length)}`),
  );
const someOf = (one: fc.Arbitrary<string>) => fc.oneof(one, fc.array(one, { maxLength: 3 }));
const SURROUNDINGS = { Bool: { "acs:SecureTransport": "true" } };

function policyOf(needed: Written): fc.Arbitrary<Written> {
  const resources = needed.Statement.flatMap(({ Resource }) => [Resource].flat() as string[]);
  const statement = fc.record(
    {
      Effect: fc.oneof({ weight: 9, arbitrary: fc.constant("Allow") }, oneOf(["Deny", "allow", " Allow"])),
      Action: someOf(nearly(ACTIONS)),
      NotAction: someOf(nearly(ACTIONS)),
      Resource: someOf(nearly([...resources, "*", "acs:log:cn-hangzhou:1:project/p/logstore/s"])),
      NotResource: nearly(resources),
      resource: nearly(resources),
      Condition: fc.oneof(fc.constant(SURROUNDINGS), fc.constant({}), fc.constant([]), fc.constant({ Bool: {} })),
    },
    { requiredKeys: ["Effect"], noNullPrototype: true },
  );
  const others = fc.array(fc.oneof(statement, statement.map(usual)), { maxLength: 2 });
  return others.map((some) => ({ Version: "1", Statement: [...needed.Statement, ...some] as Written["Statement"] }));
}

/** Without what RAM would refuse, so that most are judged. */
function usual({ NotAction, NotResource: _, resource: __, ...one }: Record<string, unknown>) {
  const action = "Action" in one ? {} : NotAction === undefined ? { Action: "cr:PullRepository" } : { NotAction };
  return { Resource: "*", ...one, ...action, Effect: one["Effect"] === "Deny" ? "Deny" : "Allow" };
}

/** Some of the names that a pattern takes in. */
function namesOf(pattern: string): string[] {
  const stars = ["", "x", "web/app", "secret/app/x"];
  return stars.map((star) => pattern.replaceAll("*", star).replaceAll("?", "q"));
}

test.each([web, functionRole])("no policy of $name that gives more passes", async (role) => {
  const needed = role.policy as Written;
  let passed = 0;
  await fc.assert(
    fc.asyncProperty(policyOf(needed), async (given) => {
      if ((await passes(`${role.stem}-policy.json`, JSON.stringify(given))) !== true) return;
      passed++;
      const resources = given.Statement.flatMap(({ Resource }) => textsOf(Resource ?? "*").flatMap(namesOf));
      for (const action of ACTIONS) {
        for (const resource of new Set(resources)) {
          const isLog = role === functionRole && action === "log:PostLogStoreLogs" && resources.includes(resource);
          if (!gives(given, action, resource) || gives(needed, action, resource)) continue;
          expect(isLog && wildcardless(given, resource), `${action} on ${resource}: ${JSON.stringify(given)}`).toBe(
            true,
          );
        }
      }
    }),
    { numRuns: RUNS },
  );
  expect(passed).toBeGreaterThan(RUNS / 20);
});

/** The function's log is a note, where it is one log store. */
function wildcardless({ Statement }: Written, resource: string): boolean {
  return Statement.some(({ Resource }) => textsOf(Resource).includes(resource));
}

const CONDITIONS = [
  { StringEquals: { "sts:ExternalId": "acme-broker-2027" } },
  { StringLike: { "sts:ExternalId": ["acme-*", "acme-broker-2027"] } },
  { StringEquals: { "sts:ExternalId": "other" } },
  { StringNotEquals: { "sts:ExternalId": "other" } },
  { StringEquals: { "sts:externalid": "acme-broker-2027" } },
  { StringEquals: { "sts:ExternalId": "acme-broker-2027" }, StringLike: { "sts:ExternalId": "*" } },
  {},
];
const PRINCIPALS = [
  FUNCTION_ROLE,
  "acs:ram::1234567890123456:role/acr-other",
  "acs:ram::1234567890123456:root",
  "acs:ram::6543210987654321:root",
];

test.each([partner, web, functionRole])("no trust policy of $name that lets in more passes", async (role) => {
  const needed = role.trust as Written;
  const statement = fc.record(
    {
      Effect: fc.constantFrom("Allow", "Allow", "Deny", "allow"),
      Action: fc.constantFrom("sts:AssumeRole", ["sts:assumerole"], "sts:*"),
      Principal: fc.record(
        { RAM: someOf(oneOf(PRINCIPALS)), Service: someOf(oneOf(["fc.aliyuncs.com", "ecs.aliyuncs.com"])) },
        { requiredKeys: [], noNullPrototype: true },
      ),
      Condition: fc.constantFrom(...CONDITIONS),
    },
    { requiredKeys: ["Effect", "Action", "Principal"], noNullPrototype: true },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(statement, { maxLength: 2 }), async (more) => {
      const given = { Version: "1", Statement: [...needed.Statement, ...more] };
      if ((await passes(`${role.stem}-trust.json`, JSON.stringify(given))) !== true) return;
      for (const caller of [
        ...PRINCIPALS.map((principalArn) => ({
          principalArn,
          accountId: /::(\d+):/.exec(principalArn)?.[1] as string,
        })),
        ...["fc.aliyuncs.com", "ecs.aliyuncs.com"].map((service) => ({ service })),
      ]) {
        for (const context of [{}, { "sts:ExternalId": "acme-broker-2027" }, { "sts:ExternalId": "other" }]) {
          if (!letsIn(given, caller, context)) continue;
          expect(letsIn(needed, caller, context), `${JSON.stringify(caller)}: ${JSON.stringify(given)}`).toBe(true);
        }
      }
    }),
    { numRuns: RUNS },
  );
});

/** As if no statement of it denied. */
function letsIn({ Statement }: Written, ...[caller, context]: [Parameters<typeof trusts>[1], Record<string, string>]) {
  const letting = Statement.filter(({ Effect }) => Effect === "Allow").map((one) => ({
    ...one,
    Action: "sts:AssumeRole",
  }));
  return letting.some((one) => {
    const trust = parseTrustPolicy(JSON.stringify({ Version: "1", Statement: [one] }));
    return trusts(trust, caller, context);
  });
}
