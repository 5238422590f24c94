/** `POST /oauth2/token` over real HTTP, with an OAuth 2.0 client that others wrote: oauth4webapi. */

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import * as oauth from "oauth4webapi";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { oauthErrorOf } from "../../functions/broker/oauth-error.ts";
import { ERROR_STATUS, type ErrorCode } from "../../shared/error.ts";
import { AUDIENCE, type Harness, policy, read, startHarness } from "./harness.ts";

const KEY = `abk_script_${"5".repeat(64)}`;
const SHA256 = "9e17ed4de0fb207f5b5890f6072854eeb03eb41254c46e1db4b6fa21f7fd7e41";
const POLICY = (cloud: string, ci: string) =>
  policy(cloud, ci)
    .replace(`issuer: "${ci}"`, `issuer: "${ci}", replay: once`)
    .replace(
      "\nalibaba:",
      `
  keyed: { api_key: script, registry: prod, allow: ["repository:base/*:pull"], role_arn: "acs:ram::1234567890123456:role/acr-base", max_ttl: 900 }
api_keys: { script: { sha256: ${SHA256}, expires: 2099-01-01T00:00:00Z } }
alibaba:`,
    );

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange";
const TYPE = "urn:ietf:params:oauth:token-type:";
const PULL = "repository:web/app:pull";

let h: Harness;
beforeAll(async () => {
  h = await startHarness({ policy: POLICY, shadow: POLICY, secrets: [KEY.slice(-64)] });
});
afterAll(() => h.close());

/** As a user of the library writes it. */
async function exchange(parameters: Record<string, string>, auth: oauth.ClientAuth = oauth.None()) {
  const server: oauth.AuthorizationServer = { issuer: h.url, token_endpoint: `${h.url}/oauth2/token` };
  const client: oauth.Client = { client_id: "ci-job" };
  const response = await oauth.genericTokenEndpointRequest(server, client, auth, GRANT_TYPE, parameters, {
    [oauth.allowInsecureRequests]: true,
  });
  if (response.status >= 400) h.output.push(await response.clone().text());
  return oauth.processGenericTokenEndpointResponse(server, client, response, {
    recognizedTokenTypes: { n_a: () => {} },
  });
}

const fields = async (more: Record<string, string> = {}) => ({
  subject_token: more["subject_token"] ?? (await h.mint()),
  subject_token_type: `${TYPE}jwt`,
  audience: "prod",
  scope: PULL,
  ...more,
});

/** By hand, for what the library would not send. */
async function post(body: Record<string, string> | string | URLSearchParams, headers: Record<string, string> = {}) {
  return h.request("/oauth2/token", {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
    body: typeof body === "string" ? body : new URLSearchParams(body).toString(),
  });
}
const form = async (more: Record<string, string> = {}) => ({ grant_type: GRANT_TYPE, ...(await fields(more)) });

interface Refusal {
  readonly error: string;
  readonly error_description: string;
  readonly code: string;
  readonly request_id: string;
}

describe("a standard OAuth client", () => {
  test.each([
    ["an OIDC token, as jwt", `${TYPE}jwt`],
    ["an OIDC token, as id_token", `${TYPE}id_token`],
  ])("gets a credential for %s", async (_, subject_token_type) => {
    const answer = await exchange(await fields({ subject_token_type, requested_token_type: `${TYPE}access_token` }));
    expect(answer).toEqual({
      access_token: expect.stringMatching(/^.{20,}$/),
      username: "cr_temp_user",
      issued_token_type: `${TYPE}access_token`,
      token_type: "n_a",
      // The cloud's times have no fraction, and some of a second has passed.
      expires_in: expect.closeTo(1799, -1),
      scope: PULL,
    });
  });

  test("gets one for an API key, as access_token, at a host of the registry", async () => {
    const answer = await exchange({
      subject_token: KEY,
      subject_token_type: `${TYPE}access_token`,
      audience: "acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
      scope: "repository:base/alpine:pull",
    });
    expect(answer.scope).toBe("repository:base/alpine:pull");
  });

  test("asks for several scopes with spaces between them, and learns what was granted in canonical form", async () => {
    const answer = await exchange(await fields({ scope: "repository:web/b:push,pull  repository:web/a:pull" }));
    expect(answer.scope).toBe("repository:web/a:pull repository:web/b:pull,push");
  });

  test("sees its refusal as an OAuth error", async () => {
    const refused = exchange(await fields({ scope: "repository:other/app:pull" }));
    await expect(refused).rejects.toMatchObject({
      name: "ResponseBodyError",
      status: 400,
      error: "invalid_scope",
      error_description: expect.stringContaining("other/app"),
      cause: { code: "access_denied" },
    });
  });

  test.each([
    ["client_secret_basic", oauth.ClientSecretBasic("hush-hush"), "Basic"],
    ["client_secret_post", oauth.ClientSecretPost("hush-hush"), "Basic"],
  ])("that authenticates itself by %s is told that nobody is registered here", async (_, auth, scheme) => {
    await expect(exchange(await fields(), auth)).rejects.toMatchObject({
      // The library has an error of its own for a challenge.
      code: "OAUTH_WWW_AUTHENTICATE_CHALLENGE",
      status: 401,
      cause: [{ scheme: scheme.toLowerCase(), parameters: { realm: "acr-token-broker" } }],
    });
  });
});

