/** A block is honoured everywhere, at once, without a deployment; and nothing that goes wrong with the list takes one away. */

import { afterEach, describe, expect, test } from "vitest";
import { blockVariableProblem } from "../../functions/broker/blocks.ts";
import { haveTools } from "../e2e/tools.ts";
import { type RedisServer, startRedisServer } from "../store/redis-server.ts";
import { type Harness, type HarnessOptions, policy, read, startHarness } from "./harness.ts";

const FIELDS = { registry: "prod", scope: ["repository:web/app:pull"] };
const KEY = "acr-token-broker:blocks";
/** As long as a list is believed without a look. */
const FRESH_MS = 2_000;

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function start(options: HarnessOptions): Promise<Harness> {
  const harness = await startHarness(options);
  opened.push(harness);
  return harness;
}

const warnings = (h: Harness) => h.logged().flatMap(({ event, message }) => (event === "warning" ? [message] : []));
const later = (...harnesses: Harness[]) => {
  for (const h of harnesses) h.clock.aheadMs += FRESH_MS;
};

/** A broker with a file of blocks, which `write` changes; what is written counts from the next look. */
async function withFile(blocks = "", more = "", options: HarnessOptions = {}) {
  const files: Record<string, string> = { "blocks.txt": blocks };
  const h = await start({
    ...options,
    files,
    policy: (cloud, issuer) => `${policy(cloud, issuer)}blocks: { file: blocks.txt${more} }\n`,
  });
  const write = (text: string | undefined) => {
    if (text === undefined) delete files["blocks.txt"];
    else files["blocks.txt"] = text;
    later(h);
  };
  return { h, write };
}

