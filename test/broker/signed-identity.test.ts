/** Callers with a signed Alibaba Cloud identity, over real HTTP, against a cloud that verifies what they signed. */

import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  credential,
  type Fields,
  type Keys,
  type Signing,
  signedWithAcs3,
  signedWithRpc,
  timestamp,
} from "../identity/signing.ts";
import { assume } from "../sandbox/raw-call.ts";
import { addRole, addUser, DEFAULT_ACCOUNT, OTHER_ACCOUNT, trust } from "../sandbox/world.ts";
import { AUDIENCE, type Harness, read, startHarness } from "./harness.ts";

/** Audience of the second issuer: all that is special in a query or a header, short of white space. */
const ODD_AUDIENCE = "https://odd.example/?a=1&Action=AssumeRole#%26+'()!~ü";
const SECOND_ACCOUNT = "1111222233334444";

const policy = (sts: string, cr: string) => `
version: 1
audience: ${AUDIENCE}
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "${DEFAULT_ACCOUNT}", endpoints: [acme-registry.cn-hangzhou.cr.aliyuncs.com] }
issuers:
  ram: { provider: alibaba, accounts: ["${DEFAULT_ACCOUNT}"] }
  odd: { provider: alibaba, accounts: ["${SECOND_ACCOUNT}"], audience: "${ODD_AUDIENCE}" }
grants:
  builders: { issuer: ram, when: { account_id: "${DEFAULT_ACCOUNT}", role_name: ci-builder }, registry: prod, allow: ["repository:web/*:pull"], role_arn: "acs:ram::${DEFAULT_ACCOUNT}:role/acr-web", max_ttl: 900 }
  person: { issuer: ram, when: { account_id: "${DEFAULT_ACCOUNT}", user_name: tester }, registry: prod, allow: ["repository:base/*:pull"], role_arn: "acs:ram::${DEFAULT_ACCOUNT}:role/acr-base", max_ttl: 900 }
  owner: { issuer: ram, when: { account_id: "${DEFAULT_ACCOUNT}", arn: "acs:ram::${DEFAULT_ACCOUNT}:root" }, registry: prod, allow: ["repository:base/*:pull"], role_arn: "acs:ram::${DEFAULT_ACCOUNT}:role/acr-base", max_ttl: 900 }
  odd: { issuer: odd, when: { account_id: "${SECOND_ACCOUNT}", user_name: odd }, registry: prod, allow: ["repository:base/*:pull"], role_arn: "acs:ram::${DEFAULT_ACCOUNT}:role/acr-base", max_ttl: 900 }
alibaba: { sts_endpoint: "${sts}", cr_endpoint: "${cr}" }
`;

let h: Harness;
let user: Keys;
let builder: Required<Keys>;
let outsider: Keys;
let odd: Keys;
beforeAll(async () => {
  h = await startHarness({ policy: (cloud) => policy(cloud, cloud) });
  const { world } = h.cloud;
  const userArn = `acs:ram::${DEFAULT_ACCOUNT}:user/tester`;
  addRole(world, { accountId: DEFAULT_ACCOUNT, name: "ci-builder", trust: trust({ RAM: userArn }) });
  addUser(world, SECOND_ACCOUNT, "odd");
  user = h.cloud.userKeys(userArn);
  outsider = h.cloud.userKeys(`acs:ram::${OTHER_ACCOUNT}:user/outsider`);
  odd = h.cloud.userKeys(`acs:ram::${SECOND_ACCOUNT}:user/odd`);
  const RoleArn = `acs:ram::${DEFAULT_ACCOUNT}:role/ci-builder`;
  builder = await assume(h.cloud, user, { RoleArn, RoleSessionName: "job-42@web" });
});
afterEach(() => {
  h.clock.aheadMs = 0;
});
afterAll(() => h.close());

const PULL = { registry: "prod", scope: ["repository:web/app:pull"] };
const BASE = { registry: "prod", scope: ["repository:base/alpine:pull"] };

