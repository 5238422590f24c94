/** Limits of grants over HTTP: the broker's own clock and the address that it knows, never what a caller says. */

import { afterEach, expect, test } from "vitest";
import { type Harness, type HarnessOptions, policy, read, startHarness } from "./harness.ts";

const GRANTS = `
  office: { issuer: ci, when: { sub: office }, cidrs: [10.0.0.0/8], registry: prod, allow: ["repository:base/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-base", max_ttl: 900 }
  brief: { issuer: ci, when: { sub: brief }, times: { not_after: NOT_AFTER }, registry: prod, allow: ["repository:base/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-base", max_ttl: 900 }
  keyed: { api_key: script, cidrs: [10.0.0.0/8], registry: prod, allow: ["repository:base/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-base", max_ttl: 900 }
api_keys: { script: { sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, expires: 2099-01-01T00:00:00Z } }
`;
const PULL = { registry: "prod", scope: ["repository:base/alpine:pull"] };

let h: Harness;
afterEach(() => h.close());
const start = (options: HarnessOptions = {}, more = "") => {
  const soon = new Date(Date.now() + 3_600_000).toISOString();
  return startHarness({
    ...options,
    policy: (cloud, ci) =>
      policy(cloud, ci).replace("\nalibaba:", `${GRANTS.replace("NOT_AFTER", soon)}${more}alibaba:`),
  });
};

test("a grant of one network is for callers from there, whatever their headers say", async () => {
  let from = "10.1.2.3";
  h = await start({ socketAddress: () => from });
  expect((await h.ask(PULL, await h.mint({ sub: "office" }))).status).toBe(200);
  from = "192.0.2.7";
  const answer = await h.ask(PULL, await h.mint({ sub: "office" }), { "x-forwarded-for": "10.1.2.3" });
  expect(await read(answer)).toMatchObject({
    status: 403,
    code: "access_denied",
    detail: expect.stringContaining(
      `office, whose condition on the caller's address failed: it is "192.0.2.7", and must be in 10.0.0.0/8`,
    ),
  });
  expect(h.logged().at(-2)).toMatchObject({ event: "decision", reason: "condition", failed_limit: "network" });
});

test("inside Function Compute the address is not known, and the grant is for nobody but behind a gateway", async () => {
  const inside = (keys: Record<string, string>) => ({ ...keys, FC_FUNCTION_NAME: "broker" });
  h = await start({ environment: inside, socketAddress: () => "10.1.2.3" });
  expect((await read(await h.ask(PULL, await h.mint({ sub: "office" })))).detail).toContain("it is not there");
  await h.close();
  h = await start({ environment: inside }, "client_address: { header: X-Real-IP }\n");
  expect((await h.ask(PULL, await h.mint({ sub: "office" }), { "x-real-ip": "10.1.2.3" })).status).toBe(200);
});

test("a grant ends by the broker's clock, and a remembered credential is not given beyond it", async () => {
  h = await start();
  expect((await h.ask(PULL, await h.mint({ sub: "brief" }))).status).toBe(200);
  h.clock.aheadMs = 3_601_000;
  const answer = await read(await h.ask({ ...PULL, min_ttl: 0 }, await h.mint({ sub: "brief" })));
  expect(answer).toMatchObject({ status: 403, detail: expect.stringContaining("condition on the time failed") });
  expect(h.cloud.calls.filter(({ api }) => api === "AssumeRole")).toHaveLength(1);
});

test("explain and whoami say the same", async () => {
  h = await start({ socketAddress: () => "192.0.2.7" });
  const headers = { authorization: `Bearer ${await h.mint({ sub: "office" })}`, "content-type": "application/json" };
  const explained = await h.request("/v1/explain", { method: "POST", headers, body: JSON.stringify(PULL) });
  expect(await explained.json()).toMatchObject({
    outcome: "deny",
    nearest: { grant: "office", limit: "network", actual: "192.0.2.7", expected: "in 10.0.0.0/8" },
    grants: [
      { name: "office", matches: false, limits: [{ limit: "network", keeps: false, expected: "in 10.0.0.0/8" }] },
    ],
  });
  const whoami = await (await h.request("/v1/whoami", { headers })).json();
  expect((whoami as { grants: unknown[] }).grants).toEqual([]);
});

test("the token exchange is held to the same limits", async () => {
  let from = "10.1.2.3";
  h = await start({ socketAddress: () => from });
  const exchange = async () => {
    const body = new URLSearchParams({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token: await h.mint({ sub: "office" }),
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      audience: "prod",
      scope: "repository:base/alpine:pull",
    });
    return h.request("/oauth2/token", { method: "POST", body });
  };
  expect((await exchange()).status).toBe(200);
  from = "192.0.2.7";
  expect(await (await exchange()).json()).toMatchObject({ error: "invalid_scope", code: "access_denied" });
});
