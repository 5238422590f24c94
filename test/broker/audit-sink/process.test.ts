/** The built broker and its audit sink, each a process that can be frozen, killed and started again; a disk that is full, a folder that is gone. */

import { type ChildProcess, execFile, fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { plantCanaries } from "../../canaries.ts";
import {
  type BrokerProcess,
  FUNCTION_ROLE,
  jobClaims,
  sandboxPolicy,
  startBrokerProcess,
} from "../../sandbox/broker-process.ts";
import { type Cloud, startCloud } from "../../sandbox/cloud.ts";
import { type Issuer, startIssuer } from "../../sandbox/issuer.ts";
import { read } from "../harness.ts";

const RELAY = fileURLToPath(new URL("../../soak/relay.cjs", import.meta.url));
const CLI = fileURLToPath(new URL("../../../build/acr-broker.cjs", import.meta.url));
/** A sink may take two seconds; what more a busy machine needs. */
const LONGEST_MS = 2_000 + 1_500;
/** Without waiting for the sink. */
const AT_ONCE_MS = 1_900;
const AUTHORIZATION = "Bearer 4f1c8a2e9d7b6a5f4e3d";
plantCanaries([AUTHORIZATION.slice("Bearer ".length)]);

let cloud: Cloud;
let issuer: Issuer;
let folder: string;
beforeAll(async () => {
  [cloud, issuer] = await Promise.all([startCloud(), startIssuer()]);
});
afterAll(() => Promise.all([cloud.close(), issuer.close()]));

const opened: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "audit-"));
});
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
  rmSync(folder, { recursive: true, force: true });
});

async function start(audit: string): Promise<BrokerProcess> {
  const where = { cloudUrl: cloud.url, issuerUrl: issuer.url, registryHost: cloud.host };
  const broker = await startBrokerProcess({
    policy: `${sandboxPolicy(where)}audit: ${audit}\n`,
    keys: cloud.functionRoleKeys(FUNCTION_ROLE),
    environment: { AUDIT_AUTHORIZATION: AUTHORIZATION },
  });
  opened.push(() => broker.stop());
  return broker;
}

const tokens: string[] = [];

async function mint(branch: string): Promise<string> {
  const token = await issuer.mint(jobClaims(branch));
  tokens.push(token);
  plantCanaries([token.split(".")[2] as string]);
  return token;
}

async function ask({ url }: BrokerProcess, given?: string) {
  const token = given ?? (await mint("main"));
  const begun = performance.now();
  const response = await fetch(`${url}/v1/token`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: new URLSearchParams({ scope: "repository:web/app:pull" }),
  });
  const { code, detail } = await read(response);
  const requestId = response.headers.get("x-request-id");
  return { status: response.status, code, detail, requestId, tookMs: performance.now() - begun };
}

const sinkState = async ({ url }: BrokerProcess) => {
  const response = await fetch(`${url}/readyz`);
  const { audit_sink: state } = (await response.json()) as { audit_sink: unknown };
  const counted = await fetch(`${url}/metrics`).then((answer) => answer.text());
  expect(counted).toContain(`\nacr_broker_audit_sink_up ${state === "up" ? 1 : 0}\n`);
  return [response.status, state];
};
/** What it wrote before it answered may come here after the answer. */
const soon = (assertion: () => void) => vi.waitFor(assertion, { timeout: 5_000, interval: 10 });
const logged = (broker: BrokerProcess) =>
  broker
    .output()
    .split("\n")
    .filter((line) => /"event":"(?:decision|refused)"/.test(line));
const warnings = (broker: BrokerProcess) =>
  broker
    .output()
    .split("\n")
    .flatMap((line) => /"message":"(the audit sink[^"]*)"/.exec(line)?.[1] ?? []);

