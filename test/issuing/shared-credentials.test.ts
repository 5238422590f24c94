/** Credentials that instances share, in a real Redis: found, made once, and what somebody who writes there can do. */

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { type Credential, type FindOrMake, fingerprintOf } from "../../shared/issuing/credential-cache.ts";
import { seal } from "../../shared/issuing/seal.ts";
import { sharedCredentials } from "../../shared/issuing/shared-credentials.ts";
import { sharedRedis } from "../../shared/store/redis.ts";
import { plantCanaries } from "../canaries.ts";
import { haveTools } from "../e2e/tools.ts";
import { type RedisServer, startRedisServer } from "../store/redis-server.ts";

const HOUR = { minTtlSeconds: 1_800, longestSeconds: 3_600 + 450 };
const [OURS, OLD] = [seal(Buffer.alloc(32, 1), randomBytes), seal(Buffer.alloc(32, 2), randomBytes)];
const PASSWORD = `canary-${randomBytes(12).toString("hex")}`;
plantCanaries([PASSWORD]);
const USER = { user: { username: "broker" } };
const VALUE = `test:credential:{${OURS.name("key")}}`;
const LOCK = `test:lock:{${OURS.name("key")}}`;

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function realServer(...config: string[]): Promise<RedisServer> {
  const server = await startRedisServer(config);
  opened.push(server);
  return server;
}

interface Options {
  readonly seals?: Parameters<typeof sharedCredentials>[0]["seals"];
  /** Runs wherever the instance would pause; its clock goes on by itself. */
  readonly onPause?: (ms: number) => unknown;
  readonly limitMs?: number;
  readonly user?: { readonly username: string };
}

/** With a clock of its own. */
function instance({ port }: RedisServer, { seals = [OURS], onPause, limitMs = 5_000, user }: Options = {}) {
  const clock = { now: Date.now() };
  const seen = { odd: 0, made: 0, told: [] as string[] };
  const redis = sharedRedis({
    settings: { host: "127.0.0.1", port, tls: false, keyPrefix: "test", whenUnavailable: "memory", ...user },
    password: user && PASSWORD,
    now: () => new Date(clock.now),
    onAvailability: (state) => seen.told.push(state.available ? "available" : state.why),
    limitMs,
  });
  opened.push(redis);
  const findOrMake = sharedCredentials({
    redis,
    keyPrefix: "test",
    seals,
    onOdd: () => seen.odd++,
    now: () => new Date(clock.now),
    sleep: async (ms) => {
      clock.now += ms;
      await onPause?.(ms);
    },
    random: () => 0.5,
  });
  const make = async () => {
    seen.made++;
    return credential({ now: clock.now });
  };
  const get = (key = "key", wanted = HOUR, how: () => Promise<Credential> = make): ReturnType<FindOrMake> =>
    findOrMake(key, wanted, how);
  return { redis, clock, seen, get, make };
}

function credential({
  now = Date.now(),
  seconds = 3_600,
  ...more
}: Partial<Credential> & Record<string, unknown> = {}) {
  const password = `canary-${randomBytes(16).toString("hex")}`;
  plantCanaries([password]);
  return {
    username: "cr_temp_user",
    password,
    issuedAt: new Date(Number(now)),
    expiresAt: new Date(Number(now) + Number(seconds) * 1000),
    fingerprint: fingerprintOf(password),
    upstreamRequestIds: { assumeRole: "A", authorizationToken: "B" },
    ...more,
  } satisfies Credential;
}

