/**
 * What a policy needs of RAM: of each role that its grants name the rights that the grants give, and who must be able to take
 * it. Each right knows the grants that need it. Pure.
 */

import type { BrokerConfig, Registry } from "../../shared/config/config.ts";
import { accountOf, strangeAccount } from "../../shared/config/role-findings.ts";
import type { Condition } from "../../shared/policy/condition.ts";
import type { Grant } from "../../shared/policy/grant.ts";
import { type Action, covers, isNameComponent, type Scope } from "../../shared/policy/scope.ts";
import type { ScopeTemplate } from "../../shared/policy/scope-template.ts";
import { takesIn } from "./wildcard.ts";

/** An action on a resource, which may be a pattern. */
export interface Right {
  readonly action: string;
  readonly resource: string;
  readonly grants: readonly Grant[];
}

export interface RoleNeeds {
  /** Lower case, as RAM keeps it. */
  readonly arn: string;
  readonly account: string;
  readonly name: string;
  readonly externalId?: string;
  /** In the order of the file. */
  readonly grants: readonly Grant[];
  /** Seconds: the longest that a grant lets a credential live. */
  readonly longestTtlSeconds: number;
  /** In the order of their actions, then by resource; none takes in another. */
  readonly rights: readonly Right[];
}

/** Where RAM can only say more than a grant gives, or what it says cannot work. */
export interface Warning {
  readonly grant: Grant;
  readonly message: string;
}

export interface Needs {
  /** By their ARNs. */
  readonly roles: readonly RoleNeeds[];
  readonly warnings: readonly Warning[];
}

/** Exists on the resource `*` alone, and by itself opens no image. */
const LOGIN = "cr:GetAuthorizationToken";
const RAM_ACTIONS = { pull: "cr:PullRepository", push: "cr:PushRepository" } as const;
const CREATE = "cr:CreateRepository";
/** In which they are written. */
const ORDER = [LOGIN, RAM_ACTIONS.pull, RAM_ACTIONS.push, CREATE];

export function needsOf(config: BrokerConfig, functionRole: string): Needs {
  const byRole = new Map<string, Grant[]>();
  for (const grant of config.grants) {
    const arn = grant.roleArn.toLowerCase();
    byRole.set(arn, [...(byRole.get(arn) ?? []), grant]);
  }
  return {
    roles: [...byRole].sort(([a], [b]) => compare(a, b)).map(([arn, grants]) => roleNeeds(arn, grants, config)),
    warnings: config.grants.flatMap((grant) => warningsOf(grant, config, functionRole)),
  };
}

function roleNeeds(arn: string, grants: readonly Grant[], config: BrokerConfig): RoleNeeds {
  const { externalId } = grants[0] as Grant;
  return {
    arn,
    account: accountOf(arn),
    name: arn.slice(arn.indexOf("/") + 1),
    ...(externalId === undefined ? {} : { externalId }),
    grants,
    longestTtlSeconds: Math.max(...grants.map(({ maxTtlSeconds }) => maxTtlSeconds)),
    rights: merged(
      grants.flatMap((grant) => [{ action: LOGIN, resource: "*", grants: [grant] }, ...rightsOf(grant, config)]),
    ),
  };
}

/** Each once, and none that another of the same action takes in: its grants go to that one. */
function merged(rights: readonly Right[]): Right[] {
  const isSpare = ({ action, resource }: Right, index: number) =>
    rights.some(
      (other, at) =>
        other.action === action && takesIn(other.resource, resource) && (other.resource !== resource || at < index),
    );
  return rights
    .filter((right, index) => !isSpare(right, index))
    .map(({ action, resource }) => {
      const within = rights.filter((other) => other.action === action && takesIn(resource, other.resource));
      return { action, resource, grants: [...new Set(within.flatMap(({ grants }) => grants))] };
    })
    .sort((a, b) => ORDER.indexOf(a.action) - ORDER.indexOf(b.action) || compare(a.resource, b.resource));
}

function rightsOf(grant: Grant, config: BrokerConfig): Right[] {
  const { region, accountId, instanceId } = config.registries.get(grant.registry) as Registry;
  const shapes = [...grant.allow, ...(grant.allowFor ?? []).flatMap((template) => shapesOf(template, grant.when))];
  return shapes.flatMap((shape) =>
    shape.actions.flatMap((action) =>
      underCeiling(shape, action, config.ceiling)
        .filter((one) => !isDeniedToAll(one, action, grant.registry, config))
        .flatMap(({ namespace, repository }) => {
          const resource = `acs:cr:${region}:${accountId}:repository/${instanceId}/${namespace}/${repository}`;
          const names = [RAM_ACTIONS[action], ...(action === "push" && grant.createRepository ? [CREATE] : [])];
          return names.map((name) => ({ action: name, resource, grants: [grant] }));
        }),
    ),
  );
}

