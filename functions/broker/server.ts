/** Starts the broker as a process: reads the environment and the configuration, listens, stops in order. */

import { randomBytes, randomUUID } from "node:crypto";
import { writeSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import packageJson from "../../package.json" with { type: "json" };
import { lines } from "../../shared/audit/lines.ts";
import { jsonLog, type Log } from "../../shared/audit/log.ts";
import { BLOCK_VARIABLE } from "../../shared/config/block-places.ts";
import { LOADER, readCompiled } from "../../shared/config/compiled.ts";
import type { BrokerConfig, ConfigError } from "../../shared/config/config.ts";
import { broker } from "./app.ts";
import { auditSink, authorizationProblem, withSink } from "./audit-sink/make.ts";
import { blockVariableProblem, MOST_BLOCK_BYTES } from "./blocks.ts";
import { withoutUse } from "./client-address.ts";
import { CONNECTION_LIMITS, limitConnections } from "./http/connections.ts";
import { nodeFetch } from "./http/fetch.ts";
import { listener, socketAddress } from "./http/listener.ts";
import { type Loop, shedding, sheddingListener } from "./http/shedding.ts";
import { secretProblem } from "./instances-share.ts";
import { headerProblem } from "./tracing.ts";

/** For requests under way when the process is told to stop; longer than any may take upstream. */
const LONGEST_DRAIN_MS = 12_000;

/** `fromCache`: whether V8 had compiled this code beforehand; see code-cache/load.ts. */
export async function serve(fromCache: boolean): Promise<void> {
  const { env: environment } = process;
  // The vendor's HTTP client prints headers, keys among them, where DEBUG says so.
  delete environment["DEBUG"];
  const file = environment["BROKER_CONFIG"] || "./broker.yaml";
  const config = await readConfig(file);
  if (config === undefined) return;
  const problem =
    secretProblem(config, environment) ??
    authorizationProblem(config, environment) ??
    headerProblem(config, environment) ??
    blockVariableProblem(environment[BLOCK_VARIABLE]);
  if (problem !== undefined) {
    fail(problem);
    return;
  }
  const portText = environment["FC_SERVER_PORT"] || environment["FC_CUSTOM_LISTEN_PORT"] || "9000";
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : Number.NaN;
  if (!(port <= 65_535)) {
    fail(`the port is ${JSON.stringify(portText)}; set FC_SERVER_PORT to a number up to 65535`);
    return;
  }

  const now = () => new Date();
  const { fetchAgain, ...net } = nodeFetch(
    async (protocol) => (await (protocol === "https:" ? import("node:https") : import("node:http"))).request,
  );
  const loop = eventLoop();
  const later = {
    soon: loop.soon,
    after: (ms: number, callback: () => void) => {
      const timer = setTimeout(callback, ms);
      return () => clearTimeout(timer);
    },
  };
  let linesDropped = 0;
  const out = lines({
    ...later,
    // Of an error the stream tells the process, which ends: what cannot be recorded must not be issued.
    output: (text, done) => void process.stdout.write(text, (error) => error || done()),
    onDropped: (count) => {
      linesDropped += count;
      log({
        event: "warning",
        message: `standard output was blocked: ${count} lines are missing here, and no credential was given out without its line`,
      });
    },
  });
  const sink =
    config.audit &&
    auditSink(config.audit, {
      ...later,
      now,
      environment,
      fetchAgain,
      folder: dirname(file),
      instance: randomBytes(6).toString("hex"),
      warn: (message) => log({ event: "warning", message }),
    });
  const { write, written } = withSink(out, sink);
  const log = jsonLog(write, now);
  process.on("exit", () => writeRest(out.rest()));
  const { fetch, health, flush, close } = broker(
    config,
    packageJson.version,
    {
      now,
      sleep: (ms) => sleep(ms),
      random: Math.random,
      ...net,
      environment,
      socketAddress,
      readBeside: (name) => readStart(resolve(dirname(file), name), MOST_BLOCK_BYTES + 1),
      newRequestId: randomUUID,
      randomBytes,
      log,
      policyFile: file,
      written,
      linesDropped: () => linesDropped,
      ...(sink === undefined ? {} : { isAuditSinkUp: sink.isUp }),
      onKeysExpired: () => stop("the function role's keys have expired", 1),
    },
    await readShadow(file, config, log),
  );

  // Places that are taken and left again, and no Set: V8 makes a Set that much goes in and out of again and again, and what was in the
  // one before lives, with all that hangs on it, until the next great collection.
  const underWay: (ServerResponse | undefined)[] = [];
  const free: number[] = [];
  const answer = listener(fetch, randomUUID);
  const shed = shedding(loop, (refused) => log({ event: "warning", message: sheddingMessage(refused) }));
  const server = createServer(
    CONNECTION_LIMITS,
    sheddingListener(answerAndCount, shed, () => underWay.length - free.length, randomUUID),
  );

  limitConnections(server);

  function answerAndCount(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const place = free.pop() ?? underWay.length;
    underWay[place] = outgoing;
    outgoing.once("close", () => {
      underWay[place] = undefined;
      free.push(place);
    });
    answer(incoming, outgoing);
  }

  function stop(why: string, exitCode: number): void {
    if (health.draining) return;
    health.draining = true;
    process.exitCode = exitCode;
    log({ event: "stopping", message: why });
    drain(server, underWay).then(async (cutOff) => {
      await flush();
      close();
      log({
        event: "stopped",
        message: cutOff === 0 ? "all requests were answered" : `${cutOff} requests were cut off`,
      });
    });
  }
  process.on("SIGTERM", () => stop("SIGTERM", 0));
  process.on("SIGINT", () => stop("SIGINT", 0));

  server.on("error", (error: NodeJS.ErrnoException) => {
    close();
    fail(`cannot listen on ${host}:${port}: ${error.code ?? error.name}`);
  });
  const host = environment["BROKER_HOST"] || "0.0.0.0";
  server.listen(port, host, () => {
    const { address, port: listening } = server.address() as AddressInfo;
    log({
      event: "started",
      message: `listening on ${address}:${listening}, policy ${file}`,
      policy_digest: config.digest,
      code_cache: fromCache,
    });
    for (const message of withoutUse(config, environment)) log({ event: "warning", message });
  });
}

/** `soon`: for what is to be done once for all requests of a turn. */
function eventLoop(): Loop & { readonly soon: (callback: () => void) => void } {
  let waiting: (() => void)[] = [];
  function hurry(): void {
    const callbacks = waiting;
    waiting = [];
    for (const callback of callbacks) callback();
  }
  return {
    now: () => Number(process.hrtime.bigint()) / 1e6,
    // Loaded when there is more to do than can be done: a start does without it.
    rested: () =>
      (require("node:perf_hooks") as typeof import("node:perf_hooks")).performance.eventLoopUtilization().idle,
    afterTurn: setImmediate,
    soon: (callback) => {
      if (waiting.push(callback) === 1) setImmediate(hurry);
    },
    hurry,
  };
}

function sheddingMessage(refused: number | undefined): string {
  return refused === undefined
    ? "more requests come than this instance can answer: it answers as many as it can in time, and refuses the others with 503"
    : `all requests are answered again; ${refused} were refused`;
}

/** No more of a file than that. */
async function readStart(path: string, mostBytes: number): Promise<Uint8Array> {
  const { open } = await import("node:fs/promises");
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(mostBytes), 0, mostBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Of a process that ends in the middle of a turn: as much as standard output takes at once. */
function writeRest(text: string): void {
  try {
    if (text !== "") writeSync(1, text);
  } catch {
    // It is blocked or closed, and nothing of these lines has left.
  }
}

function fail(why: string): void {
  process.stderr.write(`acr-token-broker: ${why}\n`);
  process.exitCode = 1;
}

/** As the build compiled it, where it did so of these very files; only beside this code, whose writers need no such way in. */
async function readConfig(file: string): Promise<BrokerConfig | undefined> {
  try {
    const compiled = LOADER && readCompiled(join(__dirname, "broker.compiled.json"), file, LOADER);
    // Loaded only then: the YAML reader and the schema cost a good part of a start.
    return compiled || (await import("../../shared/config/load.ts")).loadConfig(file);
  } catch (error) {
    if (!isConfigError(error)) throw error;
    process.stderr.write(`${error.message}\nacr-token-broker: not started: ${file} has to be mended first\n`);
    process.exitCode = 1;
    return undefined;
  }
}

/** By its name: the loader is built into a file of its own, which has a class of its own. */
function isConfigError(error: unknown): error is ConfigError {
  return error instanceof Error && error.name === "ConfigError";
}

/** The policy that is asked beside; one that cannot be used is a warning, since it must not hurt what serves. */
async function readShadow(file: string, { shadow }: BrokerConfig, log: Log): Promise<BrokerConfig | undefined> {
  if (shadow === undefined) return undefined;
  try {
    return (await import("../../shared/config/load.ts")).loadConfig(resolve(dirname(file), shadow));
  } catch (error) {
    if (!isConfigError(error)) throw error;
    const [first = ""] = error.message.split("\n");
    log({
      event: "warning",
      message: `the shadow policy is not asked: ${first} (acr-broker check ${shadow} shows all)`,
    });
    return undefined;
  }
}

/**
 * Takes no new connections, lets requests under way finish, then closes all that is left, also connections that never sent a
 * request. Answers how many requests were cut off.
 */
async function drain(server: Server, underWay: readonly (ServerResponse | undefined)[]): Promise<number> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  let cutOff = 0;
  const limit = setTimeout(() => {
    cutOff = underWay.filter((response) => response !== undefined).length;
    server.closeAllConnections();
  }, LONGEST_DRAIN_MS);
  for (const response of underWay)
    if (response?.closed === false) await new Promise((resolve) => response.once("close", resolve));
  server.closeAllConnections();
  await closed;
  clearTimeout(limit);
  return cutOff;
}
