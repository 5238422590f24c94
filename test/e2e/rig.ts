/**
 * What the end-to-end tests stand on: the sandbox cloud with its token realm, and two registries that trust it: Debian's
 * docker-registry, whose enforcement nobody here wrote, and the sandbox's own. All on free loopback ports and in one
 * temporary folder; `close` leaves nothing behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createPrivateKey, randomBytes } from "node:crypto";
import { once } from "node:events";
import { access, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Cloud, startCloud } from "../sandbox/cloud.ts";
import { createRealm } from "../sandbox/realm.ts";
import { createOciRegistry } from "../sandbox/registry.ts";
import { type Brokered, startBrokered } from "./brokered.ts";
import { succeed } from "./run.ts";
import type { Tool } from "./tools.ts";

export const RIG_TOOLS: readonly Tool[] = ["docker-registry", "openssl"];

export interface Rig {
  readonly cloud: Cloud;
  readonly brokered: Brokered["credentials"];
  readonly broker: Pick<Brokered, "url" | "token">;
  /** host:port of Debian's docker-registry, and of the one inside the sandbox. */
  readonly debianRegistry: string;
  readonly sandboxRegistry: string;
  /** A new folder that lives as long as the rig. */
  folder(): Promise<string>;
  /** Runs `action` while the cloud's clock is ahead. The registries keep the real time. */
  later<T>(seconds: number, action: () => Promise<T>): Promise<T>;
  /** Whether docker-registry has the tag, read from its disk. */
  hasTag(repository: string, tag: string): Promise<boolean>;
  close(): Promise<void>;
}

const TOKEN_ISSUER = "sandbox-realm";
const SERVICE = "acr-sandbox";

export async function startRig(): Promise<Rig> {
  // Lower case, which mkdtemp does not promise: podman makes an image's name of the folder that it comes from.
  const root = join(tmpdir(), `acr-e2e-${randomBytes(8).toString("hex")}`);
  await mkdir(root, { mode: 0o700 });
  const keyFile = join(root, "realm.key");
  const certificateFile = join(root, "realm.pem");
  await succeed("openssl", [
    ..."req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=sandbox-realm".split(" "),
    ...["-keyout", keyFile, "-out", certificateFile],
  ]);
  const realm = createRealm({
    issuer: TOKEN_ISSUER,
    service: SERVICE,
    key: createPrivateKey(await readFile(keyFile)),
    certificate: await readFile(certificateFile, "utf8"),
  });

  let aheadSeconds = 0;
  const cloud = await startCloud({
    now: () => new Date(Date.now() + aheadSeconds * 1000),
    handlers: [realm.handler, createOciRegistry({ realm })],
  });
  const data = join(root, "registry");
  const config = registryConfig(data, `${cloud.url}/token`, certificateFile);
  const removeRest = async () => {
    await cloud.close();
    await rm(root, { recursive: true, force: true });
  };
  const registry = await startDebianRegistry(root, config).catch(async (error: unknown) => {
    await removeRest();
    throw error;
  });
  const broker = await startBrokered(cloud, [registry.host]);

  let folders = 0;
  return {
    cloud,
    brokered: broker.credentials,
    broker,
    debianRegistry: registry.host,
    sandboxRegistry: cloud.host,
    folder: async () => {
      const folder = join(root, `folder-${++folders}`);
      await mkdir(folder);
      return folder;
    },
    later: async (seconds, action) => {
      aheadSeconds = seconds;
      try {
        return await action();
      } finally {
        aheadSeconds = 0;
      }
    },
    hasTag: (repository, tag) =>
      access(join(data, "docker/registry/v2/repositories", repository, "_manifests/tags", tag)).then(
        () => true,
        () => false,
      ),
    close: async () => {
      await stop(registry.child);
      await broker.close();
      await removeRest();
    },
  };
}

/** https://distribution.github.io/distribution/about/configuration/. JSON is YAML. */
function registryConfig(rootdirectory: string, realm: string, rootcertbundle: string): string {
  return JSON.stringify({
    version: 0.1,
    log: { level: "info", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory } },
    http: { addr: "127.0.0.1:0", secret: randomBytes(16).toString("hex") },
    auth: { token: { realm, service: SERVICE, issuer: TOKEN_ISSUER, rootcertbundle } },
  });
}

/** On a free port, which it says in its log. */
async function startDebianRegistry(root: string, config: string): Promise<{ host: string; child: ChildProcess }> {
  const configFile = join(root, "registry.yml");
  await writeFile(configFile, config);
  const child = spawn("docker-registry", ["serve", configFile], { stdio: ["ignore", "ignore", "pipe"] });
  const said: string[] = [];
  const host = await new Promise<string>((resolve, reject) => {
    createInterface(child.stderr).on("line", (line) => {
      // Goes on reading after the port is known: a full pipe would stop the registry.
      const listening = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
      if (listening) resolve(listening);
      said.push(line);
    });
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`docker-registry did not start:\n${said.join("\n")}`)));
  });
  return { host, child };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL"); // it keeps nothing worth saving, and would wait for its open connections
  await exited;
}