const signing = (change: Partial<Signing> = {}): Signing => ({
  keys: builder,
  host: h.cloud.host,
  audience: AUDIENCE,
  ...change,
});
const schemes = [
  ["ACS3-HMAC-SHA256", signedWithAcs3],
  ["HMAC-SHA1", signedWithRpc],
] as const;

/** How often STS was asked who somebody is. */
const asked = () => h.cloud.calls.filter(({ api }) => api === "GetCallerIdentity").length;

async function refusal(token: string, fields: unknown = PULL) {
  const response = await h.ask(fields, token);
  const { status, code, detail } = await read(response);
  return { status, code, detail };
}

describe.each(schemes)("%s", (scheme, sign) => {
  test("a role's session gets what its role's grant gives", async () => {
    const before = h.cloud.calls.length;
    const response = await h.ask(PULL, credential(sign(signing())));
    const body = await read(response);
    expect([response.status, body]).toMatchObject([200, { scope: PULL.scope, grants: ["builders"] }]);
    const login = h.cloud.login(body.username, body.password);
    expect([login?.allows("pull", "web/app"), login?.allows("push", "web/app")]).toEqual([true, false]);
    expect(h.cloud.calls[before]).toMatchObject({
      api: "GetCallerIdentity",
      signature: scheme === "HMAC-SHA1" ? "RPC" : "ACS3",
      params: { BrokerAudience: AUDIENCE },
    });
  });

  test("a RAM user gets what the user's grant gives, and not the role's", async () => {
    expect((await h.ask(BASE, credential(sign(signing({ keys: user }))))).status).toBe(200);
    expect(await refusal(credential(sign(signing({ keys: user }))))).toMatchObject({
      status: 403,
      code: "access_denied",
    });
  });

  test("the account itself is neither a user nor a role", async () => {
    const keys = h.cloud.userKeys(`acs:ram::${DEFAULT_ACCOUNT}:root`);
    expect(await read(await h.ask(BASE, credential(sign(signing({ keys })))))).toMatchObject({ grants: ["owner"] });
  });

  test("an audience of special characters is signed as a whole, and selects its own issuer's account", async () => {
    const token = credential(sign(signing({ keys: odd, audience: ODD_AUDIENCE })));
    expect(await read(await h.ask(BASE, token))).toMatchObject({ grants: ["odd"] });
    expect(h.cloud.calls.findLast(({ api }) => api === "GetCallerIdentity")?.params).toEqual({
      BrokerAudience: ODD_AUDIENCE,
    });
  });

  test("another issuer's audience does not do, though it is one of ours", async () => {
    for (const [keys, audience] of [
      [odd, AUDIENCE],
      [builder, ODD_AUDIENCE],
    ] as const) {
      expect(await refusal(credential(sign(signing({ keys, audience }))))).toMatchObject({
        status: 401,
        code: "invalid_audience",
      });
    }
  });

  test("an account that is not configured is refused, however well it signs", async () => {
    expect(await refusal(credential(sign(signing({ keys: outsider }))))).toEqual({
      status: 401,
      code: "invalid_identity",
      detail: expect.stringContaining(`account ${OTHER_ACCOUNT} is not among those accepted here`),
    });
  });

  test("an identity is good once", async () => {
    const token = credential(sign(signing()));
    expect((await h.ask(PULL, token)).status).toBe(200);
    const before = asked();
    expect(await refusal(token)).toMatchObject({ status: 401, code: "token_replayed" });
    expect(asked()).toBe(before);
  });

  test("of ten that come together one is good", async () => {
    const token = credential(sign(signing()));
    const before = asked();
    const statuses = await Promise.all(Array.from({ length: 10 }, async () => (await h.ask(PULL, token)).status));
    expect(statuses.sort()).toEqual([200, ...Array(9).fill(401)]);
    expect(asked() - before).toBe(1);
  });

  // STS answers each of these; the harness's own search finds what it echoes.
  const spoiled: [what: string, spoil: (fields: Fields) => Fields, says: string][] = [
    ["the access key", (f) => ({ ...f, access_key_id: "LTAI5tNobodysKey" }), "InvalidAccessKeyId.NotFound"],
    ["the security token", (f) => ({ ...f, security_token: "CAISnobodys" }), "InvalidSecurityToken.Malformed"],
    ["no security token", ({ security_token: _, ...f }) => f, "STS refused it"],
    ["the date", (f) => ({ ...f, date: timestamp(-30) }), "SignatureDoesNotMatch"],
    ["the nonce", (f) => ({ ...f, nonce: "another-nonce-of-32-characters-xx" }), "SignatureDoesNotMatch"],
    ["the audience", (f) => ({ ...f, audience: ODD_AUDIENCE }), "SignatureDoesNotMatch"],
    [
      "another's signature",
      (f) => ({ ...f, signature: sign(signing({ keys: user }))["signature"] }),
      "SignatureDoesNotMatch",
    ],
  ];
  test.each(spoiled)("%s exchanged after signing", async (_, spoil, says) => {
    expect(await refusal(credential(spoil(sign(signing()))))).toEqual({
      status: 401,
      code: "invalid_identity",
      detail: expect.stringContaining(says),
    });
  });

  test.each(["AssumeRole", "GetAuthorizationToken", "GetCallerIdentity2"])("a signature for %s", async (action) => {
    expect(await refusal(credential(sign(signing({ action }))))).toMatchObject({
      status: 401,
      code: "invalid_identity",
      detail: expect.stringContaining("SignatureDoesNotMatch"),
    });
  });

  test("a signature over another audience, sent as ours", async () => {
    const fields = sign(signing({ audience: "https://other-broker.example" }));
    expect(await refusal(credential({ ...fields, audience: AUDIENCE }))).toMatchObject({ code: "invalid_identity" });
  });

  test("a forgery does not use up the nonce of whom it imitates", async () => {
    const fields = sign(signing());
    const forged = { ...fields, signature: sign(signing())["signature"] };
    expect(await refusal(credential(forged))).toMatchObject({ code: "invalid_identity" });
    expect((await h.ask(PULL, credential(fields))).status).toBe(200);
  });

  test("the window is 120 s either way of the broker's clock", async () => {
    const at = (offset: number) => credential(sign(signing({ date: timestamp(offset) })));
    expect((await h.ask(PULL, at(-115))).status).toBe(200);
    expect((await h.ask(PULL, at(115))).status).toBe(200);
    const before = asked();
    expect(await refusal(at(-125))).toMatchObject({ status: 401, code: "token_expired" });
    expect(await refusal(at(125))).toMatchObject({
      status: 401,
      code: "invalid_identity",
      detail: expect.stringContaining("future"),
    });
    expect(asked()).toBe(before);
  });
});

