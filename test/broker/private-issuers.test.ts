/** Issuers that are not public, from a token to a credential over real HTTP: behind a private CA, and many of one form. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Certificate, makeCa } from "../certificates.ts";
import { type Issuers, startIssuers } from "../sandbox/issuers.ts";
import { AUDIENCE, type Harness, read, startHarness } from "./harness.ts";

const PULL = { scope: ["repository:web/app:pull"] };

/** A broker with these issuers, and a grant for `sub: job` of each one of them. */
function start(issuers: Readonly<Record<string, string>>, grants: Readonly<Record<string, string>>, files = {}) {
  const lines = (entries: Readonly<Record<string, string>>) =>
    Object.entries(entries).map(([name, text]) => `  ${name}: { ${text} }\n`);
  const rest =
    'registry: prod, allow: ["repository:web/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-web", max_ttl: 900';
  return startHarness({
    files,
    policy: (cloud) => `
version: 1
audience: ${AUDIENCE}
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [acme.example.com] }
issuers:
${lines(issuers).join("")}
grants:
${lines(grants)
  .map((line) => line.replace(/ }\n$/, `, ${rest} }\n`))
  .join("")}
alibaba: { sts_endpoint: "${cloud}", cr_endpoint: "${cloud}" }
`,
  });
}

describe("behind a private CA", () => {
  const ca = makeCa();
  const withChain = ({ cert, key }: Certificate) => ({ cert: cert + ca.cert, key });
  let h: Harness;
  const servers: Record<string, Issuers> = {};
  const secure = async (name: string, tls: Certificate) => {
    servers[name] = await startIssuers([""], { audience: AUDIENCE, tls });
    return `provider: generic, issuer: "${servers[name].origin}"`;
  };
  beforeAll(async () => {
    const names = ["good", "pinned-url", "foreign", "expired", "elsewhere", "unknown", "whole-chain"];
    h = await start(
      {
        good: `${await secure("good", ca.server("localhost"))}, ca_file: ./ca.pem`,
        "pinned-url": `${await secure("pinned-url", ca.server("localhost"))}, ca_file: ./ca.pem, jwks_uri: "${servers["pinned-url"]?.origin}/jwks"`,
        foreign: `${await secure("foreign", makeCa().server("localhost"))}, ca_file: ./ca.pem`,
        expired: `${await secure("expired", ca.server("localhost", -1))}, ca_file: ./ca.pem`,
        elsewhere: `${await secure("elsewhere", ca.server("issuer.example"))}, ca_file: ./ca.pem`,
        unknown: await secure("unknown", ca.server("localhost")),
        "whole-chain": await secure("whole-chain", withChain(ca.server("localhost"))),
      },
      Object.fromEntries(names.map((name) => [name, `issuer: ${name}, when: { sub: job }`])),
      { "./ca.pem": ca.cert },
    );
  });
  afterAll(() => Promise.all([h.close(), ...Object.values(servers).map((one) => one.close())]));

  const ask = async (name: string) => read(await h.ask(PULL, await servers[name]?.mint("", { sub: "job" })));

  test.each(["good", "pinned-url"])(
    "an issuer whose certificate is of the CA in ca_file vouches for its callers: %s",
    async (name) => {
      expect(await ask(name)).toMatchObject({ username: "cr_temp_user", password: expect.any(String) });
    },
  );

  test.each([
    [
      "foreign",
      /^the keys of issuer foreign .*\(UNABLE_TO_GET_ISSUER_CERT_LOCALLY\); its certificate is of no CA in ca_file: put the one that signed it there$/,
    ],
    ["expired", /\(CERT_HAS_EXPIRED\); its certificate or its CA's has expired: have it renewed$/],
    [
      "elsewhere",
      /\(ERR_TLS_CERT_ALTNAME_INVALID\); its certificate is for other host names: have it issued for the issuer's$/,
    ],
    ["unknown", /\(UNABLE_TO_VERIFY_LEAF_SIGNATURE\); its certificate is of no public CA: name its CA in ca_file$/],
    ["whole-chain", /\(SELF_SIGNED_CERT_IN_CHAIN\); its certificate is of no public CA: name its CA in ca_file$/],
  ])(
    "an issuer with a certificate that is not to be believed is not asked, and the operator told what to do: %s",
    async (name, detail) => {
      expect(await ask(name)).toMatchObject({
        status: 503,
        code: "issuer_unavailable",
        detail: expect.stringMatching(detail),
      });
      expect(servers[name]?.asked).toEqual([]);
    },
  );
});

describe("many of one form", () => {
  let issuers: Issuers;
  let h: Harness;
  beforeAll(async () => {
    issuers = await startIssuers(["/org/a", "/org/b", "/org/c"], { audience: AUDIENCE });
    const iss = (org: string) => JSON.stringify(`${issuers.origin}/org/${org}`);
    h = await start(
      { orgs: `provider: generic, issuer_template: "${issuers.origin}/org/{org}", replay: once` },
      {
        "of-a": `issuer: orgs, when: { iss: ${iss("a")}, sub: job }`,
        "of-both": `issuer: orgs, when: { iss: { any_of: [${iss("a")}, ${iss("b")}] }, sub: both }`,
      },
    );
  });
  afterAll(() => Promise.all([h.close(), issuers.close()]));

  const ask = async (path: string, claims: Record<string, unknown>, key?: string) =>
    read(await h.ask(PULL, await issuers.mint(path, claims, key)));

  test("each vouches for its own callers, by its own keys", async () => {
    expect(await ask("/org/a", { sub: "job" })).toMatchObject({ password: expect.any(String) });
    expect(await ask("/org/b", { sub: "both" })).toMatchObject({ password: expect.any(String) });
    expect(issuers.asked.filter((path) => path.endsWith("openid-configuration"))).toEqual([
      "/org/a/.well-known/openid-configuration",
      "/org/b/.well-known/openid-configuration",
    ]);
  });

  test("a grant for one is none for another", async () => {
    expect(await ask("/org/b", { sub: "job" })).toMatchObject({ status: 403, code: "access_denied" });
  });

  test.each([
    ["/org/a", "/org/b"],
    ["/org/b", "/org/a"],
  ])("a token of %s by the key of %s is refused", async (path, key) => {
    expect(await ask(path, { sub: "both" }, key)).toMatchObject({
      status: 401,
      code: "invalid_token",
      detail: expect.stringContaining(`of issuer orgs${path.replace("/org", "")}`),
    });
  });

  test("one that no grant names is not trusted, and nothing is fetched from it", async () => {
    const before = issuers.asked.length;
    expect(await ask("/org/c", { sub: "job" })).toMatchObject({ status: 401, code: "untrusted_issuer" });
    expect(issuers.asked).toHaveLength(before);
  });

  test("callers of one subject in two are two callers: in names, sessions, caches and records", async () => {
    const passwords = new Set();
    for (const org of ["a", "b"]) passwords.add((await ask(`/org/${org}`, { sub: "both" })).password);
    expect(passwords.size).toBe(2);
    const decisions = h.logged().filter(({ event, issued }) => event === "decision" && issued === true);
    const [a, b] = decisions.slice(-2);
    expect(a).toMatchObject({ issuer: "orgs", issuer_member: "a", subject: "both" });
    expect(b).toMatchObject({ issuer: "orgs", issuer_member: "b", subject: "both" });
    expect(a?.["session_name"]).toMatch(/^orgs-a-both-/);
    expect(b?.["session_name"]).toMatch(/^orgs-b-both-/);
  });

  test("that iss is one that a grant names is not enough to be told of the grant", async () => {
    const token = await issuers.mint("/org/a", { sub: "stranger" });
    const response = await h.request("/v1/explain", {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(PULL),
    });
    expect(await response.json()).toMatchObject({ outcome: "deny", grants: [] });
  });

  test("the same jti from two is no replay, from one it is", async () => {
    const jti = "1";
    expect(await ask("/org/a", { sub: "both", jti })).toMatchObject({ password: expect.any(String) });
    expect(await ask("/org/b", { sub: "both", jti })).toMatchObject({ password: expect.any(String) });
    expect(await ask("/org/b", { sub: "both", jti })).toMatchObject({ code: "token_replayed" });
  });

  test("at the start the keys of those that grants name are fetched, and of no others", async () => {
    const asked = await startIssuers(["/org/a", "/org/c"], { audience: AUDIENCE });
    const iss = `${asked.origin}/org/a`;
    const broker = await start(
      { orgs: `provider: generic, issuer_template: "${asked.origin}/org/{org}"` },
      { only: `issuer: orgs, when: { iss: "${iss}", sub: job }` },
    );
    await broker.request("/initialize", { method: "POST" });
    expect(asked.asked).toEqual(["/org/a/.well-known/openid-configuration", "/org/a/jwks"]);
    await Promise.all([broker.close(), asked.close()]);
  });
});

test("many of one form may stand behind one private CA", async () => {
  const ca = makeCa();
  const issuers = await startIssuers(["/org/a"], { audience: AUDIENCE, tls: ca.server("localhost") });
  const h = await start(
    { orgs: `provider: generic, issuer_template: "${issuers.origin}/org/{org}", ca_file: ca.pem` },
    { only: `issuer: orgs, when: { iss: "${issuers.origin}/org/a", sub: job }` },
    { "ca.pem": ca.cert },
  );
  const token = await issuers.mint("/org/a", { sub: "job" });
  expect(await read(await h.ask(PULL, token))).toMatchObject({ password: expect.any(String) });
  await Promise.all([h.close(), issuers.close()]);
});
