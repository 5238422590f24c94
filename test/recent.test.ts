import { expect, test, vi } from "vitest";
import { recent } from "../shared/recent.ts";

const made = vi.hoisted(() => ({ count: 0 }));
vi.mock("lru-cache", async (original) => {
  const { LRUCache } = await original<typeof import("lru-cache")>();
  return {
    LRUCache: class extends LRUCache<string, object> {
      constructor(options: ConstructorParameters<typeof LRUCache<string, object>>[0]) {
        super(options);
        made.count++;
      }
    },
  };
});

test("its places are made when something is kept, and not before: a start has no time for them", () => {
  const kept = recent(5_000);
  kept.delete("a");
  expect([kept.get("a"), made.count]).toEqual([undefined, 0]);
  const value = {};
  kept.set("a", value);
  expect([kept.get("a") === value, made.count]).toEqual([true, 1]);
});

test("what was used least recently makes room, by number and by size; what is larger than all may be is not kept", () => {
  const kept = recent(3, 10);
  const has = () => ["a", "b", "c", "d"].filter((key) => kept.get(key)).join("");
  for (const key of ["a", "b", "c"]) kept.set(key, {}, 1);
  kept.get("a");
  kept.set("d", {}, 1);
  expect(has()).toBe("acd");
  kept.set("b", {}, 9);
  expect(has()).toBe("bd");
  kept.set("b", {}, 11);
  expect(has()).toBe("d");
});
