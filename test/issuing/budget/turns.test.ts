import fc from "fast-check";
import { expect, test } from "vitest";
import { ownTurns, rateOf } from "../../../shared/issuing/budget/turns.ts";

const START = Date.parse("2026-01-01T00:00:00Z");

function stage(perSecond: number) {
  const clock = { ms: START };
  return { clock, turns: ownTurns(rateOf(perSecond), () => new Date(clock.ms)) };
}

/** When each of so many turns comes, all asked for at once. */
async function ask({ turns, clock }: ReturnType<typeof stage>, count: number): Promise<number[]> {
  const at = [];
  for (let i = 0; i < count; i++) at.push(clock.ms - START + (await turns.next(Number.POSITIVE_INFINITY)).inMs);
  return at;
}

test("80 a second: ten at once, then one each 12.5 ms", async () => {
  const times = await ask(stage(80), 14);
  expect(times).toEqual([...Array<number>(10).fill(0), 12.5, 25, 37.5, 50]);
});

test("a share of 8 a second comes evenly", async () => {
  expect(await ask(stage(8), 4)).toEqual([0, 125, 250, 375]);
});

test("after a pause no more is saved up than may come at once", async () => {
  const it = stage(80);
  await ask(it, 10);
  it.clock.ms += 3_600_000;
  expect((await ask(it, 11)).filter((ms) => ms === 3_600_000)).toHaveLength(10);
});

test("whenever they are asked for, no second has more turns than the rate and what may come at once", async () => {
  const asked = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 400 })), {
    minLength: 100,
    maxLength: 300,
  });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(1, 7, 8, 80, 100), asked, async (perSecond, gaps) => {
      const it = stage(perSecond);
      const times: number[] = [];
      for (const gap of gaps) {
        it.clock.ms += gap;
        const turn = await it.turns.next(5_000);
        if (turn.taken) times.push(it.clock.ms + turn.inMs);
      }
      for (const from of times) {
        const within = times.filter((time) => time >= from && time < from + 1000 - 1e-6).length;
        expect(within).toBeLessThanOrEqual(perSecond + rateOf(perSecond).burst);
      }
    }),
    { numRuns: 60 },
  );
});

test("one that would come too late is not taken, and says when it would come", async () => {
  const it = stage(8);
  await ask(it, 41);
  expect(await it.turns.next(5_000)).toEqual({ inMs: 5_125, everyMs: 125, taken: false, left: 0 });
  it.clock.ms += 125;
  expect(await it.turns.next(5_000)).toEqual({ inMs: 5_000, everyMs: 125, taken: true, left: 0 });
});

test("to spare are only turns of which more than half are unused", async () => {
  const { turns } = stage(80);
  const taken = [];
  for (let i = 0; i < 8; i++) taken.push((await turns.next("spare")).taken);
  expect(taken).toEqual([true, true, true, true, true, false, false, false]);
  expect((await turns.next(0)).taken).toBe(true);
});

test("Throttling empties what was saved up and halves the rate; five seconds later it is whole again", async () => {
  const it = stage(80);
  await it.turns.throttled();
  expect(await ask(it, 3)).toEqual([25, 50, 75]);
  it.clock.ms += 5_000;
  expect((await it.turns.next(0)).everyMs).toBe(12.5);
});

test("answers to calls that were under way together count once; again a second later, up to an eighth of the rate", async () => {
  const { turns, clock } = stage(80);
  const everyMs = async () => (await turns.next("spare")).everyMs;
  const seen = [];
  for (let wave = 0; wave < 5; wave++) {
    for (let i = 0; i < 20; i++) await turns.throttled();
    seen.push(await everyMs());
    clock.ms += 1_000;
  }
  expect(seen).toEqual([25, 50, 100, 100, 100]);
  clock.ms += 4_000;
  expect(await everyMs()).toBe(50);
  clock.ms += 5_000;
  expect(await everyMs()).toBe(25);
});

test.each([11_000, 3_600_000])("a clock that is put back by %i ms makes nobody wait for it", async (ms) => {
  const { turns, clock } = stage(80);
  await turns.throttled();
  clock.ms -= ms;
  expect(await turns.next(0)).toEqual({ inMs: 0, everyMs: 12.5, taken: true, left: 9 });
});
