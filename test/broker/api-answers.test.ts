/**
 * The API's description and the broker say the same: every answer, good or bad, is one that the document allows there, and
 * nothing that the document tells of is never answered.
 */

import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import type * as z from "zod/mini";
import type * as answers from "../../functions/broker/reference/answers.ts";
import { type OpenApi, openApi, type Schema } from "../../functions/broker/reference/document.ts";
import type { TokenExchangeBody } from "../../functions/broker/routes/token-exchange.ts";
import type { TokenResponseBody } from "../../functions/broker/token-response.ts";
import { ERROR_STATUS } from "../../shared/error.ts";
import { credential, signedWithAcs3 } from "../identity/signing.ts";
import { DEFAULT_ACCOUNT } from "../sandbox/world.ts";
import { AUDIENCE, type Harness, policy, startHarness } from "./harness.ts";

const KEY = `abk_script_${"5".repeat(64)}`;
const SHA256 = "9e17ed4de0fb207f5b5890f6072854eeb03eb41254c46e1db4b6fa21f7fd7e41";
const ROLE = "acs:ram::1234567890123456:role/acr-base";
const MORE = `
  teams: { issuer: ci, when: { sub: team }, registry: prod, allow: ["repository:\${team}/*:pull"], role_arn: "${ROLE}", max_ttl: 900 }
  office: { issuer: ci, when: { sub: office }, cidrs: [10.0.0.0/8], registry: prod, allow: ["repository:base/*:pull"], role_arn: "${ROLE}", max_ttl: 900 }
  keyed: { api_key: script, registry: prod, allow: ["repository:base/*:pull"], role_arn: "${ROLE}", max_ttl: 900 }
  member: { issuer: ci, when: { sub: member, groups: { contains: dev } }, registry: prod, allow: ["repository:base/*:pull"], role_arn: "${ROLE}", max_ttl: 900 }
  frozen: { issuer: ci, when: { sub: frozen }, registry: prod, allow: ["repository:base/*:pull"], role_arn: "${ROLE}", max_ttl: 900 }
blocks: { file: blocks.txt }
api_keys: { script: { sha256: ${SHA256}, expires: 2099-01-01T00:00:00Z } }
denials:
  sealed: { registry: prod, deny: ["repository:web/sealed:pull,push"] }
`;
const POLICY = (cloud: string, ci: string) =>
  policy(cloud, ci)
    .replace(`issuer: "${ci}"`, `issuer: "${ci}", replay: once`)
    .replace("issuers:", `issuers:\n  ram: { provider: alibaba, accounts: ["${DEFAULT_ACCOUNT}"] }`)
    .replace("\nalibaba:", `${MORE}alibaba:`);

const api: OpenApi = openApi("0.0.0-test");
const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true }).addSchema(api, "api");

let h: Harness;
/** Its function role has no keys. */
let keyless: Harness;
/** Fails where nobody thought that it could. */
let broken: Harness;
beforeAll(async () => {
  [h, keyless, broken] = await Promise.all([
    startHarness({
      policy: POLICY,
      secrets: [KEY.slice(-64)],
      files: { "blocks.txt": "subject ci blocked\ngrant frozen\n" },
      isAuditSinkUp: () => false,
    }),
    startHarness({ environment: () => ({ FC_FUNCTION_NAME: "broker" }) }),
    startHarness({
      environment: () => ({
        get ALIBABA_CLOUD_ACCESS_KEY_ID(): string {
          throw new TypeError("a defect");
        },
      }),
    }),
  ]);
});
afterAll(() => Promise.all([h, keyless, broken].map((one) => one?.close())));

/** What the answers were, as `component.field`, `METHOD path status` and codes. */
const seen = new Set<string>();

