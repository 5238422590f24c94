/**
 * May they? Decides one request of one principal against the grants: deny by default, all scopes or none.
 * Pure: no clock, no I/O, no environment. The order of the grants never changes the answer.
 */

import type { Against } from "./blocks.ts";
import { type Claims, type ClaimValue, type Condition, claimValue, fails, holds } from "./condition.ts";
import { type Denial, type Grant, LONGEST_LIFETIME_SECONDS, type Policy, type Principal } from "./grant.ts";
import { type GrantIndex, grantIndex, isHolder } from "./grant-index.ts";
import { actualOf, keeps, type Limit } from "./limit.ts";
import { type Action, canonicalScopes, covers, overlaps, type Scope } from "./scope.ts";
import { instantiate } from "./scope-template.ts";

/** What is asked for: scopes in one registry, or all that one grant gives. */
export type RightsRequest =
  | { readonly registry: string; readonly scopes: readonly Scope[] }
  | { readonly grant: Grant };

/** What may be issued. Never empty. */
export interface Rights {
  readonly registry: string;
  readonly roleArn: string;
  /** What the role's trust policy demands, where it does. */
  readonly externalId?: string;
  /** Canonical. */
  readonly scopes: readonly Scope[];
  /** Those of `scopes` that are pushed to under a grant with `create_repository`. */
  readonly creatable: readonly Scope[];
}

export type Decision =
  | {
      readonly outcome: "allow";
      readonly rights: Rights;
      /** The grants that the rights rest on, by name; no more than are needed. */
      readonly grants: readonly Grant[];
      /** The longest that a credential of this decision may live. */
      readonly maxTtlSeconds: number;
    }
  | { readonly outcome: "deny"; readonly reason: DenyReason };

export type DenyReason =
  /** Nothing was asked for: that never means everything. */
  | { readonly kind: "nothing_requested" }
  /** No grant speaks of this principal's issuer or key in this registry: a stranger, who is told no more. */
  | { readonly kind: "stranger" }
  /** A grant of the principal's issuer would give it, but for a condition. */
  | { readonly kind: "condition"; readonly nearest: NearMiss; readonly scope: Scope }
  /** The principal's own grants, if it has any, do not reach it, nor does any other of its issuer. */
  | { readonly kind: "scope"; readonly scope: Scope; readonly missing: Action; readonly matching: readonly Grant[] }
  /** Each scope is granted, but by grants of different roles; one credential has one role. */
  | { readonly kind: "roles"; readonly matching: readonly Grant[] }
  /** Granted, and denied all the same. */
  | { readonly kind: "denied"; readonly denial: Denial; readonly scope: Scope }
  /** A claim's value made a grant give more than any may. */
  | { readonly kind: "ceiling"; readonly scope: Scope }
  /** The caller, or each grant that would give it: blocks.ts. */
  | { readonly kind: "blocked"; readonly against: Against; readonly askWhom: string };

export interface NearMiss {
  readonly grant: Grant;
  /** The first condition, in the order of the file, that does not hold; where all hold, the first limit that is not kept. */
  readonly failed: Condition | Limit;
  readonly actual: ClaimValue;
  /** How many of the conditions hold that a caller cannot choose: none means that it has nothing to do with the grant. */
  readonly held: number;
}

/** Decides one request. Never throws; an empty request is denied. `find` finds the grants that can matter; the answer is the same with either. */
export function decide(
  principal: Principal,
  request: RightsRequest,
  policy: Policy,
  find: (grants: readonly Grant[]) => GrantIndex = grantIndex,
): Decision {
  const registry = "grant" in request ? request.grant.registry : request.registry;
  const scopes = scopesOf(request, principal.claims);
  if (scopes.length === 0) return deny({ kind: "nothing_requested" });

  const index = find("grant" in request ? [request.grant] : policy.grants);
  if (index.isStranger(principal, registry)) return deny({ kind: "stranger" });

  const matching = index
    .possible(principal, registry)
    .filter((grant) => isFor(principal, grant))
    .map((grant) => grantFor(grant, principal.claims));
  const allowed = bestOf(
    [...new Set(matching.map((grant) => grant.roleArn))].map((roleArn) =>
      cover(
        scopes,
        matching.filter((grant) => grant.roleArn === roleArn),
      ),
    ),
  );
  if (allowed !== undefined) {
    const overruled = overrule(principal, registry, scopes, policy);
    if (overruled !== undefined) return deny(overruled);
    const { roleArn, externalId } = allowed.grants[0] as Grant;
    const role = externalId === undefined ? { roleArn } : { roleArn, externalId };
    return { outcome: "allow", ...allowed, rights: { registry, ...role, scopes, creatable: allowed.creatable } };
  }
  return deny(whyNot(principal, registry, scopes, index, matching.sort(byName)));
}

