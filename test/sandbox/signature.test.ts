import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Cloud, startCloud } from "./cloud.ts";
import { call, type Keys, type RawRequest, resignAcs3, sendRaw, signAcs3, signRpc } from "./raw-call.ts";
import { type HttpRequest, percentEncode, readSignedCall } from "./signature.ts";
import { DEFAULT_ACCOUNT } from "./world.ts";

describe("the examples in the vendor's documents", () => {
  test('ACS3: RunInstances, from "Request syntax and signature method V3"', () => {
    const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const names = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";
    const signature = "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0";
    const signed = readSignedCall(
      http({
        method: "POST",
        rawQuery: "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai",
        headers: {
          host: ["ecs.cn-shanghai.aliyuncs.com"],
          "x-acs-action": ["RunInstances"],
          "x-acs-content-sha256": [emptyHash],
          "x-acs-date": ["2023-10-26T10:22:32Z"],
          "x-acs-signature-nonce": ["3156853299f313e23d1673dc12e1703d"],
          "x-acs-version": ["2014-05-26"],
          authorization: [`ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=${names},Signature=${signature}`],
        },
      }),
    );
    expect(signed).toMatchObject({ scheme: "ACS3", action: "RunInstances", accessKeyId: "YourAccessKeyId" });
    expect(signed.isSignedWith("YourAccessKeySecret")).toBe(true);
    expect(signed.isSignedWith("YourAccessKeySecre")).toBe(false);
  });

  test('HMAC-SHA1: DescribeRegions, from "RPC mechanism"', () => {
    const signed = readSignedCall(
      http({
        method: "GET",
        rawQuery:
          "Timestamp=2016-02-23T12%3A46%3A24Z&Format=XML&AccessKeyId=testid&Action=DescribeRegions&SignatureMethod=HMAC-SHA1" +
          "&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf&Version=2014-05-26&SignatureVersion=1.0" +
          "&Signature=OLeaidS1JvxuMvnyHOwuJ%2BuX5qY%3D",
      }),
    );
    expect(signed).toMatchObject({ scheme: "RPC", action: "DescribeRegions", accessKeyId: "testid" });
    expect(signed.isSignedWith("testsecret")).toBe(true);
    expect(signed.isSignedWith("testsecrets")).toBe(false);
  });

  test("percent encoding leaves only unreserved characters", () => {
    expect(percentEncode("aZ09-_.~")).toBe("aZ09-_.~");
    expect(percentEncode("a b+c*d'()!/é")).toBe("a%20b%2Bc%2Ad%27%28%29%21%2F%C3%A9");
  });

  function http(part: Partial<HttpRequest>): HttpRequest {
    return { method: "POST", path: "/", rawQuery: "", headers: {}, body: Buffer.alloc(0), ...part };
  }
});

