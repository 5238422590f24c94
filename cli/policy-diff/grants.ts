/** What two policies' grants and denials give and deny otherwise: one by one, matched by name, then by content. */

import { givenBy, holdersWithin, implies, limitWithin } from "../../shared/config/grant-order.ts";
import { type Condition, describeCondition } from "../../shared/policy/condition.ts";
import type { Denial, Grant } from "../../shared/policy/grant.ts";
import { describeLimit, type Limit } from "../../shared/policy/limit.ts";
import { type Change, changed, type Detail, givenText, reversed, scopeChange, together } from "./change.ts";

export function grantChanges(old: readonly Grant[], now: readonly Grant[]): Change[] {
  return pairs(old, now).flatMap(([was, is]): Change[] => {
    if (was === undefined && is !== undefined) return [whole("grant", is, "added", wholeGrant(is, "widened"))];
    if (was !== undefined && is === undefined) return [whole("grant", was, "removed", wholeGrant(was, "narrowed"))];
    return was !== undefined && is !== undefined ? between("grant", was, is, betweenGrants(was, is)) : [];
  });
}

export function denialChanges(old: readonly Denial[], now: readonly Denial[]): Change[] {
  return pairs(old, now).flatMap(([was, is]): Change[] => {
    if (was === undefined && is !== undefined) return [whole("denial", is, "added", wholeDenial(is, "narrowed"))];
    if (was !== undefined && is === undefined) return [whole("denial", was, "removed", wholeDenial(was, "widened"))];
    return was !== undefined && is !== undefined ? between("denial", was, is, betweenDenials(was, is)) : [];
  });
}

type Named = Grant | Denial;

/** In the order of the new policy, what is gone behind it. */
function pairs<One extends Named>(
  old: readonly One[],
  now: readonly One[],
): [was: One | undefined, is: One | undefined][] {
  const byName = new Map(old.map((one) => [one.name, one]));
  const names = new Set(now.map(({ name }) => name));
  const gone = new Map(old.filter(({ name }) => !names.has(name)).map((one) => [content(one), one]));
  const found = now.map((is): [One | undefined, One] => {
    const was = byName.get(is.name) ?? gone.get(content(is));
    if (was !== undefined && was.name !== is.name) gone.delete(content(is));
    return [was, is];
  });
  const matched = new Set(found.map(([was]) => was));
  return [...found, ...old.filter((one) => !matched.has(one)).map((was): [One, undefined] => [was, undefined])];
}

/** The same for two that differ in name and place alone. */
function content({ name: _, line: __, when, ...rest }: Named): string {
  const sorted = [...when].sort((a, b) => (a.claim < b.claim ? -1 : 1));
  return JSON.stringify([sorted, Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1))]);
}

function whole(
  subject: "grant" | "denial",
  { name, line }: Named,
  kind: "added" | "removed",
  details: readonly Detail[],
): Change {
  const lines = kind === "added" ? { newLine: line } : { oldLine: line };
  return { subject, name, kind, direction: together(details), details, ...lines };
}

function between(subject: "grant" | "denial", was: Named, is: Named, details: readonly Detail[]): Change[] {
  const lines = { oldLine: was.line, newLine: is.line };
  if (was.name !== is.name) {
    const text = `${was.name} → ${is.name}; callers that name it must name it anew`;
    return [
      {
        subject,
        name: is.name,
        kind: "renamed",
        direction: "same",
        details: [{ field: "name", direction: "same", text }],
        ...lines,
      },
    ];
  }
  return details.length === 0
    ? []
    : [{ subject, name: is.name, kind: "changed", direction: together(details), details, ...lines }];
}

function betweenGrants(was: Grant, is: Grant): Detail[] {
  return [
    ...holderChange(was, is),
    ...conditionChange(was.when, is.when),
    ...limitChange(was.limits, is.limits),
    ...changed("registry", was.registry, is.registry, "both"),
    ...scopeChange("allow", givenBy(was), givenBy(is)),
    // What a role permits stands in RAM.
    ...changed("role_arn", was.roleArn, is.roleArn, "both"),
    ...changed("external_id", was.externalId, is.externalId, "both"),
    ...changed(
      "max_ttl",
      was.maxTtlSeconds,
      is.maxTtlSeconds,
      is.maxTtlSeconds > was.maxTtlSeconds ? "widened" : "narrowed",
    ),
    ...changed(
      "create_repository",
      was.createRepository,
      is.createRepository,
      is.createRepository ? "widened" : "narrowed",
    ),
  ];
}

