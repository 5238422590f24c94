/**
 * Which requests are refused before anything is done for them, so that those which are taken on are answered in time.
 *
 * A process that has more to do than it can shows it by one thing: requests that the kernel had ready at the beginning of a turn of the
 * event loop are read late in it. What waits for the cloud is no such sign, as it takes no time of the loop, and neither is a turn that
 * is long because the machine is slow or was stopped. So nobody is refused before more than a hundred have come in one turn, of which the
 * last waited a quarter of a second, and this for another quarter without a moment's rest. From then on a few of each turn are taken on and
 * all others refused, which keeps turns, and so everybody's wait, short. That ends when the loop has rested long enough to have served
 * those whom it refused.
 */

import type { RequestListener } from "node:http";
import { BrokerError } from "../../../shared/error.ts";
import { oauthError } from "../oauth-error.ts";
import { problem } from "../problem.ts";
import { TOKEN_EXCHANGE } from "../routes/token-exchange.ts";
import type { Answer } from "./answer.ts";
import { discardRest } from "./listener.ts";

/** As many as Function Compute gives an instance at once (`instanceConcurrency` in s.yaml): of so few nobody is ever refused. */
const FEW = 100;
const LATE_MS = 250;
/** Taken on in each turn while others are refused. More make turns longer, and serve no more: refusing takes the rest in any case. */
const OF_A_TURN = 2;
/** In a long turn one of so many, or a flood that takes all of the time to refuse would leave none for anybody. */
const ONE_OF = 64;
/** How often it is looked at whether that can end. */
const LOOK_MS = 100;
/** Of the time, lest a moment's rest be taken for much of it. */
const LEAST_REST = 0.02;
/** Under way at once, whatever they wait for: beyond that memory is what ends. */
const MOST_UNDER_WAY = 10_000;

/** The event loop as one sees it who stands in it; times in ms. */
export interface Loop {
  /** From anywhere, and never back. */
  readonly now: () => number;
  /** For how long in all it has waited for something to do. */
  readonly rested: () => number;
  /** Calls back when this turn is over. */
  readonly afterTurn: (callback: () => void) => void;
  /** Does now what waits for the end of this turn, which may be far: libuv reads 48 times from 1,024 connections before it ends one. */
  readonly hurry: () => void;
}

export interface Shedding {
  /** Whether to take the next request on, where so many are under way. */
  take(underWay: number): boolean;
  /** Carries a refusal out, whose time is not counted as that of those who are served. */
  refuse(carryOut: () => void): void;
}

/** `onChange` is told when refusing begins, and with the number that were refused when it has ended. */
export function shedding({ now, rested, afterTurn, hurry }: Loop, onChange: (refused?: number) => void): Shedding {
  /** Of the turn in which a request came; undefined between turns. */
  let turnBegan: number | undefined;
  let ofThisTurn = 0;
  /** Since when the last of each turn has been late, and how long the loop had rested by then. */
  let late: { readonly since: number; readonly rested: number } | undefined;
  /** Since it was last looked at. */
  let counted:
    | { readonly from: number; readonly rested: number; taken: number; refused: number; refusingMs: number }
    | undefined;
  let refusedInAll = 0;

  function count(time: number): void {
    counted = { from: time, rested: rested(), taken: 0, refused: 0, refusingMs: 0 };
  }

  function beginTurn(time: number): number {
    ofThisTurn = 0;
    if (counted !== undefined && time - counted.from >= LOOK_MS) look(counted, time);
    afterTurn(() => {
      if (turnBegan !== undefined && now() - turnBegan < LATE_MS) late = undefined;
      turnBegan = undefined;
    });
    return time;
  }

  function look({ from, rested: before, taken, refused, refusingMs }: NonNullable<typeof counted>, time: number): void {
    const restedMs = rested() - before;
    // Reading a refused request takes node:http about as long as to refuse it takes here.
    const busyMs = Math.max(0, time - from - restedMs - 2 * refusingMs);
    if (restedMs < LEAST_REST * (time - from) || refused * busyMs > restedMs * taken) {
      count(time);
      return;
    }
    counted = undefined;
    onChange(refusedInAll);
    refusedInAll = 0;
  }

  function isStanding(time: number): boolean {
    if (late === undefined || rested() > late.rested) late = { since: time, rested: rested() };
    return time - late.since >= LATE_MS;
  }

  return {
    take(underWay) {
      const time = now();
      turnBegan ??= beginTurn(time);
      if (++ofThisTurn % ONE_OF === 0) hurry();
      if (counted === undefined && ofThisTurn > FEW && time - turnBegan >= LATE_MS && isStanding(time)) {
        late = undefined;
        count(time);
        onChange();
      }
      const isTaken =
        underWay < MOST_UNDER_WAY && (counted === undefined || ofThisTurn <= OF_A_TURN || ofThisTurn % ONE_OF === 0);
      if (counted !== undefined) {
        if (isTaken) counted.taken++;
        else {
          counted.refused++;
          refusedInAll++;
        }
      }
      return isTaken;
    },
    refuse(carryOut) {
      const began = now();
      carryOut();
      if (counted !== undefined) counted.refusingMs += now() - began;
    },
  };
}

/** Asked by machines that end or pass over a process which does not answer: a busy one must not be ended for it. */
const ALWAYS: ReadonlySet<string | undefined> = new Set(["/healthz", "/readyz"]);

/** Spread over so many seconds, so that those who were refused together do not come back together. */
const LONGEST_RETRY_S = 3;
const WHY = new BrokerError(
  "not_ready",
  "more requests come than this instance can answer; try again after Retry-After",
);

/**
 * `listener` for the requests that are taken on; the others get 503 at once. No line of the log is written of each: what a refusal costs
 * is taken from those who are served. `underWay`: how many have no answer yet.
 */
export function sheddingListener(
  listener: RequestListener,
  shed: Shedding,
  underWay: () => number,
  newRequestId: () => string,
): RequestListener {
  const [refuse, refuseExchange] = [refusal(problem, newRequestId), refusal(oauthError, newRequestId)];
  return (incoming, outgoing) => {
    if (ALWAYS.has(incoming.url) || shed.take(underWay())) listener(incoming, outgoing);
    else shed.refuse(() => (incoming.url === TOKEN_EXCHANGE ? refuseExchange : refuse)(incoming, outgoing));
  };
}

/** Made beforehand, but for the id and the time. */
function refusal(form: typeof problem, newRequestId: () => string): RequestListener {
  const place = "<request id>";
  const { body, status, headers } = form(WHY, place) as unknown as Answer;
  const [before = "", behind = ""] = (body ?? "").split(place);
  const fields = [...[...headers].flat(), "x-content-type-options", "nosniff"];
  let refused = 0;
  return (incoming, outgoing) => {
    const id = newRequestId();
    const text = before + id + behind;
    const retryAfter = String(1 + (refused++ % LONGEST_RETRY_S));
    const ofThis = ["x-request-id", id, "retry-after", retryAfter, "content-length", String(text.length)];
    outgoing.once("finish", () => discardRest(incoming));
    outgoing.writeHead(status, [...fields, ...ofThis]).end(text);
  };
}