/** Whether all conditions of the grant hold for the principal and all limits are kept; whose callers it is for is another matter. */
export function isFor(principal: Principal, { when, limits = [] }: Grant): boolean {
  return (
    when.every((condition) => holds(condition, principal.claims)) && limits.every((limit) => keeps(limit, principal))
  );
}

/** Whether the grant is for the principal, or but for a condition: one holds that tells the caller from others of its issuer. */
export function isNearly(principal: Principal, grant: Grant): boolean {
  if (!isHolder(principal, grant)) return false;
  const holding = grant.when.filter((condition) => holds(condition, principal.claims));
  return holding.length === grant.when.length || holding.some(isVouchedFor);
}

/** What is asked for, canonical; of a named grant all that it gives to a caller with these claims. */
export function scopesOf(request: RightsRequest, claims: Claims): Scope[] {
  return canonicalScopes("grant" in request ? grantFor(request.grant, claims).allow : request.scopes);
}

/** The grant as it is for a caller with these claims: variables filled in, and left out where a value is not fit. */
export function grantFor(grant: Grant, claims: Claims): Grant {
  const { allowFor = [] } = grant;
  if (allowFor.length === 0) return grant;
  return { ...grant, allow: [...grant.allow, ...allowFor.flatMap((template) => instantiate(template, claims) ?? [])] };
}

/** Why what grants give is denied all the same: by name, or for going beyond the ceiling. */
function overrule(
  principal: Principal,
  registry: string,
  scopes: readonly Scope[],
  { denials, ceiling }: Policy,
): DenyReason | undefined {
  const applying = denials.filter(
    (denial) =>
      denial.registry === registry &&
      mayApply(denial, principal) &&
      (principal.time === undefined || (denial.limits ?? []).every((limit) => keeps(limit, principal))),
  );
  for (const scope of scopes) {
    const denial = applying.find(({ deny }) => deny.some((denied) => overlaps(denied, scope)));
    if (denial !== undefined) return { kind: "denied", denial, scope };
    const isWithin = (action: Action) => ceiling === undefined || ceiling.some((most) => covers(most, scope, action));
    if (!scope.actions.every(isWithin)) return { kind: "ceiling", scope };
  }
  return undefined;
}

/** Whether the denial is for the principal, whatever the time is. */
export function mayApply({ issuer, when }: Denial, { source, claims }: Principal): boolean {
  const isOfIssuer = issuer === undefined || ("issuer" in source && issuer === source.issuer);
  return isOfIssuer && !when.some((condition) => fails(condition, claims));
}

interface Cover {
  readonly grants: readonly Grant[];
  readonly creatable: readonly Scope[];
  readonly maxTtlSeconds: number;
}

/** The grants that together give all of `scopes`; undefined where one action of one scope stays without. */
function cover(scopes: readonly Scope[], grants: readonly Grant[]): Cover | undefined {
  const used = new Set<Grant>();
  const creatable: Scope[] = [];
  for (const scope of scopes) {
    for (const action of scope.actions) {
      const best = grants.filter((grant) => gives(grant, scope, action)).sort(byPreference(action))[0];
      if (best === undefined) return undefined;
      used.add(best);
      if (action === "push" && best.createRepository) creatable.push(scope);
    }
  }
  const maxTtlSeconds = Math.min(LONGEST_LIFETIME_SECONDS, ...[...used].map((grant) => grant.maxTtlSeconds));
  return { grants: [...used].sort(byName), creatable, maxTtlSeconds };
}

