import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Issuer, startIssuer } from "./issuer.ts";

const NOW = new Date("2026-11-23T12:00:00Z");
let issuer: Issuer;

beforeAll(async () => {
  issuer = await startIssuer({ now: () => NOW, audience: "https://broker.test" });
});
afterAll(() => issuer.close());

async function postMint(body: string): Promise<Response> {
  return fetch(`${issuer.url}/mint`, { method: "POST", body });
}

async function publishedKids(): Promise<string[]> {
  const { keys } = (await (await fetch(`${issuer.url}/jwks`)).json()) as { keys: { kid: string }[] };
  return keys.map((key) => key.kid);
}

test("discovery names exactly the issuer string and a JWKS that verifies its tokens", async () => {
  const discovery = (await (await fetch(`${issuer.url}/.well-known/openid-configuration`)).json()) as {
    issuer: string;
    jwks_uri: string;
  };
  expect(discovery.issuer).toBe(issuer.url);

  const token = await issuer.mint({ ref: "refs/heads/main" });
  const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(discovery.jwks_uri)), {
    issuer: issuer.url,
    audience: "https://broker.test",
    currentDate: NOW,
    algorithms: ["RS256"],
  });
  expect(payload.ref).toBe("refs/heads/main");
});

test("missing claims get defaults: five minutes from now, and a jti of their own", async () => {
  const first = decodeJwt(await issuer.mint());
  const second = decodeJwt(await issuer.mint());
  const seconds = NOW.getTime() / 1000;
  expect(first).toMatchObject({ iat: seconds, nbf: seconds, exp: seconds + 300, sub: "sandbox" });
  expect(first.jti).not.toBe(second.jti);
});

test("claims in the request override the defaults, and null leaves one out", async () => {
  const response = await postMint(JSON.stringify({ sub: "someone", aud: ["a", "b"], exp: null, nested: { a: 1 } }));
  const { token } = (await response.json()) as { token: string };
  const claims = decodeJwt(token);
  expect(claims).toMatchObject({ iss: issuer.url, sub: "someone", aud: ["a", "b"], nested: { a: 1 } });
  expect(claims).not.toHaveProperty("exp");
});

test("only a JSON object is minted, and only by POST", async () => {
  expect((await postMint("[]")).status).toBe(400);
  expect((await postMint("{")).status).toBe(400);
  expect((await postMint(`{"a":"${"x".repeat(70_000)}"}`)).status).toBe(400);
  expect((await fetch(`${issuer.url}/mint`)).status).toBe(405);
});

test("rotation signs with a new key and publishes only that and the one before", async () => {
  const kidOf = async () => decodeProtectedHeader(await issuer.mint()).kid;
  const first = await kidOf();
  await issuer.rotateKeys();
  const second = await kidOf();
  expect(second).not.toBe(first);
  expect(await publishedKids()).toEqual(expect.arrayContaining([first, second]));

  await issuer.rotateKeys();
  const third = await kidOf();
  expect((await publishedKids()).sort()).toEqual([second, third].sort());
});

test("published keys have no private parts", async () => {
  const text = await (await fetch(`${issuer.url}/jwks`)).text();
  expect(text).not.toMatch(/"(d|p|q|dp|dq|qi)":/);
});
