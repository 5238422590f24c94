import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AUDIENCE, type Harness, policy, read, startHarness } from "./harness.ts";

let h: Harness;
beforeAll(async () => {
  h = await startHarness();
});
afterAll(() => h.close());

const PULL = "repository:web/app:pull";

interface Refusal {
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly send: () => Promise<Response>;
}

const scope = [PULL];
const refusals: Refusal[] = [
  {
    title: "no credentials",
    status: 401,
    code: "missing_credentials",
    detail: AUDIENCE,
    send: () => h.request("/v1/token", { method: "POST" }),
  },
  {
    title: "no token at all",
    status: 401,
    code: "invalid_token",
    detail: "three parts",
    send: () => h.ask({ registry: "prod", scope }, "x"),
  },
  {
    title: "an expired token",
    status: 401,
    code: "token_expired",
    detail: "get a new one",
    send: async () =>
      h.ask({ registry: "prod", scope }, await h.mint({ iat: now() - 900, exp: now() - 600, nbf: now() - 900 })),
  },
  {
    title: "another issuer's token",
    status: 401,
    code: "untrusted_issuer",
    detail: "not accepted here",
    send: async () => h.ask({ registry: "prod", scope }, await h.mint({ iss: "https://evil.example" })),
  },
  {
    title: "a token for another audience",
    status: 401,
    code: "invalid_audience",
    detail: AUDIENCE,
    send: async () => h.ask({ registry: "prod", scope }, await h.mint({ aud: "https://other.example" })),
  },
  {
    title: "an API key",
    status: 401,
    code: "invalid_api_key",
    detail: "not accepted",
    send: () => h.ask({ scope }, "abk_nightly_0123"),
  },
  {
    title: "a signed identity",
    status: 401,
    code: "invalid_identity",
    detail: "not accepted",
    send: () => h.ask({ scope }, "acs1.e30"),
  },
  {
    title: "an issuer that does not answer",
    status: 503,
    code: "issuer_unavailable",
    detail: "ECONNREFUSED",
    send: async () => h.ask({ registry: "prod", scope }, await h.mint({ iss: "http://127.0.0.1:2" })),
  },
  {
    title: "nothing asked for",
    status: 400,
    code: "invalid_request",
    detail: "never means everything",
    send: () => h.ask({ registry: "prod" }),
  },
  {
    title: "an empty list",
    status: 400,
    code: "invalid_request",
    detail: "never means everything",
    send: () => h.ask({ registry: "prod", scope: [] }),
  },
  {
    title: "an empty text",
    status: 400,
    code: "invalid_request",
    detail: "never means everything",
    send: () => h.ask({ registry: "prod", scope: " " }),
  },
  {
    title: "scope and grant",
    status: 400,
    code: "invalid_request",
    detail: "not both",
    send: () => h.ask({ scope, grant: "web-main" }),
  },
  {
    title: "no registry of several",
    status: 400,
    code: "invalid_request",
    detail: "prod, lost",
    send: () => h.ask({ scope }),
  },
  {
    title: "a misspelt field",
    status: 400,
    code: "invalid_request",
    detail: '"scopes" is no field',
    send: () => h.ask({ scopes: scope }),
  },
  {
    title: "a list for a name",
    status: 400,
    code: "invalid_request",
    detail: "registry must be a string",
    send: () => h.ask({ registry: ["prod"], scope }),
  },
  {
    title: "a number for a scope",
    status: 400,
    code: "invalid_request",
    detail: "scope",
    send: () => h.ask({ registry: "prod", scope: [1] }),
  },
  {
    title: "a life that STS cannot give",
    status: 400,
    code: "invalid_request",
    detail: "at least 900",
    send: () => h.ask({ registry: "prod", scope, ttl: 60 }),
  },
  {
    title: "a life in words",
    status: 400,
    code: "invalid_request",
    detail: "ttl",
    send: () => h.ask({ registry: "prod", scope, ttl: "1h" }),
  },
  {
    title: "half a second",
    status: 400,
    code: "invalid_request",
    detail: "ttl",
    send: () => h.ask({ registry: "prod", scope, ttl: 900.5 }),
  },
  {
    title: "more left than there is",
    status: 400,
    code: "invalid_request",
    detail: "min_ttl is 1900",
    send: () => h.ask({ registry: "prod", scope, min_ttl: 1900 }),
  },
  {
    title: "an unknown format",
    status: 400,
    code: "invalid_request",
    detail: "one of json, password",
    send: () => h.ask({ registry: "prod", scope, format: "xml" }),
  },
  { title: "a list for a body", status: 400, code: "invalid_request", detail: "JSON object", send: () => h.ask([1]) },
  {
    title: "a key twice",
    status: 400,
    code: "invalid_request",
    detail: "twice",
    send: () => raw('{"registry":"prod","registry":"prod"}'),
  },
  { title: "half a body", status: 400, code: "invalid_request", detail: "not JSON", send: () => raw('{"registry":') },
  {
    title: "a field twice in a form",
    status: 400,
    code: "invalid_request",
    detail: "twice",
    send: () => raw("registry=prod&registry=lost", "application/x-www-form-urlencoded"),
  },
  {
    title: "body and query at odds",
    status: 400,
    code: "invalid_request",
    detail: "body and in the query",
    send: () => raw('{"registry":"prod"}', "application/json", "?registry=lost"),
  },
  {
    title: "a token in the query",
    status: 400,
    code: "invalid_request",
    detail: '"access_token" is no field',
    send: () => raw("", "application/json", "?access_token=x"),
  },
  {
    title: "a scope that is none",
    status: 400,
    code: "invalid_scope",
    detail: "exactly two levels",
    send: () => h.ask({ registry: "prod", scope: ["repository:web:pull"] }),
  },
  {
    title: "an unknown registry",
    status: 400,
    code: "unknown_registry",
    detail: "there is prod, lost",
    send: () => h.ask({ registry: "nope", scope }),
  },
  {
    title: "a grant that is not even nearly for the caller",
    status: 400,
    code: "unknown_grant",
    detail: '"untrusting"',
    send: () => h.ask({ grant: "untrusting" }),
  },
  {
    title: "a hundred and one scopes",
    status: 400,
    code: "invalid_request",
    detail: "more than 100",
    send: () => h.ask({ registry: "prod", scope: Array.from({ length: 101 }, (_, n) => `repository:web/a${n}:pull`) }),
  },
  {
    title: "an unknown grant",
    status: 400,
    code: "unknown_grant",
    detail: '"nope"',
    send: () => h.ask({ grant: "nope" }),
  },
  {
    title: "a grant of another registry",
    status: 400,
    code: "invalid_request",
    detail: "for registry prod",
    send: () => h.ask({ registry: "lost", grant: "web-main" }),
  },
  {
    title: "a failed condition",
    status: 403,
    code: "access_denied",
    detail: 'claim ref failed: the claim is "refs/heads/evil"',
    send: async () => h.ask({ registry: "prod", scope }, await h.mint({ ref: "refs/heads/evil" })),
  },
  {
    title: "a repository beyond the grants",
    status: 403,
    code: "access_denied",
    detail: "pull on secret/vault",
    send: () => h.ask({ registry: "prod", scope: ["repository:secret/vault:pull"] }),
  },
  {
    title: "one scope too many",
    status: 403,
    code: "access_denied",
    detail: "push on base/alpine",
    send: () => h.ask({ registry: "prod", scope: [PULL, "repository:base/alpine:push"] }),
  },
  {
    title: "an unknown path",
    status: 404,
    code: "not_found",
    detail: "nothing at this path",
    send: () => h.request("/v2/token", { method: "POST" }),
  },
  {
    title: "another method",
    status: 405,
    code: "method_not_allowed",
    detail: "use POST",
    send: () => h.request("/v1/token"),
  },
  {
    title: "a body beyond 16 KiB",
    status: 413,
    code: "payload_too_large",
    detail: "16384",
    send: () => h.ask({ pad: "x".repeat(17_000) }),
  },
  {
    title: "a stream beyond 16 KiB",
    status: 413,
    code: "payload_too_large",
    detail: "16384",
    send: () => stream("x".repeat(17_000)),
  },
  {
    title: "XML",
    status: 415,
    code: "unsupported_media_type",
    detail: '"text/xml"',
    send: () => raw("<scope/>", "text/xml"),
  },
  {
    title: "more scopes than fit",
    status: 422,
    code: "policy_too_large",
    detail: "2048",
    send: () =>
      h.ask({ registry: "prod", scope: Array.from({ length: 60 }, (_, index) => `repository:web/app-${index}:pull`) }),
  },
  {
    title: "a role that does not trust the broker",
    status: 502,
    code: "upstream_rejected",
    detail: "NoPermission",
    send: async () => h.ask({ registry: "prod", scope }, await h.mint({ sub: "untrusting" })),
  },
  {
    title: "a role that may not log in",
    status: 502,
    code: "upstream_rejected",
    detail: "GetAuthorizationToken",
    send: async () =>
      h.ask({ registry: "prod", scope: ["repository:base/alpine:pull"] }, await h.mint({ sub: "limited" })),
  },
  {
    title: "an instance that does not exist",
    status: 502,
    code: "upstream_rejected",
    detail: "instance_id or region",
    send: () => h.ask({ registry: "lost", scope }),
  },
];

