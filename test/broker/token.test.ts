import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Harness, read, startHarness } from "./harness.ts";

let h: Harness;
beforeAll(async () => {
  h = await startHarness();
});
afterEach(() => {
  h.clock.aheadMs = 0;
});
afterAll(() => h.close());

const PULL = "repository:web/app:pull";
const upstreamCalls = (api: string, since = 0) => h.cloud.calls.slice(since).filter((call) => call.api === api);

describe("credentials", () => {
  test("reach exactly what was asked for", async () => {
    const response = await h.ask({
      registry: "prod",
      scope: ["repository:web/app:pull,push", "repository:base/alpine:pull"],
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("cache-control")).toBe("no-store");
    const body = await read(response);
    expect(body).toMatchObject({
      username: "cr_temp_user",
      registry: "prod",
      endpoints: ["acme-registry.cn-hangzhou.cr.aliyuncs.com", "acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com"],
      scope: ["repository:base/alpine:pull", "repository:web/app:pull,push"],
      grants: ["web-main"],
      token_fingerprint: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      request_id: response.headers.get("x-request-id"),
    });
    expect(body.expires_in).toBeGreaterThan(1790);
    expect(Date.parse(body.refresh_after)).toBeLessThan(Date.parse(body.expires_at));

    const login = h.cloud.login(body.username, body.password);
    expect(login?.allows("push", "web/app")).toBe(true);
    expect(login?.allows("pull", "base/alpine")).toBe(true);
    for (const [action, repository] of [
      ["push", "base/alpine"],
      ["pull", "web/other"],
      ["pull", "secret/vault"],
    ] as const) {
      expect(login?.allows(action, repository), `${action} ${repository}`).toBe(false);
    }
  });

  test("of a whole namespace stay in it", async () => {
    const body = await read(await h.ask({ registry: "prod", scope: ["repository:base/*:pull"] }));
    const login = h.cloud.login(body.username, body.password);
    expect(login?.allows("pull", "base/alpine")).toBe(true);
    expect(login?.allows("pull", "web/app")).toBe(false);
  });

  test("of a named grant are all that it gives", async () => {
    const body = await read(await h.ask({ grant: "base-pull" }));
    expect(body).toMatchObject({ scope: ["repository:base/*:pull"], grants: ["base-pull"] });
  });

  test("live as long as asked, and no longer than the grant allows", async () => {
    const short = await read(await h.ask({ registry: "prod", scope: [PULL], ttl: 900 }));
    expect(short.expires_in).toBeLessThanOrEqual(900);
    const long = await read(await h.ask({ registry: "prod", scope: [PULL], ttl: 3600 }));
    expect(long.expires_in).toBeLessThanOrEqual(1800);
  });

  test("are asked for with the caller in the session's name, under a policy of the scopes alone", async () => {
    const before = h.cloud.calls.length;
    await h.ask({ registry: "prod", scope: ["repository:web/named:push"] });
    const [call] = upstreamCalls("AssumeRole", before);
    expect(call?.params["RoleSessionName"]).toMatch(/^ci-job-[0-9a-f]{12}$/);
    const arn = "acs:cr:cn-hangzhou:1234567890123456:repository/cri-abc123/web/named";
    expect(JSON.parse(call?.params["Policy"] as string).Statement).toEqual([
      { Effect: "Allow", Action: "cr:GetAuthorizationToken", Resource: "*" },
      { Effect: "Allow", Action: ["cr:PushRepository", "cr:CreateRepository"], Resource: arn },
    ]);
  });
});

describe("asking", () => {
  const token = () => h.mint();

  test("as a form, as curl sends it", async () => {
    const response = await h.request("/v1/token", {
      method: "POST",
      headers: { authorization: `Bearer ${await token()}` },
      body: new URLSearchParams([
        ["registry", "prod"],
        ["scope", "repository:web/a:pull"],
        ["scope", "repository:web/b:pull"],
        ["ttl", "900"],
      ]),
    });
    expect(await response.json()).toMatchObject({ scope: ["repository:web/a:pull", "repository:web/b:pull"] });
  });

  test("as query parameters without a body", async () => {
    const response = await h.request(`/v1/token?registry=prod&scope=${encodeURIComponent(PULL)}`, {
      method: "POST",
      headers: { authorization: `Bearer ${await token()}` },
    });
    expect(response.status).toBe(200);
  });

  test("with several scopes in one text, as OAuth 2.0 and Docker write them", async () => {
    const response = await h.ask({ registry: "prod", scope: "repository:web/b:pull repository:web/a:pull" });
    expect(await response.json()).toMatchObject({ scope: ["repository:web/a:pull", "repository:web/b:pull"] });
  });

  test.each([
    ["password", "text/plain", (text: string, password: string) => text === password],
    [
      "docker-config",
      "application/json",
      (text: string, password: string) => decodedAuth(JSON.parse(text)) === `cr_temp_user:${password}`,
    ],
    ["env", "text/plain", (text: string, password: string) => text.includes(`ACR_PASSWORD='${password}'\n`)],
    [
      "kubernetes-secret",
      "application/json",
      (text: string, password: string) =>
        decodedAuth(JSON.parse(Buffer.from(JSON.parse(text).data[".dockerconfigjson"], "base64").toString())) ===
        `cr_temp_user:${password}`,
    ],
  ])("for format %s", async (format, type, holds) => {
    const { password } = await read(await h.ask({ registry: "prod", scope: [PULL] }));
    const response = await h.ask({ registry: "prod", scope: [PULL], format });
    expect(response.headers.get("content-type")).toContain(type);
    expect(holds(await response.text(), password)).toBe(true);
  });

  function decodedAuth(config: { auths: Record<string, { auth: string }> }): string {
    const [first, second] = Object.values(config.auths);
    expect(second).toEqual(first);
    return Buffer.from(first?.auth ?? "", "base64").toString();
  }
});

describe("what is remembered", () => {
  test("equal requests under way make one call of each kind, and a remembered one makes none", async () => {
    const token = await h.mint();
    const before = h.cloud.calls.length;
    const fields = { registry: "prod", scope: ["repository:web/crowd:pull"] };
    const answers = await Promise.all(Array.from({ length: 50 }, () => h.ask(fields, token).then(read)));
    expect(new Set(answers.map((answer) => answer.password)).size).toBe(1);
    expect(h.cloud.calls.slice(before).map((call) => call.api)).toEqual(["AssumeRole", "GetAuthorizationToken"]);
    await h.ask(fields, token);
    await h.ask({ ...fields, scope: ["repository:web/crowd:pull", "repository:web/crowd:pull"] }, token);
    expect(h.cloud.calls.slice(before)).toHaveLength(2);
  });

  test.each([
    ["other scopes", { scope: ["repository:base/other:pull"] }, "job"],
    ["another action", { scope: ["repository:web/sharing:push"] }, "job"],
    ["another life", { ttl: 901 }, "job"],
    ["another caller of the same rights", {}, "sharer"],
  ])("is not shared with %s", async (_, fields, sub) => {
    const shared = { registry: "prod", scope: ["repository:web/sharing:pull"], ttl: 900 };
    const first = await read(await h.ask(shared));
    const second = await read(await h.ask({ ...shared, ...fields }, await h.mint({ sub })));
    expect(second.password).toEqual(expect.any(String));
    expect(second.password).not.toBe(first.password);
  });

  test("is given only while half of its life is left, or as much as min_ttl asks", async () => {
    const fields = { registry: "prod", scope: ["repository:web/aging:pull"], ttl: 900 };
    const before = h.cloud.calls.length;
    const ask = async (more = {}) => (await read(await h.ask({ ...fields, ...more }))).password;
    const first = await ask();
    h.clock.aheadMs = 440_000;
    expect(await ask()).toBe(first);
    h.clock.aheadMs = 470_000;
    expect(await ask({ min_ttl: 60 })).toBe(first);
    expect(await ask()).not.toBe(first);
    expect(upstreamCalls("AssumeRole", before)).toHaveLength(2);
  });

  test("a failure is not remembered", async () => {
    const fields = { registry: "prod", scope: ["repository:web/flaky:pull"] };
    h.cloud.failNext("GetAuthorizationToken", { status: 400, code: "SomethingOdd" });
    expect((await h.ask(fields)).status).toBe(502);
    expect((await h.ask(fields)).status).toBe(200);
  });
});
