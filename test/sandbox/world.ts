/**
 * What exists in the stand-in cloud: accounts, RAM users and roles, ACR EE instances with namespaces and repositories.
 * Plain data which a test may change at any time; what it means is decided in ram.ts, sts.ts and acr.ts.
 */
import { randomBytes } from "node:crypto";
import { type Policy, parsePolicy, parseTrustPolicy, type TrustPolicy } from "./ram.ts";

export interface World {
  readonly accounts: Account[];
  readonly users: RamUser[];
  readonly roles: Role[];
  readonly instances: Instance[];
  /** Whether the first push into an AutoCreateRepo namespace also needs cr:CreateRepository. The vendor does not document it. */
  autoCreateNeedsPermission: boolean;
  /** The user name of temporary logins: `cr_temp_user` today, documented as subject to change. */
  tempUsername: string;
}

export interface AccessKey {
  readonly id: string;
  readonly secret: string;
}
/** An Alibaba Cloud account; its key is the root user's. */
export interface Account {
  readonly id: string;
  readonly key: AccessKey;
}
export interface RamUser {
  readonly arn: string;
  readonly userId: string;
  readonly accountId: string;
  readonly key: AccessKey;
  readonly policies: Policy[];
}
export interface Role {
  /** acs:ram::ACCOUNT:role/name, lower case as RAM keeps it. */
  readonly arn: string;
  readonly roleId: string;
  readonly accountId: string;
  readonly name: string;
  readonly policies: Policy[];
  trust: TrustPolicy;
  maxSessionSeconds: number;
}
export interface Instance {
  readonly id: string;
  readonly region: string;
  readonly accountId: string;
  readonly namespaces: Namespace[];
}
export interface Namespace {
  readonly name: string;
  autoCreateRepo: boolean;
  readonly repositories: Set<string>;
}

export interface RoleInput {
  readonly accountId: string;
  readonly name: string;
  /** AssumeRolePolicyDocument as an object. */
  readonly trust: unknown;
  /** Attached permission policies as objects. */
  readonly policies?: readonly unknown[];
  readonly maxSessionSeconds?: number;
}

export function emptyWorld(): World {
  return {
    accounts: [],
    users: [],
    roles: [],
    instances: [],
    autoCreateNeedsPermission: false,
    tempUsername: "cr_temp_user",
  };
}

export function addAccount(world: World, id: string): Account {
  const account = { id, key: newAccessKey() };
  world.accounts.push(account);
  return account;
}

export function addUser(world: World, accountId: string, name: string, policies: readonly unknown[] = []): RamUser {
  const user: RamUser = {
    arn: `acs:ram::${accountId}:user/${name}`,
    userId: identifier("2"),
    accountId,
    key: newAccessKey(),
    policies: policies.map((policy) => parsePolicy(JSON.stringify(policy))),
  };
  world.users.push(user);
  return user;
}

/** Adds a role; throws PolicyGrammarError or RangeError where CreateRole or CreatePolicy would refuse. */
export function addRole(world: World, input: RoleInput): Role {
  const name = input.name.toLowerCase();
  const maxSessionSeconds = input.maxSessionSeconds ?? 3600;
  // CreateRole, MaxSessionDuration: 3600 to 43200.
  if (maxSessionSeconds < 3600 || maxSessionSeconds > 43200) throw new RangeError("MaxSessionDuration");
  const role: Role = {
    arn: `acs:ram::${input.accountId}:role/${name}`,
    roleId: identifier("3"),
    accountId: input.accountId,
    name,
    trust: parseTrustPolicy(JSON.stringify(input.trust)),
    policies: (input.policies ?? []).map((policy) => parsePolicy(JSON.stringify(policy))),
    maxSessionSeconds,
  };
  world.roles.push(role);
  return role;
}

/** Role ARNs compare without regard to case. */
export function findRole(world: World, arn: string): Role | undefined {
  return world.roles.find((role) => role.arn === arn.toLowerCase());
}

/** A permission statement document: `permission("Allow", ["cr:PullRepository"], "acs:...")`. */
export function permission(
  effect: "Allow" | "Deny",
  action: string | readonly string[],
  resource: string | readonly string[],
) {
  return { Version: "1", Statement: [{ Effect: effect, Action: action, Resource: resource }] };
}

