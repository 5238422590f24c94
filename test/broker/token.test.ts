import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { AUDIENCE, type Harness, policy, read, startHarness } from "./harness.ts";

let h: Harness;
beforeAll(async () => {
  h = await startHarness();
});
afterEach(() => {
  h.clock.aheadMs = 0;
});
afterAll(() => h.close());

const PULL = "repository:web/app:pull";
const upstreamCalls = (api: string, since = 0) => h.cloud.calls.slice(since).filter((call) => call.api === api);

describe("credentials", () => {
  test("reach exactly what was asked for", async () => {
    const response = await h.ask({
      registry: "prod",
      scope: ["repository:web/app:pull,push", "repository:base/alpine:pull"],
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("cache-control")).toBe("no-store");
    const body = await read(response);
    expect(body).toMatchObject({
      username: "cr_temp_user",
      registry: "prod",
      endpoints: ["acme-registry.cn-hangzhou.cr.aliyuncs.com", "acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com"],
      scope: ["repository:base/alpine:pull", "repository:web/app:pull,push"],
      grants: ["web-main"],
      token_fingerprint: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      request_id: response.headers.get("x-request-id"),
    });
    expect(body.expires_in).toBeGreaterThan(1790);
    expect(Date.parse(body.refresh_after)).toBeLessThan(Date.parse(body.expires_at));

    const login = h.cloud.login(body.username, body.password);
    expect(login?.allows("push", "web/app")).toBe(true);
    expect(login?.allows("pull", "base/alpine")).toBe(true);
    for (const [action, repository] of [
      ["push", "base/alpine"],
      ["pull", "web/other"],
      ["pull", "secret/vault"],
    ] as const) {
      expect(login?.allows(action, repository), `${action} ${repository}`).toBe(false);
    }
  });

  test("of a whole namespace stay in it", async () => {
    const body = await read(await h.ask({ registry: "prod", scope: ["repository:base/*:pull"] }));
    const login = h.cloud.login(body.username, body.password);
    expect(login?.allows("pull", "base/alpine")).toBe(true);
    expect(login?.allows("pull", "web/app")).toBe(false);
  });

  test("of a named grant are all that it gives", async () => {
    const body = await read(await h.ask({ grant: "base-pull" }));
    expect(body).toMatchObject({ scope: ["repository:base/*:pull"], grants: ["base-pull"] });
  });

  test("live as long as asked, and no longer than the grant allows", async () => {
    const short = await read(await h.ask({ registry: "prod", scope: [PULL], ttl: 900 }));
    expect(short.expires_in).toBeLessThanOrEqual(900);
    const long = await read(await h.ask({ registry: "prod", scope: [PULL], ttl: 3600 }));
    expect(long.expires_in).toBeLessThanOrEqual(1800);
  });

  test("are asked for with the caller in the session's name, under a policy of the scopes alone", async () => {
    const before = h.cloud.calls.length;
    await h.ask({ registry: "prod", scope: ["repository:web/named:push"] });
    const [call] = upstreamCalls("AssumeRole", before);
    expect(call?.params["RoleSessionName"]).toMatch(/^ci-job-[0-9a-f]{12}$/);
    const arn = "acs:cr:cn-hangzhou:1234567890123456:repository/cri-abc123/web/named";
    expect(JSON.parse(call?.params["Policy"] as string).Statement).toEqual([
      { Effect: "Allow", Action: "cr:GetAuthorizationToken", Resource: "*" },
      { Effect: "Allow", Action: ["cr:PushRepository", "cr:CreateRepository"], Resource: arn },
    ]);
  });
});

describe("asking", () => {
  const token = () => h.mint();

  test("as a form, as curl sends it", async () => {
    const response = await h.request("/v1/token", {
      method: "POST",
      headers: { authorization: `Bearer ${await token()}` },
      body: new URLSearchParams([
        ["registry", "prod"],
        ["scope", "repository:web/a:pull"],
        ["scope", "repository:web/b:pull"],
        ["ttl", "900"],
      ]),
    });
    expect(await response.json()).toMatchObject({ scope: ["repository:web/a:pull", "repository:web/b:pull"] });
  });

  test("as query parameters without a body", async () => {
    const response = await h.request(`/v1/token?registry=prod&scope=${encodeURIComponent(PULL)}`, {
      method: "POST",
      headers: { authorization: `Bearer ${await token()}` },
    });
    expect(response.status).toBe(200);
  });

  test("with several scopes in one text, as OAuth 2.0 and Docker write them", async () => {
    const response = await h.ask({ registry: "prod", scope: "repository:web/b:pull repository:web/a:pull" });
    expect(await response.json()).toMatchObject({ scope: ["repository:web/a:pull", "repository:web/b:pull"] });
  });

  test.each([
    ["password", "text/plain", (text: string, password: string) => text === password],
    [
      "docker-config",
      "application/json",
      (text: string, password: string) => decodedAuth(JSON.parse(text)) === `cr_temp_user:${password}`,
    ],
    ["env", "text/plain", (text: string, password: string) => text.includes(`ACR_PASSWORD='${password}'\n`)],
    [
      "kubernetes-secret",
      "application/json",
      (text: string, password: string) =>
        decodedAuth(JSON.parse(Buffer.from(JSON.parse(text).data[".dockerconfigjson"], "base64").toString())) ===
        `cr_temp_user:${password}`,
    ],
  ])("for format %s", async (format, type, holds) => {
    const { password } = await read(await h.ask({ registry: "prod", scope: [PULL] }));
    const response = await h.ask({ registry: "prod", scope: [PULL], format });
    expect(response.headers.get("content-type")).toContain(type);
    expect(holds(await response.text(), password)).toBe(true);
  });

  function decodedAuth(config: { auths: Record<string, { auth: string }> }): string {
    const [first, second] = Object.values(config.auths);
    expect(second).toEqual(first);
    return Buffer.from(first?.auth ?? "", "base64").toString();
  }
});

describe("what is remembered", () => {
  test("equal requests under way make one call of each kind, and a remembered one makes none", async () => {
    const token = await h.mint();
    const before = h.cloud.calls.length;
    const fields = { registry: "prod", scope: ["repository:web/crowd:pull"] };
    const answers = await Promise.all(Array.from({ length: 50 }, () => h.ask(fields, token).then(read)));
    expect(new Set(answers.map((answer) => answer.password)).size).toBe(1);
    expect(h.cloud.calls.slice(before).map((call) => call.api)).toEqual(["AssumeRole", "GetAuthorizationToken"]);
    await h.ask(fields, token);
    await h.ask({ ...fields, scope: ["repository:web/crowd:pull", "repository:web/crowd:pull"] }, token);
    expect(h.cloud.calls.slice(before)).toHaveLength(2);
  });

  test.each([
    ["other scopes", { scope: ["repository:base/other:pull"] }, "job"],
    ["another action", { scope: ["repository:web/sharing:push"] }, "job"],
    ["another life", { ttl: 901 }, "job"],
    ["another caller of the same rights", {}, "sharer"],
  ])("is not shared with %s", async (_, fields, sub) => {
    const shared = { registry: "prod", scope: ["repository:web/sharing:pull"], ttl: 900 };
    const first = await read(await h.ask(shared));
    const second = await read(await h.ask({ ...shared, ...fields }, await h.mint({ sub })));
    expect(second.password).toEqual(expect.any(String));
    expect(second.password).not.toBe(first.password);
  });

  test("is given only while half of its life is left, or as much as min_ttl asks", async () => {
    const fields = { registry: "prod", scope: ["repository:web/aging:pull"], ttl: 900 };
    const before = h.cloud.calls.length;
    const ask = async (more = {}) => (await read(await h.ask({ ...fields, ...more }))).password;
    const first = await ask();
    h.clock.aheadMs = 440_000;
    expect(await ask()).toBe(first);
    h.clock.aheadMs = 470_000;
    expect(await ask({ min_ttl: 60 })).toBe(first);
    expect(await ask()).not.toBe(first);
    expect(upstreamCalls("AssumeRole", before)).toHaveLength(2);
  });

  test("a failure is not remembered", async () => {
    const fields = { registry: "prod", scope: ["repository:web/flaky:pull"] };
    h.cloud.failNext("GetAuthorizationToken", { status: 400, code: "SomethingOdd" });
    expect((await h.ask(fields)).status).toBe(502);
    expect((await h.ask(fields)).status).toBe(200);
  });
});

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

describe("what is recorded", () => {
  test("one decision and one request, with the three request ids and the fingerprint", async () => {
    const response = await h.ask({ registry: "prod", scope: ["repository:web/recorded:pull"] }, undefined, {
      "x-request-id": "my-own-id-1",
    });
    const body = await read(response);
    const events = h.logged().filter((event) => event["request_id"] === "my-own-id-1");
    expect(events.map((event) => event["event"])).toEqual(["decision", "request"]);
    const assumed = upstreamCalls("AssumeRole").at(-1);
    const authorized = upstreamCalls("GetAuthorizationToken").at(-1);
    expect(events[0]).toMatchObject({
      outcome: "allow",
      issued: true,
      issuer: "ci",
      subject: "job",
      registry: "prod",
      scope: ["repository:web/recorded:pull"],
      grants: [{ name: "web-main", line: expect.any(Number) }],
      policy_digest: expect.stringMatching(/^sha256:/),
      cache: "miss",
      token_fingerprint: body.token_fingerprint,
      assume_role_request_id: assumed?.requestId,
      authorization_token_request_id: authorized?.requestId,
    });
    expect(events[1]).toMatchObject({ method: "POST", route: "/v1/token", status: 200 });
  });

  test("a denial names the grant and the claim that failed, not the claim's value", async () => {
    await h.ask({ registry: "prod", scope }, await h.mint({ ref: "refs/heads/evil" }));
    const denial = h.logged().findLast((event) => event["event"] === "decision");
    expect(denial).toMatchObject({
      outcome: "deny",
      reason: "condition",
      failed_claim: "ref",
      grants: [{ name: "web-main", line: 11 }],
    });
    expect(JSON.stringify(denial)).not.toContain("evil");
  });

  test("an allowed request that the cloud refused was not issued", async () => {
    await h.ask({ registry: "prod", scope }, await h.mint({ sub: "untrusting" }));
    const event = h.logged().findLast((one) => one["event"] === "decision");
    expect(event).toMatchObject({
      outcome: "allow",
      issued: false,
      code: "upstream_rejected",
      upstream_code: "NoPermission",
    });
  });

  test("nothing of a path that does not exist, since people paste secrets there", async () => {
    await h.request("/v1/token/secret-in-a-path?password=secret-in-a-query");
    expect(h.output.join()).not.toContain("secret-in-a");
  });

  test("a request id that is none is not taken", async () => {
    const response = await h.request("/healthz", { headers: { "x-request-id": "x\ty<script>" } });
    expect(response.headers.get("x-request-id")).toMatch(/^request-\d+$/);
  });
});

describe("replay: once", () => {
  const once = (cloud: string, issuer: string) =>
    policy(cloud, issuer).replace(`issuer: "${issuer}" }`, `issuer: "${issuer}", replay: once }`);

  test("a token serves once, and again only where nothing was issued for it", async () => {
    const strict = await startHarness({ policy: once });
    const token = await strict.mint();
    const fields = { registry: "prod", scope };
    strict.cloud.failNext("AssumeRole", { status: 400, code: "SomethingOdd" });
    expect((await strict.ask(fields, token)).status).toBe(502);
    expect((await strict.ask(fields, token)).status).toBe(200);
    const again = await strict.ask(fields, token);
    expect(await again.json()).toMatchObject({ status: 401, code: "token_replayed" });
    expect((await strict.ask(fields, await strict.mint())).status).toBe(200);
    expect(await (await strict.ask(fields, await strict.mint({ jti: null }))).json()).toMatchObject({
      code: "invalid_token",
    });
    await strict.close();
  });

  test("bind: any number of times for the same scopes, and for no others", async () => {
    const bound = await startHarness({
      policy: (cloud, issuer) => once(cloud, issuer).replace("replay: once", "replay: bind"),
    });
    const token = await bound.mint();
    const ask = async (...scopes: string[]) =>
      (await read(await bound.ask({ registry: "prod", scope: scopes }, token))).code;
    bound.cloud.failNext("AssumeRole", { status: 400, code: "SomethingOdd" });
    expect(await ask("repository:web/other:pull")).toBe("upstream_rejected"); // binds nothing: nothing was issued
    expect(await ask("repository:web/a:pull", "repository:web/b:pull")).toBeUndefined();
    expect(await ask("repository:web/b:pull", "repository:web/a:pull")).toBeUndefined();
    expect(await ask("repository:web/a:pull")).toBe("token_replayed");
    expect(await ask("repository:web/a:push", "repository:web/b:pull")).toBe("token_replayed");
    await bound.close();
  });

  test("count: so many times", async () => {
    const counted = await startHarness({
      policy: (cloud, issuer) => once(cloud, issuer).replace("replay: once", "replay: { count: 2 }"),
    });
    const token = await counted.mint();
    const ask = async (name: string) =>
      (await counted.ask({ registry: "prod", scope: [`repository:web/${name}:pull`] }, token)).status;
    counted.cloud.failNext("AssumeRole", { status: 400, code: "SomethingOdd" });
    expect([await ask("a"), await ask("a"), await ask("b"), await ask("c")]).toEqual([502, 200, 200, 401]);
    await counted.close();
  });

  test("of two at once one is served", async () => {
    const strict = await startHarness({ policy: once });
    const token = await strict.mint();
    const statuses = await Promise.all(
      [1, 2, 3].map(async () => (await strict.ask({ registry: "prod", scope }, token)).status),
    );
    expect(statuses.sort()).toEqual([200, 401, 401]);
    await strict.close();
  });
});
