/** How often one may come to an instance, and that this is never somebody else's trouble. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { networkOf, rate } from "../../functions/broker/limits.ts";
import { policy, read, startHarness } from "./harness.ts";

const FIELDS = { registry: "prod", scope: ["repository:base/alpine:pull"] };

describe("a rate", () => {
  test("gives a minute's worth at once, then evenly, to each key for itself", () => {
    let time = 0;
    const three = rate(3, () => new Date(time));
    expect([three.take("a"), three.take("a"), three.take("a"), three.take("a")]).toEqual([
      undefined,
      undefined,
      undefined,
      20,
    ]);
    expect([three.look("a"), three.take("b")]).toEqual([20, undefined]);
    time = 20_000;
    expect([three.look("a"), three.take("a"), three.take("a")]).toEqual([undefined, undefined, 20]);
  });

  test("never gives more than two minutes' worth in a minute, nor less than one to who comes evenly, whatever the clock does", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3_000), { maxLength: 400 }), fc.integer({ min: 1, max: 50 }), (pauses, perMinute) => {
        let time = 0;
        const one = rate(perMinute, () => new Date(time));
        const given: number[] = [];
        for (const pause of pauses) {
          time += pause;
          if (one.take("a") === undefined) given.push(time);
        }
        for (const from of given) {
          expect(given.filter((at) => at >= from && at < from + 60_000).length).toBeLessThanOrEqual(2 * perMinute);
        }
      }),
    );
    let time = 600_000;
    const one = rate(1, () => new Date(time));
    one.take("a");
    time = 0;
    expect(one.take("a")).toBeUndefined();
  });

  test("has 20,000 keys at most, and knows each of the last 10,000", () => {
    const one = rate(1, () => new Date(0));
    const others = (count: number, from = 0) => {
      for (let i = from; i < from + count; i++) one.take(`other ${i}`);
    };
    one.take("first");
    others(9_999);
    expect(one.take("first")).toBe(60);
    others(10_001, 10_000);
    expect(one.take("first")).toBeUndefined();
  });

  test("of a long key keeps a digest, by which no other is taken for it", () => {
    const one = rate(1, () => new Date(0));
    const long = "a".repeat(5_000);
    expect([one.take(long), one.take(`${long}b`), one.take(long), one.look(long)]).toEqual([
      undefined,
      undefined,
      60,
      60,
    ]);
  });
});

test("one caller who asks too often is told when to come again; others are served", async () => {
  const h = await startHarness({ policy: (...urls) => `${policy(...urls)}limits: { caller_per_minute: 2 }\n` });
  const ask = async (sub: string) => h.ask(FIELDS, await h.mint({ sub }));
  expect([(await ask("job")).status, (await ask("job")).status]).toEqual([200, 200]);
  const refused = await ask("job");
  expect(await read(refused)).toMatchObject({ status: 429, code: "rate_limited" });
  expect(["retry-after", "ratelimit-policy", "ratelimit"].map((name) => refused.headers.get(name))).toEqual([
    "30",
    '"caller";q=2;w=60',
    '"caller";r=0;t=30',
  ]);
  const whoami = async (sub: string) => {
    const headers = { authorization: `Bearer ${await h.mint({ sub })}` };
    return (await h.request("/v1/whoami", { headers })).status;
  };
  expect([await whoami("job"), await whoami("sharer")]).toEqual([429, 200]);
  const refusals = h.logged().filter(({ event }) => event === "refused");
  const who = { issuer: "ci", subject: "job", code: "rate_limited", quota: "caller" };
  expect(refusals).toMatchObject([
    { ...who, route: "/v1/token" },
    { ...who, route: "/v1/whoami" },
  ]);
  h.clock.aheadMs += 30_000;
  expect((await ask("job")).status).toBe(200);
  await h.close();
});

test("a grant that is used too often is refused to all its callers, with the token unused, and recorded", async () => {
  const h = await startHarness({
    policy: (cloud, issuer) =>
      `${policy(cloud, issuer).replace(`issuer: "${issuer}" }`, `issuer: "${issuer}", replay: once }`)}limits: { grant_per_minute: 1 }\n`,
  });
  expect((await h.ask(FIELDS)).status).toBe(200);
  const token = await h.mint();
  const refused = await h.ask(FIELDS, token);
  expect([refused.status, refused.headers.get("ratelimit")]).toEqual([429, '"grant";r=0;t=60']);
  expect(h.logged().findLast(({ event }) => event === "decision")).toMatchObject({
    issued: false,
    code: "rate_limited",
    quota: "grant",
  });
  h.clock.aheadMs += 60_000;
  expect((await h.ask(FIELDS, token)).status).toBe(200);
  await h.close();
});

describe("credentials that are not accepted", () => {
  const few = (...urls: [string, string]) => `${policy(...urls)}limits: { failures_per_minute: 3 }\n`;
  const bad = { authorization: `Bearer abk_nobody_${"0".repeat(64)}` };

  test("count for the address that they come from, and no other", async () => {
    let from = "192.0.2.1";
    const h = await startHarness({ policy: few, socketAddress: () => from });
    const whoami = async (headers: Record<string, string> = bad) => (await h.request("/v1/whoami", { headers })).status;
    expect([await whoami(), await whoami({}), await whoami(), await whoami(), await whoami()]).toEqual([
      401, 401, 401, 401, 429,
    ]);
    expect((await h.ask(FIELDS)).status).toBe(429);
    const refused = h.logged().findLast(({ event }) => event === "refused");
    expect(refused).toMatchObject({ code: "rate_limited", quota: "failures", address: from });
    // It was not looked at, so nobody knows whose it was.
    expect(refused).not.toHaveProperty("subject");
    from = "192.0.2.2";
    expect((await h.ask(FIELDS)).status).toBe(200);
    from = "192.0.2.1";
    h.clock.aheadMs += 20_000;
    expect((await h.ask(FIELDS)).status).toBe(200);
    await h.close();
  });

  test("count for nobody where the address is not known: one could shut out all", async () => {
    const h = await startHarness({ policy: few, socketAddress: () => undefined });
    for (let i = 0; i < 10; i++) expect((await h.request("/v1/whoami", { headers: bad })).status).toBe(401);
    expect((await h.ask(FIELDS)).status).toBe(200);
    await h.close();
  });
});

test.each([
  ["192.0.2.1", "192.0.2.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:db8::6", "2001:db8:0:0"],
  ["2001:db8:1:2:3::", "2001:db8:1:2"],
  ["::1", "0:0:0:0"],
  ["::", "0:0:0:0"],
])("what one host has around %s is %s", (address, network) => {
  expect(networkOf(address)).toBe(network);
});
