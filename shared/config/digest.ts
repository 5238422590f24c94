/** The policy digest: the same for whatever means the same, another for whatever decides otherwise. */

import { createHash } from "node:crypto";
import type { Condition } from "../policy/condition.ts";
import type { Limit } from "../policy/limit.ts";
import { formatScope } from "../policy/scope.ts";
import type { BrokerConfig, RedisSettings } from "./config.ts";

/**
 * Over everything that decides, defaults filled in. Left out: what is only for people (the grants' lines, when a key was made, its last digits), and which
 * keys seal credentials in Redis, or a new one would make every credential anew. Order counts only where
 * it is seen from outside (a registry's endpoints): grants are all considered, their conditions must all hold, and the
 * lists sorted here are sets.
 */
export function digest({
  shadow: _,
  budget: __,
  blocks: ___,
  limits: ____,
  audit: _____,
  metrics: ______,
  tracing: _______,
  redis,
  ...config
}: Omit<BrokerConfig, "digest">): string {
  const canonical = {
    ...config,
    ...(redis === undefined ? {} : { redis: withoutCredentials(redis) }),
    registries: [...config.registries.values()].sort(byName),
    issuers: [...config.issuers.values()]
      .sort(byName)
      .map((issuer) =>
        issuer.provider === "alibaba"
          ? { ...issuer, accounts: [...issuer.accounts].sort() }
          : { ...issuer, algorithms: [...issuer.algorithms].sort() },
      ),
    apiKeys: [...config.apiKeys.values()]
      .sort(byName)
      .map(({ created: _, last4: __, ...key }) => ({ ...key, cidrs: [...key.cidrs].sort() })),
    grants: [...config.grants].sort(byName).map(({ line: _, holder, ...grant }) => ({
      ...grant,
      holder: "apiKeys" in holder ? { apiKeys: [...holder.apiKeys].sort() } : holder,
      when: canonicalConditions(grant.when),
      ...canonicalLimits(grant.limits),
      allow: grant.allow.map(formatScope).sort(),
      allowFor: (grant.allowFor ?? []).map(({ text }) => text).sort(),
    })),
    denials: [...config.denials].sort(byName).map(({ line: _, ...denial }) => ({
      ...denial,
      when: canonicalConditions(denial.when),
      ...canonicalLimits(denial.limits),
      deny: denial.deny.map(formatScope).sort(),
    })),
    ...(config.ceiling === undefined ? {} : { ceiling: config.ceiling.map(formatScope).sort() }),
  };
  return `sha256:${createHash("sha256").update(JSON.stringify(canonical, sortedKeys)).digest("hex")}`;
}

function withoutCredentials({ credentialKeyVariables: _, ...redis }: RedisSettings): object {
  return redis;
}

function canonicalConditions(when: readonly Condition[]): Condition[] {
  return [...when]
    .sort((a, b) => compare(a.claim, b.claim))
    .map((one) => (one.kind === "any_of" ? { ...one, values: [...one.values].sort() } : one));
}

function canonicalLimits(limits: readonly Limit[] | undefined): { limits?: Limit[] } {
  if (limits === undefined) return {};
  const canonical = limits.map((one) => {
    if (one.kind === "network") return { ...one, cidrs: [...one.cidrs].sort() };
    return one.days === undefined ? one : { ...one, days: [...one.days].sort() };
  });
  return { limits: canonical };
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return compare(a.name, b.name);
}

/** By code unit: nothing must depend on the machine's language. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** For JSON.stringify: maps as objects with sorted keys. */
function sortedKeys(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => compare(a, b)));
}
