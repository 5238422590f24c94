/** The two memories for uses of tokens: the same answers, whichever is asked, and what stands in the one that others can read. */

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Replay } from "../../shared/config/config.ts";
import { type AuthenticatedPrincipal, principalName } from "../../shared/identity/principal.ts";
import { ownThenShared, type ReplayStore, replayGuard, type TokenUse } from "../../shared/identity/replay.ts";
import { memoryReplayStore } from "../../shared/identity/replay-memory.ts";
import { redisReplayStore } from "../../shared/identity/replay-redis.ts";
import { type SharedRedis, sharedRedis } from "../../shared/store/redis.ts";
import { haveTools } from "../e2e/tools.ts";
import { type RedisServer, startRedisServer } from "../store/redis-server.ts";

const NOW = Date.parse("2026-11-25T00:00:00Z");
const now = () => new Date(NOW);
const use = (more: Partial<TokenUse> = {}): TokenUse => ({
  issuer: "https://issuer.example.com",
  tokenId: "canary-jti-1a2b3c",
  caller: "ci:canary-caller",
  expiresAt: NOW + 300_000,
  purpose: "canary-purpose web/app",
  most: 1,
  ...more,
});

test("in memory a mark ends with its token, and a use that is given back after that harms no other", async () => {
  let time = NOW;
  const store = memoryReplayStore(() => new Date(time));
  const first = await store.use(use());
  time += 300_000;
  const second = await store.use(use({ expiresAt: time + 1 }));
  expect([typeof first, typeof second]).toEqual(["object", "object"]);
  await (first as { giveBack(): Promise<void> }).giveBack();
  expect(await store.use(use({ expiresAt: time + 1 }))).toBe("refused");
});

test("in memory a mark takes little, however long the token's jti and what it was used for", async () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const bytes = () => {
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const store = memoryReplayStore(now);
  const before = bytes();
  for (let i = 0; i < 2_000; i++)
    await store.use(use({ tokenId: `${i}`.padEnd(5_000), purpose: `${i}`.padEnd(5_000) }));
  expect((bytes() - before) / 2_000).toBeLessThan(500);
  expect(await store.use(use({ tokenId: "1999".padEnd(5_000) }))).toBe("refused");
});

test("in memory no caller can have more than half, and one who comes then has room", async () => {
  let time = NOW;
  const store = memoryReplayStore(() => new Date(time));
  const full = expect.objectContaining({ code: "not_ready", facts: { retryAfterSeconds: 30 } });
  for (let i = 0; i < 100_000; i++) await store.use(use({ tokenId: `${i}` }));
  await expect(store.use(use({ tokenId: "one more" }))).rejects.toEqual(full);
  expect(await store.use(use({ tokenId: "7" }))).toBe("refused");
  expect(await store.use(use({ tokenId: "another's", caller: "ci:another" }))).toHaveProperty("giveBack");
  time += 320_000;
  expect(await store.use(use({ tokenId: "one more", expiresAt: time + 1 }))).toHaveProperty("giveBack");
});

describe("in memory a token", () => {
  const passes = async (store: ReplayStore, more: Partial<TokenUse> = {}) =>
    typeof (await store.use(use(more))) === "object";
  const giveBack = async (taken: Awaited<ReturnType<ReplayStore["use"]>>) =>
    (taken as { giveBack(): Promise<void> }).giveBack();

  test("good for three uses has three, and no more, whatever they are for", async () => {
    const store = memoryReplayStore(now);
    const tried = [];
    for (const purpose of ["a", "b", "c", "d", "a"]) tried.push(await passes(store, { most: 3, purpose }));
    expect(tried).toEqual([true, true, true, false, false]);
    expect(await passes(store, { most: 3, tokenId: "another" })).toBe(true);
    expect(await passes(store, { most: 3, issuer: "https://another.example" })).toBe(true);
  });

  test("that is bound has all uses of its first purpose, and none of another", async () => {
    const store = memoryReplayStore(now);
    const tried = [];
    for (const purpose of ["a", "a", "b", "a"]) tried.push(await passes(store, { most: "bound", purpose }));
    expect(tried).toEqual([true, true, false, true]);
  });

  test("of which all uses were given back may be used for anything; of which one was, for one more", async () => {
    const store = memoryReplayStore(now);
    const bound = { most: "bound", purpose: "a" } as const;
    const [one, two] = [await store.use(use(bound)), await store.use(use(bound))];
    await giveBack(one);
    expect(await passes(store, { ...bound, purpose: "b" })).toBe(false);
    await giveBack(two);
    expect(await passes(store, { ...bound, purpose: "b" })).toBe(true);
    const twice = { most: 2, tokenId: "two" } as const;
    const first = await store.use(use(twice));
    expect(await passes(store, twice)).toBe(true);
    await giveBack(first);
    expect([await passes(store, twice), await passes(store, twice)]).toEqual([true, false]);
  });
});

