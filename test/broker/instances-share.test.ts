/** Two brokers and one real Redis: what one has seen counts at the other, and what is left of that when Redis fails. */

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { plantCanaries } from "../canaries.ts";
import { haveTools } from "../e2e/tools.ts";
import { type RedisServer, startRedisServer } from "../store/redis-server.ts";
import { type Harness, type HarnessOptions, policy, read, startHarness } from "./harness.ts";

const FIELDS = { registry: "prod", scope: ["repository:web/app:pull"] };
const PASSWORD = `canary-${randomBytes(12).toString("hex")}`;
plantCanaries([PASSWORD]);

const [, DOCUMENTED_RIGHTS = ""] =
  /ACL SETUSER broker on >PASSWORD ~acr-token-broker:\* (.*)/.exec(
    readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8"),
  ) ?? [];

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

interface Pair {
  readonly server: RedisServer;
  readonly a: Harness;
  readonly b: Harness;
}

/** Both believe the issuer of the first. They wait longer for Redis than in earnest: this machine may be busy. */
async function pair(options: { replay?: string; settings?: string; limitMs?: number; password?: string } = {}) {
  const { replay = "once", settings = "", limitMs = 10_000, password = PASSWORD } = options;
  const server = await startRedisServer([`user broker on >${PASSWORD} ~acr-token-broker:* ${DOCUMENTED_RIGHTS}`]);
  opened.push(server);
  const start = async (issuer?: string) => {
    const harness: HarnessOptions = {
      policy: (cloud, own) =>
        `${policy(cloud, issuer ?? own).replace(/(ci: \{[^}]*)\}/, `$1, replay: ${replay} }`)}
redis: { host: 127.0.0.1, port: ${server.port}, tls: false, username: broker, password_env: REDIS_PASSWORD${settings} }
`,
      environment: (keys) => ({ ...keys, REDIS_PASSWORD: password }),
      secrets: [PASSWORD, password],
      redisLimitMs: limitMs,
    };
    const started = await startHarness(harness);
    opened.push(started);
    return started;
  };
  const a = await start();
  return { server, a, b: await start(a.issuer.url) } satisfies Pair;
}

async function status(h: Harness, token: string, name = "app"): Promise<number> {
  return (await h.ask({ registry: "prod", scope: [`repository:web/${name}:pull`] }, token)).status;
}

/** The uses of tokens that it has; beside the turns to ask STS. */
const marks = async (server: RedisServer) => (await server.dump()).filter(({ key }) => /:replay:/.test(key));
const warnings = (h: Harness) => h.logged().filter(({ event }) => event === "warning");

describe.skipIf(!haveTools(["redis-server"]))("two brokers that share a Redis", () => {
  test("once: a token that one took is replayed at the other", async () => {
    const { a, b } = await pair();
    const token = await a.mint();
    expect(await status(a, token)).toBe(200);
    expect(await read(await b.ask(FIELDS, token))).toMatchObject({ status: 401, code: "token_replayed" });
    expect(await status(b, await a.mint())).toBe(200);
    expect([...warnings(a), ...warnings(b)]).toEqual([]);
  });

  test("once: of 20 requests at once, half of them at each, one is served", async () => {
    const { a, b } = await pair();
    const token = await a.mint();
    const statuses = await Promise.all(Array.from({ length: 20 }, (_, index) => status(index % 2 ? a : b, token)));
    expect(statuses.sort()).toEqual([200, ...Array<number>(19).fill(401)]);
  });

  test("once: where nothing was issued the token is good again, at either", async () => {
    const { a, b } = await pair();
    const token = await a.mint();
    a.cloud.failNext("AssumeRole", { status: 400, code: "SomethingOdd" });
    expect([await status(a, token), await status(b, token), await status(a, token)]).toEqual([502, 200, 401]);
  });

  test("bind: what one was asked for is what the other gives", async () => {
    const { a, b } = await pair({ replay: "bind" });
    const token = await a.mint();
    expect(await status(a, token, "a")).toBe(200);
    expect([await status(b, token, "b"), await status(b, token, "a"), await status(a, token, "a")]).toEqual([
      401, 200, 200,
    ]);
  });

  test("count: so many times over both", async () => {
    const { a, b } = await pair({ replay: "{ count: 3 }" });
    const token = await a.mint();
    const answers = [];
    for (const h of [a, b, a, b, a]) answers.push(await status(h, token));
    expect(answers).toEqual([200, 200, 200, 401, 401]);
  });

  test("off: Redis is not asked", async () => {
    const { a, b, server } = await pair({ replay: "off" });
    const token = await a.mint();
    expect([await status(a, token), await status(b, token)]).toEqual([200, 200]);
    expect(await marks(server)).toEqual([]);
  });

  test("what stands in Redis ends with the token, and names neither token, caller nor repository", async () => {
    const { a, server } = await pair();
    const expires = Math.floor(Date.now() / 1000) + 120;
    await status(a, await a.mint({ jti: "canary-jti-98127", exp: expires }));
    const held = await marks(server);
    expect(held).toHaveLength(1);
    // 60 s: the clock skew that is forgiven, in which the token is still taken.
    const [lives = 0] = held.map(({ livesMs }) => livesMs);
    expect(lives).toBeGreaterThan(expires * 1000 + 60_000 - Date.now());
    expect(lives).toBeLessThanOrEqual(expires * 1000 + 66_000 - Date.now());
    const text = JSON.stringify([held, await server.admin.call("SLOWLOG", "GET", "-1")]);
    for (const readable of ["canary-jti", "job", "web/app", "127.0.0.1", PASSWORD, a.issuer.url]) {
      expect(text.includes(readable), readable).toBe(false);
    }
  });
});

