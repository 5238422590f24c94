/** What a grant is, once it has been read: the unit of the policy. */

import type { Condition } from "./condition.ts";
import type { Circumstances, Limit, TimeLimit } from "./limit.ts";
import type { Scope } from "./scope.ts";
import type { ScopeTemplate } from "./scope-template.ts";

export interface Grant {
  readonly name: string;
  /** Whose callers it is for: all of one configured issuer that satisfy `when`, or whoever holds one of these API keys. */
  readonly holder: { readonly issuer: string } | { readonly apiKeys: readonly string[] };
  /** All must hold. Empty only for an API key's grant. */
  readonly when: readonly Condition[];
  /** All must be kept beside: where from, and when. */
  readonly limits?: readonly Limit[];
  /** Name of a configured registry. */
  readonly registry: string;
  /** Never empty together with `allowFor`. */
  readonly allow: readonly Scope[];
  /** Those with a claim's value in them. */
  readonly allowFor?: readonly ScopeTemplate[];
  readonly roleArn: string;
  /** What the role's trust policy demands (sts:ExternalId). The same in all grants of one role. */
  readonly externalId?: string;
  /** 900 to 3,600: STS's least, and the broker's most. */
  readonly maxTtlSeconds: number;
  /** Adds cr:CreateRepository on exactly the repositories pushed to. */
  readonly createRepository: boolean;
  /** Where it stands in the configuration file, for whoever must change it; counted from 1. */
  readonly line: number;
}

/** What nobody gets, or nobody of some callers, whatever grants say. */
export interface Denial {
  readonly name: string;
  /** Of all issuers and API keys where it is left out. */
  readonly issuer?: string;
  /** All must hold, or not be known to fail. Empty: for all callers. */
  readonly when: readonly Condition[];
  /** While all are kept; where the time is not known, always. */
  readonly limits?: readonly TimeLimit[];
  readonly registry: string;
  /** Never empty. */
  readonly deny: readonly Scope[];
  readonly line: number;
}

/** Everything that a decision rests on. */
export interface Policy {
  readonly grants: readonly Grant[];
  readonly denials: readonly Denial[];
  /** What no grant exceeds; no limit where it is left out. */
  readonly ceiling?: readonly Scope[];
}

/**
 * Who is calling, from where and when, as far as the policy cares. `source` names the configured issuer or API key that
 * vouches for it: never a name that the caller chose.
 */
export interface Principal extends Circumstances {
  readonly source: { readonly issuer: string } | { readonly apiKey: string };
  /** Which issuer it is of the many that a template stands for: two of them may have callers of one subject. */
  readonly member?: string;
  /** The issuer's own name for the caller: a token's `sub`, or the API key's name. */
  readonly subject: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** The broker's most, whatever a grant says: a leaked credential cannot be called back, only outlived. */
export const LONGEST_LIFETIME_SECONDS = 3600;
/** STS AssumeRole, DurationSeconds: the least. */
export const SHORTEST_LIFETIME_SECONDS = 900;
