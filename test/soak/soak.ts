/**
 * `npm run soak -- --seconds 600 --seed 1`: two brokers that share a Redis, under load, while what they ask is killed, frozen and made
 * to fail by chance, and hours pass between. Ends by itself, with exit code 1 where an answer was wrong: a credential that is
 * not what was asked for, an error while one lived, more calls than the budgets allow, something that keeps the process alive.
 */

import { type ChildProcess, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { AUDIENCE, type Harness, startHarness } from "../broker/harness.ts";
import { startCloud } from "../sandbox/cloud.ts";
import { startIssuer } from "../sandbox/issuer.ts";
import { startRedisServer } from "../store/redis-server.ts";
import { advance } from "./clock.ts";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "600" }, seed: { type: "string" } } });
const seconds = Number(values.seconds);
if (!(seconds > 0)) throw new Error("--seconds takes a number above 0");
const seed = Number(values.seed ?? randomBytes(4).readUInt32LE());
const random = mulberry32(seed);
/** The function role's keys live 36 hours. */
const LONGEST_MS = 30 * 3_600_000;
const RETRIES_IN_STORE = 10;

const problems: string[] = [];
const counts = { steps: 0, requests: 0, issued: 0, outageHits: 0, errors: 0, assumeRole: 0 };

const [cloud, issuer, redis] = await Promise.all([
  startCloud(),
  startIssuer({ audience: AUDIENCE }),
  startRedisServer(),
]);
const relays = await Promise.all(
  [cloud.url, cloud.url, issuer.url].map((url) => startRelay(Number(new URL(url).port))),
);
const [sts, cr, keys] = relays as [Relay, Relay, Relay];
const cacheKey = randomBytes(32).toString("base64");
const brokers: Harness[] = [];
for (const _ of [1, 2]) {
  brokers.push(
    await startHarness({
      beside: { cloud, issuer } as Harness,
      policy: () => `
version: 1
audience: ${AUDIENCE}
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme.example.com] }
issuers:
  ci: { provider: generic, issuer: "${issuer.url}", jwks_uri: "http://127.0.0.1:${keys.port}/jwks", replay: bind }
grants:
  web: { issuer: ci, when: { sub: { any_of: [job-0, job-1, job-2, job-3] } }, registry: prod, allow: ["repository:web/*:pull,push"], role_arn: "acs:ram::1234567890123456:role/acr-web", max_ttl: 1800 }
alibaba: { sts_endpoint: "http://127.0.0.1:${sts.port}", cr_endpoint: "http://127.0.0.1:${cr.port}" }
redis: { host: 127.0.0.1, port: ${redis.port}, tls: false, when_unavailable: memory, credentials: { key_env: [CACHE_KEY] } }
`,
      environment: (role) => ({ ...role, CACHE_KEY: cacheKey }),
      secrets: [cacheKey],
      limits: { attemptMs: 200, deadlineMs: 5_000 },
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    }),
  );
}

/** Strikes, and answers what ends it. */
const FAULTS: (() => (() => Promise<unknown> | undefined) | Promise<() => Promise<unknown> | undefined>)[] = [
  ...relays.map((relay) => async () => {
    await relay.kill();
    return relay.start;
  }),
  ...relays.map((relay) => () => relay.freeze()),
  async () => {
    await redis.kill();
    return redis.restart;
  },
  () => {
    redis.freeze();
    return async () => redis.thaw();
  },
  ...(["AssumeRole", "GetAuthorizationToken"] as const).flatMap((api) =>
    (["reset", { status: 500, code: "InternalError" }, { status: 502, body: "<html>" }] as const).map((fault) => () => {
      cloud.failNext(api, fault, 1 + Math.floor(random() * 12));
      return async () => undefined;
    }),
  ),
];

/** By broker, caller and scope: until when it has been given one that lives. */
const living = new Map<string, number>();

async function request(): Promise<void> {
  const [who, index] = [`job-${pick(4)}`, pick(brokers.length)];
  const [name, action] = [`app-${pick(3)}`, pick(2) === 0 ? "pull" : "pull,push"];
  const h = brokers[index] as Harness;
  const key = `${index} ${who} ${name} ${action}`;
  const token = await h.mint({ sub: who, ref: undefined });
  const strict = pick(8) === 0;
  const fields = { registry: "prod", scope: [`repository:web/${name}:${action}`], ...(strict ? { min_ttl: 900 } : {}) };
  const response = await h.ask(fields, token);
  const body = (await response.json()) as Record<string, unknown>;
  counts.requests++;
  if (response.status !== 200) {
    counts.errors++;
    const known = ["upstream_unavailable", "upstream_timeout", "issuer_unavailable", "rate_limited"];
    if (!known.includes(String(body["code"]))) problems.push(`${response.status} ${body["code"]}: ${body["detail"]}`);
    if (response.headers.get("retry-after") === null) problems.push(`${body["code"]} says not when to come again`);
    if (!strict && response.status >= 500 && (living.get(key) ?? 0) > Date.now()) {
      problems.push(`${body["code"]} while a credential lives: ${key}`);
    }
    return;
  }
  const login = cloud.login(String(body["username"]), String(body["password"]));
  const expiresAt = Date.parse(String(body["expires_at"]));
  living.set(key, Math.max(living.get(key) ?? 0, expiresAt));
  const wrong =
    login === undefined
      ? "is unknown to the registry, or has ended"
      : login.expiresAt.getTime() < expiresAt || expiresAt > Date.now() + 1_800_000
        ? "is said to live longer than it does"
        : strict && expiresAt < Date.now() + 895_000
          ? "lives shorter than min_ttl"
          : !login.arn.includes(`/ci-${who}-`)
            ? `is ${login.arn}'s`
            : !login.allows("pull", `web/${name}`) || login.allows("push", `web/${name}`) !== (action !== "pull")
              ? "has other rights than were asked for"
              : login.allows("pull", "web/other") || login.allows("pull", "secret/vault")
                ? "has more rights than were asked for"
                : undefined;
  if (wrong !== undefined) problems.push(`the credential of ${key} ${wrong}`);
}

