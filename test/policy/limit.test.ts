/** Limits of grants and denials: where a request comes from, and when. They narrow, and do nothing else. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decide } from "../../shared/policy/decision.ts";
import { explainDenial } from "../../shared/policy/explanation.ts";
import type { Grant, Principal } from "../../shared/policy/grant.ts";
import { DAYS, describeLimit, keeps, type Limit, type TimeLimit } from "../../shared/policy/limit.ts";
import { caller, grant, policy, scope } from "./grants.ts";

const office: Limit = { kind: "network", cidrs: ["10.0.0.0/8", "2001:db8::/32"] };
const from = (address?: string) => keeps(office, address === undefined ? {} : { address });
const at = (facts: Omit<TimeLimit, "kind">, time: string) =>
  keeps({ kind: "time", ...facts }, { time: new Date(time) });
const hours = (text: string) => {
  const [from = 0, to = 0] = text.split("-").map((one) => Number(one.slice(0, 2)) * 60 + Number(one.slice(3)));
  return { from, to };
};

describe("networks", () => {
  test.each([
    ["10.255.255.255", true],
    ["11.0.0.0", false],
    ["9.255.255.255", false],
    ["2001:db8::1", true],
    ["2001:db9::1", false],
    ["::ffff:a00:1", false], // no normal address; the same as 10.0.0.1 to nobody but a resolver
  ])("%s: %s", (address, expected) => expect(from(address)).toBe(expected));

  test("an address that is not known is in none", () => {
    expect(from()).toBe(false);
    expect(keeps({ kind: "network", cidrs: ["0.0.0.0/0", "::/0"] }, {})).toBe(false);
  });
});

describe("times", () => {
  const CN = "Asia/Shanghai";
  // 2027-06-04 is a Friday.
  test.each<[string, Omit<TimeLimit, "kind">, string, boolean]>([
    ["begins with its first moment", { notBefore: new Date("2027-06-01T00:00:00Z") }, "2027-06-01T00:00:00.000Z", true],
    ["not a moment before", { notBefore: new Date("2027-06-01T00:00:00Z") }, "2027-05-31T23:59:59.999Z", false],
    ["lasts through its last moment", { notAfter: new Date("2027-06-30T00:00:00Z") }, "2027-06-30T00:00:00.000Z", true],
    ["and not beyond", { notAfter: new Date("2027-06-30T00:00:00Z") }, "2027-06-30T00:00:00.001Z", false],
    ["the day is that of the zone", { days: ["sat"], zone: CN }, "2027-06-04T16:00:00Z", true],
    ["not of UTC", { days: ["fri"], zone: CN }, "2027-06-04T16:00:00Z", false],
    ["hours are those of the zone", { hours: hours("09:00-18:00"), zone: CN }, "2027-06-04T01:00:00Z", true],
    ["from the minute they begin", { hours: hours("09:00-18:00"), zone: CN }, "2027-06-04T00:59:59Z", false],
    ["to before the minute they end", { hours: hours("09:00-18:00"), zone: CN }, "2027-06-04T09:59:59Z", true],
    ["which is no longer in them", { hours: hours("09:00-18:00"), zone: CN }, "2027-06-04T10:00:00Z", false],
    ["midnight is the beginning of a day", { hours: hours("00:00-01:00"), zone: CN }, "2027-06-04T16:00:00Z", true],
    [
      "a night begins with its first minute",
      { hours: hours("22:00-06:00"), zone: "UTC" },
      "2027-06-04T22:00:00Z",
      true,
    ],
    ["and not a minute before", { hours: hours("22:00-06:00"), zone: "UTC" }, "2027-06-04T21:59:59Z", false],
    ["a night goes on after midnight", { hours: hours("22:00-06:00"), zone: "UTC" }, "2027-06-05T05:59:00Z", true],
    ["until its end", { hours: hours("22:00-06:00"), zone: "UTC" }, "2027-06-05T06:00:00Z", false],
    ["and not over the day", { hours: hours("22:00-06:00"), zone: "UTC" }, "2027-06-05T12:00:00Z", false],
    [
      "Friday's night is Friday's on Saturday",
      { days: ["fri"], hours: hours("22:00-06:00"), zone: "UTC" },
      "2027-06-05T03:00:00Z",
      true,
    ],
    [
      "and Thursday's on Friday is not",
      { days: ["fri"], hours: hours("22:00-06:00"), zone: "UTC" },
      "2027-06-04T03:00:00Z",
      false,
    ],
    ["the week goes round", { days: ["sat"], hours: hours("22:00-06:00"), zone: "UTC" }, "2027-06-06T03:00:00Z", true],
    // https://www.iana.org/time-zones: Berlin goes from 02:00 to 03:00 on 2027-03-28, New York back from 02:00 to 01:00 on 2027-11-07.
    [
      "before summer time 01:59 is 01:59",
      { hours: hours("01:59-02:00"), zone: "Europe/Berlin" },
      "2027-03-28T00:59:00Z",
      true,
    ],
    [
      "after it the next minute is 03:00",
      { hours: hours("03:00-03:01"), zone: "Europe/Berlin" },
      "2027-03-28T01:00:00Z",
      true,
    ],
    ["what is twice is twice", { hours: hours("01:30-01:31"), zone: "America/New_York" }, "2027-11-07T05:30:00Z", true],
    ["the second time too", { hours: hours("01:30-01:31"), zone: "America/New_York" }, "2027-11-07T06:30:00Z", true],
    ["the end of the day is 24:00", { hours: hours("09:00-24:00"), zone: "UTC" }, "2027-06-04T23:59:59Z", true],
    ["half hours count", { hours: hours("05:30-05:31"), zone: "Asia/Kolkata" }, "2027-06-04T00:00:00Z", true],
    [
      "all of it must hold",
      { days: ["fri"], hours: hours("09:00-18:00"), zone: CN, notAfter: new Date("2027-06-01T00:00:00Z") },
      "2027-06-04T02:00:00Z",
      false,
    ],
    ["no time at all", { days: [...DAYS], zone: "UTC" }, "never", false],
  ])("%s", (_, facts, time, expected) => expect(at(facts, time)).toBe(expected));

  test("a time that is not known is in none", () => {
    expect(keeps({ kind: "time", days: [...DAYS], zone: "UTC" }, {})).toBe(false);
  });

  test("in words, as they were written", () => {
    const limit: Limit = {
      kind: "time",
      notAfter: new Date("2027-06-30T00:00:00Z"),
      days: ["mon", "fri"],
      hours: hours("09:05-18:00"),
      zone: CN,
    };
    expect(describeLimit(limit)).toBe(
      "until 2027-06-30T00:00:00.000Z on mon, fri between 09:05 and 18:00 in Asia/Shanghai",
    );
    expect(describeLimit(office)).toBe("in 10.0.0.0/8 or 2001:db8::/32");
  });
});

const web = grant("web", { allow: [scope("repository:web/*:pull,push")] });
const friday = new Date("2027-06-04T12:00:00Z");
const me: Principal = { ...caller({ repository_id: "1" }), address: "10.0.0.1", time: friday };
const push = { registry: "prod", scopes: [scope("repository:web/app:push")] };
const limited: Grant = { ...web, limits: [office, { kind: "time", days: ["fri"], zone: "UTC" }] };

describe("a limited grant", () => {
  test("gives what it gives within its limits", () => {
    expect(decide(me, push, policy([limited]))).toMatchObject({ outcome: "allow" });
  });

  test.each([
    [
      "from elsewhere",
      { address: "192.0.2.1" },
      `condition on the caller's address failed: it is "192.0.2.1", and must be in 10.0.0.0/8 or 2001:db8::/32`,
    ],
    ["from where is not known", { address: undefined }, "condition on the caller's address failed: it is not there"],
    [
      "on another day",
      { time: new Date("2027-06-05T12:00:00Z") },
      `condition on the time failed: it is "2027-06-05T12:00:00.000Z", and must be on fri in UTC`,
    ],
  ])("gives nothing %s, and says so to whom it is for", (_, facts, says) => {
    const decision = decide({ ...me, ...facts }, push, policy([limited]));
    if (decision.outcome === "allow") throw new Error("was allowed");
    expect(decision.reason).toMatchObject({ kind: "condition", nearest: { grant: { name: "web" } } });
    expect(explainDenial(decision.reason, "me")).toContain(says);
  });

  test("tells nothing of its limits to whom it is not for", () => {
    const stranger = { ...me, claims: { repository_id: "666" }, address: "192.0.2.1" };
    const decision = decide(stranger, push, policy([limited]));
    if (decision.outcome === "allow") throw new Error("was allowed");
    const words = explainDenial(decision.reason, "stranger");
    expect(words).not.toMatch(/web,|10\.0|fri/);
    expect(words).toContain("condition on claim repository_id failed");
  });

  test("is not held against the clock or the network for a stranger, who may miss thousands of such grants at once", () => {
    const looks: string[] = [];
    const stranger: Principal = {
      ...caller({ repository_id: "666" }),
      get time() {
        looks.push("time");
        return friday;
      },
      get address() {
        looks.push("address");
        return "192.0.2.1";
      },
    };
    expect(decide(stranger, push, policy([limited]))).toMatchObject({ reason: { kind: "condition" } });
    expect(looks).toEqual([]);
  });
});

describe("a denial of certain times", () => {
  const freeze = {
    name: "freeze",
    when: [],
    limits: [
      {
        kind: "time" as const,
        notBefore: new Date("2027-06-04T00:00:00Z"),
        notAfter: new Date("2027-06-05T00:00:00Z"),
      },
    ],
    registry: "prod",
    deny: [scope("repository:web/*:push")],
    line: 1,
  };
  const frozen = policy([web], { denials: [freeze] });
  test("denies while it lasts, and no longer", () => {
    expect(decide(me, push, frozen)).toMatchObject({ reason: { kind: "denied" } });
    expect(decide({ ...me, time: new Date("2027-06-06T00:00:00Z") }, push, frozen)).toMatchObject({ outcome: "allow" });
  });
  test("denies where the time is not known", () => {
    expect(decide({ ...me, time: undefined }, push, frozen)).toMatchObject({ reason: { kind: "denied" } });
  });
});

test("for all policies and circumstances another limit never allows more", () => {
  const limits = fc.oneof(
    fc.constantFrom<Limit>(office, { kind: "network", cidrs: ["0.0.0.0/0", "::/0"] }),
    fc.record({
      kind: fc.constant("time" as const),
      days: fc.subarray([...DAYS], { minLength: 1 }),
      zone: fc.constantFrom("UTC", "Asia/Shanghai"),
    }),
  );
  const circumstances = fc.record({
    address: fc.option(fc.oneof(fc.ipV4(), fc.ipV6()), { nil: undefined }),
    time: fc.option(fc.date({ noInvalidDate: true, min: new Date("1990-01-01"), max: new Date("2090-01-01") }), {
      nil: undefined,
    }),
  });
  const tally = { allow: 0, deny: 0 };
  fc.assert(
    fc.property(fc.array(limits, { maxLength: 2 }), limits, circumstances, (some, more, facts) => {
      const who = { ...caller({ repository_id: "1" }), ...facts };
      const outcome = (all: Limit[]) => decide(who, push, policy([{ ...web, limits: all }])).outcome;
      if (outcome(some) === "deny") expect(outcome([...some, more])).toBe("deny");
      else tally[outcome([...some, more])]++;
    }),
    { numRuns: 2000 },
  );
  expect(Math.min(tally.allow, tally.deny)).toBeGreaterThan(50);
});