describe("the gateway", () => {
  const START = Date.UTC(2026, 10, 23);
  const minutes = (n: number) => new Date(START + n * 60_000);
  let clock: Date;
  let cloud: Cloud;
  let user: Keys;
  let role: Required<Keys>;
  beforeEach(async () => {
    clock = minutes(0);
    cloud = await startCloud({ now: () => clock });
    user = cloud.userKeys(`acs:ram::${DEFAULT_ACCOUNT}:user/tester`);
    role = cloud.functionRoleKeys(`acs:ram::${DEFAULT_ACCOUNT}:role/acr-token-broker`);
  });
  afterEach(() => cloud.close());

  const whoami = { action: "GetCallerIdentity" };
  const schemes = [
    ["ACS3", signAcs3],
    ["RPC", signRpc],
  ] as const;

  describe.each(schemes)("%s", (_, sign) => {
    test("lets a right signature in, of long-lived and of temporary keys", async () => {
      await expectRefusal(sign(cloud, { ...whoami, keys: user }), undefined);
      await expectRefusal(sign(cloud, { ...whoami, keys: role }), undefined);
    });

    test("takes characters that clients escape in different ways", async () => {
      const params = { BrokerAudience: "https://acr-broker.example.com/a b*c~'(é)!+%25&=" };
      await expectRefusal(sign(cloud, { ...whoami, keys: user, params }), undefined);
      expect(cloud.calls.at(-1)?.params).toEqual(params);
    });

    test("an unknown access key", async () => {
      const keys = { ...user, accessKeyId: "LTAI5tNobody" };
      await expectRefusal(sign(cloud, { ...whoami, keys }), "InvalidAccessKeyId.NotFound", 404);
    });

    test("a wrong secret; the answer echoes the string to sign", async () => {
      const keys = { ...user, accessKeySecret: "wrong" };
      const answer = await expectRefusal(sign(cloud, { ...whoami, keys }), "SignatureDoesNotMatch");
      expect(answer.json["Message"]).toMatch(/server (string to sign is:GET&%2F&|StringToSign is \[ACS3-)/);
      expect(answer.json["Message"]).toContain("GetCallerIdentity");
    });

    test("a date more than 15 minutes off, either way", async () => {
      for (const off of [-15, 15]) {
        await expectRefusal(sign(cloud, { ...whoami, keys: user, date: minutes(off) }), undefined);
      }
      for (const off of [-15.1, 15.1]) {
        const late = sign(cloud, { ...whoami, keys: user, date: minutes(off) });
        await expectRefusal(late, "InvalidTimeStamp.Expired");
      }
    });

    test("a nonce used twice, even at the window's end", async () => {
      const request = sign(cloud, { ...whoami, keys: user, nonce: "once", date: minutes(15) });
      await expectRefusal(request, undefined);
      clock = minutes(29.9);
      await expectRefusal(request, "SignatureNonceUsed");
      clock = minutes(30.1);
      await expectRefusal(request, "InvalidTimeStamp.Expired");
    });

    test("a nonce is not used up by a wrong signature, nor by another key", async () => {
      const spoiled = sign(cloud, { ...whoami, keys: { ...user, accessKeySecret: "wrong" }, nonce: "mine" });
      await expectRefusal(spoiled, "SignatureDoesNotMatch");
      await expectRefusal(sign(cloud, { ...whoami, keys: role, nonce: "mine" }), undefined);
      await expectRefusal(sign(cloud, { ...whoami, keys: user, nonce: "mine" }), undefined);
    });

    test("a security token that is absent, unknown, another's or needless", async () => {
      const { securityToken, ...bare } = role;
      const ask = (keys: Keys) => sign(cloud, { ...whoami, keys });
      const other = cloud.functionRoleKeys(`acs:ram::${DEFAULT_ACCOUNT}:role/acr-token-broker`);
      await expectRefusal(ask(bare), "MissingSecurityToken");
      await expectRefusal(ask({ ...bare, securityToken: "CAISmadeUp" }), "InvalidSecurityToken.Malformed");
      const mismatch = "InvalidSecurityToken.MismatchWithAccessKey";
      await expectRefusal(ask({ ...bare, securityToken: other.securityToken }), mismatch);
      await expectRefusal(ask({ ...user, securityToken }), mismatch);
    });

    test("an expired security token", async () => {
      const keys = cloud.functionRoleKeys(`acs:ram::${DEFAULT_ACCOUNT}:role/acr-token-broker`, 60);
      clock = new Date(START + 59_999);
      await expectRefusal(sign(cloud, { ...whoami, keys }), undefined);
      clock = new Date(START + 60_000);
      await expectRefusal(sign(cloud, { ...whoami, keys }), "InvalidSecurityToken.Expired");
    });

    test("an unknown action or version", async () => {
      await expectRefusal(sign(cloud, { keys: user, action: "DeleteRole" }), "InvalidAction.NotFound", 404);
      const versions = { ...whoami, keys: user, version: "2018-12-01" };
      await expectRefusal(sign(cloud, versions), "InvalidAction.NotFound", 404);
      await expectRefusal(sign(cloud, { ...versions, version: "2014-05-26" }), "InvalidVersion");
    });
  });

  test.each<[string, (r: RawRequest) => void]>([
    ["the method", (r) => (r.method = "GET")],
    ["a parameter", (r) => (r.query["BrokerAudience"] = "https://evil.example.com")],
    ["an added parameter", (r) => (r.query["More"] = "1")],
    ["a removed parameter", (r) => delete r.query["BrokerAudience"]],
    ["the action", (r) => (r.headers["x-acs-action"] = "AssumeRole")],
    ["the date", (r) => (r.headers["x-acs-date"] = "2026-11-23T00:00:01Z")],
    ["the nonce", (r) => (r.headers["x-acs-signature-nonce"] = "another")],
    ["the host", (r) => (r.headers["host"] = "sts.evil.example.com")],
    ["the body's hash", (r) => (r.headers["x-acs-content-sha256"] = "0".repeat(64))],
    ["the body", (r) => (r.body = "x")],
  ])("ACS3: a change of %s after signing is a wrong signature", async (_, spoil) => {
    const request = signAcs3(cloud, { ...whoami, keys: user, params: { BrokerAudience: "https://acr.example.com" } });
    spoil(request);
    await expectRefusal(request, "SignatureDoesNotMatch");
  });

  test("ACS3: a header that lies about the body is a wrong signature, though signed", async () => {
    const request = signAcs3(cloud, { ...whoami, keys: user });
    const trueHash = request.headers["x-acs-content-sha256"];
    const headers = { ...request.headers, "x-acs-content-sha256": "0".repeat(64) };
    await expectRefusal(resignAcs3({ ...request, headers }, user, trueHash), "SignatureDoesNotMatch");
  });

  test("ACS3: a signed hash of another body is a wrong signature", async () => {
    const request = signAcs3(cloud, { ...whoami, keys: user, params: { A: "1" }, form: true });
    await expectRefusal({ ...request, body: "A=2" }, "SignatureDoesNotMatch");
    await expectRefusal(request, undefined);
  });

  test.each<[string, (r: RawRequest) => void]>([
    ["an x-acs header that is not signed", (r) => (r.headers["x-acs-extra"] = "1")],
    ["a signed header that is not sent", (r) => delete r.headers["x-acs-content-sha256"]],
    ["a garbled header", (r) => (r.headers["authorization"] = "ACS3-HMAC-SHA256 Credential=x")],
  ])("ACS3: %s", async (_, spoil) => {
    const request = signAcs3(cloud, { ...whoami, keys: user });
    spoil(request);
    await expectRefusal(request, "IncompleteSignature");
  });

  test("ACS3: an unsigned host", async () => {
    const request = signAcs3(cloud, { ...whoami, keys: user });
    const { host: _, ...headers } = request.headers;
    await expectRefusal(resignAcs3({ ...request, headers }, user), "IncompleteSignature");
  });

  test("ACS3: another algorithm", async () => {
    const request = signAcs3(cloud, { ...whoami, keys: user });
    request.headers["authorization"] = request.headers["authorization"]?.replace("SHA256", "SM3") ?? "";
    await expectRefusal(request, "InvalidSignatureMethod");
  });

  test.each<[string, (r: RawRequest) => void, string]>([
    ["a parameter", (r) => (r.query["BrokerAudience"] = "https://evil.example.com"), "SignatureDoesNotMatch"],
    ["an added parameter", (r) => (r.query["More"] = "1"), "SignatureDoesNotMatch"],
    ["the timestamp", (r) => (r.query["Timestamp"] = "2026-11-23T00:00:01Z"), "SignatureDoesNotMatch"],
    ["the timestamp's form", (r) => (r.query["Timestamp"] = "2026-11-23 00:00"), "InvalidTimeStamp.Format"],
    ["the method", (r) => (r.method = "POST"), "SignatureDoesNotMatch"],
    ["the signature's method", (r) => (r.query["SignatureMethod"] = "HMAC-MD5"), "InvalidSignatureMethod"],
    ["the signature's version", (r) => (r.query["SignatureVersion"] = "2.0"), "InvalidSignatureVersion"],
    ["a removed signature", (r) => delete r.query["Signature"], "MissingSignature"],
    ["a removed key", (r) => delete r.query["AccessKeyId"], "MissingAccessKeyId"],
    ["a removed nonce", (r) => delete r.query["SignatureNonce"], "MissingSignatureNonce"],
  ])("RPC: a change of %s after signing", async (_, spoil, code) => {
    const request = signRpc(cloud, { ...whoami, keys: user, params: { BrokerAudience: "https://acr.example.com" } });
    spoil(request);
    await expectRefusal(request, code);
  });

  test("an unsigned request", async () => {
    const nothing = { method: "GET", query: { Format: "JSON" }, headers: {}, body: "" };
    await expectRefusal(nothing, "MissingAction");
  });

  test("a refusal has the gateway's shape, and the request id in a header too", async () => {
    const answer = await call(cloud, { keys: { ...user, accessKeyId: "nobody" }, action: "AssumeRole" });
    expect(Object.keys(answer.json)).toEqual(["RequestId", "HostId", "Code", "Message", "Recommend"]);
    expect(answer.json["HostId"]).toBe(cloud.host);
    expect(answer.headers["x-acs-request-id"]).toBe(answer.json["RequestId"]);
    expect(cloud.calls.at(-1)?.requestId).toBe(answer.json["RequestId"]);
  });

  /** Sends, and expects this code; `undefined` expects success. */
  async function expectRefusal(request: RawRequest, code: string | undefined, status = code ? 400 : 200) {
    const answer = await sendRaw(cloud, request);
    expect({ status: answer.status, code: answer.json["Code"] }).toEqual({ status, code });
    expect(cloud.calls.at(-1)).toMatchObject({ accepted: code === undefined });
    expect(cloud.calls.at(-1)?.code).toBe(code);
    return answer;
  }
});
