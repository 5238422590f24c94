/**
 * The budget of AssumeRole calls. STS allows an account 100 a second, everything in that account counted
 * (https://www.alibabacloud.com/notice/ram20220829): whoever would exceed it waits here for a turn, grants by turns, or is told
 * at once when to come again. Where turns come from is turns.ts.
 */

import type { Allowance } from "../../alibaba/call.ts";
import type { BudgetSettings } from "../../config/config.ts";
import { BrokerError } from "../../error.ts";
import type { SharedRedis } from "../../store/redis.ts";
import { fairQueue } from "./fair-queue.ts";
import { sharedTurns } from "./redis-turns.ts";
import { ownTurns, type Rate, rateOf, type Turn, type Turns } from "./turns.ts";

/** 20 of the account's 100 are left to whatever else is in it, and to what arrives closer together than it was sent. */
const PER_SECOND = 80;
/** Without Redis nobody knows how many instances there are: 12 of a tenth each stay within the account's 100. */
const INSTANCES = 10;

const LONGEST_WAIT_MS = 5_000;
/** Of a request's own deadline: what the calls need that it waits for. */
const CALLS_MS = 3_000;
/** What is answered at once cannot be more: an instance of Function Compute has 200 requests at most. */
const MOST_WAITING = 1_000;
/** Clients wait no longer than a minute (docs/clients/ci.md). */
const LONGEST_RETRY_SECONDS = 60;

export interface Budget {
  /** For the requests of one grant, or of several together. Its `turn` throws BrokerError rate_limited. */
  of(grants: string, waited: (ms: number) => void): Allowance;
  /** For one call that nobody waits for, its first turn taken. @throws NoTurnToSpare */
  spare(): Promise<Allowance>;
}

export interface WatchedBudget extends Budget {
  /** How many requests wait for a turn. */
  waiting(): number;
  /** How many calls may be made at once, as this instance saw it last. */
  left(): number;
  /** The calls a second of all instances. */
  readonly perSecond: number;
}

export class NoTurnToSpare extends Error {}

export interface BudgetContext {
  readonly now: () => Date;
  readonly sleep: (ms: number) => Promise<void>;
}

/** `accountId`: the account that calls, where it is known. */
export function assumeRoleBudget(
  { assumeRolePerSecond = PER_SECOND, instances = INSTANCES }: BudgetSettings,
  shared:
    | { readonly redis: Pick<SharedRedis, "run">; readonly keyPrefix: string; readonly accountId: string | undefined }
    | undefined,
  context: BudgetContext,
): WatchedBudget {
  const share = assumeRolePerSecond / instances;
  const own = ownTurns(rateOf(share), context.now);
  if (shared === undefined) return { ...budget(own, rateOf(share), context), perSecond: assumeRolePerSecond };
  const key = `${shared.keyPrefix}:assume-role:${shared.accountId ?? "own-account"}`;
  const turns = sharedTurns(shared.redis, key, rateOf(assumeRolePerSecond), own);
  return { ...budget(turns, rateOf(assumeRolePerSecond), context), perSecond: assumeRolePerSecond };
}

interface Waiting {
  /** In ms since the epoch, both. */
  readonly since: number;
  readonly until: number;
  begin(): void;
  refuse(error: BrokerError): void;
}

function budget(
  turns: Turns,
  { perSecond, burst }: Rate,
  { now, sleep }: BudgetContext,
): Omit<WatchedBudget, "perSecond"> {
  const queue = fairQueue<Waiting>();
  const time = () => now().getTime();
  let isServing = false;
  /** When the turn comes that was taken last, and how far apart they have been since: what one instance of many gets. */
  let nextAt = 0;
  let everyMs = 1000 / perSecond;
  /** How many turns could be had at once when one was asked for last. */
  let seen = { left: burst, at: 0 };
  /** When there is room again for the next that is refused: those that were sent away before it come back, too. */
  let roomAt = 0;

  async function nextTurn(within: Parameters<Turns["next"]>[0]): Promise<Turn> {
    const turn = await turns.next(within);
    seen = { left: turn.left, at: time() };
    return turn;
  }

  /** Refuses those whose turn would come too late, and nobody else: at once, not when they have waited. */
  function refuseTheLate(): void {
    const current = time();
    const begin = Math.max(nextAt, current);
    let ahead = 0;
    queue.filter((one) => {
      const turnAt = begin + ahead * everyMs;
      // One that comes now is never too late: the time may have passed with asking for it.
      if (turnAt <= Math.max(one.until, current) && ahead < MOST_WAITING) {
        ahead++;
        return true;
      }
      roomAt = Math.max(roomAt, current + turnAt - one.until) + everyMs;
      roomAt = Math.min(roomAt, current + LONGEST_RETRY_SECONDS * 1000);
      one.refuse(tooMany(perSecond, roomAt - current));
      return false;
    });
  }

  /** One turn at a time, so that instances that share them get them by turns, too, however many wait at each. */
  async function serve(): Promise<void> {
    isServing = true;
    while (queue.size > 0) {
      const turn = await nextTurn(LONGEST_WAIT_MS);
      nextAt = time() + turn.inMs;
      everyMs = Math.max(turn.everyMs, turn.inMs);
      refuseTheLate();
      // Nobody is left then: it would have come too late for all.
      if (!turn.taken) continue;
      if (turn.inMs > 0 && queue.size > 0) await sleep(turn.inMs);
      queue.shift()?.begin();
    }
    isServing = false;
    // What was seen in a crowd says nothing of the next, or by a clock that was put back since.
    nextAt = 0;
    everyMs = 1000 / perSecond;
  }

  function wait(grants: string, deadline: Date): Promise<void> {
    return new Promise((begin, refuse) => {
      const since = time();
      // Who has waited for something else is not to be told that it was for this.
      const until = Math.max(since, Math.min(since + LONGEST_WAIT_MS, deadline.getTime() - CALLS_MS));
      queue.push(grants, { since, until, begin, refuse });
      refuseTheLate();
      if (!isServing) void serve();
    });
  }

  return {
    of: (grants, waited) => ({
      async turn(deadline) {
        const since = time();
        try {
          await wait(grants, deadline);
        } finally {
          waited(time() - since);
        }
      },
      throttled: () => void turns.throttled(),
    }),
    waiting: () => queue.size,
    left: () => Math.min(burst, seen.left + (Math.max(0, time() - seen.at) * perSecond) / 1000),
    async spare() {
      const take = async () => !isServing && (await nextTurn("spare")).taken;
      let isFirst = await take();
      if (!isFirst) throw new NoTurnToSpare();
      return {
        async turn() {
          if (!isFirst && !(await take())) throw new NoTurnToSpare();
          isFirst = false;
        },
        throttled: () => void turns.throttled(),
      };
    },
  };
}

function tooMany(perSecond: number, roomInMs: number): BrokerError {
  const retryAfterSeconds = Math.max(1, Math.ceil(roomInMs / 1000));
  return new BrokerError(
    "rate_limited",
    `more new credentials are wanted than the ${Math.round(perSecond * 10) / 10} a second that may be asked of STS here, and it would take over ${LONGEST_WAIT_MS / 1000} s to get to yours; try again in ${retryAfterSeconds} s, and have scheduled jobs start at different minutes, or the broker's operator look at budget in broker.yaml`,
    { retryAfterSeconds },
  );
}
