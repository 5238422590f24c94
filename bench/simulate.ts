/**
 * A day's worst hour, simulated: thousands of pipelines ask function instances that come and go for credentials, in virtual time.
 * What runs is the code itself (`issuer`: cache, single flight, shared credentials, renewal; the budget; `callUpstream`). What stands
 * in for the rest is here: the two APIs and Redis with a latency, clients that come again, Function Compute that starts instances.
 * The same seed gives the same numbers.
 */

import type { SessionKeys } from "../shared/alibaba/assume-role.ts";
import type { RegistryLogin } from "../shared/alibaba/authorization-token.ts";
import { type Allowance, callUpstream } from "../shared/alibaba/call.ts";
import type { RoleKeys } from "../shared/alibaba/role-keys.ts";
import type { BrokerConfig } from "../shared/config/config.ts";
import { BrokerError } from "../shared/error.ts";
import { assumeRoleBudget } from "../shared/issuing/budget/budget.ts";
import { ownTurns, rateOf } from "../shared/issuing/budget/turns.ts";
import { type Cloud, type IssueRequest, issuer } from "../shared/issuing/issue.ts";
import type { Seal } from "../shared/issuing/seal.ts";
import { sharedCredentials } from "../shared/issuing/shared-credentials.ts";
import type { SharedRedis } from "../shared/store/redis.ts";
import { seeded } from "../test/seeded.ts";
import { type VirtualTime, virtualTime } from "./virtual-time.ts";

export interface Scenario {
  readonly name: string;
  readonly seed: number;
  readonly pipelines: number;
  /** Each a grant; the first has a tenth of all pipelines. */
  readonly teams: number;
  /** How many of a hundred pipelines start at the full hour; the others some time in the hour. */
  readonly onTheHourPercent: number;
  /** Within so many seconds those start: schedulers and runners take a while. */
  readonly spreadSeconds: number;
  /** So many, or as Function Compute starts them when each has as many requests as it may, up to 200. */
  readonly instances: number | { readonly concurrency: number };
  /** `redis`: turns are shared; `credentials`: those, too; `none`: neither. `naive`: no broker of ours, two calls each time. */
  readonly sharing: "credentials" | "redis" | "none" | "naive";
  /** How long a client tries: `deadlineSeconds` of the SDK. */
  readonly patienceSeconds: number;
}

export interface Outcome {
  readonly requests: number;
  /** Of AssumeRole, refused ones included: the most in any one second, and on average from the first to the last. */
  readonly assumeRole: { readonly calls: number; readonly mostInASecond: number; readonly meanPerSecond: number };
  readonly throttled: number;
  readonly renewals: number;
  /** Answers for which STS was not asked. */
  readonly hitRatio: number;
  /** In the budget, of requests that STS was to be asked for and that were not refused. */
  readonly waitMs: { readonly p50: number; readonly p99: number };
  /** From a job's first request to its credential, all tries included. */
  readonly credentialSeconds: { readonly p50: number; readonly p99: number };
  /** 429, all tries counted. */
  readonly refused: number;
  /** Jobs whose client gave up. */
  readonly without: number;
  readonly mostInstances: number;
  readonly gbSeconds: number;
  readonly usd: number;
  /** AssumeRole calls in each second from the hour on. */
  readonly perSecond: readonly number[];
}

const HOUR = Date.parse("2027-01-01T09:00:00Z");
const MINUTE = 60_000;
/** What is looked at: the hour, after ten minutes of its own traffic in which caches fill. */
const [BEGIN, END] = [HOUR - 10 * MINUTE, HOUR + 60 * MINUTE];

/** Assumptions; nobody has measured them here. Medians; a tenth takes twice as long and more. */
const LATENCY_MS = { assumeRole: 60, authorizationToken: 80, redis: 1, work: 3 };
const STS_PER_SECOND = 100;
const COLD_START_MS = 800;
const IDLE_MS = 5 * MINUTE;
const MOST_INSTANCES = 200;

/**
 * s.yaml: 0.5 vCPU, 512 MB and 512 MB of disk. Function Compute, pay as you go, first tier, without discounts: USD 0.00002 a CU; a vCPU second is
 * 1 CU, a GB second of memory 0.15 and of disk 0.05, 10,000 requests 75.
 * https://help.aliyun.com/en/functioncompute/fc/product-overview/pay-as-you-go-billing-methods
 */
const GB = 0.5;
const CU_PER_SECOND = 0.5 + GB * 0.15 + GB * 0.05;
const CU_PER_REQUEST = 75 / 10_000;
const USD_PER_CU = 0.00002;

