/**
 * What the broker makes of a fault: strikes it between a broker and one of those whom it asks, and writes down what is seen, as a
 * row of docs/reliability.md has it.
 */

import { AUDIENCE, type Harness, startHarness } from "../broker/harness.ts";
import { type Certificate, makeCa } from "../certificates.ts";
import { startCloud } from "../sandbox/cloud.ts";
import { startIssuer } from "../sandbox/issuer.ts";
import { type RedisServer, startRedisServer } from "../store/redis-server.ts";
import { CANARY, FAULTS, type Fault } from "./faults.ts";
import { type FaultProxy, startProxy } from "./proxy.ts";

export type At = Fault["at"][number];

/** As the table has it; without the fault, which is the row's name. */
export interface Observed {
  readonly answer: string;
  /** How often it was tried for that answer. */
  readonly tried: string;
  readonly takes: "no limit" | "the limit";
  /** What is answered where there is something to fall back on. */
  readonly fallback: string;
  readonly told: string;
}

/** What all rows are observed with: one cloud, one issuer, one Redis, and certificates by names of `Struck`. */
export interface Surroundings {
  readonly cloud: Harness["cloud"];
  readonly issuer: Harness["issuer"];
  readonly redis: RedisServer | undefined;
  /** Of the cloud's clock, and of the one that tokens are made by. */
  readonly skew: { cloudMs: number; issuerMs: number };
  readonly certificates?: Readonly<Record<"good" | "foreign" | "expired" | "elsewhere", Certificate>>;
  /** Of the CA of the good one. */
  readonly ca?: string;
  close(): Promise<void>;
}

export async function surroundings(withRedis: boolean, ca?: ReturnType<typeof makeCa>): Promise<Surroundings> {
  const skew = { cloudMs: 0, issuerMs: 0 };
  const [cloud, issuer, redis] = await Promise.all([
    startCloud({ now: () => new Date(Date.now() + skew.cloudMs) }),
    startIssuer({ audience: AUDIENCE }),
    withRedis ? startRedisServer() : undefined,
  ]);
  return {
    cloud,
    issuer,
    redis,
    skew,
    ...(ca === undefined
      ? {}
      : {
          ca: ca.cert,
          certificates: {
            good: ca.server("localhost"),
            foreign: makeCa().server("localhost"),
            expired: ca.server("localhost", -1),
            elsewhere: ca.server("elsewhere.example.com"),
          },
        }),
    close: async () => {
      await Promise.all([cloud.close(), issuer.close(), redis?.close()]);
    },
  };
}

/** A time limit that a fault runs into is a short one here, and one that it must not run into would outlast the test. */
const SHORT = { attemptMs: 300, deadlineMs: 3_000, redisMs: 50 };
const ENDLESS = { attemptMs: 30_000, deadlineMs: 80_000, redisMs: 30_000 };
/** shared/identity/bounded-fetch.ts has one for all. */
const ISSUER_LIMIT_MS = 3_000;

export async function observe(at: At, name: string, around: Surroundings): Promise<Observed> {
  const fault = FAULTS[name] as Fault;
  const limits = fault.waits ? SHORT : ENDLESS;
  const proxy = await startProxy(portOf(at, around), fault.tls ? around.certificates?.good : undefined);
  const opened: Harness[] = [];
  const pauses = { count: 0 };
  const start = async (whenUnavailable: "memory" | "refuse") => {
    const h = await startHarness({
      beside: { cloud: around.cloud, issuer: around.issuer } as Harness,
      policy: () => policyWith(at, proxy, fault.tls === true, whenUnavailable, around),
      ...(around.ca === undefined ? {} : { files: { "./ca.pem": around.ca } }),
      limits,
      sleep: async () => void pauses.count++,
      redisLimitMs: limits.redisMs,
    });
    opened.push(h);
    return h;
  };
  let heal: (() => void) | undefined;
  try {
    const strike = () => {
      heal = fault.strike({
        proxy,
        ...(around.certificates === undefined ? {} : { certificates: around.certificates }),
        clocks: {
          theirs: (ms) => {
            around.skew[at === "issuer" ? "issuerMs" : "cloudMs"] = ms;
          },
          ours: (ms) => {
            for (const h of opened) h.clock.aheadMs += ms;
          },
        },
      });
    };
    const limitMs = {
      STS: 3 * limits.attemptMs,
      ACR: 3 * limits.attemptMs,
      issuer: ISSUER_LIMIT_MS,
      Redis: limits.redisMs,
    }[at];
    const scene = { at, name, start, strike, proxy, pauses, limitMs, skew: around.skew };
    const observed = await (at === "Redis" ? observeRedis(scene) : observeHttp(scene));
    const said = opened.flatMap(({ output }) => output).find((text) => text.includes(CANARY));
    if (said !== undefined) throw new Error(`what ${at} said has come out: ${said}`);
    return observed;
  } finally {
    heal?.();
    Object.assign(around.skew, { cloudMs: 0, issuerMs: 0 });
    for (const h of opened) await h.close();
    await proxy.close();
  }
}

interface Scene {
  readonly at: At;
  readonly name: string;
  readonly start: (whenUnavailable: "memory" | "refuse") => Promise<Harness>;
  readonly strike: () => void;
  readonly proxy: FaultProxy;
  readonly pauses: { count: number };
  readonly limitMs: number;
  readonly skew: Surroundings["skew"];
}

/** What was kept is too old to be given out without a question, and lives yet: credentials of 1,800 s, keys of 15 min. */
const AGED_MS = 1_000_000;

