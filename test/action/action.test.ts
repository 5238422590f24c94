/**
 * The GitHub action as its runner runs it: main and post as processes, with inputs and state in the environment and commands in files,
 * a token service that gives out an issuer's tokens, and a broker with the grant of docs/callers/github.md. What it says to the runner
 * is compared with what GitHub's own @actions/core says.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { validateAction, validateWorkflow } from "@action-validator/core";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { parse } from "yaml";
import { BUNDLES } from "../../action/build.ts";
import { AUDIENCE, type Harness, startHarness } from "../broker/harness.ts";
import { examplePolicy, TOKENS } from "../callers.ts";
import { problem, serve, tokenAnswer } from "../client/servers.ts";
import { loginIn } from "../examples/job.ts";
import { blocksOf } from "../markdown.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PAGE = readFileSync(`${ROOT}docs/clients/ci.md`, "utf8");
const action = parse(readFileSync(`${ROOT}action.yml`, "utf8")) as {
  inputs: Record<string, { default?: string }>;
  outputs: Record<string, unknown>;
  runs: { using: string; main: string; post: string; "post-if": string };
};
/** The runner's own, where it is installed (`npm run nodes`). */
const NODE_24 = `${ROOT}.nodes/node_modules/node-24/bin/node`;
const NODE = existsSync(NODE_24) ? NODE_24 : process.execPath;
const ENDPOINTS = ["acme-registry.cn-hangzhou.cr.aliyuncs.com", "acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com"];
const PASSWORD = `p:a$s"w'o\`r\\d %41 ü\t!{}`;

let h: Harness;
let tokens: Server;
let claims: Readonly<Record<string, unknown>>;
const given: string[] = [];
beforeAll(async () => {
  h = await startHarness({ policy: (cloud, issuer) => examplePolicy("github", { cloud, issuer }) });
  tokens = createServer(async ({ url = "", headers }, response) => {
    const { searchParams } = new URL(url, "http://github");
    if (headers.authorization !== "Bearer job-key" || searchParams.get("api-version") !== "2.0")
      return response.writeHead(401).end("{}");
    const value = await h.mint({ ...TOKENS.github.mine, ...claims, aud: searchParams.get("audience") });
    given.push(value);
    return response.end(JSON.stringify({ value }));
  });
  tokens.listen(0, "127.0.0.1");
  await once(tokens, "listening");
});
afterAll(async () => {
  tokens.closeAllConnections();
  tokens.close();
  await h.close();
});

