import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Harness, startHarness } from "./harness.ts";

const FIELDS = { registry: "prod", scope: ["repository:web/app:pull"] };

/** Of one answer or one connection; the length may be left out with HEAD, RFC 9110 section 9.3.2. */
const OWN_HEADERS = new Set(["x-request-id", "date", "connection", "keep-alive", "content-length"]);

describe("health", () => {
  let h: Harness;
  beforeAll(async () => {
    h = await startHarness();
  });
  afterAll(() => h.close());

  test("healthz, readyz and version need no identity and tell no secret", async () => {
    expect(await (await h.request("/healthz")).json()).toEqual({ status: "ok" });
    expect(await (await h.request("/readyz")).json()).toEqual({ status: "ready" });
    expect(await (await h.request("/version")).json()).toEqual({
      name: "acr-token-broker",
      version: "0.0.0-test",
      policy_digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      node: process.version,
    });
  });

  test.each(["/healthz", "/readyz", "/version", "/docs", "/openapi.json", "/.well-known/acr-broker"])(
    "HEAD %s is answered as GET, without the body",
    async (path) => {
      const [get, head] = await Promise.all(["GET", "HEAD"].map((method) => h.request(path, { method })));
      expect([head?.status, await head?.text()]).toEqual([200, ""]);
      const headers = (answer: Response | undefined) =>
        Object.fromEntries([...(answer?.headers ?? [])].filter(([name]) => !OWN_HEADERS.has(name)));
      expect(headers(head)).toEqual(headers(get));
    },
  );

  test("HEAD is among the methods that a refused one is told of, but where there is no GET", async () => {
    const allow = async (path: string, method: string) => (await h.request(path, { method })).headers.get("allow");
    expect(await allow("/healthz", "POST")).toBe("GET, HEAD");
    expect(await allow("/v1/token", "HEAD")).toBe("POST");
  });

  test("initialize fetches the issuers' keys; whoever calls it, however often, does no harm", async () => {
    const answers = await Promise.all([1, 2, 3].map(() => h.request("/initialize", { method: "POST" })));
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200]);
  });

  test("pre-stop waits for requests under way, and the broker serves on", async () => {
    h.cloud.failNext("AssumeRole", { delayMs: 150 });
    const under = h.ask(FIELDS);
    while (h.broker.health.inFlight === 0) await new Promise(setImmediate);
    let answered = false;
    const stopped = h.request("/pre-stop").then(() => answered);
    await under.then(() => {
      answered = true;
    });
    await stopped;
    expect((await under).status).toBe(200);
    expect((await h.ask(FIELDS)).status).toBe(200);
    expect(h.broker.health.inFlight).toBe(0);
  });

  test("readyz fails while the broker stops", async () => {
    h.broker.health.draining = true;
    expect(await (await h.request("/readyz")).json()).toMatchObject({ code: "not_ready" });
    h.broker.health.draining = false;
  });
});

describe("the function role's keys", () => {
  test("come from the environment on Debian 11", async () => {
    const h = await startHarness({ environment: (keys) => ({ ...keys, FC_FUNCTION_NAME: "broker" }) });
    expect((await h.ask(FIELDS)).status).toBe(200);
    await h.close();
  });

  test("come with each request on Debian 9 and 10", async () => {
    let keys: Record<string, string> = {};
    const h = await startHarness({
      environment: (given) => {
        keys = given;
        return { FC_FUNCTION_NAME: "broker" };
      },
    });
    expect(await (await h.ask(FIELDS)).json()).toMatchObject({ code: "not_ready" });
    const headers = {
      "x-fc-access-key-id": keys["ALIBABA_CLOUD_ACCESS_KEY_ID"] as string,
      "x-fc-access-key-secret": keys["ALIBABA_CLOUD_ACCESS_KEY_SECRET"] as string,
    };
    // Two of three are not enough.
    expect((await h.ask(FIELDS, undefined, headers)).status).toBe(503);
    const all = { ...headers, "x-fc-security-token": keys["ALIBABA_CLOUD_SECURITY_TOKEN"] as string };
    expect((await h.ask(FIELDS, undefined, all)).status).toBe(200);
    await h.close();
  });

  test("are not taken from a stranger's headers outside Function Compute", async () => {
    const h = await startHarness();
    const forged = { "x-fc-access-key-id": "a", "x-fc-access-key-secret": "b", "x-fc-security-token": "c" };
    expect((await h.ask(FIELDS, undefined, forged)).status).toBe(200);
    await h.close();
  });

  test("none at all: not ready, and it says what to set", async () => {
    const h = await startHarness({ environment: () => ({}) });
    expect(await (await h.request("/readyz")).json()).toMatchObject({
      code: "not_ready",
      detail: expect.stringContaining("ALIBABA_CLOUD_ACCESS_KEY_ID"),
    });
    await h.close();
  });

  test("expired: 503, never ready again, and the process is told to make way once", async () => {
    const h = await startHarness();
    h.cloud.failNext("AssumeRole", { status: 400, code: "InvalidSecurityToken.Expired" }, 2);
    const response = await h.ask(FIELDS);
    expect(await response.json()).toMatchObject({ status: 503, code: "not_ready" });
    expect(response.headers.get("retry-after")).toBe("5");
    await h.ask(FIELDS);
    expect((await h.request("/readyz")).status).toBe(503);
    expect(h.keysExpired.count).toBe(1);
    await h.close();
  });

  test("expired, but a request's own: no reason to end the process", async () => {
    let keys: Record<string, string> = {};
    const h = await startHarness({
      environment: (given) => {
        keys = given;
        return { ...given, FC_FUNCTION_NAME: "broker" };
      },
    });
    h.cloud.failNext("AssumeRole", { status: 400, code: "InvalidSecurityToken.Expired" });
    const headers = {
      "x-fc-access-key-id": keys["ALIBABA_CLOUD_ACCESS_KEY_ID"] as string,
      "x-fc-access-key-secret": keys["ALIBABA_CLOUD_ACCESS_KEY_SECRET"] as string,
      "x-fc-security-token": keys["ALIBABA_CLOUD_SECURITY_TOKEN"] as string,
    };
    expect((await h.ask(FIELDS, undefined, headers)).status).toBe(503);
    expect(h.keysExpired.count).toBe(0);
    await h.close();
  });
});

test("the expired keys of one request are nobody else's trouble", async () => {
  const h = await startHarness({ environment: (keys) => ({ ...keys, FC_FUNCTION_NAME: "broker" }) });
  h.cloud.failNext("AssumeRole", { delayMs: 50 });
  const forged = { "x-fc-access-key-id": "a", "x-fc-access-key-secret": "b", "x-fc-security-token": "c" };
  const token = await h.mint();
  const [bad, good] = await Promise.all([h.ask(FIELDS, token, forged), h.ask(FIELDS, token)]);
  expect([bad.status, good.status]).toEqual([502, 200]);
  expect(h.keysExpired.count).toBe(0);
  await h.close();
});

describe("Function Compute's request id", () => {
  test("is ours inside Function Compute, and nobody's outside", async () => {
    const inside = await startHarness({ environment: (keys) => ({ ...keys, FC_FUNCTION_NAME: "broker" }) });
    const headers = { "x-fc-request-id": "1-65f0-fc-request", "x-request-id": "my-own-id-1" };
    expect((await inside.request("/healthz", { headers })).headers.get("x-request-id")).toBe("1-65f0-fc-request");
    await inside.close();
    const outside = await startHarness();
    expect((await outside.request("/healthz", { headers })).headers.get("x-request-id")).toBe("my-own-id-1");
    await outside.close();
  });
});
