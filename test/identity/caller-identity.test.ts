import { describe, expect, test } from "vitest";
import type { BrokerConfig } from "../../shared/config/config.ts";
import {
  callerIdentityRequest,
  getCallerIdentity,
  type SignedIdentity,
  stsOrigin,
} from "../../shared/identity/caller-identity.ts";

const identity: SignedIdentity = {
  accessKeyId: "LTAI5tExample",
  securityToken: "CAIS+/=",
  date: "2026-06-01T12:00:00Z",
  nonce: "0123456789abcdef",
  audience: "https://broker.example/?a=1&b=%26*'",
  signature: "5".repeat(64),
  algorithm: "ACS3-HMAC-SHA256",
};
const ORIGIN = "https://sts.cn-hangzhou.aliyuncs.com";

describe("the request", () => {
  test("of ACS3-HMAC-SHA256 is this and nothing else", () => {
    expect(callerIdentityRequest(identity, ORIGIN)).toEqual({
      url: `${ORIGIN}/?BrokerAudience=https%3A%2F%2Fbroker.example%2F%3Fa%3D1%26b%3D%2526%2A%27`,
      init: {
        method: "POST",
        headers: {
          accept: "application/json",
          "user-agent": "acr-token-broker",
          connection: "close",
          "x-acs-action": "GetCallerIdentity",
          "x-acs-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
          "x-acs-date": "2026-06-01T12:00:00Z",
          "x-acs-security-token": "CAIS+/=",
          "x-acs-signature-nonce": "0123456789abcdef",
          "x-acs-version": "2015-04-01",
          authorization: `ACS3-HMAC-SHA256 Credential=LTAI5tExample,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version,Signature=${"5".repeat(64)}`,
        },
      },
    });
  });

  test("of HMAC-SHA1 has all in its body, where no log of URLs finds it", () => {
    const { url, init } = callerIdentityRequest({ ...identity, algorithm: "HMAC-SHA1", signature: "a+/=" }, ORIGIN);
    expect([url, init.method]).toEqual([`${ORIGIN}/`, "POST"]);
    expect(init.headers).toEqual({
      accept: "application/json",
      "user-agent": "acr-token-broker",
      connection: "close",
      "content-type": "application/x-www-form-urlencoded",
    });
    expect([...new URLSearchParams(String(init.body))]).toEqual([
      ["Action", "GetCallerIdentity"],
      ["Version", "2015-04-01"],
      ["Format", "JSON"],
      ["AccessKeyId", "LTAI5tExample"],
      ["BrokerAudience", identity.audience],
      ["SignatureMethod", "HMAC-SHA1"],
      ["SignatureNonce", "0123456789abcdef"],
      ["SignatureVersion", "1.0"],
      ["Timestamp", "2026-06-01T12:00:00Z"],
      ["SecurityToken", "CAIS+/="],
      ["Signature", "a+/="],
    ]);
  });

  test("without a security token has none, signed or not", () => {
    const { securityToken: _, ...longLived } = identity;
    for (const algorithm of ["ACS3-HMAC-SHA256", "HMAC-SHA1"] as const) {
      expect(JSON.stringify(callerIdentityRequest({ ...longLived, algorithm }, ORIGIN))).not.toMatch(
        /security-?token/i,
      );
    }
  });

  test("goes nowhere else, and follows nothing", async () => {
    const sent: RequestInit[] = [];
    const fetch = async (_: string, init: RequestInit) => {
      sent.push(init);
      return new Response("", { status: 503 });
    };
    await expect(getCallerIdentity(identity, ORIGIN, fetch)).rejects.toMatchObject({ code: "upstream_unavailable" });
    expect(sent).toEqual([expect.objectContaining({ redirect: "error", signal: expect.any(AbortSignal) })]);
  });
});

test("the endpoint is the configured one, else the first registry's region", () => {
  const registries = new Map([
    ["a", { region: "cn-beijing" }],
    ["b", { region: "cn-hangzhou" }],
  ]);
  expect(stsOrigin({ registries, alibaba: {} } as unknown as BrokerConfig)).toBe("https://sts.cn-beijing.aliyuncs.com");
  const alibaba = { stsEndpoint: "https://sts-vpc.cn-beijing.aliyuncs.com" };
  expect(stsOrigin({ registries, alibaba } as unknown as BrokerConfig)).toBe(alibaba.stsEndpoint);
});