/** The answer, held to what the document says of it. */
async function answered(response: Response, method: "get" | "post"): Promise<unknown> {
  const { pathname } = new URL(response.url);
  const operation = api.paths[pathname]?.[method];
  const declared = operation?.responses[String(response.status)];
  const mediaType = (response.headers.get("content-type") ?? "").split(";")[0] as string;
  // A path that is not there, and a method that a path does not have, are told of by no operation.
  const schema =
    operation === undefined ? { $ref: "#/components/schemas/Problem" } : declared?.content?.[mediaType]?.schema;
  expect([pathname, response.status, mediaType, schema === undefined ? "is not documented" : "is"]).toContain("is");
  const text = await response.text();
  const body: unknown = mediaType.endsWith("json") ? JSON.parse(text) : text;
  const validate = ajv.compile({ ...bundled(schema as Schema) });
  expect([validate(body), validate.errors]).toEqual([true, null]);
  if (response.headers.has("retry-after") && operation !== undefined)
    expect(declared?.headers).toHaveProperty("Retry-After");
  if (response.status === 401) expect(response.headers.get("www-authenticate")).not.toBeNull();
  seen.add(`${method} ${pathname} ${response.status} ${mediaType}`);
  record(schema as Schema, body);
  const { code } = body as { code?: string };
  if (response.status >= 400) seen.add(`${code}`);
  return body;
}

/** As a schema of its own that finds the document's components. */
function bundled(schema: Schema): object {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"api#/components')) as object;
}

function target(schema: Schema): Schema {
  const name = schema.$ref?.split("/").at(-1);
  return name === undefined ? schema : (api.components.schemas[name] as Schema);
}

/** Marks each field of the value that the schema names. */
function record(schema: Schema, value: unknown, path = schema.$ref?.split("/").at(-1) ?? ""): void {
  for (const one of schema.oneOf ?? schema.anyOf ?? []) record(one, value, one.$ref?.split("/").at(-1) ?? path);
  if (typeof value !== "object" || value === null) return;
  const { properties = {}, items, additionalProperties } = target(schema);
  for (const [name, inner] of Object.entries(value)) {
    const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (property !== undefined) seen.add(`${path}.${name}`);
    const next = property ?? items ?? (typeof additionalProperties === "object" ? additionalProperties : undefined);
    if (next !== undefined) record(next, inner, property === undefined ? path : `${path}.${name}`);
  }
}

/** Each field that a schema names. */
function fieldsOf(schema: Schema, path: string): string[] {
  const { properties = {}, items, additionalProperties, anyOf = [] } = schema;
  const inner = [...anyOf, items, additionalProperties].filter((one) => typeof one === "object");
  return [
    ...Object.entries(properties).flatMap(([name, one]) => [`${path}.${name}`, ...fieldsOf(one, `${path}.${name}`)]),
    ...inner.flatMap((one) => fieldsOf(one, path)),
  ];
}

const SCOPE = "repository:base/alpine:pull";
const PULL = { registry: "prod", scope: [SCOPE] };
const TYPE = "urn:ietf:params:oauth:token-type:";

type Claims = Record<string, unknown>;
/** With a token of these claims, unless it is one already. */
const bearer = async (claims: Claims | string = {}, at = h) => ({
  authorization: `Bearer ${typeof claims === "string" ? claims : await at.mint(claims)}`,
});
const get = async (path: string, headers: Record<string, string> = {}, at = h) =>
  answered(await at.request(path, { headers }), "get");
const post = async (path: string, body: unknown, headers: Record<string, string>, at = h) =>
  answered(
    await at.request(path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    }),
    "post",
  );
/** To both routes that decide. */
const ask = async (fields: unknown, claims?: Claims | string) => post("/v1/token", fields, await bearer(claims));
const explain = async (fields: unknown, claims?: Claims | string) => post("/v1/explain", fields, await bearer(claims));
const exchange = async (more: Record<string, string> = {}, headers: Record<string, string> = {}, at = h) => {
  const form = {
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    subject_token: more["subject_token"] ?? (await at.mint()),
    subject_token_type: `${TYPE}jwt`,
    audience: "prod",
    scope: SCOPE,
    ...more,
  };
  const type = { "content-type": "application/x-www-form-urlencoded" };
  return post("/oauth2/token", new URLSearchParams(form).toString(), { ...type, ...headers }, at);
};
/** Where nothing is to be said of the answer but that the document allows it. */
async function held(send: () => Promise<unknown>): Promise<void> {
  await send();
}
const seconds = () => Math.floor((Date.now() + h.clock.aheadMs) / 1000);
const expired = () => ({ iat: seconds() - 900, nbf: seconds() - 900, exp: seconds() - 600 });
let repositories = 0;
const fresh = () => ({ registry: "prod", scope: [`repository:web/answer-${repositories++}:pull`] });
const many = Array.from({ length: 60 }, (_, i) => `repository:web/a-rather-long-name-${i}:pull`);
const signed = () =>
  credential(
    signedWithAcs3({
      keys: { accessKeyId: "LTAI5tSomebodyOrOther", accessKeySecret: "x" },
      host: h.cloud.host,
      audience: AUDIENCE,
    }),
  );

