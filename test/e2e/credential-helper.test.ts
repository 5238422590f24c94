/**
 * The credential helper in the hands of the clients that people use: found by `credHelpers`, against Debian's docker-registry,
 * which enforces what was asked for. And beside Amazon's helper, which speaks the protocol as docker's own library has it.
 */

import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CREDENTIAL_HELPER, credentialHelper } from "../cli/run.ts";
import { writeImage } from "../sandbox/image.ts";
import { CLIENTS, createDocker } from "./clients.ts";
import { RIG_TOOLS, type Rig, startRig } from "./rig.ts";
import { type Run, run } from "./run.ts";
import { haveTools, type Tool } from "./tools.ts";

const REFUSAL = /denied|unauthorized|authentication required/i;
const PUSH = "repository:web/app:pull,push";
const PULL = "repository:web/app:pull";

const rigPresent = haveTools(RIG_TOOLS);
const tools: readonly Tool[] = ["skopeo", "podman", "buildah", "docker", "docker-credential-ecr-login"];
const present = new Set(tools.filter((tool) => haveTools([tool])));
const without = (...needed: Tool[]) => !rigPresent || needed.some((tool) => !present.has(tool));

let rig: Rig;
beforeAll(async () => {
  if (rigPresent) rig = await startRig();
});
afterAll(() => rig?.close());

/** A home where the registry's logins are the helper's, and the environment of a job that asks for `scope`. */
async function helped(scope: string, home?: string) {
  const folder = home ?? (await rig.folder());
  const config = JSON.stringify({ credHelpers: { [rig.debianRegistry]: "acr-broker" } });
  mkdirSync(join(folder, "bin"), { recursive: true });
  mkdirSync(join(folder, "docker"), { recursive: true });
  for (const file of ["auth.json", "docker/config.json"]) writeFileSync(join(folder, file), config);
  if (home === undefined) symlinkSync(CREDENTIAL_HELPER, join(folder, "bin/docker-credential-acr-broker"));
  const environment = {
    PATH: `${join(folder, "bin")}:${process.env["PATH"]}`,
    ACR_BROKER_URL: rig.broker.url,
    ACR_BROKER_TOKEN: await rig.broker.token(),
    ACR_BROKER_SCOPE: scope,
  };
  return { home: folder, environment };
}

function expectSuccess(ran: Run): void {
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
}

for (const tool of ["skopeo", "podman", "buildah"] as const) {
  describe.skipIf(without(tool))(`${tool}, which asks the helper`, () => {
    test("pushes and pulls what was asked for, is refused the rest, and stores nothing", async () => {
      const layout = await rig.folder();
      await writeImage(layout, `helped ${tool}`);
      const reference = `${rig.debianRegistry}/web/app:helped-${tool}`;
      const pushing = await helped(PUSH);
      const client = CLIENTS[tool](pushing.home, pushing.environment);
      const pushed = await client.push(layout, reference);
      expectSuccess(pushed);
      expect(await rig.hasTag("web/app", `helped-${tool}`)).toBe(true);

      const { home, environment } = await helped(PULL);
      const puller = CLIENTS[tool](home, environment);
      const pulled = await puller.pull(reference);
      expectSuccess(pulled);
      expect(pulled.digest).toBe(pushed.digest);
      const refused = await puller.push(layout, `${reference}-refused`);
      expect([refused.code === 0, refused.stderr]).toEqual([false, expect.stringMatching(REFUSAL)]);
      expect(await rig.hasTag("web/app", `helped-${tool}-refused`)).toBe(false);
    });

    test("shows the broker's own reason", async () => {
      const { home, environment } = await helped("repository:secret/vault:pull");
      const { code, stderr } = await CLIENTS[tool](home, environment).pull(`${rig.debianRegistry}/secret/vault:1`);
      expect([code === 0, stderr]).toEqual([false, expect.stringContaining("access_denied")]);
    });
  });
}

