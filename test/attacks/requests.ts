/** Requests around a token: where it stands, how often, beside what, by which method and to which path. */

import { type Attack, ask, askExchange, FIELDS, JSON_TYPE, refused } from "./attack.ts";
import { type Attacker, AUDIENCE } from "./attacker.ts";
import { type Written, written } from "./socket.ts";

type Header = readonly [string, string];
const BODY = JSON.stringify(FIELDS);

/** No Authorization but what stands here. */
const withHeaders =
  (make: (a: Attacker) => readonly Header[], request: Written = {}) =>
  (a: Attacker) =>
    written({ body: BODY, ...request, headers: [JSON_TYPE, ...make(a)] });

/** A sound token, and something beside it. */
const beside =
  (headers: readonly Header[], request: Written = {}) =>
  (a: Attacker) =>
    ask(a.sign(), { ...request, headers: [JSON_TYPE, ...headers] });

const bearer = (token: string): Header => ["Authorization", `Bearer ${token}`];
const method =
  (name: string, target = "/v1/token") =>
  (a: Attacker) =>
    ask(a.sign(), { method: name, target });

export const authorizations: Attack[] = [
  ...refused(401, "missing_credentials", {
    nothing: withHeaders(() => []),
    "an empty header": withHeaders(() => [["Authorization", ""]]),
    "a scheme without a token": withHeaders(() => [["Authorization", "Bearer"]]),
    "a scheme and spaces": withHeaders(() => [["Authorization", "Bearer    "]]),
    "the word null": withHeaders(() => [bearer("null")]),
    "the word undefined": withHeaders(() => [bearer("undefined")]),
    "a token in a cookie": withHeaders((a) => [["Cookie", `token=${a.sign()}; Authorization=Bearer ${a.sign()}`]]),
    "a token in Proxy-Authorization": withHeaders((a) => [["Proxy-Authorization", `Bearer ${a.sign()}`]]),
    "a token in X-Authorization": withHeaders((a) => [["X-Authorization", `Bearer ${a.sign()}`]]),
    "a token in X-Forwarded-Authorization": withHeaders((a) => [["X-Forwarded-Authorization", `Bearer ${a.sign()}`]]),
    "a token in X-Original-Authorization": withHeaders((a) => [["X-Original-Authorization", `Bearer ${a.sign()}`]]),
    "a token in X-Api-Key": withHeaders((a) => [["X-Api-Key", a.apiKeys.nightly]]),
    "an identity in X-Remote-User": withHeaders((a) => [
      ["X-Remote-User", `job-${a.canary}`],
      ["X-Forwarded-User", "job"],
    ]),
    "an identity in X-Client-Cert": withHeaders((a) => [
      ["X-Client-Cert", a.canary],
      ["X-Forwarded-Client-Cert", "Subject=job"],
    ]),
    "an authority for the identity, in a header of Function Compute's": withHeaders(() => [
      ["X-Fc-Account-Id", "1234567890123456"],
    ]),
    "an access token in the query": withHeaders(() => [], { target: `/v1/token?access_token=x` }),
    "a Function Compute signature alone": withHeaders((a) => [
      ["Authorization", `ACS3-HMAC-SHA256 Credential=${a.canary},Signature=0`],
    ]),
    "an underscore for the hyphen": withHeaders((a) => [["X_Acr_Broker_Authorization", `Bearer ${a.sign()}`]]),
  }),
  ...refused(401, "invalid_token", {
    "basic credentials": withHeaders((a) => [
      ["Authorization", `Basic ${Buffer.from(`job:${a.canary}`).toString("base64")}`],
    ]),
    "a digest": withHeaders((a) => [["Authorization", `Digest username="job", response="${a.canary}"`]]),
    Negotiate: withHeaders((a) => [["Authorization", `Negotiate ${a.canary}`]]),
    DPoP: withHeaders((a) => [["Authorization", `DPoP ${a.sign()}`]]),
    "a token without its scheme": withHeaders((a) => [["Authorization", a.sign()]]),
    "a scheme that only begins so": withHeaders((a) => [["Authorization", `Bearerx ${a.sign()}`]]),
    "a tab for the space": withHeaders((a) => [["Authorization", `Bearer\t${a.sign()}`]]),
    "a colon for the space": withHeaders((a) => [["Authorization", `Bearer:${a.sign()}`]]),
    "two tokens": withHeaders((a) => [["Authorization", `Bearer ${a.sign()} ${a.sign()}`]]),
    "two tokens with a comma": withHeaders((a) => [["Authorization", `Bearer ${a.sign()}, Bearer ${a.sign()}`]]),
    "a token and a parameter": withHeaders((a) => [["Authorization", `Bearer ${a.sign()}, realm="x"`]]),
    "a token= before it": withHeaders((a) => [["Authorization", `Bearer token=${a.sign()}`]]),
    "the scheme twice": withHeaders((a) => [["Authorization", `Bearer Bearer ${a.sign()}`]]),
    "an accent on it": withHeaders((a) => [["Authorization", `Bearer ${a.sign()}\u00e9`]]),
    "a space that breaks no line": withHeaders((a) => [["Authorization", `Bearer ${a.sign()}\u00a0`]]),
    quotes: withHeaders((a) => [["Authorization", `Bearer '${a.sign()}'`]]),
    "random letters": withHeaders((a) => [["Authorization", `Bearer ${a.canary}`]]),
    "seven thousand letters": withHeaders((a) => [["Authorization", `Bearer ${a.canary}${"x".repeat(7000)}`]]),
    "seven thousand spaces": withHeaders((a) => [["Authorization", `Bearer${" ".repeat(7000)}${a.canary}`]]),
    "a bad token first and a sound one second": withHeaders((a) => [bearer(a.canary), bearer(a.sign())]),
    "a bad token beside, and a sound one in Authorization's other scheme": withHeaders((a) => [
      ["X-Acr-Broker-Authorization", `Bearer ${a.canary}`],
      ["Authorization", `ACS3-HMAC-SHA256 Credential=${a.sign()}`],
    ]),
    "two headers beside, of which both are sound": withHeaders((a) => [
      ["X-Acr-Broker-Authorization", `Bearer ${a.sign()}`],
      ["X-Acr-Broker-Authorization", `Bearer ${a.sign()}`],
    ]),
  }),
  ...refused(400, "invalid_request", {
    "a credential in both headers": withHeaders((a) => [
      bearer(a.sign()),
      ["X-Acr-Broker-Authorization", `Bearer ${a.sign()}`],
    ]),
    "the same credential in both headers": withHeaders((a) => {
      const token = a.sign();
      return [bearer(token), ["X-Acr-Broker-Authorization", `Bearer ${token}`]];
    }),
    "a sound one in Authorization and a bad one beside": withHeaders((a) => [
      bearer(a.sign()),
      ["X-Acr-Broker-Authorization", `Bearer ${a.canary}`],
    ]),
    "a bad one in Authorization and a sound one beside": withHeaders((a) => [
      bearer(a.canary),
      ["X-Acr-Broker-Authorization", `Bearer ${a.sign()}`],
    ]),
    "a subject_token and Authorization": (a) =>
      ask(a.sign(), { body: JSON.stringify({ ...FIELDS, subject_token: a.sign() }) }),
    "a token in the body": (a) => ask(a.sign(), { body: JSON.stringify({ ...FIELDS, token: a.sign() }) }),
    "an access token in the body and one in the header (RFC 6750 section 2)": (a) =>
      ask(a.sign(), { body: JSON.stringify({ ...FIELDS, access_token: a.sign() }) }),
    "an access token in the query and one in the header": (a) => ask(a.sign(), { target: "/v1/token?access_token=x" }),
  }),
];

