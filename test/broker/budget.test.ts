/** The budget over HTTP: brokers in front of a cloud that throttles as STS does. */

import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { haveTools } from "../e2e/tools.ts";
import { startRedisServer } from "../store/redis-server.ts";
import { type Harness, type HarnessOptions, policy, read, startHarness } from "./harness.ts";

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

/** `budget` in the place of the usual one, and whatever else is to stand in the policy. */
async function start(budget: string, more: HarnessOptions & { amend?: (policy: string) => string } = {}) {
  const { amend = (text) => text, ...options } = more;
  const h = await startHarness({
    policy: (cloud, issuer) => amend(policy(cloud, issuer).replace("budget: { instances: 1 }", `budget: ${budget}`)),
    ...options,
  });
  opened.push(h);
  return h;
}

/** One turn in ten seconds: the first request has it. */
const NARROW = "{ assume_role_per_second: 1, instances: 10 }";

/** For a credential that nobody has asked for yet. */
let names = 0;
const ask = (h: Harness) => h.ask({ registry: "prod", scope: [`repository:web/new-${names++}:pull`] });

const decisions = (h: Harness) => h.logged().filter(({ event }) => event === "decision");
const assumed = (h: Harness) => h.cloud.calls.filter(({ api }) => api === "AssumeRole");

test("a request that would wait too long is 429 with Retry-After, at once, and STS hears nothing of it", async () => {
  const h = await start(NARROW);
  expect((await ask(h)).status).toBe(200);
  const begun = Date.now();
  const refused = await ask(h);
  expect(Date.now() - begun).toBeLessThan(1_000);
  const { code, detail } = await read(refused);
  expect([refused.status, code]).toEqual([429, "rate_limited"]);
  expect(detail).toContain("the 0.1 a second that may be asked of STS here");
  // One turn in ten seconds, of which it would have waited five; and one for who comes next.
  const seconds = Number(refused.headers.get("retry-after"));
  expect(seconds).toBeGreaterThanOrEqual(14);
  expect(seconds).toBeLessThanOrEqual(15);
  expect(assumed(h)).toHaveLength(1);
  expect(decisions(h)).toMatchObject([
    { issued: true, cache: "miss", budget_wait_ms: expect.any(Number) },
    { issued: false, code: "rate_limited", budget_wait_ms: expect.any(Number) },
  ]);
});

test("the same over /oauth2/token", async () => {
  const h = await start(NARROW);
  await ask(h);
  const refused = await h.request("/oauth2/token", {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token: await h.mint(),
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      audience: "prod",
      scope: "repository:base/app:pull",
    }),
  });
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(1);
  expect(await refused.json()).toMatchObject({ error: "temporarily_unavailable", code: "rate_limited" });
});

test("a token of a request that was refused so is not used up", async () => {
  const h = await start(NARROW, { amend: (text) => text.replace(/(ci: \{[^}]*)\}/, "$1, replay: once }") });
  await ask(h);
  const token = await h.mint();
  const fields = { registry: "prod", scope: ["repository:web/again:pull"] };
  expect((await h.ask(fields, token)).status).toBe(429);
  h.clock.aheadMs += 20_000;
  expect((await h.ask(fields, token)).status).toBe(200);
});

test("what the cache has needs no turn", async () => {
  const h = await start(NARROW);
  const fields = { registry: "prod", scope: ["repository:web/app:pull"] };
  expect([(await h.ask(fields)).status, (await h.ask(fields)).status]).toEqual([200, 200]);
  expect(decisions(h).at(-1)).not.toHaveProperty("budget_wait_ms");
});

test("an attempt that STS throttles counts, and makes turns rarer for those after it", async () => {
  const h = await start(NARROW);
  h.cloud.failNext("AssumeRole", { status: 400, code: "Throttling.User" });
  const { status, code } = await read(await ask(h));
  expect([status, code]).toEqual([503, "upstream_unavailable"]);
  expect(assumed(h)).toHaveLength(1);
  // By itself the rate would have a turn now.
  h.clock.aheadMs += 10_000;
  expect((await ask(h)).status).toBe(429);
  h.clock.aheadMs += 10_000;
  expect((await ask(h)).status).toBe(200);
});

describe.skipIf(!haveTools(["redis-server"]))("three brokers that share a Redis", () => {
  test("together never ask STS so often that it throttles, though each for itself would", async () => {
    const server = await startRedisServer();
    opened.push(server);
    const settings = `{ assume_role_per_second: 16 }
redis: { host: 127.0.0.1, port: ${server.port}, tls: false }`;
    const inEarnest = { redisLimitMs: 10_000, sleep: (ms: number) => sleep(ms) };
    // It takes a quarter more than what is asked of it, as STS takes 100 where 80 are asked.
    const a = await start(settings, { ...inEarnest, cloud: { assumeRolePerSecond: 20 } });
    const another = () =>
      startHarness({
        ...inEarnest,
        policy: () => policy(a.cloud.url, a.issuer.url).replace("{ instances: 1 }", settings),
        environment: () => a.environment,
      });
    const others = await Promise.all([another(), another()]);
    opened.push(...others);
    const all = [a, ...others];
    const answers = await Promise.all(
      Array.from({ length: 40 }, async (_, nth) => {
        const scope = [`repository:web/shared-${nth}:pull`];
        return (all[nth % 3] as Harness).ask({ registry: "prod", scope }, await a.mint());
      }),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(40).fill(200));
    expect(assumed(a).map(({ accepted }) => accepted)).toEqual(Array(40).fill(true));
  });
});
