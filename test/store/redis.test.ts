/** The connection to Redis against a real server, and against everything that is none. */

import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { RedisSettings } from "../../shared/config/config.ts";
import { type SharedRedis, sharedRedis } from "../../shared/store/redis.ts";
import { haveTools } from "../e2e/tools.ts";
import { freePort, startRedisServer } from "./redis-server.ts";

const PASSWORD = "canary-password-of-redis-47c1";
const ECHO = "return ARGV[1]";
const SET = "redis.call('SET', KEYS[1], ARGV[1]) return 1";

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const one of opened.splice(0).reverse()) await one.close();
});

/** Its clock stands still until it is moved. Unless `inEarnest` it waits long: this machine may be busy. */
function connection(port: number, more: Partial<RedisSettings & { password: string; inEarnest: boolean }> = {}) {
  const clock = { now: 0 };
  const told: string[] = [];
  const { password, inEarnest = false, ...settings } = more;
  const redis: SharedRedis = sharedRedis({
    settings: { host: "127.0.0.1", port, tls: false, keyPrefix: "test", whenUnavailable: "memory", ...settings },
    password,
    now: () => new Date(clock.now),
    onAvailability: (state) => told.push(state.available ? "available" : state.why),
    ...(inEarnest ? {} : { limitMs: 5_000 }),
  });
  opened.push(redis);
  return { redis, told, clock, echo: async (text = "hello") => redis.run(ECHO, ["test:key"], [text]) };
}

async function realServer(...config: string[]) {
  const server = await startRedisServer(config);
  opened.push(server);
  return server;
}

