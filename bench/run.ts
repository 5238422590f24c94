/**
 * `npm run bench`: each benchmark in turn, written to bench/results/ and printed. `npm run bench -- NAME` for one of them.
 *
 *     --rounds N     more or fewer of cold and warm
 *     --requests N   more or fewer of memory
 *     --dist DIR     another built broker than dist/; several are measured side by side, and nothing is written
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { benchCold } from "./cold.ts";
import { pinBeside } from "./cores.ts";
import { benchDecision } from "./decision.ts";
import { benchExplain } from "./explain.ts";
import { benchHelper } from "./helper.ts";
import { benchMemory } from "./memory.ts";
import type { Spread } from "./spread.ts";
import { benchUpstream } from "./upstream.ts";
import { benchWarm } from "./warm.ts";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string" }, requests: { type: "string" }, dist: { type: "string", multiple: true } },
});
const core = pinBeside();
const dists = values.dist ?? ["dist"];

/** @throws Error for anything but a whole number from 1 */
function wholeNumber(option: "rounds" | "requests", usual: number): number {
  const value = values[option];
  if (value === undefined) return usual;
  if (!/^[1-9]\d{0,6}$/.test(value)) throw new Error(`--${option} takes a whole number from 1`);
  return Number(value);
}

const results = new URL("./results/", import.meta.url);
mkdirSync(results, { recursive: true });

/** Not of other builds than our own: what stands there is what docs/performance.md tells. */
function keep(name: string, result: object, runs?: number): void {
  if (values.dist !== undefined) return;
  const run = {
    node: process.version,
    cpu: cpus()[0]?.model ?? "unknown",
    cpus: cpus().length,
    pinned: core !== undefined,
    date: new Date().toISOString().slice(0, 10),
    ...(runs === undefined ? {} : { runs }),
  };
  writeFileSync(new URL(`${name}.json`, results), `${JSON.stringify({ ...run, [name]: result }, null, 2)}\n`);
}

function text({ median, p10, p90 }: Spread, unit: string): string {
  return `${median.toFixed(2)} ${unit} (${p10.toFixed(2)} to ${p90.toFixed(2)})`;
}

/** A ratio, and what it spreads over. */
function times({ median, p10, p90 }: Spread): string {
  return `× ${median.toFixed(2)} (${p10.toFixed(2)} to ${p90.toFixed(2)})`;
}

function processor(cpu: Spread | undefined, ratio: Spread | undefined, unit: string): string {
  return cpu === undefined || ratio === undefined ? "" : `  cpu ${text(cpu, unit)} ${times(ratio)}`;
}

const BENCHMARKS: Readonly<Record<string, () => void | Promise<void>>> = {
  async cold() {
    const runs = wholeNumber("rounds", 15);
    const cold = await benchCold({ dists, rounds: runs, core });
    keep("cold", cold, runs);
    console.log(
      "from the start to the first answer, the request alone, processor time, and ratios to node:http of the same run:",
    );
    for (const { of, what, milliseconds, request, cpu, ratio, cpuRatio } of cold) {
      console.log(
        `  ${of.padEnd(10)} ${what.padEnd(30)} ${text(milliseconds, "ms")} ${times(ratio)}  request ${text(request, "ms")}${processor(cpu, cpuRatio, "ms")}`,
      );
    }
  },
  async warm() {
    const runs = wholeNumber("rounds", 7);
    const warm = await benchWarm({ dists, rounds: runs, size: 1, core });
    keep("warm", warm, runs);
    console.log("requests a second on one core, their processor time, and ratios to Hono's hello of the same round:");
    for (const { of, what, perSecond, ratio, cpu, cpuRatio, busy, alone } of warm) {
      const p99 = (name: string, latency: typeof busy) =>
        `  ${name} p50 ${latency.p50.median.toFixed(2)} p99 ${latency.p99.median.toFixed(2)} ms ${times(latency.p99Ratio)}`;
      console.log(
        `  ${of.padEnd(10)} ${what.padEnd(37)} ${perSecond.median.toFixed(0).padStart(6)}/s ${times(ratio)}${processor(cpu, cpuRatio, "µs")}${p99("busy", busy)}${p99("alone", alone)}`,
      );
    }
  },
  async memory() {
    const requests = wholeNumber("requests", 100_000);
    const memory = await benchMemory({ dists, requests, steps: 10, core });
    keep("memory", memory);
    console.log(
      "resident memory after so many requests of which no two are alike, after garbage was collected, and the heap in it:",
    );
    for (const { of, steps } of memory) {
      for (const { requests, residentMb, collectedMb, heapMb } of steps) {
        const [resident, collected, heap] = [residentMb, collectedMb, heapMb].map((mb) =>
          `${mb.toFixed(1)} MB`.padStart(9),
        );
        console.log(`  ${of.padEnd(10)} ${String(requests).padStart(7)} ${resident} ${collected} ${heap}`);
      }
    }
  },
  async upstream() {
    const upstream = await benchUpstream({ dists, core });
    keep("upstream", upstream);
    console.log("calls of the cloud:");
    for (const { of, what, calls } of upstream) console.log(`  ${of.padEnd(10)} ${what.padEnd(20)} ${calls}`);
  },
  decision() {
    const decision = benchDecision();
    keep("decision", decision);
    console.log("one decision among so many grants, and its ratio to 50 grants of the same run:");
    for (const { grants, outcome, microseconds, ratioTo50 } of decision) {
      console.log(
        `  ${String(grants).padStart(6)} ${outcome.padEnd(5)} ${text(microseconds, "µs")}  × ${ratioTo50.toFixed(2)}`,
      );
    }
  },
  explain() {
    const explain = benchExplain();
    keep("explain", explain);
    console.log("acr-broker explain among so many grants, and its ratio to `node -e 0` of the same run:");
    for (const { grants, what, milliseconds, ratioToNode } of explain) {
      const ratio = ratioToNode === undefined ? "" : `  × ${ratioToNode.toFixed(2)}`;
      console.log(`  ${String(grants).padStart(6)} ${what.padEnd(6)} ${text(milliseconds, "ms")}${ratio}`);
    }
  },
  helper() {
    const helper = benchHelper();
    keep("helper", helper);
    console.log(
      "docker-credential-acr-broker get with a kept credential, and its ratio to `node -e 0` of the same run:",
    );
    console.log(`  node ${text(helper.node, "ms")}`);
    console.log(`  hit  ${text(helper.hit, "ms")}  × ${helper.ratioToNode.toFixed(2)}`);
  },
};

const [named] = positionals;
if (named !== undefined && BENCHMARKS[named] === undefined) {
  console.error(`there is no benchmark ${named}; there are ${Object.keys(BENCHMARKS).join(", ")}`);
  process.exit(1);
}
for (const [name, bench] of Object.entries(BENCHMARKS)) if (named === undefined || named === name) await bench();
