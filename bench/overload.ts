/**
 * A broker on one core with four times the requests that it can answer, from callers who do not wait for one another: how long those
 * wait who are served, how fast the others are refused, how many are served still, and when all is as before after it. First what it
 * can answer at all (many at a time, each after the last), and how long an answer takes where hardly anybody asks.
 */

import { requestBytes } from "./connection.ts";
import type { Place } from "./cores.ts";
import { Callers, type FloodResult } from "./flood.ts";
import { askFor, type Scene, withScene } from "./scene.ts";
import { type Spread, shareOf, spread } from "./spread.ts";
import { startTarget, type Target } from "./targets.ts";

export interface OverloadOptions {
  readonly dists: readonly string[];
  readonly rounds: number;
  /** 1 is a whole round; less takes a shorter time. */
  readonly size: number;
  readonly place: Place;
}

export interface OverloadResult {
  readonly of: string;
  readonly what: string;
  /** Requests a second that it answers, 64 at a time. */
  readonly capacity: Spread;
  /** p99 in ms, of each round: at a tenth of that, and at four times as many of those who were served. */
  readonly unloaded: Spread;
  readonly served: Spread;
  /** Of the two of one round. */
  readonly ratio: Spread;
  /** p99 in ms of those who were refused; left out where nobody was. */
  readonly refused?: Spread;
  /** How many were served in a second, to the capacity. */
  readonly share: Spread;
  /** The longest wait of all in ms, which is before refusing begins. */
  readonly longest: Spread;
  /** ms from the end of the load until the p99 of a tenth of a second is within three times the unloaded one, and nobody is refused. */
  readonly recovery: Spread;
}

const TIMES = 4;
const QUIET = 0.1;
const QUIET_SECONDS = 3;
/** Until refusing has begun and what had gathered by then is gone; counted in `longest` alone. */
const ONSET_SECONDS = 3;
const LOAD_SECONDS = 6;
const AFTER_SECONDS = 3;
const AFTER_WINDOW_MS = 100;
/** More than can wait while the broker serves within a second: whoever waited for a connection would wait for the client. */
const CONNECTIONS = 3_000;
const CAPACITY_REQUESTS = 6_000;
const CAPACITY_AT_ONCE = 64;
/** Many times more than the broker remembers, so that it has forgotten each when it comes again. */
const TOKENS = 24_000;

interface Round {
  readonly capacity: number;
  readonly unloaded: number;
  readonly served: number;
  readonly refused: number | undefined;
  readonly share: number;
  readonly longest: number;
  readonly recovery: number;
}

export function benchOverload({ dists, rounds, size, place }: OverloadOptions): Promise<OverloadResult[]> {
  return withScene(dists, async (scene) => {
    const results: OverloadResult[] = [];
    for (const target of scene.brokers) {
      for (const [what, next] of mixes(scene, size)) {
        const measured: Round[] = [];
        for (let count = 0; count < rounds; count++) measured.push(await round(target, next, size, place));
        results.push({ of: target.name, what, ...together(measured) });
      }
    }
    return results;
  });
}

/** Requests by turns, without end. */
function mixes({ tokens: { mint }, issuers: { again } }: Scene, size: number): [what: string, next: () => Buffer][] {
  const ask = (token: string) => requestBytes("POST", "/v1/token", token, askFor("app"));
  // Of the algorithm that signs fast enough for so many.
  const fresh = Array.from({ length: Math.ceil(TOKENS * size) }, () => ask(mint(again, {}, "ES256")));
  const kinds = [[ask(mint(again))], [ask(mint(`${again}/stranger`))], fresh];
  return [
    ["repeated tokens, new tokens, bad tokens", byTurns(kinds)],
    ["a new token each", byTurns([fresh])],
  ];
}

