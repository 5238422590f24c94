/** A clock that jumps from one event to the next: hours pass in seconds, and always in the same order. */

import { setImmediate as nextTurn } from "node:timers/promises";

export interface VirtualTime {
  readonly now: () => Date;
  readonly sleep: (ms: number) => Promise<void>;
  /** In ms since the epoch. */
  at(ms: number, happen: () => void): void;
  /** Lets everything happen that is due by then, all that it causes included; without a time, until nothing is left. */
  run(untilMs?: number): Promise<void>;
}

interface Event {
  readonly ms: number;
  readonly nth: number;
  readonly happen: () => void;
}

export function virtualTime(startMs: number): VirtualTime {
  let clock = startMs;
  let count = 0;
  /** A binary heap, the next one first. */
  const events: Event[] = [];

  function comesBefore(a: number, b: number): boolean {
    const [one, other] = [events[a] as Event, events[b] as Event];
    return one.ms < other.ms || (one.ms === other.ms && one.nth < other.nth);
  }

  function swap(a: number, b: number): void {
    [events[a], events[b]] = [events[b] as Event, events[a] as Event];
  }

  function at(ms: number, happen: () => void): void {
    events.push({ ms: Math.max(ms, clock), nth: count++, happen });
    for (let child = events.length - 1; child > 0; ) {
      const parent = (child - 1) >> 1;
      if (comesBefore(parent, child)) break;
      swap(parent, child);
      child = parent;
    }
  }

  function next(): Event {
    const [first] = events as [Event];
    const last = events.pop() as Event;
    if (events.length === 0) return first;
    events[0] = last;
    for (let parent = 0; ; ) {
      let least = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2]) {
        if (child < events.length && comesBefore(child, least)) least = child;
      }
      if (least === parent) return first;
      swap(parent, least);
      parent = least;
    }
  }

  return {
    now: () => new Date(clock),
    sleep: (ms) => new Promise((resolve) => at(clock + ms, resolve)),
    at,
    async run(untilMs = Number.POSITIVE_INFINITY) {
      // What was begun before may still be on its way to its first event.
      await nextTurn();
      while (events.length > 0 && (events[0] as Event).ms <= untilMs) {
        const event = next();
        clock = event.ms;
        event.happen();
        await nextTurn();
      }
      if (Number.isFinite(untilMs)) clock = Math.max(clock, untilMs);
    },
  };
}
