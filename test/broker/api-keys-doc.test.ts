/** docs/callers/api-keys.md does what it says: its commands make keys, its YAML lets them in, its curl gets a password. */

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { plantCanaries } from "../canaries.ts";
import { DOCKER_LOGIN, stub } from "../stub.ts";
import { AUDIENCE, type Harness, startHarness } from "./harness.ts";

const run = promisify(execFile);
const ROOT = new URL("../../", import.meta.url).pathname;
const page = readFileSync(join(ROOT, "docs/callers/api-keys.md"), "utf8");

function block(info: string): string {
  const [, text] = new RegExp(`\`\`\`${info}\n(.*?)\`\`\``, "s").exec(page) ?? [];
  if (text === undefined) throw new Error(`no block ${info}`);
  return text;
}

let folder: string;
let h: Harness | undefined;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "api-keys-doc-"));
  // As if it were installed.
  stub(folder, "acr-broker", `exec ${ROOT}node_modules/.bin/tsx ${ROOT}cli/acr-broker.ts "$@"`);
  stub(folder, "docker", DOCKER_LOGIN);
});
afterEach(async () => {
  await h?.close();
  h = undefined;
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Shell lines of the page, as they stand but for the broker's URL, in the folder. */
async function follow(lines: string): Promise<string> {
  const script = lines.replace(/^BROKER=.*$/m, `BROKER=${h?.url}`);
  const environment = { PATH: `${folder}:${process.env["PATH"] ?? ""}`, HOME: folder };
  return (await run("bash", ["-euo", "pipefail", "-c", script], { cwd: folder, env: environment })).stdout;
}

function keyFile(): string {
  const key = readFileSync(join(folder, "nightly.key"), "utf8").trim();
  plantCanaries([key, key.slice(-64)]);
  return key;
}

type ApiKeys = Record<string, unknown>;

/** The page's example with these keys; `cloud` where it is to be served. */
function policy(apiKeys: ApiKeys, example = block("yaml broker"), cloud = "http://127.0.0.1:1"): string {
  return `version: 1
audience: ${AUDIENCE}
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com] }
alibaba: { sts_endpoint: "${cloud}", cr_endpoint: "${cloud}" }
${stringify({ ...parse(example), api_keys: apiKeys })}`;
}

async function serve(apiKeys: ApiKeys, example?: string): Promise<void> {
  h = await startHarness({ policy: (cloud) => policy(apiKeys, example, cloud) });
}

function expectPull(password: string): void {
  const login = h?.cloud.login("cr_temp_user", password.trim());
  expect([login?.allows("pull", "base/alpine"), login?.allows("push", "base/alpine")]).toEqual([true, false]);
}

async function check(text: string): Promise<string> {
  writeFileSync(join(folder, "broker.yaml"), text);
  return follow("acr-broker check broker.yaml");
}

describe("a key made as the page says", () => {
  test("with acr-broker opens what the page's grant gives, and check has nothing to say", async () => {
    await follow(block("sh make"));
    keyFile();
    expect(statSync(join(folder, "nightly.key")).mode & 0o077).toBe(0);
    const made = parse(readFileSync(join(folder, "nightly.yaml"), "utf8")) as ApiKeys;
    expect(Object.keys(made)).toEqual(Object.keys(parse(block("yaml broker")).api_keys));

    await serve(made);
    expectPull(await follow(block("sh use")));
    expect(await check(policy(made))).not.toMatch(/warning|note/);
  });

  test("with openssl does too", async () => {
    const sha256 = (await follow(block("sh openssl"))).trim();
    keyFile();
    await serve({ "nightly-1": { sha256, expires: "2099-01-01T00:00:00Z" } });
    expectPull(await follow(block("sh use")));
  });
});

test("while one takes the other's place, both open", async () => {
  await follow(block("sh make"));
  const first = keyFile();
  const made = parse(readFileSync(join(folder, "nightly.yaml"), "utf8")) as ApiKeys;
  await follow(block("sh make").replaceAll("nightly-1", "nightly-2"));
  Object.assign(made, parse(readFileSync(join(folder, "nightly.yaml"), "utf8")));
  const second = keyFile();
  const grant = block("yaml rotation").trim();
  const rotating = block("yaml broker").replace(/api_key: .*/, grant);

  await serve(made, rotating);
  for (const key of [first, second]) {
    writeFileSync(join(folder, "nightly.key"), key);
    expectPull(await follow(block("sh use")));
  }
  expect(first).not.toBe(second);
});

test("the header that the page names for a gateway is one that the broker takes", async () => {
  const key = { ...parse(block("yaml broker")).api_keys["nightly-1"], cidrs: ["198.51.100.7/32"] };
  expect(await check(policy({ "nightly-1": key }))).toContain("[api-key-without-address]");
  const told = await check(`${policy({ "nightly-1": key })}${block("yaml address")}`);
  expect(told).not.toContain("[api-key-without-address]");
});
