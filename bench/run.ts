/** `npm run bench`: each benchmark in turn, written to bench/results/ and printed. */

import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { benchDecision } from "./decision.ts";

const results = new URL("./results/", import.meta.url);
mkdirSync(results, { recursive: true });

const decision = benchDecision();
const run = { node: process.version, cpus: cpus().length, date: new Date().toISOString().slice(0, 10) };
writeFileSync(new URL("decision.json", results), `${JSON.stringify({ ...run, decision }, null, 2)}\n`);
console.log("one decision among so many grants, and its ratio to 50 grants of the same run:");
for (const { grants, outcome, microseconds, ratioTo50 } of decision) {
  const { median, p10, p90 } = microseconds;
  console.log(
    `  ${String(grants).padStart(6)} ${outcome.padEnd(5)} ${median.toFixed(2)} µs (${p10.toFixed(2)} to ${p90.toFixed(2)})  × ${ratioTo50.toFixed(2)}`,
  );
}
