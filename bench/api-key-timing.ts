/**
 * `npm run api-key-timing`: whether the time of a refusal tells if an API key's name exists. Keys of an unknown name and keys of a known
 * name with a wrong secret, in random order, to the built broker over one loopback connection, where an attacker would never get as near; and
 * to the verifying function alone, which no attacker reaches at all. Welch's t-test as dudect uses it
 * (https://eprint.iacr.org/2016/1123): below 4.5 the two cannot be told apart. A third class, of the same kind as the first, shows what the
 * machine makes of nothing. No test: what a busy machine measures is no reason to fail.
 */

import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { apiKeys, newApiKey } from "../shared/identity/api-key.ts";
import { startBrokerProcess } from "../test/sandbox/broker-process.ts";
import { type Spread, spread } from "./spread.ts";

const REQUESTS = 5_000;
const CALLS = 200_000;
/** The slowest tenth is the machine's doing: dudect, section 3.3. */
const KEPT_SHARE = 0.9;

const CLASSES = ["unknown name", "wrong secret", "unknown name again"] as const;
type Class = (typeof CLASSES)[number];

const { key, sha256 } = newApiKey("nightly", randomBytes);
const guess = (name: string) => `abk_${name}_${randomBytes(32).toString("hex")}`;
/** Names of one length, or the length would be what is measured. */
const KEY_OF: Readonly<Record<Class, () => string>> = {
  "unknown name": () => guess("nightlx"),
  "wrong secret": () => guess("nightly"),
  "unknown name again": () => guess("nightlx"),
};

interface Timing {
  readonly microseconds: Readonly<Record<Class, Spread>>;
  /** Between an unknown name and a wrong secret; and between an unknown name and itself. */
  readonly t: number;
  readonly tOfNothing: number;
}

function timing(times: Readonly<Record<Class, number[]>>): Timing {
  const [unknown, wrong, again] = CLASSES.map((name) => {
    const sorted = [...times[name]].sort((a, b) => a - b);
    return sorted.slice(0, Math.floor(sorted.length * KEPT_SHARE));
  }) as [number[], number[], number[]];
  const microseconds = Object.fromEntries(CLASSES.map((name) => [name, spread(times[name])])) as Record<Class, Spread>;
  return { microseconds, t: welch(unknown, wrong), tOfNothing: welch(unknown, again) };
}

/** Welch's t of two samples. */
function welch(one: readonly number[], two: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const errorSquared = (values: readonly number[]) => {
    const middle = mean(values);
    return values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1) / values.length;
  };
  return (mean(one) - mean(two)) / Math.sqrt(errorSquared(one) + errorSquared(two));
}

/** Each round has each class once, in an order of its own. */
async function measured(rounds: number, once: (key: string) => Promise<number> | number): Promise<Timing> {
  const times: Record<Class, number[]> = { "unknown name": [], "wrong secret": [], "unknown name again": [] };
  // What is compiled while it runs would be counted to whoever comes first.
  for (let round = -rounds / 10; round < rounds; round++) {
    const order = [...CLASSES].sort(() => Math.random() - 0.5);
    for (const name of order) {
      const microseconds = await once(KEY_OF[name]());
      if (round >= 0) times[name].push(microseconds);
    }
  }
  return timing(times);
}

const since = (begun: bigint) => Number(process.hrtime.bigint() - begun) / 1000;

async function overHttp(): Promise<Timing> {
  const broker = await startBrokerProcess({
    keys: { accessKeyId: "none", accessKeySecret: "none", securityToken: "none" },
    policy: `
version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [prod.example.com] }
grants:
  nightly: { api_key: nightly, registry: prod, allow: ["repository:base/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-base", max_ttl: 900 }
api_keys:
  nightly: { sha256: ${sha256}, expires: 2999-01-01T00:00:00Z }
`,
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const once = (presented: string) =>
    new Promise<number>((resolve, reject) => {
      const begun = process.hrtime.bigint();
      const headers = { authorization: `Bearer ${presented}` };
      request(`${broker.url}/v1/whoami`, { agent, headers }, (response) => {
        if (response.statusCode !== 401) return reject(new Error(`${response.statusCode} for a wrong key`));
        response.resume().once("end", () => resolve(since(begun)));
      })
        .once("error", reject)
        .end();
    });
  try {
    return await measured(REQUESTS, once);
  } finally {
    agent.destroy();
    await broker.stop();
  }
}

function alone(): Promise<Timing> {
  const { verify } = apiKeys(
    new Map([["nightly", { name: "nightly", sha256, expires: new Date("2999-01-01T00:00:00Z"), cidrs: [] }]]),
  );
  verify(key, undefined, new Date());
  return measured(CALLS, (presented) => {
    const begun = process.hrtime.bigint();
    try {
      verify(presented, undefined, new Date(0));
    } catch {
      return since(begun);
    }
    throw new Error("a wrong key was accepted");
  });
}

function print(what: string, { microseconds, t, tOfNothing }: Timing): void {
  console.log(`${what}: t ${t.toFixed(1)}, of nothing ${tOfNothing.toFixed(1)}; below 4.5 they cannot be told apart`);
  for (const name of CLASSES) {
    const { median, p10, p90 } = microseconds[name];
    console.log(`  ${name.padEnd(19)} ${median.toFixed(2)} µs (${p10.toFixed(2)} to ${p90.toFixed(2)})`);
  }
}

async function main(): Promise<void> {
  const result = { overHttp: await overHttp(), alone: await alone() };
  print(`over HTTP, ${REQUESTS} of each`, result.overHttp);
  print(`the function alone, ${CALLS} of each`, result.alone);
  const results = new URL("results/", import.meta.url);
  mkdirSync(results, { recursive: true });
  const run = { node: process.version, date: new Date().toISOString().slice(0, 10) };
  writeFileSync(new URL("api-key-timing.json", results), `${JSON.stringify({ ...run, ...result }, null, 2)}\n`);
}

void main();
