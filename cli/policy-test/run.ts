/** Runs one case of a policy test: what was expected beside what the policy gives. */

import type { BrokerConfig } from "../../shared/config/config.ts";
import type { Explanation } from "../../shared/policy/explain.ts";
import { answer } from "../question.ts";
import type { LoadedCase } from "./load.ts";
import type { PolicyTestCase } from "./schema.ts";

export interface CaseResult {
  readonly case: LoadedCase;
  readonly explanation: Explanation;
  /** None: it passed. */
  readonly failures: readonly Failure[];
}

export interface Failure {
  /** Of the case, the field that does not hold. */
  readonly field: "expect" | "grants" | "ttl" | "reason" | "claim" | "limit";
  readonly expected: string;
  readonly got: string;
}

export function runCase(loaded: LoadedCase, config: BrokerConfig): CaseResult {
  const explanation = answer(loaded.principal, loaded.request, config);
  return { case: loaded, explanation, failures: failuresOf(loaded.written, explanation) };
}

function failuresOf(written: PolicyTestCase, { decision, refusal, terms, nearest }: Explanation): Failure[] {
  // An allowed request for which no credential could be made is no allow to its caller.
  const got = refusal === undefined ? "allow" : "deny";
  if (got !== written.expect) {
    return [
      { field: "expect", expected: written.expect, got: refusal === undefined ? got : `${got} (${refusal.detail})` },
    ];
  }
  const failures: Failure[] = [];
  const compare = (
    field: Failure["field"],
    expected: string | number | undefined,
    got: string | number | undefined,
  ) => {
    if (expected !== undefined && expected !== got) {
      failures.push({ field, expected: String(expected), got: got === undefined ? "none" : String(got) });
    }
  };
  if (decision.outcome === "allow") {
    compare("grants", written.grants && sorted(written.grants), sorted(decision.grants.map(({ name }) => name)));
    compare("ttl", written.ttl, terms?.lifetimeSeconds);
  } else {
    compare("reason", written.reason, decision.reason.kind);
    const failed = nearest?.failed;
    compare("claim", written.claim, failed && "claim" in failed ? failed.claim : undefined);
    compare("limit", written.limit, failed && "claim" in failed ? undefined : failed?.kind);
  }
  return failures;
}

function sorted(names: readonly string[]): string {
  return [...names].sort().join(", ");
}