function byTurns(kinds: readonly (readonly Buffer[])[]): () => Buffer {
  let count = 0;
  return () => {
    const kind = kinds[count % kinds.length] as readonly Buffer[];
    return kind[Math.floor(count++ / kinds.length) % kind.length] as Buffer;
  };
}

async function round(target: Target, next: () => Buffer, size: number, place: Place): Promise<Round> {
  const server = await startTarget(target, place);
  try {
    const callers = await Callers.connect(server.port, CONNECTIONS);
    try {
      const requests = Math.ceil(CAPACITY_REQUESTS * size);
      // The first does not count: it has the code compiled.
      await callers.closedLoop(next, requests, CAPACITY_AT_ONCE);
      const capacity = await callers.closedLoop(next, requests, CAPACITY_AT_ONCE);
      const quiet = { perSecond: capacity * QUIET, seconds: QUIET_SECONDS * size };
      const unloaded = p99(await callers.flood(next, [quiet]), isAny) as number;
      return { capacity, unloaded, ...(await overload(callers, next, { capacity, unloaded, size })) };
    } finally {
      callers.close();
    }
  } finally {
    await server.stop();
  }
}

async function overload(
  callers: Callers,
  next: () => Buffer,
  { capacity, unloaded, size }: { capacity: number; unloaded: number; size: number },
): Promise<Omit<Round, "capacity" | "unloaded">> {
  const [onsetMs, loadMs] = [ONSET_SECONDS * size * 1000, (ONSET_SECONDS + LOAD_SECONDS) * size * 1000];
  const result = await callers.flood(next, [
    { perSecond: capacity * TIMES, seconds: loadMs / 1000 },
    { perSecond: capacity * QUIET, seconds: AFTER_SECONDS * size },
  ]);
  const steady: Which = ({ due }) => due >= onsetMs && due < loadMs;
  const served = times(result, (one) => steady(one) && isServed(one));
  return {
    served: shareOf(served, 0.99),
    refused: p99(result, (one) => steady(one) && !isServed(one)),
    share: served.length / ((loadMs - onsetMs) / 1000) / capacity,
    longest: times(result, isAny).reduce((most, ms) => Math.max(most, ms)),
    recovery: recovery(result, loadMs, 3 * unloaded),
  };
}

/** From then on, in windows: the first in which all is well. */
function recovery(result: FloodResult, fromMs: number, mostMs: number): number {
  const last = result.due.at(-1) as number;
  for (let from = fromMs; from < last; from += AFTER_WINDOW_MS) {
    const inWindow: Which = ({ due }) => due >= from && due < from + AFTER_WINDOW_MS;
    const isWell = times(result, (one) => inWindow(one) && !isServed(one)).length === 0;
    if (isWell && (p99(result, inWindow) ?? 0) <= mostMs) return from - fromMs;
  }
  return last - fromMs;
}

type Which = (one: { readonly due: number; readonly status: number }) => boolean;

const isAny: Which = () => true;
/** A bad token has its answer too. */
const isServed: Which = ({ status }) => status !== 503;

function times({ due, status, took }: FloodResult, which: Which): number[] {
  return [...took].filter((_, index) => which({ due: due[index] as number, status: status[index] as number }));
}

function p99(result: FloodResult, which: Which): number | undefined {
  const some = times(result, which);
  return some.length === 0 ? undefined : shareOf(some, 0.99);
}

function together(rounds: readonly Round[]): Omit<OverloadResult, "of" | "what"> {
  const of = (part: (round: Round) => number) => spread(rounds.map(part));
  const refused = rounds.flatMap((round) => round.refused ?? []);
  return {
    capacity: of((round) => round.capacity),
    unloaded: of((round) => round.unloaded),
    served: of((round) => round.served),
    ratio: of((round) => round.served / round.unloaded),
    ...(refused.length === 0 ? {} : { refused: spread(refused) }),
    share: of((round) => round.share),
    longest: of((round) => round.longest),
    recovery: of((round) => round.recovery),
  };
}
