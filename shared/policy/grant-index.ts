/**
 * Finds the few grants that can matter to a request among many, so that a decision among fifty thousand costs about what one
 * among fifty does. Only ever leaves out what cannot match: `decide` still checks each condition of what it is given.
 */

import { type Claims, type Condition, claimValue } from "./condition.ts";
import type { Grant, Principal } from "./grant.ts";

export interface GrantIndex {
  /** Whether no grant of the registry speaks of the principal's source. */
  isStranger(principal: Principal, registry: string): boolean;
  /** At least all grants of the registry whose conditions hold for the principal. */
  possible(principal: Principal, registry: string): readonly Grant[];
  /** At least all grants of the principal's source that give something in the namespace. */
  giving(principal: Principal, registry: string, namespace: string): readonly Grant[];
}

const indexes = new WeakMap<readonly Grant[], GrantIndex>();

/** The index of these grants, made once for each list. */
export function grantIndex(grants: readonly Grant[]): GrantIndex {
  const known = indexes.get(grants);
  if (known !== undefined) return known;
  const groups = new Map<string, Group>();
  for (const grant of grants) {
    for (const source of sourcesOf(grant)) {
      const key = groupKey(source, grant.registry);
      const group = groups.get(key) ?? { grants: [], byClaim: undefined, byNamespace: undefined };
      group.grants.push(grant);
      groups.set(key, group);
    }
  }
  const groupOf = ({ source }: Principal, registry: string) => groups.get(groupKey(source, registry));

  const index: GrantIndex = {
    isStranger: (principal, registry) => groupOf(principal, registry) === undefined,
    possible(principal, registry) {
      const group = groupOf(principal, registry);
      if (group === undefined) return [];
      group.byClaim ??= byMostTellingClaim(group.grants);
      return lookUp(group.byClaim, principal.claims);
    },
    giving(principal, registry, namespace) {
      const group = groupOf(principal, registry);
      if (group === undefined) return [];
      group.byNamespace ??= byNamespace(group.grants);
      const found: Grant[] = [];
      collect(group.byNamespace, namespace, found);
      collect(group.byNamespace, ANY, found);
      return found;
    },
  };
  indexes.set(grants, index);
  return index;
}

/** For a single question: goes through all of the grants, which costs less than to make what many questions are answered with. */
export function grantScan(grants: readonly Grant[]): GrantIndex {
  const possible = (principal: Principal, registry: string) =>
    grants.filter((grant) => grant.registry === registry && isHolder(principal, grant));
  return {
    isStranger: (principal, registry) => possible(principal, registry).length === 0,
    possible,
    giving: possible,
  };
}

/** Grants of one source in one registry; what is found by is made when it is first needed. */
interface Group {
  readonly grants: Grant[];
  byClaim: ByClaim | undefined;
  byNamespace: Lists | undefined;
}

/**
 * Grants by a text. A lone one stands there itself, without a list around it: among very many grants hardly anything that a decision
 * looks at is in the processor's cache, and what it takes is counted in the places it has to look at.
 */
type Lists = Map<string, Grant | Grant[]>;

function add(lists: Lists, text: string, grant: Grant): void {
  const known = lists.get(text);
  if (known === undefined) lists.set(text, grant);
  else if (Array.isArray(known)) known.push(grant);
  else lists.set(text, [known, grant]);
}

/** Adds those that stand under `text` to `found`. */
function collect(lists: Lists, text: string, found: Grant[]): void {
  const known = lists.get(text);
  if (Array.isArray(known)) found.push(...known);
  else if (known !== undefined) found.push(known);
}

interface ByClaim {
  /** For each claim, the grants that want one of its values, by value. */
  readonly claims: ReadonlyMap<string, Lists>;
  /** Grants without a condition on exact values. */
  readonly rest: readonly Grant[];
}

/** Whether the grant speaks of callers vouched for by this principal's source; its conditions are another matter. */
export function isHolder(principal: Principal, grant: Grant): boolean {
  return "issuer" in principal.source
    ? "issuer" in grant.holder && grant.holder.issuer === principal.source.issuer
    : "apiKeys" in grant.holder && grant.holder.apiKeys.includes(principal.source.apiKey);
}

function sourcesOf({ holder }: Grant): Principal["source"][] {
  return "issuer" in holder ? [holder] : holder.apiKeys.map((apiKey) => ({ apiKey }));
}

function groupKey(source: Principal["source"], registry: string): string {
  // No name of either has a space in it.
  return "issuer" in source ? `issuer ${source.issuer} ${registry}` : `key ${source.apiKey} ${registry}`;
}

/** Each grant stands under the claim, of those it wants exact values of, that tells most grants apart. */
function byMostTellingClaim(grants: readonly Grant[]): ByClaim {
  const seen = new Map<string, Set<string>>();
  for (const { when } of grants) {
    for (const condition of when) {
      const values = exactValues(condition);
      if (values.length === 0) continue;
      const known = seen.get(condition.claim);
      if (known === undefined) seen.set(condition.claim, new Set(values));
      else for (const value of values) known.add(value);
    }
  }
  const telling = ({ claim }: Condition) => seen.get(claim)?.size ?? 0;
  const claims = new Map<string, Lists>();
  const rest: Grant[] = [];
  for (const grant of grants) {
    let best: Condition | undefined;
    for (const condition of grant.when) {
      if (exactValues(condition).length > 0 && (best === undefined || telling(condition) > telling(best)))
        best = condition;
    }
    if (best === undefined) {
      rest.push(grant);
      continue;
    }
    const byValue: Lists = claims.get(best.claim) ?? new Map();
    claims.set(best.claim, byValue);
    for (const value of exactValues(best)) add(byValue, value, grant);
  }
  return { claims, rest };
}

const NONE: readonly string[] = [];

function exactValues(condition: Condition): readonly string[] {
  if (condition.kind === "exact") return [condition.value];
  return condition.kind === "any_of" ? condition.values : NONE;
}

function lookUp({ claims, rest }: ByClaim, principalClaims: Claims): readonly Grant[] {
  const found = [...rest];
  for (const [claim, byValue] of claims) {
    const value = claimValue(principalClaims, claim);
    if (value.kind === "value") collect(byValue, value.text, found);
  }
  return found;
}

/** Stands for every namespace; no name has a `*` in it. */
const ANY = "*";

function byNamespace(grants: readonly Grant[]): Lists {
  const found: Lists = new Map();
  for (const grant of grants) {
    const variable = (grant.allowFor ?? []).some(({ namespace }) => typeof namespace !== "string");
    const written = [...grant.allow, ...(grant.allowFor ?? [])].map(({ namespace }) => namespace);
    const names = variable ? [ANY] : written.filter((name) => typeof name === "string");
    for (const name of new Set(names)) add(found, name, grant);
  }
  return found;
}