describe.skipIf(!haveTools(["redis-server"]))("in Redis", () => {
  let server: RedisServer;
  let redis: SharedRedis;
  beforeAll(async () => {
    // Exactly the rights that the documentation tells to give.
    const documented = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
    const [, user = ""] = /^ {4}ACL SETUSER (broker .*)$/m.exec(documented) ?? [];
    expect(user).toContain(">PASSWORD");
    server = await startRedisServer([`user ${user.replace("PASSWORD", "canary-password")}`]);
    redis = sharedRedis({
      settings: {
        host: "127.0.0.1",
        port: server.port,
        tls: false,
        username: "broker",
        keyPrefix: "acr-token-broker",
        whenUnavailable: "refuse",
      },
      password: "canary-password",
      now,
      onAvailability: (state) => {
        throw new Error(JSON.stringify(state));
      },
      limitMs: 10_000,
    });
  });
  afterAll(async () => {
    redis.close();
    await server.close();
  });
  const shared = (): ReplayStore => redisReplayStore(redis, { keyPrefix: "acr-token-broker" }, now, randomUUID);

  test("any sequence of uses, and of uses given back, has the same answers as in memory", async () => {
    const step = fc.oneof(
      fc.record({
        tokenId: fc.constantFrom("a", "b"),
        purpose: fc.constantFrom("x", "y"),
        most: fc.constantFrom<TokenUse["most"]>(1, 2, 3, "bound"),
      }),
      fc.record({ giveBack: fc.nat(20) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        await server.admin.flushall();
        // Two instances share Redis: which of them is asked must not matter.
        const sides = [[memoryReplayStore(now)], [shared(), shared()]];
        const answers = await Promise.all(
          sides.map(async (stores) => {
            const taken: { giveBack(): Promise<void> }[] = [];
            const said: string[] = [];
            for (const [index, one] of steps.entries()) {
              if ("giveBack" in one) {
                await taken.splice(one.giveBack, 1)[0]?.giveBack();
                continue;
              }
              const answer = await (stores[index % stores.length] as ReplayStore).use(use(one));
              said.push(typeof answer === "string" ? answer : "used");
              if (typeof answer === "object") taken.push(answer);
            }
            return said;
          }),
        );
        expect(answers[1]).toEqual(answers[0]);
      }),
      { numRuns: 100 },
    );
  });

  test("of 50 uses at once of a token that is good for 3, 3 pass", async () => {
    await server.admin.flushall();
    const stores = [shared(), shared()];
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => (stores[index % 2] as ReplayStore).use(use({ most: 3 }))),
    );
    expect(answers.filter((answer) => answer !== "refused")).toHaveLength(3);
  });

  test("a mark lives as long as its token and 5 s, and using it again changes nothing in that", async () => {
    await server.admin.flushall();
    await shared().use(use({ most: 2 }));
    const [before] = await server.dump();
    expect(before?.livesMs).toBeGreaterThan(300_000);
    expect(before?.livesMs).toBeLessThanOrEqual(305_000);
    await shared().use(use({ most: 2, expiresAt: NOW + 3_600_000 }));
    const [after] = await server.dump();
    expect(after?.fields["uses"]).toBe("2");
    expect(after?.livesMs).toBeLessThanOrEqual(before?.livesMs as number);
  });

  test("a mark that Redis lost and got again from another use is not ours to give back", async () => {
    await server.admin.flushall();
    const lost = (await shared().use(use())) as { giveBack(): Promise<void> };
    await server.admin.flushall();
    await shared().use(use());
    await lost.giveBack();
    expect(await shared().use(use())).toBe("refused");
  });

  test("nothing in it can be read: digests, numbers and ids of its own", async () => {
    await server.admin.flushall();
    await shared().use(use());
    expect(await server.dump()).toEqual([
      {
        key: expect.stringMatching(/^acr-token-broker:replay:[\w-]{43}$/),
        fields: {
          purpose: expect.stringMatching(/^[\w-]{43}$/),
          uses: "1",
          id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        },
        livesMs: expect.any(Number),
      },
    ]);
    // Nor by comparing: the same purpose looks otherwise for another token.
    await shared().use(use({ tokenId: "another" }));
    const [one, other] = await server.dump();
    expect(one?.fields["purpose"]).not.toBe(other?.fields["purpose"]);
  });
});

