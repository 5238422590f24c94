/**
 * What `acr-broker ram` prints is enough and no more: the stand-in cloud is built of it, every grant's callers get and use what
 * they are granted, with any one part taken out somebody fails, and nothing beyond works even with all rights of a role.
 */

import { decodeJwt } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { type Harness, read, startHarness } from "../../broker/harness.ts";
import { type Issuer, startIssuer } from "../../sandbox/issuer.ts";
import { parsePolicy, parseTrustPolicy } from "../../sandbox/ram.ts";
import { assume, call } from "../../sandbox/raw-call.ts";
import { createRealm } from "../../sandbox/realm.ts";
import { addAccount, addRole, emptyWorld, findRole, trust, type World } from "../../sandbox/world.ts";
import { acrBroker } from "../run.ts";
import { inFolder } from "./folder.ts";
import { type Bound, CASES, type Case, GITHUB, GITLAB, type Use } from "./policies.ts";

const FUNCTION_ROLE = "acs:ram::1234567890123456:role/acr-token-broker";
const OTHER_ROLE = "acs:ram::1234567890123456:role/acr-other";
const SERVICE = "registry.test";

interface Document {
  Version: string;
  Statement: Record<string, unknown>[];
}
interface Role {
  readonly arn: string;
  readonly trust: Document;
  readonly policy: Document;
}
interface Printed {
  readonly function_role: Role;
  readonly roles: readonly Role[];
}

/** What there is in each registry: some that is granted, and some that is not. */
const NAMESPACES = [
  "web",
  "web2",
  "base",
  "api",
  "out",
  "secret",
  "ml",
  "a",
  "b",
  "c",
  "team-a",
  "team-b",
  "team-c",
  "team",
];
const REPOSITORIES = [
  "app",
  "app2",
  "alpine",
  "server",
  "log",
  "old",
  "tool",
  "x",
  "app-x",
  "app-y",
  "of-a",
  "of-b",
  "m-1",
  "n-1",
];

async function printedFor(text: string): Promise<Printed> {
  return inFolder({ "broker.yaml": text }, (cwd) => {
    const { code, out, told } = acrBroker(["ram", "--json"], { cwd });
    expect(code, told).toBe(0);
    return JSON.parse(out) as Printed;
  });
}

/** The accounts and registries of the policy, with the roles that are printed and no rights beside. */
function worldOf(text: string, { function_role, roles }: Printed): World {
  const world = emptyWorld();
  world.autoCreateNeedsPermission = true;
  const { registries } = parse(text) as { registries: Record<string, Record<string, string>> };
  for (const { instance_id: id = "", region = "", account_id: accountId = "" } of Object.values(registries)) {
    if (!world.accounts.some((account) => account.id === accountId)) addAccount(world, accountId);
    const namespaces = NAMESPACES.map((name) => ({ name, autoCreateRepo: true, repositories: new Set(REPOSITORIES) }));
    world.instances.push({ id, region, accountId, namespaces });
  }
  for (const { arn, trust: trusts, policy } of [function_role, ...roles]) {
    const [, , , accountId = "", name = ""] = arn.split(":");
    addRole(world, { accountId, name: name.replace("role/", ""), trust: trusts, policies: [policy] });
  }
  addRole(world, { accountId: "1234567890123456", name: "acr-other", trust: trust({ RAM: FUNCTION_ROLE }) });
  return world;
}

/** Takes effect at once, as in RAM. A policy without a statement cannot be: it is as if it were not there. */
function put(world: World, arn: string, part: "trust" | "policy", document: Document): void {
  const role = findRole(world, arn);
  if (role === undefined) throw new Error(`no role ${arn}`);
  const isEmpty = document.Statement.length === 0;
  if (part === "trust") role.trust = isEmpty ? { statements: [] } : parseTrustPolicy(JSON.stringify(document));
  else role.policies.splice(0, Number.POSITIVE_INFINITY, ...(isEmpty ? [] : [parsePolicy(JSON.stringify(document))]));
}

