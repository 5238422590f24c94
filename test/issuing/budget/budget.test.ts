import { describe, expect, test } from "vitest";
import { virtualTime } from "../../../bench/virtual-time.ts";
import { callUpstream } from "../../../shared/alibaba/call.ts";
import type { BudgetSettings } from "../../../shared/config/config.ts";
import type { BrokerError } from "../../../shared/error.ts";
import { assumeRoleBudget } from "../../../shared/issuing/budget/budget.ts";

const START = Date.parse("2026-01-01T00:00:00Z");

/** An instance alone: 8 turns a second unless said otherwise. What came of each request, with when, counted from the start. */
function stage(settings: BudgetSettings = {}) {
  const time = virtualTime(START);
  const budget = assumeRoleBudget(settings, undefined, time);
  const outcomes: { grant: string; at: number; error?: BrokerError }[] = [];
  const since = () => time.now().getTime() - START;
  function ask(grant: string, count = 1, deadlineMs = 8_000): void {
    for (let i = 0; i < count; i++) {
      const deadline = new Date(time.now().getTime() + deadlineMs);
      budget
        .of(grant, () => {})
        .turn(deadline)
        .then(
          () => outcomes.push({ grant, at: since() }),
          (error: BrokerError) => outcomes.push({ grant, at: since(), error }),
        );
    }
  }
  const of = (grant: string) => outcomes.filter((one) => one.grant === grant);
  const served = (grant: string) => of(grant).filter(({ error }) => error === undefined);
  const refused = (grant: string) => of(grant).flatMap(({ at, error }) => (error === undefined ? [] : [{ at, error }]));
  return { time, budget, ask, served, refused, run: (ms?: number) => time.run(ms === undefined ? ms : START + ms) };
}

describe("requests wait for a turn", () => {
  test("in the order in which they came, as far apart as the instance's share wants", async () => {
    const it = stage();
    it.ask("web", 4);
    await it.run();
    expect(it.served("web").map(({ at }) => at)).toEqual([0, 125, 250, 375]);
  });

  test("without a budget in the policy ten instances divide 80 a second", async () => {
    const [unsaid, said] = [stage(), stage({ assumeRolePerSecond: 80, instances: 10 })];
    for (const it of [unsaid, said]) {
      it.ask("web", 20);
      await it.run();
    }
    expect(unsaid.served("web")).toEqual(said.served("web"));
  });

  test("how long it was is told", async () => {
    const it = stage();
    const waits: number[] = [];
    const allowance = it.budget.of("web", (ms) => waits.push(ms));
    const deadline = new Date(START + 8_000);
    const all = Promise.all([allowance.turn(deadline), allowance.turn(deadline), allowance.turn(deadline)]);
    await it.run();
    await all;
    expect(waits).toEqual([0, 125, 250]);
  });
});

test("what is left is what may be had at once, and comes back with time, up to as much as at the start", async () => {
  const it = stage({ instances: 1 });
  const left = [it.budget.left()];
  it.ask("web", 4);
  await it.run(0);
  left.push(it.budget.left());
  await it.run(25);
  left.push(it.budget.left());
  await it.run(1_000);
  left.push(it.budget.left());
  expect(left).toEqual([10, 6, 8, 10]);
});

describe("grants are served by turns", () => {
  test("one that asks a lot keeps one that asks little waiting for one turn of its own", async () => {
    const it = stage();
    it.ask("noisy", 30);
    await it.run(1_000);
    it.ask("quiet");
    await it.run();
    expect(it.served("quiet").map(({ at }) => at)).toEqual([1_250]);
    expect(it.served("noisy")).toHaveLength(30);
  });

  test("one that has filled the queue does not keep others out: its own last ones are refused, at once", async () => {
    const it = stage();
    it.ask("noisy", 41);
    await it.run(0);
    expect(it.refused("noisy")).toEqual([]);
    it.ask("quiet");
    await it.run();
    expect(it.served("quiet")).toHaveLength(1);
    expect(it.refused("noisy").map(({ at }) => at)).toEqual([0]);
    expect(Math.max(...it.served("noisy").map(({ at }) => at))).toBeLessThanOrEqual(5_000);
  });
});

