/** `acr-broker configure-docker`: what it writes, leaves and takes out, and that the helper then answers. Needs `npm run build`. */

import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { allText, caller, HOSTS, SCOPE } from "./broker.ts";
import { CREDENTIAL_HELPER, credentialHelper } from "./run.ts";

const c = caller();
const [HOST = "", VPC_HOST = ""] = HOSTS;

let HOME: string;
let config: string;
let settings: string;
let PATH: string;
beforeEach(() => {
  HOME = mkdtempSync(join(c.it.home, "home-"));
  config = join(HOME, ".docker/config.json");
  settings = join(HOME, ".config/acr-token-broker/helper.json");
  mkdirSync(join(HOME, "bin"));
  mkdirSync(join(HOME, ".docker"));
  symlinkSync(CREDENTIAL_HELPER, join(HOME, "bin/docker-credential-acr-broker"));
  PATH = `${join(HOME, "bin")}:${process.env["PATH"]}`;
});

const configure = (args: readonly string[], more: Record<string, string> = {}) =>
  c.it.run(["configure-docker", ...args], { HOME, PATH, ...more });
const read = (file: string) => JSON.parse(readFileSync(file, "utf8"));
const WISH = ["--registry", "prod", "--scope", SCOPE];

test("docker asks the helper for the registry's hosts and no others, and all else in the file stays", async () => {
  const before = {
    auths: { "other.example": { auth: "b3RoZXI=" } },
    credsStore: "pass",
    credHelpers: { "a.example": "b" },
    x: 1,
  };
  writeFileSync(config, JSON.stringify(before, null, 2));
  const { code, told } = await configure(WISH);
  expect({ code }, told).toEqual({ code: 0 });
  expect(read(config)).toEqual({
    ...before,
    credHelpers: { "a.example": "b", [HOST]: "acr-broker", [VPC_HOST]: "acr-broker" },
  });
  expect(told).toContain(join(HOME, "bin/docker-credential-acr-broker"));
});

test("the helper asks for what was set, without any variable but the identity", async () => {
  await configure([...WISH, "--ttl", "900"]);
  expect(read(settings)).toEqual({
    url: c.it.harness.url,
    registries: { prod: { scope: [SCOPE], ttl: 900 } },
  });
  expect(lstatSync(settings).mode & 0o777).toBe(0o600);
  const environment = { HOME, PATH, ACR_BROKER_TOKEN: await c.it.harness.mint() };
  const { code, out } = await credentialHelper(["get"], { environment, input: HOST });
  expect([code, JSON.parse(out).Username]).toEqual([0, "cr_temp_user"]);
  // Neither file has a secret.
  for (const secret of c.it.passwords())
    expect(allText(join(HOME, ".docker")) + readFileSync(settings)).not.toContain(secret);
});

test("without a registry all of the broker's hosts are set; what was set of another registry stays", async () => {
  await configure(WISH);
  expect((await configure(["--registry", "lost", "--grant", "lost"])).code).toBe(0);
  expect((await configure([])).code).toBe(0);
  expect(Object.keys(read(config).credHelpers)).toEqual([HOST, VPC_HOST, "lost.example.com"]);
  expect(read(settings).registries).toEqual({ prod: { scope: [SCOPE] }, lost: { grant: "lost" } });
});

test("a registry of which nothing says what to ask is told of at once, not with the first pull", async () => {
  const silent =
    "nothing says what to ask of registry prod: set ACR_BROKER_SCOPE, or give --registry prod --scope SCOPE\n";
  const { code, told } = await configure(["--registry", "prod"]);
  expect([code, told]).toEqual([0, expect.stringContaining(silent)]);
  expect((await configure(["--registry", "prod"], { ACR_BROKER_SCOPE: SCOPE })).told).not.toContain("nothing says");
  expect((await configure(WISH)).told).not.toContain("nothing says");
  expect((await configure(["--registry", "prod"])).told).not.toContain("nothing says");
});

test("--host sets only that one, of the broker's", async () => {
  await configure(["--host", VPC_HOST]);
  expect(read(config).credHelpers).toEqual({ [VPC_HOST]: "acr-broker" });
  const strange = await configure(["--host", "evil.example"]);
  expect(strange).toMatchObject({ code: 2, told: expect.stringContaining(HOST) });
});

