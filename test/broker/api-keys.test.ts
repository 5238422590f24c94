/** API keys over real HTTP, made by `newApiKey` and with openssl: who gets in, who does not, and what is told to whom. */

import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { withoutUse } from "../../functions/broker/client-address.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { newApiKey } from "../../shared/identity/api-key.ts";
import { plantCanaries } from "../canaries.ts";
import { type Harness, read, startHarness } from "./harness.ts";

const DAY_MS = 86_400_000;
const PULL = { scope: ["repository:web/app:pull"] };

function make(name: string) {
  const made = newApiKey(name, randomBytes);
  plantCanaries([made.key, made.key.slice(-64)]);
  return made;
}

/** As docs/callers/api-keys.md says for machines without acr-broker. */
function makeWithOpenssl(name: string) {
  const secret = execFileSync("openssl", ["rand", "-hex", "32"], { encoding: "utf8" }).trim();
  const key = `abk_${name}_${secret}`;
  const sha256 = execFileSync("openssl", ["dgst", "-sha256", "-r"], { input: key, encoding: "utf8" }).split(" ")[0];
  plantCanaries([key, secret]);
  return { key, sha256: sha256 as string };
}

const keys = {
  old: make("nightly-2026"),
  new: make("nightly-2027"),
  openssl: makeWithOpenssl("openssl"),
  expiring: make("expiring"),
  local: make("local"),
  office: make("office"),
  idle: make("idle"),
};
const secrets = Object.values(keys).map(({ key }) => key.slice(-64));
const in30Days = new Date(Date.now() + 30 * DAY_MS).toISOString();

function policy(cloudUrl: string, _issuerUrl: string, more = ""): string {
  const rest = `registry: prod, role_arn: "acs:ram::1234567890123456:role/acr-web", max_ttl: 1800`;
  return `
version: 1
audience: https://acr-broker.example.com
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com] }
grants:
  nightly: { api_key: { any_of: [nightly-2026, nightly-2027] }, allow: ["repository:web/*:pull"], ${rest} }
  by-hand: { api_key: openssl, allow: ["repository:web/*:pull,push"], ${rest} }
  expiring: { api_key: expiring, allow: ["repository:web/*:pull"], ${rest} }
  near: { api_key: { any_of: [local, office] }, allow: ["repository:web/*:pull"], ${rest} }
api_keys:
  nightly-2026: { sha256: "${keys.old.sha256}", expires: ${in30Days}, created: 2026-01-01T00:00:00Z, last4: "${keys.old.last4}" }
  nightly-2027: { sha256: "${keys.new.sha256}", expires: ${in30Days} }
  openssl: { sha256: "${keys.openssl.sha256}", expires: ${in30Days} }
  expiring: { sha256: "${keys.expiring.sha256}", expires: ${new Date(Date.now() + DAY_MS).toISOString()} }
  local: { sha256: "${keys.local.sha256}", expires: ${in30Days}, cidrs: [127.0.0.0/8, "::1/128"] }
  office: { sha256: "${keys.office.sha256}", expires: ${in30Days}, cidrs: [10.0.0.0/8] }
  idle: { sha256: "${keys.idle.sha256}", expires: ${in30Days} }
alibaba: { sts_endpoint: "${cloudUrl}", cr_endpoint: "${cloudUrl}" }
${more}`;
}

const BEHIND_A_GATEWAY = "client_address: { header: X-Real-IP }\n";

let h: Harness;
beforeAll(async () => {
  h = await startHarness({ policy, secrets });
});
afterEach(() => {
  h.clock.aheadMs = 0;
});
afterAll(() => h.close());

describe("a holder", () => {
  test.each(["old", "openssl"] as const)("of the key %s gets what its grant gives", async (which) => {
    const response = await h.ask(PULL, keys[which].key);
    expect(response.status).toBe(200);
    const body = await read(response);
    const login = h.cloud.login(body.username, body.password);
    expect(login?.allows("pull", "web/app")).toBe(true);
    expect(login?.allows("push", "web/app")).toBe(false);
  });

  test("gets no more than that, and is told what it has", async () => {
    const response = await h.ask({ scope: ["repository:web/app:push"] }, keys.old.key);
    expect(response.status).toBe(403);
    expect((await read(response)).detail).toBe(
      "no grant of api_key.nightly-2026 allows push on web/app; what it has: nightly (repository:web/*:pull)",
    );
  });

  test("of a key without a grant is a stranger", async () => {
    const response = await h.ask(PULL, keys.idle.key);
    expect(response.status).toBe(403);
    expect(await read(response)).toMatchObject({ code: "access_denied", detail: "the request was refused" });
    expect(await read(await h.ask({ grant: "nightly" }, keys.idle.key))).toMatchObject({ code: "unknown_grant" });
  });

  test("is in the session's name and in the log, by the key's name", async () => {
    const calls = h.cloud.calls.length;
    await h.ask({ scope: ["repository:web/named:pull"] }, keys.old.key);
    const [assumed] = h.cloud.calls.slice(calls).filter(({ api }) => api === "AssumeRole");
    expect(assumed?.params["RoleSessionName"]).toBe("api_key.nightly-2026");
    expect(h.logged().findLast(({ event }) => event === "decision")).toMatchObject({
      outcome: "allow",
      api_key: "nightly-2026",
      subject: "nightly-2026",
      session_name: "api_key.nightly-2026",
      grants: [{ name: "nightly", line: 7 }],
    });
  });

  test("may ask again and again", async () => {
    for (let times = 0; times < 3; times++) expect((await h.ask(PULL, keys.openssl.key)).status).toBe(200);
  });
});

