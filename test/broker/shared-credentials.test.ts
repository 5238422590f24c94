/** Brokers that share a Redis share credentials: counted by what the stand-in cloud is asked. */

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { plantCanaries } from "../canaries.ts";
import { haveTools } from "../e2e/tools.ts";
import { type RedisServer, startRedisServer } from "../store/redis-server.ts";
import { type Harness, type HarnessOptions, policy, read, startHarness } from "./harness.ts";

const KEY = randomBytes(32).toString("base64");
plantCanaries([KEY]);

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

interface Options {
  readonly server?: RedisServer;
  readonly limitMs?: number;
  readonly settings?: string;
  readonly change?: (policy: string) => string;
  readonly pause?: (ms: number) => Promise<void>;
}

/** Brokers of one cloud, one issuer and one Redis. They wait longer for Redis than in earnest: this machine may be busy. */
async function brokers(count: number, options: Options = {}) {
  const { limitMs = 10_000, settings = "", change = (text) => text, pause = sleep } = options;
  const server = options.server ?? (await startRedisServer());
  opened.push(server);
  const redis = `redis: { host: 127.0.0.1, port: ${server.port}, tls: false, credentials: { key_env: [CACHE_KEY] }${settings} }`;
  const cloud = { aheadMs: 0 };
  const start = async (beside?: Harness, more: (text: string) => string = change) => {
    const harness: HarnessOptions = {
      ...(beside === undefined ? { cloud: { now: () => new Date(Date.now() + cloud.aheadMs) } } : { beside }),
      policy: (...urls) => more(`${policy(...urls)}${redis}\n`),
      environment: (keys) => ({ ...keys, CACHE_KEY: KEY }),
      secrets: [KEY],
      sleep: pause,
      redisLimitMs: limitMs,
    };
    const started = await startHarness(harness);
    opened.push(started);
    return started;
  };
  const first = await start();
  const others = await Promise.all(Array.from({ length: count - 1 }, () => start(first)));
  const all = [first, ...others];
  return {
    server,
    all,
    start: (more?: (text: string) => string) => start(first, more),
    /** For all of them, and the cloud. */
    forward: (ms: number) => {
      for (const clock of [cloud, ...all.map((h) => h.clock)]) clock.aheadMs += ms;
    },
  };
}

const ask = async (h: Harness, fields: object = {}, token?: string) =>
  read(await h.ask({ registry: "prod", scope: ["repository:web/app:pull"], ...fields }, token ?? (await h.mint())));

const calls = (h: Harness) => h.cloud.calls.map(({ api }) => api);
const ONCE = ["AssumeRole", "GetAuthorizationToken"];
const cached = (h: Harness) => h.logged().flatMap(({ event, cache }) => (event === "decision" ? [cache] : []));
const warnings = (h: Harness) => h.logged().flatMap(({ event, message }) => (event === "warning" ? [message] : []));