describe("answers that give something", () => {
  test.each(["json", "password", "docker-config", "env", "kubernetes-secret"])("a credential as %s", (format) =>
    held(() => ask({ ...PULL, format })),
  );
  test("an exchanged token", () => held(exchange));
  test.each([
    "/.well-known/acr-broker",
    "/healthz",
    "/readyz",
    "/version",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/pre-stop",
  ])("%s", (path) => held(() => get(path)));
  test("one of two who wait for the end of what is under way", async () => {
    h.cloud.failNext("AssumeRole", { delayMs: 100 });
    const under = ask(fresh());
    while (h.broker.health.inFlight === 0) await new Promise(setImmediate);
    await Promise.all([get("/pre-stop"), get("/pre-stop"), under]);
  });
  test("/initialize", () => held(() => post("/initialize", "", {})));
  test("who a CI job and an API key are", async () => {
    await get("/v1/whoami", await bearer());
    await get("/v1/whoami", await bearer(KEY));
  });
  test.each(["blocked", "frozen"])("who somebody is that is %s", async (sub) => {
    await get("/v1/whoami", await bearer({ sub }));
  });
  test.each<[string, Claims | string, unknown]>([
    ["allowed", {}, PULL],
    ["allowed, to an API key", KEY, PULL],
    ["allowed, but too large", {}, { registry: "prod", scope: many }],
    ["denied by a condition", { ref: "refs/heads/x" }, { registry: "prod", scope: ["repository:web/app:pull"] }],
    [
      "denied by a claim that cannot be compared",
      { ref: { a: 1 } },
      { registry: "prod", scope: ["repository:web/app:pull"] },
    ],
    ["denied by a claim that is a list", { sub: "member", groups: ["ops"] }, PULL],
    ["denied by the network", { sub: "office" }, PULL],
    ["denied by a denial", {}, { registry: "prod", scope: ["repository:web/sealed:pull"] }],
    [
      "with a claim in a scope",
      { sub: "team", team: "blue" },
      { registry: "prod", scope: ["repository:blue/app:pull"] },
    ],
    ["with a claim that is no part of a scope", { sub: "team", team: "a/b" }, PULL],
    ["to a stranger", { sub: "nobody" }, PULL],
  ])("an explanation of what is %s", (_, claims, fields) => held(() => explain(fields, claims)));
});

