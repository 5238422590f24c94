/**
 * The session policy: what narrows an assumed role to the rights of one decision. Built as objects from checked values,
 * canonical (equal rights give equal text), and as short as it can be.
 *
 * RAM policy language: https://www.alibabacloud.com/help/en/ram/policy-structure-and-syntax
 * ACR actions and resources: https://www.alibabacloud.com/help/en/acr/user-guide/configure-policies-for-ram-users-to-access-container-registry
 */

import type { Rights } from "./decision.ts";
import { isNameComponent, type Scope } from "./scope.ts";

/** STS AssumeRole, Policy: length in characters. */
export const LONGEST_SESSION_POLICY = 2048;

/** Where the repositories are; from the configuration. */
export interface RegistryLocation {
  readonly region: string;
  readonly accountId: string;
  readonly instanceId: string;
}

export type SessionPolicyResult = { readonly policy: SessionPolicy } | { readonly characters: number };

/**
 * A session policy that grants something, and no more than a decision allowed. A class only so that nothing else can stand
 * in its place: `SessionPolicy.of` is the one way to make it, and AssumeRole takes nothing but this.
 */
export class SessionPolicy {
  private constructor(readonly json: string) {}

  /**
   * The session policy of `rights`, or how many characters it would have had, where that is over 2,048: it is refused
   * then, never widened to fit.
   * @throws Error where `rights` is empty or a value could mean more than itself in RAM's language: a defect of the broker.
   */
  static of(rights: Rights, location: RegistryLocation): SessionPolicyResult {
    if (rights.scopes.length === 0)
      throw new Error("a session policy without scopes would give all rights of the role");
    const json = JSON.stringify({
      Version: "1",
      // GetAuthorizationToken supports only the resource `*`.
      Statement: [statement(["cr:GetAuthorizationToken"], ["*"]), ...repositoryStatements(rights, location)],
    });
    return json.length > LONGEST_SESSION_POLICY ? { characters: json.length } : { policy: new SessionPolicy(json) };
  }
}

/** One statement for each set of actions, so that each repository's ARN is written once. */
function repositoryStatements({ scopes, creatable }: Rights, location: RegistryLocation) {
  const groups = new Map<string, string[]>();
  for (const scope of scopes) {
    const key = ramActions(scope, creatable).join(" ");
    groups.set(key, [...(groups.get(key) ?? []), repositoryArn(scope, location)]);
  }
  return [...groups.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([actions, arns]) => statement(actions.split(" "), arns.sort()));
}

function ramActions(scope: Scope, creatable: readonly Scope[]): string[] {
  const actions = scope.actions.map(
    (action) => (action === "pull" ? "cr:PullRepository" : "cr:PushRepository") as string,
  );
  return creatable.some((other) => sameRepository(other, scope)) ? [...actions, "cr:CreateRepository"] : actions;
}

function statement(actions: readonly string[], resources: readonly string[]) {
  return { Effect: "Allow", Action: oneOrMany(actions), Resource: oneOrMany(resources) };
}

/** RAM takes a lone string for a list of one: two characters less. */
function oneOrMany(values: readonly string[]): string | readonly string[] {
  return values.length === 1 ? (values[0] as string) : values;
}

function sameRepository(a: Scope, b: Scope): boolean {
  return a.namespace === b.namespace && a.repository === b.repository;
}

function repositoryArn({ namespace, repository }: Scope, { region, accountId, instanceId }: RegistryLocation): string {
  // RAM gives `*` and `?` a meaning, and `${…}` to variables. Everything here was checked on its way in; this is the last door.
  const exact =
    /^[a-z0-9-]+$/.test(region) &&
    /^[0-9]+$/.test(accountId) &&
    /^cri-[a-z0-9]+$/.test(instanceId) &&
    isNameComponent(namespace) &&
    (repository === "*" || isNameComponent(repository));
  if (!exact) throw new Error("a value of a session policy is not an exact name");
  return `acs:cr:${region}:${accountId}:repository/${instanceId}/${namespace}/${repository}`;
}