test("a signature for another host", async () => {
  const token = credential(signedWithAcs3(signing({ host: "sts.cn-beijing.aliyuncs.com" })));
  expect(await refusal(token)).toMatchObject({ status: 401, detail: expect.stringContaining("SignatureDoesNotMatch") });
});

test("one scheme's signature under the other's name", async () => {
  const acs3 = signedWithAcs3(signing());
  const { algorithm: _, ...rpc } = signedWithRpc(signing());
  expect(await refusal(credential({ ...acs3, algorithm: "HMAC-SHA1" }))).toMatchObject({ code: "invalid_identity" });
  expect(await refusal(credential(rpc))).toMatchObject({ code: "invalid_identity" });
});

test("a nonce is used for both schemes at once", async () => {
  const nonce = "one-nonce-for-two-signatures";
  expect((await h.ask(PULL, credential(signedWithAcs3(signing({ nonce }))))).status).toBe(200);
  expect(await refusal(credential(signedWithRpc(signing({ nonce }))))).toMatchObject({ code: "token_replayed" });
});

test("an instance that has forgotten leaves it to STS, which has not", async () => {
  const other = await startHarness({ policy: () => policy(h.cloud.url, h.cloud.url) });
  try {
    const token = credential(signedWithAcs3(signing()));
    expect((await h.ask(PULL, token)).status).toBe(200);
    expect(await read(await other.ask(PULL, token))).toMatchObject({
      code: "invalid_identity",
      detail: expect.stringContaining("SignatureNonceUsed"),
    });
  } finally {
    await other.close();
  }
});