describe("answers that refuse", () => {
  const refusals: [string, () => Promise<unknown>][] = [
    ["invalid_request", () => ask({})],
    ["invalid_scope", () => ask({ ...PULL, scope: ["web/app"] })],
    ["unknown_registry", () => ask({ ...PULL, registry: "nowhere" })],
    ["unknown_grant", () => ask({ grant: "nothing" })],
    ["missing_credentials", () => post("/v1/token", PULL, {})],
    ["invalid_token", () => ask(PULL, "x")],
    ["token_expired", () => ask(PULL, expired())],
    ["untrusted_issuer", () => ask(PULL, { iss: "https://evil.example" })],
    ["invalid_audience", () => ask(PULL, { aud: "https://other.example" })],
    [
      "token_replayed",
      async () => {
        const token = await h.mint();
        await ask(PULL, token);
        return ask(fresh(), token);
      },
    ],
    ["invalid_api_key", () => ask(PULL, "abk_nightly_0123")],
    ["invalid_identity", () => ask(PULL, "acs1.e30")],
    ["access_denied", () => ask({ ...PULL, scope: ["repository:other/app:pull"] })],
    ["not_found", () => get("/nowhere")],
    ["method_not_allowed", () => get("/v1/token")],
    ["payload_too_large", () => ask("x".repeat(17_000))],
    [
      "unsupported_media_type",
      async () => post("/v1/token", "x", { ...(await bearer()), "content-type": "text/plain" }),
    ],
    ["policy_too_large", () => ask({ registry: "prod", scope: many })],
    [
      "rate_limited",
      async () => {
        h.cloud.failNext("GetCallerIdentity", { delayMs: 1500 }, 100);
        const all = await Promise.all(
          Array.from({ length: 101 }, () => ask(PULL, signed()) as Promise<{ code: string }>),
        );
        return all.find(({ code }) => code === "rate_limited");
      },
    ],
    [
      "upstream_rejected",
      () => {
        h.cloud.failNext("AssumeRole", { status: 403, code: "NoPermission" });
        return ask(fresh());
      },
    ],
    [
      "upstream_unavailable",
      () => {
        h.cloud.failNext("AssumeRole", "reset", 3);
        return ask(fresh());
      },
    ],
    ["issuer_unavailable", () => ask(PULL, { iss: "http://127.0.0.1:2" })],
    ["not_ready", async () => post("/v1/token", PULL, await bearer({}, keyless), keyless)],
    [
      "upstream_timeout",
      () => {
        h.cloud.failNext("AssumeRole", "hang", 3);
        return ask(fresh());
      },
    ],
    ["internal_error", async () => post("/v1/token", PULL, await bearer({}, broken), broken)],
  ];

  test.each(refusals)("%s", async (code, send) => {
    expect(await send()).toMatchObject({ code });
  });

  test("the table has every code", () => {
    expect(refusals.map(([code]) => code).sort()).toEqual([...Object.keys(ERROR_STATUS), "internal_error"].sort());
  });

  test.each<[string, () => Promise<unknown>]>([
    ["a stranger's token at whoami", async () => get("/v1/whoami", await bearer({ iss: "https://evil.example" }))],
    ["no keys at readyz", () => get("/readyz", {}, keyless)],
    ["a defect at readyz", () => get("/readyz", {}, broken)],
    ["explain without scopes", () => explain({})],
    ["explain without a token", () => post("/v1/explain", PULL, {})],
  ])("%s", (_, send) => held(send));

  test.each<[string, string, () => Promise<unknown>]>([
    ["invalid_request", "invalid_request", () => exchange({ scope: "" })],
    ["invalid_request", "token_expired", async () => exchange({ subject_token: await h.mint(expired()) })],
    ["invalid_request", "payload_too_large", () => exchange({ scope: "x".repeat(17_000) })],
    ["invalid_client", "invalid_request", () => exchange({}, { authorization: "Basic eDp5" })],
    ["invalid_scope", "access_denied", () => exchange({ scope: "repository:other/app:pull" })],
    ["invalid_target", "unknown_registry", () => exchange({ audience: "nowhere" })],
    ["unsupported_grant_type", "invalid_request", () => exchange({ grant_type: "password" })],
    ["temporarily_unavailable", "not_ready", () => exchange({}, {}, keyless)],
    ["server_error", "internal_error", () => exchange({}, {}, broken)],
    [
      "server_error",
      "upstream_rejected",
      () => {
        h.cloud.failNext("AssumeRole", { status: 403, code: "NoPermission" });
        return exchange({ scope: fresh().scope[0] as string });
      },
    ],
  ])("OAuth 2.0's %s for %s", async (error, code, send) => {
    expect(await send()).toMatchObject({ error, code });
  });
});

// Last: the tests above are what was seen.
describe("nothing is documented that is never answered", () => {
  const requests = ["TokenRequest", "TokenExchangeRequest"];

  test("every field", () => {
    const documented = Object.entries(api.components.schemas)
      .filter(([name]) => !requests.includes(name))
      .flatMap(([name, schema]) => fieldsOf(schema, name));
    expect(documented.filter((field) => !seen.has(field))).toEqual([]);
  });

  test("every success of every operation, in each media type", () => {
    const documented = Object.entries(api.paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, { responses }]) =>
        Object.keys(responses["200"]?.content ?? {}).map((mediaType) => `${method} ${path} 200 ${mediaType}`),
      ),
    );
    expect(documented.length).toBeGreaterThan(12);
    expect(documented.filter((one) => !seen.has(one))).toEqual([]);
  });
});

test("the schemas are of the types that the routes are made of", () => {
  expectTypeOf<z.output<typeof answers.exchanged>>().toEqualTypeOf<TokenExchangeBody>();
  expectTypeOf<keyof z.output<typeof answers.credential>>().toEqualTypeOf<keyof TokenResponseBody>();
});
