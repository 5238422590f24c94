/** Renewal over HTTP: what is recorded of it, and that it gives nobody what he has no right to any more. */

import { createHash } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { plantCanaries } from "../canaries.ts";
import { type Harness, policy, read, startHarness } from "./harness.ts";

const SECRET = `abk_nightly_${"0123456789abcdef".repeat(4)}`;
plantCanaries([SECRET]);

let h: Harness | undefined;
afterEach(() => h?.close());

/** A grant of a key that ends 500 s from now, and one of the issuer that does so, too. */
async function start(): Promise<Harness> {
  const end = new Date(Date.now() + 500_000).toISOString();
  const digest = createHash("sha256").update(SECRET).digest("hex");
  const common = `registry: prod, role_arn: "acs:ram::1234567890123456:role/acr-web", max_ttl: 900`;
  h = await startHarness({
    secrets: [SECRET],
    policy: (cloud, issuer) =>
      `${policy(cloud, issuer).replace(
        /^grants:$/m,
        `grants:
  of-key: { api_key: nightly, allow: ["repository:web/keyed:pull"], ${common} }
  of-today: { issuer: ci, when: { sub: today }, times: { not_after: "${end}" }, allow: ["repository:web/today:pull"], ${common} }`,
      )}api_keys:
  nightly: { sha256: ${digest}, expires: "${end}" }
`,
  });
  return h;
}

const decisions = ({ logged }: Harness) => logged().filter(({ event }) => event === "decision");
const renewed = async (of: Harness) => {
  while (!decisions(of).some(({ cache }) => cache === "renewal"))
    await new Promise((resolve) => setTimeout(resolve, 5));
};

test("the decision event of a renewal is that of the request which began it, and comes before anybody has the credential", async () => {
  const it = await start();
  // The cloud's clock stands, so that what is made later lives no longer; with min_ttl that is long enough.
  const fields = { registry: "prod", scope: ["repository:web/app:pull"], ttl: 900, min_ttl: 300 };
  const ask = async (aheadMs: number) => {
    it.clock.aheadMs = aheadMs;
    return read(await it.ask(fields));
  };
  const [first, , ageing] = [await ask(0), await ask(100_000), await ask(460_000)];
  expect(ageing.password).toBe(first.password);
  await renewed(it);
  const next = await ask(480_000);
  expect(next.password).not.toBe(first.password);
  expect(decisions(it).map(({ cache }) => cache)).toEqual(["miss", "hit", "hit", "renewal", "hit"]);
  const [made, , began, renewal, given] = decisions(it);
  // It is no part of the request's time.
  const { duration_ms: _, ...beginning } = began ?? {};
  expect(renewal).toEqual({
    ...beginning,
    time: expect.any(String),
    cache: "renewal",
    token_fingerprint: next.token_fingerprint,
    expires_at: next.expires_at,
    lifetime_seconds: expect.any(Number),
    assume_role_request_id: expect.any(String),
    authorization_token_request_id: expect.any(String),
  });
  expect(renewal?.["assume_role_request_id"]).not.toBe(made?.["assume_role_request_id"]);
  expect(given?.["assume_role_request_id"]).toBe(renewal?.["assume_role_request_id"]);
});

test("one that fails is recorded with why, and the request that began it has its answer", async () => {
  const it = await start();
  const fields = { registry: "prod", scope: ["repository:web/app:pull"], ttl: 900 };
  for (const aheadMs of [0, 100_000]) {
    it.clock.aheadMs = aheadMs;
    await it.ask(fields);
  }
  it.cloud.failNext("AssumeRole", { status: 403, code: "NoPermission" });
  it.clock.aheadMs = 400_000;
  expect((await it.ask(fields)).status).toBe(200);
  await renewed(it);
  expect(decisions(it).find(({ cache }) => cache === "renewal")).toMatchObject({
    issued: false,
    code: "upstream_rejected",
    upstream_code: "NoPermission",
  });
});

test.each([
  ["API key that has ended", "keyed", async () => SECRET, "invalid_api_key"],
  ["grant that has ended", "today", (it: Harness) => it.mint({ sub: "today" }), "access_denied"],
] as const)("by an %s nobody has what was renewed while it lived", async (_, name, credential, code) => {
  const it = await start();
  const fields = { registry: "prod", scope: [`repository:web/${name}:pull`] };
  const ask = async (aheadMs: number) => {
    it.clock.aheadMs = aheadMs;
    return read(await it.ask(fields, await credential(it)));
  };
  for (const aheadMs of [0, 100_000, 400_000]) expect(await ask(aheadMs)).toHaveProperty("password");
  await renewed(it);
  expect(await ask(490_000)).toHaveProperty("password");
  expect(await ask(510_000)).toMatchObject({ code });
});
