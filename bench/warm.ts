/**
 * What a running broker on one core does in a second, rung by rung: from a bare `node:http` over Hono's hello to a credential that
 * has to be made. Rounds are interleaved, so that a busy machine slows all alike, and ratios are taken within a round. Each
 * round has two parts: many requests at a time, for the throughput and what a request costs; and one at a time, for how long an
 * answer takes where it waits for no other.
 */

import type { Cloud } from "./cloud.ts";
import { requestBytes } from "./connection.ts";
import type { Place } from "./cores.ts";
import { load } from "./load.ts";
import { askFor, type Scene, withScene } from "./scene.ts";
import { type Spread, shareOf, spread } from "./spread.ts";
import { baseline, floor, hono, type Running, startTarget, type Target } from "./targets.ts";

export interface WarmOptions {
  readonly dists: readonly string[];
  readonly rounds: number;
  /** 1 is a whole round; less has fewer requests in it. */
  readonly size: number;
  readonly place: Place;
}

export interface WarmResult {
  readonly of: string;
  readonly what: string;
  readonly perSecond: Spread;
  /** Of the throughput, to Hono's hello of the same round. */
  readonly ratio: Spread;
  /** Processor time of the server's threads for one request, in µs. */
  readonly cpu?: Spread;
  /** To that of Hono's hello of the same round: what a busy machine changes least. */
  readonly cpuRatio?: Spread;
  readonly busy: Latency;
  /** One request at a time. */
  readonly alone: Latency;
}

/** Milliseconds, of each round; the ratio is of the p99, to Hono's hello of the same round. */
export interface Latency {
  readonly p50: Spread;
  readonly p99: Spread;
  readonly p99Ratio: Spread;
}

/** Enough that the server always has something to do, and few enough that a wait is not a queue. */
const IN_FLIGHT = 16;

/** A rung: the requests of one round at a time. `next` has to make as many as it is asked for. */
interface Rung {
  readonly what: string;
  readonly kinds: readonly Target["kind"][];
  readonly status: number;
  /** Requests of one round many at a time, and one at a time. */
  readonly busy: number;
  readonly alone: number;
  /** Of the cloud, for one of its calls. */
  readonly latencyMs?: number;
  next(count: number): Buffer[];
}

interface Round {
  readonly perSecond: number;
  readonly cpu: number | undefined;
  readonly busy: readonly [p50: number, p99: number];
  readonly alone: readonly [p50: number, p99: number];
}

interface Subject {
  readonly target: Target;
  readonly server: Running;
  readonly rung: Rung;
  /** The same requests for all that stand on a rung, as all have them for the first time. */
  readonly rounds: Round[];
}

export function benchWarm({ dists, rounds, size, place }: WarmOptions): Promise<WarmResult[]> {
  return withScene(dists, async (scene) => {
    const rungs = rungsOf(scene, size);
    const subjects: Subject[] = [];
    const servers: Running[] = [];
    try {
      for (const target of [floor(), hono(), ...scene.brokers, baseline(scene.cloud.url)]) {
        const server = await startTarget(target, place);
        servers.push(server);
        for (const rung of rungs) {
          if (rung.kinds.includes(target.kind)) subjects.push({ target, server, rung, rounds: [] });
        }
      }
      // The first does not count: it has the code compiled, and the credentials made that are repeated.
      for (let count = 0; count <= rounds; count++) {
        for (const rung of rungs) await round(rung, subjects, scene.cloud, count > 0);
      }
      return results(subjects);
    } finally {
      for (const server of servers) await server.stop();
    }
  });
}

