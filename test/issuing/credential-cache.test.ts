/** An instance's own memory, in front of what instances share. */

import { expect, test } from "vitest";
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
      const { credential: got, outcome } = await get("key", minTtlSeconds, () => ({
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
