/**
 * Brokered credentials in the hands of the clients that people use, against registries that enforce them:
 * what was asked for works, and nothing else does, and nothing at all after expiry.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ImageDigests, writeImage } from "../sandbox/image.ts";
import { CLIENTS, type Client, createDocker, createSkopeo } from "./clients.ts";
import { RIG_TOOLS, type Rig, startRig } from "./rig.ts";
import type { Run } from "./run.ts";
import { haveTools, type Tool } from "./tools.ts";

// What each client says when a registry or its realm refuses it.
const REFUSAL = /denied|unauthorized|authentication required|invalid username\/password/i;
const PULL_PUSH = ["repository:web/app:pull,push"];
const PULL = ["repository:web/app:pull"];

const rigPresent = haveTools(RIG_TOOLS);
const clientTools: readonly Tool[] = ["skopeo", "podman", "buildah", "docker"];
const present = new Set(rigPresent ? clientTools.filter((tool) => haveTools([tool])) : []);
const without = (...tools: Tool[]) => tools.some((tool) => !present.has(tool));

let rig: Rig;
beforeAll(async () => {
  if (rigPresent) rig = await startRig();
});
afterAll(() => rig?.close());

function expectSuccess(run: Run): void {
  expect(run, run.stderr).toMatchObject({ code: 0 });
}

function expectRefusal(run: Run): void {
  expect(run.code, run.stdout).toBeGreaterThan(0);
  expect(run.stderr).toMatch(REFUSAL);
}

for (const tool of ["skopeo", "podman", "buildah"] as const) {
  describe.skipIf(without(tool))(`${tool} and docker-registry`, () => {
    let layout: string;
    let client: Client;

    /** A client that has just logged in with credentials for these scopes. */
    async function loggedIn(scopes: readonly string[], publishes?: "base"): Promise<Client> {
      expectSuccess(await client.login(rig.debianRegistry, await rig.brokered(scopes, publishes)));
      return client;
    }

    beforeAll(async () => {
      layout = await rig.folder();
      client = CLIENTS[tool](await rig.folder());
      await writeImage(layout, tool);
    });

    test("pushes to the repository asked for, and pulls back what it pushed", async () => {
      const reference = `${rig.debianRegistry}/web/app:${tool}`;
      await loggedIn(PULL_PUSH);
      const pushed = await client.push(layout, reference);
      expectSuccess(pushed);
      expect(pushed.digest).toMatch(/^sha256:[0-9a-f]{64}$/);

      await loggedIn(PULL);
      const pulled = await client.pull(reference);
      expectSuccess(pulled);
      expect(pulled.digest).toBe(pushed.digest);
    });

    test.each([
      ["with a pull-only credential", PULL, "web/app"],
      ["to another repository", PULL_PUSH, "web/other"],
      ["to another namespace", PULL_PUSH, "base/alpine"],
    ])("is refused a push %s", async (_, scopes, repository) => {
      await loggedIn(scopes);
      expectRefusal(await client.push(layout, `${rig.debianRegistry}/${repository}:${tool}-refused`));
      expect(await rig.hasTag(repository, `${tool}-refused`)).toBe(false);
    });

    test("is refused a pull from another repository", async () => {
      const reference = `${rig.debianRegistry}/base/alpine:${tool}`;
      await loggedIn(["repository:base/alpine:pull,push"], "base");
      expectSuccess(await client.push(layout, reference));

      await loggedIn(PULL_PUSH);
      expectRefusal(await client.pull(reference));
    });

    test("is refused everything after expiry", async () => {
      const reference = `${rig.debianRegistry}/web/app:${tool}-expired`;
      const credentials = await rig.brokered(PULL_PUSH);
      expectSuccess(await client.login(rig.debianRegistry, credentials));
      expectSuccess(await rig.later(880, () => client.push(layout, reference)));

      await rig.later(900, async () => {
        expectRefusal(await client.pull(reference));
        expectRefusal(await client.push(layout, `${reference}-2`));
        expectRefusal(await client.login(rig.debianRegistry, credentials));
      });
      expect(await rig.hasTag("web/app", `${tool}-expired-2`)).toBe(false);
    });

    test("cannot log in with a wrong password", async () => {
      const { username, password } = await rig.brokered(PULL);
      expectRefusal(await client.login(rig.debianRegistry, { username, password: `${password}x` }));
    });
  });
}

