/**
 * A trigger of `authType: function` between the SDK and the broker: it checks each request's signature with the vendor's code, as the
 * platform does with its own, keeps Authorization to itself, and hands the rest on.
 */

import { createRequire } from "node:module";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AcrBroker, type AcrBrokerOptions } from "../../shared/client/acr-broker.ts";
import { signedIdentity } from "../../shared/client/identity/signed.ts";
import { ramKeys } from "../../shared/client/ram/keys.ts";
import { type RamHarness, startRamHarness } from "./ram-harness.ts";
import { bodyOf, json, type Played, serve } from "./servers.ts";

const require = createRequire(import.meta.url);
const { default: OpenApiUtil } = require("@alicloud/openapi-util");

/** The platform's limit for x-acs-date, either way. */
const WINDOW_MS = 15 * 60_000;

let h: RamHarness;
let front: Played;
const passed: Record<string, unknown>[] = [];
beforeAll(async () => {
  h = await startRamHarness();
  front = await serve(async (request, response) => {
    const { headers, method = "GET", url = "/" } = request;
    const body = await bodyOf(request);
    const { pathname, searchParams } = new URL(url, "http://function");
    const [, id, names] = /Credential=([^,]+),SignedHeaders=([^,]+),/.exec(headers.authorization ?? "") ?? [];
    const signed = Object.fromEntries((names ?? "").split(";").map((name) => [name, headers[name] ?? ""]));
    const toSign = { method, pathname, query: Object.fromEntries(searchParams), headers: signed };
    const { accessKeyId, accessKeySecret, securityToken } = h.builder;
    const expected = OpenApiUtil.getAuthorization(toSign, "ACS3-HMAC-SHA256", "", accessKeyId, accessKeySecret);
    const skew = Math.abs(Date.parse(String(headers["x-acs-date"])) - Date.now());
    const known = id === accessKeyId && headers["x-acs-security-token"] === securityToken;
    if (!known || headers.authorization !== expected || !names?.includes("x-acs-date") || !(skew < WINDOW_MS)) {
      return json(response, 403, { Code: "AccessDenied", Message: `we calculated ${expected}`, RequestId: "1-2" });
    }
    passed.push(headers);
    const answer = await h.request(url, {
      method,
      headers: headers as Record<string, string>,
      ...(body === "" ? {} : { body }),
    });
    response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
  });
});
afterAll(() => h.close());

const through = (options: Partial<AcrBrokerOptions>) =>
  new AcrBroker({
    url: front.url,
    identity: () => h.mint(),
    functionCompute: ramKeys(h.builder),
    ...options,
  }).credentials({ registry: "prod", scope: "repository:web/app:pull" });

test("each request is signed with the caller's keys, and carries the broker's own credential beside", async () => {
  passed.length = 0;
  expect((await through({})).grants).toEqual(["web-main"]);
  expect(passed).toMatchObject([
    {
      authorization: expect.stringMatching(/^ACS3-HMAC-SHA256 Credential=/),
      "x-acr-broker-authorization": expect.stringMatching(/^Bearer ey/),
    },
  ]);
});

test("the keys may be the identity too; what the broker says of itself is asked for with a signature as well", async () => {
  passed.length = 0;
  expect((await through({ identity: signedIdentity(ramKeys(h.builder)) })).grants).toEqual(["builders"]);
  expect(passed.map(({ "x-acr-broker-authorization": beside }) => typeof beside)).toEqual(["undefined", "string"]);
});

test.each([-3, 3])(
  "a machine that is %i h off learns the time from the refusal, and signs once more",
  async (hours) => {
    const outside = { now: () => new Date(Date.now() + hours * 3_600_000) };
    const before = front.requests.length;
    expect((await through({ outside })).grants).toEqual(["web-main"]);
    expect(front.requests.length - before).toBe(2);
  },
);

describe("without a signature that is good", () => {
  test("the refusal is the platform's: named by code and host, with what to configure", async () => {
    const options = { url: front.url, identity: () => h.mint() };
    const asked = new AcrBroker(options).credentials({ registry: "prod", scope: "repository:web/app:pull" });
    await expect(asked).rejects.toMatchObject({
      name: "ConnectionError",
      code: "bad_response",
      status: 403,
      message: expect.stringMatching(/AccessDenied.*authType: function.*functionCompute/),
    });
  });

  test("nothing of what the platform calculated is told", async () => {
    const keys = ramKeys({ ...h.builder, accessKeySecret: "a-secret-of-somebody-else" });
    await expect(through({ functionCompute: keys })).rejects.toMatchObject({
      status: 403,
      message: expect.not.stringMatching(/calculated|Signature/),
    });
  });
});