export const paths: Attack[] = [
  ...refused(405, "method_not_allowed", {
    ...Object.fromEntries(
      [
        "GET",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "TRACE",
        "PROPFIND",
        "MKCOL",
        "COPY",
        "LOCK",
        "SEARCH",
        "PURGE",
        "LINK",
        "REPORT",
        "QUERY",
      ].map((name) => [`${name} of a token`, method(name)]),
    ),
    "GET of the exchange": method("GET", "/oauth2/token"),
    "DELETE of the caller": method("DELETE", "/v1/whoami"),
    "POST of the caller": method("POST", "/v1/whoami"),
    "TRACE of the caller": method("TRACE", "/v1/whoami"),
    "POST of health": method("POST", "/healthz"),
    "GET of initialize": method("GET", "/initialize"),
    "POST of pre-stop": method("POST", "/pre-stop"),
    ...Object.fromEntries(
      ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"].map((name) => [
        `${name}`,
        (a: Attacker) => ask(a.sign(), { method: "GET", headers: [[name, "POST"]] }),
      ]),
    ),
  }),
  ...refused(404, "not_found", {
    ...Object.fromEntries(
      [
        "/v1/token/",
        "/V1/token",
        "/v1/TOKEN",
        "//v1/token",
        "/v1//token",
        "/./v1/../token",
        "/v1/token/..",
        "/v1/tok%00en",
        "/v1/token%00",
        "/v1/token%20",
        "/v1/token;x=1",
        "/v1/token.json",
        "/v1%2ftoken",
        "/v1/%2e%2e/v1%2ftoken",
        "/admin",
        "/.env",
        "/.git/config",
        "/broker.yaml",
        "/../broker.yaml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fcode/broker.yaml",
        "/debug/pprof",
        "/__proto__",
        "/constructor",
        "/v1/constructor",
        "/2016-08-15/proxy/x/y/",
        "/latest/meta-data/",
        `/${"a".repeat(3000)}`,
        `/${"../".repeat(1000)}`,
        `/${"%2e".repeat(1000)}`,
        `/${"/".repeat(3000)}`,
        "/v1/token/repository:web/app:pull",
      ].map((target) => [`no route: ${target.slice(0, 60)}`, (a: Attacker) => ask(a.sign(), { target })]),
    ),
    "a secret in the path": (a) => ask(a.sign(), { target: `/v1/token/${a.canary}` }),
    "a token in the path": (a) => ask(a.sign(), { target: `/v1/${a.sign()}` }),
    "another path in X-Original-URL": (a) =>
      ask(a.sign(), {
        target: "/none",
        headers: [JSON_TYPE, ["X-Original-URL", "/v1/token"], ["X-Rewrite-URL", "/v1/token"]],
      }),
    "another path in X-Forwarded-Prefix": (a) =>
      ask(a.sign(), {
        target: "/none",
        headers: [JSON_TYPE, ["X-Forwarded-Prefix", "/v1/token"], ["X-Forwarded-Path", "/v1/token"]],
      }),
  }),
];

