/** What `npm run bench -- simulate` goes through. docs/performance/simulation.md is made of the outcomes. */

import { readFileSync, writeFileSync } from "node:fs";
import { type Outcome, type Scenario, simulate } from "./simulate.ts";

const USUAL: Omit<Scenario, "name"> = {
  seed: 1,
  pipelines: 10_000,
  teams: 500,
  onTheHourPercent: 30,
  spreadSeconds: 60,
  instances: 50,
  sharing: "credentials",
  patienceSeconds: 30,
};

const scenario = (name: string, more: Partial<Scenario> = {}): Scenario => ({ ...USUAL, name, ...more });

export const SCENARIOS: readonly Scenario[] = [
  scenario("no schedule", { onTheHourPercent: 0 }),
  scenario("no schedule, naive", { onTheHourPercent: 0, sharing: "naive" }),
  scenario("spike"),
  scenario("spike, Redis without credentials", { sharing: "redis" }),
  scenario("spike, no Redis", { sharing: "none" }),
  scenario("spike, naive", { sharing: "naive" }),
  scenario("spike, 1 instance", { instances: 1 }),
  scenario("spike, 1 instance, no Redis", { instances: 1, sharing: "none" }),
  scenario("spike, 10 instances, no Redis", { instances: 10, sharing: "none" }),
  scenario("spike, 200 instances", { instances: 200 }),
  scenario("spike, 200 instances, no Redis", { instances: 200, sharing: "none" }),
  scenario("spike, instances as needed", { instances: { concurrency: 1 } }),
  scenario("spike, instances as needed, no Redis", { instances: { concurrency: 1 }, sharing: "none" }),
  scenario("all on the hour", { onTheHourPercent: 100 }),
  scenario("all on the hour, clients try 3 min", { onTheHourPercent: 100, patienceSeconds: 180 }),
  scenario("all on the hour, 200 instances, no Redis", { onTheHourPercent: 100, instances: 200, sharing: "none" }),
  scenario("all on the hour, naive", { onTheHourPercent: 100, sharing: "naive" }),
];

export interface Simulated {
  readonly scenario: Scenario;
  readonly outcome: Outcome;
}

const FILE = new URL("./results/simulate.json", import.meta.url);

export async function simulateAll(tell: (line: string) => void): Promise<void> {
  const all: Simulated[] = [];
  for (const one of SCENARIOS) {
    const outcome = await simulate(one);
    all.push({ scenario: one, outcome });
    tell(`${one.name}: at most ${outcome.assumeRole.mostInASecond} AssumeRole calls a second`);
  }
  const short = (_: string, value: unknown) =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
  // One line each: the calls in each second are many.
  writeFileSync(FILE, `[\n${all.map((one) => JSON.stringify(one, short)).join(",\n")}\n]\n`);
}

export function simulated(): readonly Simulated[] {
  return JSON.parse(readFileSync(FILE, "utf8")) as Simulated[];
}