describe("the answer", () => {
  test("has JSON's type, and is kept by nobody on the way", async () => {
    const response = await post(await form());
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(response.headers.get("pragma")).toBe("no-cache");
  });

  test("has the password that works at the cloud for these scopes alone", async () => {
    const { access_token } = (await (await post(await form())).json()) as { access_token: string };
    expect(h.cloud.secrets()).toContain(access_token);
  });

  test("gives what grant, ttl and min_ttl ask for, which RFC 8693 does not have", async () => {
    const { scope: _, audience: __, ...rest } = await form({ grant: "base-pull", ttl: "900", min_ttl: "60" });
    expect(await (await post(rest)).json()).toMatchObject({
      scope: "repository:base/*:pull",
      expires_in: expect.any(Number),
    });
  });
});

describe("the path is that of /v1/token", () => {
  test("a token that is good once is good once, whichever route it goes to", async () => {
    const token = await h.mint();
    expect((await h.ask({ registry: "prod", scope: [PULL] }, token)).status).toBe(200);
    // The same for the same repositories is one use; other repositories are another.
    const second = await post(await form({ subject_token: token, scope: "repository:web/other:pull" }));
    expect([second.status, await second.json()]).toEqual([
      400,
      expect.objectContaining({ error: "invalid_request", code: "token_replayed" }),
    ]);
  });

  test("a decision is recorded once, with the request's id and what was issued", async () => {
    const response = await post(await form());
    const id = response.headers.get("x-request-id");
    const events = h.logged().filter(({ request_id }) => request_id === id);
    expect(events).toEqual([
      expect.objectContaining({ event: "decision", outcome: "allow", issued: true, subject: "job" }),
      expect.objectContaining({ event: "request", route: "/oauth2/token", status: 200 }),
    ]);
  });

  test("a denial is recorded, and answered with the words of /v1/token", async () => {
    const scope = "repository:other/app:pull";
    const response = await post(await form({ scope }));
    const refusal = (await response.json()) as Refusal;
    const { code, detail } = await read(await h.ask({ registry: "prod", scope: [scope] }));
    expect(refusal.code).toBe(code);
    expect(refusal.error_description).toBe(detail.replaceAll('"', "'"));
    const id = response.headers.get("x-request-id");
    expect(refusal.request_id).toBe(id);
    expect(h.logged()).toContainEqual(expect.objectContaining({ event: "decision", outcome: "deny", request_id: id }));
  });
});

describe("a shadow policy", () => {
  test("is asked beside it", async () => {
    const shadow = (cloud: string, ci: string) =>
      POLICY(cloud, ci).replace("ref: refs/heads/main", "ref: refs/heads/x");
    const own = await startHarness({ policy: POLICY, shadow });
    const body = new URLSearchParams({ ...(await form()), subject_token: await own.mint() });
    expect((await own.request("/oauth2/token", { method: "POST", body })).status).toBe(200);
    expect(own.logged()).toContainEqual(expect.objectContaining({ event: "shadow", subject: "job", registry: "prod" }));
    await own.close();
  });
});

