/** docs/callers/alibaba.md does what it says: its grant loads, its scripts make identities that get credentials. */

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { assume, type Keys } from "../sandbox/raw-call.ts";
import { addRole, DEFAULT_ACCOUNT, trust } from "../sandbox/world.ts";
import { DOCKER_LOGIN, stub } from "../stub.ts";
import { AUDIENCE, type Harness, startHarness } from "./harness.ts";

const run = promisify(execFile);
const ROOT = new URL("../../", import.meta.url);
const page = readFileSync(new URL("docs/callers/alibaba.md", ROOT), "utf8");

function block(info: string): string {
  const [, text] = new RegExp(`\`\`\`${info}\n(.*?)\`\`\``, "s").exec(page) ?? [];
  if (text === undefined) throw new Error(`no block ${info}`);
  return text;
}

let folder: string;
let h: Harness;
let builder: Required<Keys>;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "alibaba-doc-"));
  stub(folder, "docker", DOCKER_LOGIN);
  h = await startHarness({
    policy: (cloud) => `version: 1
audience: ${AUDIENCE}
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "${DEFAULT_ACCOUNT}", endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com] }
alibaba: { sts_endpoint: "${cloud}", cr_endpoint: "${cloud}" }
${block("yaml broker")}`,
  });
  const userArn = `acs:ram::${DEFAULT_ACCOUNT}:user/tester`;
  addRole(h.cloud.world, { accountId: DEFAULT_ACCOUNT, name: "ci-builder", trust: trust({ RAM: userArn }) });
  const RoleArn = `acs:ram::${DEFAULT_ACCOUNT}:role/ci-builder`;
  builder = await assume(h.cloud, h.cloud.userKeys(userArn), { RoleArn, RoleSessionName: "job-42" });
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await h.close();
});

const keysInEnvironment = () => ({
  ALIBABA_CLOUD_ACCESS_KEY_ID: builder.accessKeyId,
  ALIBABA_CLOUD_ACCESS_KEY_SECRET: builder.accessKeySecret,
  ALIBABA_CLOUD_SECURITY_TOKEN: builder.securityToken,
});

/** The page's shell lines as they stand, but for the broker's URL and which script they run; what Docker got. */
async function follow(environment: Record<string, string>, script = "acs1.mjs"): Promise<string> {
  const lines = block("sh acr-login.sh")
    .replace(/^BROKER=.*$/m, `BROKER=${h.url}`)
    .replace("acs1.mjs", script);
  const options = { cwd: ROOT, env: { PATH: `${folder}:${process.env["PATH"] ?? ""}`, ...environment } };
  return (await run("bash", ["-euc", lines], options)).stdout;
}

function expectPull(password: string): void {
  const login = h.cloud.login("cr_temp_user", password.trim());
  expect([login?.allows("pull", "web/app"), login?.allows("push", "web/app")]).toEqual([true, false]);
}

test("the page's curl gets a password, with keys from the environment", async () => {
  expectPull(await follow(keysInEnvironment()));
});

test("with the vendor's packages", async () => {
  expectPull(await follow(keysInEnvironment(), "acs1-sdk.mjs"));
});

test("with the keys of an ECS instance's role", async () => {
  const roles = "/latest/meta-data/ram/security-credentials/";
  const metadata = createServer((request, response) => {
    if (request.method === "PUT" && request.url === "/latest/api/token") return response.end("metadata-session");
    if (request.headers["x-aliyun-ecs-metadata-token"] !== "metadata-session") return response.writeHead(403).end();
    if (request.url === roles) return response.end("ci-builder");
    if (request.url !== `${roles}ci-builder`) return response.writeHead(404).end();
    return response.end(
      JSON.stringify({
        Code: "Success",
        AccessKeyId: builder.accessKeyId,
        AccessKeySecret: builder.accessKeySecret,
        SecurityToken: builder.securityToken,
      }),
    );
  });
  await new Promise<void>((resolve) => metadata.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = metadata.address() as AddressInfo;
    expectPull(await follow({ ECS_METADATA_URL: `http://127.0.0.1:${port}` }));
  } finally {
    metadata.closeAllConnections();
    metadata.close();
  }
});