const ACCOUNT = "1234567890123456";
const answers = (body: unknown, status = 200) =>
  getCallerIdentity(identity, ORIGIN, async () => new Response(JSON.stringify(body), { status }));

describe("who STS says it was", () => {
  const session = {
    IdentityType: "AssumedRoleUser",
    AccountId: ACCOUNT,
    RequestId: "1",
    PrincipalId: "300123:job-42@web",
    RoleId: "300123",
    Arn: `acs:ram::${ACCOUNT}:assumed-role/ci-builder/job-42@web`,
  };
  const user = {
    IdentityType: "RAMUser",
    AccountId: ACCOUNT,
    PrincipalId: "28877",
    UserId: "21695",
    Arn: `acs:ram::${ACCOUNT}:user/al.ice_1-x`,
  };
  const root = { IdentityType: "Account", AccountId: ACCOUNT, PrincipalId: ACCOUNT, Arn: `acs:ram::${ACCOUNT}:root` };

  test("a role's session", async () => {
    expect(await answers(session)).toEqual({
      accountId: ACCOUNT,
      arn: session.Arn,
      identityType: "AssumedRoleUser",
      principalId: session.PrincipalId,
      roleName: "ci-builder",
      sessionName: "job-42@web",
    });
  });

  test.each(["RAMUser", "RamUser"])("a user, called %s", async (IdentityType) => {
    expect(await answers({ ...user, IdentityType })).toEqual({
      accountId: ACCOUNT,
      arn: user.Arn,
      identityType: "RAMUser",
      principalId: "28877",
      userName: "al.ice_1-x",
    });
  });

  test("the account", async () => {
    expect(await answers(root)).toMatchObject({ identityType: "Account", arn: root.Arn });
  });

  test.each<[string, unknown]>([
    ["nothing", null],
    ["no account", { ...session, AccountId: undefined }],
    ["no ARN", { ...session, Arn: undefined }],
    ["no type", { ...session, IdentityType: undefined }],
    ["no principal", { ...session, PrincipalId: undefined }],
    ["an account that is a number", { ...session, AccountId: 1234567890123456 }],
    ["an ARN that is a list", { ...session, Arn: [session.Arn] }],
    ["an ARN of another account", { ...session, Arn: session.Arn.replace(ACCOUNT, "6543210987654321") }],
    ["an ARN of another service", { ...session, Arn: session.Arn.replace(":ram:", ":sts:") }],
    ["an ARN with more behind it", { ...session, Arn: `${session.Arn}/admin` }],
    ["an ARN with a line more", { ...session, Arn: `${session.Arn}\n` }],
    ["an ARN with something before it", { ...session, Arn: ` ${session.Arn}` }],
    ["a role that is no session", { ...session, Arn: `acs:ram::${ACCOUNT}:role/ci-builder` }],
    ["a session of another name", { ...session, PrincipalId: "300123:job-43" }],
    ["a session without a role's id", { ...session, PrincipalId: ":job-42@web" }],
    ["a session whose principal has no name", { ...session, PrincipalId: "300123" }],
    ["a session that is called a user", { ...session, IdentityType: "RAMUser" }],
    ["a user that is called a session", { ...user, IdentityType: "AssumedRoleUser" }],
    ["a user that is called an account", { ...user, IdentityType: "Account" }],
    ["a user with a session's principal", { ...user, PrincipalId: "28877:x" }],
    ["an account that is called a user", { ...root, IdentityType: "RAMUser" }],
    ["a user's ARN with the account's principal", { ...root, Arn: user.Arn }],
    ["an account with another's principal", { ...root, PrincipalId: "6543210987654321" }],
    ["a type that there is not", { ...root, IdentityType: "Service" }],
  ])("%s is no identity", async (_, body) => {
    await expect(answers(body)).rejects.toMatchObject({ code: "upstream_rejected" });
  });
});

