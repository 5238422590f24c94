import { expect, test } from "vitest";
import { lines } from "../../shared/audit/lines.ts";

/** Standard output, the event loop and the clock, each in the test's hands. */
function stage() {
  const turns: (() => void)[] = [];
  const timers = new Set<() => void>();
  const output: { readonly text: string; done(): void }[] = [];
  const dropped: number[] = [];
  const made = lines({
    output: (text, done) => output.push({ text, done }),
    soon: (callback) => turns.push(callback),
    after: (_, callback) => {
      timers.add(callback);
      return () => timers.delete(callback);
    },
    onDropped: (count) => {
      dropped.push(count);
      made.write(`${count} dropped\n`);
    },
  });
  return {
    ...made,
    texts: () => output.map(({ text }) => text),
    endTurn: () => {
      for (const callback of turns.splice(0)) callback();
    },
    finish: () => output.at(-1)?.done(),
    /** Five seconds pass in which nothing is written. */
    hang: () => {
      for (const callback of timers) callback();
    },
    dropped,
    /** What has become of it once all that can happen has. */
    state: async (promise: Promise<void>) => {
      const pending = new Promise((resolve) => setImmediate(resolve, "pending"));
      return Promise.race([
        promise.then(
          () => "written",
          (error: { code: string }) => error.code,
        ),
        pending,
      ]);
    },
  };
}

test("all lines of a turn are written at once, in order", () => {
  const { write, endTurn, texts } = stage();
  for (const line of ["a\n", "b\n", "c\n"]) write(line);
  expect(texts()).toEqual([]);
  endTurn();
  expect(texts()).toEqual(["a\nb\nc\n"]);
});

test("nobody waits where nothing is to be written", async () => {
  const { written, state } = stage();
  expect(await state(written())).toBe("written");
});

test("a line is written when the output says so, and not when it was handed over", async () => {
  const { write, written, endTurn, finish, state } = stage();
  write("a\n");
  const early = written();
  endTurn();
  const late = written();
  expect([await state(early), await state(late)]).toEqual(["pending", "pending"]);
  finish();
  expect([await state(early), await state(late)]).toEqual(["written", "written"]);
});

test("lines that come while others are being written wait for those, and are then written together", async () => {
  const { write, written, endTurn, finish, texts, state } = stage();
  write("a\n");
  endTurn();
  write("b\n");
  write("c\n");
  const second = written();
  endTurn();
  expect(texts()).toEqual(["a\n"]);
  finish();
  expect(texts()).toEqual(["a\n", "b\nc\n"]);
  expect(await state(second)).toBe("pending");
  finish();
  expect(await state(second)).toBe("written");
});

test("while a write does not end, those who wait are told so after five seconds, and later ones at once", async () => {
  const { write, written, endTurn, finish, hang, texts, state } = stage();
  write("a\n");
  const first = written();
  endTurn();
  write("b\n");
  const second = written();
  hang();
  write("c\n");
  const third = written();
  expect([await state(first), await state(second), await state(third)]).toEqual(Array(3).fill("not_ready"));
  finish();
  expect(texts().at(-1)).toBe("b\nc\n");
  finish();
  write("d\n");
  const fourth = written();
  endTurn();
  finish();
  expect(await state(fourth)).toBe("written");
});

test("no more than so many characters wait; what is dropped is counted, and whoever logged it gets nothing", async () => {
  const { write, written, endTurn, finish, texts, state, dropped } = stage();
  write("a\n");
  endTurn();
  const line = `${"x".repeat(1_023)}\n`;
  for (let count = 0; count < 1_024; count++) write(line);
  expect(await state(written())).toBe("pending");
  for (let count = 0; count < 10; count++) write(line);
  expect(await state(written())).toBe("not_ready");
  finish();
  expect(dropped).toEqual([10]);
  expect(texts().at(-1)).toHaveLength(1_024 * 1_024);
  finish();
  expect(texts().at(-1)).toBe("10 dropped\n");
  finish();
  expect(await state(written())).toBe("written");
});

test("what waits when a process ends at once can be taken", () => {
  const { write, rest, endTurn, texts } = stage();
  write("a\n");
  expect([rest(), rest()]).toEqual(["a\n", ""]);
  endTurn();
  expect(texts()).toEqual([]);
});
