/** docs/clients/sdk.md does what it says: its examples run, its tables have all that there is. Needs `npm run build`. */

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as sdk from "../../shared/client/index.ts";
import { AUDIENCE, type RamHarness, startRamHarness } from "./ram-harness.ts";
import { json, type Played, serve } from "./servers.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const page = readFileSync(join(ROOT, "docs/clients/sdk.md"), "utf8");
const examples = [...page.matchAll(/^```js run\n(.*?)^```/gms)].map(([, text]) => text as string);

let h: RamHarness;
let vault: Played;
let folder: string;
beforeAll(async () => {
  h = await startRamHarness();
  vault = await serve(async (request, response) => {
    const aud = new URL(request.url ?? "", "http://vault").searchParams.get("audience");
    json(response, 200, { token: await h.mint({ aud }) });
  });
  folder = await mkdtemp(join(tmpdir(), "acr-doc-"));
  await mkdir(join(folder, "node_modules"));
  await symlink(ROOT, join(folder, "node_modules/acr-token-broker"));
});
afterAll(async () => {
  await h.close();
  await rm(folder, { recursive: true });
});

/** As it stands, but for the addresses of the broker and the vault. */
async function follow(example: string, environment: Record<string, string>): Promise<string> {
  const file = join(folder, "example.mjs");
  const text = example.replaceAll(AUDIENCE, h.url).replaceAll("http://127.0.0.1:8200", vault.url);
  await writeFile(file, text);
  const env = { PATH: process.env["PATH"], ...environment };
  return (await run(process.execPath, [file], { cwd: folder, env })).stdout;
}

const keys = () => ({
  ALIBABA_CLOUD_ACCESS_KEY_ID: h.builder.accessKeyId,
  ALIBABA_CLOUD_ACCESS_KEY_SECRET: h.builder.accessKeySecret,
  ALIBABA_CLOUD_SECURITY_TOKEN: h.builder.securityToken,
});

describe("the examples", () => {
  test("credentials with what is found", async () => {
    const printed = await follow(examples[0] as string, { ACR_BROKER_TOKEN: await h.mint() });
    expect(printed).toMatch(/^cr_temp_user at acme-registry\.cn-hangzhou\.cr\.aliyuncs\.com until \d{4}-.*Z\n$/);
  });

  test("the line that shows whether it works", async () => {
    const [, line = ""] = /^```sh run\n(.*?)^```/ms.exec(page) ?? [];
    const env = { PATH: process.env["PATH"], ACR_BROKER_TOKEN: await h.mint() };
    const { stdout } = await run("bash", ["-euc", line.replaceAll(AUDIENCE, h.url)], { cwd: folder, env });
    expect(stdout).toMatch(/^Credentials \{\n {2}username: 'cr_temp_user',/);
  });

  test("a function that fetches a token for the broker's audience", async () => {
    expect(await follow(examples[1] as string, {})).toBe("[ 'repository:web/*:pull,push' ]\n");
  });

  test("a refusal", async () => {
    const printed = await follow(examples[2] as string, { ACR_BROKER_TOKEN: await h.mint() });
    expect(printed).toMatch(/^ask for less: /);
  });

  test("a signature for Function Compute beside the identity", async () => {
    expect(await follow(examples[3] as string, keys())).toBe("[ 'builders' ]\n");
  });

  test("are all of them", () => {
    expect(examples.length).toBe(4);
  });
});

test("every function that the package exports is on the page", () => {
  const functions = Object.entries(sdk).filter(([, value]) => typeof value === "function");
  const missing = functions.map(([name]) => name).filter((name) => !page.includes(name));
  expect(missing).toEqual([]);
});

test("the page has the codes that there are, and no others", () => {
  const source = readFileSync(join(ROOT, "shared/client/errors.ts"), "utf8");
  const [, union = ""] = /export type ClientCode =([^;]+);/.exec(source) ?? [];
  const codes = [...union.matchAll(/"([a-z_]+)"/g)].map(([, code]) => code);
  const [, errors = ""] = page.split("## Errors");
  const rows = errors.split("\n## ")[0]?.matchAll(/^\|(?! class )[^|]*\| `([a-z_]+)` \|/gm) ?? [];
  expect([...rows].map(([, code]) => code).sort()).toEqual(codes.sort());
});

test("the page's order is the one in which identities are looked for", () => {
  const source = readFileSync(join(ROOT, "shared/client/identity/detect.ts"), "utf8");
  const [, body = ""] = source.split("export async function detectIdentity");
  const found = [
    ...body.matchAll(
      /\b(tokenVariable|tokenFile|githubActions|buildkite|circleci|kubernetes|environmentKeys|rrsa|ecsRole)\(/g,
    ),
  ];
  const rows = [...page.matchAll(/^\| \d \|.*\| `(?:signedIdentity\()?(\w+)\(/gm)];
  expect([...new Set(found.map(([, name]) => name))]).toEqual(rows.map(([, name]) => name));
});
