import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Cloud, startCloud } from "./cloud.ts";
import { assume, call, type Keys, sendRaw, signAcs3, signRpc } from "./raw-call.ts";
import { DEFAULT_ACCOUNT } from "./world.ts";

const arnOf = (name: string) => `acs:ram::${DEFAULT_ACCOUNT}:role/${name}`;
const WEB = { RoleArn: arnOf("acr-web"), RoleSessionName: "ci" };

let clock: Date;
let cloud: Cloud;
let broker: Required<Keys>;
beforeEach(async () => {
  clock = new Date("2026-11-23T12:00:00Z");
  cloud = await startCloud({
    now: () => clock,
    assumeRolePerSecond: 2,
    handlers: [
      (request) => request.url === "/never",
      async (request, response, self) => {
        if (request.url !== "/service/token?service=x") return false;
        response.end(`token realm of ${self.url}`);
        return true;
      },
    ],
  });
  broker = cloud.functionRoleKeys(arnOf("acr-token-broker"));
});
afterEach(() => cloud.close());

const assumeRole = () => call(cloud, { keys: broker, action: "AssumeRole", params: WEB });
const whoami = () => call(cloud, { keys: broker, action: "GetCallerIdentity" });

describe("throttling", () => {
  test("refuses what one account asks beyond the rate, and forgets after a second", async () => {
    expect((await assumeRole()).status).toBe(200);
    expect((await assumeRole()).status).toBe(200);
    expect(await assumeRole()).toMatchObject({ status: 400, json: { Code: "Throttling.User" } });
    expect((await whoami()).status).toBe(200);
    clock = new Date(clock.getTime() + 1000);
    expect((await assumeRole()).status).toBe(200);
  });
});

describe("scripted failures", () => {
  test("an answer of the test's own, as often as told, then the truth", async () => {
    cloud.failNext("AssumeRole", { status: 503, code: "ServiceUnavailable" }, 2);
    cloud.failNext("AssumeRole", { status: 400, code: "Throttling.User" });
    expect((await whoami()).status).toBe(200);
    const seen = [await assumeRole(), await assumeRole(), await assumeRole(), await assumeRole()];
    expect(seen.map((answer) => answer.json["Code"] ?? "ok")).toEqual([
      "ServiceUnavailable",
      "ServiceUnavailable",
      "Throttling.User",
      "ok",
    ]);
    expect(cloud.calls.map((one) => one.accepted)).toEqual([true, false, false, false, true]);
  });

  test("a broken connection", async () => {
    cloud.failNext("GetCallerIdentity", "reset");
    await expect(whoami()).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(cloud.calls).toMatchObject([{ api: "GetCallerIdentity", accepted: false, code: "reset" }]);
  });

  test("no answer at all, until the cloud is closed", async () => {
    cloud.failNext("GetCallerIdentity", "hang");
    const refusal = expect(whoami()).rejects.toMatchObject({ code: "ECONNRESET" });
    while (cloud.calls[0]?.code !== "hang") await new Promise((resolve) => setTimeout(resolve, 1));
    await cloud.close();
    await refusal;
    cloud = await startCloud();
  });

  test("a body that is not the API's", async () => {
    cloud.failNext("GetCallerIdentity", { status: 502, body: "<html>Bad Gateway</html>" });
    expect(await whoami()).toMatchObject({ status: 502, text: "<html>Bad Gateway</html>" });
  });

  test("a late answer is a true one", async () => {
    cloud.failNext("GetCallerIdentity", { delayMs: 20 });
    expect((await whoami()).status).toBe(200);
  });
});

describe("the record of calls", () => {
  test("has who asked for what, and how it ended", async () => {
    const keys = await assume(cloud, broker, { ...WEB, DurationSeconds: "900", Policy: policyText() });
    await sendRaw(cloud, signRpc(cloud, { keys, action: "GetAuthorizationToken", params: { InstanceId: "cri-x" } }));
    await call(cloud, { keys: { ...keys, accessKeySecret: "wrong" }, action: "GetCallerIdentity" });
    const at = clock;
    const session = `acs:ram::${DEFAULT_ACCOUNT}:assumed-role/acr-web/ci`;
    expect(cloud.calls).toEqual([
      {
        api: "AssumeRole",
        accepted: true,
        at,
        requestId: expect.any(String),
        signature: "ACS3",
        callerArn: `acs:ram::${DEFAULT_ACCOUNT}:assumed-role/acr-token-broker/fc-function`,
        params: { ...WEB, DurationSeconds: "900", Policy: policyText() },
      },
      {
        api: "GetAuthorizationToken",
        accepted: false,
        code: "INSTANCE_NOT_EXIST",
        at,
        requestId: expect.any(String),
        signature: "RPC",
        callerArn: session,
        params: { InstanceId: "cri-x" },
      },
      {
        api: "GetCallerIdentity",
        accepted: false,
        code: "SignatureDoesNotMatch",
        at,
        requestId: expect.any(String),
        signature: "ACS3",
        params: {},
      },
    ]);
  });

  test("has no secret, while secrets() has them all", async () => {
    const keys = await assume(cloud, broker, WEB);
    const params = { InstanceId: "cri-abc123" };
    const { json } = await sendRaw(cloud, signRpc(cloud, { keys, action: "GetAuthorizationToken", params }));
    const secrets = cloud.secrets();
    for (const one of [broker, keys]) expect(secrets).toContain(one.accessKeySecret);
    for (const one of [broker, keys]) expect(secrets).toContain(one.securityToken);
    expect(secrets).toContain(json["AuthorizationToken"]);
    const record = JSON.stringify(cloud.calls);
    expect(secrets.filter((secret) => record.includes(secret))).toEqual([]);
  });
});

describe("the server", () => {
  test("hands other paths to the mounted handlers, in order", async () => {
    const realm = await fetch(`${cloud.url}/service/token?service=x`);
    expect(await realm.text()).toBe(`token realm of ${cloud.url}`);
    expect((await fetch(`${cloud.url}/elsewhere`)).status).toBe(404);
    expect(cloud.calls).toEqual([]);
  });

  test("answers in XML unless JSON is asked for", async () => {
    const request = signAcs3(cloud, { keys: broker, action: "GetCallerIdentity" });
    const { accept: _, ...headers } = request.headers;
    const identity = await sendRaw(cloud, { ...request, headers });
    expect(identity.headers["content-type"]).toBe("text/xml;charset=utf-8");
    expect(identity.text).toMatch(/^<\?xml.*<GetCallerIdentityResponse><RequestId>.*<AccountId>1234567890123456</);
    const again = await sendRaw(cloud, { ...request, headers });
    expect(again.text).toMatch(/<Error>.*<Code>SignatureNonceUsed<\/Code>/);
  });

  test("gives function keys only of a role that trusts Function Compute", () => {
    expect(() => cloud.functionRoleKeys(arnOf("acr-web"))).toThrow("does not trust");
    expect(() => cloud.functionRoleKeys(arnOf("nobody"))).toThrow("does not exist");
  });

  test("function keys live 36 hours unless told otherwise", async () => {
    clock = new Date(clock.getTime() + 36 * 3600_000 - 1);
    expect((await whoami()).status).toBe(200);
    clock = new Date(clock.getTime() + 1);
    expect((await whoami()).json["Code"]).toBe("InvalidSecurityToken.Expired");
  });
});

function policyText(): string {
  return JSON.stringify({ Version: "1", Statement: [{ Effect: "Allow", Action: "cr:*", Resource: "*" }] });
}
