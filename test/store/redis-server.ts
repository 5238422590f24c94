/** A real redis-server on a free port of this machine, which a test can kill, freeze and read. It keeps nothing on disk. */

import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Redis } from "ioredis";

export interface RedisServer {
  readonly port: number;
  /** For looking at it: every right, and no hurry. */
  readonly admin: Redis;
  /** All that it holds, hashes and texts: names, values and how long they live. */
  dump(): Promise<{ key: string; fields: Record<string, string>; livesMs: number }[]>;
  /** When nobody but the admin is connected. */
  deserted(): Promise<void>;
  /** It stops in the middle of what it does; the machine still takes connections for it. */
  freeze(): void;
  thaw(): void;
  kill(): Promise<void>;
  /** Killed if it lives; empty, on the same port. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** `config`: lines of redis.conf beside those that a test server has. The admin is the default user without a password. */
export async function startRedisServer(config: readonly string[] = []): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), "redis-"));
  const port = await freePort();
  const lines = ["bind 127.0.0.1", `port ${port}`, 'save ""', "appendonly no", `dir ${folder}`, ...config];
  let child = await launch(lines);
  // It may be killed under way, and is asked again when it is back.
  const admin = new Redis({ host: "127.0.0.1", port, retryStrategy: () => 20, maxRetriesPerRequest: null });
  admin.on("error", () => {});

  async function kill(): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  async function deserted(): Promise<void> {
    const connections = async () =>
      String(await admin.client("LIST"))
        .trim()
        .split("\n").length;
    while ((await connections()) > 1) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  return {
    port,
    admin,
    async dump() {
      const keys = await admin.keys("*");
      return Promise.all(
        keys.sort().map(async (key) => ({
          key,
          fields:
            (await admin.type(key)) === "string" ? { text: String(await admin.get(key)) } : await admin.hgetall(key),
          livesMs: await admin.pttl(key),
        })),
      );
    },
    deserted,
    freeze: () => child.kill("SIGSTOP"),
    thaw: () => child.kill("SIGCONT"),
    kill,
    async restart() {
      await kill();
      child = await launch(lines);
    },
    async close() {
      admin.disconnect();
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * For a server that takes no port 0, or comes back on its port: below the ports that Linux gives to connections, since a client that asks for
 * one of those on its own machine while nobody listens may come to be connected with itself. Should somebody take it meanwhile, the start fails.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(15_000, 32_768);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false, // `once` rejects when there is an error first
    );
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

async function launch(config: readonly string[]): Promise<ChildProcess> {
  // The configuration by standard input: it may hold a password.
  const child = spawn("redis-server", ["-"], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(`${config.join("\n")}\n`);
  const said: string[] = [];
  await new Promise<void>((resolve, reject) => {
    createInterface(child.stdout).on("line", (line) => {
      if (/Ready to accept connections/.test(line)) resolve();
      said.push(line);
    });
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`redis-server did not start:\n${said.join("\n")}`)));
  });
  return child;
}
