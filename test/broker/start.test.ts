/** The built bundle as a process: starts, serves, stops in order, and does not start on a bad policy. */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile, readCompiled } from "../../shared/config/compiled.ts";
import { loadConfig, parseConfig } from "../../shared/config/load.ts";
import { startCollector } from "../collector.ts";
import { haveTools } from "../e2e/tools.ts";
import { DIST, FUNCTION_ROLE, jobClaims, sandboxPolicy, startBrokerProcess } from "../sandbox/broker-process.ts";
import { type Cloud, startCloud } from "../sandbox/cloud.ts";
import { type Issuer, startIssuer } from "../sandbox/issuer.ts";
import { startRedisServer } from "../store/redis-server.ts";
import { read } from "./harness.ts";

let cloud: Cloud;
let issuer: Issuer;
beforeAll(async () => {
  [cloud, issuer] = await Promise.all([startCloud(), startIssuer()]);
});
afterAll(() => Promise.all([cloud.close(), issuer.close()]));

const policy = () => sandboxPolicy({ cloudUrl: cloud.url, issuerUrl: issuer.url, registryHost: cloud.host });
const start = (text = policy(), node?: string) =>
  startBrokerProcess({
    policy: text,
    keys: cloud.functionRoleKeys(FUNCTION_ROLE),
    ...(node === undefined ? {} : { node }),
  });

/** Left out: so long that nothing remembered serves. */
async function ask(url: string, given?: string, minTtl = "1800"): Promise<Response> {
  const token = given ?? (await issuer.mint(jobClaims("main")));
  return fetch(`${url}/v1/token`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, connection: "close" },
    body: new URLSearchParams({ scope: "repository:web/app:pull", min_ttl: minTtl }),
  });
}

/** `node` from npm, installed by `npm run nodes`. */
const others = ["22", "24"].map((version) => ({
  version,
  path: fileURLToPath(new URL(`../../.nodes/node_modules/node-${version}/bin/node`, import.meta.url)),
}));

describe("the bundle", () => {
  test("issues under the Node that runs the tests", async () => {
    const broker = await start();
    expect((await ask(broker.url)).status).toBe(200);
    expect(await broker.stop()).toBe(0);
  });

  for (const { version, path } of others) {
    const missing = !existsSync(path);
    if (missing && process.env["CI"] !== "true") {
      process.stderr.write(`SKIPPED: the bundle under Node ${version}; to run it: npm run nodes\n`);
    }
    test.skipIf(missing && process.env["CI"] !== "true")(`issues under Node ${version}`, async () => {
      const broker = await start(policy(), path);
      expect(await (await fetch(`${broker.url}/version`)).json()).toMatchObject({
        node: expect.stringMatching(`^v${version}\\.`),
      });
      expect((await ask(broker.url)).status).toBe(200);
      expect(await broker.stop()).toBe(0);
    });
  }
});

describe("stopping", () => {
  test("answers what is under way, then ends", async () => {
    const broker = await start();
    await ask(broker.url); // the SDK is loaded
    cloud.failNext("AssumeRole", { delayMs: 300 });
    const calls = cloud.calls.length;
    const under = ask(broker.url);
    await waitFor(() => broker.output().includes('"started"') && cloud.calls.length > calls);
    const ended = broker.stop("SIGTERM");
    expect((await under).status).toBe(200);
    expect(await ended).toBe(0);
    expect(broker.output()).toContain('"event":"stopped"');
  });

  test("does not wait for connections that never asked for anything", async () => {
    const broker = await start();
    const { hostname, port } = new URL(broker.url);
    const silent = connect(Number(port), hostname);
    const halfway = connect(Number(port), hostname, () => halfway.write("GET /healthz HT"));
    for (const socket of [silent, halfway]) socket.on("error", () => {});
    await Promise.all([once(silent, "connect"), once(halfway, "connect")]);
    await ask(broker.url);
    const closed = Promise.all([once(silent, "close"), once(halfway, "close")]);
    expect(await broker.stop()).toBe(0);
    await closed;
    expect(broker.output()).toContain("all requests were answered");
  }, 8_000);

  test("the function role's expired keys end the process, so that a fresh one takes over", async () => {
    const broker = await start();
    cloud.failNext("AssumeRole", { status: 400, code: "InvalidSecurityToken.Expired" });
    expect((await ask(broker.url)).status).toBe(503);
    expect(await broker.stop("SIGCONT")).toBe(1); // it ends by itself; the signal does nothing
  });
});

