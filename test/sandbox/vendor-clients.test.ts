/**
 * The sandbox against clients that nobody here wrote: the vendor's own SDKs, three generations of them.
 * Where they succeed against the real service they must succeed here, and where they fail there they must fail here.
 */

import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Cloud, startCloud } from "./cloud.ts";
import { addRole, addUser, DEFAULT_ACCOUNT, defaultWorld, permission, trust } from "./world.ts";

// CommonJS all of them; require gives the same module shape under vitest, tsx and Node.
const require = createRequire(import.meta.url);
const sts20150401 = require("@alicloud/sts20150401") as typeof import("@alicloud/sts20150401");
const core = require("@alicloud/openapi-core") as typeof import("@alicloud/openapi-core");
const older = require("@alicloud/openapi-client") as typeof import("@alicloud/openapi-client");
const teaUtil = require("@alicloud/tea-util") as typeof import("@alicloud/tea-util");
const dara = require("@darabonba/typescript") as typeof import("@darabonba/typescript");
const PopClient = require("@alicloud/pop-core").RPCClient as typeof import("@alicloud/pop-core");
interface StsSdk {
  assumeRole(arn: string, session: string, policy?: string, seconds?: number): Promise<Record<string, unknown>>;
  getCallerIdentity(): Promise<Record<string, unknown>>;
}
const StsSdk = require("@alicloud/sts-sdk") as new (config: object) => StsSdk;

const WEB = `acs:ram::${DEFAULT_ACCOUNT}:role/acr-web`;
const BROKER = `acs:ram::${DEFAULT_ACCOUNT}:role/acr-token-broker`;
const STARRED = policyOf("acs:cr:cn-hangzhou:1234567890123456:repository/cri-abc123/web/*");
const STARLESS = JSON.stringify(
  permission("Allow", "cr:PullRepository", "acs:cr:cn-hangzhou:1234567890123456:repository/cri-abc123/web/app"),
);
const CALL = {
  action: "GetAuthorizationToken",
  version: "2018-12-01",
  protocol: "HTTP",
  method: "POST",
  authType: "AK",
  pathname: "/",
  style: "RPC",
  reqBodyType: "formData",
  bodyType: "json",
};

let cloud: Cloud;
beforeEach(async () => {
  const world = defaultWorld();
  const ci = addUser(world, DEFAULT_ACCOUNT, "ci", [permission("Allow", "sts:AssumeRole", "*")]);
  addRole(world, {
    accountId: DEFAULT_ACCOUNT,
    name: "for-ci",
    trust: trust({ RAM: ci.arn }),
    policies: [permission("Allow", "cr:*", "*")],
  });
  cloud = await startCloud({ world });
});
afterEach(() => cloud.close());

describe("@alicloud/sts20150401", () => {
  test("assumes a role with a session policy that has a wildcard", async () => {
    const client = new sts20150401.default(new core.$OpenApiUtil.Config({ ...functionKeys(), ...endpoint() }));
    const { body } = await client.assumeRole(
      new sts20150401.AssumeRoleRequest({
        roleArn: WEB,
        roleSessionName: "github@web-main",
        policy: STARRED,
        durationSeconds: 900,
      }),
    );
    expect(body?.credentials?.accessKeyId).toMatch(/^STS\./);
    expect(body?.assumedRoleUser?.arn).toBe(`${WEB}/github@web-main`);
    expect(cloud.calls).toMatchObject([
      { api: "AssumeRole", accepted: true, signature: "ACS3", params: { Policy: STARRED, DurationSeconds: "900" } },
    ]);
  });

  test("asks who it is", async () => {
    const client = new sts20150401.default(new core.$OpenApiUtil.Config({ ...userKeys("tester"), ...endpoint() }));
    const { body } = await client.getCallerIdentity();
    expect(body).toMatchObject({
      accountId: DEFAULT_ACCOUNT,
      arn: `acs:ram::${DEFAULT_ACCOUNT}:user/tester`,
      identityType: "RAMUser",
    });
  });

  test("reads a refusal with its code, status and request id", async () => {
    const client = new sts20150401.default(new core.$OpenApiUtil.Config({ ...functionKeys(), ...endpoint() }));
    const request = new sts20150401.AssumeRoleRequest({
      roleArn: `acs:ram::${DEFAULT_ACCOUNT}:role/nobody`,
      roleSessionName: "me",
    });
    await expect(client.assumeRole(request)).rejects.toMatchObject({
      code: "EntityNotExist.Role",
      statusCode: 404,
      data: { RequestId: cloud.calls[0]?.requestId ?? expect.any(String), HostId: cloud.host },
    });
  });
});