/** A promise and what ends it. */
function gate<T>() {
  let open: (value: T) => void = () => {};
  const passed = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

const here = haveTools(["redis-server"]);

describe.skipIf(!here)("two instances", () => {
  test("what one made the other finds, exactly as it was", async () => {
    const server = await realServer();
    const [a, b] = [instance(server), instance(server)];
    const made = await a.get();
    expect(made.outcome).toBe("miss");
    expect(await b.get()).toEqual({ credential: made.credential, outcome: "shared_hit" });
    expect([a.seen, b.seen]).toEqual([
      { odd: 0, made: 1, told: [] },
      { odd: 0, made: 0, told: [] },
    ]);
  });

  test("for another key it is another", async () => {
    const server = await realServer();
    const { get } = instance(server);
    expect((await get("key")).credential).not.toEqual((await get("key2")).credential);
  });

  test("one that lives too short for a request is made anew, and the newer one is found from then on", async () => {
    const server = await realServer();
    const [a, b] = [instance(server), instance(server)];
    const first = await a.get();
    for (const { clock } of [a, b]) clock.now += 1_800_001;
    const second = await b.get();
    expect(second.outcome).toBe("miss");
    expect((await a.get()).credential).toEqual(second.credential);
    expect(second.credential).not.toEqual(first.credential);
    expect(a.seen.odd + b.seen.odd).toBe(0);
  });

  test("while one makes it the other waits for it, and makes none", async () => {
    const server = await realServer();
    const made = gate<Credential>();
    const a = instance(server);
    const b = instance(server, { onPause: () => made.open(credential()) });
    const making = a.get("key", HOUR, () => made.passed);
    while ((await server.admin.exists(LOCK)) === 0);
    expect(await b.get()).toMatchObject({ outcome: "shared_joined", credential: await made.passed });
    expect((await making).outcome).toBe("miss");
    expect(b.seen.made).toBe(0);
    expect(await server.admin.exists(LOCK)).toBe(0);
  });

  test("one that fails gives the lock back at once, and its failure is its own", async () => {
    const server = await realServer();
    const [a, b] = [instance(server), instance(server)];
    await expect(a.get("key", HOUR, () => Promise.reject(new Error("refused")))).rejects.toThrow("refused");
    expect(await server.dump()).toEqual([]);
    expect((await b.get()).outcome).toBe("miss");
  });

  test("one that dies while it makes one: its lock ends by itself, and another makes it", async () => {
    const server = await realServer();
    const a = instance(server);
    void a.get("key", HOUR, () => new Promise(() => {}));
    while ((await server.admin.exists(LOCK)) === 0);
    const left = await server.admin.pttl(LOCK);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(3_000);
    // What time would do.
    const b = instance(server, { onPause: () => server.admin.pexpire(LOCK, 0) });
    expect((await b.get()).outcome).toBe("miss");
    expect(b.clock.now - Date.now()).toBeLessThan(1_000);
    expect((await instance(server).get()).outcome).toBe("shared_hit");
  });

  test("nobody waits longer than 4 s and a pause, whatever becomes of the lock, and then makes its own", async () => {
    const server = await realServer();
    await server.admin.set(LOCK, "for ever");
    let waitedMs = 0;
    const { get, seen } = instance(server, {
      onPause: (ms) => {
        waitedMs += ms;
      },
    });
    expect((await get()).outcome).toBe("miss");
    expect(seen.made).toBe(1);
    expect(waitedMs).toBeGreaterThanOrEqual(4_000);
    expect(waitedMs).toBeLessThan(4_100);
  });

  test("a clock that is put back ends the wait", async () => {
    const server = await realServer();
    await server.admin.set(LOCK, "for ever");
    const a = instance(server, {
      onPause: () => {
        a.clock.now -= 3_600_000;
      },
    });
    expect((await a.get()).outcome).toBe("miss");
  });

  test("one whose lock another has had since does not put its credential over the newer", async () => {
    const server = await realServer();
    const [a, b] = [instance(server), instance(server)];
    const late = gate<Credential>();
    const making = a.get("key", HOUR, () => late.passed);
    while ((await server.admin.exists(LOCK)) === 0);
    await server.admin.del(LOCK);
    const newer = await b.get();
    late.open(credential());
    expect((await making).credential).toEqual(await late.passed);
    expect((await instance(server).get()).credential).toEqual(newer.credential);
  });

  test("the same while the other still makes its own: the other's stays in the end, and its lock is not taken away", async () => {
    const server = await realServer();
    const [a, b] = [instance(server), instance(server)];
    const [late, newer] = [gate<Credential>(), gate<Credential>()];
    const first = a.get("key", HOUR, () => late.passed);
    while ((await server.admin.exists(LOCK)) === 0);
    await server.admin.del(LOCK);
    const second = b.get("key", HOUR, () => newer.passed);
    while ((await server.admin.exists(LOCK)) === 0);
    late.open(credential());
    await first;
    expect(await server.admin.exists(LOCK)).toBe(1);
    newer.open(credential());
    await second;
    expect((await instance(server).get()).credential).toEqual(await newer.passed);
  });

  test("Redis drops it before it ends, and shows nothing of it", async () => {
    const server = await realServer();
    const { get } = instance(server);
    const { credential: made } = await get("key", HOUR);
    const [held, ...others] = await server.dump();
    expect(others).toEqual([]);
    expect(held?.key).toBe(VALUE);
    expect(held?.livesMs).toBeLessThanOrEqual(made.expiresAt.getTime() - Date.now());
    expect(held?.livesMs).toBeGreaterThan(3_590_000);
    const text = JSON.stringify([held, await server.admin.call("SLOWLOG", "GET", "-1")]);
    const bytes = Buffer.from(held?.fields["text"]?.split(":")[1] ?? "", "base64url").toString("latin1");
    for (const secret of [made.password, made.username, made.fingerprint]) {
      expect(text.includes(secret) || bytes.includes(secret), secret).toBe(false);
    }
  });
});

describe.skipIf(!here)("keys that are replaced", () => {
  test("new ones first and old ones behind: what the old one sealed is found, and lies under the new one from then on", async () => {
    const server = await realServer();
    const { credential: made } = await instance(server, { seals: [OLD] }).get();
    const both = instance(server, { seals: [OURS, OLD] });
    expect(await both.get()).toEqual({ credential: made, outcome: "shared_hit" });
    expect(await instance(server, { seals: [OURS] }).get()).toEqual({ credential: made, outcome: "shared_hit" });
    expect(both.seen).toEqual({ odd: 0, made: 0, told: [] });
  });

  test("an instance that knows the new key already, and seals with the old one, finds what the others seal with the new one", async () => {
    const server = await realServer();
    const { credential: made } = await instance(server, { seals: [OURS, OLD] }).get();
    expect((await instance(server, { seals: [OLD, OURS] }).get()).credential).toEqual(made);
  });

  test("what was sealed with a key that is gone is not found", async () => {
    const server = await realServer();
    await instance(server, { seals: [OLD] }).get();
    const { get, seen } = instance(server, { seals: [OURS] });
    expect((await get()).outcome).toBe("miss");
    expect(seen.odd).toBe(0);
  });
});

describe.skipIf(!here)("somebody who writes into Redis", () => {
  const FENCE = "1";
  const put = (server: RedisServer, sealed: string | Buffer) => server.admin.set(VALUE, `${FENCE}:${sealed}`);
  const closed = (value: unknown, by = OURS, subject = "key") => by.close(JSON.stringify(value), subject);

  test("can put back an older credential of the same rights and caller, while it lives", async () => {
    const server = await realServer();
    const a = instance(server);
    const { credential: older } = await a.get();
    const copy = String(await server.admin.get(VALUE));
    await a.get("key", { ...HOUR, minTtlSeconds: 3_601 });
    expect(a.seen.made).toBe(2);
    await server.admin.set(VALUE, copy);
    const b = instance(server);
    expect(await b.get()).toEqual({ credential: older, outcome: "shared_hit" });
    b.clock.now = older.expiresAt.getTime();
    expect((await b.get("key", { ...HOUR, minTtlSeconds: 0 })).outcome).toBe("miss");
  });

  test("can delete one, and it is made anew", async () => {
    const server = await realServer();
    await instance(server).get();
    await server.admin.flushall();
    expect((await instance(server).get()).outcome).toBe("miss");
  });

  test("cannot put what was made for one thing in the place of another", async () => {
    const server = await realServer();
    const a = instance(server);
    await Promise.all([a.get("key"), a.get("wider")]);
    const wider = `test:credential:{${OURS.name("wider")}}`;
    const [one, two] = await server.admin.mget(VALUE, wider);
    await server.admin.mset(VALUE, String(two), wider, String(one));
    const b = instance(server);
    expect([(await b.get("key")).outcome, (await b.get("wider")).outcome]).toEqual(["miss", "miss"]);
    expect(b.seen).toMatchObject({ odd: 2, made: 2, told: [] });
  });

  const whole = closed(credential());
  const bytes = Buffer.from(whole, "base64url");
  const turned = Buffer.from(bytes);
  turned[40] = (turned[40] as number) ^ 1;
  const otherHead = Buffer.from(closed(credential(), OLD), "base64url").subarray(0, 5);
  const tooLong = credential({ seconds: 3_600 + 600 });
  test.each<[string, string]>([
    ["with a bit turned", turned.toString("base64url")],
    ["cut", whole.slice(0, -4)],
    ["of nothing but a head", bytes.subarray(0, 5).toString("base64url")],
    ["with another key's id", Buffer.concat([otherHead, bytes.subarray(5)]).toString("base64url")],
    ["sealed with another key", closed(credential(), OLD)],
    ["empty", ""],
    ["in the clear", Buffer.from(JSON.stringify(credential())).toString("base64url")],
  ])("cannot pass off one %s", async (_what, sealed) => {
    const server = await realServer();
    await put(server, sealed);
    const { get, seen } = instance(server);
    expect((await get()).outcome).toBe("miss");
    expect(seen).toEqual({ odd: 1, made: 1, told: [] });
    // What was odd has been replaced.
    expect((await instance(server).get()).outcome).toBe("shared_hit");
  });

  test.each<[string, unknown]>([
    ["whose password is another than its fingerprint says", { ...credential(), fingerprint: fingerprintOf("other") }],
    ["that lives longer than these rights may", tooLong],
    ["without a user", { ...credential(), username: "" }],
    ["without a password", { ...credential(), password: undefined }],
    ["whose password is no text", { ...credential(), password: 7 }],
    ["without request ids", { ...credential(), upstreamRequestIds: undefined }],
    ["that ends at no time", { ...credential(), expiresAt: "soon" }],
    ["that was issued at no time", { ...credential(), issuedAt: null }],
    ["that ended before it was issued", credential({ seconds: -1 })],
    ["that is a list", []],
    ["that is nothing", null],
  ])("even with the key cannot pass off one %s", async (_what, value) => {
    const server = await realServer();
    await put(server, closed(value));
    const { get, seen } = instance(server);
    expect((await get()).outcome).toBe("miss");
    expect(seen).toEqual({ odd: 1, made: 1, told: [] });
  });

  test.each<[string, (server: RedisServer) => Promise<unknown>]>([
    ["far too large, which is not even fetched", (server) => put(server, "A".repeat(40_000))],
    ["without a fence", (server) => server.admin.set(VALUE, "noise")],
    ["of another kind", (server) => server.admin.hset(VALUE, "a", "b")],
    ["that is a list", (server) => server.admin.lpush(VALUE, "b")],
  ])("cannot stop sharing with a value %s", async (_what, write) => {
    const server = await realServer();
    await write(server);
    const { get, seen } = instance(server);
    expect((await get()).outcome).toBe("miss");
    expect(seen).toEqual({ odd: 0, made: 1, told: [] });
    expect((await instance(server).get()).outcome).toBe("shared_hit");
  });

  test("nor with a fence that no clock reaches", async () => {
    const server = await realServer();
    await server.admin.set(VALUE, `${"9".repeat(30)}:noise`);
    expect((await instance(server).get()).outcome).toBe("miss");
    expect((await instance(server).get()).outcome).toBe("shared_hit");
  });

  test("nor with a lock of another kind that ends", async () => {
    const server = await realServer();
    await server.admin.hset(LOCK, "a", "b");
    const { get, seen } = instance(server, { onPause: () => server.admin.del(LOCK) });
    expect((await get()).outcome).toBe("miss");
    expect(seen.told).toEqual([]);
  });

  test("who changes the value with every look keeps nobody longer than the wait", async () => {
    const server = await realServer();
    let fence = 1;
    const a = instance(server);
    const { redis } = a;
    const run = redis.run;
    redis.run = async (...asked) => {
      await server.admin.set(VALUE, `${fence++}:noise`);
      a.clock.now += 10;
      return run(...asked);
    };
    expect((await a.get()).outcome).toBe("miss");
    expect(fence).toBeLessThan(450);
  });
});

describe.skipIf(!here)("when Redis fails each makes its own", () => {
  test.each<[string, string[], (server: RedisServer) => unknown, Options?]>([
    ["killed", [], (server) => server.kill()],
    ["a read-only replica", ["replicaof 127.0.0.1 1", "replica-serve-stale-data yes"], () => {}],
    ["full", ["maxmemory 1", "maxmemory-policy noeviction"], () => {}],
    ["wants a password", ["requirepass other"], () => {}],
    ["knows another password", ["user broker on >other ~* +@all"], () => {}, USER],
    ["does not let the user", [`user broker on >${PASSWORD} ~test:* +ping +eval`], () => {}, USER],
  ])("%s", async (_what, config, fail, options) => {
    const server = await realServer(...config);
    const { get, seen } = instance(server, options);
    await fail(server);
    expect([(await get()).outcome, (await get()).outcome]).toEqual(["miss", "miss"]);
    expect(seen).toMatchObject({ odd: 0, made: 2, told: [expect.any(String)] });
  });

  test("frozen before, or while one is made, or while another is waited for: nobody waits for long", async () => {
    const server = await realServer();
    const inEarnest = async (more: Options = {}) => {
      const made = instance(server, { ...more, limitMs: 50 });
      // Connected, or that would be what is waited for.
      while ((await made.redis.run("return 1", ["test:key"], [])) === "unavailable") made.clock.now += 1_000;
      return made;
    };
    const begun = performance.now();

    const before = await inEarnest();
    server.freeze();
    expect((await before.get()).outcome).toBe("miss");
    server.thaw();

    const meanwhile = await inEarnest();
    const making = meanwhile.get("meanwhile", HOUR, async () => {
      server.freeze();
      return meanwhile.make();
    });
    expect((await making).outcome).toBe("miss");
    server.thaw();

    await server.admin.set(LOCK, "another's");
    const waiting = await inEarnest({ onPause: () => server.freeze() });
    expect((await waiting.get()).outcome).toBe("miss");
    expect([before, meanwhile, waiting].map(({ seen }) => seen.made)).toEqual([1, 1, 1]);
    server.thaw();
    // Three times 50 ms, and what a busy machine needs for the rest.
    expect(performance.now() - begun).toBeLessThan(2_000);
  });

  test("killed while one is made: it is handed out all the same", async () => {
    const server = await realServer();
    const { get, make } = instance(server);
    const made = get("key", HOUR, async () => {
      await server.kill();
      return make();
    });
    expect((await made).outcome).toBe("miss");
  });

  test("killed while another is waited for: it is made at once", async () => {
    const server = await realServer();
    await server.admin.set(LOCK, "another's");
    let pauses = 0;
    const { get } = instance(server, {
      onPause: () => {
        pauses++;
        return server.kill();
      },
    });
    expect((await get()).outcome).toBe("miss");
    expect(pauses).toBe(1);
  });
});

test.skipIf(!here)("a user of Redis with the documented rights and no others is enough", async () => {
  const [, documented = ""] =
    /ACL SETUSER broker on >PASSWORD ~acr-token-broker:\* (.*)/.exec(
      readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8"),
    ) ?? [];
  const server = await realServer(`user broker on >${PASSWORD} ~test:* ${documented}`);
  const a = instance(server, USER);
  await a.get();
  expect((await instance(server, USER).get()).outcome).toBe("shared_hit");
  await expect(a.get("fails", HOUR, () => Promise.reject(new Error("refused")))).rejects.toThrow("refused");
  expect(a.seen.told).toEqual([]);
});
