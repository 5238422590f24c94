import { describe, expect, test } from "vitest";
import { keepFresh, type Life, type Refresh } from "../../../cli/exec/refresh.ts";

/** A clock that only sleeping moves, and logins by it. */
function world(lifeSeconds = 900) {
  let ms = 0;
  const stop = new AbortController();
  const events: string[] = [];
  const pauses: number[] = [];
  const at = () => Math.round(ms / 1000);
  const credentials = (life = lifeSeconds): Life & { readonly born: number } => {
    const born = ms;
    const left = () => born + life * 1000 - ms;
    return {
      born: at(),
      expiresAt: new Date(born + life * 1000),
      refreshAfter: new Date(born + (life * 2000) / 3),
      get expiresInSeconds() {
        return Math.max(0, Math.floor(left() / 1000));
      },
      get isDue() {
        return left() <= (life * 1000) / 3;
      },
    };
  };
  /** Stops when the time is over. */
  const until = (seconds: number) => async (pause: number, signal: AbortSignal) => {
    pauses.push(pause / 1000);
    ms += pause;
    if (ms >= seconds * 1000) stop.abort();
    signal.throwIfAborted();
  };
  const refresh = (over: Partial<Refresh<Life>>, seconds: number): Refresh<Life> => ({
    ask: async (minTtl) => {
      events.push(`asked at ${at()} for ${minTtl}`);
      return credentials();
    },
    write: async () => {
      events.push(`written at ${at()}`);
    },
    failed: (error) => events.push(`failed at ${at()}: ${(error as Error).message}`),
    sleep: until(seconds),
    ...over,
  });
  return { credentials, refresh, events, pauses, stop, at };
}

describe("a login that is in use", () => {
  test("is replaced when two thirds of its life are over, and so is the next, for as long as the command runs", async () => {
    const { credentials, refresh, events, stop } = world();
    await keepFresh(credentials(), refresh({}, 2_000), stop.signal);
    expect(events).toEqual([
      "asked at 600 for 301",
      "written at 600",
      "asked at 1200 for 301",
      "written at 1200",
      "asked at 1800 for 301",
      "written at 1800",
    ]);
  });

  test("is looked at twice a minute at least: a machine that slept does not notice by a timer", async () => {
    const { credentials, refresh, pauses, stop } = world();
    await keepFresh(credentials(), refresh({}, 1_000), stop.signal);
    expect(Math.max(...pauses)).toBe(30);
  });

  test("is asked for again until it comes, more and more seldom; says so once, and keeps to what there is meanwhile", async () => {
    const { credentials, refresh, events, pauses, stop, at } = world();
    const ask = async () => {
      if (at() < 850) throw new Error("not reached");
      return credentials();
    };
    await keepFresh(credentials(), refresh({ ask }, 860), stop.signal);
    expect(events).toEqual(["failed at 600: not reached", "written at 850"]);
    expect(pauses.slice(20)).toEqual([10, 20, 40, 60, 60, 60, 30]);
  });

  test("is asked for also after it has ended: the command may still want one", async () => {
    const { credentials, refresh, events, stop, at } = world();
    const ask = async (minTtl: number) => {
      if (at() < 1_000) throw new Error("not reached");
      events.push(`asked for ${minTtl}`);
      return credentials();
    };
    await keepFresh(credentials(), refresh({ ask }, 1_100), stop.signal);
    expect(events).toEqual(["failed at 600: not reached", "asked for 1", "written at 1030"]);
  });

  test("that cannot be written is one that has failed", async () => {
    const { credentials, refresh, events, stop } = world();
    const write = async () => {
      throw new Error("disk full");
    };
    await keepFresh(credentials(), refresh({ write }, 620), stop.signal);
    expect(events).toEqual(["asked at 600 for 301", "failed at 600: disk full", "asked at 610 for 291"]);
  });

  test("is left alone when the command has ended, in whatever this is just doing", async () => {
    const { credentials, refresh, events, stop } = world();
    const ask = async (_: number, signal: AbortSignal) => {
      stop.abort();
      signal.throwIfAborted();
      return credentials();
    };
    await keepFresh(credentials(), refresh({ ask }, 5_000), stop.signal);
    expect(events).toEqual([]);
  });
});