describe("refusals", () => {
  const cases: [string, string, string, string, () => Promise<Response>][] = [
    ["no grant_type", "invalid_request", "invalid_request", "grant_type is missing", () => post("scope=x")],
    [
      "another grant_type",
      "unsupported_grant_type",
      "invalid_request",
      GRANT_TYPE,
      async () => post({ ...(await form()), grant_type: "client_credentials" }),
    ],
    [
      "no subject_token",
      "invalid_request",
      "missing_credentials",
      AUDIENCE,
      async () => post(await form({ subject_token: "" })),
    ],
    [
      "a subject_token that is the word null",
      "invalid_request",
      "missing_credentials",
      "found none",
      async () => post(await form({ subject_token: "null" })),
    ],
    [
      "a subject_token of more than 8 KiB",
      "invalid_request",
      "invalid_token",
      "longer than 8192",
      async () => post(await form({ subject_token: "a".repeat(8193) })),
    ],
    [
      "a token of another issuer",
      "invalid_request",
      "untrusted_issuer",
      "not accepted here",
      async () => post(await form({ subject_token: await h.mint({ iss: "https://evil.example" }) })),
    ],
    [
      "a token for another audience",
      "invalid_request",
      "invalid_audience",
      AUDIENCE,
      async () => post(await form({ subject_token: await h.mint({ aud: "https://other.example" }) })),
    ],
    [
      "no subject_token_type",
      "invalid_request",
      "invalid_request",
      "subject_token_type must be one of",
      async () => post(await form({ subject_token_type: "" })),
    ],
    [
      "a subject_token_type that is not taken",
      "invalid_request",
      "invalid_request",
      "subject_token_type must be one of",
      async () => post(await form({ subject_token_type: `${TYPE}saml2` })),
    ],
    [
      "a JWT that is said to be an access_token",
      "invalid_request",
      "invalid_request",
      "send it as urn:ietf:params:oauth:token-type:jwt or",
      async () => post(await form({ subject_token_type: `${TYPE}access_token` })),
    ],
    [
      "an API key that is said to be a JWT",
      "invalid_request",
      "invalid_request",
      "API key or a signed identity",
      async () => post(await form({ subject_token: KEY })),
    ],
    [
      "another requested_token_type",
      "invalid_request",
      "invalid_request",
      "requested_token_type must be",
      async () => post(await form({ requested_token_type: `${TYPE}jwt` })),
    ],
    [
      "an actor_token",
      "invalid_request",
      "invalid_request",
      "actor_token is not taken",
      async () => post(await form({ actor_token: "x" })),
    ],
    [
      "registry, as /v1/token calls it",
      "invalid_request",
      "invalid_request",
      "called audience here",
      async () => post(await form({ registry: "lost" })),
    ],
    [
      "a resource",
      "invalid_target",
      "invalid_request",
      "name a registry as audience",
      async () => post(await form({ resource: "https://acme-registry.example" })),
    ],
    [
      "an audience that is no registry",
      "invalid_target",
      "unknown_registry",
      "there is prod, lost",
      async () => post(await form({ audience: "nowhere" })),
    ],
    [
      "two audiences",
      "invalid_target",
      "invalid_request",
      "one registry",
      async () => post(`${new URLSearchParams(await form())}&audience=lost`),
    ],
    [
      "no audience where there are several registries",
      "invalid_request",
      "invalid_request",
      "audience is missing",
      async () => post(await form({ audience: "" })),
    ],
    [
      "no scope",
      "invalid_request",
      "invalid_request",
      "never means everything",
      async () => post(await form({ scope: "" })),
    ],
    [
      "scope twice",
      "invalid_request",
      "invalid_request",
      "with spaces between",
      async () => post(`${new URLSearchParams(await form())}&scope=y`),
    ],
    [
      "a scope that is none",
      "invalid_scope",
      "invalid_scope",
      "web/app",
      async () => post(await form({ scope: "web/app" })),
    ],
    [
      "more repositories than fit into a session policy",
      "invalid_scope",
      "policy_too_large",
      "fewer",
      async () => {
        const names = Array.from({ length: 60 }, (_, i) => `repository:web/a-rather-long-name-${i}:pull`);
        return post(await form({ scope: names.join(" ") }));
      },
    ],
    [
      "a grant that is unknown to the caller",
      "invalid_scope",
      "unknown_grant",
      "no grant",
      async () => post(await form({ scope: "", grant: "nothing" })),
    ],
    [
      "a ttl that is no number",
      "invalid_request",
      "invalid_request",
      "ttl must be",
      async () => post(await form({ ttl: "soon" })),
    ],
    [
      "JSON",
      "invalid_request",
      "unsupported_media_type",
      "x-www-form-urlencoded",
      () => post("{}", { "content-type": "application/json" }),
    ],
    [
      "parameters in the URL",
      "invalid_request",
      "invalid_request",
      "in the body",
      async () =>
        h.request(`/oauth2/token?scope=${PULL}`, {
          method: "POST",
          headers: { "content-type": "application/x-www-form-urlencoded" },
          body: new URLSearchParams(await form()).toString(),
        }),
    ],
    [
      "more than 16 KiB",
      "invalid_request",
      "payload_too_large",
      "16384",
      async () => post(await form({ scope: "x".repeat(17_000) })),
    ],
    [
      "a token in the other header as well",
      "invalid_request",
      "invalid_request",
      "leave X-Acr-Broker-Authorization out",
      async () => post(await form(), { "x-acr-broker-authorization": `Bearer ${await h.mint()}` }),
    ],
  ];

  test.each(cases)("%s: %s", async (_, error, code, says, send) => {
    const response = await send();
    const body = (await response.json()) as Refusal;
    expect([response.status, body.error, body.code]).toEqual([400, error, code]);
    // RFC 6749 section 5.2.
    expect(body.error_description).toMatch(/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/);
    expect(body.error_description).toContain(says);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(response.headers.get("pragma")).toBe("no-cache");
    expect(response.headers.get("www-authenticate")).toBeNull();
  });

  test.each([
    ["Bearer x", "Bearer"],
    ["Basic eDp5", "Basic"],
    ["Digest username=x", "Bearer"],
  ])("Authorization: %s beside the token is a client that nobody knows", async (authorization, scheme) => {
    const response = await post(await form(), { authorization });
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe(`${scheme} realm="acr-token-broker"`);
    expect(await response.json()).toMatchObject({
      error: "invalid_client",
      error_description: expect.stringContaining("leave Authorization out"),
    });
  });

  test("what the caller wrote comes back in ASCII, without quotes and backslashes", async () => {
    const response = await post(await form({ audience: 'näch"ster\\\n' }));
    const { error_description } = (await response.json()) as Refusal;
    expect(error_description).toMatch(/^audience 'n\?ch/);
    expect(error_description).toMatch(/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/);
  });

  test("only POST is taken", async () => {
    const response = await h.request("/oauth2/token");
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
  });
});

test("Function Compute's own signature in Authorization is no client's", async () => {
  const authorization = "ACS3-HMAC-SHA256 Credential=x,SignedHeaders=host,Signature=y";
  expect((await post(await form(), { authorization })).status).toBe(200);
});

test("parameters that nobody knows, and those without a value, are passed over", async () => {
  expect((await post(await form({ foo: "bar", resource: "", actor_token: "", client_id: "x" }))).status).toBe(200);
});

test("a token of 8 KiB, too long for a header, is taken in the body", async () => {
  const bare = (await h.mint({ note: "" })).length;
  const subject_token = await h.mint({ note: "x".repeat(Math.floor(((8192 - bare) * 3) / 4) - 2) });
  expect(subject_token.length).toBeGreaterThan(8150);
  expect((await post(await form({ subject_token }))).status).toBe(200);
});

describe("trouble that is not the caller's", () => {
  let names = 0;
  const fresh = async () => post(await form({ scope: `repository:web/oauth-${names++}:pull` }));

  test("of the cloud for a while is temporarily_unavailable, with Retry-After", async () => {
    h.cloud.failNext("AssumeRole", "reset", 3);
    const response = await fresh();
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "2"]);
    expect(await response.json()).toMatchObject({ error: "temporarily_unavailable", code: "upstream_unavailable" });
  });

  test("of the cloud until the operator does something is server_error", async () => {
    h.cloud.failNext("AssumeRole", { status: 403, code: "NoPermission" });
    const response = await fresh();
    expect([response.status, response.headers.get("retry-after")]).toEqual([502, null]);
    expect(await response.json()).toMatchObject({ error: "server_error", code: "upstream_rejected" });
  });

  test("of an issuer is temporarily_unavailable", async () => {
    const response = await post(await form({ subject_token: await h.mint({ iss: "http://127.0.0.1:2" }) }));
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ error: "temporarily_unavailable", code: "issuer_unavailable" });
  });
});