async function observeHttp({ at, name, start, strike, proxy, pauses, limitMs, skew }: Scene): Promise<Observed> {
  const [aged, fresh] = [await start("memory"), await start("memory")];
  if ((await ask(aged, "kept", skew)).status !== 200) throw new Error("it was not well before the fault");
  aged.clock.aheadMs += AGED_MS;
  proxy.reset();
  strike();
  pauses.count = 0;
  const first = await timed(name, limitMs, () => ask(fresh, "fresh", skew));
  const { asked, connections } = proxy.seen();
  // Where nobody was there to be asked, each pause is one before another attempt.
  const tried = asked || connections || pauses.count + 1;
  const told = fresh
    .logged()
    .filter(({ event }) => event === "decision")
    .at(-1)?.["upstream_code"];
  const kept = await ask(aged, "kept", skew);
  const strict = await ask(aged, "kept", skew, { min_ttl: 900 });
  if (kept.cache === "outage_hit" && strict.status < 500) throw new Error("min_ttl was not heeded");
  return {
    answer: first.text,
    tried: String(tried),
    takes: takesOf(name),
    fallback: /hit/.test(String(kept.cache)) ? `${kept.text}, \`${kept.cache}\`` : kept.text,
    told: at === "issuer" && first.status > 500 ? (first.reason ?? "") : typeof told === "string" ? `\`${told}\`` : "",
  };
}

async function observeRedis({ name, start, strike, proxy, limitMs, skew }: Scene): Promise<Observed> {
  const [strict, easy] = await Promise.all([start("refuse"), start("memory")]);
  for (const h of [strict, easy]) {
    if ((await ask(h, "before", skew)).status !== 200) throw new Error("it was not well before the fault");
  }
  proxy.reset();
  strike();
  const first = await timed(name, limitMs, () => ask(strict, "fresh", skew));
  const { connections, asked } = proxy.seen();
  const warning = strict.logged().find(({ event }) => event === "warning")?.["message"];
  return {
    answer: first.text,
    tried: String(Math.max(1, connections, asked)),
    takes: takesOf(name),
    fallback: (await ask(easy, "fresh", skew)).text,
    told: /\((.*?)\)/.exec(String(warning ?? ""))?.[1] ?? "",
  };
}

const takesOf = (name: string) => (FAULTS[name]?.waits ? "the limit" : "no limit");

/** A timer may be a little early, and the vendor begins to count when it connects. */
async function timed(name: string, limitMs: number, work: () => Promise<Asked>): Promise<Asked> {
  const begun = performance.now();
  const answer = await work();
  const took = performance.now() - begun;
  if (FAULTS[name]?.waits && took < 0.9 * limitMs) throw new Error(`it did not wait for the limit: ${took} ms`);
  return answer;
}

interface Asked {
  readonly status: number;
  /** `503 upstream_unavailable, 2 s`. */
  readonly text: string;
  readonly cache: unknown;
  /** Of an issuer's failure, what the problem document says in brackets. */
  readonly reason: string | undefined;
}

async function ask(h: Harness, name: string, skew: Surroundings["skew"], more: object = {}): Promise<Asked> {
  const now = Math.floor((Date.now() + h.clock.aheadMs + skew.issuerMs) / 1000);
  const token = await h.mint({ iat: now, nbf: now, exp: now + 300 });
  const response = await h.ask({ registry: "prod", scope: [`repository:web/${name}:pull`], ...more }, token);
  const { status } = response;
  const body = (await response.json()) as { code?: string; detail?: string };
  const after = response.headers.get("retry-after");
  const decision = h
    .logged()
    .filter(({ event }) => event === "decision")
    .at(-1);
  return {
    status,
    text: status === 200 ? "200" : `${status} \`${body.code}\`${after === null ? "" : `, ${after} s`}`,
    cache: decision?.["cache"],
    reason: /\((.*?)\)/.exec(body.detail ?? "")?.[1],
  };
}

function portOf(at: At, { cloud, issuer, redis }: Surroundings): number {
  if (at === "Redis") return redis?.port as number;
  return Number(new URL(at === "issuer" ? issuer.url : cloud.url).port);
}

function policyWith(
  at: At,
  { port }: FaultProxy,
  isTls: boolean,
  whenUnavailable: string,
  { cloud, issuer }: Surroundings,
): string {
  const by = `${isTls ? "https" : "http"}://localhost:${port}`;
  const keys = at === "issuer" ? `, jwks_uri: "${by}/jwks"` : "";
  const redis = `redis: { host: localhost, port: ${port}, ${isTls ? "ca_file: ./ca.pem" : "tls: false"}, when_unavailable: ${whenUnavailable} }`;
  return `
version: 1
audience: ${AUDIENCE}
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme.example.com] }
issuers:
  ci: { provider: generic, issuer: "${issuer.url}"${keys}${at === "Redis" ? ", replay: once" : ""} }
grants:
  web: { issuer: ci, when: { sub: job }, registry: prod, allow: ["repository:web/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-web", max_ttl: 1800 }
alibaba: { sts_endpoint: "${at === "STS" ? by : cloud.url}", cr_endpoint: "${at === "ACR" ? by : cloud.url}" }
budget: { instances: 1 }
${at === "Redis" ? redis : ""}
`;
}

/** Every fault with everybody whom it can befall. */
export function combinations(): { readonly at: At; readonly name: string }[] {
  return Object.entries(FAULTS).flatMap(([name, fault]) => fault.at.map((at) => ({ at, name })));
}
