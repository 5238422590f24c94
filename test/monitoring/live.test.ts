/**
 * The dashboard and the alerts against a broker that has served, scraped by a real Prometheus: each metric, label and value that they
 * name is there, and each query is answered.
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { type Harness, policy, startHarness } from "../broker/harness.ts";
import { haveTools } from "../e2e/tools.ts";
import { freePort, type RedisServer, startRedisServer } from "../store/redis-server.ts";

const FOLDER = new URL("../../monitoring/", import.meta.url).pathname;
const ROOT = new URL("../../", import.meta.url).pathname;
const json = readFileSync(join(FOLDER, "dashboard.json"), "utf8");

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const { panels, templating } = JSON.parse(json) as {
  panels: Panel[];
  templating: { list: { name: string; type: string; query: unknown }[] };
};
const queries = panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr, legendFormat }) => ({
    title,
    legendFormat,
    expr: expr.replaceAll("$__rate_interval", "1m").replaceAll("$job", "broker"),
  })),
);
const { groups } = parse(readFileSync(join(FOLDER, "alerts.yaml"), "utf8")) as {
  groups: { rules: { alert?: string; record?: string; expr: string }[] }[];
};
const rules = groups.flatMap((group) => group.rules);
const expressions = [...queries.map(({ expr }) => expr), ...rules.map(({ expr }) => expr)];

/** Prometheus gives each series these. */
const SCRAPED = ["job", "instance"];

