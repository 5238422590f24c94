import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveTools } from "../e2e/tools.ts";
import { type Harness, policy, startHarness } from "./harness.ts";

/** `metrics`: what the policy says of it. */
const withMetrics = (metrics: string) => (cloud: string, issuer: string) =>
  `${policy(cloud, issuer)}metrics: ${metrics}\n`;

let h: Harness;
let named: Harness;
let off: Harness;
beforeAll(async () => {
  [h, named, off] = await Promise.all([
    startHarness(),
    startHarness({ policy: withMetrics("{ names: true }") }),
    startHarness({ policy: withMetrics("{ endpoint: false }") }),
  ]);
});
// Which searches what was read for secrets, too: each is in `output`.
afterAll(() => Promise.all([h, named, off].map((one) => one?.close())));

async function metrics(from: Harness): Promise<string> {
  const text = await (await from.request("/metrics")).text();
  from.output.push(text);
  return text;
}

/** The value of one series, 0 where there is none. */
async function value(from: Harness, series: string): Promise<number> {
  const line = (await metrics(from)).split("\n").find((text) => text.startsWith(`${series} `));
  return Number(line?.slice(series.length) ?? 0);
}

const pull = (name: string) => ({ registry: "prod", scope: [`repository:web/${name}:pull`] });

describe("what is counted", () => {
  test("a credential that is made, and the same one from memory", async () => {
    const token = await h.mint();
    const before = await value(h, 'acr_broker_credentials_total{cache="miss"}');
    await h.ask(pull("counted"), token);
    await h.ask(pull("counted"), token);
    expect(await value(h, 'acr_broker_credentials_total{cache="miss"}')).toBe(before + 1);
    expect(await value(h, 'acr_broker_credentials_total{cache="hit"}')).toBe(1);
    expect(await value(h, 'acr_broker_upstream_duration_seconds_count{api="AssumeRole"}')).toBe(before + 1);
    expect(await value(h, "acr_broker_jwks_age_seconds")).toBeLessThan(60);
  });

  test("a denial, with its reason, and the request that it ended", async () => {
    await h.ask(pull("app"), await h.mint({ ref: "refs/heads/evil" }));
    expect(await value(h, 'acr_broker_decisions_total{outcome="denied",reason="condition"}')).toBe(1);
    expect(await value(h, 'acr_broker_requests_total{route="/v1/token",status="403",code="access_denied"}')).toBe(1);
  });

  test("a refusal of the cloud, by API and code", async () => {
    await h.ask(pull("app"), await h.mint({ sub: "untrusting" }));
    expect(await value(h, 'acr_broker_upstream_errors_total{api="AssumeRole",code="NoPermission"}')).toBe(1);
    expect(await value(h, 'acr_broker_decisions_total{outcome="failed",reason="none"}')).toBe(1);
  });

  test("what is answered by the short way, as any other, with its grant", async () => {
    const token = await named.mint({ jti: "again" });
    const before = await value(named, 'acr_broker_grant_decisions_total{grant="web-main",outcome="issued"}');
    for (let count = 0; count < 5; count++) await named.ask(pull("app"), token);
    expect(await value(named, 'acr_broker_grant_decisions_total{grant="web-main",outcome="issued"}')).toBe(before + 5);
    expect(await value(named, 'acr_broker_decisions_total{outcome="issued",reason="none"}')).toBe(before + 5);
    expect(await value(named, 'acr_broker_credentials_total{cache="hit"}')).toBe(before + 4);
    expect(await value(named, 'acr_broker_requests_total{route="/v1/token",status="200",code="ok"}')).toBe(before + 5);
  });

  test("as many requests as the log has lines for", async () => {
    const text = await metrics(h);
    const counted = [...text.matchAll(/^acr_broker_requests_total\{.*\} (\d+)$/gm)];
    const sum = counted.reduce((total, [, count]) => total + Number(count), 0);
    // The last line is that of the request which asked.
    expect(sum).toBe(h.logged().filter(({ event }) => event === "request").length - 1);
  });
});

