import fc from "fast-check";
import { expect, test } from "vitest";
import { digestOf } from "../../shared/identity/digest-table.ts";
import { type FairMemory, fairMemory } from "../../shared/identity/fair-memory.ts";

const SECOND = 1_000;

const keep = (memory: FairMemory, name: string, owner: string, until: number, time = 0) =>
  memory.keep(digestOf(name), { owner: digestOf(owner), until }, time);
const has = (memory: FairMemory, name: string, time: number) => memory.get(digestOf(name), time) !== undefined;
const fill = (memory: FairMemory, owner: string, time = 0, until = 60 * SECOND) => {
  let count = 0;
  while (keep(memory, `${owner} ${time} ${count}`, owner, until, time) !== undefined) count++;
  return count;
};

test("one owner alone has half, the next half of what is left, and there is room for one more", () => {
  const memory = fairMemory(1_000);
  expect([fill(memory, "a"), fill(memory, "b"), fill(memory, "c")]).toEqual([500, 250, 125]);
  expect(keep(memory, "d", "d", 60 * SECOND)).toBeDefined();
});

test("what an owner takes out makes room for as much, and no more", () => {
  const memory = fairMemory(1_000);
  fill(memory, "a");
  for (const name of ["a 0 7", "never kept"]) memory.delete(digestOf(name));
  expect(["x", "y"].map((name) => keep(memory, name, "a", 60 * SECOND) !== undefined)).toEqual([true, false]);
  expect(memory.size).toBe(500);
});

test("what has ended makes room within ten seconds, and is not there from the end of its last second on", () => {
  const memory = fairMemory(1_000);
  fill(memory, "a", 0, 4_001);
  expect([has(memory, "a 0 7", 4_999), has(memory, "a 0 7", 5_000)]).toEqual([true, false]);
  expect(fill(memory, "a", 20_001)).toBe(500);
  expect(memory.size).toBe(500);
});

test("an end that is no number is none, one before all time has passed, and neither takes room for good", () => {
  const memory = fairMemory(10);
  const until = (name: string, end: number) => {
    expect(keep(memory, name, "owner", end)).toBeDefined();
    return has(memory, name, 0);
  };
  expect([until("a", Number.NaN), until("b", Number.POSITIVE_INFINITY), until("c", -1e300)]).toEqual([
    true,
    true,
    true,
  ]);
  expect([has(memory, "a", 1e12), has(memory, "b", 1e12), has(memory, "c", 1_000)]).toEqual([true, true, false]);
  for (const name of ["a", "b", "c"]) memory.delete(digestOf(name));
  expect([memory.size, fill(memory, "owner")]).toEqual([0, 5]);
});

test("whatever is kept and taken out: never more than there is room for, nothing lost before its end, and all room comes back", () => {
  const step = fc.record({
    key: fc.nat(60),
    owner: fc.constantFrom("a", "b", "c"),
    lives: fc.nat(40),
    pause: fc.nat(9),
    isTakenOut: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const memory = fairMemory(40);
      const model = new Map<string, { until: number; id: number; owner: string }>();
      let time = 0;
      for (const { key, owner, lives, pause, isTakenOut } of steps) {
        time += pause * SECOND;
        const [name, until] = [`${key}`, time + lives * SECOND];
        model.delete(name);
        if (isTakenOut) memory.delete(digestOf(name));
        else {
          const id = keep(memory, name, owner, until, time);
          if (id !== undefined) model.set(name, { until, id, owner });
        }
        expect(memory.size).toBeLessThanOrEqual(40);
        for (const [known, entry] of model) {
          expect(memory.get(digestOf(known), time)?.id).toBe(entry.until > time ? entry.id : undefined);
        }
      }
      time += 100 * SECOND;
      expect(fill(memory, "d", time, time + 1)).toBe(20);
      expect(memory.size).toBe(20);
    }),
  );
});

test("uses are counted of the entry that they were counted of, and of none that took its place", () => {
  const memory = fairMemory(10);
  const key = digestOf("a");
  const uses = () => memory.get(key, 0)?.uses;
  const first = keep(memory, "a", "owner", SECOND) as number;
  memory.count(key, first, 1);
  memory.count(key, first, 1);
  expect(uses()).toBe(2);
  const second = keep(memory, "a", "owner", SECOND) as number;
  memory.count(key, second, 1);
  memory.count(key, first, -1);
  expect(uses()).toBe(1);
  memory.count(key, second, -1);
  expect([uses(), memory.size]).toEqual([undefined, 0]);
});

test("a note is told from any other, by all of its bits that are kept", () => {
  const memory = fairMemory(10);
  const [key, owner, note] = [digestOf("a"), digestOf("owner"), digestOf("note")];
  memory.keep(key, { owner, until: SECOND, note }, 0);
  expect(memory.get(key, 0, note)?.isNoted).toBe(true);
  for (let bit = 0; bit < 128; bit++) {
    const other = note.slice();
    other[bit >> 5] = (other[bit >> 5] as number) ^ (1 << (bit & 31));
    expect(memory.get(key, 0, other)?.isNoted).toBe(false);
  }
});

test("a hundred thousand entries of as many owners take 8.4 MB, and two hundred thousand 16.8: no more than their tables", () => {
  const memory = fairMemory(200_000);
  const digest = (index: number) => Uint32Array.of(Math.imul(index, 0x9e3779b1), index, 0, 0, 0, 0, 0, 0);
  const bytesAt = (most: number) => {
    for (let i = memory.size; i < most; i++) memory.keep(digest(i), { owner: digest(i), until: 3_600 * SECOND }, 0);
    return memory.bytes;
  };
  expect(bytesAt(100_000)).toBe(2 ** 17 * 64);
  expect(bytesAt(199_999)).toBe(2 ** 18 * 64);
  for (let i = 0; i < 199_999; i++) if (!memory.get(digest(i), 3_599 * SECOND)) expect.fail(`${i} is lost`);
});
