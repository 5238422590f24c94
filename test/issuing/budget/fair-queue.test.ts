import fc from "fast-check";
import { expect, test } from "vitest";
import { fairQueue } from "../../../shared/issuing/budget/fair-queue.ts";

function filled(...items: string[]) {
  const queue = fairQueue<string>();
  for (const item of items) queue.push(item[0] as string, item);
  return queue;
}

function drained(queue: ReturnType<typeof filled>): string[] {
  const items: string[] = [];
  for (let item = queue.shift(); item !== undefined; item = queue.shift()) items.push(item);
  return items;
}

test("kinds take turns, and each is served in order", () => {
  expect(drained(filled("a1", "a2", "a3", "a4", "b1", "c1", "c2"))).toEqual(["a1", "b1", "c1", "a2", "c2", "a3", "a4"]);
});

test("one that comes late waits for one of each kind and no more", () => {
  const queue = filled("a1", "a2", "a3", "a4");
  queue.shift();
  queue.push("b", "b1");
  expect(drained(queue)).toEqual(["a2", "b1", "a3", "a4"]);
});

test("what is gone through is the order in which it is served, whatever came and went", () => {
  const step = fc.oneof(fc.constantFrom("a", "a", "a", "b", "c", "d"), fc.constant("shift"));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = fairQueue<string>();
      for (const [nth, one] of steps.entries()) {
        if (one === "shift") queue.shift();
        else queue.push(one, `${one}${nth}`);
      }
      const seen: string[] = [];
      queue.filter((item) => seen.push(item) > 0);
      expect(queue.size).toBe(seen.length);
      expect(drained(queue)).toEqual(seen);
    }),
  );
});

test("what is refused is not served, and the rest keeps its order", () => {
  const queue = filled("a1", "a2", "b1", "b2", "c1");
  queue.filter((item) => !["a1", "b1", "b2"].includes(item));
  expect([queue.size, drained(queue)]).toEqual([2, ["a2", "c1"]]);
  expect(queue.size).toBe(0);
});