test("temporary keys that have expired", async () => {
  const keys = h.cloud.functionRoleKeys(`acs:ram::${DEFAULT_ACCOUNT}:role/acr-token-broker`, -1);
  expect(await refusal(credential(signedWithAcs3(signing({ keys }))))).toMatchObject({
    code: "invalid_identity",
    detail: expect.stringContaining("InvalidSecurityToken.Expired"),
  });
  // They are the caller's, not the broker's own.
  expect(h.keysExpired.count).toBe(0);
});

describe("refused without asking STS", () => {
  const good = (): Fields => signedWithAcs3(signing());
  const spoiled: [what: string, spoil: (fields: Fields) => Fields | string, code?: string][] = [
    ["no access_key_id", ({ access_key_id: _, ...f }) => f],
    ["no date", ({ date: _, ...f }) => f],
    ["no nonce", ({ nonce: _, ...f }) => f],
    ["no audience", ({ audience: _, ...f }) => f],
    ["no signature", ({ signature: _, ...f }) => f],
    ["a field more", (f) => ({ ...f, host: "sts.evil.example" })],
    ["a field more that objects have anyway", (f) => JSON.stringify(f).replace("{", '{"__proto__":{},')],
    ["a method", (f) => ({ ...f, method: "GET" })],
    ["a key twice", (f) => JSON.stringify(f).replace("{", '{"audience":"https://other.example",')],
    ["a key twice, once escaped", (f) => JSON.stringify(f).replace("{", '{"audi\\u0065nce":"https://other.example",')],
    ["a date of another form", (f) => ({ ...f, date: String(f["date"]).replace("Z", ".000Z") })],
    ["a date of another zone", (f) => ({ ...f, date: String(f["date"]).replace("Z", "+00:00") })],
    ["a day that is none", (f) => ({ ...f, date: "2026-02-30T00:00:00Z" })],
    ["a short nonce", (f) => ({ ...f, nonce: "1" })],
    ["a long nonce", (f) => ({ ...f, nonce: "1".repeat(129) })],
    ["an upper-case signature", (f) => ({ ...f, signature: String(f["signature"]).toUpperCase() })],
    ["a signature cut short", (f) => ({ ...f, signature: String(f["signature"]).slice(1) })],
    ["an empty signature", (f) => ({ ...f, signature: "" })],
    ["an unknown algorithm", (f) => ({ ...f, algorithm: "ACS3-HMAC-SM3" })],
    ["an algorithm without a name", (f) => ({ ...f, algorithm: "" })],
    ["no algorithm at all", (f) => ({ ...f, algorithm: null })],
    ["no token at all", (f) => ({ ...f, security_token: null })],
    ["an empty token", (f) => ({ ...f, security_token: "" })],
    ["a list", (f) => JSON.stringify([f])],
    ["text", () => '"text"'],
    ["nothing", () => ""],
    ["no JSON", () => "{"],
    ["two objects", (f) => JSON.stringify(f).repeat(2)],
    ["another audience", () => signedWithAcs3(signing({ audience: "https://other.example" })), "invalid_audience"],
    ["our audience and more", () => signedWithAcs3(signing({ audience: `${AUDIENCE}/` })), "invalid_audience"],
    ["our audience and a parameter", (f) => ({ ...f, audience: `${AUDIENCE}&Action=AssumeRole` }), "invalid_audience"],
    ["our audience escaped", (f) => ({ ...f, audience: encodeURIComponent(AUDIENCE) }), "invalid_audience"],
    ["our audience in capitals", (f) => ({ ...f, audience: AUDIENCE.toUpperCase() }), "invalid_audience"],
    ["an empty audience", (f) => ({ ...f, audience: "" }), "invalid_audience"],
    ["a list of audiences", (f) => ({ ...f, audience: [AUDIENCE] })],
  ];
  for (const field of ["access_key_id", "security_token", "date", "nonce", "audience", "signature", "algorithm"]) {
    const code = field === "audience" ? "invalid_audience" : "invalid_identity";
    for (const end of [
      "\r\nx-acs-action: AssumeRole",
      "\n",
      "\u0000",
      " ",
      ",Signature=0",
      "&Action=AssumeRole",
      "%00",
      "ü",
      "\u2028",
    ]) {
      spoiled.push([
        `${field} with ${JSON.stringify(end)} behind it`,
        (f) => ({ ...f, [field]: `${f[field] ?? ""}${end}` }),
        code,
      ]);
    }
    spoiled.push([`a number as ${field}`, (f) => ({ ...f, [field]: 1 })]);
  }
  test.each(spoiled)("%s", async (_, spoil, code = "invalid_identity") => {
    const before = h.cloud.calls.length;
    expect(await refusal(credential(spoil(good())))).toMatchObject({ status: 401, code });
    expect(h.cloud.calls.length).toBe(before);
  });

  const respelled: [what: string, respell: (token: string) => string][] = [
    ["padding", (token) => `${token}=`],
    ["base64's own alphabet", (token) => `${token}+/`],
    ["a character more", (token) => `${token}A`],
    ["a space behind its JSON", (token) => `${token.replace(/.$/, "")}~`],
    ["nothing behind the prefix", () => "acs1."],
    ["more than 4 KiB", () => credential({ ...good(), security_token: "A".repeat(3072) })],
    ["bytes that are no UTF-8", () => `acs1.${Buffer.from([0x22, 0xff, 0x22]).toString("base64url")}`],
    ["a byte order mark", () => credential(`\ufeff${JSON.stringify(good())}`)],
  ];
  test.each(respelled)("%s", async (_, respell) => {
    const before = h.cloud.calls.length;
    expect(await refusal(respell(credential(good())))).toMatchObject({ status: 401, code: "invalid_identity" });
    expect(h.cloud.calls.length).toBe(before);
  });
});

