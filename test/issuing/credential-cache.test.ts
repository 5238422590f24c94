/** An instance's own memory, in front of what instances share. */

import { describe, expect, test } from "vitest";
import { BrokerError } from "../../shared/error.ts";
import {
  type Credential,
  credentialCache,
  type FindOrMake,
  fingerprintOf,
} from "../../shared/issuing/credential-cache.ts";

const NOW = new Date("2027-01-01T00:00:00Z");

function credential(password: string, seconds: number): Credential {
  return {
    username: "user",
    password,
    issuedAt: NOW,
    expiresAt: new Date(NOW.getTime() + seconds * 1000),
    fingerprint: fingerprintOf(password),
    upstreamRequestIds: { assumeRole: "A", authorizationToken: "B" },
  };
}

/** What is shared holds one that lives for 1000 s; one that is made lives for 3600 s. */
function cache() {
  const asked: number[] = [];
  const shared: FindOrMake = async (_key, { minTtlSeconds }, make) => {
    asked.push(minTtlSeconds);
    return minTtlSeconds <= 1_000
      ? { credential: credential("found", 1_000), outcome: "shared_hit" }
      : { credential: await make(), outcome: "miss" };
  };
  const { get } = credentialCache(() => NOW, shared);
  return {
    asked,
    get: async (minTtlSeconds: number, longestSeconds = 3_600) => {
      const make = async () => credential("made", 3_600);
      const { credential: got, outcome } = await get("key", { minTtlSeconds }, () => ({
        means: "m",
        longestSeconds,
        make,
      }));
      return `${got.password} ${outcome}`;
    },
  };
}

test("a credential in memory is handed out without asking what is shared", async () => {
  const { get, asked } = cache();
  expect([await get(900), await get(900)]).toEqual(["found shared_hit", "found hit"]);
  expect(asked).toEqual([900]);
});

test("requests under way at once ask what is shared once", async () => {
  const { get, asked } = cache();
  expect(await Promise.all([get(900), get(900), get(1)])).toEqual(["found shared_hit", "found joined", "found joined"]);
  expect(asked).toEqual([900]);
});

test("who joins a request and needs more life than that found asks again, once for all of these", async () => {
  const { get, asked } = cache();
  expect(await Promise.all([get(900), get(1_500), get(1_500), get(900)])).toEqual([
    "found shared_hit",
    "made miss",
    "made joined",
    "found joined",
  ]);
  expect(asked).toEqual([900, 1_500]);
});

test("who joins a request for which one was made is given that, however long it lives", async () => {
  const { get } = cache();
  expect(await Promise.all([get(1_500), get(100_000)])).toEqual(["made miss", "made joined"]);
});

describe("while the cloud does not answer", () => {
  const OUTAGE = new BrokerError("upstream_unavailable", "down");

  /** One made to live for 3600 s, of which `passed` seconds are over when the next request's making fails. */
  async function afterOne(passed: number, failure: unknown, wanted: { minTtlSeconds: number; orWhatLives?: boolean }) {
    let time = NOW.getTime();
    const { get } = credentialCache(() => new Date(time));
    const ask = (key: string, make: () => Promise<Credential>) =>
      get(key, wanted, () => ({ means: "m", longestSeconds: 3_600, make }));
    await ask("key", async () => credential("made", 3_600));
    time += passed * 1000;
    const fail = () => Promise.reject(failure);
    const outcomes = await Promise.allSettled([ask("key", fail), ask("key", fail), ask("other", fail)]);
    return outcomes.map((one) => (one.status === "rejected" ? one.reason : one.value.outcome));
  }

  test("what lives is given out, to those who waited together too, and to nobody else", async () => {
    expect(await afterOne(3_599, OUTAGE, { minTtlSeconds: 1_800, orWhatLives: true })).toEqual([
      "outage_hit",
      "outage_hit",
      OUTAGE,
    ]);
  });

  test("nothing is given out at its end or after", async () => {
    expect(await afterOne(3_600, OUTAGE, { minTtlSeconds: 1_800, orWhatLives: true })).toEqual(Array(3).fill(OUTAGE));
  });

  test("who says how long it must live is given nothing shorter", async () => {
    expect(await afterOne(1_801, OUTAGE, { minTtlSeconds: 1_800, orWhatLives: false })).toEqual(Array(3).fill(OUTAGE));
  });

  test.each(["upstream_rejected", "not_ready", "rate_limited", "invalid_request"] as const)(
    "%s is no outage",
    async (code) => {
      const refusal = new BrokerError(code, "no");
      const wanted = { minTtlSeconds: 1_800, orWhatLives: true };
      expect(await afterOne(1_801, refusal, wanted)).toEqual(Array(3).fill(refusal));
    },
  );

  test("a defect is none either", async () => {
    const defect = new TypeError("x");
    expect(await afterOne(1_801, defect, { minTtlSeconds: 1_800, orWhatLives: true })).toEqual(Array(3).fill(defect));
  });

  test("one that ends while the cloud is asked is not given out", async () => {
    let time = NOW.getTime();
    const { get } = credentialCache(() => new Date(time));
    const ask = (make: () => Promise<Credential>) =>
      get("key", { minTtlSeconds: 1_800, orWhatLives: true }, () => ({ means: "m", longestSeconds: 3_600, make }));
    await ask(async () => credential("made", 3_600));
    time += 3_595_000;
    const late = ask(async () => {
      time += 5_000;
      throw OUTAGE;
    });
    await expect(late).rejects.toBe(OUTAGE);
  });
});

test("of long passwords so many are kept as have so many characters together, the last used", async () => {
  const made: string[] = [];
  const { get } = credentialCache(() => NOW, undefined, undefined, 1_000);
  const ask = async (key: string, characters = 300) => {
    const make = async () => {
      made.push(key);
      return credential(key.padEnd(characters), 3_600);
    };
    return (await get(key, { minTtlSeconds: 0 }, () => ({ means: "m", longestSeconds: 3_600, make }))).credential;
  };
  for (const key of ["a", "b", "c", "a", "d", "a", "b"]) expect((await ask(key)).password).toBe(key.padEnd(300));
  expect(made).toEqual(["a", "b", "c", "d", "b"]);
  // One that is too long for all of it is given out, and the next request makes another.
  for (const _ of [1, 2]) expect((await ask("long", 2_000)).password).toHaveLength(2_000);
  expect(made.slice(5)).toEqual(["long", "long"]);
});