/** A collector, and before it a process that can be frozen or killed in its place. */
async function startCollector() {
  const bodies: string[] = [];
  const headers = new Set<string | undefined>();
  const server: Server = createServer(async (asked, response) => {
    headers.add(asked.headers.authorization);
    bodies.push(await text(asked));
    response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  opened.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const behind = (server.address() as AddressInfo).port;
  let relay: ChildProcess;
  let port = 0;
  async function startRelay(): Promise<void> {
    relay = fork(RELAY, [String(port), String(behind)]);
    [port] = (await once(relay, "message")) as [number];
  }
  await startRelay();
  opened.push(() => relay.kill("SIGKILL"));
  return {
    audit: (whenUnavailable: string) =>
      `{ url: "http://127.0.0.1:${port}/events", authorization_env: AUDIT_AUTHORIZATION, when_unavailable: ${whenUnavailable} }`,
    lines: () => bodies.join("").split("\n").filter(Boolean),
    headers,
    freeze: () => relay.kill("SIGSTOP"),
    thaw: () => relay.kill("SIGCONT"),
    kill: async () => {
      relay.kill("SIGKILL");
      await once(relay, "exit");
    },
    startAgain: startRelay,
  };
}

describe("a collector", () => {
  test("has the very lines of standard output, with the header from the environment, and acr-broker audit reads them", async () => {
    const collector = await startCollector();
    const broker = await start(collector.audit("refuse"));
    expect((await ask(broker)).status).toBe(200);
    expect((await ask(broker, "no.token.atall")).status).toBe(401);
    expect((await ask(broker, await mint("other"))).status).toBe(403);
    expect((await ask(broker)).status).toBe(200);
    expect(await sinkState(broker)).toEqual([200, "up"]);
    await soon(() => expect(logged(broker)).toHaveLength(4));
    expect([collector.lines(), [...collector.headers]]).toEqual([logged(broker), [AUTHORIZATION]]);

    const reading = promisify(execFile)(process.execPath, [CLI, "audit", "-", "--json"]);
    reading.child.stdin?.end(`${collector.lines().join("\n")}\n`);
    const { given, log } = JSON.parse((await reading).stdout) as { given: unknown[]; log: unknown };
    expect(given).toEqual([
      expect.objectContaining({ principal: "ci:repo:acme/web:ref:refs/heads/main", credentials: 2 }),
    ]);
    expect(log).toMatchObject({ decisions: 3, refused: 1, other: 0, damaged: 0 });
    expect(await broker.stop()).toBe(0);
    await soon(() => expect(warnings(broker)).toEqual([]));
    const secrets = [AUTHORIZATION, ...cloud.secrets(), ...tokens.map((token) => token.split(".")[2] as string)];
    for (const text of [broker.output(), collector.lines().join()]) {
      expect(secrets.filter((secret) => text.includes(secret))).toEqual([]);
    }
  });

  test("refuse: killed or frozen it costs the credential, at most two seconds, and no token; when it is back, all is as before", async () => {
    const collector = await startCollector();
    const broker = await start(collector.audit("refuse"));
    const given: unknown[] = [];
    const isGiven = async (token?: string) => {
      const { status, requestId } = await ask(broker, token);
      expect(status).toBe(200);
      given.push(requestId);
    };
    await isGiven();

    await collector.kill();
    // Each token may be used once.
    const token = await mint("main");
    for (let count = 0; count < 3; count++) {
      const { tookMs, requestId: _, ...refused } = await ask(broker, token);
      expect(refused).toEqual({
        status: 503,
        code: "not_ready",
        detail:
          "what is decided cannot be recorded at the moment; try again, and tell the broker's operator if it stays so",
      });
      expect(tookMs).toBeLessThan(AT_ONCE_MS);
    }
    expect(await sinkState(broker)).toEqual([200, "down"]);
    expect((await ask(broker, "no.token.atall")).status).toBe(401);
    await collector.startAgain();
    await isGiven(token);
    expect(await sinkState(broker)).toEqual([200, "up"]);

    collector.freeze();
    const frozen = await Promise.all(Array.from({ length: 20 }, () => ask(broker)));
    expect(new Set(frozen.map(({ status }) => status))).toEqual(new Set([503]));
    expect(Math.max(...frozen.map(({ tookMs }) => tookMs))).toBeLessThan(LONGEST_MS);
    const during = performance.now();
    expect((await ask(broker, "no.token.atall")).status).toBe(401);
    expect(performance.now() - during).toBeLessThan(AT_ONCE_MS);
    collector.thaw();
    await isGiven();

    const has = collector
      .lines()
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .flatMap(({ issued, request_id: id }) => (issued === true ? [id] : []));
    expect(has).toEqual(expect.arrayContaining(given));
    await soon(() =>
      expect(warnings(broker)).toEqual([
        expect.stringMatching(
          /^the audit sink \(http:\/\/127\.0\.0\.1:\d+\) does not take events \((?:ECONNREFUSED|ECONNRESET)\): no credential leaves until it does; 1 events/,
        ),
        expect.stringContaining("takes events again; "),
      ]),
    );
  });

  test("continue: killed or frozen it costs two seconds once, and what it lacks is on standard output and counted", async () => {
    const collector = await startCollector();
    const broker = await start(collector.audit("continue"));
    collector.freeze();
    const first = await ask(broker);
    expect([first.status, first.tookMs < LONGEST_MS]).toEqual([200, true]);
    const second = await ask(broker);
    expect([second.status, second.tookMs < AT_ONCE_MS]).toEqual([200, true]);
    expect(await sinkState(broker)).toEqual([200, "down"]);
    await collector.kill();
    expect((await ask(broker)).status).toBe(200);
    await soon(() =>
      expect(warnings(broker)).toEqual([
        expect.stringMatching(/\((?:no answer|nothing) within 2 s\): credentials leave all the same; \d events/),
      ]),
    );
    await soon(() => expect(logged(broker)).toHaveLength(3));
    expect(collector.lines()).toEqual([]);
  });
});

describe("a file", () => {
  test("each instance's own has its lines, and acr-broker audit reads them all", async () => {
    const audit = `{ file: "${folder}/broker-{instance}.jsonl" }`;
    const brokers = await Promise.all([start(audit), start(audit)]);
    for (const broker of brokers) expect((await ask(broker)).status).toBe(200);
    await soon(() => expect(brokers.map((broker) => logged(broker).length)).toEqual([1, 1]));
    const files = readdirSync(folder).map((name) => join(folder, name));
    expect(files).toEqual(Array(2).fill(expect.stringMatching(/\/broker-[0-9a-f]{12}\.jsonl$/)));
    expect(files.map((file) => readFileSync(file, "utf8")).sort()).toEqual(
      brokers.map((broker) => `${logged(broker).join("\n")}\n`).sort(),
    );
    const { stdout } = await promisify(execFile)(process.execPath, [CLI, "audit", ...files, "--json"]);
    expect((JSON.parse(stdout) as { given: unknown[] }).given).toEqual([expect.objectContaining({ credentials: 2 })]);
  });

  test("on a disk that is full: refuse gives nothing, continue gives", async () => {
    const refusing = await start("{ file: /dev/full }");
    expect(await ask(refusing)).toMatchObject({ status: 503, code: "not_ready" });
    await soon(() =>
      expect(warnings(refusing)).toEqual([
        expect.stringContaining(
          "(/dev/full) does not take events (ENOSPC): no credential leaves until it does; 1 events",
        ),
      ]),
    );
    const going = await start("{ file: /dev/full, when_unavailable: continue }");
    expect((await ask(going)).status).toBe(200);
    await soon(() =>
      expect(warnings(going)).toEqual([expect.stringContaining("(ENOSPC): credentials leave all the same; 1 events")]),
    );
  });

  test("whose folder is not there is told at the start, and is used once it is", async () => {
    const mount = join(folder, "mount");
    const broker = await start(`{ file: ${mount}/audit.jsonl }`);
    expect(await ask(broker)).toMatchObject({ status: 503, code: "not_ready" });
    expect(await sinkState(broker)).toEqual([200, "down"]);
    await soon(() => expect(warnings(broker)).toEqual([expect.stringContaining("(ENOENT)")]));
    mkdirSync(mount);
    expect((await ask(broker)).status).toBe(200);
    expect(await sinkState(broker)).toEqual([200, "up"]);
  });
});

describe("a caller", () => {
  const FORGED =
    '{"time":"2026-06-01T12:00:00.000Z","event":"decision","version":1,"issued":true,"subject":"somebody"}';
  const HOSTILE = {
    "a line of its own": `job\n${FORGED}\r\n${FORGED}\u2028${FORGED}\u0085`,
    "the end of the string": `job","outcome":"allow"}\n${FORGED}`,
    "what a terminal does":
      "\u001b[2J\u001b]0;owned\u0007\u001b]8;;http://evil.example\u0007\u009b31m\u202e\u0000\b\u007f",
    "half a character": "\ud800 and \udfff",
    "as many letters as a token has room for": `${"\u001b[2J\n".repeat(50)}${"x".repeat(4_800)}`,
    "more than a token has room for": `${"\u001b[2J\n".repeat(50)}${"x".repeat(9_700)}`,
  };

  test.each(Object.entries(HOSTILE))(
    "whose name has %s in it has one line in the sink, and no way to who reads it",
    async (_, sub) => {
      const file = join(folder, "audit.jsonl");
      const broker = await start(`{ file: ${file} }`);
      const token = await issuer.mint({ ...jobClaims("main"), sub });
      const response = await fetch(`${broker.url}/oauth2/token`, {
        method: "POST",
        body: new URLSearchParams({
          grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
          subject_token: token,
          subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
          scope: "repository:web/app:pull",
        }),
      });
      // A refusal does not wait for it.
      await soon(() => expect(readFileSync(file, "utf8")).not.toBe(""));
      const [line = "", ...others] = readFileSync(file, "utf8").split("\n");
      const event = JSON.parse(line) as Record<string, unknown>;
      expect(others).toEqual([""]);
      if (sub.length < 9_000) expect(event).toMatchObject({ event: "decision", issued: true, subject: sub });
      else expect(line).toMatch(/"code":"invalid_token"(?!.*x{10})/);
      expect(response.status).toBe(sub.length < 9_000 ? 200 : 400);

      const read = (...args: string[]) =>
        promisify(execFile)(process.execPath, [CLI, "audit", file, ...args]).catch(
          (error: { stdout: string; stderr: string }) => error,
        );
      for (const { stdout, stderr } of [await read(), await read("--could-push", "web/app", "--at", "2026-06-01")]) {
        expect(`${stdout}${stderr}`).toMatch(/^[\x20-\x7e\n…]*$/);
        expect(stdout.split("\n").length).toBeLessThanOrEqual(3);
        expect(stdout).not.toMatch(/^somebody|^ci:somebody/m);
      }
    },
  );
});

test.each([
  ["missing", {}, "is not set, or empty"],
  ["of a token without its scheme", { AUDIT_AUTHORIZATION: "0123456789abcdef0123" }, "holds no Authorization header"],
  [
    "of more than one line",
    { AUDIT_AUTHORIZATION: "Bearer 0123456789abcdef0123\nx: y" },
    "holds no Authorization header",
  ],
])("the broker does not start with a header that is %s, and does not print it", async (_, environment, why) => {
  const where = { cloudUrl: cloud.url, issuerUrl: issuer.url, registryHost: cloud.host };
  const started = startBrokerProcess({
    policy: `${sandboxPolicy(where)}audit: { url: "http://127.0.0.1:1", authorization_env: AUDIT_AUTHORIZATION }\n`,
    keys: cloud.functionRoleKeys(FUNCTION_ROLE),
    environment,
  });
  const { message } = (await started.catch((error: unknown) => error)) as Error;
  expect(message).toContain(
    `the environment variable that audit.authorization_env names ${why}; set it to the whole header`,
  );
  expect(message).not.toContain("0123456789abcdef0123");
});