/** Denied whatever the request says of where it comes from and where it goes; a sound request is no use here, so it asks for more than it may. */
const BEYOND = JSON.stringify({ ...FIELDS, scope: ["repository:secret/vault:pull"] });
const ADDRESSES: readonly Header[] = [
  ["X-Forwarded-For", "10.0.0.1"],
  ["X-Forwarded-For", "10.0.0.1, 127.0.0.1"],
  ["X-Real-IP", "10.0.0.1"],
  ["X-Client-IP", "10.0.0.1"],
  ["True-Client-IP", "10.0.0.1"],
  ["CF-Connecting-IP", "10.0.0.1"],
  ["Forwarded", "for=10.0.0.1;proto=https;host=broker"],
  ["X-Fc-Client-Ip", "10.0.0.1"],
  ["Ali-CDN-Real-IP", "10.0.0.1"],
  ["X-Cluster-Client-Ip", "10.0.0.1"],
  ["X-Forwarded-For", "::ffff:10.0.0.1"],
  ["X-Forwarded-For", "10.0.0.1\u0000"],
];

export const spoofed: Attack[] = [
  ...refused(401, "invalid_api_key", {
    ...Object.fromEntries(
      ADDRESSES.slice(0, -1).map((header) => [
        `an address in ${header[0]}: ${header[1]}`,
        withHeaders((a) => [bearer(a.apiKeys.boxed), header]),
      ]),
    ),
  }),
  ...refused(
    401,
    "invalid_api_key",
    Object.fromEntries(
      ADDRESSES.slice(0, 8).map((header) => [
        `inside Function Compute, an address in ${header[0]}: ${header[1]}`,
        withHeaders((a) => [bearer(a.apiKeys.boxed), header]),
      ]),
    ),
    { inside: true },
  ),
  ...refused(403, "access_denied", {
    "a role's keys in headers, outside Function Compute": beside(
      [
        ["X-Fc-Access-Key-Id", "STS.evil"],
        ["X-Fc-Access-Key-Secret", "evil"],
        ["X-Fc-Security-Token", "evil"],
      ],
      { body: BEYOND },
    ),
    "another host": beside([], { body: BEYOND, host: "evil.example" }),
    "a host in X-Forwarded-Host": beside(
      [
        ["X-Forwarded-Host", "evil.example"],
        ["X-Forwarded-Proto", "http"],
      ],
      { body: BEYOND },
    ),
    "a function's own name in headers": beside(
      [
        ["X-Fc-Function-Name", "broker"],
        ["X-Fc-Request-Id", "1-evil"],
        ["X-Fc-Control-Path", "/initialize"],
      ],
      { body: BEYOND },
    ),
    "a page of another origin": beside(
      [
        ["Origin", "https://evil.example"],
        ["Sec-Fetch-Site", "cross-site"],
      ],
      { body: BEYOND },
    ),
    "a request id that would be two log lines": beside(
      [["X-Request-Id", 'a","event":"decision","issued":true,"x":"']],
      { body: BEYOND },
    ),
    "an address twice": (a) =>
      ask(a.sign(), {
        body: BEYOND,
        headers: [JSON_TYPE, ["X-Forwarded-For", "10.0.0.1"], ["X-Forwarded-For", "10.0.0.2"]],
      }),
  }),
  ...refused(
    502,
    "upstream_rejected",
    {
      "inside Function Compute, a role's keys that are nobody's": beside([
        ["X-Fc-Access-Key-Id", "STS.NEvilEvilEvilEvil"],
        ["X-Fc-Access-Key-Secret", "evil"],
        ["X-Fc-Security-Token", "evil"],
      ]),
    },
    { inside: true },
  ),
  ...refused(
    403,
    "access_denied",
    {
      "inside Function Compute, a hook's header": beside(
        [
          ["X-Fc-Control-Path", "/initialize"],
          ["X-Fc-Invocation-Target", "x"],
        ],
        { body: BEYOND },
      ),
      "inside Function Compute, a request id that is none": beside([["X-Fc-Request-Id", "a b\tc"]], { body: BEYOND }),
      "inside Function Compute, two of three keys": beside(
        [
          ["X-Fc-Access-Key-Id", "a"],
          ["X-Fc-Access-Key-Secret", "b"],
        ],
        { body: BEYOND },
      ),
    },
    { inside: true },
  ),
];

