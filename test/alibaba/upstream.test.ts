/** When a cloud API is not asked, or not asked again. */

import { expect, test } from "vitest";
import { callUpstream } from "../../shared/alibaba/call.ts";
import { upstreams } from "../../shared/alibaba/upstream.ts";

const START = Date.parse("2027-01-01T00:00:00Z");

/** An upstream on a clock that only the test moves. `call`: how often it was asked, and what came of it. */
function stage() {
  const clock = { ms: START };
  const told: (string | undefined)[] = [];
  const now = () => new Date(clock.ms);
  const of = upstreams(now, ({ failure }) => told.push(failure));
  const upstream = of("AssumeRole", "sts.example.com");
  const context = { now, sleep: async () => {}, random: () => 0.5 };
  const asked = { count: 0 };
  async function call(error?: object, perform?: () => Promise<unknown>): Promise<string> {
    const before = asked.count;
    const attempt = async () => {
      asked.count++;
      await perform?.();
      if (error !== undefined) throw Object.assign(new Error(), error);
    };
    const outcome = await callUpstream("AssumeRole", new Date(clock.ms + 8_000), context, attempt, { upstream }).then(
      () => "ok",
      (thrown) => thrown.facts.upstream.code,
    );
    return `${outcome} ${asked.count - before}`;
  }
  return { clock, told, of, upstream, asked, call };
}

function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** As long as anything goes on that waits for no timer. */
const turns = () => new Promise((resolve) => setImmediate(resolve));

const DOWN = { code: "ECONNREFUSED" };

test("after six failures in a row nobody asks for five seconds, and all are told at once when to come again", async () => {
  const { call, told, upstream } = stage();
  expect([await call(DOWN), await call(DOWN)]).toEqual(["ECONNREFUSED 3", "ECONNREFUSED 3"]);
  expect([await call(DOWN), await call()]).toEqual(["CircuitOpen 0", "CircuitOpen 0"]);
  expect(upstream.refusal()).toMatchObject({ status: 503, facts: { retryAfterSeconds: 5 } });
  expect(told).toEqual(["ECONNREFUSED"]);
});

test("then one asks, and its failure closes the door for five seconds more", async () => {
  const { call, clock } = stage();
  for (const _ of [1, 2]) await call(DOWN);
  clock.ms += 5_000;
  expect([await call(DOWN), await call(DOWN)]).toEqual(["ECONNREFUSED 1", "CircuitOpen 0"]);
  clock.ms += 5_000;
  expect([await call(), await call()]).toEqual(["ok 1", "ok 1"]);
});

test("while one asks the others wait for its end: they ask when there is an answer", async () => {
  const { call, clock, told, asked } = stage();
  for (const _ of [1, 2]) await call(DOWN);
  clock.ms += 5_000;
  const before = asked.count;
  const answer = gate();
  const all = [call(undefined, () => answer.opened), call(), call(), call()];
  await turns();
  expect(asked.count - before).toBe(1);
  answer.open();
  expect((await Promise.all(all)).map((one) => one.split(" ")[0])).toEqual(["ok", "ok", "ok", "ok"]);
  expect(asked.count - before).toBe(4);
  expect(told).toEqual(["ECONNREFUSED", undefined]);
});

test("where it has none they are told at once, and nobody asks for five seconds more", async () => {
  const { call, clock, asked } = stage();
  for (const _ of [1, 2]) await call(DOWN);
  clock.ms += 5_000;
  const before = asked.count;
  const answer = gate();
  const all = [call(DOWN, () => answer.opened), call(), call()];
  await turns();
  answer.open();
  expect((await Promise.all(all)).map((one) => one.split(" ")[0])).toEqual([
    "ECONNREFUSED",
    "CircuitOpen",
    "CircuitOpen",
  ]);
  expect(asked.count - before).toBe(1);
});