async function step(): Promise<void> {
  const ends: (() => Promise<unknown> | undefined)[] = [];
  // Each second step is well, so that there is something that can be lost; two faults at once now and then.
  if (counts.steps % 2 === 1) {
    for (let i = 0; i <= pick(2); i++) ends.push(await (FAULTS[pick(FAULTS.length)] as (typeof FAULTS)[number])());
  }
  const before = cloud.calls.length;
  const decisions = counted();
  await Promise.all(Array.from({ length: 30 }, request));
  for (const end of ends) await end();
  const calls = cloud.calls.slice(before).filter(({ api }) => api === "AssumeRole").length;
  const made = counted() - decisions;
  counts.assumeRole += calls;
  // A call that was lost on its way was not seen, so this is the most that there can be.
  if (calls > made * 1.2 + RETRIES_IN_STORE * brokers.length)
    problems.push(`${calls} AssumeRole calls for ${made} requests`);
  counts.steps++;
  advance(10_000 + random() * 400_000);
}

/** Decisions that needed a call, or tried one: all but what memory or Redis had. */
function counted(): number {
  const found = ["hit", "shared_hit", "joined", "shared_joined"];
  return brokers
    .flatMap((h) => h.logged())
    .filter((e) => e["event"] === "decision" && !found.includes(String(e["cache"]))).length;
}

const begun = performance.now();
const start = Date.now();
while (performance.now() - begun < seconds * 1000 && Date.now() - start < LONGEST_MS && problems.length === 0)
  await step();

for (const h of brokers) {
  const events = h.logged();
  counts.issued += events.filter((e) => e["cache"] === "miss").length;
  counts.outageHits += events.filter((e) => e["cache"] === "outage_hit").length;
  problems.push(...events.filter((e) => e["code"] === "internal_error").map((e) => JSON.stringify(e["defect"])));
  await h.close().catch((error: Error) => problems.push(error.message));
}
for (const relay of relays) relay.stop();
await Promise.all([cloud.close(), issuer.close(), redis.close()]);
// The broker's connections to the relays end with these; what is left then would keep a process alive.
const sockets = () => process.getActiveResourcesInfo().filter((kind) => /TCP|TLS/.test(kind)).length;
for (let i = 0; i < 500 && sockets() > 0; i++) await new Promise((resolve) => setTimeout(resolve, 10));
if (sockets() > 0) problems.push(`${sockets()} connections are still open`);

for (const problem of new Set(problems)) console.log(`WRONG ${problem}`);
console.log(
  JSON.stringify({
    seed,
    ...counts,
    hours: Math.round((Date.now() - start) / 360_000) / 10,
    problems: problems.length,
  }),
);
if (problems.length > 0) process.exitCode = 1;
if (process.connected) process.disconnect();

interface Relay {
  readonly port: number;
  readonly start: () => Promise<unknown>;
  kill(): Promise<unknown>;
  /** Answers what thaws it. */
  freeze(): () => Promise<unknown>;
  stop(): void;
}

async function startRelay(upstream: number): Promise<Relay> {
  const launch = async (port: number): Promise<[ChildProcess, number]> => {
    const child = fork(fileURLToPath(new URL("./relay.cjs", import.meta.url)), [String(port), String(upstream)], {
      execArgv: [],
    });
    const [listening] = (await once(child, "message")) as [number];
    return [child, listening];
  };
  let [child, port] = await launch(0);
  return {
    port,
    async start() {
      if (child.signalCode !== null) [child, port] = await launch(port);
    },
    async kill() {
      if (child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
    freeze() {
      child.kill("SIGSTOP");
      return async () => child.kill("SIGCONT");
    },
    stop: () => void child.kill("SIGKILL"),
  };
}

function pick(count: number): number {
  return Math.floor(random() * count);
}

/** By seed, so that a run can be had again as far as chance goes. */
function mulberry32(state: number): () => number {
  let a = state;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