describe("when STS does not answer as it should", () => {
  const html = "<html>CANARY</html>";
  const account = DEFAULT_ACCOUNT;
  const whole = {
    AccountId: account,
    Arn: `acs:ram::${account}:user/tester`,
    IdentityType: "RAMUser",
    PrincipalId: "2",
  };
  const faults: [what: string, status: number, code: string, fault: Parameters<Harness["cloud"]["failNext"]>[1]][] = [
    ["a reset connection", 503, "upstream_unavailable", "reset"],
    ["an internal error", 503, "upstream_unavailable", { status: 500, code: "InternalError", message: "CANARY" }],
    ["an error page", 503, "upstream_unavailable", { status: 502, body: html }],
    ["throttling", 503, "upstream_unavailable", { status: 400, code: "Throttling.User", message: "CANARY" }],
    ["a page", 502, "upstream_rejected", { status: 200, body: html }],
    ["a page that there is not", 502, "upstream_rejected", { status: 404, body: html }],
    ["a refusal without a code", 502, "upstream_rejected", { status: 403, body: "{}" }],
    ["another success", 502, "upstream_rejected", { status: 204, body: "" }],
    ["an empty object", 502, "upstream_rejected", { status: 200, body: "{}" }],
    ["a list", 502, "upstream_rejected", { status: 200, body: "[]" }],
    ["null", 502, "upstream_rejected", { status: 200, body: "null" }],
    [
      "an oversized answer",
      502,
      "upstream_rejected",
      { status: 200, body: JSON.stringify({ ...whole, x: "x".repeat(65_536) }) },
    ],
    [
      "a number as account",
      502,
      "upstream_rejected",
      { status: 200, body: JSON.stringify({ ...whole, AccountId: 1234567890123456 }) },
    ],
    [
      "a key twice",
      502,
      "upstream_rejected",
      { status: 200, body: JSON.stringify(whole).replace("{", '{"AccountId":"1",') },
    ],
    ["an unknown refusal", 401, "invalid_identity", { status: 403, code: "Forbidden.CANARY", message: "CANARY" }],
  ];
  test.each(faults)("%s", async (_, status, code, fault) => {
    const before = asked();
    h.cloud.failNext("GetCallerIdentity", fault);
    const token = credential(signedWithAcs3(signing()));
    const response = await h.ask(PULL, token);
    const text = await response.text();
    expect([response.status, JSON.parse(text).code]).toEqual([status, code]);
    expect(response.headers.get("retry-after")).toBe(status === 503 ? "2" : null);
    expect(text).not.toContain("CANARY");
    // One attempt: STS may have seen the nonce.
    expect(asked() - before).toBe(1);
    // Nothing was accepted, so nothing was used up; STS never read this one.
    expect((await h.ask(PULL, token)).status).toBe(200);
  });

  test("an STS that never answers is not waited for", async () => {
    h.cloud.failNext("GetCallerIdentity", "hang");
    const response = await h.ask(PULL, credential(signedWithAcs3(signing())));
    expect(await response.json()).toMatchObject({ status: 504, code: "upstream_timeout" });
    expect(response.headers.get("retry-after")).toBe("2");
  });

  test.each<[string, RequestListener, number, string]>([
    [
      "a redirect",
      (_, response) => response.writeHead(307, { location: `${h.cloud.url}/` }).end(),
      503,
      "upstream_unavailable",
    ],
    [
      "half an answer",
      (_, response) => {
        response.writeHead(200, { "content-length": 100 }).write('{"AccountId":');
        setTimeout(() => response.destroy(), 20);
      },
      503,
      "upstream_unavailable",
    ],
    [
      "an answer that never ends",
      (_, response) => {
        response.writeHead(200);
        const drip = setInterval(() => response.write(" "), 50);
        response.on("close", () => clearInterval(drip));
      },
      504,
      "upstream_timeout",
    ],
    [
      "bytes that are no text",
      (_, response) => response.end(Buffer.from([0x22, 0xff, 0x22])),
      502,
      "upstream_rejected",
    ],
  ])("%s", async (_, listener, status, code) => {
    const server = createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const other = await startHarness({ policy: (cloud) => policy(`http://${host}`, cloud) });
    try {
      const before = asked();
      const token = credential(signedWithAcs3(signing({ host })));
      expect(await read(await other.ask(PULL, token))).toMatchObject({ status, code });
      expect(asked()).toBe(before);
    } finally {
      await other.close();
      server.closeAllConnections();
      server.close();
    }
  });
});

test("no issuer of this kind, no identity of this kind", async () => {
  const other = await startHarness();
  try {
    const token = credential(signedWithAcs3(signing({ host: other.cloud.host })));
    expect(await read(await other.ask(PULL, token))).toMatchObject({ status: 401, code: "invalid_identity" });
    expect(other.cloud.calls).toEqual([]);
  } finally {
    await other.close();
  }
});

test("the log names the caller by ARN, session name included, and none of what was sent", async () => {
  const fields = signedWithAcs3(signing());
  await h.ask(PULL, credential(fields));
  expect(h.logged().findLast(({ event }) => event === "decision")).toMatchObject({
    issuer: "ram",
    subject: `acs:ram::${DEFAULT_ACCOUNT}:assumed-role/ci-builder/job-42@web`,
  });
  for (const secret of ["signature", "nonce", "security_token"]) {
    expect(h.output.join(), secret).not.toContain(fields[secret]);
  }
});