interface Job {
  readonly atMs: number;
  readonly team: number;
  readonly pipeline: number;
}

export async function simulate(scenario: Scenario): Promise<Outcome> {
  const time = virtualTime(BEGIN);
  const random = seeded(scenario.seed);
  const sts = standInForSts(time, random);
  const fleet = fleetOf(scenario, time, random, sts);
  const tally = { refused: 0, without: 0, served: 0, asked: 0, requests: 0 };
  const waits: number[] = [];
  const took: number[] = [];

  async function run(job: Job): Promise<void> {
    const until = time.now().getTime() + scenario.patienceSeconds * 1000;
    const begun = time.now().getTime();
    for (let tries = 0; ; tries++) {
      tally.requests++;
      try {
        const { outcome, waitedMs } = await fleet.ask(job);
        tally.served++;
        if (outcome === "miss") {
          tally.asked++;
          waits.push(waitedMs);
        }
        took.push((time.now().getTime() - begun) / 1000);
        return;
      } catch (error) {
        if (!(error instanceof BrokerError)) throw error;
        if (error.code === "rate_limited") tally.refused++;
        // As the SDK does it: docs/clients/sdk.md.
        const pause = (error.facts.retryAfterSeconds ?? 0) * 1000 + random() * Math.min(5_000, 400 * 2 ** tries);
        if (time.now().getTime() + pause > until) {
          tally.without++;
          return;
        }
        await time.sleep(pause);
      }
    }
  }

  const failures: unknown[] = [];
  for (const job of jobsOf(scenario, random)) {
    time.at(job.atMs, () => void run(job).catch((error) => failures.push(error)));
  }
  await time.run();
  if (failures.length > 0) throw failures[0];

  const busyMs = fleet.busyMs();
  const calls = [...sts.calls].sort((a, b) => a - b);
  const seconds = ((calls.at(-1) ?? BEGIN) - (calls[0] ?? BEGIN)) / 1000;
  const cu = (busyMs / 1000) * CU_PER_SECOND + tally.requests * CU_PER_REQUEST;
  return {
    requests: tally.requests,
    assumeRole: {
      calls: calls.length,
      mostInASecond: mostWithin(calls, 1000),
      meanPerSecond: seconds === 0 ? 0 : calls.length / seconds,
    },
    throttled: sts.throttled(),
    renewals: fleet.renewals(),
    hitRatio: tally.served === 0 ? 0 : 1 - tally.asked / tally.served,
    waitMs: percentiles(waits),
    credentialSeconds: percentiles(took),
    refused: tally.refused,
    without: tally.without,
    mostInstances: fleet.most(),
    gbSeconds: (busyMs / 1000) * GB,
    usd: cu * USD_PER_CU,
    perSecond: Array.from(
      { length: 300 },
      (_, second) => calls.filter((at) => Math.floor((at - HOUR) / 1000) === second).length,
    ),
  };
}

/** A pipeline runs once in the hour: one to five jobs, the first at its start, the others within ten minutes. */
function jobsOf({ pipelines, teams, onTheHourPercent, spreadSeconds }: Scenario, random: () => number): Job[] {
  return Array.from({ length: pipelines }, (_, pipeline) => {
    const team = random() < 0.1 ? 0 : Math.floor(random() * teams);
    const isScheduled = random() * 100 < onTheHourPercent;
    const start = isScheduled ? HOUR + random() * spreadSeconds * 1000 : BEGIN + random() * (END - BEGIN - 10 * MINUTE);
    const others = Math.floor(random() * 5);
    return [start, ...Array.from({ length: others }, () => start + random() * 10 * MINUTE)].map((atMs) => ({
      atMs,
      team,
      pipeline,
    }));
  }).flat();
}

