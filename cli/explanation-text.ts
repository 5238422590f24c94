/** An explanation for the operator's terminal. Everything is shown: whoever has the policy may read it. */

import type { Claims } from "../shared/policy/condition.ts";
import type { Explanation, GrantExplanation } from "../shared/policy/explain.ts";
import { describeActual, describeDemand, subjectOf } from "../shared/policy/explanation.ts";
import { credentialView } from "../shared/policy/explanation-view.ts";
import { formatScope } from "../shared/policy/scope.ts";
import { instantiate } from "../shared/policy/scope-template.ts";
import { colours } from "./colours.ts";
import { plural } from "./plural.ts";

/** Of grants that neither decide nor are nearest; the rest is in the JSON. */
const MOST_OTHERS = 5;

export function explanationText(explanation: Explanation, file: string, isColoured: boolean): string {
  const { green, red, yellow, bold } = colours(isColoured);
  const { decision, registry, scopes, refusal } = explanation;
  const verdict =
    decision.outcome === "deny" ? red("DENY") : refusal === undefined ? green("ALLOW") : yellow("ALLOW, BUT");
  const lines = [`${bold(verdict)}  ${scopes.map(formatScope).join(" ")}  in registry ${registry}`];
  lines.push(`caller ${callerText(explanation)}`);
  if (refusal !== undefined) lines.push("", `the broker would answer ${refusal.code}: ${refusal.detail}`);
  lines.push(...grantsText(explanation, file, isColoured), ...credentialLines(explanation));
  return `${lines.join("\n")}\n`;
}

/** The grants that decide or are nearest, each with its conditions; of the others the most telling ones. */
export function grantsText(explanation: Explanation, file: string, isColoured: boolean): string[] {
  const { bold } = colours(isColoured);
  const { decision } = explanation;
  const denial = decision.outcome === "deny" && decision.reason.kind === "denied" ? decision.reason.denial : undefined;
  const main = explanation.grants.filter((one) => one.decides || one.grant.name === explanation.nearest?.grant.name);
  return [
    ...(denial === undefined ? [] : ["", `${bold("denied by")} ${place(denial, file)}`]),
    ...main.flatMap((one) => [
      "",
      `${bold(one.decides ? "by grant" : "nearest miss")} ${place(one.grant, file)}`,
      ...grantLines(one, explanation.principal.claims, isColoured),
    ]),
    ...otherLines(explanation, main, file),
  ];
}

function callerText({ principal: { source, subject } }: Explanation): string {
  return "issuer" in source
    ? `${subject === "" ? "(no sub)" : subject} of issuer ${source.issuer}`
    : `holder of API key ${source.apiKey}`;
}

function place({ name, line }: { readonly name: string; readonly line: number }, file: string): string {
  return `${name} (${file}:${line})`;
}

/** Its conditions, one a line, and what it gives of what is asked for. */
function grantLines(one: GrantExplanation, claims: Claims, isColoured: boolean): string[] {
  const { grant, conditions, limits, covers } = one;
  const { green, red } = colours(isColoured);
  const demands = [
    ...conditions.map(({ condition, holds, actual }) => ({ demand: condition, what: condition.claim, holds, actual })),
    ...limits.map(({ limit, keeps, actual }) => ({ demand: limit, what: subjectOf(limit), holds: keeps, actual })),
  ];
  const width = Math.max(0, ...demands.map(({ what }) => what.length));
  return [
    ...demands.map(({ demand, what, holds, actual }) => {
      const must = `must be ${describeDemand(demand)}`;
      return `  ${holds ? green("holds") : red("fails")}  ${what.padEnd(width)}  ${describeActual(actual)}${holds ? "" : `, and ${must}`}`;
    }),
    ...(grant.allowFor ?? []).map((template) => {
      const scope = instantiate(template, claims);
      return `  ${template.text} is ${scope === undefined ? "nothing: a claim in it is absent or not fit for a name" : formatScope(scope)}`;
    }),
    `  gives  ${covers.length === 0 ? "nothing of what is asked for" : covers.map(formatScope).join(" ")}`,
  ];
}

function credentialLines(explanation: Explanation): string[] {
  const { role_arn: role, lifetime, session_policy: sent } = credentialView(explanation);
  if (role === undefined || lifetime === undefined) return [];
  const length =
    sent === undefined ? [] : ["", `session policy, ${sent.characters} of ${sent.most_characters} characters:`];
  return [
    "",
    `role ${role}, for ${lifetime.seconds} s at most`,
    ...length,
    ...(sent?.policy === undefined ? [] : [JSON.stringify(sent.policy, null, 2)]),
  ];
}

function otherLines({ grants, registry }: Explanation, main: readonly GrantExplanation[], file: string): string[] {
  const others = grants
    .filter((one) => !main.includes(one))
    .map((one) => ({ one, rank: rank(one) }))
    .sort((a, b) => b.rank - a.rank);
  if (others.length === 0) return [];
  const left = others.length - MOST_OTHERS;
  return [
    "",
    main.length === 0 ? "grants of this caller's kind:" : "other grants of this caller's kind:",
    ...others.slice(0, MOST_OTHERS).map(({ one }) => `  ${place(one.grant, file)}: ${inShort(one, registry)}`),
    ...(left > 0 ? [`  and ${plural(left, "more grant")}; --json has all`] : []),
  ];
}

/** Most telling first: what matches, then what would give something, then what fails least. */
function rank({ matches, covers, isInRegistry, conditions }: GrantExplanation): number {
  const share = conditions.filter((one) => one.holds).length / (conditions.length + 1);
  return (isInRegistry ? 4 : 0) + (matches ? 2 : 0) + (covers.length > 0 ? 1 : 0) + share;
}

function inShort(
  { grant, isInRegistry, matches, conditions, limits, covers }: GrantExplanation,
  registry: string,
): string {
  if (!isInRegistry) return `is for registry ${grant.registry}, not ${registry}`;
  const failing = [
    ...conditions.filter((one) => !one.holds).map(({ condition }) => condition.claim),
    ...limits.filter((one) => !one.keeps).map(({ limit }) => subjectOf(limit)),
  ];
  const does =
    covers.length === 0 ? "gives nothing of what is asked for" : `gives ${covers.map(formatScope).join(" ")}`;
  return matches ? `matches, ${does}` : `fails on ${failing.join(", ")}; ${does}`;
}
