/**
 * An explanation as JSON, for two readers. The operator sees all of it. The caller sees what explanation.ts lets it know:
 * a stranger learns that it is refused; a grant is named, and what it expects is shown, only to a caller who satisfies another
 * of its conditions, one that callers cannot choose to satisfy: on a public issuer "a caller" may be anybody.
 * The shape is a promise to scripts: docs/api.md, docs/cli.md. Fields are only ever added.
 */

import { type Claims, type ClaimValue, describeCondition } from "./condition.ts";
import { isNearEnough, isVouchedFor, type NearMiss } from "./decision.ts";
import type { ConditionExplanation, Explanation, GrantExplanation } from "./explain.ts";
import { describeDemand } from "./explanation.ts";
import { describeLimit, type Limit } from "./limit.ts";
import { formatScope } from "./scope.ts";
import { instantiate } from "./scope-template.ts";
import { LONGEST_SESSION_POLICY } from "./session-policy.ts";

export interface ExplanationJson extends CredentialJson {
  readonly outcome: "allow" | "deny";
  /** What the token route would refuse with; absent where it would issue. An allowed request may still be too large. */
  readonly code?: "access_denied" | "invalid_request" | "policy_too_large" | "invalid_api_key";
  /** The token route's words to the caller. */
  readonly detail?: string;
  /** Of a denial; not told to strangers. */
  readonly reason?: string;
  readonly principal: { readonly issuer?: string; readonly api_key?: string; readonly subject: string };
  readonly registry: string;
  readonly scope: readonly string[];
  readonly nearest?: NearMissJson;
  /** What overrules the grants. */
  readonly denial?: { readonly name: string; readonly line: number };
  readonly grants: readonly GrantJson[];
}

/** Of an allowed request. */
export interface CredentialJson {
  readonly role_arn?: string;
  readonly lifetime?: { readonly seconds: number; readonly max_ttl: number };
  readonly session_policy?: SessionPolicyJson;
}

export interface NearMissJson {
  /** Grant, line and what is expected: only to one whom the grant is nearly for. */
  readonly grant?: string;
  /** In the policy. */
  readonly line?: number;
  /** One of the two: the claim whose condition fails, or the limit that is not kept. */
  readonly claim?: string;
  readonly limit?: Limit["kind"];
  readonly actual: ClaimJson;
  readonly expected?: string;
}

export interface GrantJson {
  readonly name: string;
  readonly line: number;
  readonly registry: string;
  readonly matches: boolean;
  readonly decides: boolean;
  /** The first condition's claim that does not hold. */
  readonly failed?: string;
  readonly conditions: readonly ConditionJson[];
  /** Where it has any; to one for whom it is not, without what it expects. */
  readonly limits?: readonly LimitJson[];
  /** What it gives of what is asked for. */
  readonly covers: readonly string[];
  /** Where it has scopes with a claim's value in them: what each becomes for this caller; `null` where the value is not fit. */
  readonly variables?: readonly { readonly written: string; readonly scope: string | null }[];
}

export interface ConditionJson {
  readonly claim: string;
  readonly holds: boolean;
  readonly actual: ClaimJson;
  /** In words: what the claim must be. */
  readonly expected?: string;
}

export interface LimitJson {
  readonly limit: Limit["kind"];
  readonly keeps: boolean;
  readonly actual: ClaimJson;
  /** In words. */
  readonly expected?: string;
}

/** The value, a list's values, `null` where the claim is absent, or why it cannot be compared. */
export type ClaimJson = string | readonly string[] | null | { readonly unusable: string };

export interface SessionPolicyJson {
  readonly characters: number;
  /** STS takes no more. */
  readonly most_characters: number;
  /** Absent where it would be too large. */
  readonly policy?: unknown;
}

export function operatorView(explanation: Explanation): ExplanationJson {
  return view(explanation, {
    reason: true,
    grants: explanation.grants,
    expected: () => true,
    variables: () => true,
    isNearestNamed: true,
  });
}

export function callerView(explanation: Explanation): ExplanationJson {
  const { decision, grants, nearest } = explanation;
  const isStranger = decision.outcome === "deny" && decision.reason.kind === "stranger";
  return view(explanation, {
    reason: !isStranger,
    grants: isStranger ? [] : grants.filter((one) => one.isInRegistry && (meetsAll(one) || meetsSome(one))),
    expected: (one, condition) => meetsAll(one) || meetsSome(one, condition),
    variables: (one) => one.matches,
    isNearestNamed: nearest !== undefined && isNearEnough(nearest),
  });
}

function meetsAll({ conditions }: GrantExplanation): boolean {
  return conditions.every((one) => one.holds);
}