describe.each([
  ["ACS3-HMAC-SHA256", undefined, "ACS3"],
  ["HMAC-SHA1", "v2", "RPC"],
])("generic calls signed with %s", (_, algorithm, scheme) => {
  const signing = algorithm === undefined ? {} : { signatureAlgorithm: algorithm };

  test("@alicloud/openapi-core gets a registry password", async () => {
    const client = new core.default(
      new core.$OpenApiUtil.Config({ ...(await webSession()), ...endpoint(), ...signing }),
    );
    const { body } = await client.callApi(
      new core.$OpenApiUtil.Params(CALL),
      new core.$OpenApiUtil.OpenApiRequest({ query: { InstanceId: "cri-abc123" } }),
      new dara.RuntimeOptions({}),
    );
    expectLogin(body, scheme);
  });

  test("@alicloud/openapi-client gets a registry password, parameters in a form", async () => {
    const client = new older.default(new older.Config({ ...(await webSession()), ...endpoint(), ...signing }));
    const { body } = await client.callApi(
      new older.Params(CALL),
      new older.OpenApiRequest({ body: { InstanceId: "cri-abc123" } }),
      new teaUtil.RuntimeOptions({}),
    );
    expectLogin(body, scheme);
  });
});

describe("@alicloud/pop-core", () => {
  test.each(["GET", "POST"])("assumes a role by %s with a wildcard in its policy", async (method) => {
    const client = new PopClient({ ...functionKeys(), endpoint: cloud.url, apiVersion: "2015-04-01" });
    const answer = await client.request<{ Credentials: { AccessKeyId: string } }>(
      "AssumeRole",
      { RoleArn: WEB, RoleSessionName: "it's me".replaceAll(/[^a-z]/g, "-"), Policy: STARRED },
      { method },
    );
    expect(answer.Credentials.AccessKeyId).toMatch(/^STS\./);
    expect(cloud.calls.at(-1)).toMatchObject({ accepted: true, signature: "RPC" });
  });

  test("gets a registry password", async () => {
    const client = new PopClient({ ...(await webSession()), endpoint: cloud.url, apiVersion: "2018-12-01" });
    expectLogin(await client.request("GetAuthorizationToken", { InstanceId: "cri-abc123" }, {}), "RPC");
  });
});

describe("@alicloud/sts-sdk, which does not escape * in what it signs", () => {
  // It speaks only https to the host in its Host header; its request is left as it is and sent over http.
  beforeEach(() => {
    vi.spyOn(https, "request").mockImplementation(((options: https.RequestOptions) =>
      http.request({ ...options, protocol: "http:", agent: undefined })) as typeof https.request);
  });
  afterEach(() => vi.restoreAllMocks());

  test("is refused with a wildcard in its policy, as by the real service", async () => {
    const answer = await stsSdk().assumeRole(forCi(), "me", STARRED, 900);
    expect(answer).toMatchObject({ Code: "SignatureDoesNotMatch" });
    expect(answer["Message"]).toContain("string to sign is:POST&%2F&");
    expect(cloud.calls).toMatchObject([{ api: "AssumeRole", accepted: false, code: "SignatureDoesNotMatch" }]);
  });

  test("succeeds without one", async () => {
    const answer = await stsSdk().assumeRole(forCi(), "me", STARLESS, 900);
    expect(answer).toHaveProperty("Credentials.SecurityToken");
    expect(await stsSdk().getCallerIdentity()).toMatchObject({ Arn: `acs:ram::${DEFAULT_ACCOUNT}:user/ci` });
  });

  const forCi = () => `acs:ram::${DEFAULT_ACCOUNT}:role/for-ci`;
  const stsSdk = () => new StsSdk({ ...userKeys("ci"), endpoint: cloud.host });
});

function endpoint() {
  return { endpoint: cloud.host, protocol: "http", regionId: "cn-hangzhou" };
}

function functionKeys() {
  return { type: "sts", ...cloud.functionRoleKeys(BROKER) };
}

function userKeys(name: string) {
  return cloud.userKeys(`acs:ram::${DEFAULT_ACCOUNT}:user/${name}`);
}

/** Keys of a session of acr-web, got by the vendor's client. */
async function webSession() {
  const client = new sts20150401.default(new core.$OpenApiUtil.Config({ ...functionKeys(), ...endpoint() }));
  const request = new sts20150401.AssumeRoleRequest({ roleArn: WEB, roleSessionName: "me", policy: STARRED });
  const keys = (await client.assumeRole(request)).body?.credentials;
  return {
    accessKeyId: keys?.accessKeyId ?? "",
    accessKeySecret: keys?.accessKeySecret ?? "",
    securityToken: keys?.securityToken ?? "",
  };
}

function expectLogin(body: unknown, scheme: string) {
  expect(body).toMatchObject({ TempUsername: "cr_temp_user", IsSuccess: true, Code: "success" });
  const { AuthorizationToken: password, ExpireTime: expires } = body as Record<string, string>;
  const login = cloud.login("cr_temp_user", password ?? "");
  expect(login?.expiresAt.getTime()).toBe(expires);
  expect(login?.allows("push", "web/app")).toBe(true);
  expect(login?.allows("pull", "base/alpine")).toBe(false);
  expect(cloud.calls.at(-1)).toMatchObject({ api: "GetAuthorizationToken", accepted: true, signature: scheme });
}

function policyOf(resource: string): string {
  return JSON.stringify({
    Version: "1",
    Statement: [
      { Effect: "Allow", Action: ["cr:GetAuthorizationToken"], Resource: ["*"] },
      { Effect: "Allow", Action: ["cr:PullRepository", "cr:PushRepository"], Resource: [resource] },
    ],
  });
}