/** A trust policy document: `trust({ RAM: "acs:ram::1:root" })`. */
export function trust(principal: { RAM?: string | string[]; Service?: string | string[] }, condition?: object) {
  const statement = { Effect: "Allow", Action: "sts:AssumeRole", Principal: principal };
  return { Version: "1", Statement: [condition === undefined ? statement : { ...statement, Condition: condition }] };
}

/** `acs:cr:{region}:{account}:repository/{instance}/{path}`: what RAM policies about images name. */
export function repositoryArn(instance: Instance, path: string): string {
  return `acs:cr:${instance.region}:${instance.accountId}:repository/${instance.id}/${path}`;
}

/** Keys as the vendor forms them. */
export function newAccessKey(prefix: "LTAI5t" | "STS.N" = "LTAI5t"): AccessKey {
  return { id: prefix + randomText(18), secret: randomText(30) };
}

export function randomText(length: number): string {
  return randomBytes(length * 2)
    .toString("base64")
    .replace(/[^A-Za-z0-9]/g, "")
    .slice(0, length)
    .padEnd(length, "0");
}

function identifier(first: "2" | "3"): string {
  return first + String(randomBytes(6).readUIntBE(0, 6)).padStart(17, "0").slice(0, 17);
}

export const DEFAULT_ACCOUNT = "1234567890123456";
export const OTHER_ACCOUNT = "6543210987654321";

/** The cloud of `npm run dev` and of the contract's examples: every name here occurs in the example broker.yaml. */
export function defaultWorld(): World {
  const world = emptyWorld();
  const account = addAccount(world, DEFAULT_ACCOUNT);
  addAccount(world, OTHER_ACCOUNT);
  const instance: Instance = {
    id: "cri-abc123",
    region: "cn-hangzhou",
    accountId: account.id,
    namespaces: [
      { name: "web", autoCreateRepo: true, repositories: new Set() },
      { name: "base", autoCreateRepo: false, repositories: new Set(["alpine"]) },
      { name: "secret", autoCreateRepo: false, repositories: new Set(["vault"]) },
    ],
  };
  world.instances.push(instance);

  const roleArn = (name: string) => `acs:ram::${account.id}:role/${name}`;
  const brokerRole = roleArn("acr-token-broker");
  const login = permission("Allow", "cr:GetAuthorizationToken", "*");
  const pullPush = ["cr:PullRepository", "cr:PushRepository", "cr:CreateRepository"];
  addRole(world, {
    accountId: account.id,
    name: "acr-token-broker",
    trust: trust({ Service: "fc.aliyuncs.com" }),
    policies: [permission("Allow", "sts:AssumeRole", ["acr-web", "acr-base", "acr-limited"].map(roleArn))],
  });
  addRole(world, {
    accountId: account.id,
    name: "acr-web",
    trust: trust({ RAM: brokerRole }),
    policies: [
      login,
      permission(
        "Allow",
        pullPush,
        ["web/*", "base/*"].map((path) => repositoryArn(instance, path)),
      ),
    ],
  });
  addRole(world, {
    accountId: account.id,
    name: "acr-base",
    trust: trust({ RAM: brokerRole }),
    policies: [login, permission("Allow", "cr:PullRepository", repositoryArn(instance, "base/*"))],
  });
  // The broker may assume it, but it cannot log in to the registry: it lacks cr:GetAuthorizationToken.
  addRole(world, {
    accountId: account.id,
    name: "acr-limited",
    trust: trust({ RAM: brokerRole }),
    policies: [permission("Allow", "cr:PullRepository", repositoryArn(instance, "base/*"))],
  });
  addRole(world, {
    accountId: account.id,
    name: "acr-untrusting",
    trust: trust({ RAM: `acs:ram::${OTHER_ACCOUNT}:root` }),
    policies: [login],
  });
  addUser(world, account.id, "tester", [login, permission("Allow", "sts:AssumeRole", "*")]);
  addUser(world, OTHER_ACCOUNT, "outsider", [permission("Allow", "sts:AssumeRole", "*")]);
  return world;
}
