import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type SinkParts, sink } from "../../shared/audit/sink.ts";

/** The sink's other end, the event loop and the clock, each in the test's hands. */
function stage(whenUnavailable: SinkParts["whenUnavailable"]) {
  const puts: { readonly text: string; answer(problem?: string): Promise<void> }[] = [];
  const warnings: string[] = [];
  const timers = new Map<() => void, number>();
  let time = 0;
  const made = sink({
    name: "audit.jsonl",
    whenUnavailable,
    put: (text) =>
      new Promise((resolve) => {
        const answer = async (problem?: string) => {
          resolve(problem);
          await settled();
        };
        puts.push({ text, answer });
      }),
    warn: (message) => warnings.push(message),
    now: () => new Date(time),
    soon: (callback) => queueMicrotask(callback),
    after: (ms, callback) => {
      timers.set(callback, time + ms);
      return () => timers.delete(callback);
    },
  });
  return {
    ...made,
    texts: () => puts.map(({ text }) => text),
    /** What the last batch, or the look at the start, came to. */
    answer: (problem?: string) => puts.at(-1)?.answer(problem),
    pass: (ms: number) => {
      time += ms;
      for (const [callback, due] of timers) {
        if (due > time) continue;
        timers.delete(callback);
        callback();
      }
    },
    /** What becomes of a credential with this line. */
    give: (line = "a\n") => {
      made.write(line);
      return made.written().then(
        () => "given",
        (error: { code: string }) => error.code,
      );
    },
    warnings,
  };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** As when it has been looked at and could be used. */
async function ready(whenUnavailable: SinkParts["whenUnavailable"]) {
  const s = stage(whenUnavailable);
  await s.answer();
  return s;
}

describe.each(["refuse", "continue"] as const)("%s", (whenUnavailable) => {
  test("a credential waits until the sink has its event, and all of a turn are put together", async () => {
    const s = await ready(whenUnavailable);
    let isGiven = false;
    const given = s.give("a\n").then(() => {
      isGiven = true;
    });
    s.write("b\n");
    await settled();
    expect([s.texts(), isGiven]).toEqual([["", "a\nb\n"], false]);
    await s.answer();
    await given;
    expect([s.isUp(), s.warnings]).toEqual([true, []]);
  });

  test("one batch is under way at a time, and nothing is put that was not taken", async () => {
    const s = await ready(whenUnavailable);
    void s.give("a\n");
    await settled();
    void s.give("b\n");
    void s.give("c\n");
    await settled();
    expect(s.texts()).toEqual(["", "a\n"]);
    await s.answer("ENOSPC");
    expect(s.texts()).toEqual(["", "a\n", "b\nc\n"]);
  });

  test("that it fails is told once, with what is missing in it, and that it does no more", async () => {
    const s = await ready(whenUnavailable);
    for (let count = 0; count < 3; count++) {
      void s.give("a\nb\n");
      await settled();
      await s.answer("ENOSPC");
    }
    expect(s.isUp()).toBe(false);
    s.write("c\n");
    await settled();
    await s.answer();
    const credentials =
      whenUnavailable === "refuse" ? "no credential leaves until it does" : "credentials leave all the same";
    expect([s.isUp(), s.warnings]).toEqual([
      true,
      [
        `the audit sink (audit.jsonl) does not take events (ENOSPC): ${credentials}; 2 events since the start are on standard output alone`,
        "the audit sink (audit.jsonl) takes events again; 6 events since the start are on standard output alone",
      ],
    ]);
  });

  test("one that fails every other time tells so every minute at most", async () => {
    const s = await ready(whenUnavailable);
    const alternately = async (times: number) => {
      for (let count = 0; count < 2 * times; count++) {
        s.write("a\n");
        await settled();
        await s.answer(count % 2 === 0 ? "status 500" : undefined);
      }
    };
    await alternately(50);
    expect(s.warnings).toHaveLength(2);
    s.pass(60_000);
    await alternately(1);
    expect(s.warnings.at(-1)).toContain("51 events since the start");
    expect(s.warnings).toHaveLength(4);
  });
});

test("refuse: without its event no credential leaves, and the next is tried", async () => {
  const s = await ready("refuse");
  const first = s.give();
  await settled();
  await s.answer("ENOSPC");
  expect(await first).toBe("not_ready");
  const second = s.give();
  await settled();
  await s.answer();
  expect(await second).toBe("given");
});

test("refuse: of one that hangs everybody who waits is told after two seconds, and who comes later at once", async () => {
  const s = await ready("refuse");
  const first = s.give("a\n");
  await settled();
  const second = s.give("b\n");
  s.pass(2_000);
  expect([await first, await second, await s.give("c\n"), s.isUp()]).toEqual([...Array(3).fill("not_ready"), false]);
  // It was late, but took it: so it takes the others.
  await s.answer();
  expect(s.texts().at(-1)).toBe("b\nc\n");
  await s.answer();
  const next = s.give("d\n");
  await settled();
  await s.answer();
  expect([await next, s.isUp()]).toEqual(["given", true]);
  expect(s.warnings.at(-1)).toBe(
    "the audit sink (audit.jsonl) takes events again; 0 events since the start are on standard output alone",
  );
});

test.each([
  ["refuse", "not_ready"],
  ["continue", "given"],
] as const)(
  "%s: two seconds are all that a credential waits, behind a batch that took most of them, too",
  async (whenUnavailable, becomes) => {
    const s = await ready(whenUnavailable);
    const first = s.give("a\n");
    await settled();
    s.pass(500);
    const second = s.give("b\n");
    s.pass(1_400);
    await s.answer();
    expect([await first, s.texts().at(-1)]).toEqual(["given", "b\n"]);
    s.pass(600);
    expect([await second, s.isUp()]).toEqual([becomes, true]);
  },
);

test("continue: credentials leave without their event, and none waits for a sink that is known to fail", async () => {
  const s = await ready("continue");
  const first = s.give("a\n");
  await settled();
  const second = s.give("b\n");
  s.pass(2_000);
  expect([await first, await second, await s.give("c\n")]).toEqual(Array(3).fill("given"));
});

test("refuse: whatever the sink does and whenever, each credential that is given has its event there, each is decided within two seconds, and what is missing is what was counted", async () => {
  const step = fc.oneof(
    fc.constant({ kind: "give" } as const),
    fc.constant({ kind: "deny" } as const),
    fc.record({ kind: fc.constant("answer" as const), problem: fc.option(fc.constant("ENOSPC"), { nil: undefined }) }),
    fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 3_000 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const s = await ready("refuse");
      const taken = new Set<string>();
      const asked: { line: string; becomes?: string }[] = [];
      let denials = 0;
      const answer = async (problem?: string) => {
        const batch = s.texts().length;
        await s.answer(problem);
        if (problem === undefined && !answered.has(batch))
          for (const line of s.texts()[batch - 1]?.match(/.+\n/g) ?? []) taken.add(line);
        answered.add(batch);
      };
      const answered = new Set([1]);
      for (const one of steps) {
        if (one.kind === "give") {
          const given: (typeof asked)[number] = { line: `given-${asked.length}\n` };
          asked.push(given);
          void s.give(given.line).then((becomes) => {
            given.becomes = becomes;
          });
        } else if (one.kind === "deny") s.write(`denied-${denials++}\n`);
        else if (one.kind === "pass") s.pass(one.ms);
        else await answer(one.problem);
        await settled();
        for (const { line, becomes } of asked) if (becomes === "given") expect(taken).toContain(line);
      }
      s.pass(2_000);
      await settled();
      expect(asked.filter(({ becomes }) => becomes === undefined)).toEqual([]);
      // It works on: what is still under way is taken, and so is the next.
      s.pass(60_000);
      for (let count = 0; count < 3; count++) await answer();
      const last = s.give("last\n");
      await settled();
      await answer();
      expect([await last, s.isUp()]).toEqual(["given", true]);
      const told = Number(/; (\d+) events/.exec(s.warnings.at(-1) ?? "; 0 events")?.[1]);
      expect(asked.length + denials + 1 - taken.size).toBe(told);
    }),
    { numRuns: 300 },
  );
});

test("a sink that cannot be used at the start says so before anybody asks", async () => {
  const s = stage("refuse");
  await s.answer("ENOENT");
  expect([s.isUp(), s.warnings]).toEqual([false, [expect.stringContaining("(ENOENT)")]]);
});

test("what is more than it can take is dropped and counted, and whoever's event that was gets nothing", async () => {
  const s = await ready("refuse");
  void s.give("a\n");
  await settled();
  const line = `${"x".repeat(1_023)}\n`;
  for (let count = 0; count < 1_024; count++) s.write(line);
  expect(await s.give(line)).toBe("not_ready");
  await s.answer("ENOSPC");
  expect(s.texts().at(-1)).toHaveLength(1_024 * 1_024);
  await s.answer();
  expect(s.warnings.at(-1)).toContain("2 events since the start");
});