describe.skipIf(!haveTools(["redis-server"]))("when Redis fails", () => {
  /** Asks both with fresh tokens, a second apart by their clocks, until Redis counts for both again. */
  async function untilBack({ a, b }: Pair): Promise<void> {
    const isBack = (h: Harness) => warnings(h).some(({ message }) => /answers again/.test(String(message)));
    while (!isBack(a) || !isBack(b)) {
      for (const h of [a, b]) h.clock.aheadMs += 1_000;
      for (const h of [a, b]) await status(h, await a.mint());
    }
  }

  test.each<[string, number, (server: RedisServer) => unknown, (server: RedisServer) => unknown]>([
    ["killed", 10_000, (server) => server.kill(), (server) => server.restart()],
    ["frozen", 500, (server) => server.freeze(), (server) => server.thaw()],
  ])(
    "%s: each goes on with what it remembers, and they share again when it is back",
    async (_, limitMs, fail, mend) => {
      const both = await pair({ limitMs });
      const { a, b, server } = both;
      const before = await a.mint();
      expect(await status(a, before)).toBe(200);
      await fail(server);
      const token = await a.mint();
      // The price: each takes it once.
      expect([await status(a, before), await status(a, token), await status(a, token)]).toEqual([401, 200, 401]);
      expect([await status(b, token), await status(b, token)]).toEqual([200, 401]);
      expect((await a.request("/readyz")).status).toBe(200);
      await mend(server);
      await untilBack(both);
      expect(warnings(a).map(({ message }) => message)).toEqual([
        expect.stringMatching(
          /^Redis is unavailable \(.+\): until it answers, each instance counts the uses of a token for itself$/,
        ),
        "Redis answers again: uses of tokens count over all instances",
      ]);
      const fresh = await a.mint();
      expect([await status(a, fresh), await status(b, fresh)]).toEqual([200, 401]);
    },
  );

  test("with when_unavailable: refuse, what cannot be counted is refused, and all else goes on", async () => {
    const { a, server } = await pair({ settings: ", when_unavailable: refuse" });
    await server.kill();
    const token = await a.mint();
    const refused = await a.ask(FIELDS, token);
    expect(await read(refused)).toMatchObject({ status: 503, code: "not_ready" });
    expect(refused.headers.get("retry-after")).toBe("2");
    expect((await a.request("/readyz")).status).toBe(200);
    expect(warnings(a)).toMatchObject([
      { message: expect.stringContaining("tokens whose uses are counted are refused") },
    ]);
    await server.restart();
    a.clock.aheadMs += 1_000;
    // The refused token was not used up.
    expect([await status(a, token), await status(a, token)]).toEqual([200, 401]);
  });

  test("frozen, with when_unavailable: refuse, refuses until it is back", async () => {
    const { a, server } = await pair({ settings: ", when_unavailable: refuse", limitMs: 500 });
    server.freeze();
    expect([await status(a, await a.mint()), await status(a, await a.mint())]).toEqual([503, 503]);
    server.thaw();
    let token: string;
    do {
      a.clock.aheadMs += 1_000;
      token = await a.mint();
    } while ((await status(a, token)) === 503);
    expect(await status(a, token)).toBe(401);
  });

  test("with the wrong password: goes on by itself, and neither password is told", async () => {
    const { a } = await pair({ password: "canary-wrong-one-5512" });
    expect(await status(a, await a.mint())).toBe(200);
    expect(warnings(a)).toMatchObject([{ message: expect.stringContaining("the user or the password is wrong") }]);
  });
});