describe("two keys of one grant", () => {
  test("open it at once, and never share a credential", async () => {
    const first = await read(await h.ask(PULL, keys.old.key));
    const second = await read(await h.ask(PULL, keys.new.key));
    const again = await read(await h.ask(PULL, keys.old.key));
    expect(second.password).not.toBe(first.password);
    expect(again.password).toBe(first.password);
  });

  test("are told apart in the log", async () => {
    await h.ask(PULL, keys.new.key);
    expect(h.logged().findLast(({ event }) => event === "decision")).toMatchObject({ api_key: "nightly-2027" });
  });
});

describe("whoever has not the whole key", () => {
  const { key } = keys.old;
  const swapped = (text: string) => text.slice(0, -1) + (text.endsWith("0") ? "1" : "0");

  test.each([
    ["wrong", swapped(key)],
    ["another's secret", keys.new.key.replace("2027", "2026")],
    ["unknown", make("unknown").key],
    ["cut off", key.slice(0, -1)],
    ["padded", `${key}0`],
    ["in base64 padding", `${key}=`],
    ["with a capital digit", key.slice(0, -64) + key.slice(-64).toUpperCase().replace(/^\d/, "A")],
    ["with a capital name", key.replace("nightly", "Nightly")],
    ["the secret alone", `abk_${key.slice(-64)}`],
    ["the digest for the secret", `abk_nightly-2026_${keys.old.sha256}`],
    ["with Latin letters beyond ASCII", key.replace("i", "\u00ec")],
    ["percent-encoded", key.replace(/_(?=[^_]*$)/, "%5f")],
    ["quoted behind", `${key}"`],
  ])("is refused: %s", async (_, presented) => {
    const response = await h.ask(PULL, presented);
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toMatch(/^Bearer /);
    expect((await read(response)).code).toBe("invalid_api_key");
  });

  test("gets one and the same answer for a wrong secret and an unknown name", async () => {
    const answers = await Promise.all(
      [swapped(key), make("unknown").key].map(async (presented) => {
        const { request_id: _, ...answer } = (await (await h.ask(PULL, presented)).json()) as Record<string, unknown>;
        return answer;
      }),
    );
    expect(answers[0]).toEqual(answers[1]);
  });

  test.each([
    ["capital letters for abk_", `Bearer ABK_${key.slice(4)}`],
    ["another scheme", `Basic ${Buffer.from(`x:${key}`).toString("base64")}`],
    ["two keys in one header", `Bearer ${key} ${keys.new.key}`],
    ["two keys with a comma", `Bearer ${key}, Bearer ${key}`],
    ["no scheme", key],
  ])("is refused: %s", async (_, authorization) => {
    const response = await h.ask(PULL, "", { authorization });
    expect(response.status).toBe(401);
    await response.body?.cancel();
  });

  test.each([
    ["the header twice", [`authorization: Bearer ${key}`, `authorization: Bearer ${key}`]],
    ["the header twice, the second one wrong", [`authorization: Bearer ${key}`, "authorization: Bearer abk_x"]],
    ["UTF-8 look-alikes", [`authorization: Bearer ${key.slice(0, -1)}\uff10`]],
    ["a tab", [`authorization: Bearer\t${key}`]],
  ])("is refused: %s", async (_, headers) => {
    const answer = await raw(h.url, ["POST /v1/token?scope=repository:web/app:pull HTTP/1.1", "host: x", ...headers]);
    expect(answer).toMatch(/^HTTP\/1.1 401 /);
    expect(answer).not.toContain(key.slice(-60));
  });

  test("the key in the query is no key", async () => {
    const response = await h.request(`/v1/token?api_key=${key}&scope=repository:web/app:pull`, { method: "POST" });
    expect(await read(response)).toMatchObject({ code: "missing_credentials" });
  });

  test("leaves a line in the log that says neither who it claimed to be nor what it sent", async () => {
    await h.ask(PULL, swapped(key));
    const line = h.logged().at(-1);
    expect(line).toMatchObject({ event: "request", status: 401, code: "invalid_api_key" });
    expect(JSON.stringify(line)).not.toContain("abk_");
  });
});