describe("what is counted of whom it asks, and of what it keeps", () => {
  let it: Harness;
  beforeAll(async () => {
    it = await startHarness({
      policy: (cloud, issuer) => `${withMetrics("{ names: true }")(cloud, issuer)}limits: { caller_per_minute: 8 }\n`,
      environment: (keys) => ({ ...keys, ACR_BROKER_BLOCK: "subject ci evil" }),
    });
  });
  afterAll(() => it?.close());

  test("an issuer that answers, and one that does not", async () => {
    await it.ask(pull("app"), await it.mint({ sub: "other" }));
    await it.ask(pull("app"), await it.mint({ iss: "http://127.0.0.1:2" }));
    expect(await value(it, 'acr_broker_issuer_fetches_total{issuer="ci",result="ok"}')).toBe(1);
    expect(await value(it, 'acr_broker_issuer_fetches_total{issuer="quiet",result="failed"}')).toBe(1);
  });

  test("a block in force, and whom it refused", async () => {
    expect((await it.ask(pull("app"), await it.mint({ sub: "evil" }))).status).toBe(403);
    expect(await value(it, "acr_broker_blocks")).toBe(1);
    expect(await value(it, 'acr_broker_decisions_total{outcome="denied",reason="blocked"}')).toBe(1);
    expect(await metrics(it)).not.toContain("evil");
  });

  test("turns of the budget that were taken, and of how many", async () => {
    const attempts = await value(it, "acr_broker_assume_role_attempts_total");
    expect((await it.ask(pull("budgeted"))).status).toBe(200);
    expect(await value(it, "acr_broker_assume_role_attempts_total")).toBe(attempts + 1);
    expect(await value(it, "acr_broker_assume_role_limit")).toBe(80);
    expect(await value(it, "acr_broker_assume_role_budget_left")).toBeGreaterThan(0);
  });

  test("an API that is left alone, what still lives and is given out meanwhile, and the same when it answers again", async () => {
    const living = async () => (await it.ask(pull("sharing"), await it.mint({ sub: "sharer" }))).status;
    expect(await living()).toBe(200);
    it.clock.aheadMs += 1_000_000;
    it.cloud.failNext("AssumeRole", "reset", 6);
    for (let i = 0; i < 2; i++) await it.ask(pull("fresh"));
    expect(await value(it, 'acr_broker_upstream_circuit_open{api="AssumeRole"}')).toBe(1);

    expect(await value(it, 'acr_broker_upstream_errors_total{api="AssumeRole",code="ECONNRESET"}')).toBe(2);
    const calls = await value(it, 'acr_broker_upstream_duration_seconds_count{api="AssumeRole"}');
    expect(await living()).toBe(200);
    expect(await value(it, 'acr_broker_credentials_total{cache="outage_hit"}')).toBe(1);
    expect(await value(it, 'acr_broker_upstream_duration_seconds_count{api="AssumeRole"}')).toBe(calls);
    it.clock.aheadMs += 5_000;
    expect((await it.ask(pull("fresh"))).status).toBe(200);
    expect(await value(it, 'acr_broker_upstream_circuit_open{api="AssumeRole"}')).toBe(0);
  });

  test("who asks too often", async () => {
    const token = await it.mint({ sub: "limited" });
    for (let i = 0; i < 9; i++) await it.request("/v1/whoami", { headers: { authorization: `Bearer ${token}` } });
    expect(await value(it, 'acr_broker_rate_limited_total{limit="caller"}')).toBe(1);
  });
});

describe("what a stranger learns", () => {
  test("neither grants nor issuers nor callers, unless the policy says that it may", async () => {
    for (const from of [h, named]) {
      await from.ask(pull("secret-repository"), await from.mint());
      await from.ask(pull("app"), await from.mint({ ref: "refs/heads/evil" }));
    }
    expect(await metrics(h)).not.toMatch(/web-main|base-pull|"ci"|quiet|job|secret-repository|acs:ram/);
    expect(await value(named, 'acr_broker_grant_decisions_total{grant="web-main",outcome="issued"}')).toBeGreaterThan(
      0,
    );
    expect(await metrics(named)).toMatch(/^acr_broker_jwks_age_seconds\{issuer="ci"\} /m);
    expect(await metrics(named)).not.toMatch(/job|secret-repository|acs:ram/);
  });

  test("nothing where the policy says that there is no such endpoint", async () => {
    expect((await off.request("/metrics")).status).toBe(404);
  });
});

test("names that a caller chooses make no series: paths, methods, request ids, claims", async () => {
  const series = async () =>
    (await metrics(h)).split("\n").filter((line) => /^acr_broker_(requests|decisions)_total/.test(line)).length;
  const hostile = async (i: number) => {
    await h.request(`/hostile-${i}?token=hostile-${i}`, { method: `HOSTILE${i}` });
    await h.ask(pull(`hostile-${i}`), await h.mint({ sub: `hostile-${i}` }), { "x-request-id": `hostile-${i}` });
  };
  await hostile(0);
  await metrics(h);
  const before = await series();
  for (let i = 1; i <= 20; i++) await hostile(i);
  expect(await series()).toBe(before);
  // What middleware is of is no route.
  await h.request("/*");
  expect(await metrics(h)).not.toMatch(/hostile|route="\/\*"/i);
});

describe.runIf(haveTools(["promtool"]))("Prometheus itself", () => {
  test.each(["without names", "with names"])("finds nothing wrong with the text, %s", async (which) => {
    const input = await metrics(which === "with names" ? named : h);
    const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], { input, encoding: "utf8" });
    expect([status, stdout, stderr]).toEqual([0, "", ""]);
  });

  test("does find what is wrong", async () => {
    const input = (await metrics(h)).replace(/^# HELP acr_broker_requests_total .*\n/m, "");
    expect(spawnSync("promtool", ["check", "metrics"], { input, encoding: "utf8" }).status).not.toBe(0);
  });
});

describe("docs/monitoring.md", () => {
  const page = readFileSync(new URL("../../docs/monitoring.md", import.meta.url), "utf8");

  test("has each metric, but those of Redis, of traces and of the audit sink, and each has a row", async () => {
    const rows = [...page.matchAll(/^\| `((?:acr_broker|process)_\w+)` \|/gm)].map(([, name]) => name);
    const made = [...(await metrics(named)).matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name);
    const others = ["acr_broker_audit_sink_up", "acr_broker_redis_available", "acr_broker_spans_dropped_total"];
    expect([...made, ...others].sort()).toEqual(rows.sort());
  });

  test("counts the log's lines to what the metrics say", async () => {
    const [, count = ""] = /# acr_broker_credentials_total\n(.*)\n```/.exec(page) ?? [];
    const lines = h
      .logged()
      .map((event) => JSON.stringify(event))
      .join("\n");
    const { stdout } = spawnSync("sh", ["-c", count.replace("broker.log", "")], { input: lines, encoding: "utf8" });
    const [, made = ""] = /(\d+) miss/.exec(stdout) ?? [];
    expect(Number(made)).toBe(await value(h, 'acr_broker_credentials_total{cache="miss"}'));
    expect(Number(made)).toBeGreaterThan(0);
  });
});
