/** monitoring/alerts.yaml by Prometheus' own tools, and what docs/monitoring.md says of each alert. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { haveTools } from "../e2e/tools.ts";
import { blocksOf } from "../markdown.ts";

const FOLDER = new URL("../../monitoring/", import.meta.url).pathname;
const text = readFileSync(join(FOLDER, "alerts.yaml"), "utf8");
const page = readFileSync(new URL("../../docs/monitoring.md", import.meta.url), "utf8");
const { groups } = parse(text) as {
  groups: { rules: { alert?: string; annotations?: { runbook: string }; labels?: { severity: string } }[] }[];
};
const alerts = groups.flatMap(({ rules }) => rules).filter(({ alert }) => alert !== undefined);
const names = alerts.map(({ alert = "" }) => alert);
const { tests, ...rest } = parse(readFileSync(join(FOLDER, "alerts.test.yaml"), "utf8")) as {
  tests: { name: string; alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
};

function promtool(folder: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync("promtool", args, { cwd: folder, encoding: "utf8" });
  return { status, said: stdout + stderr };
}

describe.runIf(haveTools(["promtool"]))("promtool", () => {
  test("finds nothing wrong with the rules", () => {
    expect(promtool(FOLDER, "check", "rules", "alerts.yaml")).toMatchObject({ status: 0 });
  });

  test("takes the configuration that the documentation shows", () => {
    const shown = blocksOf(page).find(({ name }) => name === "prometheus.yml")?.text ?? "";
    const folder = mkdtempSync(join(tmpdir(), "alerts-"));
    writeFileSync(join(folder, "prometheus.yml"), shown);
    writeFileSync(join(folder, "alerts.yaml"), text);
    expect(promtool(folder, "check", "config", "prometheus.yml")).toMatchObject({ status: 0 });
    rmSync(folder, { recursive: true });
  });

  test("sees each alert fire when it should, and not when it should not", () => {
    const { status, said } = promtool(FOLDER, "test", "rules", "alerts.test.yaml");
    expect(status, said).toBe(0);
    // It keeps each test's series on disk.
  }, 60_000);

  test("sees that a rule with another threshold is another rule", () => {
    const folder = mkdtempSync(join(tmpdir(), "alerts-"));
    const ofOne = tests.filter(({ name }) => name.startsWith("AcrBrokerFailing: "));
    writeFileSync(join(folder, "alerts.test.yaml"), stringify({ ...rest, tests: ofOne }));
    for (const [threshold, other] of [
      ["> 0.05", "> 0.5"],
      ["> 0.05", "> 0.005"],
    ] as const) {
      writeFileSync(join(folder, "alerts.yaml"), text.replace(threshold, other));
      expect(promtool(folder, "test", "rules", "alerts.test.yaml").said).toContain("name: AcrBrokerFailing: ");
    }
    rmSync(folder, { recursive: true });
  });
});

test("each alert is seen to fire, and not to", () => {
  const seen = (fires: boolean) =>
    new Set(
      tests
        .flatMap(({ alert_rule_test }) => alert_rule_test)
        .filter(({ exp_alerts }) => exp_alerts.length > 0 === fires)
        .map(({ alertname }) => alertname),
    );
  expect([...seen(true)].sort()).toEqual([...names].sort());
  expect([...seen(false)].sort()).toEqual([...names].sort());
});

test("docs/monitoring.md has a section for each alert, which it points to, and for no other", () => {
  const sections = [...page.matchAll(/^### (AcrBroker\w+)$/gm)].map(([, name]) => name);
  expect(sections).toEqual(names);
  expect(alerts.map(({ annotations }) => annotations?.runbook)).toEqual(
    names.map((name) => `docs/monitoring.md#${name.toLowerCase()}`),
  );
  for (const { alert, labels } of alerts) {
    const section = page.split(`### ${alert}\n`)[1] ?? "";
    expect(section.trimStart()).toMatch(new RegExp(`^\\*${labels?.severity}\\.\\* `));
  }
});
