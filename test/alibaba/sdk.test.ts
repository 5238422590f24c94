/** What the vendor's HTTP client is kept from. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { type Harness, policy, startHarness } from "../broker/harness.ts";
import { FAULTS } from "../faults/faults.ts";
import { type FaultProxy, startProxy } from "../faults/proxy.ts";
import { type Cloud, startCloud } from "../sandbox/cloud.ts";
import { type Issuer, startIssuer } from "../sandbox/issuer.ts";

let [cloud, issuer, proxy, h]: [Cloud, Issuer, FaultProxy, Harness] = [] as never;
beforeAll(async () => {
  [cloud, issuer] = await Promise.all([startCloud(), startIssuer()]);
  proxy = await startProxy(Number(new URL(cloud.url).port));
  h = await startHarness({
    beside: { cloud, issuer } as Harness,
    policy: (_, issuerUrl) => policy(`http://localhost:${proxy.port}`, issuerUrl),
    limits: { attemptMs: 200, deadlineMs: 4_000 },
  });
});
afterAll(async () => {
  await h.close();
  await Promise.all([proxy.close(), cloud.close(), issuer.close()]);
});

const ask = (name: string) => h.ask({ registry: "prod", scope: [`repository:web/${name}:pull`] });

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
