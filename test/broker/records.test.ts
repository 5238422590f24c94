import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Harness, read, startHarness } from "./harness.ts";

let h: Harness;
beforeAll(async () => {
  h = await startHarness();
});
afterAll(() => h.close());

const scope = ["repository:web/app:pull"];
const upstreamCalls = (api: string) => h.cloud.calls.filter((call) => call.api === api);

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
      address: "127.0.0.1",
      lifetime_seconds: body.expires_in,
      duration_ms: expect.any(Number),
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
      issued: false,
      code: "access_denied",
      address: "127.0.0.1",
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

  test("a request refused before it was decided: where from, and with what code", async () => {
    const refusal = async (...[fields, token]: Parameters<Harness["ask"]>) => {
      const { status } = await h.ask(fields, token);
      const events = h.logged().slice(-2);
      expect(events.map(({ event }) => event)).toEqual(["refused", "request"]);
      expect(events[0]).toMatchObject({ version: 1, status, route: "/v1/token", address: "127.0.0.1" });
      const { code, issuer, subject } = events[0] as Record<string, unknown>;
      return { status, code, issuer, subject };
    };
    const good = { registry: "prod", scope };
    const nobody = { issuer: undefined, subject: undefined };
    const token = await h.mint();
    const forged = `${token.slice(0, token.lastIndexOf("."))}.${"A".repeat(342)}`;
    expect(await refusal(good, forged)).toEqual({ status: 401, code: "invalid_token", ...nobody });
    expect(await refusal(good, await h.mint({ iss: "https://evil.example" }))).toEqual({
      ...{ status: 401, code: "untrusted_issuer", ...nobody },
    });
    // Signed by the issuer, but good for nothing: who it says it is does not count.
    expect(await refusal(good, await h.mint({ aud: "another" }))).toEqual({
      ...{ status: 401, code: "invalid_audience", issuer: "ci", subject: undefined },
    });
    expect(await refusal({ registry: "prod", scope: ["repository:web:pull"] }, token)).toEqual({
      ...{ status: 400, code: "invalid_scope", issuer: "ci", subject: "job" },
    });
    expect(await refusal({ registry: "nowhere", scope }, token)).toEqual({
      ...{ status: 400, code: "unknown_registry", issuer: "ci", subject: "job" },
    });
    expect(h.output.join()).not.toContain(token.split(".")[1]);
  });

  test("what is not there, and what is open to all, is no refusal", async () => {
    const before = h.logged().length;
    for (const path of ["/nothing", "/healthz"]) await h.request(path);
    await h.request("/v1/token");
    expect(
      h
        .logged()
        .slice(before)
        .map(({ event }) => event),
    ).toEqual(["request", "request", "request"]);
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
