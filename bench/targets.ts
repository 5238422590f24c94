/** What is measured: each a server in a process of its own, that says on standard output where it listens. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ANYWHERE, type Place } from "./cores.ts";
import { AUDIENCE } from "./tokens.ts";

export interface Target {
  /** `node`, `hono`, `baseline`, or of a built broker its folder. */
  readonly name: string;
  readonly kind: "floor" | "hono" | "baseline" | "broker";
  /** Arguments of Node. */
  readonly args: readonly string[];
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
}

export interface Running {
  readonly port: number;
  /** Milliseconds of processor time since its start, all threads; undefined where the system does not tell. */
  cpuMs(): number | undefined;
  /** Before and after a collection of garbage. Only of a server that was started for it. */
  memory(): Promise<{ readonly before: NodeJS.MemoryUsage; readonly after: NodeJS.MemoryUsage }>;
  stop(): Promise<void>;
}

export const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROLE_ARN = "acs:ram::1234567890123456:role/acr-web";
const KEYS = {
  ALIBABA_CLOUD_ACCESS_KEY_ID: "STS.bench",
  ALIBABA_CLOUD_ACCESS_KEY_SECRET: "bench-secret",
  ALIBABA_CLOUD_SECURITY_TOKEN: "bench-token",
};

export function floor(): Target {
  return { name: "node", kind: "floor", args: ["floor/node.cjs"], folder: HERE, environment: {} };
}

export function hono(): Target {
  return { name: "hono", kind: "hono", args: ["floor/hono.js"], folder: HERE, environment: {} };
}

export function baseline(cloudUrl: string): Target {
  const environment = {
    ...KEYS,
    ISSUERS: Object.values(issuers(cloudUrl)).join(" "),
    JWKS_URL: `${cloudUrl}/jwks`,
    AUDIENCE,
    CLOUD: cloudUrl,
    ROLE_ARN,
    INSTANCE_ID: "cri-abc123",
  };
  return { name: "baseline", kind: "baseline", args: ["baseline/server.js"], folder: HERE, environment };
}

/** Of one issuer tokens may be used again and again, of the other once, as is the preset for GitHub's. */
export function issuers(cloudUrl: string): { readonly again: string; readonly once: string } {
  return { again: `${cloudUrl}/again`, once: `${cloudUrl}/once` };
}

function policyOf(cloudUrl: string): string {
  const { again, once } = issuers(cloudUrl);
  const grant = (issuer: string) => `
    issuer: ${issuer}
    when: { repository_id: "123456", ref: { any_of: [refs/heads/main, refs/heads/release] } }
    registry: prod
    allow: ["repository:web/*:pull,push", "repository:base/*:pull"]
    role_arn: ${ROLE_ARN}
    max_ttl: 900`;
  return `version: 1
audience: ${AUDIENCE}
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com] }
issuers:
  again: { provider: github, issuer: "${again}", algorithms: [RS256, ES256], replay: off }
  once: { provider: github, issuer: "${once}", algorithms: [RS256, ES256] }
grants:
  web-again:${grant("again")}
  web-once:${grant("once")}
alibaba: { sts_endpoint: "${cloudUrl}", cr_endpoint: "${cloudUrl}" }
budget: { assume_role_per_second: 10000, instances: 1 }
limits: { caller_per_minute: 1000000, failures_per_minute: 1000000 }
`;
}

export interface Prepared {
  readonly target: Target;
  remove(): void;
}

/**
 * The built broker of the folder `dist`, as Function Compute starts it, with a policy of this run's loopback cloud, compiled as
 * `npm run build` compiles one. The policy is loaded and compiled by the sources beside `dist`, where there are any: another
 * build may do that in another way. `more`: lines at the policy's end, and what they need of the environment.
 * @throws Error where that build does not take the policy as compiled, and so would be measured reading YAML
 */
