/**
 * Which of two grants gives more, as far as it can be said without a caller at hand. What is answered with yes is so for every
 * token; a no may only mean that it cannot be told.
 */

import { networks } from "../address.ts";
import { type Condition, globMatches } from "../policy/condition.ts";
import type { Grant } from "../policy/grant.ts";
import { keepsWeek, type Limit, type TimeLimit } from "../policy/limit.ts";
import type { Action, Scope } from "../policy/scope.ts";
import type { ScopeTemplate } from "../policy/scope-template.ts";
import { isWithin } from "./patterns.ts";

/** Whether `wide` holds wherever `narrow` does. */
export function implies(narrow: Condition, wide: Condition): boolean {
  if (narrow.claim !== wide.claim) return false;
  const values = narrow.kind === "exact" ? [narrow.value] : narrow.kind === "any_of" ? narrow.values : undefined;
  switch (wide.kind) {
    case "exact":
      return values?.every((value) => value === wide.value) === true;
    case "any_of":
      return values?.every((value) => wide.values.includes(value)) === true;
    case "glob":
      return narrow.kind === "glob"
        ? isWithin(narrow.pattern, wide.pattern)
        : values?.every((value) => globMatches(wide.pattern, value)) === true;
    case "contains":
      return narrow.kind === "contains" && narrow.value === wide.value;
    case "none_of":
      if (narrow.kind === "glob") return wide.values.every((value) => !globMatches(narrow.pattern, value));
      if (narrow.kind === "none_of") return wide.values.every((value) => narrow.values.includes(value));
      return values?.some((value) => wide.values.includes(value)) === false;
  }
}

/** Whether all of `wide` holds wherever all of `narrow` does. */
export function impliesAll(narrow: readonly Condition[], wide: readonly Condition[]): boolean {
  return wide.every((condition) => narrow.some((one) => implies(one, condition)));
}

/** A scope, or one with claims in it. */
export type Given = Scope | ScopeTemplate;

export function givenBy({ allow, allowFor = [] }: Grant): readonly Given[] {
  return [...allow, ...allowFor];
}

/** Whether `pattern` gives all that `given` names, whatever the claims in it are. */
export function givesAll(pattern: Given, given: Given, action: Action): boolean {
  return (
    samePart(pattern.namespace, given.namespace) &&
    (pattern.repository === "*" || samePart(pattern.repository, given.repository)) &&
    pattern.actions.includes(action)
  );
}

/** Whether everything of `less` is among `more`. */
export function coversAll(more: readonly Given[], less: readonly Given[]): boolean {
  return less.every((given) =>
    given.actions.every((action) => more.some((pattern) => givesAll(pattern, given, action))),
  );
}

function samePart(a: Given["namespace"], b: Given["namespace"]): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** Whether each caller whom `narrow` is for is one whom `wide` is for; conditions are another matter. */
export function holdersWithin(narrow: Grant["holder"], wide: Grant["holder"]): boolean {
  return "issuer" in narrow
    ? "issuer" in wide && narrow.issuer === wide.issuer
    : "apiKeys" in wide && narrow.apiKeys.every((key) => wide.apiKeys.includes(key));
}

/** Whether the one limit is kept wherever the other is; none is kept everywhere. Both of one kind. */
export function limitWithin(narrow: Limit | undefined, wide: Limit | undefined): boolean {
  if (wide === undefined) return true;
  if (narrow === undefined) return false;
  if (narrow.kind === "network" && wide.kind === "network") {
    return narrow.cidrs.every((cidr) => wide.cidrs.some((other) => cidrWithin(cidr, other)));
  }
  return narrow.kind === "time" && wide.kind === "time" && timesWithin(narrow, wide);
}

function cidrWithin(narrow: string, wide: string): boolean {
  const [address = "", length] = narrow.split("/");
  return Number(length) >= Number(wide.split("/")[1]) && networks([wide]).includes(address);
}

function timesWithin(narrow: TimeLimit, wide: TimeLimit): boolean {
  if (wide.notBefore !== undefined && !(narrow.notBefore !== undefined && narrow.notBefore >= wide.notBefore))
    return false;
  if (wide.notAfter !== undefined && !(narrow.notAfter !== undefined && narrow.notAfter <= wide.notAfter)) return false;
  if (wide.days === undefined && wide.hours === undefined) return true;
  // Clocks of two places cannot be compared but by asking each at every moment.
  return narrow.zone === wide.zone && minutesOfTheWeek(narrow).every((minute) => isWithinWeek(wide, minute));
}

const MINUTES_A_DAY = 24 * 60;

/** Of a week that begins on Sunday at midnight, those that days and hours take in. */
function minutesOfTheWeek(limit: TimeLimit): number[] {
  return Array.from({ length: 7 * MINUTES_A_DAY }, (_, minute) => minute).filter((minute) =>
    isWithinWeek(limit, minute),
  );
}

function isWithinWeek({ days, hours }: TimeLimit, minute: number): boolean {
  return keepsWeek(days, hours, Math.floor(minute / MINUTES_A_DAY), minute % MINUTES_A_DAY);
}

/** What narrows a grant otherwise than those parts that are compared here, as text: the same, or it cannot be told. */
export function otherLimits(grant: Grant): string {
  const { name, line, holder, when, registry, allow, allowFor, roleArn, maxTtlSeconds, createRepository, ...rest } =
    grant;
  return JSON.stringify(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)));
}
