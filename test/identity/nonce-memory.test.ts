import { beforeEach, describe, expect, test } from "vitest";
import { type NonceMemory, nonceMemory } from "../../shared/identity/nonce-memory.ts";

let time: number;
let nonces: NonceMemory;
beforeEach(() => {
  time = Date.parse("2026-06-01T12:00:00Z");
  nonces = nonceMemory(() => new Date(time));
});

const KEY = "LTAI5tExample";
const once = (nonce: string, accept: () => Promise<unknown> = async () => "accepted", key = KEY) =>
  nonces.once(key, nonce, new Date(time + 120_000), accept);
const replayed = expect.objectContaining({ code: "token_replayed" });

/** Something under way, and its end. */
function pending() {
  let finish: (error?: Error) => void = () => {};
  const promise = new Promise<void>((resolve, reject) => {
    finish = (error) => (error === undefined ? resolve() : reject(error));
  });
  return { promise, finish };
}

test("an accepted nonce is not accepted again", async () => {
  expect(await once("a")).toBe("accepted");
  await expect(once("a")).rejects.toEqual(replayed);
  expect(await once("b")).toBe("accepted");
});

test("nonces are each key's own", async () => {
  await once("a");
  expect(await once("a", undefined, "LTAI5tAnother")).toBe("accepted");
  // A space is in neither, so no key and nonce can be cut into another's.
  await once("c", undefined, "a.b");
  expect(await once("b.c", undefined, "a")).toBe("accepted");
});

test("a nonce under way is taken", async () => {
  const { promise, finish } = pending();
  const first = once("a", () => promise);
  await expect(once("a")).rejects.toEqual(replayed);
  finish();
  await first;
  await expect(once("a")).rejects.toEqual(replayed);
});

test("what was not accepted used nothing up, and its own error gets through", async () => {
  const error = new Error("forged");
  await expect(once("a", () => Promise.reject(error))).rejects.toBe(error);
  expect(await once("a")).toBe("accepted");
});

test("a nonce is kept for as long as its identity is good", async () => {
  await once("a");
  time += 120_000;
  await expect(once("a")).rejects.toEqual(replayed);
});

describe("limits", () => {
  test("a hundred at once", async () => {
    const running = Array.from({ length: 100 }, () => pending());
    const all = Promise.all(running.map(({ promise }, index) => once(`n${index}`, () => promise)));
    await expect(once("one-more")).rejects.toMatchObject({ code: "rate_limited", facts: { retryAfterSeconds: 1 } });
    for (const { finish } of running) finish();
    await all;
    expect(await once("one-more")).toBe("accepted");
  });

  test("a full memory refuses and forgets nothing until its time", async () => {
    for (let i = 0; i < 100_000; i++) await once(`n${i}`);
    await expect(once("one-more")).rejects.toMatchObject({ code: "not_ready", facts: { retryAfterSeconds: 30 } });
    await expect(once("n0")).rejects.toEqual(replayed);
    time += 120_001;
    expect(await once("one-more")).toBe("accepted");
  });

  test("of refused ones there is no end", async () => {
    for (let i = 0; i < 100_001; i++) await once(`n${i}`, () => Promise.reject(new Error())).catch(() => {});
    expect(await once("a")).toBe("accepted");
  });
});
