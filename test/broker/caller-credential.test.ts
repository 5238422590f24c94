/** Function Compute's signature and the broker's own credential, each in its header, on every route that asks who is calling. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Harness, startHarness } from "./harness.ts";

let h: Harness;
beforeAll(async () => {
  h = await startHarness();
});
afterAll(() => h.close());

const SIGNATURE = `ACS3-HMAC-SHA256 Credential=LTAI5tOfTheGateway,SignedHeaders=x-acs-date,Signature=${"0".repeat(64)}`;
const fields = "scope=repository:base/alpine:pull&registry=prod";

describe.each([
  ["POST", "/v1/token"],
  ["POST", "/v1/explain"],
  ["GET", "/v1/whoami"],
] as const)("%s %s", (method, path) => {
  async function ask(headers: Record<string, string>): Promise<{ status: number; code?: string; detail?: string }> {
    const query = method === "POST" ? `?${fields}` : "";
    const response = await h.request(path + query, { method, headers });
    return { status: response.status, ...((await response.json()) as object) };
  }

  test("takes the credential from X-Acr-Broker-Authorization, and no notice of the signature beside it", async () => {
    const answer = await ask({ authorization: SIGNATURE, "x-acr-broker-authorization": `Bearer ${await h.mint()}` });
    expect(answer.status).toBe(200);
  });

  test("takes it without anything beside it, too", async () => {
    expect((await ask({ "x-acr-broker-authorization": `Bearer ${await h.mint()}` })).status).toBe(200);
  });

  test("refuses a credential in both, also where they are equal", async () => {
    const authorization = `Bearer ${await h.mint()}`;
    expect(await ask({ authorization, "x-acr-broker-authorization": authorization })).toMatchObject({
      status: 400,
      code: "invalid_request",
    });
  });

  test("does not fall back on Authorization where the other header is there and bad", async () => {
    expect(
      await ask({ authorization: "Basic dXNlcjpwYXNz", "x-acr-broker-authorization": "Bearer nonsense" }),
    ).toMatchObject({ status: 401, code: "invalid_token" });
    expect(await ask({ authorization: SIGNATURE, "x-acr-broker-authorization": "Bearer " })).toMatchObject({
      status: 401,
      code: "missing_credentials",
    });
  });

  test("says where the credential belongs if there is only the signature", async () => {
    expect(await ask({ authorization: SIGNATURE })).toMatchObject({
      status: 401,
      code: "missing_credentials",
      detail: expect.stringContaining("X-Acr-Broker-Authorization"),
    });
  });
});