function betweenDenials(was: Denial, is: Denial): Detail[] {
  const issuer = was.issuer === undefined ? "widened" : is.issuer === undefined ? "narrowed" : "both";
  return [
    ...changed("issuer", was.issuer ?? "every caller", is.issuer ?? "every caller", issuer),
    ...changed("registry", was.registry, is.registry, "both"),
    ...[
      ...conditionChange(was.when, is.when),
      ...limitChange(was.limits, is.limits),
      ...scopeChange("deny", was.deny, is.deny),
    ].map((detail) => ({ ...detail, direction: reversed(detail.direction) })),
  ];
}

function holderChange(was: Grant, is: Grant): Detail[] {
  const [more, less] = [holdersWithin(was.holder, is.holder), holdersWithin(is.holder, was.holder)];
  if (more && less) return [];
  return changed("for", holderText(was), holderText(is), more ? "widened" : less ? "narrowed" : "both");
}

function conditionChange(was: readonly Condition[], is: readonly Condition[]): Detail[] {
  const claims = [...new Set([...was, ...is].map(({ claim }) => claim))];
  return claims.flatMap((claim): Detail[] => {
    const field = `when.${claim}`;
    const [before, after] = [was, is].map((all) => all.find((one) => one.claim === claim));
    if (before === undefined || after === undefined) {
      return changed(
        field,
        before && describeCondition(before),
        after && describeCondition(after),
        before === undefined ? "narrowed" : "widened",
      );
    }
    const [more, less] = [implies(before, after), implies(after, before)];
    if (more && less) return [];
    return changed(
      field,
      describeCondition(before),
      describeCondition(after),
      more ? "widened" : less ? "narrowed" : "both",
    );
  });
}

function limitChange(was: readonly Limit[] = [], is: readonly Limit[] = []): Detail[] {
  return (["network", "time"] as const).flatMap((kind) => {
    const [before, after] = [was, is].map((all) => all.find((one) => one.kind === kind));
    const [more, less] = [limitWithin(before, after), limitWithin(after, before)];
    const direction = more && less ? "same" : more ? "widened" : less ? "narrowed" : "both";
    const shown = (limit: Limit | undefined) => (limit === undefined ? WITHOUT[kind] : describeLimit(limit));
    return changed(FIELDS[kind], shown(before), shown(after), direction);
  });
}

const FIELDS = { network: "cidrs", time: "times" } as const;
const WITHOUT = { network: "anywhere", time: "always" } as const;

function limitDetails(limits: readonly Limit[] = [], direction: Detail["direction"]): Detail[] {
  return limits.map((one) => ({ field: FIELDS[one.kind], direction, text: describeLimit(one) }));
}

function wholeGrant(grant: Grant, direction: Detail["direction"]): Detail[] {
  const gives = givenBy(grant)
    .map((given) => givenText(given))
    .join(" ");
  return [
    { field: "for", direction, text: holderText(grant) },
    ...grant.when.map((one) => ({ field: `when.${one.claim}`, direction, text: describeCondition(one) })),
    ...limitDetails(grant.limits, direction),
    { field: "allow", direction, text: `${gives} in ${grant.registry}` },
    {
      field: "role_arn",
      direction,
      text: `${grant.roleArn}, ${grant.maxTtlSeconds} s at most${grant.createRepository ? ", creating repositories" : ""}`,
    },
  ];
}

function wholeDenial({ issuer, when, limits, deny, registry }: Denial, direction: Detail["direction"]): Detail[] {
  return [
    { field: "issuer", direction, text: issuer ?? "every caller" },
    ...when.map((one) => ({ field: `when.${one.claim}`, direction, text: describeCondition(one) })),
    ...limitDetails(limits, direction),
    { field: "deny", direction, text: `${deny.map((scope) => givenText(scope)).join(" ")} in ${registry}` },
  ];
}

function holderText({ holder }: Grant): string {
  return "issuer" in holder ? `callers of ${holder.issuer}` : `the holder of API key ${holder.apiKeys.join(" or ")}`;
}
