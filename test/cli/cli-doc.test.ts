/** docs/cli.md does what it says: every command in it runs, every option and field is in it. */

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { COMMANDS } from "../../cli/commands.ts";
import { plantCanaries } from "../canaries.ts";
import { ACR_BROKER, acrBroker, ROOT } from "./run.ts";

const page = readFileSync(join(ROOT, "docs/cli.md"), "utf8");
const CLAIMS = {
  iss: "https://token.actions.githubusercontent.com",
  repository_id: "123456",
  ref: "refs/heads/main",
  environment: "prod-eu",
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cli-doc-"));
  mkdirSync(join(folder, "bin"));
  symlinkSync(ACR_BROKER, join(folder, "bin/acr-broker"));
  for (const file of ["broker.yaml", "broker.test.yaml"]) copyFileSync(join(ROOT, file), join(folder, file));
  writeFileSync(join(folder, "claims.json"), JSON.stringify(CLAIMS));
});
afterAll(() => rmSync(folder, { recursive: true }));

function blocks(language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(([, text]) => text as string);
}

function shell(line: string): string {
  const token = `eyJhbGciOiJSUzI1NiJ9.${Buffer.from(JSON.stringify(CLAIMS)).toString("base64url")}.c2lnbmF0dXJl`;
  const PATH = `${join(folder, "bin")}:${process.env["PATH"]}`;
  return execFileSync("bash", ["-euo", "pipefail", "-c", line], {
    cwd: folder,
    env: { PATH, TOKEN: token },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
}

const lines = blocks("sh").flatMap((text) => text.trimEnd().split("\n"));

test.each(lines)("%s", (line) => {
  shell(line);
  if (line.includes("claims.json") && line.startsWith("echo")) {
    expect(JSON.parse(readFileSync(join(folder, "claims.json"), "utf8"))).toEqual(CLAIMS);
  }
  if (line.includes("nightly.key")) plantCanaries([readFileSync(join(folder, "nightly.key"), "utf8").trim()]);
});

test("the cases that it shows pass", () => {
  const [cases] = blocks("yaml");
  writeFileSync(join(folder, "shown.test.yaml"), cases as string);
  expect(shell("acr-broker test shown.test.yaml")).toContain("2 cases in 1 file: all pass");
});

describe("it names", () => {
  test.each(Object.entries(COMMANDS))("%s and its options", async (name, entry) => {
    expect(page).toContain(`## \`acr-broker ${name}\``);
    const section = page.split(/^## /m).find((text) => text.startsWith(`\`acr-broker ${name}\``)) as string;
    for (const option of Object.keys((await entry.load()).options)) {
      if (!["config", "json"].includes(option)) expect(section).toContain(`--${option}`);
    }
  });

  test("every field of every --json", () => {
    const check = JSON.parse(acrBroker(["check", "--json"]).out);
    const run = JSON.parse(acrBroker(["test", "--json"]).out);
    const explain = JSON.parse(
      acrBroker(["explain", "--claims", "-", "--grant", "web-main", "--json"], { input: JSON.stringify(CLAIMS) }).out,
    );
    const api = readFileSync(join(ROOT, "docs/api.md"), "utf8");
    for (const field of [
      ...Object.keys(check),
      ...Object.keys(check.counts),
      ...Object.keys(run),
      ...Object.keys(run.cases[0]),
    ]) {
      expect(page).toContain(`\`${field}\``);
    }
    const [grant] = explain.grants;
    const fields = [explain, grant, grant.conditions[0], explain.lifetime, explain.session_policy].flatMap(Object.keys);
    for (const field of fields) expect(page + api).toContain(`\`${field}\``);
  });
});