const SECTION =
  /## `POST \/oauth2\/token`.*?\n## /s.exec(readFileSync(new URL("../../docs/api.md", import.meta.url), "utf8"))?.[0] ??
  "";

test("the curl line of docs/api.md gets a credential", async () => {
  const command = /^ {4}curl .*?\n\n/ms.exec(SECTION)?.[0] as string;
  const env = { PATH: process.env["PATH"], ACR_BROKER_URL: h.url, ACR_BROKER_TOKEN: await h.mint() };
  const { stdout } = await promisify(execFile)("sh", ["-c", command], { env });
  expect(JSON.parse(stdout)).toMatchObject({ username: "cr_temp_user", scope: PULL });
});

test("docs/api.md has the OAuth error and the status of each code", () => {
  const documented = [...SECTION.matchAll(/^\| ([\d, ]+) \| `(\w+)` \| (.*?) \|$/gm)].flatMap(
    ([, status, error, codes]) =>
      [...(codes as string).matchAll(/`(\w+)`/g)].map(([, code]) => ({ code, error, status })),
  );
  for (const [code, status] of Object.entries(ERROR_STATUS)) {
    if (code === "not_found" || code === "method_not_allowed") continue;
    const expected = oauthErrorOf(code as ErrorCode, status);
    expect(documented).toContainEqual({
      code,
      error: expected.error,
      status: expect.stringContaining(String(expected.status)),
    });
  }
});
