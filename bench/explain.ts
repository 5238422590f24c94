/**
 * What `acr-broker explain` costs on 50 and 5,000 grants: as a process, from its start to its end, the first time and again with
 * what the first left in the cache, as ratios to a Node of the same run that does nothing; and in a process that has the policy.
 * Rounds are interleaved, so that a busy machine slows all alike. The command is the built one: `npm run build` first.
 */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { answer, principalOf, requestOf } from "../cli/question.ts";
import { loadConfig } from "../shared/config/load.ts";
import type { RightsRequest } from "../shared/policy/decision.ts";
import type { Principal } from "../shared/policy/grant.ts";
import { type Spread, spread } from "./spread.ts";

const SIZES = [50, 5_000];
const COMMAND = fileURLToPath(new URL("../build/acr-broker.cjs", import.meta.url));
const CLAIMS = { iss: "https://token.actions.githubusercontent.com", sub: "repo:acme/7", repository_id: "1007" };
const SCOPE = "repository:team-8/app:push";

export interface ExplainResult {
  readonly grants: number;
  /** `first` and `again` are processes; `inside` is the explanation alone. */
  readonly what: "first" | "again" | "inside";
  readonly milliseconds: Spread;
  /** Of a process. */
  readonly ratioToNode?: number;
}

/** About 310 bytes a grant, of three conditions and two scopes. */
function policyOf(size: number): string {
  const grants = Array.from(
    { length: size },
    (_, index) => `  grant-${index}:
    issuer: github
    when:
      repository_id: "${1000 + index}"
      ref: { any_of: [refs/heads/main, refs/heads/release] }
      environment: { glob: "prod-*" }
    registry: prod
    allow: ["repository:team-${index}/*:pull,push", "repository:base/*:pull"]
    role_arn: acs:ram::1234567890123456:role/acr-web
    max_ttl: 1800
`,
  );
  return `version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com] }
issuers:
  github: { provider: github, issuer: https://token.actions.githubusercontent.com }
grants:
${grants.join("")}`;
}

/** Milliseconds of a Node process with these arguments, whose answer must be `code`. */
function run(args: readonly string[], cache: string, code: number): number {
  const begun = process.hrtime.bigint();
  const { status, stderr } = spawnSync(process.execPath, args, { env: { XDG_CACHE_HOME: cache }, encoding: "utf8" });
  if (status !== code) throw new Error(`ended with ${status}: ${stderr}`);
  return since(begun);
}

function since(begun: bigint): number {
  return Number(process.hrtime.bigint() - begun) / 1e6;
}

export function benchExplain(rounds: number): ExplainResult[] {
  const folder = mkdtempSync(join(tmpdir(), "acr-broker-bench-"));
  try {
    return measured(folder, rounds);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function measured(folder: string, rounds: number): ExplainResult[] {
  const claims = join(folder, "claims.json");
  writeFileSync(claims, JSON.stringify(CLAIMS));
  const node: number[] = [];
  const cases = SIZES.map((size) => {
    const file = join(folder, `${size}.yaml`);
    writeFileSync(file, policyOf(size));
    const config = loadConfig(file);
    // Refused, and why is sought among all grants: what is dearest to answer.
    const principal = principalOf({ claims: CLAIMS }, config) as Principal;
    const request = requestOf({ scope: [SCOPE] }, config) as RightsRequest;
    const args = [COMMAND, "explain", "--config", file, "--claims", claims, "--scope", SCOPE];
    const times = { first: [] as number[], again: [] as number[], inside: [] as number[] };
    return { size, args, times, inside: () => answer(principal, request, config) };
  });
  for (let round = 0; round < rounds; round++) {
    for (const { args, times, inside } of cases) {
      const cache = join(folder, "cache");
      rmSync(cache, { recursive: true, force: true });
      mkdirSync(cache);
      node.push(run(["-e", "0"], cache, 0));
      times.first.push(run(args, cache, 1));
      times.again.push(run(args, cache, 1));
      const begun = process.hrtime.bigint();
      inside();
      times.inside.push(since(begun));
    }
  }
  const floor = spread(node).median;
  return cases.flatMap(({ size, times }) =>
    (["first", "again", "inside"] as const).map((what) => {
      const milliseconds = spread(times[what]);
      return {
        grants: size,
        what,
        milliseconds,
        ...(what === "inside" ? {} : { ratioToNode: milliseconds.median / floor }),
      };
    }),
  );
}