describe.runIf(haveTools(["prometheus", "redis-server"]))("a Prometheus that scrapes a broker with traffic", () => {
  let h: Harness;
  let redis: RedisServer;
  let prometheus: ChildProcess;
  let url: string;
  const folder = mkdtempSync(join(tmpdir(), "prometheus-"));

  /** Whatever the queries look for has happened at least once. */
  async function traffic(): Promise<void> {
    const want = (repository: string) => ({ registry: "prod", scope: [`repository:${repository}:pull`] });
    const app = want("web/app");
    const token = await h.mint();
    await h.ask(app, token);
    await h.ask(app, token);
    await h.ask(app, await h.mint({ ref: "refs/heads/evil" }));
    await h.ask(app, await h.mint({ sub: "evil" }));
    await h.ask(app, await h.mint({ sub: "untrusting" }));
    await h.ask(app, await h.mint({ iss: "http://127.0.0.1:2" }));
    await h.ask(app, await h.mint({ iss: "https://untrusted.example.com" }));
    await h.ask(app, await h.mint({ aud: "https://elsewhere.example.com" }));
    for (const bad of ["a.b.c", "abk_nobody_1", "acs1.e30"]) await h.ask(app, bad);
    await h.ask(want(`web/${crypto.randomUUID()}`));
    const exchange = new URLSearchParams({ subject_token: token });
    await h.request("/oauth2/token", { method: "POST", body: exchange });
    const often = { authorization: `Bearer ${await h.mint({ sub: "often" })}` };
    for (let i = 0; i < 12; i++) await h.request("/v1/token?registry=prod", { method: "POST", headers: often });
  }

  async function api<Data>(path: string): Promise<{ status: string; error?: string; data: Data }> {
    return (await (await fetch(`${url}/api/v1/${path}`)).json()) as { status: string; error?: string; data: Data };
  }

  async function query(expr: string) {
    const answer = await api<{ result: { metric: Record<string, string>; value: [number, string] }[] }>(
      `query?query=${encodeURIComponent(expr)}`,
    );
    return { error: answer.error, result: answer.data?.result ?? [] };
  }

  /** Prometheus tells nobody when it has scraped. */
  async function until(expr: string): Promise<void> {
    while ((await query(expr)).result.length === 0) await sleep(50);
  }

  beforeAll(async () => {
    redis = await startRedisServer();
    h = await startHarness({
      policy: (cloud, issuer) =>
        `${policy(cloud, issuer)}metrics: { names: true }\nlimits: { caller_per_minute: 10 }\nredis: { host: 127.0.0.1, port: ${redis.port}, tls: false }\n`,
      environment: (keys) => ({ ...keys, ACR_BROKER_BLOCK: "subject ci evil" }),
      redisLimitMs: 2_000,
    });
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const target = { job_name: "broker", static_configs: [{ targets: [new URL(h.url).host] }] };
    const config = {
      global: { scrape_interval: "200ms", scrape_timeout: "200ms", evaluation_interval: "200ms" },
      rule_files: [join(FOLDER, "alerts.yaml")],
      scrape_configs: [target],
    };
    // JSON is YAML.
    writeFileSync(join(folder, "prometheus.yml"), JSON.stringify(config));
    await traffic();
    prometheus = spawn(
      "prometheus",
      [
        `--config.file=${join(folder, "prometheus.yml")}`,
        `--storage.tsdb.path=${join(folder, "data")}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    await new Promise<void>((resolve, reject) => {
      prometheus.once("exit", (code) => reject(new Error(`prometheus ended with ${code}`)));
      createInterface(prometheus.stderr as NodeJS.ReadableStream).on("line", (line) => {
        if (line.includes("Server is ready")) resolve();
      });
    });
    await until("acr_broker_policy_info");
    await traffic();
    await until("changes(acr_broker_decisions_total{outcome='failed'}[1m]) > 0");
  });
  afterAll(async () => {
    await h?.close();
    await redis?.close();
    if (prometheus?.exitCode === null) {
      prometheus.kill();
      await once(prometheus, "exit");
    }
    rmSync(folder, { recursive: true, force: true });
  });

  test.each(queries)("$title: $expr", async ({ expr, legendFormat }) => {
    const { error, result } = await query(expr);
    expect(error).toBeUndefined();
    expect(result.length).toBeGreaterThan(0);
    const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = ""]) => label);
    for (const label of labels) expect(result.some(({ metric }) => metric[label] !== undefined)).toBe(true);
  });

  test("evaluates each rule", async () => {
    await until("job_instance:acr_broker_token_requests:rate5m > 0");
    const { data } = await api<{ groups: { rules: { name: string; health: string; lastError?: string }[] }[] }>(
      "rules",
    );
    const evaluated = data.groups.flatMap((group) => group.rules);
    expect(evaluated.map(({ name, health, lastError }) => [name, health, lastError])).toEqual(
      rules.map(({ alert, record }) => [alert ?? record, "ok", undefined]),
    );
  });

  test("the jobs to choose from are found", async () => {
    const asked = JSON.stringify(templating.list.find(({ name }) => name === "job")?.query);
    const [, metric, label] = /"label_values\((\w+), (\w+)\)"/.exec(asked) as RegExpExecArray;
    const { data } = await api<string[]>(`label/${label}/values?match[]=${metric}`);
    expect(data).toEqual(["broker"]);
  });

  test("each metric, label and value that a query names is one that the broker has", async () => {
    const series = parseSeries(await (await h.request("/metrics")).text());
    const recorded = new Set(rules.flatMap(({ record }) => (record === undefined ? [] : [record])));
    const missing: string[] = [];
    for (const expr of expressions) {
      const known = new Set([...SCRAPED, "le"]);
      for (const [, name = "", matchers = ""] of expr.matchAll(
        /\b((?:acr_broker|process|job_instance:)[\w:]+)(?:\{(.*?)\})?/g,
      )) {
        const labels = recorded.has(name) ? new Map<string, Set<string>>() : series.get(name);
        if (labels === undefined) missing.push(name);
        for (const label of labels?.keys() ?? []) known.add(label);
        for (const [, label = "", operator = "", value = ""] of matchers.matchAll(/(\w+)(=~|!=|=)"(.*?)"/g)) {
          if (SCRAPED.includes(label)) continue;
          const values = [...(labels?.get(label) ?? [])];
          const wanted = operator === "=~" ? value.split("|") : [value];
          for (const one of wanted) {
            if (!values.some((is) => new RegExp(`^(?:${one})$`).test(is))) missing.push(`${name}{${label}="${one}"}`);
          }
        }
      }
      for (const [, list = ""] of expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)) {
        for (const label of list.split(", ")) if (!known.has(label)) missing.push(`${label} in ${expr}`);
      }
    }
    expect(missing).toEqual([]);
  });
});

/** By name: each label, and the values that it has. */
function parseSeries(text: string): Map<string, Map<string, Set<string>>> {
  const found = new Map<string, Map<string, Set<string>>>();
  for (const [, name = "", labels = ""] of text.matchAll(/^(\w+)(?:\{(.*)\})? /gm)) {
    const known = found.get(name) ?? new Map<string, Set<string>>();
    found.set(name, known);
    for (const [, label = "", value = ""] of labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      known.set(label, (known.get(label) ?? new Set()).add(value));
    }
  }
  return found;
}

describe("the dashboard", () => {
  test("is one by Grafana's own types", () => {
    const folder = mkdtempSync(join(tmpdir(), "dashboard-"));
    // An enum of Grafana is, in the file, one of its texts.
    const plain =
      "type Plain<T> = T extends string ? `${T}` : T extends number | boolean ? T : T extends readonly (infer E)[] ? Plain<E>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;";
    const types = join(ROOT, "node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen");
    const check = (text: string) => {
      writeFileSync(
        join(folder, "dashboard.ts"),
        `import type { Dashboard } from ${JSON.stringify(types)};\n${plain}\nexport const it: Plain<Dashboard> = ${text};\n`,
      );
      const args = ["--noEmit", "--strict", "--skipLibCheck", "--ignoreConfig", "dashboard.ts"];
      return spawnSync(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), ...args], {
        cwd: folder,
        encoding: "utf8",
      }).stdout;
    };
    expect(check(json)).toBe("");
    expect(check(json.replace('"absolute"', '"absolut"'))).toContain("absolut");
    rmSync(folder, { recursive: true });
  });

  test("asks whatever Prometheus its user chooses", () => {
    expect(templating.list.map(({ name, type }) => [name, type])).toEqual([
      ["datasource", "datasource"],
      ["job", "query"],
    ]);
    expect(new Set(json.match(/"uid": "[^"]*"/g))).toEqual(
      new Set(['"uid": "${datasource}"', '"uid": "acr-token-broker"']),
    );
  });
});
