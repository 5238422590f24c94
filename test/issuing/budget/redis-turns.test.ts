/** Turns that instances share, in a real Redis: alive, killed and frozen. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { assumeRoleBudget } from "../../../shared/issuing/budget/budget.ts";
import { sharedTurns } from "../../../shared/issuing/budget/redis-turns.ts";
import { ownTurns, rateOf, type Turn, type Turns } from "../../../shared/issuing/budget/turns.ts";
import { type SharedRedis, sharedRedis } from "../../../shared/store/redis.ts";
import { haveTools } from "../../e2e/tools.ts";
import { type RedisServer, startRedisServer } from "../../store/redis-server.ts";

const KEY = "acr-token-broker:assume-role:1234567890123456";
const RATE = rateOf(80);
const SHARE = rateOf(8);

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function startServer(): Promise<RedisServer> {
  const configuration = readFileSync(new URL("../../../docs/configuration.md", import.meta.url), "utf8");
  const [, user = ""] = /^ {4}ACL SETUSER (broker .*)$/m.exec(configuration) ?? [];
  const server = await startRedisServer([`user ${user.replace(">PASSWORD", ">secret")}`]);
  opened.push(server);
  return server;
}

/** One more instance, by a clock of its own. Unless `inEarnest` it waits long for Redis: this machine may be busy. */
function instance({ port }: RedisServer, { aheadMs = 0, inEarnest = false } = {}) {
  const clock = { aheadMs };
  const now = () => new Date(Date.now() + clock.aheadMs);
  const settings = { host: "127.0.0.1", port, tls: false, username: "broker", keyPrefix: "acr-token-broker" } as const;
  const redis = sharedRedis({
    settings: { ...settings, whenUnavailable: "memory" },
    password: "secret",
    now,
    onAvailability: () => {},
    ...(inEarnest ? {} : { limitMs: 10_000 }),
  });
  opened.push(redis);
  return { redis, clock, now, turns: sharedTurns(redis, KEY, RATE, ownTurns(SHARE, now)) };
}

const gone = (turns: readonly Turn[]) => turns.map(({ inMs, taken }) => taken && inMs === 0);

