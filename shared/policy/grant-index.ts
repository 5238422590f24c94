/**
 * Finds the few grants that can matter to a request among many, so that a decision among fifty thousand costs about what one
 * among fifty does. Only ever leaves out what cannot match: `decide` still checks each condition of what it is given.
 */

import { type Claims, claimValue } from "./condition.ts";
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
      return [...(group.byNamespace.get(namespace) ?? []), ...(group.byNamespace.get(ANY) ?? [])];
    },
  };
  indexes.set(grants, index);
  return index;
}

/** Grants of one source in one registry; what is found by is made when it is first needed. */
interface Group {
  readonly grants: Grant[];
  byClaim: ByClaim | undefined;
  byNamespace: ReadonlyMap<string, readonly Grant[]> | undefined;
}

interface ByClaim {
  /** For each claim, the grants that want one of its values, by value. */
  readonly claims: ReadonlyMap<string, ReadonlyMap<string, readonly Grant[]>>;
  /** Grants without a condition on exact values. */
  readonly rest: readonly Grant[];
}

function sourcesOf({ holder }: Grant): Principal["source"][] {
  return "issuer" in holder ? [holder] : holder.apiKeys.map((apiKey) => ({ apiKey }));
}

function groupKey(source: Principal["source"], registry: string): string {
  return JSON.stringify([source, registry]);
}

/** Each grant stands under the claim, of those it wants exact values of, that tells most grants apart. */
function byMostTellingClaim(grants: readonly Grant[]): ByClaim {
  const seen = new Map<string, Set<string>>();
  for (const grant of grants) {
    for (const [claim, values] of exactValues(grant)) {
      const known = seen.get(claim) ?? new Set();
      for (const value of values) known.add(value);
      seen.set(claim, known);
    }
  }
  const telling = (claim: string) => seen.get(claim)?.size ?? 0;
  const claims = new Map<string, Map<string, Grant[]>>();
  const rest: Grant[] = [];
  for (const grant of grants) {
    const [best] = exactValues(grant).sort(([a], [b]) => telling(b) - telling(a));
    if (best === undefined) {
      rest.push(grant);
      continue;
    }
    const [claim, values] = best;
    const byValue = claims.get(claim) ?? new Map<string, Grant[]>();
    claims.set(claim, byValue);
    for (const value of values) {
      const list = byValue.get(value) ?? [];
      list.push(grant);
      byValue.set(value, list);
    }
  }
  return { claims, rest };
}

function exactValues({ when }: Grant): [string, readonly string[]][] {
  return when.flatMap((condition): [string, readonly string[]][] => {
    if (condition.kind === "exact") return [[condition.claim, [condition.value]]];
    return condition.kind === "any_of" ? [[condition.claim, condition.values]] : [];
  });
}

function lookUp({ claims, rest }: ByClaim, principalClaims: Claims): readonly Grant[] {
  const found = [...rest];
  for (const [claim, byValue] of claims) {
    const value = claimValue(principalClaims, claim);
    if (value.kind === "value") found.push(...(byValue.get(value.text) ?? []));
  }
  return found;
}

/** Stands for every namespace; no name has a `*` in it. */
const ANY = "*";

function byNamespace(grants: readonly Grant[]): Map<string, Grant[]> {
  const found = new Map<string, Grant[]>();
  for (const grant of grants) {
    const variable = (grant.allowFor ?? []).some(({ namespace }) => typeof namespace !== "string");
    const written = [...grant.allow, ...(grant.allowFor ?? [])].map(({ namespace }) => namespace);
    const names = variable ? [ANY] : written.filter((name) => typeof name === "string");
    for (const name of new Set(names)) {
      const list = found.get(name) ?? [];
      list.push(grant);
      found.set(name, list);
    }
  }
  return found;
}