/** Whether a condition other than `but` holds that says something of who the caller is. */
function meetsSome({ conditions }: GrantExplanation, but?: ConditionExplanation): boolean {
  return conditions.some((one) => one !== but && one.holds && isVouchedFor(one.condition));
}

interface Disclosure {
  readonly reason: boolean;
  readonly grants: readonly GrantExplanation[];
  /** Of a condition, or of the limits. */
  readonly expected: (grant: GrantExplanation, condition?: ConditionExplanation) => boolean;
  readonly variables: (grant: GrantExplanation) => boolean;
  readonly isNearestNamed: boolean;
}

function view(explanation: Explanation, disclosure: Disclosure): ExplanationJson {
  const { principal, registry, scopes, decision, refusal, nearest } = explanation;
  const { source, subject } = principal;
  return {
    outcome: decision.outcome,
    ...refusal,
    ...(decision.outcome === "deny" && disclosure.reason ? { reason: decision.reason.kind } : {}),
    principal: { ...("issuer" in source ? { issuer: source.issuer } : { api_key: source.apiKey }), subject },
    registry,
    scope: scopes.map(formatScope),
    ...denialJson(decision),
    ...(nearest === undefined ? {} : { nearest: nearMissJson(nearest, disclosure.isNearestNamed) }),
    grants: disclosure.grants.map((one) => ({
      ...grantJson(one, (condition) => disclosure.expected(one, condition)),
      ...(disclosure.variables(one) ? variablesJson(one, principal.claims) : {}),
    })),
    ...credentialView(explanation),
  };
}

/** What would be asked of the cloud; nothing where the request is denied. */
export function credentialView({ decision, terms }: Explanation): CredentialJson {
  if (decision.outcome === "deny" || terms === undefined) return {};
  return {
    role_arn: decision.rights.roleArn,
    lifetime: { seconds: terms.lifetimeSeconds, max_ttl: decision.maxTtlSeconds },
    ...sessionPolicyJson(terms),
  };
}

function denialJson(decision: Explanation["decision"]): Pick<ExplanationJson, "denial"> {
  if (decision.outcome === "allow" || decision.reason.kind !== "denied") return {};
  const { name, line } = decision.reason.denial;
  return { denial: { name, line } };
}

function nearMissJson({ grant, failed, actual }: NearMiss, isNamed: boolean): NearMissJson {
  return {
    ...(isNamed ? { grant: grant.name, line: grant.line } : {}),
    ...("claim" in failed ? { claim: failed.claim } : { limit: failed.kind }),
    actual: claimJson(actual),
    ...(isNamed ? { expected: describeDemand(failed) } : {}),
  };
}

function grantJson(one: GrantExplanation, isExpectedShown: (condition?: ConditionExplanation) => boolean): GrantJson {
  const { grant, matches, decides, conditions, limits, covers } = one;
  const failed = conditions.find((condition) => !condition.holds)?.condition.claim;
  return {
    name: grant.name,
    line: grant.line,
    registry: grant.registry,
    matches,
    decides,
    ...(failed === undefined ? {} : { failed }),
    conditions: conditions.map((condition) => ({
      claim: condition.condition.claim,
      holds: condition.holds,
      actual: claimJson(condition.actual),
      ...(isExpectedShown(condition) ? { expected: describeCondition(condition.condition) } : {}),
    })),
    ...(limits.length === 0
      ? {}
      : {
          limits: limits.map(({ limit, keeps, actual }) => ({
            limit: limit.kind,
            keeps,
            actual: claimJson(actual),
            ...(isExpectedShown() ? { expected: describeLimit(limit) } : {}),
          })),
        }),
    covers: covers.map(formatScope),
  };
}

function variablesJson({ grant: { allowFor = [] } }: GrantExplanation, claims: Claims): Pick<GrantJson, "variables"> {
  if (allowFor.length === 0) return {};
  return {
    variables: allowFor.map((template) => {
      const scope = instantiate(template, claims);
      return { written: template.text, scope: scope === undefined ? null : formatScope(scope) };
    }),
  };
}

function claimJson(value: ClaimValue): ClaimJson {
  switch (value.kind) {
    case "value":
      return value.text;
    case "list":
      return value.texts;
    case "absent":
      return null;
    case "unusable":
      return { unusable: value.why };
  }
}

function sessionPolicyJson(terms: NonNullable<Explanation["terms"]>): { session_policy?: SessionPolicyJson } {
  const most = { most_characters: LONGEST_SESSION_POLICY };
  if ("policy" in terms) {
    const { json } = terms.policy;
    return { session_policy: { characters: json.length, ...most, policy: JSON.parse(json) } };
  }
  return terms.characters === undefined ? {} : { session_policy: { characters: terms.characters, ...most } };
}
