/** What strangers send: each reader makes something sound of it or refuses it with a code, and is never astonished. */

import fc from "fast-check";
import { expect } from "vitest";
import { parseDocument } from "yaml";
import { tokenExchange } from "../../functions/broker/token-exchange-request.ts";
import { type TokenRequest, tokenRequest } from "../../functions/broker/token-request.ts";
import type { OidcIssuer } from "../../shared/config/config.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { BrokerError } from "../../shared/error.ts";
import { identity } from "../../shared/identity/identify.ts";
import { checkClaims, parseToken } from "../../shared/identity/jwt.ts";
import { parseSignedIdentity } from "../../shared/identity/signed-identity.ts";
import { parseStrictJson } from "../../shared/json.ts";
import { formatScope, parseScope } from "../../shared/policy/scope.ts";
import { fuzzed } from "./fuzzed.ts";

const NOW = new Date("2026-06-01T12:00:00Z");
const noNetwork = () => Promise.reject(new TypeError("fetch failed"));

const CONFIG = parseConfig(
  `
version: 1
audience: https://broker.example
registries:
  prod: { instance_id: cri-abc123, region: cn-hangzhou, account_id: "1234567890123456", endpoints: [prod.example.com] }
issuers:
  pinned: { provider: generic, issuer: https://issuer.example, jwks_file: ./keys.json }
  ram: { provider: alibaba, accounts: ["1234567890123456"] }
grants:
  web: { issuer: pinned, when: { sub: job }, registry: prod, allow: ["repository:web/*:pull"], role_arn: "acs:ram::1234567890123456:role/web", max_ttl: 900 }
  nightly: { api_key: nightly, registry: prod, allow: ["repository:web/*:pull"], role_arn: "acs:ram::1234567890123456:role/web", max_ttl: 900 }
api_keys:
  nightly: { sha256: ${"ab".repeat(32)}, expires: 2999-01-01T00:00:00Z }
`,
  {
    file: "broker.yaml",
    readFile: () =>
      JSON.stringify({
        keys: [
          // The generator of P-256, on which no signature of these runs will ever have been made.
          {
            kty: "EC",
            crv: "P-256",
            alg: "RS256",
            x: "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
            y: "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
          },
        ],
      }),
  },
);

/** Runs it; only a refusal of one of these statuses may come of it. */
function soundOrRefused<Value>(statuses: readonly number[], read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    expect(statuses).toContain(error.status);
    expect(error.message).not.toMatch(/undefined|\[object|Invalid input/);
    return undefined;
  }
}

const text = fc.string({ unit: "binary", maxLength: 20 });
/** Text that is nearly `sound`: some of it cut out, something put in. */
const near = (sound: string, odd: readonly string[]) =>
  fc
    .tuple(fc.nat(sound.length), fc.nat(3), fc.oneof(text, fc.constantFrom("", ...odd)))
    .map(([at, cut, inserted]) => sound.slice(0, at) + inserted + sound.slice(at + cut));

const SCOPE = /^repository:([a-z0-9._-]+)\/([a-z0-9._-]+|\*):(?:pull|push|pull,push|push,pull)$/;

const scope = fuzzed(
  "a scope is read as it is written, or not at all",
  1000,
  fc.oneof(
    text,
    near("repository:web/app:pull,push", ["*", "/", ":", ",", "..", "%2F", "\u0000", "ａ", "__", "-"]),
    near("repository:web/*:pull", ["*", "/", "**", "a"]),
  ),
  (input) => {
    const result = parseScope(input);
    if ("problem" in result) {
      expect(result.problem.length).toBeGreaterThan(10);
      return;
    }
    const [, namespace, repository] = SCOPE.exec(input) ?? [];
    expect({ namespace, repository }).toEqual({
      namespace: result.scope.namespace,
      repository: result.scope.repository,
    });
    expect(parseScope(formatScope(result.scope))).toEqual(result);
  },
);

const jsonText = fc.oneof(
  fc.json({ maxDepth: 4 }),
  near('{"a":1,"b":{"a":2,"\\u0061":3},"c":[{"a":1}],"d\\"e":"{\\"a\\":1}"}', [
    '"a":1,',
    '"',
    "{",
    "}",
    "\\",
    ",",
    ":",
  ]),
  fc
    .array(fc.tuple(fc.constantFrom('"a"', '"\\u0061"', '"b"', '"a\\n"', '""'), fc.json({ maxDepth: 1 })), {
      maxLength: 4,
    })
    .map((pairs) => `{${pairs.map(([name, value]) => `${name}:${value}`).join(",")}}`),
);