/** Both APIs: they answer after a while, and AssumeRole is refused beyond what STS takes in a second. */
function standInForSts(time: VirtualTime, random: () => number) {
  const calls: number[] = [];
  let recent: number[] = [];
  let throttled = 0;
  const context = { now: time.now, sleep: time.sleep, random };

  function assumeRole(deadline: Date, seconds: number, allowance?: Allowance): Promise<SessionKeys> {
    const attempt = async () => {
      await time.sleep(latency(LATENCY_MS.assumeRole / 2, random));
      const at = time.now().getTime();
      calls.push(at);
      recent = recent.filter((one) => one > at - 1000);
      const isTooMany = recent.length >= STS_PER_SECOND;
      if (isTooMany) throttled++;
      else recent.push(at);
      await time.sleep(latency(LATENCY_MS.assumeRole / 2, random));
      if (isTooMany) throw Object.assign(new Error(), { statusCode: 400, code: "Throttling.User" });
      const expiresAt = new Date(time.now().getTime() + seconds * 1000);
      return { accessKeyId: "a", accessKeySecret: "b", securityToken: "c", expiresAt, requestId: `${calls.length}` };
    };
    return callUpstream("AssumeRole", deadline, context, attempt, allowance === undefined ? {} : { allowance });
  }

  function authorizationToken(deadline: Date, { expiresAt, requestId }: SessionKeys): Promise<RegistryLogin> {
    return callUpstream("GetAuthorizationToken", deadline, context, async () => {
      await time.sleep(latency(LATENCY_MS.authorizationToken, random));
      return { username: "cr_temp_user", password: `password ${requestId}`, expiresAt, requestId };
    });
  }

  const cloud: Cloud = {
    assumeRole: ({ deadline, durationSeconds, allowance }) => assumeRole(deadline, durationSeconds, allowance),
    authorizationToken: ({ deadline, keys }) => authorizationToken(deadline, keys),
  };
  /** What a broker does that keeps nothing: both calls, each time. */
  async function naively(seconds: number): Promise<void> {
    const deadline = new Date(time.now().getTime() + 8_000);
    await authorizationToken(deadline, await assumeRole(deadline, seconds));
  }
  return { cloud, naively, calls, throttled: () => throttled };
}

/** What a job's request is answered with: by an instance, chosen by chance among those that may take one more. */
function fleetOf(
  { instances: size, sharing, teams }: Scenario,
  time: VirtualTime,
  random: () => number,
  { cloud, naively }: ReturnType<typeof standInForSts>,
) {
  const context = { now: time.now, sleep: time.sleep, random };
  const redis = sharing === "redis" || sharing === "credentials" ? standInForRedis(time, random) : undefined;
  const registry = { name: "prod", instanceId: "cri-abc123", region: "cn-hangzhou", accountId: "1234567890123456" };
  const config: BrokerConfig = {
    audience: "https://acr-broker.example.com",
    registries: new Map([["prod", { ...registry, endpoints: ["acme-registry.cn-hangzhou.cr.aliyuncs.com"] }]]),
    issuers: new Map(),
    apiKeys: new Map(),
    grants: [],
    denials: [],
    alibaba: {},
    digest: "sha256:0",
  };
  const keys: RoleKeys = { accessKeyId: "id", accessKeySecret: "secret", from: "environment" };
  const lives = Array.from({ length: teams }, (_, team) => [900, 1800, 3600][team % 3] as number);
  const [concurrency, least, most] =
    typeof size === "number" ? [Number.POSITIVE_INFINITY, size, size] : [size.concurrency, 1, MOST_INSTANCES];
  let renewed = 0;

  function start() {
    const shared = redis && { redis, keyPrefix: "acr-token-broker", accountId: registry.accountId };
    const budget = assumeRoleBudget({}, shared, context);
    const findOrMake =
      redis && sharing === "credentials"
        ? sharedCredentials({ ...context, redis, keyPrefix: "acr-token-broker", seals: [UNSEALED], onOdd: () => {} })
        : undefined;
    // An instance that is new takes a while before it takes its first request.
    const readyAt = time.now().getTime() + (typeof size === "number" ? 0 : COLD_START_MS);
    return {
      issuing: issuer(config, context, { budget, findOrMake, cloud }),
      readyAt,
      inFlight: 0,
      busySince: 0,
      busyMs: 0,
      idleSince: time.now().getTime(),
    };
  }
  let alive = Array.from({ length: least }, start);
  let mostAlive = alive.length;
  let busyOfDead = 0;

  function route() {
    const current = time.now().getTime();
    if (typeof size !== "number") {
      const gone = alive.filter(({ inFlight, idleSince }) => inFlight === 0 && current - idleSince > IDLE_MS);
      busyOfDead += gone.reduce((sum, { busyMs }) => sum + busyMs, 0);
      alive = alive.filter((one) => !gone.includes(one));
    }
    const free = alive.filter(({ inFlight }) => inFlight < concurrency);
    const chosen = free[Math.floor(random() * free.length)];
    if (chosen !== undefined) return chosen;
    if (alive.length >= most) return alive[Math.floor(random() * alive.length)] as (typeof alive)[number];
    const fresh = start();
    alive = [...alive, fresh];
    mostAlive = Math.max(mostAlive, alive.length);
    return fresh;
  }

  async function ask({ team, pipeline }: Job): Promise<{ outcome: string; waitedMs: number }> {
    const instance = route();
    if (instance.inFlight++ === 0) instance.busySince = time.now().getTime();
    let waitedMs = 0;
    try {
      await time.sleep(Math.max(0, instance.readyAt - time.now().getTime()) + latency(LATENCY_MS.work, random));
      const lifetime = lives[team] as number;
      if (sharing === "naive") {
        await naively(lifetime);
        return { outcome: "miss", waitedMs };
      }
      const { outcome } = await instance.issuing.issue({
        decision: decisionFor(team, pipeline, lifetime),
        caller: `ci:repo:team-${team}/pipeline-${pipeline}`,
        keys: () => keys,
        waited: (ms) => {
          waitedMs += ms;
        },
        renewed: (result) => {
          if (!("error" in result)) renewed++;
        },
      });
      return { outcome, waitedMs };
    } finally {
      if (--instance.inFlight === 0) {
        instance.busyMs += time.now().getTime() - instance.busySince;
        instance.idleSince = time.now().getTime();
      }
    }
  }

  return {
    ask,
    renewals: () => renewed,
    most: () => mostAlive,
    /** While it has at least one request: that is what is paid for. */
    busyMs: () => busyOfDead + alive.reduce((sum, { busyMs }) => sum + busyMs, 0),
  };
}