describe("this instance's memory and then the shared one", () => {
  const answering = (answer: "refused" | "unavailable"): ReplayStore => ({ use: async () => answer });

  test("refused by the shared one: this instance has not used it either", async () => {
    const own = memoryReplayStore(now);
    expect(await ownThenShared(own, answering("refused"), "memory").use(use())).toBe("refused");
    expect(await own.use(use())).toBeTypeOf("object");
  });

  test("refused by this instance: the shared one is not asked", async () => {
    const never: ReplayStore = {
      use: () => {
        throw new Error("asked");
      },
    };
    const own = memoryReplayStore(now);
    await own.use(use());
    expect(await ownThenShared(own, never, "memory").use(use())).toBe("refused");
  });

  test("the shared one unavailable: memory goes on and remembers, refuse refuses and does not", async () => {
    const own = memoryReplayStore(now);
    expect(await ownThenShared(own, answering("unavailable"), "refuse").use(use())).toBe("unavailable");
    expect(await ownThenShared(own, answering("unavailable"), "memory").use(use())).toBeTypeOf("object");
    expect(await own.use(use())).toBe("refused");
  });

  test("given back: to both", async () => {
    const [own, shared] = [memoryReplayStore(now), memoryReplayStore(now)];
    const taken = await ownThenShared(own, shared, "memory").use(use());
    await (taken as { giveBack(): Promise<void> }).giveBack();
    expect(await own.use(use())).toBeTypeOf("object");
    expect(await shared.use(use())).toBeTypeOf("object");
  });
});

describe("the guard", () => {
  const principal: AuthenticatedPrincipal = {
    source: { issuer: "ci" },
    subject: "job",
    claims: { iss: "https://issuer.example" },
    tokenId: "jti 1",
    expiresAt: new Date(now().getTime() + 1),
  };
  /** A store that answers so, and what it was asked. */
  function answering(answer: Awaited<ReturnType<ReplayStore["use"]>>) {
    const asked: TokenUse[] = [];
    const guard = replayGuard(now, {
      use: async (one) => {
        asked.push(one);
        return answer;
      },
    });
    const claim = (replay: Replay, who: AuthenticatedPrincipal = principal) =>
      guard.claim(who, { name: "ci", replay }, "what for");
    return { asked, claim };
  }

  test.each<[Replay, number | "bound"]>([
    ["once", 1],
    ["bind", "bound"],
    [{ count: 3 }, 3],
  ])("of %j asks the store for the token by iss and jti, and gives back by it", async (replay, most) => {
    let given = 0;
    const { asked, claim } = answering({ giveBack: async () => void given++ });
    await (await claim(replay)).release();
    expect([asked, given]).toEqual([
      [
        {
          issuer: "https://issuer.example",
          tokenId: "jti 1",
          caller: principalName(principal),
          expiresAt: now().getTime() + 1,
          purpose: "what for",
          most,
        },
      ],
      1,
    ]);
  });

  test("of off asks nothing, jti or not", async () => {
    const { asked, claim } = answering("refused");
    const { tokenId: _, ...without } = principal;
    await (await claim("off", without)).release();
    expect(asked).toEqual([]);
  });

  test.each<[Replay, string]>([
    ["once", "the token was used before"],
    ["bind", "first used for something else or from elsewhere"],
    [{ count: 3 }, "the token was used 3 times"],
  ])("of %j says why it refuses", async (replay, told) => {
    await expect(answering("refused").claim(replay)).rejects.toMatchObject({
      code: "token_replayed",
      message: expect.stringContaining(told),
    });
  });

  test("refuses a token without a jti, one that has ended, and all where uses cannot be counted", async () => {
    const { tokenId: _, ...without } = principal;
    const { asked, claim } = answering("unavailable");
    await expect(claim("once", without)).rejects.toMatchObject({ code: "invalid_token" });
    await expect(claim("once", { ...principal, expiresAt: now() })).rejects.toMatchObject({ code: "token_expired" });
    expect(asked).toEqual([]);
    await expect(claim("once")).rejects.toMatchObject({ code: "not_ready", facts: { retryAfterSeconds: 2 } });
  });
});
