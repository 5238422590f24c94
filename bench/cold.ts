/**
 * From the start of a process to its first answer, of the built broker and of the plain one beside it, as ratios to a bare `node:http` of the
 * same run. Before each start that is measured the floor is started too, and the ratio is taken of the two: a busy machine slows
 * both alike.
 */

import { openConnection, requestBytes } from "./connection.ts";
import type { Place } from "./cores.ts";
import { askFor, withScene } from "./scene.ts";
import { type Spread, spread } from "./spread.ts";
import { baseline, floor, startTarget, type Target } from "./targets.ts";
import { minter } from "./tokens.ts";

export interface ColdOptions {
  readonly dists: readonly string[];
  readonly rounds: number;
  readonly place: Place;
}

export interface ColdResult {
  /** `node` is the floor; a broker has the folder it was built into. */
  readonly of: string;
  readonly what: string;
  /** From before the process is made to the last byte of the answer, which is taken to be the first that a caller has of it. */
  readonly milliseconds: Spread;
  /** The first part of it, until the process says that it listens. */
  readonly listening: Spread;
  /** The last part of it: the last request alone. */
  readonly request: Spread;
  /** Processor time of all its threads until then, in ms. */
  readonly cpu?: Spread;
  /** To the floor that was started just before. */
  readonly ratio: Spread;
  readonly cpuRatio?: Spread;
}

/** What is asked, in turn, of a process that has just begun to listen; the last must be answered with `status`. */
interface Case {
  readonly what: string;
  readonly requests: readonly Buffer[];
  readonly status: number;
  /** Of the plain broker too. */
  readonly compared?: true;
}

interface Start {
  readonly milliseconds: number;
  readonly listening: number;
  readonly request: number;
  readonly cpu: number | undefined;
}

export function benchCold({ dists, rounds, place }: ColdOptions): Promise<ColdResult[]> {
  return withScene(dists, ({ tokens, cloud, issuers, brokers }) => {
    const cases = casesOf({
      valid: tokens.mint(issuers.again),
      // Signed by another key: the issuer's own keys have to be fetched to tell.
      forged: minter().mint(issuers.again),
      unknown: tokens.mint(`${cloud.url}/stranger`),
      denied: tokens.mint(issuers.again, { ref: "refs/heads/evil" }),
    });
    return measured([...brokers, baseline(cloud.url)], cases, rounds, place);
  });
}

function casesOf(tokens: Readonly<Record<"valid" | "forged" | "unknown" | "denied", string>>): Case[] {
  const ask = (token: string) => requestBytes("POST", "/v1/token", token, askFor("app"));
  return [
    { what: "health", requests: [requestBytes("GET", "/healthz")], status: 200 },
    { what: "refusal: unknown issuer", requests: [ask(tokens.unknown)], status: 401, compared: true },
    { what: "refusal: forged signature", requests: [ask(tokens.forged)], status: 401 },
    { what: "refusal: denied by the policy", requests: [ask(tokens.denied)], status: 403 },
    { what: "credential", requests: [ask(tokens.valid)], status: 200, compared: true },
    {
      what: "credential after /initialize",
      requests: [requestBytes("POST", "/initialize"), ask(tokens.valid)],
      status: 200,
    },
  ];
}

async function measured(
  targets: readonly Target[],
  cases: readonly Case[],
  rounds: number,
  place: Place,
): Promise<ColdResult[]> {
  const hello: Case = { what: "hello", requests: [requestBytes("GET", "/")], status: 200 };
  const subjects = cases.flatMap((one) =>
    targets
      .filter(({ kind }) => kind === "broker" || one.compared)
      .map((target) => ({ target, one, pairs: [] as { floor: Start; own: Start }[] })),
  );
  // One of each that does not count: it has the files read from the disk.
  for (const { target, one } of subjects) await start(target, one, place);
  for (let round = 0; round < rounds; round++) {
    for (const { target, one, pairs } of subjects) {
      pairs.push({ floor: await start(floor(), hello, place), own: await start(target, one, place) });
    }
  }
  const floors = subjects.flatMap(({ pairs }) => pairs.map((pair) => ({ floor: pair.floor, own: pair.floor })));
  return [
    result("node", hello.what, floors),
    ...subjects.map(({ target, one, pairs }) => result(target.name, one.what, pairs)),
  ];
}

async function start(target: Target, { requests, status }: Case, place: Place): Promise<Start> {
  const begun = now();
  const server = await startTarget(target, place);
  const listening = now();
  try {
    const connection = await openConnection(server.port);
    let asked = listening;
    let answer = { status: 0, body: "" };
    for (const request of requests) {
      asked = now();
      answer = await connection.ask(request);
    }
    const answered = now();
    const cpu = server.cpuMs();
    connection.close();
    if (answer.status !== status) throw new Error(`${target.name} answered ${answer.status}: ${answer.body}`);
    return { milliseconds: answered - begun, listening: listening - begun, request: answered - asked, cpu };
  } finally {
    await server.stop();
  }
}

function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function result(of: string, what: string, pairs: readonly { floor: Start; own: Start }[]): ColdResult {
  const own = (part: (start: Start) => number) => spread(pairs.map((pair) => part(pair.own)));
  const toFloor = (part: (start: Start) => number) => spread(pairs.map((pair) => part(pair.own) / part(pair.floor)));
  const cpu = ({ cpu }: Start) => cpu ?? Number.NaN;
  return {
    of,
    what,
    milliseconds: own(({ milliseconds }) => milliseconds),
    listening: own(({ listening }) => listening),
    request: own(({ request }) => request),
    ratio: toFloor(({ milliseconds }) => milliseconds),
    ...(pairs.some((pair) => pair.own.cpu === undefined) ? {} : { cpu: own(cpu), cpuRatio: toFloor(cpu) }),
  };
}
