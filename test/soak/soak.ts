/**
 * `npm run soak -- --hours 24 --seed 1`: two brokers, as they are built, each a process of its own, that share a Redis, under load, while what they ask is killed, frozen and made
 * to fail by chance, and hours pass between. Ends by itself, with exit code 1 where an answer was wrong: a credential that is
 * not what was asked for, an error while one lived, more calls than the budgets allow, something that keeps the process alive.
 */

import { type ChildProcess, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { shareOf } from "../../bench/spread.ts";
import { AUDIENCE, type BrokerProcess, FUNCTION_ROLE, startBrokerProcess } from "../sandbox/broker-process.ts";
import { startCloud } from "../sandbox/cloud.ts";
import { startIssuer } from "../sandbox/issuer.ts";
import { seeded } from "../seeded.ts";
import { freePort, startRedisServer } from "../store/redis-server.ts";

const { advance } = createRequire(import.meta.url)("./clock.cjs") as { advance(ms: number): void };

const { values } = parseArgs({ options: { hours: { type: "string", default: "24" }, seed: { type: "string" } } });
const wanted = Number(values.hours);
/** The function role's keys live 36 hours. */
if (!(wanted > 0 && wanted <= 30))
  throw new Error("--hours takes a number above 0, up to 30: of the time that is left out between requests");
const seed = Number(values.seed ?? randomBytes(4).readUInt32LE());
const random = seeded(seed);
const RETRIES_IN_STORE = 10;
/** In one step, which minutes follow: without a fault, and with one. Those that have to wait for what is frozen are the fewer. */
const REQUESTS = [240, 60] as const;
const WARM_UP = 15;
/** Bytes: an entry of a Map and its key, were one kept of each request. */
const LEAST_KEPT = 80;
/** So that what is kept of tokens has come to its full size soon. */
const TOKEN_LIFE_S = 300;

const problems: string[] = [];
/** Bytes that live in both brokers, after each step without a fault. */
const heap: number[] = [];
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
const role = cloud.functionRoleKeys(FUNCTION_ROLE);
/** Lines of `decision` that tell of a call, or of the try of one: all but what memory or Redis had. */
let decisions = 0;
const brokers: BrokerProcess[] = await Promise.all(
  [1, 2].map(() =>
    startBrokerProcess({
      policy: `
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
      keys: role,
      environment: { CACHE_KEY: cacheKey },
      // What V8 compiles lives in the same heap, grows for hours, and is not what is looked for.
      nodeOptions: [
        "--expose-gc",
        "--jitless",
        "--no-expose-wasm",
        "--require",
        fileURLToPath(new URL("./clock.cjs", import.meta.url)),
      ],
      onLine: (line) => {
        if (line.includes('"event":"decision"') && !/"cache":"(shared_)?(hit|joined)"/.test(line)) decisions++;
      },
    }),
  ),
);

type End = () => Promise<unknown> | undefined;
/** Strikes, and answers what ends it. */
type Fault = () => End | Promise<End>;
const FAULTS: Fault[] = [
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
      const heal = cloud.failNext(api, fault, 1 + pick(12));
      return async () => heal();
    }),
  ),
];

/** By broker, caller and scope: until when it has been given one that lives. */
const living = new Map<string, number>();

/** All that were sent, for the search of what was written. */
const secrets = [cacheKey, role.accessKeySecret, role.securityToken];

async function request(): Promise<void> {
  const [who, index] = [`job-${pick(4)}`, pick(brokers.length)];
  const [name, action] = [`app-${pick(3)}`, pick(2) === 0 ? "pull" : "pull,push"];
  const key = `${index} ${who} ${name} ${action}`;
  const token = await issuer.mint({ sub: who, exp: Math.floor(Date.now() / 1000) + TOKEN_LIFE_S });
  secrets.push(token.split(".")[2] as string);
  const strict = pick(8) === 0;
  const fields = { registry: "prod", scope: [`repository:web/${name}:${action}`], ...(strict ? { min_ttl: 900 } : {}) };
  const response = await fetch(`${(brokers[index] as BrokerProcess).url}/v1/token`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(fields),
  });
  const body = (await response.json()) as Record<string, unknown>;
  counts.requests++;
  if (response.status !== 200) {
    counts.errors++;
    const known = ["upstream_unavailable", "upstream_timeout", "issuer_unavailable", "rate_limited"];
    if (isWell()) problems.push(`${body["code"]} while nothing fails`);
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

/** Each second step is, so that there is something that can be lost; and the first ones, in which memories fill. */
function isWell(): boolean {
  return counts.steps < WARM_UP || counts.steps % 2 === 0;
}

async function step(): Promise<void> {
  const ends: End[] = [];
  const well = isWell();
  if (!well) {
    // Two faults at once now and then.
    for (let i = 0; i <= pick(2); i++) ends.push(await (FAULTS[pick(FAULTS.length)] as Fault)());
  }
  const before = [cloud.calls.length, decisions] as const;
  const answered = Promise.all(Array.from({ length: REQUESTS[well ? 0 : 1] }, request));
  // Some faults outlast every request, some end in the middle of them.
  await Promise.race([answered, new Promise((resolve) => setTimeout(resolve, pick(4_000)))]);
  for (const end of ends) await end();
  await answered;
  const calls = cloud.calls.slice(before[0]).filter(({ api }) => api === "AssumeRole").length;
  const made = decisions - before[1];
  counts.assumeRole += calls;
  // A call that was lost on its way was not seen, so this is the most that there can be.
  if (calls > made * 1.2 + RETRIES_IN_STORE * brokers.length)
    problems.push(`${calls} AssumeRole calls for ${made} requests`);
  counts.steps++;
  const ms = Math.round(10_000 + random() * 400_000);
  advance(ms);
  const heaps = await Promise.all(
    brokers.map(async ({ child }) => {
      child.send(ms);
      return (await once(child, "message"))[0] as number;
    }),
  );
  // Only after the steps that are well: what a fault left under way ends by itself.
  if (well) heap.push(heaps.reduce((sum, bytes) => sum + bytes, 0));
}

const start = Date.now();
const hours = () => (Date.now() - start) / 3_600_000;
while (hours() < wanted && problems.length === 0) await step();

// A broker ends when nothing of it is left to wait for: it exits by itself, so a handle or a timer that leaked would be seen.
for (const { child, ended } of brokers) {
  child.kill("SIGTERM");
  const limit = setTimeout(() => child.kill("SIGKILL"), 15_000);
  if ((await ended) !== 0) problems.push("a broker did not end by itself when it was told to stop");
  clearTimeout(limit);
}
for (const broker of brokers) {
  const output = broker.output();
  const leaked = [...secrets, ...cloud.secrets()].filter((secret) => output.includes(secret)).length;
  if (leaked > 0) problems.push(`${leaked} secrets were found in what was written`);
  for (const line of output.split("\n")) {
    const event = line.startsWith("{") ? (JSON.parse(line) as Record<string, unknown>) : { defect: line };
    if (event["cache"] === "miss") counts.issued++;
    if (event["cache"] === "outage_hit") counts.outageHits++;
    if (event["defect"] !== undefined) problems.push(String(event["defect"]));
  }
}
for (const relay of relays) relay.stop();
await Promise.all([cloud.close(), issuer.close(), redis.close()]);

const growth = growthOf(heap.slice(heap.length / 2));
const served = REQUESTS[0] * (heap.length / 2);
// Of fewer numbers nothing can be said.
if (heap.length >= 20 && growth.bytes > Math.max(growth.noise, LEAST_KEPT * served))
  problems.push(`the heaps grew by ${growth.bytes} bytes`);

for (const problem of new Set(problems)) console.log(`WRONG ${problem}`);
console.log(
  JSON.stringify({
    seed,
    ...counts,
    heap: growth,
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
  let [child, port] = await launch(await freePort());
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

/**
 * By how much these rise from first to last along the median of the slopes between any two (Theil and Sen), and three standard
 * deviations (by the median of the distances, Hampel) of what is left then, in bytes.
 */
function growthOf(series: readonly number[]): { bytes: number; noise: number } {
  const slopes = series.flatMap((y, x) => series.slice(0, x).map((before, at) => (y - before) / (x - at)));
  const slope = slopes.length === 0 ? 0 : shareOf(slopes, 0.5);
  const rest = series.map((y, x) => y - slope * x);
  const middle = shareOf(rest, 0.5);
  const noise =
    3 *
    1.4826 *
    shareOf(
      rest.map((y) => Math.abs(y - middle)),
      0.5,
    );
  return { bytes: Math.round(slope * (series.length - 1)), noise: Math.round(noise) };
}

function pick(count: number): number {
  return Math.floor(random() * count);
}