let folder: string;
beforeEach(() => {
  claims = {};
  given.length = 0;
  folder = mkdtempSync(join(tmpdir(), "action-"));
  for (const name of ["home/.docker/cli-plugins", "temp"]) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(
    join(folder, "home/.docker/config.json"),
    '{"auths":{"docker.io":{"auth":"b2xkOmxvZ2lu"}},"currentContext":"here"}',
  );
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Ran {
  readonly code: number | null;
  readonly output: string;
  /** What it wrote for the runner. */
  readonly told: Readonly<Record<"OUTPUT" | "ENV" | "STATE", Record<string, string>>>;
}

let filesMade = 0;
const FILES = ["OUTPUT", "ENV", "STATE"] as const;

/** `name<<end`, the value's lines, `end`: as the runner reads it. */
function read(file: string): Record<string, string> {
  const found = readFileSync(file, "utf8").matchAll(/^(.+?)<<(\S+)\n(.*?)\n\2\n/gms);
  return Object.fromEntries([...found].map(([, name, , value]) => [name, value]));
}

async function run(args: readonly string[], env: Record<string, string>): Promise<Ran> {
  const files = FILES.map((name): [string, string] => [`GITHUB_${name}`, join(folder, `${name}-${++filesMade}`)]);
  for (const [, file] of files) writeFileSync(file, "");
  const child = spawn(NODE, args, {
    env: {
      PATH: process.env["PATH"],
      HOME: join(folder, "home"),
      RUNNER_TEMP: join(folder, "temp"),
      ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${(tokens.address() as AddressInfo).port}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: "job-key",
      ...Object.fromEntries(files),
      ...env,
    },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const [code] = (await once(child, "close")) as [number | null];
  const told = Object.fromEntries(files.map(([name, file]) => [name.slice("GITHUB_".length), read(file)]));
  return { code, output, told: told as Ran["told"] };
}

/** As a step's `with`, with the defaults of action.yml. */
function inputs(fields: Record<string, string>): Record<string, string> {
  const all = Object.entries(action.inputs).map(
    ([name, { default: value = "" }]) => [name, fields[name] ?? value] as const,
  );
  expect(all.map(([name]) => name)).toEqual(expect.arrayContaining(Object.keys(fields)));
  return Object.fromEntries(all.map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value]));
}

const main = (fields: Record<string, string> = {}, env: Record<string, string> = {}) =>
  run([ROOT + action.runs.main], {
    ...inputs({ url: h.url, audience: AUDIENCE, scope: "repository:web/app:pull,push", ...fields }),
    ...env,
  });
const post = ({ told }: Ran) =>
  run(
    [ROOT + action.runs.post],
    Object.fromEntries(Object.entries(told.STATE).map(([name, value]) => [`STATE_${name}`, value])),
  );

/** The log as the runner writes it: without what was masked before, line by line. */
function log(output: string): string {
  const secrets: string[] = [];
  const lines = output.split("\n").flatMap((line) => {
    const [, secret] = /^::add-mask::(.*)$/.exec(line) ?? [];
    if (secret === undefined) return [secrets.reduce((text, one) => text.replaceAll(one, "***"), line)];
    secrets.push(secret.replaceAll("%0D", "\r").replaceAll("%0A", "\n").replaceAll("%25", "%"));
    return [];
  });
  return lines.join("\n");
}

const config = ({ told }: Ran) =>
  JSON.parse(readFileSync(join(told.ENV["DOCKER_CONFIG"] as string, "config.json"), "utf8"));

test("the job is logged in beside what was there, and after the post step it is not, and nothing is left", async () => {
  const ran = await main();
  expect(ran.code, ran.output).toBe(0);
  const { username, password } = loginIn(config(ran));
  expect(h.cloud.login(username, password)?.allows("push", "web/app")).toBe(true);
  expect(ran.told.OUTPUT).toEqual({
    username,
    password,
    registry: "prod",
    endpoints: ENDPOINTS.join(" "),
    "expires-at": expect.stringMatching(/^20.*Z$/),
  });
  expect(config(ran)).toMatchObject({ auths: { "docker.io": { auth: "b2xkOmxvZ2lu" } }, currentContext: "here" });
  const made = ran.told.ENV["DOCKER_CONFIG"] as string;
  expect(ran.told.ENV["REGISTRY_AUTH_FILE"]).toBe(join(made, "auth.json"));
  expect([".", "config.json", "auth.json"].map((file) => statSync(join(made, file)).mode & 0o777)).toEqual([
    0o700, 0o600, 0o600,
  ]);
  expect(lstatSync(join(made, "cli-plugins")).isSymbolicLink()).toBe(true);

  const after = await post(ran);
  expect(after).toMatchObject({ code: 0, output: "acr-login: the login is removed\n" });
  expect(readdirSync(join(folder, "temp"))).toEqual([]);
  expect(readdirSync(join(folder, "home/.docker")).sort()).toEqual(["cli-plugins", "config.json"]);
  expect(readFileSync(join(folder, "home/.docker/config.json"), "utf8")).not.toContain("acme-registry");
  expect((await post(ran)).code).toBe(0);
});

test("token and password are masked before anything else, and then in no line", async () => {
  const ran = await main();
  const { auths } = config(ran);
  const { password } = loginIn(config(ran));
  const [token] = given as [string];
  const auth = (auths as Record<string, { auth: string }>)[ENDPOINTS[0] as string]?.auth;
  expect(ran.output.split("\n").slice(0, 3)).toEqual([token, password, auth].map((secret) => `::add-mask::${secret}`));
  expect(log(ran.output)).toMatch(/^acr-login: logged in to acme-registry\S+, acme-registry-vpc\S+ until 20\S+Z\n$/);
});

test.each([
  ["false", {}],
  ["true", { folder: expect.stringContaining("acr-login-") }],
])("logout: %s", async (logout, state) => {
  const ran = await main({ logout });
  expect(ran.told.STATE).toEqual(state);
  await post(ran);
  expect(readdirSync(join(folder, "temp"))).toHaveLength(logout === "true" ? 0 : 1);
});

test("only the chosen endpoints are logged in to", async () => {
  const ran = await main({ endpoints: ` ${ENDPOINTS[1]}, ` });
  expect(ran.told.OUTPUT["endpoints"]).toBe(ENDPOINTS[1]);
  expect(Object.keys((config(ran) as { auths: object }).auths)).toEqual(["docker.io", ENDPOINTS[1]]);
});

test("a second use has the login of the first, and each removes its own", async () => {
  const first = await main({ endpoints: ENDPOINTS[0] as string });
  const second = await main({ endpoints: ENDPOINTS[1] as string }, first.told.ENV);
  expect(Object.keys((config(second) as { auths: object }).auths)).toEqual(["docker.io", ...ENDPOINTS]);
  await post(second);
  expect(loginIn(config(first)).password).not.toBe("");
  await post(first);
  expect(readdirSync(join(folder, "temp"))).toEqual([]);
});

test("two jobs at one time, with one home, each have their own", async () => {
  const both = await Promise.all([main(), main({ endpoints: ENDPOINTS[1] as string })]);
  expect(both.map(({ code }) => code)).toEqual([0, 0]);
  expect(both.map((ran) => Object.keys((config(ran) as { auths: object }).auths).slice(1))).toEqual([
    ENDPOINTS,
    [ENDPOINTS[1]],
  ]);
  await Promise.all(both.map(post));
  expect(readdirSync(join(folder, "temp"))).toEqual([]);
  expect(readFileSync(join(folder, "home/.docker/config.json"), "utf8")).not.toContain("acme-registry");
});

/** What a failure must be: the one line, exit code 1, and no login anywhere. */
function expectFailure({ code, output, told }: Ran, says: RegExp | string): void {
  const shown = log(output).trim();
  if (typeof says === "string") expect(shown).toBe(`::error::${says}`);
  else expect(shown).toMatch(says);
  expect(code).toBe(1);
  expect([told.OUTPUT, told.ENV]).toEqual([{}, {}]);
}

test("a refusal is the broker's own words", async () => {
  claims = TOKENS.github.stranger;
  expectFailure(await main(), /^::error::access_denied: \S.* \(request_id request-\d+\)$/);
  expect(readdirSync(join(folder, "temp"))).toEqual([]);
});

test("what passes is tried again, with a new token, when the broker says", async () => {
  const broker = await serve((_, response, count) =>
    count === 1
      ? problem(response, 503, "upstream_unavailable", { "retry-after": "0" })
      : response.setHeader("content-type", "application/json").end(JSON.stringify(tokenAnswer(PASSWORD))),
  );
  const ran = await main({ url: broker.url });
  expect(ran.code, ran.output).toBe(0);
  expect(loginIn(config(ran)).password).toBe(PASSWORD);
  expect(ran.told.OUTPUT["password"]).toBe(PASSWORD);
  expect(log(ran.output)).not.toContain(PASSWORD.slice(0, 8));
  expect(given).toHaveLength(2);
});

test("a proxy's page is not shown", async () => {
  const broker = await serve((request, response) =>
    response.writeHead(403, { "content-type": "text/html" }).end(`<html>${request.headers.authorization}`),
  );
  const ran = await main({ url: broker.url });
  expectFailure(
    ran,
    /^::error::bad_response: the answer of 127\.0\.0\.1:\d+ is not the broker's \(status 403, text\/html\)[^<]*$/,
  );
});

test("a broker that writes commands into its words gives the runner none", async () => {
  const broker = await serve((_, response) =>
    problem(response, 403, "access_denied", {}, "no\n::set-output name=x::y\r\n::stop-commands::z"),
  );
  const { output } = await main({ url: broker.url });
  expect(
    log(output)
      .split("\n")
      .filter((line) => line.startsWith("::")),
  ).toHaveLength(1);
});

test.each([
  ["no url", { url: "" }, /^::error::invalid_options: url is ""; write it in full/],
  ["neither scope nor grant", { scope: "" }, /^::error::invalid_options: /],
  ["a ttl in words", { ttl: "15m" }, /^::error::ttl is "15m"; it must be a number of seconds$/],
  ["a logout that is neither", { logout: "no" }, /^::error::logout is "no"; it must be true or false$/],
  [
    "an endpoint of another registry",
    { endpoints: "docker.io" },
    /^::error::endpoints has docker\.io; the registry has acme-registry\S+, acme-registry-vpc\S+$/,
  ],
])("%s", async (_, fields, says) => {
  expectFailure(await main(fields), says);
  expect(readdirSync(join(folder, "temp"))).toEqual([]);
});

test("a job that may have no token is told which permission it lacks", async () => {
  expectFailure(
    await main({}, { ACTIONS_ID_TOKEN_REQUEST_URL: "", ACTIONS_ID_TOKEN_REQUEST_TOKEN: "" }),
    "no_identity: GitHub gives this job no token; add permissions: { id-token: write } to it",
  );
});

test("a configuration that is none is named and not shown, and the post step removes what was begun", async () => {
  writeFileSync(join(folder, "home/.docker/config.json"), '{"auths":"secret"}');
  const ran = await main();
  expectFailure(ran, `${folder}/home/.docker/config.json is no Docker configuration`);
  await post(ran);
  expect(readdirSync(join(folder, "temp"))).toEqual([]);
});

test("a credential store is none of this login's", async () => {
  writeFileSync(join(folder, "home/.docker/config.json"), '{"credsStore":"pass","credHelpers":{"gcr.io":"gcloud"}}');
  const ran = await main({ endpoints: ENDPOINTS[0] as string });
  expect((config(ran) as { credHelpers: object }).credHelpers).toEqual({
    "gcr.io": "gcloud",
    [ENDPOINTS[0] as string]: "",
  });
});

test("@actions/core gets a token from the same service, and tells the runner the same", async () => {
  const values = ["plain", PASSWORD, "two\nlines\r\n100% ::x::"];
  const program = (imports: string, names: Record<string, string>) => `
    ${imports}
    for (const [index, value] of ${JSON.stringify(values)}.entries()) {
      ${names["mask"]}(value); ${names["setOutput"]}("o" + index, value); ${names["exportVariable"]}("e" + index, value);
      ${names["saveState"]}("s" + index, value); ${names["fail"]}(value);
    }
    console.log(JSON.stringify([${names["input"]}("expires-at"), ${names["state"]}("folder")]));`;
  const env = { "INPUT_EXPIRES-AT": "  a b ", STATE_folder: "/x" };
  const theirs = program(`import * as core from ${JSON.stringify(import.meta.resolve("@actions/core"))};`, {
    mask: "core.setSecret",
    setOutput: "core.setOutput",
    exportVariable: "core.exportVariable",
    saveState: "core.saveState",
    fail: "core.setFailed",
    input: "core.getInput",
    state: "core.getState",
  });
  const { outputFiles } = await build({
    entryPoints: [`${ROOT}action/runner.ts`],
    bundle: true,
    platform: "node",
    format: "esm",
    write: false,
  });
  const module = join(folder, "runner.mjs");
  writeFileSync(module, outputFiles[0]?.contents ?? "");
  const ours = program(`import * as own from ${JSON.stringify(module)};`, {
    mask: "own.mask",
    setOutput: "own.setOutput",
    exportVariable: "own.exportVariable",
    saveState: "own.saveState",
    fail: "own.fail",
    input: "own.input",
    state: "own.state",
  });
  const [left, right] = [
    await run(["--input-type=module", "-e", theirs], env),
    await run(["--input-type=module", "-e", ours], env),
  ];
  expect(left?.output).toContain("::add-mask::");
  expect(right).toEqual(left);

  const asked = `import { getIDToken } from ${JSON.stringify(import.meta.resolve("@actions/core"))}; await getIDToken(${JSON.stringify(AUDIENCE)});`;
  const { code, output } = await run(["--input-type=module", "-e", asked], {});
  expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining(`::add-mask::${given[0]}\n`) });
  expect((await h.ask({ scope: "repository:web/app:pull" }, given[0])).status).toBe(200);
});