describe.skipIf(without("docker", "skopeo"))("the Docker CLI without a daemon, which asks the helper", () => {
  test("reads and writes manifests where that was asked for, and shows the broker's reason where it was refused", async () => {
    const layout = await rig.folder();
    const { manifest } = await writeImage(layout, "helped docker");
    const reference = `${rig.debianRegistry}/web/app:helped-docker`;
    const pushing = await helped(PUSH);
    expectSuccess(await CLIENTS.skopeo(pushing.home, pushing.environment).push(layout, reference));
    const docker = createDocker(pushing.home, pushing.environment);
    const inspected = await docker.inspect(reference);
    expectSuccess(inspected);
    expect(inspected.digest).toBe(manifest);
    expectSuccess(await docker.pushList(`${reference}-list`, reference));
    expect(await rig.hasTag("web/app", "helped-docker-list")).toBe(true);

    const pulling = await helped(PULL);
    const reader = createDocker(pulling.home, pulling.environment);
    expectSuccess(await reader.inspect(reference));
    expect((await reader.pushList(`${reference}-refused`, reference)).stderr).toMatch(REFUSAL);
    expect(await rig.hasTag("web/app", "helped-docker-refused")).toBe(false);

    const refused = await helped("repository:secret/vault:pull");
    const { code, stderr } = await createDocker(refused.home, refused.environment).inspect(reference);
    expect([code === 0, stderr]).toEqual([false, expect.stringContaining("access_denied")]);
  });

  test("docker login and logout succeed where the helper is set", async () => {
    const { home, environment } = await helped(PULL);
    const docker = createDocker(home, environment);
    expectSuccess(await docker.login(rig.debianRegistry, await rig.brokered([PULL])));
    const env = { HOME: home, DOCKER_CONFIG: join(home, "docker"), ...environment };
    expectSuccess(await run("docker", ["logout", rig.debianRegistry], { env }));
  });
});

describe.skipIf(without("docker-credential-ecr-login"))("the same as Amazon's helper", () => {
  const LOGIN = '{"ServerURL":"https://h.example","Username":"u","Secret":"s"}';
  const both = async (args: readonly string[], input: string) => {
    const env = { HOME: await rig.folder(), ACR_BROKER_URL: rig.broker.url };
    const theirs = await run("docker-credential-ecr-login", args, { env, stdin: input });
    const ours = await credentialHelper(args, { environment: { ...env, PATH: process.env["PATH"] ?? "" }, input });
    return { theirs, ours: { code: ours.code, stdout: ours.out, stderr: ours.told } };
  };
  /** Each names itself. */
  const named = ({ code, stdout, stderr }: Run) => ({
    code,
    stdout: stdout.replaceAll(/docker-credential-[a-z-]+/g, "NAME"),
    stderr,
  });

  test.each([
    [["get"], ""],
    [["get"], "https://h.example"],
    [["get"], "garbage{"],
    [["list"], ""],
    [["list"], "garbage{"],
    [["erase"], ""],
    [["nonsense"], ""],
    [["nonsense"], "garbage{"],
    [[], ""],
    [["get", "list"], ""],
  ])("%j of %j is answered to the letter", async (args, input) => {
    const { theirs, ours } = await both(args, input);
    expect(named(ours)).toEqual(named(theirs));
  });

  test.each([
    ["nothing", ""],
    ["what is no JSON", "garbage{"],
    ["a login without a host", '{"ServerURL":"","Username":"u","Secret":"s"}'],
    ["a login without a name", '{"ServerURL":"h","Username":"","Secret":"s"}'],
  ])("store of %s fails, with a reason on standard output alone", async (_, input) => {
    const { theirs, ours } = await both(["store"], input);
    for (const one of [theirs, ours])
      expect(one).toMatchObject({ code: 1, stdout: expect.stringMatching(/./), stderr: "" });
    if (/^no credentials/.test(theirs.stdout)) expect(ours).toEqual(theirs);
  });

  test("version is one line on standard output", async () => {
    const { theirs, ours } = await both(["version"], "");
    for (const one of [theirs, ours])
      expect(one).toMatchObject({ code: 0, stdout: expect.stringMatching(/^.*\d+\.\d+\.\d+\n?$/) });
  });

  test("but for what breaks docker login and logout there: store and erase succeed, and say nothing", async () => {
    for (const [action, input] of [
      ["store", LOGIN],
      ["erase", "https://h.example"],
    ] as const) {
      const { theirs, ours } = await both([action], input);
      expect(theirs).toMatchObject({ code: 1, stdout: expect.stringContaining("not implemented") });
      expect(ours).toEqual({ code: 0, stdout: "", stderr: "" });
    }
  });
});
