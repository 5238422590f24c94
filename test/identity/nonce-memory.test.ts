import { beforeEach, describe, expect, test } from "vitest";
import { type NonceMemory, nonceMemory } from "../../shared/identity/nonce-memory.ts";

let time: number;
let nonces: NonceMemory;
beforeEach(() => {
  time = Date.parse("2026-06-01T12:00:00Z");
  nonces = nonceMemory(() => new Date(time));
});

const KEY = "LTAI5tExample";
const once = (
  nonce: string,
  accept: () => Promise<unknown> = async () => "accepted",
  accessKeyId = KEY,
  address?: string,
) => nonces.once({ accessKeyId, nonce, goodUntil: new Date(time + 120_000), address }, accept);
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
  const tooMany = expect.objectContaining({ code: "rate_limited", facts: { retryAfterSeconds: 1 } });

  test("strangers have half of the places, whatever they call themselves, and those who were accepted before have the rest", async () => {
    await once("before");
    await once("before, as one who is known");
    const running = Array.from({ length: 100 }, () => pending());
    const all = Promise.all(running.map(({ promise }, index) => once("n", () => promise, `made-up-${index}`)));
    await expect(once("n", undefined, "made-up-too")).rejects.toEqual(tooMany);
    expect(await once("after")).toBe("accepted");
    for (const { finish } of running) finish();
    await all;
    expect(await once("n", undefined, "made-up-too")).toBe("accepted");
  });

  test("of those who were accepted before the last 10,000 are known", async () => {
    for (let i = 0; i <= 10_000; i++) await once("n", undefined, `key-${i}`);
    const running = Array.from({ length: 100 }, () => pending());
    const all = running.map(({ promise }, index) => once("n", () => promise, `made-up-${index}`));
    await expect(once("m", undefined, "key-0")).rejects.toEqual(tooMany);
    expect(await once("m", undefined, "key-1")).toBe("accepted");
    for (const { finish } of running) finish();
    await Promise.all(all);
  });

  test("one address has half at most, whatever it calls itself, and others are served beside it", async () => {
    for (let i = 0; i < 150; i++) await once("before", undefined, `key-${i}`);
    const running = Array.from({ length: 100 }, () => pending());
    const all = running.map(({ promise }, index) => once("n", () => promise, `key-${index}`, "192.0.2.1"));
    await expect(once("n", undefined, "key-120", "192.0.2.1")).rejects.toEqual(tooMany);
    expect(await once("n", undefined, "key-120", "192.0.2.2")).toBe("accepted");
    for (const { finish } of running) finish();
    await Promise.all(all);
  });

  test("a full memory refuses and forgets nothing until its time; one key cannot fill it", async () => {
    for (let i = 0; i < 50_000; i++) await once(`n${i}`);
    await expect(once("one-more")).rejects.toMatchObject({ code: "not_ready", facts: { retryAfterSeconds: 30 } });
    await expect(once("n0")).rejects.toEqual(replayed);
    expect(await once("n0", undefined, "another")).toBe("accepted");
    time += 130_000;
    expect(await once("one-more")).toBe("accepted");
  });

  test("of refused ones there is no end", async () => {
    for (let i = 0; i < 100_001; i++) await once(`n${i}`, () => Promise.reject(new Error())).catch(() => {});
    expect(await once("a")).toBe("accepted");
  });
});
