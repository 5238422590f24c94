/** The built broker as a process of its own, started as Function Compute starts it, with a policy for the sandbox. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const AUDIENCE = "https://acr-broker.example.com";
export const FUNCTION_ROLE = "acs:ram::1234567890123456:role/acr-token-broker";

/** What `npm run build` makes. */
export const DIST = fileURLToPath(new URL("../../dist/", import.meta.url));

export interface BrokerProcess {
  readonly url: string;
  /** All that it wrote so far, standard output and error. */
  output(): string;
  /** The exit code, when it ends. */
  readonly ended: Promise<number | null>;
  readonly child: ChildProcess;
  /** Sends the signal and waits for the end; the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

export interface BrokerProcessOptions {
  readonly policy: string;
  /** Beside the policy, by name. */
  readonly files?: Readonly<Record<string, string>>;
  readonly port?: number;
  /** The function role's keys. */
  readonly keys: { readonly accessKeyId: string; readonly accessKeySecret: string; readonly securityToken: string };
  /** Beside what every broker has. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Another folder than dist/ for server.cjs to run in. */
  readonly code?: string;
  /** Another Node than this one. */
  readonly node?: string;
  /** Options of Node's; there is IPC then, for what is loaded by them. */
  readonly nodeOptions?: readonly string[];
  /** Sees each line that it writes. */
  readonly onLine?: (line: string) => void;
}

export async function startBrokerProcess({
  policy,
  files = {},
  port = 0,
  keys,
  environment = {},
  code = DIST,
  node,
  nodeOptions = [],
  onLine,
}: BrokerProcessOptions): Promise<BrokerProcess> {
  const folder = await mkdtemp(join(tmpdir(), "acr-broker-"));
  for (const [name, text] of Object.entries({ ...files, "broker.yaml": policy })) {
    await writeFile(join(folder, name), text);
  }
  const child = spawn(node ?? process.execPath, [...nodeOptions, join(code, "server.cjs")], {
    stdio: ["ignore", "pipe", "pipe", ...(nodeOptions.length > 0 ? (["ipc"] as const) : [])],
    env: {
      ...environment,
      PATH: process.env["PATH"],
      BROKER_CONFIG: join(folder, "broker.yaml"),
      BROKER_HOST: "127.0.0.1",
      FC_SERVER_PORT: String(port),
      ALIBABA_CLOUD_ACCESS_KEY_ID: keys.accessKeyId,
      ALIBABA_CLOUD_ACCESS_KEY_SECRET: keys.accessKeySecret,
      ALIBABA_CLOUD_SECURITY_TOKEN: keys.securityToken,
    },
  });
  const written: string[] = [];
  const exited = once(child, "exit") as Promise<[number | null]>;
  void exited.then(() => rm(folder, { recursive: true, force: true }));
  const url = await started(child, (line) => {
    written.push(line);
    onLine?.(line);
  });
  return {
    url,
    child,
    output: () => written.join("\n"),
    ended: exited.then(([code]) => code),
    stop: async (signal = "SIGTERM") => {
      child.kill(signal);
      return (await exited)[0];
    },
  };
}

/** Resolves with the URL when the log says that it listens; rejects with what was written when it ends before. */
function started(child: ChildProcess, onLine: (line: string) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const lines: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream as NodeJS.ReadableStream).on("line", (line) => {
        lines.push(line);
        onLine(line);
        const port = /"event":"started".*listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
        if (port !== undefined) resolve(`http://127.0.0.1:${port}`);
      });
    }
    child.once("error", reject);
    // `close`, not `exit`: by then everything it wrote has been read.
    child.once("close", (code) => reject(new Error(`the broker ended with ${code}:\n${lines.join("\n")}`)));
  });
}

/** The policy of the demo and of `npm run dev`: CI tokens as GitHub makes them, from the sandbox's issuer. */
export function sandboxPolicy(where: {
  cloudUrl: string;
  issuerUrl: string;
  registryHost: string;
  /** Of the same registry, as its VPC address or a domain of one's own. */
  moreHosts?: readonly string[];
}): string {
  const endpoints = JSON.stringify([where.registryHost, ...(where.moreHosts ?? [])]);
  return `version: 1
audience: ${AUDIENCE}
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: ${endpoints} }
issuers:
  ci: { provider: github, issuer: "${where.issuerUrl}" }
grants:
  web-main:
    issuer: ci
    when:
      repository_id: "123456"
      ref: { any_of: [refs/heads/main, refs/heads/release] }
    registry: prod
    allow: ["repository:web/*:pull,push", "repository:base/*:pull"]
    role_arn: acs:ram::1234567890123456:role/acr-web
    max_ttl: 1800
    create_repository: true
  base-main:
    issuer: ci
    when: { repository_id: "777", ref: refs/heads/main }
    registry: prod
    allow: ["repository:base/*:pull,push"]
    role_arn: acs:ram::1234567890123456:role/acr-web
    max_ttl: 900
alibaba: { sts_endpoint: "${where.cloudUrl}", cr_endpoint: "${where.cloudUrl}" }
`;
}

/** Claims of a job on a branch of the repository that publishes web/, or of the one that publishes base/. */
export function jobClaims(branch: string, publishes: "web" | "base" = "web"): Record<string, string> {
  const ref = `refs/heads/${branch}`;
  return { sub: `repo:acme/${publishes}:ref:${ref}`, repository_id: publishes === "web" ? "123456" : "777", ref };
}
