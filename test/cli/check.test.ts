/** `acr-broker check` as a process. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig } from "../../shared/config/load.ts";
import { acrBroker, ROOT } from "./run.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "check-"));
  writeFileSync(join(folder, "broken.yaml"), "version: 2\naudience: https://a.example\nregistrys: {}\n");
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("a policy that loads", () => {
  const { digest } = loadConfig(join(ROOT, "broker.yaml"));

  test("is answered with its digest and counts, and exit code 0", () => {
    const { code, out, told } = acrBroker(["check", "broker.yaml"]);
    expect({ code, told }).toEqual({ code: 0, told: "" });
    expect(out).toContain("broker.yaml: loads: 1 registry, 2 issuers, 3 grants, 0 denials, 0 API keys\n");
    expect(out).toContain(`policy digest ${digest}\n`);
  });

  test("is found by --config, by $BROKER_CONFIG, or as ./broker.yaml", () => {
    for (const ran of [
      acrBroker(["check"]),
      acrBroker(["check", "--config", join(ROOT, "broker.yaml")], { cwd: folder }),
      acrBroker(["check"], { cwd: folder, environment: { BROKER_CONFIG: join(ROOT, "broker.yaml") } }),
    ]) {
      expect(ran.code).toBe(0);
      expect(ran.out).toContain(digest);
    }
    expect(acrBroker(["check"], { cwd: folder }).out).toContain("broker.yaml:1:1: error: cannot be read (ENOENT)");
  });

  test("is one object with --json", () => {
    const report = JSON.parse(acrBroker(["check", "--json"]).out);
    expect(report).toMatchObject({
      file: "broker.yaml",
      loads: true,
      policy_digest: digest,
      counts: { registries: 1, issuers: 2, grants: 3, denials: 0, api_keys: 0 },
    });
  });
});

describe("a policy that does not", () => {
  test("has every problem on a line of its own that begins with its place, and exit code 1", () => {
    const { code, out, told } = acrBroker(["check", "broken.yaml"], { cwd: folder });
    expect({ code, told }).toEqual({ code: 1, told: "" });
    const lines = out.trimEnd().split("\n");
    expect(lines.at(-1)).toMatch(/^broken\.yaml: \d+ problems; the broker would not start$/);
    for (const line of lines.slice(0, -1)) expect(line).toMatch(/^broken\.yaml:\d+:\d+: error: /);
    expect(out).toContain("broken.yaml:3:1: error: registrys: is not known here; did you mean registries?");
  });

  test("is the same in JSON", () => {
    const { code, out } = acrBroker(["check", "broken.yaml", "--json"], { cwd: folder });
    const { loads, findings } = JSON.parse(out);
    expect({ code, loads }).toEqual({ code: 1, loads: false });
    expect(findings).toContainEqual({
      rule: "config",
      severity: "error",
      file: "broken.yaml",
      line: 3,
      column: 1,
      message: expect.stringContaining("did you mean registries?"),
    });
  });

  test("is a SARIF log that a code review can show at its lines", () => {
    const { code, out } = acrBroker(["check", "./broken.yaml", "--format", "sarif"], { cwd: folder });
    expect(code).toBe(1);
    const log = JSON.parse(out);
    // What the standard requires (SARIF 2.1.0, sections 3.13, 3.14, 3.27), and GitHub besides.
    expect(log).toMatchObject({ $schema: expect.stringContaining("2.1.0"), version: "2.1.0" });
    const [run] = log.runs;
    expect(run.tool.driver).toMatchObject({ name: "acr-broker", rules: [{ id: "config" }] });
    expect(run.results.length).toBeGreaterThan(2);
    for (const result of run.results) {
      expect(run.tool.driver.rules[result.ruleIndex].id).toBe(result.ruleId);
      expect(["error", "warning", "note"]).toContain(result.level);
      expect(result.message.text).not.toBe("");
      const { artifactLocation, region } = result.locations[0].physicalLocation;
      expect(artifactLocation.uri).toBe("broken.yaml");
      expect(region.startLine).toBeGreaterThan(0);
      expect(region.startColumn).toBeGreaterThan(0);
    }
  });
});

describe("a shadow policy", () => {
  const good = readFileSync(join(ROOT, "broker.yaml"), "utf8");
  const shadowed = (shadow: string, next?: string) => {
    const folder = mkdtempSync(join(tmpdir(), "check-shadow-"));
    try {
      writeFileSync(join(folder, "broker.yaml"), `${good}shadow: ${shadow}\n`);
      if (next !== undefined) writeFileSync(join(folder, "next.yaml"), next);
      return acrBroker(["check"], { cwd: folder });
    } finally {
      rmSync(folder, { recursive: true });
    }
  };

  test.each<[string, string, string | undefined, RegExp]>([
    [
      "that is not there",
      "./gone.yaml",
      undefined,
      /^broker\.yaml:\d+:9: error: shadow: "\.\/gone\.yaml" is not there/m,
    ],
    [
      "that does not load",
      "next.yaml",
      "version: 2\n",
      /shadow: "next\.yaml" does not load: \d+ problems, first next\.yaml:1:/,
    ],
    ["that is the policy itself", "./broker.yaml", undefined, /is this policy itself; name another/],
  ])("%s is an error at its line", (_, shadow, next, says) => {
    const { code, out } = shadowed(shadow, next);
    expect(code).toBe(1);
    expect(out).toMatch(says);
  });

  test("that loads is no finding", () => {
    expect(shadowed("next.yaml", good)).toMatchObject({ code: 0, out: expect.not.stringContaining("shadow") });
  });
});
