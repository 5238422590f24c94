import fc from "fast-check";
import { expect, test } from "vitest";
import { type FairMemory, fairMemory } from "../../shared/identity/fair-memory.ts";

const fill = (memory: FairMemory<number>, owner: string, time = 0, until = 60_000) => {
  let count = 0;
  while (memory.keep(`${owner} ${time} ${count}`, { owner, until, value: count }, time)) count++;
  return count;
};

test("one owner alone has half, the next half of what is left, and there is room for one more", () => {
  const memory = fairMemory<number>(1_000);
  expect([fill(memory, "a"), fill(memory, "b"), fill(memory, "c")]).toEqual([500, 250, 125]);
  expect(memory.keep("d", { owner: "d", until: 60_000, value: 1 }, 0)).toBe(true);
});

test("what has ended makes room within ten seconds, and is not there from its end on", () => {
  const memory = fairMemory<number>(1_000);
  fill(memory, "a", 0, 5_000);
  expect([memory.get("a 0 7", 4_999), memory.get("a 0 7", 5_000)]).toEqual([7, undefined]);
  expect(fill(memory, "a", 20_001)).toBe(500);
  expect(memory.size).toBe(500);
});

test("whatever is kept and taken out: never more than there is room for, nothing lost before its end, and all room comes back", () => {
  const step = fc.record({
    key: fc.nat(60),
    owner: fc.constantFrom("a", "b", "c"),
    lives: fc.nat(40_000),
    pause: fc.nat(9_000),
    isTakenOut: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const memory = fairMemory<number>(40);
      const model = new Map<string, { until: number; value: number }>();
      let time = 0;
      for (const [value, { key, owner, lives, pause, isTakenOut }] of steps.entries()) {
        time += pause;
        const name = `${key}`;
        model.delete(name);
        if (isTakenOut) memory.delete(name);
        else if (memory.keep(name, { owner, until: time + lives, value }, time)) {
          model.set(name, { until: time + lives, value });
        }
        expect(memory.size).toBeLessThanOrEqual(40);
        for (const [known, entry] of model) {
          expect(memory.get(known, time)).toBe(entry.until > time ? entry.value : undefined);
        }
      }
      time += 100_000;
      expect(fill(memory, "d", time, time + 1)).toBe(20);
      expect(memory.size).toBe(20);
    }),
  );
});