/** What reading requests allow a stranger, and what they tell him. */
export const readers: Attack[] = [
  ...refused(401, "missing_credentials", {
    "whoami for nobody": () => written({ method: "GET", target: "/v1/whoami" }),
    "explain for nobody": () => written({ target: "/v1/explain", headers: [JSON_TYPE], body: BODY }),
  }),
  ...refused(401, "untrusted_issuer", {
    "whoami for a stranger": (a) =>
      ask(a.sign(a.claims({ iss: "https://evil.example" })), { method: "GET", target: "/v1/whoami", body: "" }),
    "explain for a stranger": (a) => ask(a.sign(a.claims({ iss: "https://evil.example" })), { target: "/v1/explain" }),
  }),
  ...refused(400, "unknown_grant", {
    "explain of a grant of another's": (a) => ask(a.sign(), { target: "/v1/explain", body: '{"grant":"second"}' }),
  }),
  ...refused(400, "invalid_scope", {
    "explain of a scope that is none": (a) =>
      ask(a.sign(), { target: "/v1/explain", body: '{"registry":"prod","scope":["*"]}' }),
  }),
  ...refused(413, "payload_too_large", {
    "explain of a body that is too large": (a) => ask(a.sign(), { target: "/v1/explain", body: "x".repeat(20_000) }),
  }),
];

const TYPE = "urn:ietf:params:oauth:token-type:";
const exchanging =
  (fields: Readonly<Record<string, string>> | string, request: Written = {}) =>
  (a: Attacker) =>
    askExchange(a.sign(), fields, request);

