import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Cloud, type RegistryLogin, startCloud } from "./cloud.ts";
import { createRealm, type Realm } from "./realm.ts";

const START = new Date("2026-11-23T12:00:00Z");
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const LOGIN: RegistryLogin = {
  arn: "acs:ram::1:assumed-role/acr-web/me",
  instanceId: "cri-abc123",
  expiresAt: new Date(START.getTime() + 900_000),
  allows: (action, repository) => repository === "web/app" || (repository === "base/os" && action === "pull"),
};

let realm: Realm;
let cloud: Cloud;
let now = START;
let registryNow = START;

beforeAll(async () => {
  realm = createRealm({ issuer: "realm.test", service: "registry.test", key: privateKey, now: () => registryNow });
  cloud = await startCloud({
    now: () => now,
    handlers: [
      (request, response, real) => {
        const login = (user: string, password: string) =>
          user === "me" && password === "pass:word" && now < LOGIN.expiresAt ? LOGIN : undefined;
        return realm.handler(request, response, { ...real, login });
      },
    ],
  });
});
afterAll(() => cloud.close());

interface Answer {
  token: string;
  access_token: string;
  expires_in: number;
}

async function ask(query: string, credentials: string | undefined = "me:pass:word"): Promise<Response> {
  const headers = credentials ? { authorization: `Basic ${Buffer.from(credentials).toString("base64")}` } : undefined;
  return fetch(`${cloud.url}/token?service=registry.test&${query}`, headers && { headers });
}

async function grantedFor(query: string): Promise<unknown> {
  const { token } = (await (await ask(query)).json()) as Answer;
  return decodeJwt(token)["access"];
}

test("a token has the claims of the specification and verifies with the realm's key", async () => {
  now = START;
  const body = (await (await ask("scope=repository:web/app:pull,push")).json()) as Answer;
  expect(body).toMatchObject({ expires_in: 60, access_token: body.token });
  const rules = { issuer: "realm.test", audience: "registry.test", currentDate: START };
  const { payload } = await jwtVerify(body.token, createPublicKey(privateKey), rules);
  const seconds = START.getTime() / 1000;
  expect(payload).toMatchObject({
    sub: LOGIN.arn,
    iat: seconds,
    nbf: seconds,
    exp: seconds + 60,
    jti: expect.any(String),
    access: [{ type: "repository", name: "web/app", actions: ["pull", "push"] }],
  });
  expect(decodeProtectedHeader(body.token)).not.toHaveProperty("x5c");
});

test("only what is both asked and allowed is granted", async () => {
  expect(await grantedFor("scope=repository:base/os:pull,push&scope=repository:secret/x:pull")).toEqual([
    { type: "repository", name: "base/os", actions: ["pull"] },
  ]);
  expect(await grantedFor("scope=repository:web/app:pull repository:base/os:pull")).toHaveLength(2);
  expect(await grantedFor("")).toEqual([]);
});

test("scopes that are malformed or not about repositories grant nothing", async () => {
  expect(await grantedFor("scope=registry:catalog:*&scope=repository:web/app&scope=repository:web/app:*")).toEqual([]);
});

test("no credentials, and wrong ones, get 401 with a Basic challenge", async () => {
  for (const credentials of ["", "me:wrong", "other:pass:word", "me"]) {
    const response = await ask("scope=repository:web/app:pull", credentials);
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe('Basic realm="registry.test"');
    expect(await response.json()).toMatchObject({ errors: [{ code: "UNAUTHORIZED" }] });
  }
});

test("a token never outlives its login, and after that the login is refused", async () => {
  now = new Date(LOGIN.expiresAt.getTime() - 5_000);
  expect(((await (await ask("scope=repository:web/app:pull")).json()) as Answer).expires_in).toBe(5);
  expect(await grantedFor("scope=repository:web/app:pull")).toHaveLength(1);
  now = LOGIN.expiresAt;
  expect((await ask("scope=repository:web/app:pull")).status).toBe(401);
  now = START;
});

test("the OAuth2 form grants the same", async () => {
  const post = (body: Record<string, string>) =>
    fetch(`${cloud.url}/token`, { method: "POST", body: new URLSearchParams({ service: "registry.test", ...body }) });
  const right = { grant_type: "password", username: "me", password: "pass:word" };
  const answer = (await (await post({ ...right, scope: "repository:web/app:push" })).json()) as Answer;
  expect(decodeJwt(answer.access_token)["access"]).toEqual([
    { type: "repository", name: "web/app", actions: ["push"] },
  ]);
  expect((await post({ ...right, password: "wrong" })).status).toBe(401);
  expect((await post({ ...right, grant_type: "refresh_token" })).status).toBe(400);
});

test("tokens for another service are not issued", async () => {
  const headers = { authorization: `Basic ${Buffer.from("me:pass:word").toString("base64")}` };
  expect((await fetch(`${cloud.url}/token?service=other`, { headers })).status).toBe(400);
});

test("verify believes its own tokens only, and only until they expire", async () => {
  const { token } = (await (await ask("scope=repository:web/app:pull")).json()) as Answer;
  const granted = [{ type: "repository", name: "web/app", actions: ["pull"] }];
  expect(await realm.verify(token)).toEqual(granted);
  const stranger = createRealm({ issuer: "realm.test", service: "registry.test", now: () => START });
  expect(await stranger.verify(token)).toBeUndefined();
  expect(await realm.verify("nonsense")).toBeUndefined();

  registryNow = new Date(START.getTime() + 59_000);
  expect(await realm.verify(token)).toEqual(granted);
  registryNow = new Date(START.getTime() + 60_000);
  expect(await realm.verify(token)).toBeUndefined();
  registryNow = START;
});