describe.skipIf(without("skopeo"))("skopeo, byte for byte", () => {
  for (const registry of ["debianRegistry", "sandboxRegistry"] as const) {
    test(`what is pulled from ${registry} is what was pushed`, async () => {
      const layout = await rig.folder();
      const written = await writeImage(layout, `byte for byte ${registry}`);
      const reference = `${rig[registry]}/web/app:bytes`;
      const skopeo = createSkopeo(await rig.folder());
      expectSuccess(await skopeo.login(rig[registry], await rig.brokered(PULL_PUSH)));
      expectSuccess(await skopeo.push(layout, reference));
      expect((await skopeo.pull(reference)).digest).toBe(written.manifest);
      expect(await blobs(skopeo.pulledLayout, written)).toEqual(await blobs(layout, written));
    });
  }

  test("the sandbox's own registry refuses what docker-registry refuses", async () => {
    const layout = await rig.folder();
    await writeImage(layout, "refused");
    const skopeo = createSkopeo(await rig.folder());
    const push = (repository: string) => skopeo.push(layout, `${rig.sandboxRegistry}/${repository}:refused`);
    await skopeo.login(rig.sandboxRegistry, await rig.brokered(PULL));
    expectRefusal(await push("web/app"));

    const credentials = await rig.brokered(PULL_PUSH);
    await skopeo.login(rig.sandboxRegistry, credentials);
    expectRefusal(await push("web/other"));
    expectRefusal(await push("base/alpine"));
    await rig.later(900, async () => expectRefusal(await push("web/app")));
  });
});

describe.skipIf(without("docker"))("the Docker CLI without a daemon", () => {
  test("logs in with brokered credentials, and no longer after expiry", async () => {
    const docker = createDocker(await rig.folder());
    const credentials = await rig.brokered(PULL);
    expectSuccess(await docker.login(rig.debianRegistry, credentials));
    await rig.later(900, async () => expectRefusal(await docker.login(rig.debianRegistry, credentials)));
  });

  test.skipIf(without("skopeo"))("reads the manifest of the repository asked for, and of no other", async () => {
    const layout = await rig.folder();
    const written = await writeImage(layout, "docker");
    const skopeo = createSkopeo(await rig.folder());
    for (const [publishes, repository] of [
      ["web", "web/app"],
      ["base", "base/alpine"],
    ] as const) {
      await skopeo.login(rig.debianRegistry, await rig.brokered([`repository:${repository}:pull,push`], publishes));
      expectSuccess(await skopeo.push(layout, `${rig.debianRegistry}/${repository}:docker`));
    }
    const docker = createDocker(await rig.folder());
    expectSuccess(await docker.login(rig.debianRegistry, await rig.brokered(PULL)));

    const inspected = await docker.inspect(`${rig.debianRegistry}/web/app:docker`);
    expectSuccess(inspected);
    expect(inspected.digest).toBe(written.manifest);
    expectRefusal(await docker.inspect(`${rig.debianRegistry}/base/alpine:docker`));
    await rig.later(900, async () => expectRefusal(await docker.inspect(`${rig.debianRegistry}/web/app:docker`)));
  });
});

/** The image's three blobs as they lie in an OCI layout. */
function blobs(layout: string, { manifest, config, layer }: ImageDigests): Promise<Buffer[]> {
  const paths = [manifest, config, layer].map((digest) =>
    join(layout, "blobs", "sha256", digest.replace("sha256:", "")),
  );
  return Promise.all(paths.map((path) => readFile(path)));
}