const json = fuzzed("JSON means what JSON.parse says, or has a key twice, or is none", 1000, jsonText, (input) => {
  let value: unknown;
  try {
    value = JSON.parse(input);
  } catch {
    expect(() => parseStrictJson(input)).toThrow(SyntaxError);
    return;
  }
  // YAML has all of JSON but a carriage return that ends no line, which no text of JSON's has in it; and its reader another author.
  const { errors } = parseDocument(input.replaceAll("\r", " "), { uniqueKeys: true, strict: false });
  if (errors.some(({ code }) => code === "DUPLICATE_KEY")) expect(() => parseStrictJson(input)).toThrow("twice");
  else expect(parseStrictJson(input)).toEqual(value);
});

const encoded = (part: string) => Buffer.from(part).toString("base64url");
const part = fc.oneof(
  fc.json({ maxDepth: 2 }).map(encoded),
  near('{"alg":"RS256","kid":"a"}', ['"jwk":{},', '"alg":"none",', "\ufeff"]).map(encoded),
  near('{"iss":"https://issuer.example"}', ['"iss":1,', "{", "\u0000"]).map(encoded),
  near(encoded('{"alg":"RS256"}'), ["=", "+", "/", ".", " ", "\n"]),
);

const SOUND_TOKEN = ['{"alg":"RS256"}', '{"iss":"https://issuer.example"}', "sign"].map(encoded).join(".");
const letter = fc.constantFrom(..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

const token = fuzzed(
  "a token comes apart in one way, or not at all",
  1000,
  fc.oneof(
    text,
    fc.array(part, { maxLength: 5 }).map((parts) => parts.join(".")),
    near(SOUND_TOKEN, ["=", "==", "+", "/", ".", " ", "\n"]),
    fc
      .tuple(fc.nat(SOUND_TOKEN.length - 1), letter)
      .map(([at, other]) => SOUND_TOKEN.slice(0, at) + other + SOUND_TOKEN.slice(at + 1)),
  ),
  (input) => {
    const parsed = soundOrRefused([401], () => parseToken(input));
    if (parsed === undefined) return;
    const parts = input.split(".");
    expect(parts).toHaveLength(3);
    expect(parts.map((one) => Buffer.from(one, "base64url").toString("base64url"))).toEqual(parts);
    expect(parsed.claims).toEqual(JSON.parse(Buffer.from(parts[1] as string, "base64url").toString()));
  },
);

const ISSUER: OidcIssuer = {
  name: "fuzzed",
  provider: "generic",
  issuer: "https://issuer.example",
  audience: "https://broker.example",
  algorithms: ["RS256"],
  keys: { from: "file", path: "keys.json", jwks: { keys: [] } },
  maxTokenLifetimeSeconds: 3600,
  replay: "off",
};
const seconds = NOW.getTime() / 1000;
const SOUND = { iss: ISSUER.issuer, sub: "job", aud: ISSUER.audience, iat: seconds, exp: seconds + 60, jti: "1" };
const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.constantFrom(-1e300, 1e300, 8.64e12, 8.64e15, -8.64e12, 2 ** 53, seconds, seconds + 60, seconds - 60),
);
const claim = fc.oneof(number, fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(...Object.values(SOUND)));