describe("who would wait over 5 s", () => {
  test("is refused at once, and the others are served within them", async () => {
    const it = stage();
    it.ask("web", 100);
    await it.run(0);
    expect(it.refused("web")).toHaveLength(59);
    await it.run();
    const served = it.served("web").map(({ at }) => at);
    expect([served.length, Math.max(...served)]).toEqual([41, 5_000]);
  });

  test("is told when there is room for it, those counted that were sent away before", async () => {
    const it = stage();
    it.ask("web", 100);
    await it.run(0);
    const told = it.refused("web").map(({ error }) => error.facts.retryAfterSeconds as number);
    expect([told[0], told[7], told[8], told.at(-1)]).toEqual([1, 2, 2, 8]);
    // Whoever comes back when he was told to is served.
    for (const seconds of told) it.time.at(START + seconds * 1000, () => it.ask("again"));
    await it.run();
    expect([it.served("again").length, it.refused("again").length]).toEqual([59, 0]);
  });

  test("is told what to change, and to wait a minute at most", async () => {
    const it = stage({ assumeRolePerSecond: 2, instances: 1 });
    it.ask("web", 300);
    await it.run(0);
    const { error } = it.refused("web").at(-1) as { error: BrokerError };
    expect(error).toMatchObject({ code: "rate_limited", status: 429, facts: { retryAfterSeconds: 60 } });
    expect(error.message).toBe(
      "more new credentials are wanted than the 2 a second that may be asked of STS here, and it would take over 5 s to get to yours; try again in 60 s, and have scheduled jobs start at different minutes, or the broker's operator look at budget in broker.yaml",
    );
  });

  test("is so earlier where its own deadline leaves less: the calls themselves need 3 s", async () => {
    const it = stage();
    it.ask("hurried", 20, 4_000);
    await it.run();
    expect([it.served("hurried").length, it.refused("hurried").length]).toEqual([9, 11]);
    expect(Math.max(...it.served("hurried").map(({ at }) => at))).toBe(1_000);
  });
});

test("a clock that is put back refuses nobody", async () => {
  const clock = { ms: START };
  const context = { now: () => new Date(clock.ms), sleep: async () => {} };
  const { of } = assumeRoleBudget({}, undefined, context);
  const turn = () => of("web", () => {}).turn(new Date(clock.ms + 8_000));
  await turn();
  clock.ms -= 3_600_000;
  await expect(turn()).resolves.toBeUndefined();
});

test("where nobody is before it a request has its turn, however little of its own time is left", async () => {
  const it = stage();
  it.ask("late", 2, 100);
  await it.run();
  expect([it.served("late").length, it.refused("late").length]).toEqual([1, 1]);
});

describe("Throttling", () => {
  test("slows those that wait, and refuses those for whom that is too slow", async () => {
    const it = stage();
    it.ask("web", 41);
    await it.run(0);
    it.budget.of("web", () => {}).throttled();
    await it.run();
    const gaps = it.served("web").map(({ at }, nth, all) => at - (all[nth - 1]?.at ?? 0));
    expect(Math.max(...gaps)).toBe(250);
    expect(it.refused("web").length).toBeGreaterThan(5);
    expect(Math.max(...it.served("web").map(({ at }) => at))).toBeLessThanOrEqual(5_000);
  });
});

describe("renewals", () => {
  test("get a turn only where nobody waits and it would be unused", async () => {
    const it = stage({ assumeRolePerSecond: 80, instances: 1 });
    const spare = async () =>
      it.budget.spare().then(
        () => true,
        () => false,
      );
    expect(await spare()).toBe(true);
    it.ask("web", 6);
    await it.run();
    expect(await spare()).toBe(false);
    await it.run(1_000);
    expect(await spare()).toBe(true);
    it.ask("web", 20);
    await it.run(1_010);
    expect(await spare()).toBe(false);
  });
});

describe("a call's further attempts", () => {
  const failing = { statusCode: 400, code: "Throttling.User" };

  /** A call that fails so often before it succeeds; `others` begin at once with it. */
  async function call(it: ReturnType<typeof stage>, failures: number, others = 0) {
    const attempts: number[] = [];
    const context = { now: it.time.now, sleep: it.time.sleep, random: () => 0 };
    const attempt = async () => {
      attempts.push(it.time.now().getTime() - START);
      if (attempts.length <= failures) throw Object.assign(new Error(), failing);
      return "done";
    };
    const allowance = it.budget.of("web", () => {});
    const outcome = callUpstream("AssumeRole", new Date(START + 8_000), context, attempt, { allowance }).catch(
      (error: BrokerError) => error.code,
    );
    it.ask("others", others);
    await it.run();
    return { attempts, outcome: await outcome };
  }

  test("wait for a turn each, and Throttling makes turns rarer", async () => {
    expect(await call(stage(), 2)).toEqual({ attempts: [0, 250, 500], outcome: "done" });
  });

  test("that would get none in time are not made, and the failure is told as what it was", async () => {
    // One in four seconds: the second would leave less than the calls need.
    const { attempts, outcome } = await call(stage({ assumeRolePerSecond: 1, instances: 4 }), 1);
    expect([attempts, outcome]).toEqual([[0], "upstream_unavailable"]);
  });
});
