/**
 * The package as npm packs it, unpacked alone into an empty folder, and imported by its name: under each runtime that it is made for,
 * and by the compiler. Needs `npm run build`, and `npm run nodes` for the runtimes.
 */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createContext, runInContext } from "node:vm";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { build } from "esbuild";
import { publint } from "publint";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RamHarness, startRamHarness } from "./ram-harness.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

let h: RamHarness;
let folder: string;
let tarball: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "acr-consumer-"));
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: ROOT });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  tarball = join(folder, filename);
  const home = join(folder, "node_modules/acr-token-broker");
  await mkdir(home, { recursive: true });
  await run("tar", ["-xzf", tarball, "-C", home, "--strip-components=1"]);
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  await writeFile(join(folder, "consumer.mjs"), CONSUMER);
  h = await startRamHarness();
});
afterAll(async () => {
  await h?.close();
  await rm(folder, { recursive: true });
});

/** One exchange each: with what is detected, a file, and keys that sign. Prints all that printing shows. */
const CONSUMER = `
import { AcrBroker, environmentKeys, signedIdentity, tokenFile } from "acr-token-broker/client";
const url = process.env.BROKER;
for (const identity of [undefined, tokenFile("token"), signedIdentity(environmentKeys())]) {
  const broker = new AcrBroker(identity === undefined ? { url } : { url, identity });
  const credentials = await broker.credentials({ registry: "prod", scope: "repository:web/app:pull" });
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(credentials.password));
  const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (credentials.fingerprint !== "sha256:" + hex) throw new Error("another password");
  console.log(broker, credentials);
  console.log(JSON.stringify([broker, credentials]));
  console.log("granted by " + credentials.grants);
}
try {
  await new AcrBroker({ url, identity: "nonsense" }).credentials({ grant: "web-main" });
} catch (error) {
  console.log("refused with " + error.code + ", " + error.status);
}
`;

const runtimes: [name: string, path: string, args: string[]][] = [
  ["the Node that runs the tests", process.execPath, []],
  ["Node 22", ".nodes/node_modules/node-22/bin/node", []],
  ["Node 24", ".nodes/node_modules/node-24/bin/node", []],
  ["Deno", ".nodes/node_modules/deno/deno", ["run", "--no-prompt", "--allow-net", "--allow-env", "--allow-read"]],
  ["Bun", ".nodes/node_modules/bun/bin/bun", []],
];

for (const [name, path, args] of runtimes) {
  const program = path.startsWith("/") ? path : join(ROOT, path);
  const missing = !existsSync(program) && process.env["CI"] !== "true";
  if (missing) process.stderr.write(`SKIPPED: the SDK under ${name}; to run it: npm run nodes\n`);
  test.skipIf(missing)(`${name} imports it and gets credentials`, async () => {
    await writeFile(join(folder, "token"), await h.mint());
    const env = {
      PATH: process.env["PATH"],
      HOME: folder,
      DENO_NO_UPDATE_CHECK: "1",
      BROKER: h.url,
      ACR_BROKER_TOKEN: await h.mint(),
      ALIBABA_CLOUD_ACCESS_KEY_ID: h.builder.accessKeyId,
      ALIBABA_CLOUD_ACCESS_KEY_SECRET: h.builder.accessKeySecret,
      ALIBABA_CLOUD_SECURITY_TOKEN: h.builder.securityToken,
    };
    const { stdout, stderr } = await run(program, [...args, "consumer.mjs"], { cwd: folder, env });
    const shown = stdout + stderr;
    expect(h.cloud.secrets().some((secret) => shown.includes(secret))).toBe(false);
    expect(stdout.split("\n").filter((line) => /^(?:granted|refused)/.test(line))).toEqual([
      "granted by web-main",
      "granted by web-main",
      "granted by builders",
      "refused with invalid_token, 401",
    ]);
  });
}

describe("in a worker, where there are the web's globals and nothing else", () => {
  test("a bundler finds all of it, and it gets credentials", async () => {
    const entry = 'export * from "acr-token-broker/client";';
    const { outputFiles, warnings } = await build({
      stdin: { contents: entry, resolveDir: folder },
      bundle: true,
      write: false,
      platform: "browser",
      format: "iife",
      globalName: "sdk",
    });
    expect(warnings).toEqual([]);
    const { TextEncoder, TextDecoder, URL, URLSearchParams, AbortController, AbortSignal, Headers, Response } =
      globalThis;
    const web = { TextEncoder, TextDecoder, URL, URLSearchParams, AbortController, AbortSignal, Headers, Response };
    const functions = { fetch, crypto, performance, setTimeout, clearTimeout, btoa };
    const context = createContext({ ...web, ...functions, url: h.url, token: await h.mint(), keys: h.builder });
    runInContext(outputFiles[0]?.text ?? "", context);
    const script = `(async () => {
      const grants = [];
      for (const identity of [token, sdk.signedIdentity(sdk.ramKeys(keys))]) {
        const broker = new sdk.AcrBroker({ url, identity });
        grants.push(...(await broker.credentials({ registry: "prod", scope: "repository:web/app:pull" })).grants);
      }
      await new sdk.AcrBroker({ url, identity: sdk.tokenFile("/token") }).credentials({ grant: "web-main" }).catch((error) => grants.push(error.message));
      return grants;
    })()`;
    expect([...((await runInContext(script, context)) as string[])]).toEqual([
      "web-main",
      "builders",
      "the token file /token could not be read: this runtime could not read it",
    ]);
  });
});