describe("traces", () => {
  const withTraces = (url: string) => `${policy()}tracing: { endpoint: "${url}", ratio: 1 }\n`;

  test("what waits is sent before the process ends, and a collector that hangs does not keep it", async () => {
    for (const status of [200, "hang"] as const) {
      const collector = await startCollector(status);
      const broker = await start(withTraces(collector.url));
      expect((await ask(broker.url)).status).toBe(200);
      expect(await broker.stop()).toBe(0);
      expect(collector.spans().map(({ name }) => name)).toEqual(
        expect.arrayContaining(["POST /v1/token", "identify", "decide", "AssumeRole", "GetAuthorizationToken"]),
      );
      await collector.close();
    }
  });

  test("what they need is not so much as looked for without them, and where it is missing the broker serves", async () => {
    const code = mkdtempSync(join(tmpdir(), "without-otel-"));
    cpSync(DIST, code, { recursive: true });
    rmSync(join(code, "otel.cjs"));
    for (const [text, told] of [
      [policy(), false],
      [withTraces("http://127.0.0.1:1/v1/traces"), true],
    ] as const) {
      const broker = await startBrokerProcess({ policy: text, keys: cloud.functionRoleKeys(FUNCTION_ROLE), code });
      expect((await ask(broker.url)).status).toBe(200);
      expect(await broker.stop()).toBe(0);
      expect(broker.output().includes("nothing is traced")).toBe(told);
    }
    rmSync(code, { recursive: true });
  });

  test("a header that the environment does not have stops the start", async () => {
    const text = withTraces("http://127.0.0.1:1/v1/traces").replace("ratio: 1", "headers_env: { authorization: NONE }");
    await expect(start(text)).rejects.toThrow("tracing.headers_env.authorization names is not set");
  });
});

describe.skipIf(!haveTools(["redis-server"]))("with Redis", () => {
  test("two of them serve a token once and one credential to both, and nothing of Redis keeps one alive", async () => {
    const redis = await startRedisServer(["requirepass canary-of-the-bundle"]);
    const key = randomBytes(32).toString("base64");
    const shared = () =>
      startBrokerProcess({
        policy: `${policy()}redis: { host: 127.0.0.1, port: ${redis.port}, tls: false, password_env: REDIS_PASSWORD, credentials: { key_env: [CACHE_KEY] } }\n`,
        keys: cloud.functionRoleKeys(FUNCTION_ROLE),
        environment: { REDIS_PASSWORD: "canary-of-the-bundle", CACHE_KEY: key },
      });
    const [a, b] = await Promise.all([shared(), shared()]);
    // Both are connected before anything is asked.
    await Promise.all([a, b].map(({ url }) => fetch(`${url}/initialize`, { method: "POST" })));
    const token = await issuer.mint(jobClaims("main"));
    const issued = await read(await ask(a.url, token));
    expect(issued.password).toMatch(/./);
    expect(await read(await ask(b.url, token))).toMatchObject({ code: "token_replayed" });
    expect((await read(await ask(b.url, undefined, "900"))).token_fingerprint).toBe(issued.token_fingerprint);
    redis.freeze();
    expect(await Promise.all([a.stop(), b.stop()])).toEqual([0, 0]);
    for (const secret of ["canary-of-the-bundle", key]) expect(a.output() + b.output()).not.toContain(secret);
    await redis.close();
  });
});

