/** The simulation, small: the limits hold, and it is the same each time. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { simulated } from "../../bench/scenarios.ts";
import { type Scenario, simulate } from "../../bench/simulate.ts";
import { simulationPages } from "../../docs/simulation.ts";

/** More pipelines in ten seconds than there are turns. */
const SMALL: Scenario = {
  name: "small",
  seed: 7,
  pipelines: 1_500,
  teams: 50,
  onTheHourPercent: 100,
  spreadSeconds: 10,
  instances: 20,
  sharing: "credentials",
  patienceSeconds: 120,
};

test("with the budget STS throttles nothing, nobody waits over 5 s, and whoever comes again is served", async () => {
  const { assumeRole, throttled, waitMs, refused, without } = await simulate(SMALL);
  expect(assumeRole.mostInASecond).toBeLessThanOrEqual(100);
  expect(waitMs.p99).toBeLessThan(5_001);
  expect(refused).toBeGreaterThan(0);
  expect([throttled, without]).toEqual([0, 0]);
});

test("without it STS throttles", async () => {
  const { assumeRole, throttled } = await simulate({ ...SMALL, sharing: "naive" });
  expect(assumeRole.mostInASecond).toBeGreaterThan(100);
  expect(throttled).toBeGreaterThan(100);
});

test("instances that share credentials ask STS less often", async () => {
  const few = { ...SMALL, pipelines: 300 };
  const [shared, alone] = [await simulate(few), await simulate({ ...few, sharing: "none" })];
  expect(shared.hitRatio).toBeGreaterThan(alone.hitRatio + 0.3);
});

test("instances come as they are needed", async () => {
  const { mostInstances } = await simulate({ ...SMALL, pipelines: 300, instances: { concurrency: 1 } });
  expect(mostInstances).toBeGreaterThan(1);
});

test("the same seed gives the same numbers, and another seed others", async () => {
  const few = { ...SMALL, pipelines: 200 };
  const [first, second, other] = [await simulate(few), await simulate(few), await simulate({ ...few, seed: 8 })];
  expect(second).toEqual(first);
  expect(other).not.toEqual(first);
});

test("docs/performance/ is what bench/results gives; if not: npm run docs", () => {
  for (const [file, text] of simulationPages(simulated())) {
    expect(readFileSync(new URL(`../../docs/performance/${file}`, import.meta.url), "utf8")).toBe(text);
  }
});
