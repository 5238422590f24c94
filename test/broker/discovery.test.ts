import { afterAll, beforeAll, expect, test } from "vitest";
import { AUDIENCE, type Harness, startHarness } from "./harness.ts";

let h: Harness;
beforeAll(async () => {
  h = await startHarness();
});
afterAll(() => h.close());

test("a client learns audience, STS host and registries before it has an identity", async () => {
  const response = await h.request("/.well-known/acr-broker");
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toMatch(/^application\/json/);
  expect(response.headers.get("cache-control")).toBe("public, max-age=300");
  expect(await response.json()).toEqual({
    audience: AUDIENCE,
    sts_host: h.cloud.host,
    registries: {
      prod: {
        endpoints: ["acme-registry.cn-hangzhou.cr.aliyuncs.com", "acme-registry-vpc.cn-hangzhou.cr.aliyuncs.com"],
      },
      lost: { endpoints: ["lost.example.com"] },
    },
  });
});

test("it is only read", async () => {
  const response = await h.request("/.well-known/acr-broker", { method: "POST" });
  expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
});
