/**
 * When the next AssumeRole call may be made: one rate, kept exactly (GCRA, the virtual scheduling of ITU-T I.371), as this
 * instance keeps it for itself. `redis-turns.ts` keeps the same for all instances.
 */

export interface Turn {
  /** From now. */
  readonly inMs: number;
  /** How far apart turns are at the moment. */
  readonly everyMs: number;
  /** False: it would come too late, and was left to others. */
  readonly taken: boolean;
  /** How many more may come at once now. */
  readonly left: number;
}

export interface Turns {
  /**
   * The next turn, taken if it comes within so many ms. `spare`: only if it is now, and as many are unused as waiting requests
   * may want at any moment. Never throws.
   */
  next(withinMs: number | "spare"): Promise<Turn>;
  /** STS said that it is asked too often: turns are further apart for a while. Never throws. */
  throttled(): Promise<void>;
}

export interface Rate {
  readonly perSecond: number;
  /** How many may come at once after a pause. */
  readonly burst: number;
}

/** An eighth of a second's calls at once: 80 a second, and never more than 90 within one. */
export function rateOf(perSecond: number): Rate {
  return { perSecond, burst: Math.max(1, Math.floor(perSecond / 8)) };
}

/** What both ways of keeping it must do alike. */
export function pace({ perSecond, burst }: Rate) {
  const periodMs = 1000 / perSecond;
  return {
    periodMs,
    /** How far behind its even spacing the next turn may be: that many come at once. */
    toleranceMs: (burst - 1) * periodMs,
    /** No turn is further ahead than that, ten seconds being longer than anybody waits, unless a clock was put back. */
    farthestMs: 10_000 + (burst - 1) * periodMs + 2 * periodMs * 2 ** MOST_SLOW,
    /** Half of what may come at once must be unused. */
    spareMs: -((burst - 1) * periodMs) / 2,
  };
}

/** Each Throttling doubles the distance between turns, up to eight times… */
export const MOST_SLOW = 3;
/** …and each five seconds without one halve it again. */
export const RECOVERY_MS = 5_000;
/** Answers to calls that were under way together count as one. */
export const SAME_WAVE_MS = 1_000;

export function ownTurns(rate: Rate, now: () => Date): Turns {
  const { periodMs, toleranceMs, farthestMs, spareMs } = pace(rate);
  /** When the next turn would be if all came evenly: GCRA's theoretical arrival time. */
  let evenly = 0;
  let slow = 0;
  let slowSince = 0;

  function slowness(time: number): number {
    // Of the future, where a clock was put back.
    return slowSince > time ? 0 : Math.max(0, slow - Math.floor((time - slowSince) / RECOVERY_MS));
  }

  return {
    async next(withinMs) {
      const time = now().getTime();
      const everyMs = periodMs * 2 ** slowness(time);
      if (evenly < time || evenly > time + farthestMs) evenly = time;
      const early = evenly - toleranceMs - time;
      const taken = early <= (withinMs === "spare" ? spareMs : withinMs);
      if (taken) evenly += everyMs;
      const left = Math.max(0, Math.floor((time + toleranceMs - evenly) / everyMs) + 1);
      return { inMs: Math.max(0, early), everyMs, taken, left };
    },
    async throttled() {
      const time = now().getTime();
      const current = slowness(time);
      if (current > 0 && time - slowSince < SAME_WAVE_MS) return;
      slow = Math.min(MOST_SLOW, current + 1);
      slowSince = time;
      // What was saved up is not there any more.
      evenly = Math.max(evenly, time + toleranceMs + periodMs * 2 ** slow);
    },
  };
}
