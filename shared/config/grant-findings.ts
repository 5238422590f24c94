/** What a reviewer should see of a policy's grants: those that others make needless, and names that no grant takes up. */

import type { Condition } from "../policy/condition.ts";
import type { Grant } from "../policy/grant.ts";
import { claimRules } from "./claim-findings.ts";
import type { BrokerConfig } from "./config.ts";
import { deadRules } from "./dead-findings.ts";
import { denialRules } from "./denial-findings.ts";
import { coversAll, givenBy, holdersWithin, impliesAll, otherLimits } from "./grant-order.ts";
import { limitRules } from "./limit-findings.ts";
import type { Found, Rule } from "./lint-findings.ts";
import { patternRules } from "./pattern-findings.ts";
import { registryRules } from "./registry-findings.ts";
import { roleRules } from "./role-findings.ts";

export const grantRules: Readonly<Record<string, Rule>> = {
  ...claimRules,
  ...patternRules,
  ...deadRules,
  ...limitRules,
  ...roleRules,
  ...denialRules,
  ...registryRules,
  "grant-shadowed": ({ grants }) => {
    const likely = byRarestCondition(grants);
    return grants.flatMap((grant): Found[] => {
      const wider = likely(grant).find((other) => isShadowedBy(grant, other));
      if (wider === undefined) return [];
      const isSame = isShadowedBy(wider, grant, "also the earlier");
      const message = isSame
        ? `gives exactly what ${wider.name} (line ${wider.line}) gives, to the same callers; keep one`
        : `is never needed: ${wider.name} (line ${wider.line}) gives all of it, for as long, under no more conditions; take it out, or ${wider.name} if that was meant to be narrower`;
      return [
        { severity: "warning", path: ["grants", grant.name], part: "key", message: `grants.${grant.name}: ${message}` },
      ];
    });
  },
  "issuer-unused": unused("issuers", (grant) => ("issuer" in grant.holder ? grant.holder.issuer : undefined)),
  "registry-unused": unused("registries", (grant) => grant.registry),
};

/** Of two that give the same only the later is shadowed. */
function isShadowedBy(grant: Grant, other: Grant, order?: "also the earlier"): boolean {
  return (
    other !== grant &&
    other.registry === grant.registry &&
    other.roleArn === grant.roleArn &&
    other.maxTtlSeconds >= grant.maxTtlSeconds &&
    (other.createRepository || !grant.createRepository) &&
    holdersWithin(grant.holder, other.holder) &&
    impliesAll(grant.when, other.when) &&
    coversAll(givenBy(other), givenBy(grant)) &&
    otherLimits(other) === otherLimits(grant) &&
    (order !== undefined || other.line < grant.line || !isShadowedBy(other, grant, "also the earlier"))
  );
}

/**
 * For each grant those that could shadow it: whatever fixes a claim to one value can do so only to what fixes it to the same.
 * Each is found by its rarest such condition, so that thousands of grants need not all be compared with one another.
 */
function byRarestCondition(grants: readonly Grant[]): (grant: Grant) => readonly Grant[] {
  const counts = new Map<string, number>();
  for (const key of grants.flatMap(fixed)) counts.set(key, (counts.get(key) ?? 0) + 1);
  const found = new Map<string, Grant[]>();
  for (const grant of grants) {
    const [rarest = ""] = fixed(grant).sort((a, b) => (counts.get(a) ?? 0) - (counts.get(b) ?? 0));
    const others = found.get(rarest) ?? [];
    others.push(grant);
    found.set(rarest, others);
  }
  return (grant) => ["", ...fixed(grant)].flatMap((key) => found.get(key) ?? []);
}

function fixed({ holder, when }: Grant): string[] {
  const issuer = "issuer" in holder ? holder.issuer : "";
  return when.flatMap((condition) => {
    const value = onlyValue(condition);
    return value === undefined ? [] : [JSON.stringify([issuer, condition.claim, value])];
  });
}

function onlyValue(condition: Condition): string | undefined {
  if (condition.kind === "exact") return condition.value;
  return condition.kind === "any_of" && condition.values.length === 1 ? condition.values[0] : undefined;
}

function unused(section: "issuers" | "registries", nameIn: (grant: Grant) => string | undefined): Rule {
  return (config: BrokerConfig) => {
    const used = new Set(config.grants.map(nameIn));
    return [...config[section].keys()]
      .filter((name) => !used.has(name))
      .map((name) => ({
        severity: "note",
        path: [section, name],
        part: "key",
        message: `${section}.${name}: is in no grant, and gives nobody anything; name it in a grant, or take it out`,
      }));
  };
}