/** Something that listens and is no Redis. */
async function impostor(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  opened.push({
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  return (server.address() as AddressInfo).port;
}

const here = haveTools(["redis-server"]);

describe.skipIf(!here)("a real Redis", () => {
  test("answers, and nothing is said of it", async () => {
    const { echo, told } = connection((await realServer()).port);
    expect(await Promise.all([echo("a"), echo("b")])).toEqual([{ reply: "a" }, { reply: "b" }]);
    expect(told).toEqual([]);
  });

  test("that closes idle connections is asked again over a new one", async () => {
    const server = await realServer();
    const sockets: Socket[] = [];
    const port = await impostor((socket) => {
      sockets.push(socket);
      const onward = connect(server.port, "127.0.0.1").on("error", () => {});
      socket.pipe(onward).pipe(socket);
    });
    const { echo, told } = connection(port);
    await echo();
    const [idle] = sockets as [Socket];
    idle.end();
    await once(idle, "close");
    await nextTurn();
    expect(await echo("again")).toEqual({ reply: "again" });
    expect(sockets).toHaveLength(2);
    expect(told).toEqual([]);
  });

  test("killed: unavailable at once, left alone for a second, then tried; both changes are told once", async () => {
    const server = await realServer();
    const { echo, told, clock } = connection(server.port);
    await echo();
    await server.kill();
    expect(await echo()).toBe("unavailable");
    expect(await echo()).toBe("unavailable");
    await server.restart();
    clock.now += 999;
    expect(await echo()).toBe("unavailable");
    clock.now += 1;
    expect(await echo("back")).toEqual({ reply: "back" });
    expect(told).toEqual([expect.stringMatching(/^ECONNREFUSED$|closed the connection/), "available"]);
  });

  test("a clock that is put back makes the pause no longer", async () => {
    const server = await realServer();
    const { echo, clock } = connection(server.port);
    clock.now = 3_600_000;
    await server.kill();
    expect(await echo()).toBe("unavailable");
    await server.restart();
    clock.now = 0;
    expect(await echo("back")).toEqual({ reply: "back" });
  });

  test("frozen: nobody waits longer than the limit, and while one tries it again the others do not wait", async () => {
    const server = await realServer();
    const { redis, echo, told, clock } = connection(server.port, { inEarnest: true });
    await redis.warm();
    server.freeze();
    expect(await Promise.all([echo(), echo(), echo()])).toEqual(["unavailable", "unavailable", "unavailable"]);
    expect(told).toEqual(["no answer within 50 ms"]);
    clock.now += 1_000;
    const finished: string[] = [];
    const trying = echo().then(() => finished.push("the one that tries"));
    await echo().then(() => finished.push("another"));
    await trying;
    expect(finished).toEqual(["another", "the one that tries"]);
    server.thaw();
    while ((await echo("thawed")) === "unavailable") {
      clock.now += 1_000;
      await server.admin.ping();
    }
    expect(told).toEqual(["no answer within 50 ms", "available"]);
  });

  test("with another password than ours: unavailable, and neither password is told", async () => {
    const server = await realServer("user broker on >right-one-8812 ~* +@all");
    const { redis, echo, told } = connection(server.port, { username: "broker", password: PASSWORD });
    await redis.warm();
    expect(await echo()).toBe("unavailable");
    expect(told).toEqual(["the user or the password is wrong"]);
  });

  test("with the right one: answers", async () => {
    const server = await realServer(`user broker on >${PASSWORD} ~test:* +eval +ping`);
    expect(await connection(server.port, { username: "broker", password: PASSWORD }).echo("in")).toEqual({
      reply: "in",
    });
  });

  test.each<[string, string[], string, string]>([
    ["wants a password", ["requirepass other"], ECHO, "it wants a password: name its variable in redis.password_env"],
    [
      "is a replica",
      ["replicaof 127.0.0.1 1", "replica-serve-stale-data yes"],
      SET,
      "it is a replica, and cannot be written to",
    ],
    ["is full", ["maxmemory 1", "maxmemory-policy noeviction"], SET, "its memory is full"],
    [
      "does not let the user",
      ["user default on nopass ~other:* +@all"],
      SET,
      "the user may not run EVAL and the script's commands on keys of redis.key_prefix",
    ],
    ["cannot run the script", [], "this is no Lua", "it closed the connection, or answered what is no answer"],
  ])("that %s: unavailable, told once however often it is asked", async (_what, config, script, why) => {
    const server = await realServer(...config);
    const { redis, told, clock } = connection(server.port);
    for (const _ of [1, 2, 3]) {
      expect(await redis.run(script, ["test:key"], ["x"])).toBe("unavailable");
      clock.now += 1_000;
    }
    expect(told).toEqual([why]);
  });

  test("closed: ends the connection and asks no more", async () => {
    const server = await realServer();
    const { redis, echo, told } = connection(server.port);
    await echo();
    redis.close();
    expect(await echo()).toBe("unavailable");
    await server.deserted();
    expect(told).toEqual([]);
  });
});

describe.skipIf(!haveTools(["redis-server", "openssl"]))("TLS", () => {
  /** For the name `localhost`, vouched for by itself. */
  async function tlsServer() {
    const folder = mkdtempSync(join(tmpdir(), "redis-tls-"));
    opened.push({ close: () => rmSync(folder, { recursive: true }) });
    const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
    execFileSync(
      "openssl",
      [
        ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost".split(" "),
        ...["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
      ],
      { stdio: "ignore" },
    );
    const server = await realServer();
    for (const [name, value] of [
      ["tls-cert-file", certificate],
      ["tls-key-file", key],
      ["tls-ca-cert-file", certificate],
      ["tls-auth-clients", "no"],
    ] as const) {
      await server.admin.config("SET", name, value);
    }
    const port = await freePort();
    await server.admin.config("SET", "tls-port", String(port));
    return { port, pem: readFileSync(certificate, "utf8") };
  }

  test("with the authority that is named, and the host's own name, answers", async () => {
    const { port, pem } = await tlsServer();
    const { echo } = connection(port, { host: "localhost", tls: { ca: { path: "ca.pem", certificates: [pem] } } });
    expect(await echo("safe")).toEqual({ reply: "safe" });
  });

  test("with an authority that nobody named: unavailable", async () => {
    const { port } = await tlsServer();
    const { echo, told } = connection(port, { host: "localhost", tls: {} });
    expect(await echo()).toBe("unavailable");
    expect(told).toEqual(["DEPTH_ZERO_SELF_SIGNED_CERT"]);
  });

  test("with an authority that nobody named, and Node told to believe everybody: unavailable", async () => {
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    const { port } = await tlsServer();
    const { echo, told } = connection(port, { host: "localhost", tls: {} });
    expect(await echo()).toBe("unavailable");
    expect(told).toEqual(["DEPTH_ZERO_SELF_SIGNED_CERT"]);
  });

  test("for another name than the host's: unavailable", async () => {
    const { port, pem } = await tlsServer();
    const { echo, told } = connection(port, {
      host: "127.0.0.1",
      tls: { ca: { path: "ca.pem", certificates: [pem] } },
    });
    expect(await echo()).toBe("unavailable");
    expect(told).toEqual(["ERR_TLS_CERT_ALTNAME_INVALID"]);
  });

  test("wanted where Redis has none: unavailable, and the password is not sent in the clear", async () => {
    const sent: Buffer[] = [];
    const port = await impostor((socket) => socket.on("data", (data) => sent.push(data)).end("-ERR no TLS here\r\n"));
    const { echo } = connection(port, { host: "localhost", tls: {}, password: PASSWORD });
    expect(await echo()).toBe("unavailable");
    expect(Buffer.concat(sent).toString("latin1")).not.toContain(PASSWORD);
  });
});

describe("what is no Redis", () => {
  const NOISE = Buffer.from([0, 255, 1, 254, 13, 10, 36, 45]);
  test.each<[string, (socket: Socket, asked: Buffer) => void]>([
    ["hangs up", (socket) => socket.destroy()],
    ["answers HTTP", (socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")],
    ["answers noise", (socket) => socket.write(NOISE)],
    [
      "answers noise once it is trusted",
      (socket, asked) =>
        socket.write(/auth|ping/i.test(String(asked)) ? "+OK\r\n".repeat(String(asked).split("*").length - 1) : NOISE),
    ],
    ["refuses in words of its own", (socket) => socket.write(`-EVIL ${PASSWORD}\r\n`)],
    ["puts the password behind a code", (socket) => socket.write(`-WRONGPASS ${PASSWORD}\r\n`)],
  ])("%s: unavailable, and nothing that it said is told", async (_what, behave) => {
    const { echo, told } = connection(await impostor((socket) => socket.on("data", (asked) => behave(socket, asked))), {
      password: PASSWORD,
    });
    expect(await echo()).toBe("unavailable");
    expect(told).toHaveLength(1);
    expect(told.join()).not.toContain(PASSWORD);
  });

  test("says nothing at all: nobody waits longer than the limit", async () => {
    const { echo, told } = connection(await impostor(() => {}), { inEarnest: true });
    expect(await Promise.all([echo(), echo()])).toEqual(["unavailable", "unavailable"]);
    expect(told).toEqual(["no answer within 50 ms"]);
  });

  test("a port where nothing listens: unavailable", async () => {
    const { echo, told } = connection(await freePort());
    expect(await echo()).toBe("unavailable");
    expect(told).toEqual(["ECONNREFUSED"]);
  });

  test("a name that leads nowhere: unavailable", async () => {
    const { echo, told } = connection(6379, { host: "redis.invalid" });
    expect(await echo()).toBe("unavailable");
    expect(told).toEqual([expect.stringMatching(/^ENOTFOUND$|^EAI_AGAIN$/)]);
  });
});