export const exchanges: Attack[] = [
  ...refused(400, "invalid_request", {
    "another grant_type": exchanging({ grant_type: "client_credentials" }),
    "a grant_type of a JWT bearer": exchanging({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer" }),
    "a grant_type of another case": exchanging({ grant_type: "urn:ietf:params:oauth:grant-type:Token-Exchange" }),
    "no grant_type": exchanging({ grant_type: "" }),
    "two grant_types": exchanging("grant_type=client_credentials"),
    "two subject_tokens": exchanging("subject_token=x"),
    "two subject_tokens, one name escaped": exchanging("subject%5Ftoken=x"),
    "two subject_token_types": exchanging(`subject_token_type=${TYPE}jwt`),
    "two scopes": exchanging("scope=repository:secret/vault:pull"),
    "two audiences": exchanging("audience=spare"),
    "a resource": exchanging({ resource: "https://evil.example" }),
    "an actor": exchanging({ actor_token: "x" }),
    "an actor's type": exchanging({ actor_token_type: `${TYPE}jwt` }),
    "a registry": exchanging({ registry: "prod" }),
    "a format": exchanging({ format: "password" }),
    "a JWT as an access token": exchanging({ subject_token_type: `${TYPE}access_token` }),
    "a SAML assertion": exchanging({ subject_token_type: `${TYPE}saml2` }),
    "a refresh token": exchanging({ subject_token_type: `${TYPE}refresh_token` }),
    "a type that every object has": exchanging({ subject_token_type: "__proto__" }),
    "no type": exchanging({ subject_token_type: "" }),
    "a refresh token asked for": exchanging({ requested_token_type: `${TYPE}refresh_token` }),
    "a JWT asked for": exchanging({ requested_token_type: `${TYPE}jwt` }),
    "no scope": exchanging({ scope: "" }),
    "a scope and a grant": exchanging({ grant: "pinned" }),
    "a life that is none": exchanging({ ttl: "1e3" }),
    "a negative rest": exchanging({ min_ttl: "-1" }),
    "parameters in the URL": exchanging({}, { target: "/oauth2/token?scope=x" }),
    "a question mark alone and its parameter": exchanging({}, { target: "/oauth2/token?grant=pinned" }),
    "a token beside": (a) =>
      askExchange(
        a.sign(),
        {},
        {
          headers: [
            ["Content-Type", "application/x-www-form-urlencoded"],
            ["X-Acr-Broker-Authorization", `Bearer ${a.sign()}`],
          ],
        },
      ),
    "an API key as a JWT": (a) => askExchange(a.apiKeys.nightly, { subject_token_type: `${TYPE}jwt` }),
    "bytes that are no UTF-8": (a) =>
      askExchange(a.sign(), {}, { body: Buffer.concat([Buffer.from("grant_type="), Buffer.from([0xff])]) }),
  }),
  ...refused(401, "invalid_request", {
    "a client's password": (a) => askExchange(a.sign(), { client_secret: a.canary }),
    "a client's assertion": (a) => askExchange(a.sign(), { client_assertion: a.sign() }),
    "a token in Authorization": (a) =>
      askExchange(a.sign(), {}, { headers: [["Content-Type", "application/x-www-form-urlencoded"], bearer(a.sign())] }),
    "a client in Authorization": (a) =>
      askExchange(
        a.sign(),
        {},
        {
          headers: [
            ["Content-Type", "application/x-www-form-urlencoded"],
            ["Authorization", `Basic ${Buffer.from(`c:${a.canary}`).toString("base64")}`],
          ],
        },
      ),
  }),
  ...refused(400, "missing_credentials", {
    "no subject_token": (a) => askExchange("", { note: a.canary }),
    "a subject_token of null": () => askExchange("null"),
  }),
  ...refused(400, "invalid_token", {
    "a subject_token with a line's end behind it": (a) => askExchange(`${a.sign()}\n`),
    "a subject_token with a space behind it": (a) => askExchange(`${a.sign()} `),
    "a subject_token with a space before it": (a) => askExchange(` ${a.sign()}`),
    "a subject_token with a NUL behind it": (a) => askExchange(`${a.sign()}\0`),
    "a subject_token with its scheme": (a) => askExchange(`Bearer ${a.sign()}`),
    "a subject_token broken into lines": (a) => askExchange(a.sign().replace(/.{64}/g, "$&\n")),
    "a subject_token of ten thousand letters": (a) => askExchange(`${a.canary}${"x".repeat(10_000)}`),
  }),
  ...refused(400, "unknown_registry", {
    ...Object.fromEntries(
      [
        "__proto__",
        "constructor",
        "PROD",
        AUDIENCE,
        "cri-abc123",
        "acme-registry.cn-hangzhou.cr.aliyuncs.com.evil.example",
        "acme-registry.cn-hangzhou.cr.aliyuncs.com:443",
        "evil@acme-registry.cn-hangzhou.cr.aliyuncs.com",
      ].map((audience) => [`an audience of ${audience}`, exchanging({ audience })]),
    ),
  }),
  ...refused(400, "unknown_grant", { "a grant of another's": exchanging({ scope: "", grant: "second" }) }),
  ...refused(400, "unsupported_media_type", {
    "JSON for a form": (a) => askExchange(a.sign(), {}, { headers: [JSON_TYPE], body: "{}" }),
    "no type for a form": (a) => askExchange(a.sign(), {}, { headers: [] }),
  }),
];
