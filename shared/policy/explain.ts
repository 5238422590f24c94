/**
 * Why a request was decided as it was: what each grant of the principal's source makes of it, and what would be asked of the
 * cloud. The decision is `decide`'s own; nothing here decides. Who may see how much of it is explanation-view.ts's business.
 * Pure.
 */

import { type Blockable, type BlockList, decideUnblocked, NO_BLOCKS } from "./blocks.ts";
import { type ClaimValue, type Condition, claimValue, holdsFor } from "./condition.ts";
import { type Decision, grantFor, type NearMiss, type RightsRequest, scopesOf } from "./decision.ts";
import { explainDenial } from "./explanation.ts";
import type { Grant, Policy, Principal } from "./grant.ts";
import { grantIndex, grantScan, isHolder } from "./grant-index.ts";
import { actualOf, keeps, type Limit } from "./limit.ts";
import { covers, type Scope } from "./scope.ts";
import type { RegistryLocation } from "./session-policy.ts";
import { type LifetimeWish, type Terms, termsOf } from "./terms.ts";

export interface Explanation {
  readonly principal: Principal;
  readonly registry: string;
  /** What is asked for, canonical. */
  readonly scopes: readonly Scope[];
  readonly decision: Decision;
  /** Why no credential would be issued, as the token route would say it; absent where one would. */
  readonly refusal?: {
    readonly code: "access_denied" | "invalid_request" | "policy_too_large" | "invalid_api_key";
    readonly detail: string;
  };
  readonly nearest?: NearMiss;
  /** Of an allowed request. */
  readonly terms?: Terms;
  /** Of the principal's source, in the order of the policy; just the one, where a grant is asked for by name. */
  readonly grants: readonly GrantExplanation[];
}

export interface GrantExplanation {
  readonly grant: Grant;
  /** Whether it is for the registry that is asked for; if not, it does not count. */
  readonly isInRegistry: boolean;
  /** Whether all conditions hold and all limits are kept. */
  readonly matches: boolean;
  /** Whether the decision to allow rests on it. */
  readonly decides: boolean;
  /** In the order of the policy. */
  readonly conditions: readonly ConditionExplanation[];
  readonly limits: readonly LimitExplanation[];
  /** What it would give of what is asked for. */
  readonly covers: readonly Scope[];
}

export interface ConditionExplanation {
  readonly condition: Condition;
  readonly holds: boolean;
  readonly actual: ClaimValue;
}

export interface LimitExplanation {
  readonly limit: Limit;
  readonly keeps: boolean;
  readonly actual: ClaimValue;
}

export interface Question extends LifetimeWish {
  readonly principal: Blockable;
  /** The principal's whole name, for the words of a refusal. */
  readonly caller: string;
  readonly request: RightsRequest;
  readonly policy: Policy;
  /** What is blocked at the moment; nothing when left out. */
  readonly blocks?: BlockList;
  /** Explain this many grants at most, those first that match or give something in a namespace asked for. All where left out. */
  readonly mostGrants?: number;
  readonly location: RegistryLocation;
}

/** Never throws but for a defect, as `termsOf` does. */
export function explain(question: Question): Explanation {
  const { principal, caller, request, policy, mostGrants, location, blocks = NO_BLOCKS } = question;
  const registry = "grant" in request ? request.grant.registry : request.registry;
  const scopes = scopesOf(request, principal.claims);
  // Where each grant is gone through in any case, once more costs little.
  const find = mostGrants === undefined ? grantScan : grantIndex;
  const decision = decideUnblocked(blocks, principal, request, policy, find);
  const considered = grantsToExplain(question, registry, scopes)
    .filter((grant) => isHolder(principal, grant))
    .map((grant) => grantFor(grant, principal.claims));
  const claimOf = onceEach((claim) => claimValue(principal.claims, claim));
  const shared = {
    principal,
    registry,
    scopes,
    decision,
    grants: considered.map((grant) => explainGrant(grant, principal, claimOf, { registry, scopes, decision })),
  };
  if (decision.outcome === "deny") {
    const { reason } = decision;
    return {
      ...shared,
      refusal: { code: "access_denied", detail: explainDenial(reason, caller) },
      ...(reason.kind === "condition" ? { nearest: reason.nearest } : {}),
    };
  }
  const terms = termsOf(decision, location, question);
  return {
    ...shared,
    terms,
    ...("refused" in terms ? { refusal: { code: terms.refused, detail: terms.detail } } : {}),
  };
}

/** With a limit those that the index finds, so that what a caller asks costs what a decision does and not what a review does. */
function grantsToExplain(
  { principal, request, policy, mostGrants }: Question,
  registry: string,
  scopes: readonly Scope[],
) {
  if ("grant" in request) return [request.grant];
  if (mostGrants === undefined) return policy.grants;
  const index = grantIndex(policy.grants);
  const found = new Set(index.possible(principal, registry).slice(0, mostGrants));
  for (const namespace of new Set(scopes.map((scope) => scope.namespace))) {
    for (const grant of index.giving(principal, registry, namespace)) {
      if (found.size >= mostGrants) return [...found];
      found.add(grant);
    }
  }
  return [...found];
}

function explainGrant(
  grant: Grant,
  principal: Principal,
  claimOf: (claim: string) => ClaimValue,
  { registry, scopes, decision }: Pick<Explanation, "registry" | "scopes" | "decision">,
): GrantExplanation {
  const conditions = grant.when.map((condition) => {
    const actual = claimOf(condition.claim);
    return { condition, holds: holdsFor(condition, actual), actual };
  });
  const limits = (grant.limits ?? []).map((limit) => ({
    limit,
    keeps: keeps(limit, principal),
    actual: actualOf(limit, principal),
  }));
  return {
    grant,
    isInRegistry: grant.registry === registry,
    matches: conditions.every((condition) => condition.holds) && limits.every((limit) => limit.keeps),
    decides: decision.outcome === "allow" && decision.grants.some(({ name }) => name === grant.name),
    conditions,
    limits,
    covers: scopes.flatMap((scope) => {
      const actions = scope.actions.filter((action) => grant.allow.some((pattern) => covers(pattern, scope, action)));
      return actions.length === 0 ? [] : [{ ...scope, actions }];
    }),
  };
}

/** Thousands of grants ask for the same few claims. */
function onceEach<T>(find: (name: string) => T): (name: string) => T {
  const found = new Map<string, T>();
  return (name) => {
    const known = found.get(name) ?? find(name);
    found.set(name, known);
    return known;
  };
}