test("where its end tells nothing, one of those that waited asks next, and the others wait for that", async () => {
  const { upstream, call, clock, asked } = stage();
  for (const _ of [1, 2]) await call(DOWN);
  clock.ms += 5_000;
  const before = asked.count;
  const ended = upstream.begin(false);
  const answer = gate();
  const all = [1, 2, 3].map(() => call(undefined, () => answer.opened));
  await turns();
  expect(asked.count - before).toBe(0);
  ended({ how: "unclear" });
  await turns();
  expect(asked.count - before).toBe(1);
  answer.open();
  await Promise.all(all);
  expect(asked.count - before).toBe(3);
});

test.each([
  ["a refusal", { statusCode: 403, code: "NoPermission" }],
  ["throttling", { statusCode: 400, code: "Throttling.User" }],
])("%s is an answer: it never opens the breaker, and closes it", async (_, answer) => {
  const { call, clock, told } = stage();
  for (const _ of [1, 2, 3, 4, 5]) await call(answer);
  expect(told).toEqual([]);
  clock.ms += 60_000;
  for (const _ of [1, 2]) await call(DOWN);
  clock.ms += 5_000;
  await call(answer);
  expect(told).toEqual(["ECONNREFUSED", undefined]);
});

test("one answer between failures begins the count anew", async () => {
  const { call, told } = stage();
  for (const _ of [1, 2, 3]) {
    await call(DOWN);
    await call();
  }
  expect(told).toEqual([]);
});

test("failures of what was under way when it closed do not keep it closed", async () => {
  const { upstream, clock } = stage();
  const under = [1, 2, 3, 4, 5, 6, 7].map(() => upstream.begin(false));
  for (const ended of under.slice(0, 6)) ended({ how: "failed", code: "Timeout" });
  clock.ms += 4_000;
  under[6]?.({ how: "failed", code: "Timeout" });
  expect(upstream.refusal()?.facts.retryAfterSeconds).toBe(1);
  clock.ms += 1_000;
  expect(upstream.refusal()).toBeUndefined();
});

test("a time-out of one that came late says nothing of the upstream", async () => {
  const { upstream } = stage();
  for (let i = 0; i < 20; i++) upstream.begin(false)({ how: "unclear" });
  expect(upstream.refusal()).toBeUndefined();
});

test("a clock that was put back does not keep it closed", async () => {
  const { call, clock, upstream } = stage();
  for (const _ of [1, 2]) await call(DOWN);
  clock.ms -= 3_600_000;
  expect(upstream.refusal()).toBeUndefined();
});

test("each API of each endpoint is for itself", async () => {
  const { call, of } = stage();
  for (const _ of [1, 2]) await call(DOWN);
  expect(of("AssumeRole", "sts.example.com").refusal()).toBeDefined();
  expect(of("AssumeRole", "sts.example.org").refusal()).toBeUndefined();
  expect(of("GetAuthorizationToken", "sts.example.com").refusal()).toBeUndefined();
});

test("of two hundred calls in a moment, each second one failing, a fifth is made again and ten more", async () => {
  const { call, asked } = stage();
  for (let i = 0; i < 200; i++) await call(i % 2 === 0 ? DOWN : undefined);
  expect(asked.count).toBeLessThanOrEqual(200 + 10 + 200 / 5);
  expect(asked.count).toBeGreaterThan(200 + 10 + 200 / 5 - 3);
});

test("a broker of few callers has a retry a second, never more than ten", async () => {
  const { call, clock } = stage();
  for (let i = 0; i < 100; i++) await call(i % 2 === 0 ? DOWN : undefined);
  expect(await call(DOWN)).toBe("ECONNREFUSED 1");
  await call();
  clock.ms += 2_000;
  expect(await call(DOWN)).toBe("ECONNREFUSED 3");
  await call();
  clock.ms += 3_600_000;
  const retries: number[] = [];
  for (let i = 0; i < 20; i++) {
    retries.push(Number((await call(DOWN)).split(" ")[1]) - 1);
    await call();
  }
  expect(retries.reduce((sum, one) => sum + one)).toBeLessThanOrEqual(10 + 40 / 5);
});
