/** Logins by `acr-broker login` and `exec`, in the hands of the clients that people use, against a registry that enforces them. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { acrBrokerBeside } from "../cli/run.ts";
import { jobClaims } from "../sandbox/broker-process.ts";
import { writeImage } from "../sandbox/image.ts";
import { type Stack, startStack } from "../sandbox/stack.ts";
import { run } from "./run.ts";
import { haveTools, type Tool } from "./tools.ts";

const SCOPE = "repository:web/app:pull,push";
const REFUSAL = /denied|unauthorized|authentication required/i;
const clients: readonly Tool[] = ["skopeo", "podman", "docker"];
const present = new Set(clients.filter((tool) => haveTools([tool])));
const without = (...tools: Tool[]) => tools.some((tool) => !present.has(tool));

let stack: Stack;
let root: string;
beforeAll(async () => {
  stack = await startStack({ broker: 0, cloud: 0, issuer: 0 });
  root = mkdtempSync(join(tmpdir(), "acr-e2e-cli-"));
  mkdirSync(join(root, "image"));
  await writeImage(join(root, "image"), "hello");
});
afterAll(async () => {
  await stack?.stop();
  rmSync(root, { recursive: true, force: true });
});

let home: string;
let docker: string;
beforeEach(() => {
  home = mkdtempSync(join(root, "home-"));
  docker = join(home, ".docker");
  mkdirSync(docker);
  writeFileSync(join(home, "docker-credential-empty"), HELPER, { mode: 0o755 });
});

async function environment(): Promise<Record<string, string>> {
  const response = await fetch(`${stack.issuerUrl}/mint`, { method: "POST", body: JSON.stringify(jobClaims("main")) });
  const { token } = (await response.json()) as { token: string };
  const PATH = `${home}:${process.env["PATH"]}`;
  return { PATH, HOME: home, XDG_RUNTIME_DIR: home, ACR_BROKER_URL: stack.broker.url, ACR_BROKER_TOKEN: token };
}
const acrBroker = async (...args: string[]) => acrBrokerBeside(args, { environment: await environment() });
const exec = (...command: string[]) => acrBroker("exec", "--scope", SCOPE, "--", ...command);
/** A helper that works, and has no login: docker's words for that are docker-credential-helpers' own. */
const HELPER = '#!/bin/sh\necho "credentials not found in native keychain"\nexit 1\n';
const bare = async (command: string, ...args: string[]) =>
  run(command, args, { env: { HOME: home, XDG_RUNTIME_DIR: home, PATH: `${home}:${process.env["PATH"]}` } });

const at = (repository: string) => `${stack.registryHost}/${repository}:1`;
const push = (repository: string) => [
  ...["copy", "--insecure-policy", "--dest-tls-verify=false", `oci:${join(root, "image")}:latest`],
  `docker://${at(repository)}`,
];
const inspect = (repository: string) => ["inspect", "--tls-verify=false", `docker://${at(repository)}`];
const manifest = (repository: string) => ["manifest", "inspect", "--insecure", at(repository)];

describe.skipIf(without("skopeo"))("skopeo", () => {
  test("pushes and reads what was asked for, within exec and nowhere else", async () => {
    expect(await exec("skopeo", ...push("web/app"))).toMatchObject({ code: 0 });
    expect(await exec("skopeo", ...inspect("web/app"))).toMatchObject({ code: 0 });
    expect(await exec("skopeo", ...push("web/other"))).toMatchObject({ code: 1, told: expect.stringMatching(REFUSAL) });
    expect(await bare("skopeo", ...inspect("web/app"))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(REFUSAL),
    });
  });

  test("takes the login that is in podman's file, until logout", async () => {
    await exec("skopeo", ...push("web/app"));
    expect((await acrBroker("login", "--scope", SCOPE, "--podman")).code).toBe(0);
    expect(await bare("skopeo", ...inspect("web/app"))).toMatchObject({ code: 0 });
    expect((await acrBroker("logout", "--podman")).code).toBe(0);
    expect(await bare("skopeo", ...inspect("web/app"))).toMatchObject({ code: 1 });
  });
});

describe.skipIf(without("podman"))("podman", () => {
  test("knows of the login that is in its file, and so does it within exec", async () => {
    const asked = ["login", "--get-login", stack.registryHost];
    expect((await bare("podman", ...asked)).code).not.toBe(0);
    await acrBroker("login", "--scope", SCOPE, "--podman");
    expect(await bare("podman", ...asked)).toMatchObject({ code: 0, stdout: "cr_temp_user\n" });
    await acrBroker("logout", "--podman");
    expect(await exec("podman", ...asked)).toMatchObject({ code: 0, out: "cr_temp_user\n" });
  });
});

describe.skipIf(without("docker", "skopeo"))("docker", () => {
  beforeEach(async () => {
    expect(await exec("skopeo", ...push("web/app"))).toMatchObject({ code: 0 });
  });

  test("takes the login that is in its config.json, and keeps it when it writes there itself", async () => {
    writeFileSync(join(docker, "config.json"), '{"psFormat":"table"}');
    expect((await acrBroker("login", "--scope", SCOPE)).code).toBe(0);
    expect(await bare("docker", ...manifest("web/app"))).toMatchObject({ code: 0 });
    // What docker writes anew, it writes without fields that it does not know.
    expect((await bare("docker", "logout", "other.example")).code).toBe(0);
    expect(await bare("docker", ...manifest("web/app"))).toMatchObject({ code: 0 });
    expect(await acrBroker("logout")).toMatchObject({
      code: 0,
      told: expect.stringContaining(`removed ${stack.registryHost}`),
    });
    expect((await bare("docker", ...manifest("web/app"))).code).not.toBe(0);
    expect(JSON.parse(readFileSync(join(docker, "config.json"), "utf8"))).toMatchObject({ psFormat: "table" });
  });

  test("does not look at a login where credsStore is set, which is why login refuses and exec takes it out", async () => {
    expect((await acrBroker("login", "--scope", SCOPE)).code).toBe(0);
    const { auths } = JSON.parse(readFileSync(join(docker, "config.json"), "utf8"));
    writeFileSync(join(docker, "config.json"), JSON.stringify({ auths, credsStore: "empty" }));
    expect((await bare("docker", ...manifest("web/app"))).code).not.toBe(0);
    expect(await acrBroker("login", "--scope", SCOPE)).toMatchObject({
      code: 2,
      told: expect.stringContaining("credsStore"),
    });
    expect(await exec("docker", ...manifest("web/app"))).toMatchObject({ code: 0 });
  });

  test("takes an empty helper for one host to switch credsStore off, as acr-broker does", async () => {
    await acrBroker("login", "--scope", SCOPE);
    const { auths } = JSON.parse(readFileSync(join(docker, "config.json"), "utf8"));
    const credHelpers = { [stack.registryHost]: "" };
    writeFileSync(join(docker, "config.json"), JSON.stringify({ auths, credsStore: "empty", credHelpers }));
    expect(await bare("docker", ...manifest("web/app"))).toMatchObject({ code: 0 });
  });
});

test("doctor finds all well: broker, identity, grants, docker's file, the registry", async () => {
  const { code, out } = await acrBroker("doctor", "--scope", SCOPE);
  expect(code, out).toBe(0);
  expect(out).toContain(`${stack.registryHost} (prod) answers, and asks for a login`);
});