/** What a template can become, as scopes whose levels may be RAM's patterns: exactly, where the grant's conditions list the claims' values. */
function shapesOf({ namespace, repository, actions }: ScopeTemplate, when: readonly Condition[]): Scope[] {
  const claims = [
    ...new Set([namespace, repository].flatMap((part) => (typeof part === "string" ? [] : [part.claim]))),
  ];
  // Two levels of one claim have the same value.
  const fillings = claims.reduce<readonly (readonly (readonly [string, string])[])[]>(
    (some, claim) => some.flatMap((one) => valuesOf(claim, when).map((value) => [...one, [claim, value] as const])),
    [[]],
  );
  return fillings.flatMap((filling) => {
    const [first, second] = [namespace, repository].map((part) => filled(part, new Map(filling)));
    return first === undefined || second === undefined ? [] : [{ namespace: first, repository: second, actions }];
  });
}

function filled(part: ScopeTemplate["namespace"], values: ReadonlyMap<string, string>): string | undefined {
  if (typeof part === "string") return part;
  const level = part.prefix + values.get(part.claim) + part.suffix;
  // With some name for each *, since a pattern that never makes a name gives nothing.
  return isNameComponent(level.replaceAll("*", "x")) ? level : undefined;
}

/** The values that the claim can have, or one pattern of them. */
function valuesOf(claim: string, when: readonly Condition[]): readonly string[] {
  const condition = when.find((one) => one.claim === claim && one.kind !== "none_of");
  switch (condition?.kind) {
    case "exact":
      return [condition.value].filter(isNameComponent);
    case "any_of":
      return condition.values.filter(isNameComponent);
    case "glob":
      return [condition.pattern];
    // A list is never part of a name.
    case "contains":
      return [];
    default:
      return ["*"];
  }
}

/** What the ceiling leaves of an action on it. */
function underCeiling(shape: Scope, action: Action, ceiling: readonly Scope[] | undefined): readonly Scope[] {
  if (ceiling === undefined) return [shape];
  return ceiling.flatMap(({ namespace, repository, actions }) => {
    if (!actions.includes(action) || !takesIn(shape.namespace, namespace)) return [];
    if (repository === "*") return [{ ...shape, namespace }];
    return takesIn(shape.repository, repository) ? [{ ...shape, namespace, repository }] : [];
  });
}

/** Whether a denial for everybody, at any time, takes back all of it. */
function isDeniedToAll(shape: Scope, action: Action, registry: string, { denials }: BrokerConfig): boolean {
  return denials.some(
    (denial) =>
      denial.registry === registry &&
      denial.issuer === undefined &&
      (denial.limits ?? []).length === 0 &&
      denial.deny.some((denied) => covers(denied, shape, action)),
  );
}

function warningsOf(grant: Grant, config: BrokerConfig, functionRole: string): Warning[] {
  const messages: string[] = [];
  if (accountOf(grant.roleArn) !== accountOf(functionRole) && grant.externalId === undefined) {
    messages.push(
      "its role is of another account than the function's and it has no external_id: whoever can have this broker name the role gets it; write external_id",
    );
  }
  const account = strangeAccount(grant, config);
  if (account !== undefined) {
    messages.push(
      `its role is of another account than registry ${grant.registry} (${account}), and Container Registry finds an instance only in the account of who asks; write a role of ${account}`,
    );
  }
  for (const template of grant.allowFor ?? []) {
    const isOpen = ({ namespace, repository }: Scope) =>
      namespace.includes("*") || (typeof template.repository !== "string" && repository.includes("*"));
    const open = shapesOf(template, grant.when)
      .flatMap((shape) => shape.actions.flatMap((action) => underCeiling(shape, action, config.ceiling)))
      .filter(isOpen)
      .map(({ namespace, repository }) => `${namespace}/${repository}`);
    for (const name of new Set(open)) {
      messages.push(
        `${template.text} is one value of a claim at a time, and the role must have ${name}: RAM's * is every value, and crosses /. The session policy narrows each credential to its caller's; list the values with any_of, or write a ceiling, to narrow the role too`,
      );
    }
  }
  return messages.map((message) => ({ grant, message }));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