export async function prepareBroker(
  dist: string,
  cloudUrl: string,
  more: { readonly policy: string; readonly environment: Readonly<Record<string, string>> } = {
    policy: "",
    environment: {},
  },
): Promise<Prepared> {
  const built = resolve(dist);
  const code = join(built, "server.cjs");
  if (!existsSync(code)) throw new Error(`${code} is not there: npm run build makes it`);
  const folder = mkdtempSync(join(tmpdir(), "acr-broker-bench-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    for (const name of readdirSync(built)) {
      cpSync(join(built, name), join(folder, name), { recursive: true, preserveTimestamps: true });
    }
    const environment = { ...KEYS, BROKER_HOST: "127.0.0.1", FC_SERVER_PORT: "0", ...more.environment };
    const target: Target = { name: dist, kind: "broker", args: ["server.cjs"], folder, environment };
    const beside = join(built, "../shared/config");
    await givePolicy(
      target,
      policyOf(cloudUrl) + more.policy,
      existsSync(beside) ? beside : join(HERE, "../shared/config"),
    );
    return { target, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

async function givePolicy(target: Target, policy: string, sourcesAt: string): Promise<void> {
  const { compile } = await load<typeof import("../shared/config/compiled.ts")>(sourcesAt, "compiled.ts");
  const { loadConfig } = await load<typeof import("../shared/config/load.ts")>(sourcesAt, "load.ts");
  const file = join(target.folder, "broker.yaml");
  const compiled = join(target.folder, "broker.compiled.json");
  const [head = ""] = readFileSync(compiled, "utf8").split("\n", 1);
  const { loader } = JSON.parse(head) as { loader: string };
  writeFileSync(file, policy);
  const sources: { name: string; bytes: Uint8Array }[] = [];
  const config = loadConfig(file, ({ bytes }) => sources.push({ name: "broker.yaml", bytes }));
  // First with a digest that no policy has: only a broker that took the compiled one can tell of it.
  writeFileSync(compiled, compile({ ...config, digest: "of-the-compiled" }, sources, loader));
  const { started, stop } = await startTarget(target, ANYWHERE);
  await stop();
  if (!started.includes("of-the-compiled")) {
    throw new Error(`${target.name} was built by other sources than ${resolve(sourcesAt)}: run npm run build there`);
  }
  writeFileSync(compiled, compile(config, sources, loader));
}

function load<Module>(folder: string, name: string): Promise<Module> {
  return import(pathToFileURL(join(folder, name)).href) as Promise<Module>;
}

/** Resolves as soon as it says where it listens; `started` is what it said. @throws Error with its words where it ends before */
export async function startTarget(
  target: Target,
  place: Place,
  watched: { readonly memory?: boolean } = {},
): Promise<Running & { readonly started: string }> {
  const collecting = watched.memory ? ["--expose-gc", "--require", join(HERE, "collect.cjs")] : [];
  const command = [place.node, ...collecting, ...target.args];
  const { core } = place;
  const [program = "", ...args] = core === undefined ? command : ["taskset", "-c", String(core), ...command];
  const child = spawn(program, args, {
    cwd: target.folder,
    env: { PATH: process.env["PATH"], ...target.environment },
    stdio: ["ignore", "pipe", "pipe", ...(watched.memory ? (["ipc"] as const) : [])],
  });
  const exited = once(child, "exit");
  const { port, line } = await listening(child, target.name);
  const { pid } = child as { pid: number };
  return {
    port,
    started: line,
    cpuMs: () => cpuMs(pid),
    memory: async () => {
      child.send("now");
      return (await once(child, "message"))[0];
    },
    stop: async () => {
      child.kill("SIGKILL"); // nothing of it is wanted any more, and stopping in order takes its time
      await exited;
    },
  };
}

function listening(child: ChildProcess, name: string): Promise<{ port: number; line: string }> {
  return new Promise((resolve, reject) => {
    let told = "";
    const hear = (chunk: string) => {
      told += chunk;
      const found = /^.*listening on 127\.0\.0\.1:(\d+).*$/m.exec(told);
      if (found === null) return;
      // What it logs from now on has to be taken, or it would wait for room to write.
      for (const stream of [child.stdout, child.stderr]) stream?.removeListener("data", hear).resume();
      resolve({ port: Number(found[1]), line: found[0] });
    };
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", hear);
    child.once("error", reject);
    child.once("close", (code) => reject(new Error(`${name} ended with ${code}: ${told}`)));
  });
}

/** proc(5): the first number of a thread's schedstat is its time on a processor, in nanoseconds. `stat` counts in hundredths of a second. */
function cpuMs(pid: number): number | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const times = threads.map((id) => readFileSync(`/proc/${pid}/task/${id}/schedstat`, "utf8").split(" ", 1)[0]);
    return times.reduce((sum, time) => sum + Number(time), 0) / 1e6;
  } catch {
    return undefined;
  }
}