function rungsOf({ tokens: { mint }, issuers: { again, once } }: Scene, size: number): Rung[] {
  const many = (count: number) => Math.ceil(count * size);
  const ask = (token: string, repository = "app") => requestBytes("POST", "/v1/token", token, askFor(repository));
  const same = (request: Buffer) => (count: number) => new Array<Buffer>(count).fill(request);
  const anew = (make: () => Buffer) => (count: number) => Array.from({ length: count }, make);
  let repositories = 0;
  const missed = () => ask(mint(once), `app-${repositories++}`);
  return [
    {
      what: "hello",
      kinds: ["floor", "hono"],
      status: 200,
      busy: many(4_000),
      alone: many(1_000),
      next: same(requestBytes("GET", "/")),
    },
    {
      what: "kept credential, repeated token",
      kinds: ["broker"],
      status: 200,
      busy: many(1_500),
      alone: many(500),
      next: same(ask(mint(again))),
    },
    {
      what: "kept credential, new token each time",
      kinds: ["broker"],
      status: 200,
      busy: many(600),
      alone: many(300),
      next: anew(() => ask(mint(once))),
    },
    {
      what: "refusal: denied by the policy",
      kinds: ["broker", "baseline"],
      status: 403,
      busy: many(800),
      alone: many(300),
      next: same(ask(mint(again, { ref: "refs/heads/evil" }))),
    },
    {
      what: "refusal: unknown issuer",
      kinds: ["broker", "baseline"],
      status: 401,
      busy: many(800),
      alone: many(300),
      next: same(ask(mint(`${again}/stranger`))),
    },
    {
      what: "miss, cloud of 0 ms",
      kinds: ["broker", "baseline"],
      status: 200,
      busy: many(150),
      alone: many(50),
      next: anew(missed),
    },
    {
      what: "miss, cloud of 30 ms",
      kinds: ["broker", "baseline"],
      status: 200,
      busy: many(150),
      alone: many(10),
      latencyMs: 30,
      next: anew(missed),
    },
  ];
}

async function round(rung: Rung, subjects: readonly Subject[], cloud: Cloud, counts: boolean): Promise<void> {
  await cloud.next(rung.latencyMs ?? 0);
  const [busy, alone] = [rung.next(rung.busy), rung.next(rung.alone)];
  for (const subject of subjects) {
    if (subject.rung !== rung) continue;
    const { port, cpuMs } = subject.server;
    const before = cpuMs();
    const { seconds, milliseconds } = await load({ port, requests: busy, inFlight: IN_FLIGHT, status: rung.status });
    const after = cpuMs();
    const single = await load({ port, requests: alone, inFlight: 1, status: rung.status });
    if (!counts) continue;
    subject.rounds.push({
      perSecond: busy.length / seconds,
      cpu: before === undefined || after === undefined ? undefined : ((after - before) * 1000) / busy.length,
      busy: [shareOf(milliseconds, 0.5), shareOf(milliseconds, 0.99)],
      alone: [shareOf(single.milliseconds, 0.5), shareOf(single.milliseconds, 0.99)],
    });
  }
}

function results(subjects: readonly Subject[]): WarmResult[] {
  const hello = subjects.find(({ target }) => target.kind === "hono") as Subject;
  return subjects.map(({ target, rung, rounds }) => {
    const of = (part: (round: Round) => number) => spread(rounds.map(part));
    const toHello = (part: (round: Round) => number) =>
      spread(rounds.map((round, index) => part(round) / part(hello.rounds[index] as Round)));
    const cpu = ({ cpu }: Round) => cpu ?? Number.NaN;
    const latency = (kind: "busy" | "alone"): Latency => ({
      p50: of((round) => round[kind][0]),
      p99: of((round) => round[kind][1]),
      p99Ratio: toHello((round) => round[kind][1]),
    });
    return {
      of: target.name,
      what: rung.what,
      perSecond: of(({ perSecond }) => perSecond),
      ratio: toHello(({ perSecond }) => perSecond),
      ...(rounds.some((round) => round.cpu === undefined) ? {} : { cpu: of(cpu), cpuRatio: toHello(cpu) }),
      busy: latency("busy"),
      alone: latency("alone"),
    };
  });
}