describe("its types", () => {
  const USER = `
    import { AcrBroker, AcrBrokerError, githubActions, type Credentials } from "acr-token-broker/client";
    const broker = new AcrBroker({ url: "https://acr-broker.example.com", identity: githubActions() });
    const credentials: Credentials = await broker.credentials({ registry: "prod", scope: ["repository:web/app:pull"] });
    const password: string = credentials.password;
    try {
      await broker.credentials({ grant: "web-main", minTtl: 600, signal: AbortSignal.timeout(1000) });
    } catch (error) {
      if (error instanceof AcrBrokerError && error.code === "access_denied") throw password;
    }
    // @ts-expect-error: there is no such field
    await broker.credentials({ scopes: ["repository:web/app:pull"] });
    // @ts-expect-error: seconds are a number
    await broker.credentials({ grant: "web-main", ttl: "900" });
    export {};
  `;

  test.each(["NodeNext", "Bundler"])(
    "are whole, and need nobody else's (moduleResolution %s)",
    async (moduleResolution) => {
      await writeFile(join(folder, "user.ts"), USER);
      const compilerOptions = {
        strict: true,
        exactOptionalPropertyTypes: true,
        target: "ES2022",
        module: moduleResolution === "NodeNext" ? "NodeNext" : "ESNext",
        moduleResolution,
        lib: ["ES2022", "DOM"],
        types: [],
        noEmit: true,
        skipLibCheck: false,
      };
      await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["user.ts"] }));
      const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
      const { stdout } = await run(process.execPath, [tsc, "-p", folder]).catch((error: { stdout: string }) => error);
      expect(stdout).toBe("");
    },
  );
});

test("it has the SDK with its types, the two commands, and the papers: no source, no test, nothing of the sandbox", async () => {
  const { stdout } = await run("tar", ["-tzf", tarball]);
  const names = stdout.trim().split("\n");
  const types = names.filter((name) => name.startsWith("package/build/types/"));
  expect(
    types.filter((name) => !/^package\/build\/types\/(?:client\/(?:[\w-]+\/)*[\w-]+|error)\.d\.ts$/.test(name)),
  ).toEqual([]);
  expect(names.filter((name) => !types.includes(name)).sort()).toEqual(
    [
      "LICENSE",
      "README.md",
      "build/THIRD-PARTY-LICENSES",
      "build/acr-broker.cjs",
      "build/client.js",
      "build/docker-credential-acr-broker.cjs",
      "build/sbom.cdx.json",
      "package.json",
    ].map((name) => `package/${name}`),
  );
  const { inputs } = JSON.parse(await readFile(join(ROOT, "build/build.meta.json"), "utf8")) as { inputs: object };
  const foreign = Object.keys(inputs).filter((file) => !/^(?:node_modules|cli|shared)\/|^package\.json$/.test(file));
  expect(foreign).toEqual([]);
});

describe("by those who check packages", () => {
  const tarred = async () => {
    const bytes = await readFile(tarball);
    // A buffer of its own: what a Buffer is made of may be a part of a larger one.
    return new Uint8Array(bytes).buffer;
  };

  test("publint has nothing to say of it", async () => {
    const { messages, pkg } = await publint({ pack: { tarball: await tarred() }, strict: true });
    expect([pkg?.["name"], messages]).toEqual(["acr-token-broker", []]);
  });

  test("attw finds its types for whoever imports ES modules, and that nobody else can import it", async () => {
    const checked = await checkPackage(createPackageFromTarballData(new Uint8Array(await tarred())));
    if (checked.types === false) throw new Error("no types");
    expect(
      checked.problems.map((problem) => [problem.kind, "resolutionKind" in problem && problem.resolutionKind]),
    ).toEqual([
      ["NoResolution", "node10"],
      ["CJSResolvesToESM", "node16-cjs"],
    ]);
    const { node10, ...modern } = checked.entrypoints["./client"]?.resolutions ?? {};
    expect(node10?.resolution).toBeUndefined();
    for (const { resolution } of Object.values(modern))
      expect(resolution?.fileName).toMatch(/build\/types\/client\/index\.d\.ts$/);
  });
});

test("npm install brings it alone, from no registry, and its two commands run", async () => {
  const empty = join(folder, "installed");
  await mkdir(empty);
  await writeFile(join(empty, "package.json"), "{}");
  const env = { PATH: process.env["PATH"], HOME: empty };
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball], { cwd: empty, env });
  const installed = await readdir(join(empty, "node_modules"));
  expect(installed.filter((name) => !name.startsWith("."))).toEqual(["acr-token-broker"]);
  const ask = async (command: string, ...args: string[]) =>
    (await run(join(empty, "node_modules/.bin", command), args, { cwd: empty, env })).stdout;
  expect(await ask("docker-credential-acr-broker", "version")).toMatch(/^docker-credential-acr-broker /);
  // Whatever a command loads only when it runs is there too: its help loads its file.
  const help = await ask("acr-broker", "--help");
  const commands = [...help.matchAll(/^ {2}(\S+(?: \S+)?) {2,}/gm)].map(([, name = ""]) => name);
  expect(commands).toContain("key new");
  for (const name of commands)
    expect(await ask("acr-broker", ...name.split(" "), "--help")).toContain(`acr-broker ${name}`);
  await copyFile(join(ROOT, "broker.yaml"), join(empty, "broker.yaml"));
  expect(await ask("acr-broker", "check")).toContain("policy digest");
});

test("it brings no other module, and is small", async () => {
  const text = await readFile(join(folder, "node_modules/acr-token-broker/build/client.js"), "utf8");
  expect(text.match(/^\s*(?:import\s|export .* from|.*\brequire\()/gm)).toBeNull();
  expect(text.length).toBeLessThan(60_000);
});