const claims = fuzzed(
  "claims are a caller whose token is good now, or a refusal",
  1000,
  fc.dictionary(fc.constantFrom("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "toString"), claim, { maxKeys: 3 }),
  (changed) => {
    const verified = soundOrRefused([401], () => checkClaims({ ...SOUND, ...changed }, ISSUER, NOW));
    if (verified === undefined) return;
    expect(verified.subject.length).toBeGreaterThan(0);
    // 60 s are what clocks may differ by, 3,600 s what a token may live.
    expect(verified.expiresAt.getTime()).toBeGreaterThan(NOW.getTime() - 1000);
    expect(verified.expiresAt.getTime()).toBeLessThanOrEqual(NOW.getTime() + (3600 + 120) * 1000);
  },
);

const fields = {
  access_key_id: "LTAI5tExampleExample",
  date: "2026-06-01T12:00:00Z",
  nonce: "0123456789abcdef",
  audience: "https://broker.example",
  signature: "0".repeat(64),
};
const signedIdentity = fuzzed(
  "a signed identity has fields of their form alone, or is none",
  1000,
  fc.oneof(
    jsonText,
    near(JSON.stringify(fields), ["\r\n", '"host":"x",', "\u0000", ",", '"nonce":"x",']),
    fc
      .dictionary(
        fc.constantFrom(...Object.keys(fields), "security_token", "algorithm", "__proto__"),
        fc.oneof(text, claim),
        { maxKeys: 3 },
      )
      .map((changed) => JSON.stringify({ ...fields, ...changed })),
  ),
  (input) => {
    const parsed = soundOrRefused([401], () => parseSignedIdentity(`acs1.${encoded(input)}`));
    if (parsed === undefined) return;
    const { audience: _, ...rest } = parsed;
    for (const value of Object.values(rest)) expect(value).toMatch(/^[\x21-\x7e]+$/);
  },
);

const header = fuzzed(
  "an Authorization header that nobody was given opens nothing",
  300,
  fc.oneof(
    text,
    fc
      .tuple(
        fc.constantFrom("Bearer ", "bearer  ", "Basic ", "Bearer", ""),
        fc.oneof(
          text,
          fc.array(part, { maxLength: 4 }).map((parts) => parts.join(".")),
          near(`abk_nightly_${"0".repeat(64)}`, ["_", "A", "\n"]),
          near(`acs1.${encoded(JSON.stringify(fields))}`, ["=", "."]),
        ),
      )
      .map((parts) => parts.join("")),
  ),
  async (input) => {
    const { identify } = identity(
      CONFIG,
      noNetwork,
      () => noNetwork,
      () => NOW,
    );
    const outcome = await identify(input).catch((error: unknown) => error);
    expect(outcome).toBeInstanceOf(BrokerError);
    // What is of the form of a signed identity is asked of STS, which does not answer here.
    expect([401, 503]).toContain((outcome as BrokerError).status);
  },
);

const field = fc.constantFrom(
  "registry",
  "scope",
  "grant",
  "ttl",
  "min_ttl",
  "format",
  "audience",
  "subject_token",
  "__proto__",
  "toString",
);
const value = fc.oneof(text, fc.constantFrom("prod", "repository:web/app:pull", "900", "json", "web", "*", ""));
const parameters = fc
  .array(fc.tuple(field, value), { maxLength: 5 })
  .map((pairs) => new URLSearchParams(pairs).toString());
const body = fc.oneof(
  parameters,
  fc
    .tuple(
      fc.constantFrom("scope", "grant"),
      fc.oneof(value, fc.array(fc.constantFrom("", " ", "repository:web/app:pull"), { maxLength: 2 })),
    )
    .map(([name, wanted]) => JSON.stringify({ [name]: wanted })),
  jsonText,
  fc
    .dictionary(field, fc.oneof(value, fc.array(value, { maxLength: 2 }), claim), { maxKeys: 4 })
    .map((one) => JSON.stringify(one)),
  near('{"registry":"prod","scope":["repository:web/app:pull"],"ttl":900}', ['"scope":1,', "[", "null", "\ufeff"]),
);

function expectSound(request: TokenRequest): void {
  if ("grant" in request.wanted) expect(request.wanted.grant.length).toBeGreaterThan(0);
  else expect(request.wanted.scopes.length).toBeGreaterThan(0);
  for (const time of [request.ttlSeconds ?? 900, request.minTtlSeconds ?? 0])
    expect(Number.isSafeInteger(time)).toBe(true);
  expect(request.ttlSeconds ?? 900).toBeGreaterThanOrEqual(900);
}

const fieldsOfRequest = fuzzed(
  "a request asks for something, each field once, or is refused",
  1000,
  fc.record({
    body,
    query: parameters,
    type: fc.constantFrom(
      "application/json",
      "application/x-www-form-urlencoded",
      "APPLICATION/JSON; charset=x",
      "text/plain",
      "",
    ),
  }),
  ({ body: sent, query, type }) => {
    const request = new Request(`https://broker.example/v1/token?${query}`, {
      method: "POST",
      headers: type === "" ? {} : { "content-type": type },
    });
    const read = soundOrRefused([400, 415], () => tokenRequest(request, sent));
    if (read !== undefined) expectSound(read);
  },
);

const exchange = fuzzed(
  "a token exchange is one, or is refused",
  1000,
  fc
    .tuple(
      fc.constantFrom(
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=a&subject_token_type=urn:ietf:params:oauth:token-type:jwt&",
        "",
      ),
      fc.oneof(parameters, text),
    )
    .map((parts) => parts.join("")),
  (form) => {
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const request = new Request("https://broker.example/oauth2/token", { method: "POST", headers });
    const read = soundOrRefused([400, 401], () => tokenExchange(request, form, CONFIG));
    if (read === undefined) return;
    expect(read.subjectToken.length).toBeGreaterThan(0);
    const asked = soundOrRefused([400], () => read.request());
    if (asked !== undefined) expectSound(asked);
  },
);

export const requests = [scope, json, token, claims, signedIdentity, header, fieldsOfRequest, exchange];
