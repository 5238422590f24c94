/** What the vendor's HTTP client is kept from. */

import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { type Harness, policy, startHarness } from "../broker/harness.ts";
import { FAULTS } from "../faults/faults.ts";
import { type FaultProxy, startProxy } from "../faults/proxy.ts";
import { type Cloud, startCloud } from "../sandbox/cloud.ts";
import { type Issuer, startIssuer } from "../sandbox/issuer.ts";

const ATTEMPT_MS = 200;

let [cloud, issuer, proxy, h]: [Cloud, Issuer, FaultProxy, Harness] = [] as never;
beforeAll(async () => {
  [cloud, issuer] = await Promise.all([startCloud(), startIssuer()]);
  proxy = await startProxy(Number(new URL(cloud.url).port));
  h = await startHarness({
    beside: { cloud, issuer } as Harness,
    policy: (_, issuerUrl) => policy(`http://localhost:${proxy.port}`, issuerUrl),
    limits: { attemptMs: ATTEMPT_MS, deadlineMs: 4_000 },
  });
});
afterAll(async () => {
  await h.close();
  await Promise.all([proxy.close(), cloud.close(), issuer.close()]);
});

afterEach(() => void vi.restoreAllMocks());

const ask = (name: string) => h.ask({ registry: "prod", scope: [`repository:web/${name}:pull`] });

test("no timer of the vendor's keeps a call in memory when it has its answer", async () => {
  const set = vi.spyOn(globalThis, "setTimeout");
  const cleared = vi.spyOn(globalThis, "clearTimeout");
  proxy.spoil((_, forward) => forward());
  expect((await ask("forgotten")).status).toBe(200);
  const timers = set.mock.results.filter((_, index) => set.mock.calls[index]?.[1] === ATTEMPT_MS);
  expect(timers, "the vendor's, one for each of the two calls").toHaveLength(2);
  for (const { value } of timers) expect(cleared).toHaveBeenCalledWith(value);
});

test.each(["it answers a byte at a time", "the answer never ends"])(
  "a connection is closed where %s, one that was used before too",
  async (name) => {
    proxy.spoil((_, forward) => forward());
    expect((await ask("well")).status).toBe(200);
    FAULTS[name]?.strike({ proxy } as never);
    expect((await ask(`ill ${name}`.replaceAll(" ", "-"))).status).toBeGreaterThan(500);
    await proxy.deserted();
  },
);