test("main.cjs and post.cjs are what the sources make", async () => {
  const { outputFiles } = await build({ ...BUNDLES, write: false });
  for (const { path, text } of outputFiles)
    expect(readFileSync(path, "utf8") === text, `npm run action makes ${path}`).toBe(true);
  expect(outputFiles.map(({ path }) => path.slice(ROOT.length)).sort()).toEqual([action.runs.main, action.runs.post]);
});

test("action.yml is one by GitHub's schema, and the page has its inputs and outputs", () => {
  // The schema in that package is older than node24.
  const known = readFileSync(`${ROOT}action.yml`, "utf8").replace("using: node24", "using: node20");
  expect(validateAction(known).errors).toEqual([]);
  const workflow = blocksOf(PAGE).find(({ name }) => name === ".github/workflows/image.yml")?.text ?? "";
  expect(validateWorkflow(workflow).errors).toEqual([]);
  const steps = (parse(workflow) as { jobs: { image: { steps: { with?: Record<string, string> }[] } } }).jobs.image
    .steps;
  expect(Object.keys(action.inputs)).toEqual(
    expect.arrayContaining(steps.flatMap((step) => Object.keys(step.with ?? {}))),
  );
  const section = PAGE.slice(PAGE.indexOf("## GitHub Actions"), PAGE.indexOf("## GitLab CI"));
  for (const name of [...Object.keys(action.inputs), ...Object.keys(action.outputs)])
    expect(section).toContain(`\`${name}\``);
  expect(action.runs).toEqual({
    using: "node24",
    main: "action/main.cjs",
    post: "action/post.cjs",
    "post-if": "always()",
  });
});
