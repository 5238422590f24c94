/**
 * A refusal in words, as much of it as the caller may know. A stranger learns that it was refused; a caller of some
 * grant's issuer learns which condition failed and what its own claim said; the grant's name and what it expects are told
 * only to a caller who satisfies another of its conditions, one that callers cannot choose to satisfy: on a public issuer
 * "a caller" may be anybody.
 */

import { blockedDetail } from "./blocks.ts";
import { type ClaimValue, type Condition, describeCondition } from "./condition.ts";
import { type DenyReason, isNearEnough } from "./decision.ts";
import { describeLimit, type Limit } from "./limit.ts";
import { formatScope, quote } from "./scope.ts";

/** The `detail` of a 403. `principal` is the caller's own name, in words. */
export function explainDenial(reason: DenyReason, principal: string): string {
  switch (reason.kind) {
    case "nothing_requested":
      return "what was asked for comes to nothing, and that never means everything; send scope, or a grant whose claims are fit for names";
    case "stranger":
      return "the request was refused";
    case "condition": {
      const { grant, failed, actual } = reason.nearest;
      const wanted = `${formatScope(reason.scope)} was refused`;
      const claim = `condition on ${subjectOf(failed)} failed: ${"claim" in failed ? "the claim" : "it"} ${describeActual(actual)}`;
      return isNearEnough(reason.nearest)
        ? `${wanted}; the nearest grant is ${grant.name}, whose ${claim}, and must be ${describeDemand(failed)}`
        : `${wanted}; the nearest grant's ${claim}; more is told only to callers whom the grant is nearly for: ask the broker's operator`;
    }
    case "scope": {
      const { scope, missing, matching } = reason;
      if (matching.length === 0)
        return `no grant for callers of yours allows ${missing} on ${scope.namespace}/${scope.repository}`;
      const allowed = matching.map((grant) => `${grant.name} (${grant.allow.map(formatScope).join(" ")})`).join(", ");
      return `no grant of ${principal} allows ${missing} on ${scope.namespace}/${scope.repository}; what it has: ${allowed}`;
    }
    case "denied": {
      const { name, deny, limits = [] } = reason.denial;
      const when = limits.map((limit) => ` ${describeLimit(limit)}`).join("");
      return `${formatScope(reason.scope)} is granted, but ${name} denies it${when} (${deny.map(formatScope).join(" ")}); ask without what it denies${when === "" ? "" : ", or at another time"}`;
    }
    case "blocked":
      return blockedDetail(reason.against.kind, reason.askWhom);
    case "ceiling":
      return `${formatScope(reason.scope)} is beyond the ceiling that no grant exceeds`;
    case "roles": {
      const roles = [...new Set(reason.matching.map((grant) => `${grant.name} (${grant.roleArn})`))].join(", ");
      return `the scopes are granted only under different roles, and one credential has one role; ask for them separately: ${roles}`;
    }
  }
}

/** What a condition or limit is about, in words. */
export function subjectOf(demand: Condition | Limit): string {
  if ("claim" in demand) return `claim ${demand.claim}`;
  return demand.kind === "network" ? "the caller's address" : "the time";
}

/** A condition or limit in words, as it stands behind "must be …". */
export function describeDemand(demand: Condition | Limit): string {
  return "claim" in demand ? describeCondition(demand) : describeLimit(demand);
}

/** A claim as a sentence ends: `is "x"`, `is not there`. */
export function describeActual(actual: ClaimValue): string {
  switch (actual.kind) {
    case "value":
      return `is ${quote(actual.text)}`;
    case "list":
      return `is the list ${quote(actual.texts.join(", "))}`;
    case "absent":
      return "is not there";
    case "unusable":
      return `cannot be compared (${actual.why})`;
  }
}