describe("not starting", () => {
  test("on a bad policy: file, line, column and what to write", async () => {
    const text = policy().replace("max_ttl: 1800", "max_ttl: 60");
    await expect(start(text)).rejects.toThrow(/ended with 1:\n.*broker\.yaml:16:\d+: grants\.web-main\.max_ttl: .*900/);
  });

  test.each<[string, Record<string, string>]>([
    ["missing", {}],
    ["empty", { REDIS_PASSWORD: "" }],
  ])("on a password of Redis that is %s", async (_what, environment) => {
    const without = startBrokerProcess({
      policy: `${policy()}redis: { host: 127.0.0.1, password_env: REDIS_PASSWORD }\n`,
      keys: cloud.functionRoleKeys(FUNCTION_ROLE),
      environment,
    });
    await expect(without).rejects.toThrow(/ended with 1:\n.*redis\.password_env names is not set, or empty; set it/);
  });

  const [good, other] = [7, 8].map((byte) => Buffer.alloc(32, byte).toString("base64")) as [string, string];
  test.each<[string, Record<string, string>, string]>([
    [
      "missing",
      { KEY_OLD: good },
      "key_env[0] names is not set, or empty; set it to what openssl rand -base64 32 prints",
    ],
    ["empty", { KEY: good, KEY_OLD: "" }, "key_env[1] names is not set, or empty"],
    [
      "too short",
      { KEY: "canaryShort", KEY_OLD: good },
      "key_env[0] names does not hold 32 bytes in base64; set it to",
    ],
    ["with a line end", { KEY: `${good}\n`, KEY_OLD: other }, "key_env[0] names does not hold 32 bytes in base64"],
    ["not canonical", { KEY: good, KEY_OLD: other.replace(/.=$/, "h=") }, "key_env[1] names does not hold 32 bytes"],
    [
      "the same twice",
      { KEY: good, KEY_OLD: good },
      "key_env[1] names holds the same key as that of [0]; make another",
    ],
    ["the password", { KEY: good, KEY_OLD: other, PASSWORD: other }, "key_env[1] names holds the password of Redis"],
  ])("on a key for credentials that is %s, and neither says what it is nor where", async (_what, environment, says) => {
    const without = startBrokerProcess({
      policy: `${policy()}redis: { host: 127.0.0.1, password_env: PASSWORD, credentials: { key_env: [KEY, KEY_OLD] } }\n`,
      keys: cloud.functionRoleKeys(FUNCTION_ROLE),
      environment: { PASSWORD: "canary-of-redis", ...environment },
    });
    const why = String(await without.catch((error: Error) => error.message));
    expect(why).toContain("ended with 1:\n");
    expect(why).toContain(says);
    expect([...Object.values(environment), "KEY_OLD"].filter((secret) => secret && why.includes(secret))).toEqual([]);
  });

  test("on a port that is taken, also where Redis was to be asked", async () => {
    const port = Number(new URL(cloud.url).port);
    const text = `${policy()}redis: { host: 127.0.0.1, port: ${port}, tls: false }\n`;
    const taken = startBrokerProcess({ policy: text, keys: cloud.functionRoleKeys(FUNCTION_ROLE), port });
    await expect(taken).rejects.toThrow(/cannot listen on 127.0.0.1:\d+: EADDRINUSE/);
  });
});

describe("the compiled policy beside the code", () => {
  test("is what the build's own policy loads as", () => {
    const { loader } = headerOf(join(DIST, "broker.compiled.json"));
    const built = readCompiled(join(DIST, "broker.compiled.json"), join(DIST, "broker.yaml"), loader);
    expect(built).toStrictEqual(loadConfig(join(DIST, "broker.yaml")));
  });

  /** Starts a copy of the code with a compiled policy of another digest beside it; the digest that it shows. */
  async function digestWith(
    text: string,
    compiledBy: (loader: string) => string = (loader) => loader,
  ): Promise<string> {
    const code = mkdtempSync(join(tmpdir(), "compiled-"));
    cpSync(DIST, code, { recursive: true });
    const config = parseConfig(text, { file: "broker.yaml", readFile: () => "" });
    const loader = compiledBy(headerOf(join(DIST, "broker.compiled.json")).loader);
    const sources = [{ name: "broker.yaml", bytes: Buffer.from(text) }];
    writeFileSync(join(code, "broker.compiled.json"), compile({ ...config, digest: "planted" }, sources, loader));
    const broker = await startBrokerProcess({ policy: policy(), keys: cloud.functionRoleKeys(FUNCTION_ROLE), code });
    const { policy_digest: digest } = (await (await fetch(`${broker.url}/version`)).json()) as {
      policy_digest: string;
    };
    await broker.stop();
    rmSync(code, { recursive: true });
    return digest;
  }

  test("is the policy, where it was made of the very same file", async () => {
    expect(await digestWith(policy())).toBe("planted");
  });

  test("is nothing, where the file has another byte or another build made it", async () => {
    expect(await digestWith(`${policy()}\n`)).toMatch(/^sha256:/);
    expect(await digestWith(policy(), (loader) => `${loader}0`)).toMatch(/^sha256:/);
  });
});

function headerOf(compiled: string): { loader: string } {
  return JSON.parse(readFileSync(compiled, "utf8").split("\n")[0] as string);
}

async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