describe.skipIf(!haveTools(["redis-server"]))("brokers that share credentials", () => {
  test("100 equal requests at once at 10 instances are two calls in all", async () => {
    const { all } = await brokers(10);
    const [first] = all as [Harness];
    await Promise.all(all.map(({ request }) => request("/initialize", { method: "POST" })));
    const tokens = await Promise.all(Array.from({ length: 100 }, () => first.mint()));
    const answers = await Promise.all(tokens.map((token, index) => ask(all[index % 10] as Harness, {}, token)));
    expect(calls(first)).toEqual(ONCE);
    expect(new Set(answers.map(({ password }) => password)).size).toBe(1);
    expect(answers[0]?.password).toMatch(/./);
    const outcomes = all.flatMap(cached);
    expect(outcomes).toHaveLength(100);
    expect(outcomes.filter((outcome) => outcome === "miss")).toHaveLength(1);
    // One flight in each instance; nobody else asked Redis.
    expect(outcomes.filter((outcome) => /^shared/.test(String(outcome)))).toHaveLength(9);
    expect(all.flatMap(warnings)).toEqual([]);
  });

  test("what one made another finds, remembers, and records with the calls that made it", async () => {
    const { all, server } = await brokers(2);
    const [a, b] = all as [Harness, Harness];
    const made = await ask(a);
    expect((await ask(b)).password).toBe(made.password);
    await server.kill();
    expect((await ask(b)).password).toBe(made.password);
    expect([cached(a), cached(b)]).toEqual([["miss"], ["shared_hit", "hit"]]);
    expect(calls(a)).toEqual(ONCE);
    const [at, bt] = [a, b].map((h) => h.logged().find(({ event }) => event === "decision") ?? {});
    for (const field of [
      ...["token_fingerprint", "expires_at", "session_name"],
      ...["assume_role_request_id", "authorization_token_request_id"],
    ]) {
      expect(at?.[field]).toMatch(/./);
      expect(bt?.[field]).toBe(at?.[field]);
    }
  });

  test("min_ttl is for what is found in Redis, too; left out, half of the life is", async () => {
    const { all, forward } = await brokers(3);
    const [a, b, c] = all as [Harness, Harness, Harness];
    const made = await ask(a);
    forward(600_000);
    expect((await ask(b, { min_ttl: 1_100 })).password).toBe(made.password);
    const newer = await ask(b, { min_ttl: 1_300 });
    expect(newer.password).not.toBe(made.password);
    expect((await ask(c)).password).toBe(newer.password);
    expect([cached(b), cached(c)]).toEqual([["shared_hit", "miss"], ["shared_hit"]]);
    expect([a, b, c].flatMap(warnings)).toEqual([]);
  });

  test("of two at once the one that needs more life is not given what is too old for it", async () => {
    const { all, forward } = await brokers(2);
    const [a, b] = all as [Harness, Harness];
    const made = await ask(a);
    forward(600_000);
    const [old, fresh] = await Promise.all([ask(b, { min_ttl: 900 }), ask(b, { min_ttl: 1_500 })]);
    expect(old.expires_in).toBeGreaterThanOrEqual(900);
    expect(fresh.password).not.toBe(made.password);
    expect(fresh.expires_in).toBeGreaterThanOrEqual(1_500);
  });

  test("nothing is shared between callers, or between two policies", async () => {
    const { all, start } = await brokers(2);
    const [a, b] = all as [Harness, Harness];
    const fields = { scope: ["repository:web/sharing:pull"], ttl: 1_800 };
    const mine = await ask(a, fields);
    const theirs = await ask(b, fields, await b.mint({ sub: "sharer" }));
    const changed = await start((text) => text.replace("base-pull:", "base-only:"));
    const later = await ask(changed, fields);
    expect(new Set([mine, theirs, later].map(({ password }) => password)).size).toBe(3);
    expect(calls(a)).toEqual([...ONCE, ...ONCE, ...ONCE]);
    expect([a, b, changed].flatMap(cached)).toEqual(["miss", "miss", "miss"]);
  });

  test("whoever reads Redis learns neither what was issued nor who asked for what; whoever swaps gets nothing", async () => {
    const { all: started, server, start } = await brokers(1);
    const [a] = started as [Harness];
    const answers = [await ask(a), await ask(a, { scope: ["repository:base/app:pull"] })];
    const all = await server.dump();
    // Beside them the turns for AssumeRole.
    const held = all.filter(({ key }) => !key.includes(":assume-role:"));
    expect(held).toHaveLength(2);
    const text = JSON.stringify([all, await server.admin.call("SLOWLOG", "GET", "-1")]);
    const sealed = held.map(({ fields }) => Buffer.from(String(fields["text"]).split(":")[1] ?? "", "base64url"));
    const secrets = answers.flatMap(({ password, username, token_fingerprint }) => [
      ...[password, username, token_fingerprint],
      Buffer.from(password).toString("base64url"),
    ]);
    for (const readable of [...secrets, "job", "web/app", "web-main", "acr-web", "prod", KEY, a.issuer.url]) {
      expect(text.includes(readable) || Buffer.concat(sealed).includes(readable), readable).toBe(false);
    }
    for (const { livesMs } of held) expect(livesMs).toBeLessThan(1_800_000);

    const [one, two] = held as [(typeof held)[number], (typeof held)[number]];
    await server.admin.mset(one.key, String(two.fields["text"]), two.key, String(one.fields["text"]));
    const b = await start();
    const [web, base] = [await ask(b), await ask(b, { scope: ["repository:base/app:pull"] })];
    expect(answers.map(({ password }) => password)).not.toContain(web.password);
    expect(answers.map(({ password }) => password)).not.toContain(base.password);
    expect(cached(b)).toEqual(["miss", "miss"]);
    // Once, however many there are in one minute.
    expect(warnings(b)).toEqual([
      expect.stringMatching(/^credentials were found in Redis that no broker .* \(1 since/),
    ]);
  });

  test("the wait for another is part of the 8 s that a credential may take, and ends where it is another's for too long", async () => {
    const waiting: Harness[] = [];
    let pauseMs = 4_000;
    const { all, server } = await brokers(1, {
      pause: async () => {
        for (const { clock } of waiting) clock.aheadMs += pauseMs;
      },
    });
    const [a] = all as [Harness];
    waiting.push(a);
    /** As if another instance were making one just now. */
    const taken = async (name: string) => {
      await ask(a, { scope: [`repository:web/${name}:pull`] });
      const [held = ""] = await server.admin.keys("*:credential:*");
      await server.admin.flushall();
      await server.admin.set(held.replace(":credential:", ":lock:"), "another's");
      // Out of memory, too.
      return ask(a, { scope: [`repository:web/${name}:pull`], min_ttl: 1_800 });
    };
    expect((await taken("a")).status).toBeUndefined();
    expect(cached(a)).toEqual(["miss", "miss"]);
    const before = calls(a).length;
    pauseMs = 8_000;
    expect(await taken("b")).toMatchObject({ status: 504, code: "upstream_timeout" });
    expect(calls(a).slice(before)).toEqual(ONCE);
  });

  test("a failure of the cloud is not shared: the next asks again, at either", async () => {
    const { all } = await brokers(2);
    const [a, b] = all as [Harness, Harness];
    a.cloud.failNext("AssumeRole", { status: 400, code: "SomethingOdd" });
    expect((await ask(a)).status).toBe(502);
    const made = await ask(b);
    expect((await ask(a)).password).toBe(made.password);
  });
});

describe.skipIf(!haveTools(["redis-server"]))("when Redis fails", () => {
  test.each<[string, (server: RedisServer) => unknown, (server: RedisServer) => unknown]>([
    ["killed", (server) => server.kill(), (server) => server.restart()],
    ["frozen", (server) => server.freeze(), (server) => server.thaw()],
  ])("%s: all are answered, and share again when it is back", async (_what, fail, mend) => {
    const { all, server } = await brokers(2, { limitMs: 500, settings: ", when_unavailable: refuse" });
    const [a, b] = all as [Harness, Harness];
    const before = await ask(a);
    await fail(server);
    expect((await ask(a)).password).toBe(before.password);
    const scope = (name: string) => ({ scope: [`repository:web/${name}:pull`] });
    const answers = await Promise.all([ask(a, scope("x")), ask(a, scope("y")), ask(b, scope("x"))]);
    expect(new Set(answers.map(({ password }) => password)).size).toBe(3);
    expect([...cached(a), ...cached(b)].filter((outcome) => /^shared/.test(String(outcome)))).toEqual([]);
    expect(warnings(a)).toEqual([expect.stringMatching(/, and each instance makes its own credentials$/)]);
    await mend(server);
    const isBack = (h: Harness) => warnings(h).some((message) => /, and credentials are shared$/.test(String(message)));
    for (let count = 0; !isBack(a) || !isBack(b); count++) {
      for (const h of [a, b]) {
        h.clock.aheadMs += 1_000;
        await ask(h, scope(`${h === a ? "a" : "b"}${count}`));
      }
    }
    const made = await ask(a, scope("shared"));
    expect((await ask(b, scope("shared"))).password).toBe(made.password);
  });

  test("frozen in the middle of many requests: none waits for more than it would have without Redis, and a little", async () => {
    const { all, server } = await brokers(2, { limitMs: 50 });
    const [a, b] = all as [Harness, Harness];
    await Promise.all([ask(a), ask(b)]);
    server.freeze();
    const begun = performance.now();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => ask(index % 2 ? a : b, { scope: [`repository:web/f${index}:pull`] })),
    );
    expect(new Set(answers.map(({ password }) => password)).size).toBe(20);
    // One who waited for a lock would take 4 s; the rest is what twenty credentials cost a busy machine.
    expect(performance.now() - begun).toBeLessThan(2_000);
    server.thaw();
  });
});