function decisionFor(team: number, pipeline: number, maxTtlSeconds: number): IssueRequest["decision"] {
  const scopes = [{ namespace: `team-${team}`, repository: `app-${pipeline}`, actions: ["pull", "push"] as const }];
  const roleArn = "acs:ram::1234567890123456:role/acr-web";
  const grant = { name: `team-${team}`, holder: { issuer: "ci" }, when: [], registry: "prod", allow: scopes, roleArn };
  return {
    outcome: "allow",
    rights: { registry: "prod", roleArn, scopes, creatable: [] },
    grants: [{ ...grant, maxTtlSeconds, createRepository: false, line: 1 }],
    maxTtlSeconds,
  };
}

/** Nobody reads along here. */
const UNSEALED: Seal = { name: (key) => key, close: (text) => text, open: (sealed) => sealed };

/**
 * What the scripts of redis-turns.ts and shared-credentials.ts do, without Lua; test/issuing/ holds the first equal to `ownTurns`, and the
 * second to what is said of them there.
 */
function standInForRedis(time: VirtualTime, random: () => number): Pick<SharedRedis, "run"> {
  const turns = ownTurns(rateOf(80), time.now);
  const values = new Map<string, { readonly text: string; readonly until: number }>();
  let fences = 0;
  const get = (key: string) => {
    const held = values.get(key);
    return held !== undefined && held.until > time.now().getTime() ? held.text : "";
  };

  async function carryOut(
    script: string,
    [key = "", lock = ""]: readonly string[],
    args: readonly (string | number)[],
  ) {
    if (key.includes(":assume-role:")) {
      if (args.length === 3) return turns.throttled();
      const { inMs, everyMs, taken, left } = await turns.next(Number(args[3]));
      return [Math.ceil(inMs * 1000), Math.ceil(everyMs * 1000), taken ? 1 : 0, left];
    }
    const [fence = "", sealed = "", livesMs = 0] = args.map(String);
    const isMine = get(lock) === fence;
    if (script.includes("'wait'")) {
      const [held = "", ...rest] = get(key).split(":");
      if (held !== "" && held !== fence) return ["found", held, rest.join(":")];
      if (get(lock) !== "") return ["wait"];
      const mine = String(++fences);
      values.set(lock, { text: mine, until: time.now().getTime() + 3_000 });
      return ["yours", mine];
    }
    if (args.length === 3 && (isMine || Number(get(key).split(":")[0]) <= Number(fence))) {
      values.set(key, { text: `${fence}:${sealed}`, until: time.now().getTime() + Number(livesMs) });
    }
    if (isMine) values.delete(lock);
    return 1;
  }

  return {
    async run(script, keys, args) {
      await time.sleep(latency(LATENCY_MS.redis / 2, random));
      const reply = await carryOut(script, keys, args);
      await time.sleep(latency(LATENCY_MS.redis / 2, random));
      return { reply };
    },
  };
}

/** Log-normal about its median. */
function latency(medianMs: number, random: () => number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return medianMs * Math.exp(normal * 0.5);
}

/** The most of sorted times within any window of so many ms. */
function mostWithin(times: readonly number[], ms: number): number {
  let most = 0;
  let first = 0;
  for (const [index, at] of times.entries()) {
    while ((times[first] as number) <= at - ms) first++;
    most = Math.max(most, index - first + 1);
  }
  return most;
}

function percentiles(values: readonly number[]): { p50: number; p99: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p99: at(0.99) };
}
