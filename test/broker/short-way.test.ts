/**
 * What was asked before is answered without being decided anew (functions/broker/short-way.ts), and that never shows but in how
 * often something is decided, which is counted here.
 */

import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, test, vi } from "vitest";
import { BrokerError } from "../../shared/error.ts";
import { type Answer, type Harness, type HarnessOptions, policy, read, startHarness } from "./harness.ts";

const decided = vi.hoisted(() => ({ count: 0 }));
vi.mock("../../shared/policy/blocks.ts", async (original) => {
  const blocks = await original<typeof import("../../shared/policy/blocks.ts")>();
  return {
    ...blocks,
    decideUnblocked: (...args: Parameters<typeof blocks.decideUnblocked>) => {
      decided.count++;
      return blocks.decideUnblocked(...args);
    },
  };
});

const FIELDS = { registry: "prod", scope: ["repository:web/app:pull"] };

const opened: Harness[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

/** With a token that is sent each time, and a credential that is kept for it. */
async function start(options: HarnessOptions = {}) {
  const h = await startHarness(options);
  opened.push(h);
  const token = await h.mint({ jti: "sent-again" });
  const ask = async (fields: unknown = FIELDS, headers: Record<string, string> = {}): Promise<Answer> => {
    const response = await h.ask(fields, token, headers);
    return { ...(await read(response)), status: response.status };
  };
  /** Whether an equal question is answered without being decided anew; it must be answered. */
  const isShort = async (...asked: Parameters<typeof ask>): Promise<boolean> => {
    const before = decided.count;
    expect(await ask(...asked)).toMatchObject({ status: 200 });
    return decided.count === before;
  };
  /** From here on the question is known, as the last of these shows. */
  const warm = async (...asked: Parameters<typeof ask>) => {
    for (let count = 0; count < 2; count++) await ask(...asked);
    expect(await isShort(...asked)).toBe(true);
  };
  return { h, token, ask, isShort, warm };
}

/** The issuer of the tokens, with more said of it. */
const withIssuer = (more: string) => (cloud: string, issuer: string) =>
  policy(cloud, issuer).replace(`issuer: "${issuer}" }`, `issuer: "${issuer}", ${more} }`);

const events = (h: Harness, kind: string) => h.logged().filter(({ event }) => event === kind);

describe("a question that is asked again", () => {
  test("is answered as before, with its own id and time, and recorded as any other", async () => {
    const { h, ask, isShort } = await start();
    const [, second] = [await ask(), await ask()];
    h.clock.aheadMs += 7_000;
    expect(await isShort()).toBe(true);
    const third = await ask();

    const { request_id: id, expires_in: left, ...same } = third as Answer & { request_id: string };
    expect(second).toMatchObject(same);
    expect(second.expires_in - left).toBeGreaterThanOrEqual(7);
    const lives = events(h, "decision").map((event) => Number(event["lifetime_seconds"]));
    const decisions = events(h, "decision").map(
      ({ time: _, request_id: __, duration_ms: ___, lifetime_seconds: ____, ...event }) => event,
    );
    const requests = events(h, "request").map(({ time: _, request_id: __, duration_ms: ___, ...event }) => event);
    expect(decisions).toHaveLength(4);
    expect(Number(lives[1]) - Number(lives[3])).toBeGreaterThanOrEqual(7);
    expect([decisions[2], decisions[3]]).toEqual([decisions[1], decisions[1]]);
    expect(requests).toEqual(Array(4).fill(requests[0]));
    for (const kind of ["decision", "request"]) expect(events(h, kind).at(-1)).toMatchObject({ request_id: id });
    const fieldsOf = (event: Record<string, unknown> | undefined) => Object.keys(event ?? {}).sort();
    expect(fieldsOf(events(h, "decision")[3])).toEqual(fieldsOf(events(h, "decision")[1]));
    expect(Date.parse(String(events(h, "decision")[3]?.["time"]))).toBeGreaterThan(Date.now() + 5_000);
  });

  test("has the headers of any other, and the id that its caller gave it", async () => {
    const { h, token, warm } = await start();
    await warm();
    const [long, short] = [
      await h.ask({ ...FIELDS, ttl: 1_000 }, token, { "x-request-id": "given-by-us" }),
      await h.ask(FIELDS, token, { "x-request-id": "given-by-us" }),
    ];
    const headersOf = ({ headers }: Response) =>
      Object.fromEntries([...headers].filter(([name]) => !["date", "content-length"].includes(name)));
    expect(headersOf(short)).toEqual(headersOf(long));
    expect(headersOf(short)).toMatchObject({ "x-request-id": "given-by-us", "cache-control": "no-store" });
    expect(((await short.json()) as { request_id: string }).request_id).toBe("given-by-us");
  });

  test.each(["json", "password", "docker-config", "env", "kubernetes-secret"])(
    "is answered in the format %s",
    async (format) => {
      const { h, token } = await start();
      const texts: string[] = [];
      for (let count = 0; count < 3; count++) {
        const response = await h.ask({ ...FIELDS, format }, token, { "x-request-id": "one-for-all" });
        texts.push((await response.text()).replace(/"expires_in":\d+/, ""));
      }
      expect(decided.count).toBeGreaterThan(0);
      expect(new Set(texts).size).toBe(1);
    },
  );

  test("is another with another scope, registry, lifetime, format or type of body", async () => {
    const { ask, warm } = await start();
    await warm();
    const before = decided.count;
    for (const other of [
      { ...FIELDS, scope: ["repository:web/other:pull"] },
      { ...FIELDS, registry: "lost" },
      { ...FIELDS, ttl: 1_000 },
      { ...FIELDS, min_ttl: 100 },
      { ...FIELDS, format: "docker-config" },
    ])
      await ask(other);
    expect(decided.count).toBeGreaterThanOrEqual(before + 5);
    expect(await ask(FIELDS, { "content-type": "text/plain" })).toMatchObject({ status: 415 });
    expect(await ask(FIELDS, { "content-type": "application/x-www-form-urlencoded" })).toMatchObject({ status: 400 });
    expect(await ask(FIELDS, { "content-encoding": "gzip" })).toMatchObject({ status: 415 });
  });

  test("is another from another address, and of another caller", async () => {
    let from = "192.0.2.1";
    const { h, warm, isShort } = await start({ socketAddress: () => from });
    await warm();
    from = "192.0.2.2";
    expect(await isShort()).toBe(false);
    from = "192.0.2.1";
    expect(await isShort()).toBe(true);
    const before = decided.count;
    expect((await h.ask(FIELDS, await h.mint({ jti: "another" }))).status).toBe(200);
    expect((await h.ask(FIELDS, await h.mint({ sub: "stranger" }))).status).toBe(403);
    expect(decided.count).toBe(before + 2);
  });

  test("is refused with two credentials, of whatever kind and in whatever headers", async () => {
    const { h, token, warm, ask } = await start();
    await warm();
    expect(await ask(FIELDS, { "x-acr-broker-authorization": `Bearer ${token}` })).toMatchObject({ status: 400 });
    const body = JSON.stringify(FIELDS);
    const socket = connect(Number(new URL(h.url).port), "127.0.0.1");
    socket.end(
      `POST /v1/token HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${token}\r\nauthorization: Bearer x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    );
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 401 /);
  });

  test("with a body that is none is refused as any other", async () => {
    const { h, token, warm } = await start();
    await warm();
    const send = async (body: string | Buffer) =>
      (await h.request("/v1/token", { method: "POST", headers: { authorization: `Bearer ${token}` }, body })).status;
    expect([await send("x".repeat(20_000)), await send(Buffer.from([0xff])), await send("")]).toEqual([413, 400, 400]);
  });

  test("is not what a broker of another policy has kept", async () => {
    const { h, token, warm } = await start();
    await warm();
    const other = await startHarness({
      beside: h,
      policy: (...urls) => policy(...urls).replaceAll("sub: job", "sub: nobody"),
    });
    opened.push(other);
    expect((await other.ask(FIELDS, token)).status).toBe(403);
  });
});

describe("what may change is asked each time:", () => {
  test("whether the token has expired, or is not valid yet by a clock that was set back", async () => {
    const { h, ask, warm, isShort } = await start();
    await warm();
    h.clock.aheadMs = 300_000 + 55_000;
    expect(await isShort()).toBe(true);
    h.clock.aheadMs = 300_000 + 61_000;
    expect(await ask()).toMatchObject({ status: 401, code: "token_expired" });
    h.clock.aheadMs = -65_000;
    expect(await ask()).toMatchObject({ status: 401, code: "invalid_token" });
    h.clock.aheadMs = 0;
    expect(await isShort()).toBe(true);
  });

  test("whether the key is the issuer's yet", async () => {
    const { h, ask, warm } = await start({ policy: withIssuer("max_token_lifetime: 7200") });
    const lasting = await h.mint({ exp: Math.floor(Date.now() / 1000) + 7_000 });
    const askLasting = async () => (await h.ask(FIELDS, lasting)).status;
    await warm();
    expect([await askLasting(), await askLasting(), await askLasting()]).toEqual([200, 200, 200]);
    await h.issuer.rotateKeys();
    await h.issuer.rotateKeys();
    // Older keys than 15 minutes are asked for anew.
    h.clock.aheadMs = 16 * 60_000;
    expect(await askLasting()).toBe(401);
    expect((await ask()).status).toBe(401);
  });

  test.each([
    ["all", ""],
    ["issuer ci", ""],
    ["subject ci job", ""],
    ["token ci sent-again", ""],
    ["grant web-main", ""],
  ])("whether %s is blocked", async (entry) => {
    const files: Record<string, string> = { "blocks.txt": "none" };
    const { h, ask, warm, isShort } = await start({
      files,
      policy: (...urls) => `${policy(...urls)}blocks: { file: blocks.txt }\n`,
    });
    await warm();
    const write = (text: string) => {
      files["blocks.txt"] = text;
      h.clock.aheadMs += 2_000;
    };
    write(entry);
    for (let count = 0; count < 2; count++) expect(await ask()).toMatchObject({ status: 403, code: "access_denied" });
    write("none\n# lifted");
    expect((await ask()).status).toBe(200);
    expect([await isShort(), await isShort()]).toContain(true);
    write("subject ci somebody-else");
    await ask();
    expect([await isShort(), await isShort()]).toContain(true);
  });

  test("whether the list of blocks can be read, where a broker must not go without", async () => {
    const files: Record<string, string> = { "blocks.txt": "none" };
    const { h, ask, warm } = await start({
      files,
      policy: (...urls) => `${policy(...urls)}blocks: { file: blocks.txt, when_unreadable: refuse }\n`,
    });
    await warm();
    delete files["blocks.txt"];
    h.clock.aheadMs += 31_000;
    for (let count = 0; count < 2; count++) expect(await ask()).toMatchObject({ status: 503, code: "not_ready" });
  });

  test.each(["caller", "grant"])("how often the %s came, counted with what goes the whole way", async (who) => {
    const { h, token, ask } = await start({
      policy: (...urls) => `${policy(...urls)}limits: { ${who}_per_minute: 6 }\n`,
    });
    const body = new URLSearchParams({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token: token,
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      audience: "prod",
      scope: "repository:web/app:pull",
    });
    const exchange = async () => (await h.request("/oauth2/token", { method: "POST", body })).status;
    const statuses = [await exchange()];
    for (let count = 0; count < 4; count++) statuses.push((await ask()).status);
    statuses.push(await exchange());
    expect(statuses).toEqual(Array(6).fill(200));
    expect(await ask()).toMatchObject({ status: 429, code: "rate_limited" });
    expect(await exchange()).toBe(429);
    h.clock.aheadMs += 10_100;
    expect([(await ask()).status, (await ask()).status]).toEqual([200, 429]);
  });

  test("whether its address has sent too many bad credentials", async () => {
    const { h, ask, warm } = await start({
      socketAddress: () => "192.0.2.1",
      policy: (...urls) => `${policy(...urls)}limits: { failures_per_minute: 2 }\n`,
    });
    await warm();
    for (let count = 0; count < 2; count++) await h.ask(FIELDS, "bad.bad.bad");
    expect(await ask()).toMatchObject({ status: 429, code: "rate_limited" });
  });

  test("whether the credential lives long enough, and is that which would be given out now", async () => {
    const { h, ask } = await start({ policy: withIssuer("max_token_lifetime: 7200") });
    const lasting = await h.mint({ exp: Math.floor(Date.now() / 1000) + 7_000 });
    const askLasting = async (fields: object) => read(await h.ask({ ...FIELDS, ...fields }, lasting));
    const [needing, any] = [{ min_ttl: 1_700 }, {}];
    const first = await askLasting(any);
    for (let count = 0; count < 2; count++) {
      for (const wish of [needing, any]) {
        expect((await askLasting(wish)).token_fingerprint).toBe(first.token_fingerprint);
      }
    }
    h.clock.aheadMs = 110_000;
    // The cloud's clock stands, so that a new one lives no longer; it is another one, though.
    const renewed = await askLasting(needing);
    expect(renewed.token_fingerprint).not.toBe(first.token_fingerprint);
    for (let count = 0; count < 2; count++) {
      const { token_fingerprint, expires_at } = await askLasting(any);
      expect({ token_fingerprint, expires_at }).toEqual({
        token_fingerprint: renewed.token_fingerprint,
        expires_at: renewed.expires_at,
      });
    }
    await ask();
  });

  test("whether the line can be written: where not, nothing is given out, and that is recorded", async () => {
    let isBlocked = false;
    const { h, ask, warm, isShort } = await start({
      written: async () => {
        if (isBlocked) throw new BrokerError("not_ready", "blocked", { retryAfterSeconds: 5 });
      },
    });
    await warm();
    isBlocked = true;
    const before = decided.count;
    expect(await ask()).toMatchObject({ status: 503, code: "not_ready" });
    expect(decided.count).toBe(before);
    const [given, taken] = events(h, "decision").slice(-2);
    expect([given?.["issued"], taken?.["issued"], taken?.["code"]]).toEqual([true, false, "not_ready"]);
    expect(given?.["request_id"]).toBe(taken?.["request_id"]);
    expect(events(h, "request").at(-1)).toMatchObject({
      status: 503,
      code: "not_ready",
      request_id: given?.["request_id"],
    });
    isBlocked = false;
    expect(await isShort()).toBe(true);
  });

  test("a broker that is to stop waits for what goes the short way", async () => {
    let release = () => {};
    let waiting: Promise<void> | undefined;
    const { h, ask, warm } = await start({ written: async () => waiting });
    await warm();
    waiting = new Promise((resolve) => {
      release = resolve;
    });
    const decisions = events(h, "decision").length;
    const answer = ask();
    while (events(h, "decision").length === decisions) await new Promise((resolve) => setImmediate(resolve));
    expect(h.broker.health.inFlight).toBe(1);
    release();
    expect((await answer).status).toBe(200);
    expect(h.broker.health.inFlight).toBe(0);
  });
});

describe("decided each time is", () => {
  test.each(["replay: once", "replay: bind", "replay: { count: 100 }"])(
    "what a token asks for whose issuer has %s",
    async (replay) => {
      const { ask } = await start({ policy: withIssuer(replay) });
      const before = decided.count;
      const statuses: number[] = [];
      for (let count = 0; count < 4; count++) statuses.push((await ask()).status);
      expect(decided.count).toBe(before + 4);
      expect(statuses).toEqual(replay === "replay: once" ? [200, 401, 401, 401] : [200, 200, 200, 200]);
    },
  );

  test("what a grant with times gives, which ends when it ends", async () => {
    const end = new Date(Date.now() + 60_000).toISOString();
    const { h, ask, isShort } = await start({
      policy: (...urls) => policy(...urls).replace("  web-main:", `$&\n    times: { not_after: "${end}" }`),
    });
    for (let count = 0; count < 3; count++) await ask();
    expect(await isShort()).toBe(false);
    h.clock.aheadMs = 61_000;
    expect(await ask()).toMatchObject({ status: 403 });
  });

  test("nothing else: times of grants and denials that are not for the caller do not matter", async () => {
    const times = `times: { not_after: "${new Date(Date.now() + 60_000).toISOString()}" }`;
    const { warm } = await start({
      policy: (...urls) =>
        `${policy(...urls)
          .replace("  limited: { issuer: ci,", `$& ${times},`)
          .replace("  lost: { issuer: ci,", `$& ${times},`)}denials:
  other: { issuer: ci, when: { sub: limited }, registry: prod, deny: ["repository:web/*:pull"], ${times} }
`,
    });
    await warm();
  });

  test("what a denial with times may take away", async () => {
    const begin = new Date(Date.now() + 60_000).toISOString();
    const { h, ask, isShort } = await start({
      policy: (...urls) =>
        `${policy(...urls)}denials:\n  freeze: { registry: prod, deny: ["repository:web/*:pull,push"], times: { not_before: "${begin}" } }\n`,
    });
    for (let count = 0; count < 3; count++) await ask();
    expect(await isShort()).toBe(false);
    h.clock.aheadMs = 61_000;
    expect(await ask()).toMatchObject({ status: 403 });
  });

  test("what a shadow policy is asked about, and it is told of each", async () => {
    const { h, ask, isShort } = await start({
      shadow: (...urls) => policy(...urls).replaceAll("sub: job", "sub: nobody"),
    });
    for (let count = 0; count < 3; count++) await ask();
    expect(await isShort()).toBe(false);
    expect(events(h, "shadow")).toHaveLength(4);
  });

  test("what is refused", async () => {
    const { h, ask } = await start();
    const before = decided.count;
    const wrong = { ...FIELDS, scope: ["repository:secret/app:pull"] };
    for (let count = 0; count < 4; count++) expect((await ask(wrong)).status).toBe(403);
    expect(decided.count).toBeGreaterThanOrEqual(before + 4);
    expect(events(h, "decision").map(({ outcome }) => outcome)).toEqual(Array(4).fill("deny"));
  });
});
