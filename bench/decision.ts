/**
 * What a decision costs among 50, 500, 5,000 and 50,000 grants, as ratios to 50 of the same run. Rounds are interleaved, so that
 * a busy machine slows all sizes alike; the median of the rounds counts.
 */

import { decide } from "../shared/policy/decision.ts";
import type { Grant, Policy, Principal } from "../shared/policy/grant.ts";
import type { Scope } from "../shared/policy/scope.ts";
import { type Spread, spread } from "./spread.ts";

const SIZES = [50, 500, 5_000, 50_000];
const DECISIONS = 2_000;

export interface DecisionResult {
  readonly grants: number;
  readonly outcome: "allow" | "deny";
  readonly microseconds: Spread;
  readonly ratioTo50: number;
}

/** Half of the grants name one repository by its id, half a branch of one beside it; each gives a namespace of its own. */
function policyOf(size: number): Policy {
  const grants = Array.from({ length: size }, (_, index): Grant => {
    const id = { claim: "repository_id", kind: "exact", value: String(index) } as const;
    const ref = {
      claim: "ref",
      kind: "any_of",
      values: ["refs/heads/main", "refs/heads/release"],
      callerChosen: true,
    } as const;
    return {
      name: `grant-${index}`,
      holder: { issuer: "github" },
      when: index % 2 === 0 ? [id] : [ref, id],
      registry: "prod",
      allow: [{ namespace: `team-${index}`, repository: "*", actions: ["pull", "push"] }],
      roleArn: "acs:ram::1234567890123456:role/acr-web",
      maxTtlSeconds: 900,
      createRepository: false,
      line: index + 1,
    };
  });
  return { grants, denials: [] };
}

function caller(id: number): Principal {
  const claims = { repository_id: String(id), ref: "refs/heads/main" };
  return { source: { issuer: "github" }, subject: `repo:acme/${id}`, claims };
}

/** Microseconds for one decision; each asks as another caller. */
function round(policy: Policy, outcome: "allow" | "deny"): number {
  const size = policy.grants.length;
  const begun = process.hrtime.bigint();
  for (let index = 0; index < DECISIONS; index++) {
    const id = (index * 7919) % size;
    const namespace = `team-${outcome === "allow" ? id : (id + 1) % size}`;
    const scope: Scope = { namespace, repository: "app", actions: ["push"] };
    const decision = decide(caller(id), { registry: "prod", scopes: [scope] }, policy);
    if (decision.outcome !== outcome) throw new Error(`${decision.outcome} instead of ${outcome}`);
  }
  return Number(process.hrtime.bigint() - begun) / 1000 / DECISIONS;
}

export function benchDecision(rounds: number): DecisionResult[] {
  const cases = SIZES.flatMap((size) => {
    const policy = policyOf(size);
    return (["allow", "deny"] as const).map((outcome) => ({ size, outcome, policy, times: [] as number[] }));
  });
  for (const { policy, outcome } of cases) round(policy, outcome); // makes the index, warms the code
  for (let count = 0; count < rounds; count++) for (const one of cases) one.times.push(round(one.policy, one.outcome));
  const floor = (outcome: string) =>
    spread(cases.find((one) => one.size === 50 && one.outcome === outcome)?.times ?? []).median;
  return cases.map(({ size, outcome, times }) => ({
    grants: size,
    outcome,
    microseconds: spread(times),
    ratioTo50: spread(times).median / floor(outcome),
  }));
}