describe("a refusal", () => {
  test.each([
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId.NotFound",
    "InvalidSecurityToken.Expired",
    "InvalidSecurityToken.Malformed",
    "InvalidTimeStamp.Expired",
    "SignatureNonceUsed",
  ])("%s is told with its code and STS's request id, and not STS's words", async (Code) => {
    const refused = answers({ Code, RequestId: "3C87BF47", Message: "CANARY", Recommend: "CANARY" }, 400);
    await expect(refused).rejects.toMatchObject({
      code: "invalid_identity",
      message: expect.stringMatching(new RegExp(`\\(${Code.replace(".", "\\.")}, request 3C87BF47\\)$`)),
      facts: { upstream: { api: "GetCallerIdentity", code: Code, requestId: "3C87BF47" } },
    });
    await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining("CANARY") });
  });

  test.each(["Forbidden", "InvalidSecurityToken.not-a-word", "SignatureDoesNotMatch.More"])(
    "%s is not repeated",
    async (Code) => {
      await expect(answers({ Code }, 403)).rejects.toMatchObject({
        code: "invalid_identity",
        message: "the signed Alibaba Cloud identity was not accepted: STS refused it",
      });
    },
  );

  test.each<[string, { Code?: unknown; RequestId?: string }]>([
    ["with markup for a code", { Code: "<script>", RequestId: "1" }],
    ["with a number for a code", { Code: 7 }],
    ["with markup before a code", { Code: "<a" }],
    ["with markup behind a code", { Code: "a>" }],
    ["with markup before a request id", { RequestId: "<1" }],
    ["with markup behind a request id", { RequestId: "1>" }],
  ])("%s does not get further", async (_, body) => {
    const error = (await answers(body, 400).catch((thrown: unknown) => thrown)) as { facts: object };
    expect(error.facts).toEqual({
      upstream: { api: "GetCallerIdentity", code: "Status400", ...(body.RequestId === "1" && { requestId: "1" }) },
    });
  });

  test("without a request id is told without one", async () => {
    await expect(answers({ Code: "SignatureNonceUsed" }, 400)).rejects.toThrow(/\(SignatureNonceUsed\)$/);
  });

  test.each([
    ["has no code", { RequestId: "1" }, 400],
    ["is a redirect, whatever its code", { Code: "SignatureNonceUsed" }, 304],
  ])("that %s is none of STS's", async (_, body, status) => {
    const fetch = async () => ({ status, headers: new Headers(), ...jsonBody(body) }) as Response;
    await expect(getCallerIdentity(identity, ORIGIN, fetch)).rejects.toMatchObject({ code: "upstream_rejected" });
  });
});

/** Of a status that a Response of the platform may not have with a body. */
function jsonBody(body: unknown): Pick<Response, "body"> {
  return { body: new Response(JSON.stringify(body)).body };
}

describe("STS that cannot answer", () => {
  const unavailable = (code: string) => ({
    code: "upstream_unavailable",
    facts: { upstream: { api: "GetCallerIdentity", code }, retryAfterSeconds: 2 },
  });

  test.each([500, 503])("answers %d, with whatever body", async (status) => {
    const fetch = async () => new Response("<html>", { status });
    await expect(getCallerIdentity(identity, ORIGIN, fetch)).rejects.toMatchObject(unavailable(`Status${status}`));
    const empty = async () => new Response(null, { status });
    await expect(getCallerIdentity(identity, ORIGIN, empty)).rejects.toMatchObject(unavailable(`Status${status}`));
  });

  test("says so itself", async () => {
    await expect(answers({ Code: "Throttling.User" }, 400)).rejects.toMatchObject(unavailable("Throttling.User"));
    await expect(answers({ Code: "NoThrottling" }, 400)).rejects.toMatchObject({ code: "invalid_identity" });
  });

  const failing = (error: unknown) => getCallerIdentity(identity, ORIGIN, () => Promise.reject(error));

  test("is not reached", async () => {
    await expect(failing(new TypeError("fetch failed"))).rejects.toMatchObject(unavailable("NoAnswer"));
  });

  test("does not answer in time", async () => {
    await expect(failing(new DOMException("", "TimeoutError"))).rejects.toMatchObject({
      code: "upstream_timeout",
      facts: { upstream: { api: "GetCallerIdentity", code: "Timeout" }, retryAfterSeconds: 2 },
    });
  });

  test.each([
    ["no JSON", "{"],
    ["no UTF-8", Buffer.from([0xff])],
  ])("answers with %s", async (_, body) => {
    await expect(getCallerIdentity(identity, ORIGIN, async () => new Response(body))).rejects.toMatchObject({
      code: "upstream_rejected",
      facts: { upstream: { api: "GetCallerIdentity", code: "MalformedAnswer" } },
    });
  });
});