/** The document less one statement, one action of several, or one resource of several; or with another external id. */
function lessOne(document: Document): readonly { readonly what: string; readonly document: Document }[] {
  const replaced = (index: number, ...by: Record<string, unknown>[]) => ({
    ...document,
    Statement: document.Statement.toSpliced(index, 1, ...by),
  });
  return document.Statement.flatMap((statement, index) => {
    const lists = ["Action", "Resource"].flatMap((key) => {
      const list = statement[key];
      if (!Array.isArray(list) || list.length < 2) return [];
      return list.map((item: string, at) => ({
        what: `statement ${index + 1} without ${item}`,
        document: replaced(index, { ...statement, [key]: list.toSpliced(at, 1) }),
      }));
    });
    const condition = { StringEquals: { "sts:ExternalId": "another" } };
    const otherId =
      statement["Condition"] === undefined
        ? []
        : [{ what: "another external id", document: replaced(index, { ...statement, Condition: condition }) }];
    return [{ what: `without statement ${index + 1}`, document: replaced(index) }, ...lists, ...otherId];
  });
}

const PRINTED = new Map(
  await Promise.all(Object.entries(CASES).map(async ([name, { text }]) => [name, await printedFor(text)] as const)),
);

describe.each(Object.entries(CASES))("%s", (name, { text, uses, bounds, externalIds = {} }: Case) => {
  const printed = PRINTED.get(name) as Printed;
  const realm = createRealm({ issuer: "realm.test", service: SERVICE });
  let world: World;
  let second: Issuer;
  let harness: Harness;
  let fresh = 0;
  beforeAll(async () => {
    world = worldOf(text, printed);
    second = await startIssuer();
    harness = await startHarness({
      cloud: { world, handlers: [realm.handler] },
      policy: (cloudUrl, issuerUrl) =>
        `${text
          .replace(`issuer: ${GITHUB}`, `issuer: ${issuerUrl}`)
          .replace(`issuer: ${GITLAB}`, `issuer: ${second.url}`)
          .replace(
            "issuer: https://issuer.example.com",
            `issuer: ${issuerUrl}`,
          )}\nalibaba: { sts_endpoint: "${cloudUrl}", cr_endpoint: "${cloudUrl}" }\nbudget: { assume_role_per_second: 10000, instances: 1 }\n`,
    });
  });
  afterAll(async () => {
    await harness.close();
    await second.close();
  });

  /** Asks the broker anew, and does with the answer what is to be done; what went wrong, or nothing. */
  async function failureOf({ issuer, claims, registry, scope, does, grant }: Use): Promise<string | undefined> {
    const token = await (issuer === GITLAB ? second.mint(claims) : harness.issuer.mint(claims));
    // No remembered credential lives for as long as a new one.
    const response = await harness.ask({ registry, scope: [scope], ttl: 900, min_ttl: 900 }, token);
    if (response.status !== 200) return `${scope}: ${(await read(response)).code}`;
    const answer = (await response.json()) as { username: string; password: string; grants: string[] };
    if (!answer.grants.includes(grant)) return `${scope}: not by ${grant}`;
    for (const one of does) {
      const [action = "", name = ""] = one.split(" ");
      if (!(await realmGrants(answer, action, name))) return `${scope}: ${one}`;
    }
    return undefined;
  }

  async function realmGrants(login: { username: string; password: string }, action: string, name: string) {
    if (action !== "create") return realmGives(login, action, name);
    // A first push into the namespace; or to the one repository, which has to be out of the way for it.
    if (!name.includes("/")) return realmGives(login, "push", `${name}/fresh-${++fresh}`);
    const [namespace, repository = ""] = name.split("/");
    const holders = world.instances.flatMap(({ namespaces }) => namespaces.filter((one) => one.name === namespace));
    for (const { repositories } of holders) repositories.delete(repository);
    const isGiven = await realmGives(login, "push", name);
    for (const { repositories } of holders) repositories.add(repository);
    return isGiven;
  }

  /** As docker asks the registry's token service. */
  async function realmGives(
    { username, password }: { username: string; password: string },
    action: string,
    name: string,
  ) {
    const response = await fetch(`${harness.cloud.url}/token?service=${SERVICE}&scope=repository:${name}:${action}`, {
      headers: { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}` },
    });
    const { token } = (await response.json()) as { token: string };
    const access = decodeJwt(token)["access"] as { name: string; actions: string[] }[];
    return access.some((one) => one.name === name && one.actions.includes(action));
  }

  async function firstFailure(): Promise<string | undefined> {
    for (const one of uses) {
      const failure = await failureOf(one);
      if (failure !== undefined) return failure;
    }
    return undefined;
  }

  test("the uses are of every grant and every role", () => {
    const { grants } = parse(text) as { grants: Record<string, unknown> };
    expect([...new Set(uses.map(({ grant }) => grant))].sort()).toEqual(Object.keys(grants).sort());
    expect(printed.roles.map(({ arn }) => arn)).toEqual(Object.keys(bounds).sort());
  });

  test.each(uses)("$grant: $scope works", async (one) => {
    expect(await failureOf(one)).toBeUndefined();
  });

  const parts = [printed.function_role, ...printed.roles].flatMap(({ arn, ...role }) =>
    (["trust", "policy"] as const).flatMap((part) =>
      lessOne(role[part]).map(
        ({ what, document }) => [`${arn}'s ${part} ${what}`, { arn, part, document, whole: role[part] }] as const,
      ),
    ),
  );
  test.each(parts)("%s: something fails", async (_, { arn, part, whole, document }) => {
    put(world, arn, part, document);
    try {
      if (arn === FUNCTION_ROLE && part === "trust") {
        expect(() => harness.cloud.functionRoleKeys(FUNCTION_ROLE)).toThrow("does not trust fc.aliyuncs.com");
      } else {
        const failure = await firstFailure();
        expect(failure).toBeDefined();
        // That would be for want of something else.
        expect(failure).not.toContain("rate_limited");
      }
    } finally {
      put(world, arn, part, whole);
    }
  });

  test("and put back, all of it works again", async () => {
    expect(await firstFailure()).toBeUndefined();
  });

  test.each(Object.entries(bounds))(
    "%s may do what its grants need and nothing else, even without a session policy",
    async (arn, own) => {
      const ExternalId = externalIds[arn];
      const keys = harness.cloud.functionRoleKeys(FUNCTION_ROLE);
      const session = await assume(harness.cloud, keys, {
        RoleArn: arn,
        ...(ExternalId === undefined ? {} : { ExternalId }),
      });
      const accountId = arn.split(":")[3];
      for (const instance of world.instances.filter((one) => one.accountId === accountId)) {
        const answer = await call(harness.cloud, {
          keys: session,
          action: "GetAuthorizationToken",
          params: { InstanceId: instance.id },
        });
        const login = harness.cloud.login(world.tempUsername, String(answer.json["AuthorizationToken"]));
        const can: string[] = [];
        const may: string[] = [];
        for (const namespace of instance.namespaces) {
          for (const name of REPOSITORIES) {
            const repository = `${namespace.name}/${name}`;
            if (login?.allows("pull", repository)) can.push(`pull ${repository}`);
            if (login?.allows("push", repository)) can.push(`push ${repository}`);
            namespace.repositories.delete(name);
            if (login?.allows("push", repository)) can.push(`create ${repository}`);
            namespace.repositories.add(name);
            may.push(...allowed(own, instance.id, repository));
          }
        }
        expect(can).toEqual(may);
      }
    },
  );

  test("the function's role takes no role but those, and nobody else takes those", async () => {
    const { cloud } = harness;
    const keys = cloud.functionRoleKeys(FUNCTION_ROLE);
    await expect(assume(cloud, keys, { RoleArn: OTHER_ROLE })).rejects.toThrow("NoPermission");
    const everything = { Version: "1", Statement: [{ Effect: "Allow", Action: "sts:AssumeRole", Resource: "*" }] };
    const fc = trust({ Service: "fc.aliyuncs.com" });
    const intruder = addRole(world, {
      accountId: "1234567890123456",
      name: "intruder",
      trust: fc,
      policies: [everything],
    });
    for (const { arn } of printed.roles) {
      const ExternalId = externalIds[arn];
      const id: Record<string, string> = ExternalId === undefined ? {} : { ExternalId };
      const attempt = assume(cloud, cloud.functionRoleKeys(intruder.arn), { RoleArn: arn, ...id });
      await expect(attempt).rejects.toThrow("NoPermission");
      if (ExternalId !== undefined) await expect(assume(cloud, keys, { RoleArn: arn })).rejects.toThrow("NoPermission");
    }
  });
});

function allowed(bounds: readonly Bound[], instance: string, repository: string): string[] {
  return (["pull", "push", "create"] as const)
    .filter((action) =>
      bounds.some(([id, names, actions]) => id === instance && names.test(repository) && actions.includes(action)),
    )
    .map((action) => `${action} ${repository}`);
}
