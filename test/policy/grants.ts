/** Short ways to write grants and principals in tests. */

import type { Condition } from "../../shared/policy/condition.ts";
import type { Grant, Policy, Principal } from "../../shared/policy/grant.ts";
import { parseScope, type Scope } from "../../shared/policy/scope.ts";

export function scope(text: string): Scope {
  const result = parseScope(text);
  if ("problem" in result) throw new Error(result.problem);
  return result.scope;
}

export const when = (claims: Record<string, string>): Condition[] =>
  Object.entries(claims).map(([claim, value]) => ({ kind: "exact", claim, value }));

export function grant(name: string, facts: Partial<Grant> & { allow: readonly Scope[] }): Grant {
  return {
    name,
    holder: { issuer: "github" },
    when: when({ repository_id: "1" }),
    registry: "prod",
    roleArn: "acs:ram::1234567890123456:role/acr-web",
    maxTtlSeconds: 1800,
    createRepository: false,
    line: 1,
    ...facts,
  };
}

/** Grants alone: nothing denied, no ceiling. */
export function policy(grants: readonly Grant[], rest: Partial<Policy> = {}): Policy {
  return { grants, denials: [], ...rest };
}

export function caller(claims: Record<string, unknown>, issuer = "github"): Principal {
  return { source: { issuer }, subject: "repo:acme/app", claims };
}
