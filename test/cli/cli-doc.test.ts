/** docs/cli.md does what it says: every command in it runs, every option and field is in it. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { COMMANDS } from "../../cli/commands.ts";
import { policy } from "../broker/harness.ts";
import { plantCanaries } from "../canaries.ts";
import { type Played, serve } from "../client/servers.ts";
import { allUsed, given } from "./audit/events.ts";
import { type Caller, HOSTS, startCaller } from "./broker.ts";
import { ACR_BROKER, acrBroker, CREDENTIAL_HELPER, ROOT } from "./run.ts";

const page = readFileSync(join(ROOT, "docs/cli.md"), "utf8");
const CLAIMS = {
  iss: "https://token.actions.githubusercontent.com",
  repository_id: "123456",
  ref: "refs/heads/main",
  environment: "prod-eu",
};

let folder: string;
let call: Caller;
let registry: Played;
beforeAll(async () => {
  const challenge = { "www-authenticate": 'Bearer realm="https://auth.example"' };
  registry = await serve((_, response) => response.writeHead(401, challenge).end());
  call = await startCaller({
    policy: (cloudUrl, issuerUrl) =>
      policy(cloudUrl, issuerUrl).replace(`[${HOSTS.join(", ")}]`, `["${new URL(registry.url).host}"]`),
  });
  folder = mkdtempSync(join(tmpdir(), "cli-doc-"));
  mkdirSync(join(folder, "bin"));
  symlinkSync(ACR_BROKER, join(folder, "bin/acr-broker"));
  symlinkSync(CREDENTIAL_HELPER, join(folder, "bin/docker-credential-acr-broker"));
  for (const file of ["broker.yaml", "broker.test.yaml"]) copyFileSync(join(ROOT, file), join(folder, file));
  writeFileSync(join(folder, "claims.json"), JSON.stringify(CLAIMS));
  const ago = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString();
  const log = given(ago(100)) + given("2026-11-24T09:00:00Z") + allUsed(ago(0.1));
  mkdirSync(join(folder, "logs"));
  writeFileSync(join(folder, "broker.jsonl"), log);
  writeFileSync(join(folder, "logs/november.gz"), gzipSync(log));
  writeFileSync(join(folder, "build-and-push.sh"), '#!/bin/sh\ntest -s "$DOCKER_CONFIG/config.json"\n');
  chmodSync(join(folder, "build-and-push.sh"), 0o755);
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await call.close();
});

function blocks(language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(([, block]) => block as string);
}

async function shell(line: string): Promise<string> {
  const token = `eyJhbGciOiJSUzI1NiJ9.${Buffer.from(JSON.stringify(CLAIMS)).toString("base64url")}.c2lnbmF0dXJl`;
  const PATH = `${join(folder, "bin")}:${process.env["PATH"]}`;
  const child = spawn(
    "bash",
    ["-euo", "pipefail", "-c", line.replaceAll(HOSTS[0] as string, new URL(registry.url).host)],
    {
      cwd: folder,
      env: { ...(await call.environment()), PATH, TOKEN: token, HOME: folder },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const ended = once(child, "close");
  const [out, told, [code]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  expect(code, told).toBe(0);
  return out;
}

const lines = blocks("sh").flatMap((block) => block.trimEnd().split("\n"));

test.each(lines)("%s", async (line) => {
  await shell(line);
  if (line.includes("claims.json") && line.startsWith("echo")) {
    expect(JSON.parse(readFileSync(join(folder, "claims.json"), "utf8"))).toEqual(CLAIMS);
  }
  if (line.includes("nightly.key")) plantCanaries([readFileSync(join(folder, "nightly.key"), "utf8").trim()]);
});

test("the cases that it shows pass", async () => {
  const [cases] = blocks("yaml");
  writeFileSync(join(folder, "shown.test.yaml"), cases as string);
  expect(await shell("acr-broker test shown.test.yaml")).toContain("2 cases in 1 file: all pass");
});

describe("it names", () => {
  test.each(Object.entries(COMMANDS))("%s and its options", async (name, entry) => {
    expect(page).toContain(`## \`acr-broker ${name}\``);
    const sections = page.split(/^## /m);
    const own = sections.find((section) => section.startsWith(`\`acr-broker ${name}\``)) as string;
    // Options that several commands share.
    const section = own + sections.find((each) => each.startsWith("Asking the broker"));
    for (const option of Object.keys((await entry.load()).options)) {
      if (!["config", "json"].includes(option)) expect(section).toContain(`--${option}`);
    }
  });

  test("every field of every --json", async () => {
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
    const asked = async (command: string) => JSON.parse(await shell(`acr-broker ${command} --json`));
    const doctor = await asked("doctor");
    const client = [doctor, doctor.steps[0], await asked("login --grant web-main"), await asked("logout")];
    const ram = JSON.parse(acrBroker(["ram", "--json"]).out);
    const lacking = '{"Version":"1","Statement":[{"Effect":"Allow","Action":"cr:*","Resource":"*"}]}';
    writeFileSync(join(folder, "acr-web-less.json"), lacking);
    const checked = JSON.parse(
      acrBroker(["ram", "--json", "--check", join(folder, "acr-web-less.json")], { cwd: folder }).out,
    );
    const questions = ["", " --could-push web/app --at 2026-11-24 --config broker.yaml", " --unused-grants"];
    for (const question of [...questions, " --broader-grants"]) {
      const answer = await asked(`audit broker.jsonl${question}`);
      const parts = [answer, answer.log, ...(answer.given ?? []), ...(answer.held ?? []), ...(answer.may ?? [])];
      for (const field of parts.flatMap(Object.keys)) expect(page).toContain(`\`${field}\``);
    }
    const roles = [ram, ram.function_role, ram.roles[0], checked, checked.not_given[0], ...checked.findings];
    for (const field of [...client, ...roles].flatMap(Object.keys)) expect(page).toContain(`\`${field}\``);
  });
});
