/** The conditions of a policy that somebody wrote, each with its place and whom it speaks of: what the rules for `check` go through. */

import type { Condition } from "../policy/condition.ts";
import type { BrokerConfig, Issuer } from "./config.ts";
import type { Path } from "./document.ts";

/** None that an issuer's preset adds. */
export type WrittenCondition = Exclude<Condition, { readonly kind: "none_of" }>;

export interface Placed {
  /** Of the claim: `grants`, name, `when`, claim. */
  readonly path: Path;
  readonly condition: WrittenCondition;
  readonly issuer: Issuer;
}

/** What somebody wrote conditions for: one grant, or one denial. */
export interface Conditioned {
  readonly section: "grants" | "denials";
  readonly name: string;
  readonly issuer: Issuer;
  readonly conditions: readonly Placed[];
}

export function conditioned(config: BrokerConfig): Conditioned[] {
  const all = [
    ...config.grants.map(({ name, holder, when }) => ({
      section: "grants" as const,
      name,
      issuer: "issuer" in holder ? holder.issuer : undefined,
      when,
    })),
    ...config.denials.map(({ name, issuer, when }) => ({ section: "denials" as const, name, issuer, when })),
  ];
  return all.flatMap(({ section, name, issuer: issuerName, when }) => {
    const issuer = issuerName === undefined ? undefined : config.issuers.get(issuerName);
    if (issuer === undefined) return [];
    const conditions = when.flatMap((condition) =>
      condition.kind === "none_of" ? [] : [{ path: [section, name, "when", condition.claim], condition, issuer }],
    );
    return [{ section, name, issuer, conditions }];
  });
}

/** The texts of a condition, each with its place below the claim. */
export function textsOf(condition: WrittenCondition): readonly { readonly below: Path; readonly text: string }[] {
  switch (condition.kind) {
    case "exact":
      return [{ below: [], text: condition.value }];
    case "any_of":
      return condition.values.map((text, index) => ({ below: ["any_of", index], text }));
    case "glob":
      return [{ below: ["glob"], text: condition.pattern }];
    case "contains":
      return [{ below: ["contains"], text: condition.value }];
  }
}