function gives(grant: Grant, scope: Scope, action: Action): boolean {
  return grant.allow.some((pattern) => covers(pattern, scope, action));
}

/** Where several grants give the same: for a push one that may create the repository, then the longest-lived, then by name. */
function byPreference(action: Action) {
  return (a: Grant, b: Grant): number =>
    (action === "push" ? Number(b.createRepository) - Number(a.createRepository) : 0) ||
    b.maxTtlSeconds - a.maxTtlSeconds ||
    byName(a, b);
}

/** No two have the same. */
function byName(a: Grant, b: Grant): number {
  return a.name < b.name ? -1 : 1;
}

/** Of several roles that each give everything: the longest-lived, then by the first grant's name. */
function bestOf(covers: readonly (Cover | undefined)[]): Cover | undefined {
  return covers
    .filter((cover) => cover !== undefined)
    .sort((a, b) => b.maxTtlSeconds - a.maxTtlSeconds || byName(a.grants[0] as Grant, b.grants[0] as Grant))[0];
}

/** Whether its caller may know the grant and what it expects: one who satisfies a condition that callers cannot choose, or all. */
export function isNearEnough({ failed, held }: NearMiss): boolean {
  return held > 0 || !("claim" in failed);
}

function deny(reason: DenyReason): Decision {
  return { outcome: "deny", reason };
}

function whyNot(
  principal: Principal,
  registry: string,
  scopes: readonly Scope[],
  index: GrantIndex,
  matching: readonly Grant[],
): DenyReason {
  for (const scope of scopes) {
    for (const missing of scope.actions) {
      if (matching.some((grant) => gives(grant, scope, missing))) continue;
      // Those that match have no condition that fails, and so are no misses.
      const others = index
        .giving(principal, registry, scope.namespace)
        .map((grant) => grantFor(grant, principal.claims));
      const nearest = nearestMiss(
        principal,
        others.filter((grant) => gives(grant, scope, missing)),
      );
      return nearest === undefined
        ? { kind: "scope", scope, missing, matching }
        : { kind: "condition", nearest, scope };
    }
  }
  return { kind: "roles", matching };
}

/**
 * Of grants that do not match, the one that the caller has most to do with: one of whose conditions some hold, then with the
 * fewest that fail, then with the most that hold, then by name.
 */
function nearestMiss(principal: Principal, grants: readonly Grant[]): NearMiss | undefined {
  const misses = grants.flatMap((grant) => {
    const conditions = grant.when.filter((condition) => !holds(condition, principal.claims));
    // Looked at only where they decide: they take longer than conditions, and a stranger may miss thousands of grants.
    const limits = conditions.length > 0 ? [] : (grant.limits ?? []).filter((limit) => !keeps(limit, principal));
    const held = grant.when.filter((one) => isVouchedFor(one) && !conditions.includes(one)).length;
    const failed = conditions[0] ?? limits[0];
    return failed === undefined ? [] : [{ grant, failed, failing: conditions.length + limits.length, held }];
  });
  const nearest = misses.sort(
    (a, b) =>
      Number(a.held === 0) - Number(b.held === 0) ||
      a.failing - b.failing ||
      b.held - a.held ||
      byName(a.grant, b.grant),
  )[0];
  if (nearest === undefined) return undefined;
  const { grant, failed, held } = nearest;
  const actual = "claim" in failed ? claimValue(principal.claims, failed.claim) : actualOf(failed, principal);
  return { grant, failed, held, actual };
}

/** Each caller of an issuer has the same of these. */
const ALIKE = ["iss", "aud"];

/** Whether the condition, where it holds, tells the caller apart from any other of its issuer. */
export function isVouchedFor(condition: Condition): boolean {
  return condition.callerChosen !== true && condition.kind !== "none_of" && !ALIKE.includes(condition.claim);
}
