/** What is said of policies that somebody has, and what is looked at in their statements. */

import type { Grant } from "../../shared/policy/grant.ts";
import type { Statement } from "./given.ts";
import { takesIn } from "./wildcard.ts";

export interface Finding {
  /** `mistake`: matches nothing, and was meant to. `note`: cannot be judged, or does no harm. */
  readonly kind: "too_wide" | "missing" | "mistake" | "note";
  readonly message: string;
  /** Of what stands in a file. */
  readonly file?: string;
  readonly statement?: number;
  /** Those that need what is missing. */
  readonly grants?: readonly Pick<Grant, "name" | "line">[];
}

export function inStatement(kind: Finding["kind"], { file, number }: Statement, message: string): Finding {
  return { kind, file, statement: number, message };
}

export function lacking(grants: readonly Grant[], message: string): Finding {
  return { kind: "missing", grants: grants.map(({ name, line }) => ({ name, line })), message };
}

export function isConditional({ condition }: Statement): boolean {
  return Object.keys(condition).length > 0;
}

export function concerns({ actions, except }: Statement, action: string): boolean {
  return actions.some((one) => takesIn(one.toLowerCase(), action.toLowerCase())) !== except;
}

/** Actions' names mostly do not differ by case (https://www.alibabacloud.com/help/en/ram/policy-elements), roles' never. */
export function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
