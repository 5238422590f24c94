/**
 * The container clients under test, each behind the same few verbs, each with a home, logins and image store of its own.
 * What each needs on a machine without a container engine was tried out by hand; the flags are the result.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Credentials } from "./brokered.ts";
import { type Run, type RunOptions, run, succeed } from "./run.ts";
import type { Tool } from "./tools.ts";

/** A container client that can carry images. `reference` is HOST/NAMESPACE/REPOSITORY:TAG. */
export interface Client {
  login(registry: string, credentials: Credentials): Promise<Run>;
  /** Pushes the image of this OCI layout (tag `latest`). `digest` is the manifest's as pushed, "" when it was refused. */
  push(layout: string, reference: string): Promise<Run & { digest: string }>;
  /** Pulls from the registry, whatever is stored here. `digest` is the manifest's as pulled, "" when it was refused. */
  pull(reference: string): Promise<Run & { digest: string }>;
}

/** Makes a client that keeps all its files in `home`. `environment` is beside what it has anyway. */
export type CreateClient = (home: string, environment?: Environment) => Client;

type Environment = Readonly<Record<string, string>>;

export const CLIENTS = {
  skopeo: createSkopeo,
  podman: createPodman,
  buildah: createBuildah,
} as const satisfies Partial<Record<Tool, CreateClient>>;

/** Copies between registry and OCI layout as it is; `pulledLayout` has what the last pull brought. */
export function createSkopeo(home: string, environment?: Environment): Client & { readonly pulledLayout: string } {
  const options = privateTo(home, environment);
  const pulledLayout = join(home, "pulled");
  const digestFile = join(home, "digest");
  const copy = (args: readonly string[]) =>
    runWithDigest("skopeo", ["copy", "--insecure-policy", "--preserve-digests", ...args], options, digestFile);
  return {
    pulledLayout,
    login: (registry, credentials) => login("skopeo", ["--tls-verify=false"], registry, credentials, options),
    push: (layout, reference) =>
      copy(["--dest-tls-verify=false", `oci:${layout}:latest`, `docker://${reference}`, "--digestfile", digestFile]),
    pull: (reference) =>
      copy([
        "--src-tls-verify=false",
        `docker://${reference}`,
        `oci:${pulledLayout}:latest`,
        "--digestfile",
        digestFile,
      ]),
  };
}

function createPodman(home: string, environment?: Environment): Client {
  const tmpdir = ["--tmpdir", join(home, "libpod")]; // else locks in /run/libpod, shared with everyone on the machine
  return createStoringClient("podman", privateTo(home, environment), home, tmpdir, (reference) => [
    ...["image", "inspect", "--format", "{{.Digest}}", reference],
  ]);
}

function createBuildah(home: string, environment?: Environment): Client {
  return createStoringClient("buildah", privateTo(home, environment), home, [], (reference) => [
    ...["inspect", "--type", "image", "--format", "{{.FromImageDigest}}", reference],
  ]);
}

/** podman and buildah unpack images into a store of their own, and pack them again to push: digests differ from the layout's. */
function createStoringClient(
  command: "podman" | "buildah",
  options: RunOptions,
  home: string,
  more: readonly string[],
  inspect: (reference: string) => readonly string[],
): Client {
  // vfs needs no kernel support and leaves no mounts. By flag: podman ignores STORAGE_DRIVER once --root is given.
  const store = ["--storage-driver", "vfs", "--root", join(home, "root"), "--runroot", join(home, "run")];
  const global = [...store, ...more];
  const digestFile = join(home, "digest");
  const call = (args: readonly string[]) => run(command, [...global, ...args], options);
  return {
    login: (registry, credentials) => login(command, ["--tls-verify=false"], registry, credentials, options, global),
    push: async (layout, reference) => {
      const id = (await succeed(command, [...global, "pull", "-q", `oci:${layout}:latest`], options)).trim();
      const args = ["push", "--tls-verify=false", "--digestfile", digestFile, id, `docker://${reference}`];
      return runWithDigest(command, [...global, ...args], options, digestFile);
    },
    pull: async (reference) => {
      await call(["rmi", "--all", "--force"]); // so that nothing is answered from the store
      const pulled = await call(["pull", "-q", "--tls-verify=false", `docker://${reference}`]);
      if (pulled.code !== 0) return { ...pulled, digest: "" };
      return { ...pulled, digest: (await succeed(command, [...global, ...inspect(reference)], options)).trim() };
    },
  };
}

/** The Docker CLI without a daemon: it logs in and reads manifests, no more. */
export function createDocker(home: string, environment?: Environment) {
  const options = privateTo(home, environment);
  return {
    login: (registry: string, credentials: Credentials) => login("docker", [], registry, credentials, options),
    /** `digest` is the manifest's, "" when it was refused. */
    inspect: async (reference: string): Promise<Run & { digest: string }> => {
      const inspected = await run("docker", ["manifest", "inspect", "--insecure", "--verbose", reference], options);
      if (inspected.code !== 0) return { ...inspected, digest: "" };
      const { Descriptor } = JSON.parse(inspected.stdout) as { Descriptor: { digest: string } };
      return { ...inspected, digest: Descriptor.digest };
    },
    /** Makes a list of one image and pushes it: all that it pushes without a daemon. */
    pushList: async (reference: string, image: string): Promise<Run> => {
      await run("docker", ["manifest", "create", "--insecure", reference, image], options);
      return run("docker", ["manifest", "push", "--insecure", reference], options);
    },
  };
}

function login(
  command: Tool,
  flags: readonly string[],
  registry: string,
  { username, password }: Credentials,
  options: RunOptions,
  global: readonly string[] = [],
): Promise<Run> {
  const args = [...global, "login", ...flags, "--username", username, "--password-stdin", registry];
  return run(command, args, { ...options, stdin: password });
}

async function runWithDigest(command: string, args: readonly string[], options: RunOptions, digestFile: string) {
  const done = await run(command, args, options);
  return { ...done, digest: done.code === 0 ? (await readFile(digestFile, "utf8")).trim() : "" };
}

function privateTo(home: string, environment: Environment = {}): RunOptions {
  return {
    env: {
      HOME: home,
      XDG_RUNTIME_DIR: home,
      TMPDIR: home,
      DOCKER_CONFIG: join(home, "docker"),
      REGISTRY_AUTH_FILE: join(home, "auth.json"),
      ...environment,
    },
  };
}
