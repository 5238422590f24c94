import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Fault } from "../sandbox/cloud.ts";
import { type Harness, read, startHarness } from "./harness.ts";

let h: Harness;
beforeAll(async () => {
  h = await startHarness();
});
afterAll(() => h.close());

let names = 0;
/** A request that nothing remembered answers. */
const ask = () => h.ask({ registry: "prod", scope: [`repository:web/fresh-${names++}:pull`] });

// What one test made fail is forgotten: an answer closes the breaker, and ten seconds bring the retries back.
beforeEach(async () => {
  h.clock.aheadMs += 10_000;
  expect((await ask()).status).toBe(200);
});

const passing: [string, Fault][] = [
  ["a reset connection", "reset"],
  ["throttling", { status: 400, code: "Throttling.User" }],
  ["an internal error", { status: 500, code: "InternalError" }],
  ["an error page", { status: 502, body: "<html>Bad Gateway</html>" }],
];

for (const api of ["AssumeRole", "GetAuthorizationToken"] as const) {
  test.each(passing)(`${api}: %s passes by itself`, async (_, fault) => {
    h.cloud.failNext(api, fault, 2);
    expect((await ask()).status).toBe(200);
  });

  test.each(passing)(`${api}: %s that stays is 503 after three attempts`, async (_, fault) => {
    const before = h.cloud.calls.length;
    h.cloud.failNext(api, fault, 3);
    const response = await ask();
    expect(await response.json()).toMatchObject({
      status: 503,
      code: "upstream_unavailable",
      detail: expect.stringContaining(api),
    });
    expect(response.headers.get("retry-after")).toBe("2");
    expect(h.cloud.calls.slice(before).filter((call) => call.api === api)).toHaveLength(3);
  });

  test(`${api}: a refusal is not tried again`, async () => {
    const before = h.cloud.calls.length;
    h.cloud.failNext(api, { status: 403, code: "NoPermission" });
    expect(await read(await ask())).toMatchObject({
      status: 502,
      code: "upstream_rejected",
      detail: expect.stringContaining("NoPermission"),
    });
    expect(h.cloud.calls.slice(before).filter((call) => call.api === api)).toHaveLength(1);
  });

  test.each([
    ["without what it should hold", '{"RequestId":"1"}'],
    ["that is no object", "[]"],
    ["of an empty object", "{}"],
  ])(`${api}: an answer %s is no credential`, async (_, body) => {
    h.cloud.failNext(api, { status: 200, body });
    const { status, code } = await read(await ask());
    expect([status, code]).toEqual([502, "upstream_rejected"]);
  });

  test(`${api}: what a refusal says stays in the broker`, async () => {
    const message = "CANARY the string to sign is POST&%2F&AccessKeyId";
    h.cloud.failNext(api, { status: 400, code: "SignatureDoesNotMatch", message });
    const response = await ask();
    expect(response.status).toBe(502);
    expect(await response.text()).not.toContain("CANARY");
    expect(h.output.join()).not.toContain("CANARY");
  });
}

test("a cloud that never answers is 504 at the deadline", async () => {
  h.cloud.failNext("AssumeRole", "hang", 3);
  const response = await ask();
  expect(await response.json()).toMatchObject({ status: 504, code: "upstream_timeout" });
});

test.each([
  ["without IsSuccess", { Code: "DENIED" }],
  ["whose IsSuccess is a text", { IsSuccess: "true" }],
  ["whose expiry is a list", { IsSuccess: true, ExpireTime: [Date.now() + 60_000] }],
])("ACR: an answer %s is no credential", async (_, fields) => {
  const body = {
    AuthorizationToken: "x",
    TempUsername: "y",
    ExpireTime: Date.now() + 60_000,
    RequestId: "1",
    ...fields,
  };
  h.cloud.failNext("GetAuthorizationToken", { status: 200, body: JSON.stringify(body) });
  expect(await read(await ask())).toMatchObject({ status: 502, code: "upstream_rejected" });
});

test("a credential that lives on beyond the decision is not given out", async () => {
  const expiration = "9999-01-01T00:00:00Z";
  const keys = { AccessKeyId: "STS.x", AccessKeySecret: "y", SecurityToken: "z", Expiration: expiration };
  h.cloud.failNext("AssumeRole", { status: 200, body: JSON.stringify({ RequestId: "1", Credentials: keys }) });
  const login = {
    IsSuccess: true,
    Code: "success",
    AuthorizationToken: "x",
    TempUsername: "y",
    ExpireTime: Date.parse(expiration),
    RequestId: "2",
  };
  h.cloud.failNext("GetAuthorizationToken", { status: 200, body: JSON.stringify(login) });
  expect(await read(await ask())).toMatchObject({
    code: "upstream_rejected",
    detail: expect.stringContaining("lives longer"),
  });
});

test("a password that has expired already is no credential", async () => {
  const body = JSON.stringify({
    IsSuccess: true,
    Code: "success",
    AuthorizationToken: "x",
    TempUsername: "cr_temp_user",
    ExpireTime: Date.now() - 1000,
    RequestId: "1",
  });
  h.cloud.failNext("GetAuthorizationToken", { status: 200, body });
  expect(await read(await ask())).toMatchObject({
    code: "upstream_rejected",
    detail: expect.stringContaining("already expired"),
  });
});
