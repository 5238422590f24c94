/** What of the broker is traced, as a collector gets it. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { headerProblem } from "../../functions/broker/tracing.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { type Collector, type Span, startCollector } from "../collector.ts";
import { haveTools } from "../e2e/tools.ts";
import { startRedisServer } from "../store/redis-server.ts";
import { type Harness, type HarnessOptions, policy, startHarness } from "./harness.ts";

/** The harness draws 0.5 whenever it is asked for chance. */
const SAMPLED = "0.6";
const NOT_SAMPLED = "0.4";

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function traced(settings = `ratio: ${SAMPLED}`, options: HarnessOptions = {}, collector?: Collector) {
  const to = collector ?? (await startCollector());
  opened.push(to);
  const h = await startHarness({
    ...options,
    policy: (cloud, issuer) =>
      `${(options.policy ?? policy)(cloud, issuer)}tracing: { endpoint: "${to.url}", ${settings} }\n`,
  });
  opened.push(h);
  // Which loads what it needs.
  await h.request("/initialize", { method: "POST" });
  await h.broker.flush();
  to.posts.splice(0);
  async function spans(): Promise<Span[]> {
    await h.broker.flush();
    // What was sent is searched for secrets when the harness is closed.
    h.output.push(...to.posts.map(({ body }) => body));
    return to.spans();
  }
  return { h, collector: to, spans };
}

const attributesOf = (span: Span | undefined) =>
  Object.fromEntries((span?.attributes ?? []).map(({ key, value }) => [key, Object.values(value)[0]]));
const named = (spans: readonly Span[], name: string) => spans.find((span) => span.name === name);
/** `parent > name` for each. */
const tree = (spans: readonly Span[]) =>
  spans
    .map(({ name, parentSpanId }) => `${spans.find(({ spanId }) => spanId === parentSpanId)?.name ?? ""} > ${name}`)
    .sort();

const PULL = { registry: "prod", scope: ["repository:web/app:pull"] };

describe("a request", () => {
  test("for a new credential is a trace of who vouched, the decision, and both calls of the cloud", async () => {
    const { h, spans } = await traced();
    h.clock.aheadMs = 16 * 60_000;
    expect((await h.ask(PULL)).status).toBe(200);
    const found = await spans();
    expect(tree(found)).toEqual([
      " > POST /v1/token",
      "AssumeRole > wait for a turn",
      "POST /v1/token > AssumeRole",
      "POST /v1/token > GetAuthorizationToken",
      "POST /v1/token > decide",
      "POST /v1/token > identify",
      "identify > fetch keys",
    ]);
    expect(new Set(found.map(({ traceId }) => traceId)).size).toBe(1);
    expect(attributesOf(named(found, "POST /v1/token"))).toMatchObject({
      "http.request.method": "POST",
      "http.route": "/v1/token",
      "http.response.status_code": 200,
      "acr_broker.outcome": "allow",
      "acr_broker.cache": "miss",
      "acr_broker.registry": "prod",
    });
    expect(named(found, "POST /v1/token")?.kind).toBe(2);
    const call = named(found, "AssumeRole");
    expect(call?.kind).toBe(3);
    const decided = h.logged().findLast(({ event }) => event === "decision");
    expect(attributesOf(call)["acr_broker.upstream_request_id"]).toBe(decided?.["assume_role_request_id"]);
  });

  test("has its trace's id in each of its lines of the log", async () => {
    const { h, spans } = await traced();
    const from = h.logged().length;
    await h.ask(PULL);
    const [first] = await spans();
    const lines = h.logged().slice(from);
    expect(lines.map(({ event, trace_id }) => [event, trace_id])).toEqual([
      ["decision", first?.traceId],
      ["request", first?.traceId],
    ]);
  });

  test("that is refused is no error; one that the cloud fails is, by its code", async () => {
    const { h, spans } = await traced();
    await h.ask(PULL, await h.mint({ ref: "refs/heads/evil" }));
    await h.ask(PULL, await h.mint({ sub: "untrusting" }));
    const found = await spans();
    const requests = found.filter(({ name }) => name === "POST /v1/token");
    expect(requests.map((span) => [attributesOf(span)["acr_broker.code"], span.status.code])).toEqual([
      ["access_denied", 0],
      ["upstream_rejected", 2],
    ]);
    expect(attributesOf(requests[0])["acr_broker.reason"]).toBe("condition");
    expect(attributesOf(named(found, "AssumeRole"))["error.type"]).toBe("NoPermission");
    expect(found.every(({ status }) => status.message === undefined)).toBe(true);
  });

  test("says nothing of its caller or of what it had: no token, claim, scope, path or credential", async () => {
    const { h, collector, spans } = await traced();
    const token = await h.mint({ sub: "job", jti: "canary-jti" });
    await h.ask({ registry: "prod", scope: ["repository:web/canary-repository:pull"] }, token);
    await h.request("/canary-path?token=canary-query", {
      method: "PROPFIND",
      headers: { authorization: `Bearer ${token}` },
    });
    const found = await spans();
    expect(found.map(({ name }) => name)).toContain("_OTHER");
    const sent = collector.posts.map(({ body }) => body).join("");
    for (const part of ["canary", '"job"', "refs/heads", ...token.split(".")]) expect(sent).not.toContain(part);
  });

  test("of those who watch, for health and metrics, is not traced", async () => {
    const { h, spans } = await traced();
    for (const path of ["/healthz", "/readyz", "/metrics"]) await h.request(path);
    expect(await spans()).toEqual([]);
  });
});