const now = () => Math.floor(Date.now() / 1000);

async function raw(body: string, type = "application/json", query = ""): Promise<Response> {
  return h.request(`/v1/token${query}`, {
    method: "POST",
    headers: { authorization: `Bearer ${await h.mint()}`, "content-type": type },
    ...(body === "" ? {} : { body }),
  });
}

async function stream(text: string): Promise<Response> {
  const init = {
    method: "POST",
    headers: { authorization: `Bearer ${await h.mint()}`, "content-type": "application/json" },
  };
  return h.request("/v1/token", { ...init, body: new Blob([text]).stream(), duplex: "half" } as RequestInit);
}

describe("refusals", () => {
  test.each(refusals)("$title: $status $code", async ({ status, code, detail, send }) => {
    const response = await send();
    const body = await read(response);
    expect(body).toEqual({
      type: `urn:acr-token-broker:problem:${code}`,
      title: expect.any(String),
      status,
      detail: expect.stringContaining(detail),
      code,
      request_id: response.headers.get("x-request-id"),
    });
    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(response.headers.has("www-authenticate")).toBe(status === 401);
    if (status === 503) expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    if (status === 405) expect(response.headers.get("allow")).toBe("POST");
  });

  test("strangers learn nothing of grants", async () => {
    const other = await startHarness({
      policy: (cloud, issuer) =>
        policy(cloud, issuer)
          .replaceAll("{ issuer: ci,", "{ issuer: quiet,")
          .replace("issuer: ci\n", "issuer: quiet\n"),
    });
    const denied = await read(await other.ask({ registry: "prod", scope }, await other.mint()));
    expect(denied).toMatchObject({ code: "access_denied", detail: "the request was refused" });
    const named = await read(await other.ask({ grant: "web-main" }, await other.mint()));
    const invented = await read(await other.ask({ grant: "invented" }, await other.mint()));
    expect(named.detail.replace("web-main", "X")).toBe(invented.detail.replace("invented", "X"));
    await other.close();
  });
});
