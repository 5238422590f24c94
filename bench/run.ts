/**
 * `npm run bench`: each benchmark in turn, written to bench/results/ and printed. `npm run bench -- NAME` for one of them.
 *
 *     --rounds N     how often each thing is measured, in place of the benchmark's own number
 *     --requests N   how many memory sends to each server
 *     --node FILE    another Node than this one for the servers
 *     --dist DIR     another built broker than dist/; several are measured side by side, and nothing is written
 */

import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { benchCold } from "./cold.ts";
import { ANYWHERE, type Place, pinBeside } from "./cores.ts";
import { benchDecision } from "./decision.ts";
import { benchExplain } from "./explain.ts";
import { benchHelper } from "./helper.ts";
import { benchMemory } from "./memory.ts";
import { benchOverload } from "./overload.ts";
import { keep, NAMES, type Name, type Results } from "./results.ts";
import { simulateAll } from "./scenarios.ts";
import { benchSize } from "./size.ts";
import { tableOf } from "./tables.ts";
import { benchUpstream } from "./upstream.ts";
import { benchWarm } from "./warm.ts";

interface Benchmark<Result> {
  readonly title: string;
  readonly runs: number;
  measure(rounds: number): Result | Promise<Result>;
}

const BENCHMARKS: { readonly [N in Name]: Benchmark<Results[N]> } = {
  decision: { title: "one decision among so many grants", runs: 25, measure: benchDecision },
  explain: { title: "acr-broker explain among so many grants", runs: 21, measure: benchExplain },
  helper: { title: "docker-credential-acr-broker get", runs: 41, measure: benchHelper },
  size: { title: "the package", runs: 1, measure: () => benchSize(dists) },
  upstream: {
    title: "how often the cloud is asked",
    runs: 1,
    measure: () => benchUpstream({ dists, place: place() }),
  },
  cold: {
    title: "from a process's start to its first answer",
    runs: 15,
    measure: (rounds) => benchCold({ dists, rounds, place: place() }),
  },
  warm: {
    title: "a running server on one core",
    runs: 7,
    measure: (rounds) => benchWarm({ dists, rounds, size: 1, place: place() }),
  },
  overload: {
    title: "four times the requests that a server on one core can answer",
    runs: 5,
    measure: (rounds) => benchOverload({ dists, rounds, size: 1, place: place() }),
  },
  memory: {
    title: "memory after requests of which no two are alike",
    runs: 1,
    measure: () => benchMemory({ dists, requests: wholeNumber(values.requests, 100_000), steps: 10, place: place() }),
  },
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string" },
    requests: { type: "string" },
    node: { type: "string" },
    dist: { type: "string", multiple: true },
  },
});
const dists = values.dist ?? ["dist"];

let pinned: Place | undefined;
/** Not before it is needed: what is no server has both cores. */
function place(): Place {
  pinned ??= { node: values.node === undefined ? ANYWHERE.node : resolve(values.node), core: pinBeside() };
  return pinned;
}

function wholeNumber(text: string | undefined, usual: number): number {
  if (text === undefined) return usual;
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  console.error(`${text}: give a whole number from 1`);
  process.exit(1);
}

async function run<N extends Name>(name: N): Promise<void> {
  const { title, runs, measure } = BENCHMARKS[name];
  const rounds = wholeNumber(values.rounds, runs);
  const result = await measure(rounds);
  // Not of other builds than our own: what stands there is what docs/performance.md tells.
  if (values.dist === undefined) {
    keep(name, {
      node: pinned === undefined ? process.version : execFileSync(pinned.node, ["-v"], { encoding: "utf8" }).trim(),
      cpu: cpus()[0]?.model ?? "unknown",
      cpus: cpus().length,
      pinned: pinned?.core !== undefined,
      date: new Date().toISOString().slice(0, 10),
      runs: rounds,
      result,
    });
  }
  console.log(`${name}: ${title}\n\n${tableOf(name, result)}\n`);
}

const [named] = positionals;
const names = named === undefined ? NAMES : NAMES.filter((name) => name === named);
// No measurement, and so no benchmark as the others are: nothing in it depends on the machine.
const isToSimulate = named === undefined || named === "simulate";
if (names.length === 0 && !isToSimulate) {
  console.error(`there is no benchmark ${named}; there are ${NAMES.join(", ")}, simulate`);
  process.exit(1);
}
try {
  for (const name of names) await run(name);
  if (isToSimulate) await simulateAll(console.log);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