describe("the caller's traceparent", () => {
  const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
  const PARENT = "00f067aa0ba902b7";
  const VALID = `00-${TRACE}-${PARENT}-01`;
  let h: Harness;
  let spans: () => Promise<Span[]>;
  let collector: Collector;
  beforeAll(async () => {
    ({ h, spans, collector } = await traced());
    opened.splice(0);
  });
  afterAll(async () => {
    await h?.close();
    await collector?.close();
  });
  async function rootFor(traceparent: string): Promise<Span | undefined> {
    collector.posts.splice(0);
    await h.request("/version", { headers: { traceparent } });
    return named(await spans(), "GET /version");
  }

  test.each([
    ["version 00", VALID],
    ["a later version", `cc-${TRACE}-${PARENT}-01`],
    ["a later version with more behind it", `cc-${TRACE}-${PARENT}-01-what-the-future-will-be-like`],
    ["flags that are not known yet", `00-${TRACE}-${PARENT}-ff`],
  ])("%s is the span above", async (_, traceparent) => {
    expect(await rootFor(traceparent)).toMatchObject({ traceId: TRACE, parentSpanId: PARENT });
    expect(h.logged().at(-1)?.["trace_id"]).toBe(TRACE);
  });

  // As in the W3C's own test suite: https://github.com/w3c/trace-context/blob/main/test/test.py
  test.each([
    ["no trace id", `00-${"0".repeat(32)}-${PARENT}-01`],
    ["no parent id", `00-${TRACE}-${"0".repeat(16)}-01`],
    ["version ff", `ff-${TRACE}-${PARENT}-01`],
    ["more behind version 00", `${VALID}-what-the-future-will-be-like`],
    ["a later version that runs on", `cc-${TRACE}-${PARENT}-01.what-the-future-will-be-like`],
    ["capital letters", `00-${TRACE.toUpperCase()}-${PARENT}-01`],
    ["a trace id that is too short", `00-${TRACE.slice(1)}-${PARENT}-01`],
    ["a trace id that is too long", `00-${TRACE}0-${PARENT}-01`],
    ["a parent id with other characters", `00-${TRACE}-.${PARENT.slice(1)}-01`],
    ["flags of one digit", `00-${TRACE}-${PARENT}-1`],
    ["flags that are none", `00-${TRACE}-${PARENT}-.0`],
    ["two of them", `${VALID}, ${VALID}`],
    ["nothing", ""],
    ["what would be a line of the log", `${VALID}\\n{"event":"decision"}`],
  ])("%s: as if there were none", async (_, traceparent) => {
    const root = await rootFor(traceparent);
    expect(root?.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(root?.traceId).not.toBe(TRACE);
    expect(root?.parentSpanId ?? "").toBe("");
  });
});

describe("how much is traced", () => {
  const sampled = { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" };
  const unsampled = { traceparent: sampled.traceparent.replace(/01$/, "00") };
  test.each([
    ["the ratio, of those without a trace", `ratio: ${SAMPLED}`, {}, true],
    ["the ratio, of those without a trace", `ratio: ${NOT_SAMPLED}`, {}, false],
    ["a tenth, where the policy does not say", "headers_env: { x-test: TEST }", {}, false],
    ["no more of those whose caller traces", `ratio: ${NOT_SAMPLED}`, sampled, false],
    ["more of those, where the policy says so", `ratio: ${NOT_SAMPLED}, parent_ratio: 1`, sampled, true],
    ["none of those whose caller does not", "ratio: 1, parent_ratio: 1", unsampled, false],
  ])("%s (%s)", async (_, settings, headers, isTraced) => {
    const { h, spans } = await traced(settings, { environment: (keys) => ({ ...keys, TEST: "1" }) });
    await h.request("/version", { headers });
    expect((await spans()).length).toBe(isTraced ? 1 : 0);
    expect(h.logged().at(-1)?.["trace_id"]).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe("the collector", () => {
  test("gets what the policy's headers say, from the environment, and who sends", async () => {
    const { h, collector, spans } = await traced(`ratio: 1, headers_env: { authorization: OTLP_AUTHORIZATION }`, {
      environment: (keys) => ({ ...keys, OTLP_AUTHORIZATION: "Bearer canary-of-the-collector" }),
      secrets: ["canary-of-the-collector"],
    });
    await h.request("/version");
    await spans();
    expect(collector.posts).toMatchObject([
      {
        path: "/v1/traces",
        headers: { authorization: "Bearer canary-of-the-collector", "content-type": "application/json" },
      },
    ]);
    expect(attributesOf({ attributes: collector.resource() } as unknown as Span)).toMatchObject({
      "service.name": "acr-token-broker",
      "service.version": "0.0.0-test",
    });
  });

  test.each([
    ["hangs", "hang" as const],
    ["refuses", 400],
  ])("that %s holds nobody up, and what it did not take is counted and told", async (_, status) => {
    const { h } = await traced("ratio: 1", {}, await startCollector(status));
    const begun = performance.now();
    expect((await h.ask(PULL)).status).toBe(200);
    await h.broker.flush();
    expect(performance.now() - begun).toBeLessThan(4_000);
    const dropped = async () => {
      const text = await (await h.request("/metrics")).text();
      return Number(/^acr_broker_spans_dropped_total (\d+)$/m.exec(text)?.[1]);
    };
    await expect.poll(dropped, { timeout: 10_000 }).toBeGreaterThan(0);
    expect(h.logged().filter(({ message }) => String(message).startsWith("spans were not taken"))).toHaveLength(1);
  });

  test("gets what waits when Function Compute is about to freeze the instance away", async () => {
    const { h, collector } = await traced("ratio: 1");
    await h.request("/version");
    await h.request("/pre-stop");
    expect(collector.spans().map(({ name }) => name)).toContain("GET /version");
  });

  test("needs headers that are there", () => {
    const config = parseConfig(
      `${policy("http://127.0.0.1:1", "http://127.0.0.1:3")}tracing: { endpoint: "https://x.example/v1/traces", headers_env: { authorization: SECRET } }`,
      { file: "broker.yaml", readFile: () => "" },
    );
    expect(headerProblem(config, { SECRET: "Bearer x" })).toBeUndefined();
    for (const value of [undefined, "", "a\nb", "ä"]) {
      expect(headerProblem(config, value === undefined ? {} : { SECRET: value })).toBe(
        "the environment variable that tracing.headers_env.authorization names is not set, or holds what is no header's value; set it to the value that the collector wants, or take its name out",
      );
    }
  });
});

test.skipIf(!haveTools(["redis-server"]))(
  "what Redis is asked is in the trace, and where it does not answer that is",
  async () => {
    const redis = await startRedisServer();
    opened.push(redis);
    const { h, spans, collector } = await traced("ratio: 1", {
      policy: (cloud, issuer) =>
        `${policy(cloud, issuer)}redis: { host: 127.0.0.1, port: ${redis.port}, tls: false }\n`,
      redisLimitMs: 2_000,
    });
    await h.ask(PULL);
    const asked = named(await spans(), "EVAL");
    expect([asked?.kind, asked?.status.code, attributesOf(asked)]).toEqual([3, 0, { "db.system.name": "redis" }]);
    await redis.kill();
    collector.posts.splice(0);
    h.clock.aheadMs = 5_000;
    await h.ask({ ...PULL, scope: ["repository:web/other:pull"] });
    expect((await spans()).some((span) => attributesOf(span)["error.type"] === "unavailable")).toBe(true);
  },
);
