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