describe.skipIf(!haveTools(["redis-server"]))("turns in Redis", () => {
  test("are one sequence for all instances, with the rights that the documentation gives them", async () => {
    const server = await startServer();
    const [a, b] = [instance(server), instance(server)];
    const asked = await Promise.all(Array.from({ length: 60 }, (_, i) => (i % 2 ? a : b).turns.next(5_000)));
    expect(asked.every(({ taken }) => taken)).toBe(true);
    // Ten at once, and 50 more that are 12.5 ms apart each, as far as no time passed meanwhile.
    expect(gone(asked).filter(Boolean).length).toBeGreaterThanOrEqual(10);
    expect(Math.max(...asked.map(({ inMs }) => inMs))).toBeLessThanOrEqual(50 * 12.5 + 0.001);
    const kept = await server.dump();
    expect(kept.map(({ key, fields }) => [key, Object.keys(fields)])).toEqual([[KEY, ["evenly"]]]);
    expect(kept[0]?.livesMs).toBeGreaterThan(9_000);
  });

  test("any sequence of turns, waves of Throttling and pauses has the same answers as in memory, by the same clock", async () => {
    const server = await startServer();
    const { redis } = instance(server);
    const clock = { ms: 0 };
    const onThisClock = (script: string) => script.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}");
    const run: SharedRedis["run"] = (script, key, values) => {
      expect(onThisClock(script)).not.toBe(script);
      return redis.run(onThisClock(script), key, [...values, Math.floor(clock.ms / 1000), (clock.ms % 1000) * 1000]);
    };
    const nobody: Turns = { next: () => Promise.reject(new Error("not asked")), throttled: async () => {} };
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom<number | "spare">(0, 100, 5_000, "spare") },
      { weight: 1, arbitrary: fc.constant("throttled" as const) },
      { weight: 2, arbitrary: fc.integer({ min: -200, max: 6_000 }).map((passesMs) => ({ passesMs })) },
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(1, 8, 80), fc.array(step, { maxLength: 40 }), async (perSecond, steps) => {
        await server.admin.flushall();
        clock.ms = 1_700_000_000_000;
        const rate = rateOf(perSecond);
        const [own, ours] = [ownTurns(rate, () => new Date(clock.ms)), sharedTurns({ run }, KEY, rate, nobody)];
        for (const one of steps) {
          if (typeof one === "object") clock.ms += one.passesMs;
          else if (one === "throttled") await Promise.all([own.throttled(), ours.throttled()]);
          else {
            const [mine, its] = [await own.next(one), await ours.next(one)];
            expect(its.taken).toBe(mine.taken);
            expect(its.everyMs).toBeCloseTo(mine.everyMs, 2);
            expect(its.inMs).toBeCloseTo(mine.inMs, 2);
            // Redis keeps time with 14 digits, so what is on the verge may be on the other side of it.
            expect(Math.abs(its.left - mine.left)).toBeLessThanOrEqual(1);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  test("go by the clock of Redis: an instance whose own is an hour ahead takes nothing from others", async () => {
    const server = await startServer();
    const [ahead, behind] = [instance(server, { aheadMs: 3_600_000 }), instance(server, { aheadMs: -3_600_000 })];
    expect(gone([await ahead.turns.next(0), await behind.turns.next(0), await ahead.turns.next(0)])).toEqual([
      true,
      true,
      true,
    ]);
  });

  test("that were reckoned by the clock of a Redis that ran ahead, before a fail-over, block nobody", async () => {
    const server = await startServer();
    const { turns } = instance(server);
    await server.admin.hset(KEY, { evenly: Date.now() + 15_000, slow: 3, since: Date.now() + 3_600_000 });
    expect(await turns.next(0)).toEqual({ inMs: 0, everyMs: 12.5, taken: true, left: 9 });
  });

  test("that come too late are left to others", async () => {
    const server = await startServer();
    const { turns } = instance(server);
    await server.admin.hset(KEY, { evenly: Date.now() + 10_000 });
    const before = await server.admin.hget(KEY, "evenly");
    const turn = await turns.next(5_000);
    expect(turn.taken).toBe(false);
    expect(turn.inMs).toBeGreaterThan(5_000);
    expect(await server.admin.hget(KEY, "evenly")).toBe(before);
  });

  test("to spare are for every instance those of which more than half are unused", async () => {
    const server = await startServer();
    const [a, b] = [instance(server), instance(server)];
    // Far enough ahead that no time which passes here matters.
    await server.admin.hset(KEY, { evenly: Date.now() + 10_000 });
    expect([(await a.turns.next("spare")).taken, (await b.turns.next("spare")).taken]).toEqual([false, false]);
    await server.admin.del(KEY);
    expect([(await a.turns.next("spare")).taken, (await b.turns.next("spare")).taken]).toEqual([true, true]);
  });

  test("Throttling that one instance is told slows all of them, once for a wave", async () => {
    const server = await startServer();
    const [a, b] = [instance(server), instance(server)];
    await Promise.all([a.turns.throttled(), a.turns.throttled(), b.turns.throttled()]);
    const turn = await b.turns.next(5_000);
    expect(turn.everyMs).toBe(25);
    expect(turn.inMs).toBeGreaterThan(0);
    await server.admin.hset(KEY, { since: Date.now() - 5_000 });
    expect((await b.turns.next(5_000)).everyMs).toBe(12.5);
  });

  test("killed: each instance goes by its share at once, and by Redis when that is back", async () => {
    const server = await startServer();
    const { turns, clock } = instance(server);
    await turns.next(0);
    await server.kill();
    const share = [await turns.next(5_000), await turns.next(5_000)];
    expect(share.map(({ everyMs }) => everyMs)).toEqual([125, 125]);
    expect(share[1]?.inMs).toBeGreaterThan(0);
    await server.restart();
    clock.aheadMs += 1_000;
    expect((await turns.next(0)).everyMs).toBe(12.5);
  });

  test("frozen: a request has its turn within 50 ms, and those after it without waiting at all", async () => {
    const server = await startServer();
    const { redis, now } = instance(server, { inEarnest: true });
    await redis.warm();
    const shared = { redis, keyPrefix: "acr-token-broker", accountId: "1234567890123456" };
    const slept: number[] = [];
    const sleep = async (ms: number) => void slept.push(ms);
    const budget = assumeRoleBudget({ instances: 2 }, shared, { now, sleep });
    server.freeze();
    const begun = performance.now();
    const deadline = new Date(now().getTime() + 8_000);
    const turn = () => budget.of("web", () => {}).turn(deadline);
    await Promise.all(Array.from({ length: 5 }, turn));
    // 50 by the rule; the rest is what a busy machine may add.
    expect(performance.now() - begun).toBeLessThan(250);
    // 40 a second, five of them at once.
    expect(slept).toEqual([]);
    server.thaw();
  });
});
