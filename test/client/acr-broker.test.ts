/** The SDK and the real broker, over real HTTP. */

import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AcrBroker } from "../../shared/client/acr-broker.ts";
import { type Harness, startHarness } from "../broker/harness.ts";

let h: Harness;
beforeAll(async () => {
  h = await startHarness();
});
afterAll(() => h.close());

const PULL = { registry: "prod", scope: "repository:web/app:pull" };
const issued = () => h.logged().filter(({ event, outcome }) => event === "decision" && outcome === "allow").length;
const minting = () => new AcrBroker({ url: h.url, identity: () => h.mint() });

test("credentials are those of the broker, and open what was asked for", async () => {
  const credentials = await minting().credentials({ registry: "prod", scope: ["repository:web/app:pull,push"] });
  expect(credentials).toMatchObject({
    username: "cr_temp_user",
    registry: "prod",
    endpoints: ["acme-registry.cn-hangzhou.cr.aliyuncs.com", "acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com"],
    scope: ["repository:web/app:pull,push"],
    grants: ["web-main"],
    fingerprint: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
    requestId: expect.stringMatching(/^request-\d+$/),
  });
  const login = h.cloud.login(credentials.username, credentials.password);
  expect([login?.allows("push", "web/app"), login?.allows("pull", "web/other")]).toEqual([true, false]);
  expect(login?.expiresAt).toEqual(credentials.expiresAt);
  expect(credentials.expiresInSeconds).toBeGreaterThan(1_790);
});

test("a grant by its name, and a lifetime", async () => {
  const credentials = await minting().credentials({ grant: "web-main", ttl: 900 });
  expect(credentials.scope).toEqual(["repository:base/*:pull", "repository:web/*:pull,push"]);
  expect(credentials.expiresInSeconds).toBeLessThanOrEqual(900);
});

test("a refusal is the broker's own, with code, status, request id and detail", async () => {
  await expect(minting().credentials({ registry: "prod", scope: "repository:secret/app:push" })).rejects.toMatchObject({
    name: "RefusedError",
    code: "access_denied",
    status: 403,
    requestId: expect.stringMatching(/^request-\d+$/),
    retryable: false,
    message: expect.stringContaining("no grant of ci:job allows"),
  });
});

test.each([
  ["unknown_registry", { registry: "nowhere", scope: "repository:web/app:pull" }],
  ["unknown_grant", { grant: "nobodys" }],
  ["invalid_scope", { registry: "prod", scope: "repository:Web/App:pull" }],
  ["invalid_request", { ...PULL, ttl: 60 }],
] as const)("%s", async (code, request) => {
  await expect(minting().credentials(request)).rejects.toMatchObject({ code, status: 400 });
});

describe("equal requests", () => {
  test("have one answer, however their scopes are written and ordered", async () => {
    const broker = minting();
    const before = issued();
    const [first, ...others] = await Promise.all([
      broker.credentials({ registry: "prod", scope: "repository:web/a:push,pull repository:base/b:pull" }),
      broker.credentials({ registry: "prod", scope: ["repository:base/b:pull", "repository:web/a:pull,push"] }),
      broker.credentials({ registry: "prod", scope: ["repository:web/a:pull,push repository:base/b:pull"] }),
    ]);
    expect(others).toEqual([first, first]);
    expect(
      await broker.credentials({ registry: "prod", scope: "repository:base/b:pull  repository:web/a:pull,push" }),
    ).toBe(first);
    expect(issued() - before).toBe(1);
  });

  test("differ by registry, scope, grant and ttl", async () => {
    const broker = minting();
    const before = issued();
    await broker.credentials(PULL);
    await broker.credentials({ ...PULL, ttl: 900 });
    await broker.credentials({ ...PULL, scope: "repository:web/app:push" });
    await broker.credentials({ grant: "web-main" });
    await broker.credentials({ registry: "prod", grant: "web-main" });
    expect(issued() - before).toBe(5);
  });

  test("of two AcrBrokers are not equal: each has its own identity", async () => {
    const before = issued();
    await minting().credentials(PULL);
    await minting().credentials(PULL);
    expect(issued() - before).toBe(2);
  });
});