describe("a file of blocks", () => {
  test("stops a token that has been verified and a credential that is remembered, and gives way when it is lifted", async () => {
    const { h, write } = await withFile();
    const token = await h.mint({ jti: "leaked" });
    const ask = () => h.ask(FIELDS, token);
    expect([(await ask()).status, (await ask()).status]).toEqual([200, 200]);
    write("# leaked in a build log\ntoken ci leaked\n");
    const refused = await read(await ask());
    expect(refused).toMatchObject({
      status: 403,
      code: "access_denied",
      detail: "this token is blocked for now, whatever the policy gives; ask the broker's operator",
    });
    expect(h.logged().findLast(({ event }) => event === "decision")).toMatchObject({
      outcome: "deny",
      reason: "blocked",
      block: "token ci leaked",
    });
    expect((await h.ask(FIELDS, await h.mint({ jti: "another" }))).status).toBe(200);
    write("none\n");
    expect((await ask()).status).toBe(200);
    expect(warnings(h)).toEqual(["blocks: 1 now, added: token ci leaked", "blocks: 0 now, lifted: token ci leaked"]);
  });

  test.each(["all", "issuer ci", "subject ci job", "subject ci j*", "grant web-main"])(
    "%s: told by the token route, the exchange, whoami and explain",
    async (entry) => {
      const { h } = await withFile(entry, ', contact: "#acr-oncall"');
      const token = await h.mint();
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const detail = expect.stringMatching(/ blocked for now, whatever the policy gives; ask #acr-oncall$/);

      expect(await read(await h.ask(FIELDS, token))).toMatchObject({ status: 403, code: "access_denied", detail });
      const exchanged = await h.request("/oauth2/token", {
        method: "POST",
        body: new URLSearchParams({
          grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
          subject_token: token,
          subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
          audience: "prod",
          scope: "repository:web/app:pull",
        }),
      });
      expect(await exchanged.json()).toMatchObject({ code: "access_denied", error_description: detail });
      const explained = await h.request("/v1/explain", { method: "POST", headers, body: JSON.stringify(FIELDS) });
      const explanation = (await explained.json()) as Record<string, unknown>;
      expect(explanation).toMatchObject({ outcome: "deny", code: "access_denied", reason: "blocked", detail });
      expect(explanation).not.toHaveProperty("role_arn");
      const whoami = await (await h.request("/v1/whoami", { headers })).json();
      expect(whoami).toMatchObject(
        entry.startsWith("grant ") ? { grants: [{ name: "web-main", blocked: detail }, {}, {}] } : { blocked: detail },
      );
      expect(h.cloud.calls).toEqual([]);
    },
  );

  test.each(["subject ci job", "grant web-main"])(
    "%s, which comes while the cloud is asked, keeps the credential from leaving, and the token unused",
    async (entry) => {
      // While it pauses before it asks a second time.
      const { h, write } = await withFile("", "", { sleep: async () => write(entry) });
      h.cloud.failNext("AssumeRole", { status: 503, code: "ServiceUnavailable" });
      expect(await read(await h.ask(FIELDS))).toMatchObject({ status: 403, code: "access_denied" });
      expect(h.cloud.calls.map(({ api }) => api)).toEqual(["AssumeRole", "AssumeRole", "GetAuthorizationToken"]);
      expect(h.logged().findLast(({ event }) => event === "decision")).toMatchObject({
        issued: false,
        code: "access_denied",
        block: entry,
      });
    },
  );

  test.each<[string, string | undefined, string]>([
    ["a mistake in it", "subject ci other\nissuer\n", '1 of its entries cannot be read, the first: "issuer"'],
    ["nothing in it", "", "the list is gone, so what it had stays blocked; to lift it all, write none into it"],
    ["no file", undefined, "it cannot be read (ENOENT); what was blocked stays so"],
    ["too many lines", "subject ci x\n".repeat(1_001), "it has more than 1000 entries; block more with fewer"],
    ["too long a line", `# ${"x".repeat(64 * 1024)}`, "it is longer than 65536 bytes; what was blocked stays so"],
  ])("%s: what was blocked stays blocked, and that is told once", async (_, text, why) => {
    const { h, write } = await withFile("subject ci job\n");
    expect((await h.ask(FIELDS)).status).toBe(403);
    write(text);
    expect((await h.ask(FIELDS)).status).toBe(403);
    later(h);
    expect((await h.ask(FIELDS)).status).toBe(403);
    const told = warnings(h).filter((message) => String(message).startsWith("blocks of the file blocks.txt: "));
    expect(told).toEqual([expect.stringContaining(why)]);
    write("none");
    expect((await h.ask(FIELDS)).status).toBe(200);
    expect(warnings(h)).toContain("blocks of the file blocks.txt: they can be read again");
  });

  test("of a list with a mistake in it, what was added counts", async () => {
    const { h, write } = await withFile("issuer quiet\n");
    expect((await h.ask(FIELDS)).status).toBe(200);
    write("isuer quiet\nsubject ci job\n");
    expect((await h.ask(FIELDS)).status).toBe(403);
  });

  test("what names nothing of the policy is told", async () => {
    const { h } = await withFile("issuer gihtub\ngrant web\napi-key nightly\nissuer ci\n");
    expect((await h.ask(FIELDS)).status).toBe(403);
    expect(warnings(h)).toContain(
      "blocks that block nothing, since the policy has nothing of that name: issuer gihtub; grant web; api-key nightly",
    );
  });

  test("that was never read: keep goes on without, refuse issues nothing", async () => {
    const unread = (settings: string) =>
      start({ policy: (cloud, issuer) => `${policy(cloud, issuer)}blocks: { file: none.txt${settings} }\n` });
    expect((await (await unread("")).ask(FIELDS)).status).toBe(200);
    const refusing = await unread(", when_unreadable: refuse");
    const refused = await refusing.ask(FIELDS);
    expect(await read(refused)).toMatchObject({ status: 503, code: "not_ready" });
    expect(refused.headers.get("retry-after")).toBe("2");
    expect((await refusing.request("/readyz")).status).toBe(503);
  });

  test("refuse goes on for 30 seconds with what it read; readyz says how old that is", async () => {
    const { h, write } = await withFile("none", ", when_unreadable: refuse");
    expect((await h.ask(FIELDS)).status).toBe(200);
    write(undefined);
    h.clock.aheadMs += 20_000;
    expect((await h.ask(FIELDS)).status).toBe(200);
    expect(await (await h.request("/readyz")).json()).toEqual({ status: "ready", blocks_age_seconds: 22 });
    h.clock.aheadMs += 8_000;
    expect((await h.ask(FIELDS)).status).toBe(503);
    write("none");
    expect((await h.ask(FIELDS)).status).toBe(200);
  });
});

describe("ACR_BROKER_BLOCK", () => {
  test("has one block a line", async () => {
    const h = await start({
      environment: (keys) => ({ ...keys, ACR_BROKER_BLOCK: "# since 08:20\nsubject ci other\n\nsubject ci job\n" }),
    });
    expect((await h.ask(FIELDS)).status).toBe(403);
    expect((await h.ask(FIELDS, await h.mint({ sub: "sharer" }))).status).toBe(403);
    expect(await (await h.request("/readyz")).json()).toEqual({ status: "ready" });
  });

  test("with a mistake in it: the broker must not start, since nothing would tell that the block is not there", () => {
    expect(blockVariableProblem("all\nisuer ci")).toContain(
      'ACR_BROKER_BLOCK: 1 of its entries cannot be read, the first: "isuer ci" is no block',
    );
    expect(blockVariableProblem(undefined)).toBeUndefined();
    expect(blockVariableProblem("all\nissuer ci")).toBeUndefined();
  });
});

describe.skipIf(!haveTools(["redis-server"]))("the list in Redis", () => {
  /** Two that share it, with credentials; both believe the issuer of the first. They wait longer for it than in earnest. */
  async function pair(settings = "") {
    const server = await startRedisServer();
    opened.push(server);
    const one = (issuer?: string) =>
      start({
        policy: (cloud, own) =>
          `${policy(cloud, issuer ?? own)}redis: { host: 127.0.0.1, port: ${server.port}, tls: false, credentials: { key_env: [SEAL] } }\n${settings}`,
        environment: (keys) => ({ ...keys, SEAL: Buffer.alloc(32, 7).toString("base64") }),
        redisLimitMs: 10_000,
      });
    const a = await one();
    return { server, a, b: await one(a.issuer.url) };
  }
  const block = (server: RedisServer, ...entries: string[]) => server.admin.sadd(KEY, "none", ...entries);

  test("counts at every instance within two seconds, for what any of them remembers", async () => {
    const { server, a, b } = await pair();
    const token = await a.mint();
    const ask = async () => [(await a.ask(FIELDS, token)).status, (await b.ask(FIELDS, token)).status];
    expect(await ask()).toEqual([200, 200]);
    await block(server, "subject ci job");
    later(a, b);
    expect(await ask()).toEqual([403, 403]);
    await server.admin.srem(KEY, "subject ci job");
    later(a, b);
    expect(await ask()).toEqual([200, 200]);
  });

  test("stays in force while Redis is away, and when it comes back without it", async () => {
    const { server, a } = await pair();
    await block(server, "subject ci job");
    expect((await a.ask(FIELDS)).status).toBe(403);
    await server.kill();
    later(a);
    expect((await a.ask(FIELDS)).status).toBe(403);
    await server.restart();
    later(a);
    expect((await a.ask(FIELDS)).status).toBe(403);
    expect(warnings(a)).toContain(
      "blocks of Redis: the list is gone, so what it had stays blocked; to lift it all, write none into it",
    );
    await block(server);
    later(a);
    expect((await a.ask(FIELDS)).status).toBe(200);
  });

  test.each<[string, (server: RedisServer) => Promise<unknown>, string]>([
    ["a text", (server) => server.admin.set(KEY, "issuer ci"), "is no set; make it one with DEL and SADD"],
    [
      "too many",
      (server) =>
        server.admin.sadd(
          KEY,
          Array.from({ length: 1_001 }, (_, index) => `subject ci ${index}`),
        ),
      "has more than 1000 entries",
    ],
    ["too long", (server) => server.admin.sadd(KEY, "x".repeat(64 * 1024 + 1)), "is longer than 65536 bytes"],
  ])("%s is no list: that is told, and Redis serves on for all else", async (_, write, why) => {
    const { server, a } = await pair();
    await write(server);
    expect((await a.ask(FIELDS)).status).toBe(200);
    expect(warnings(a)).toEqual([expect.stringContaining(why)]);
  });
});