test("an expired key opens nothing, and its holder is told what to do", async () => {
  expect((await h.ask(PULL, keys.expiring.key)).status).toBe(200);
  h.clock.aheadMs = DAY_MS;
  const response = await h.ask(PULL, keys.expiring.key);
  expect(response.status).toBe(401);
  expect(await read(response)).toMatchObject({
    code: "invalid_api_key",
    detail: expect.stringMatching(/^the API key was not accepted: expiring expired at .*Z; ask the broker's operator/),
  });
});

describe("where a request comes from", () => {
  test("is the connection's other end", async () => {
    expect((await h.ask(PULL, keys.local.key)).status).toBe(200);
    const response = await h.ask(PULL, keys.office.key);
    expect(response.status).toBe(401);
    expect((await read(response)).detail).toContain("office may not be used from 127.0.0.1, which is in none of its");
  });

  test.each(["x-forwarded-for", "x-real-ip", "forwarded", "x-client-ip", "cf-connecting-ip"])(
    "is not what the caller writes into %s",
    async (header) => {
      expect((await h.ask(PULL, keys.office.key, { [header]: "10.0.0.1" })).status).toBe(401);
    },
  );

  test("is IPv4 also where the socket takes both", () =>
    asks({ socketAddress: () => "::ffff:10.1.2.3" }, "office", 200));

  test("is unknown where the connection is gone, which is no address in any network", () =>
    asks({ socketAddress: () => undefined }, "local", 401));

  describe("in Function Compute", () => {
    const inside = {
      environment: (environment: Record<string, string>) => ({ ...environment, FC_FUNCTION_NAME: "broker" }),
      socketAddress: () => "10.0.0.1",
    };

    test("is unknown, and a key with cidrs is refused with the reason", async () => {
      const answer = await asks(inside, "office", 401, { "x-forwarded-for": "10.0.0.1" });
      expect(answer.detail).toContain("this broker cannot tell where a request comes from; its operator must name");
    });

    test("is what the start warns of, key by key, unless a gateway tells it", () => {
      const warnings = (environment: Record<string, string>, more = "") => {
        const text = policy("http://127.0.0.1:1", "", more);
        return withoutUse(parseConfig(text, { file: "broker.yaml", readFile: () => "" }), environment);
      };
      const names = warnings({ FC_FUNCTION_NAME: "broker" }).map((text) => text.split(" opens nothing: ")[0]);
      expect(names).toEqual(["API key local", "API key office"]);
      expect(warnings({ FC_FUNCTION_NAME: "broker" }, BEHIND_A_GATEWAY)).toEqual([]);
      expect(warnings({})).toEqual([]);
    });

    test("does not matter to a key without cidrs", () => asks(inside, "old", 200));

    test("is in the header that the operator names", async () => {
      const gateway = { ...inside, policy: (cloud: string, ci: string) => policy(cloud, ci, BEHIND_A_GATEWAY) };
      await asks(gateway, "office", 200, { "x-real-ip": "10.1.2.3" });
      await asks(gateway, "office", 200, { "X-REAL-IP": "::ffff:10.1.2.3" });
    });
  });

  test.each([
    ["missing", undefined],
    ["another address", "11.0.0.1"],
    ["two addresses", "10.0.0.1, 10.0.0.2"],
    ["an address with a port", "10.0.0.1:80"],
    ["no address", "unknown"],
  ])("is not taken from the connection where the gateway's header is %s", async (_, value) => {
    const gateway = {
      policy: (cloud: string, ci: string) => policy(cloud, ci, BEHIND_A_GATEWAY),
      socketAddress: () => "10.0.0.1",
    };
    await asks(gateway, "office", 401, value === undefined ? {} : { "x-real-ip": value });
  });

  /** One request to a broker of its own. */
  async function asks(
    options: Parameters<typeof startHarness>[0],
    which: keyof typeof keys,
    status: number,
    headers: Record<string, string> = {},
  ) {
    const other = await startHarness({ policy, secrets, ...options });
    try {
      const response = await other.ask(PULL, keys[which].key, headers);
      expect(response.status).toBe(status);
      return await read(response);
    } finally {
      await other.close();
    }
  }
});

/** A request as written, headers that fetch would not send included; its answer as text. */
async function raw(url: string, lines: readonly string[]): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.end(`${lines.join("\r\n")}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
  let answer = "";
  socket.setEncoding("utf8").on("data", (chunk) => {
    answer += chunk;
  });
  await once(socket, "close");
  return answer;
}