test("another helper's entry is not written over, and nothing is written", async () => {
  writeFileSync(config, JSON.stringify({ credHelpers: { [VPC_HOST]: "pass" } }));
  const { code, told } = await configure(WISH);
  expect([code, told]).toEqual([2, expect.stringContaining(`docker-credential-pass for ${VPC_HOST}`)]);
  expect(read(config)).toEqual({ credHelpers: { [VPC_HOST]: "pass" } });
  expect(existsSync(settings)).toBe(false);
});

test("--remove takes out what it wrote, and nothing else", async () => {
  const before = { credHelpers: { "a.example": "b" }, auths: {} };
  writeFileSync(config, JSON.stringify(before));
  await configure(WISH);
  const { code, told } = await configure(["--remove"], { ACR_BROKER_URL: "" });
  expect([code, told]).toEqual([0, expect.stringContaining(`removed ${HOST}, ${VPC_HOST}`)]);
  expect(read(config)).toEqual(before);
  expect(existsSync(settings)).toBe(false);
  expect((await configure(["--remove"])).told).toContain("nothing to remove");
});

test("--check changes nothing and says what is missing", async () => {
  const check = (more?: Record<string, string>) => configure(["--registry", "prod", "--check"], more);
  const nothing = await check();
  expect([nothing.code, nothing.told]).toEqual([1, expect.stringContaining(`does not have docker ask for ${HOST}`)]);
  expect(nothing.told).toContain("nothing says what to ask of registry prod");
  expect([existsSync(config), existsSync(settings)]).toEqual([false, false]);
  await configure(WISH);
  expect((await check()).code).toBe(0);
  const gone = await check({ PATH: process.env["PATH"] as string });
  expect([gone.code, gone.told]).toEqual([1, expect.stringContaining("is not in PATH")]);
});

test("a helper that docker would not find is told of, and is exit code 1", async () => {
  const { code, told } = await configure(WISH, { PATH: process.env["PATH"] as string });
  expect([code, told]).toEqual([1, expect.stringContaining("link it into a folder of PATH")]);
});

test("--authfile has podman and skopeo ask", async () => {
  const file = join(HOME, "auth.json");
  await configure([...WISH, "--authfile", file]);
  expect(read(file)).toEqual({ credHelpers: { [HOST]: "acr-broker", [VPC_HOST]: "acr-broker" } });
});

test("20 at a time lose no entry", async () => {
  const hosts = [HOST, VPC_HOST, "lost.example.com"];
  const runs = Array.from({ length: 20 }, (_, at) => configure(["--host", hosts[at % 3] as string]));
  for (const { code, told } of await Promise.all(runs)) expect(code, told).toBe(0);
  expect(Object.keys(read(config).credHelpers).sort()).toEqual([...hosts].sort());
}, 60_000);

test.each([
  [["--scope", SCOPE], "say which with --registry prod or lost"],
  [[...WISH, "--grant", "web-main"], "not both"],
  [["--registry", "nope"], 'there is no registry "nope"; there is prod, lost'],
  [["--ttl", "900"], "--ttl of what?"],
  [["--check", "--remove"], "not both"],
  [["--remove", "--registry", "prod"], "name them with --host"],
  [["--registry", "prod", "--grant", `abk_nightly_${"0".repeat(64)}`], "is a token or key"],
])("%j is refused with what to write", async (args, says) => {
  const { code, told } = await configure(args);
  expect([code, told]).toEqual([2, expect.stringContaining(says)]);
  expect(existsSync(settings)).toBe(false);
});

test("settings of another broker are not mixed with, and a file that is none is not touched", async () => {
  await configure(WISH);
  const other = await configure(["--url", "https://other.example"]);
  expect([other.code, other.told]).toEqual([2, expect.stringContaining("--remove takes it away")]);
  writeFileSync(settings, '{"registries":{"prod":{"scope":[]}}}');
  const broken = await configure(WISH);
  expect([broken.code, broken.told]).toEqual([
    2,
    expect.stringContaining("registries.prod: scope is a list of scopes"),
  ]);
  const environment = { HOME, PATH, ACR_BROKER_TOKEN: await c.it.harness.mint() };
  const helper = await credentialHelper(["get"], { environment, input: HOST });
  expect([helper.code, helper.out]).toEqual([1, expect.stringContaining(`${settings}: registries.prod`)]);
});