test("a password is where it is asked for and nowhere else", async () => {
  const broker = minting();
  const credentials = await broker.credentials(PULL);
  const { username, password } = credentials;
  expect(h.cloud.login(username, password)).toBeDefined();
  const shown = [
    JSON.stringify({ broker, credentials }),
    JSON.stringify({ ...credentials }),
    inspect({ broker, credentials }, { depth: null, showHidden: true, getters: true }),
    String(credentials),
    JSON.stringify(structuredClone({ ...credentials })),
  ].join("\n");
  expect(shown).toContain("acme-registry.cn-hangzhou.cr.aliyuncs.com");
  // No assertion on the texts themselves: it would print them.
  expect(shown.includes(password)).toBe(false);
});

describe("what cannot be meant is refused before anything is sent", () => {
  const broker = new AcrBroker({ url: "http://127.0.0.1:9", identity: "a-token" });
  test.each([
    ["nothing", {}],
    ["an empty list", { scope: [] }],
    ["blanks", { scope: "  " }],
    ["scope and grant", { scope: "repository:web/app:pull", grant: "web-main" }],
    ["an empty grant", { grant: "" }],
    ["an empty registry", { scope: "repository:web/app:pull", registry: "" }],
    ["a ttl of parts", { scope: "repository:web/app:pull", ttl: 900.5 }],
    ["a negative minTtl", { scope: "repository:web/app:pull", minTtl: -1 }],
    ["a scope that is no text", { scope: [7] as unknown as string[] }],
  ])("%s", async (_, request) => {
    await expect(broker.credentials(request)).rejects.toMatchObject({ name: "OptionsError", code: "invalid_options" });
  });

  test.each([
    ["no URL", "acr-broker.example.com"],
    ["plain http over a network", "http://acr-broker.example.com"],
    ["http to a name that only looks like this machine", "http://127.0.0.1.example.com"],
    ["another scheme", "ftp://acr-broker.example.com"],
    ["a host with a port and no scheme", "acr-broker.example.com:443"],
    ["a password and no scheme", "user:secret-of-the-url@acr-broker.example.com"],
    ["a route of the broker's", "https://acr-broker.example.com/v1/token"],
    ["a password in it", "https://user:secret-of-the-url@acr-broker.example.com"],
    ["a query", "https://acr-broker.example.com/?a=b"],
    ["a path that could be signed in two ways", "https://acr-broker.example.com/a%20b"],
  ])("url: %s", (_, url) => {
    expect(() => new AcrBroker({ url, identity: "a-token" })).toThrow(
      expect.objectContaining({ code: "invalid_options", message: expect.not.stringContaining("secret-of-the-url") }),
    );
  });

  test("without a url that of ACR_BROKER_URL counts, and without either it says so", () => {
    const outside = (url?: string) => ({
      environment: (name: string) => (name === "ACR_BROKER_URL" ? url : undefined),
    });
    const there = outside("https://there.example.com");
    expect(new AcrBroker({ outside: there }).url).toBe("https://there.example.com/");
    expect(new AcrBroker({ url: "https://here.example.com", outside: there }).url).toBe("https://here.example.com/");
    expect(() => new AcrBroker({ outside: outside() })).toThrow("which broker? pass url, or set ACR_BROKER_URL");
  });

  test.each([
    ["acr-broker.example.com", "write it in full, as https://"],
    ["localhost:9000", "write it in full, as https://"],
    ["http://acr-broker.example.com", "write https://"],
    ["https://acr-broker.example.com/v1/token", "leave out /v1/token"],
    ["https://acr-broker.example.com/base/oauth2/token/", "leave out /oauth2/token/"],
  ])("the message says what to write instead of %s", (url, says) => {
    expect(() => new AcrBroker({ url, identity: "a-token" })).toThrow(says);
  });

  test.each([
    "https://acr-broker.example.com",
    "https://acr-broker.example.com/broker/",
    "http://localhost:9000",
    "http://[::1]:9000",
  ])("url: %s will do", (url) => {
    expect(new AcrBroker({ url, identity: "a-token" }).url).toMatch(/^http/);
  });

  test.each([0, -1, Number.NaN, 3601])("deadlineSeconds: %s", (deadlineSeconds) => {
    expect(() => new AcrBroker({ url: "https://x.example", identity: "a-token", deadlineSeconds })).toThrow(
      "deadlineSeconds",
    );
  });

  test("an identity that is empty", () => {
    expect(() => new AcrBroker({ url: "https://x.example", identity: "" })).toThrow("identity is empty");
  });
});
