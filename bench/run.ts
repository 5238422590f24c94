/** `npm run bench`: each benchmark in turn, written to bench/results/ and printed. `npm run bench -- NAME` for one of them. */

import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { benchDecision } from "./decision.ts";
import { benchExplain } from "./explain.ts";
import { benchHelper } from "./helper.ts";
import type { Spread } from "./spread.ts";

const results = new URL("./results/", import.meta.url);
mkdirSync(results, { recursive: true });

function keep(name: string, result: object): void {
  const run = { node: process.version, cpus: cpus().length, date: new Date().toISOString().slice(0, 10) };
  writeFileSync(new URL(`${name}.json`, results), `${JSON.stringify({ ...run, [name]: result }, null, 2)}\n`);
}

function text({ median, p10, p90 }: Spread, unit: string): string {
  return `${median.toFixed(2)} ${unit} (${p10.toFixed(2)} to ${p90.toFixed(2)})`;
}

const BENCHMARKS: Readonly<Record<string, () => void>> = {
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

const [named] = process.argv.slice(2);
for (const [name, bench] of Object.entries(BENCHMARKS)) if (named === undefined || named === name) bench();
