import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Cloud, startCloud } from "./cloud.ts";
import { assume, call, type Keys, type RawAnswer } from "./raw-call.ts";
import { addRole, addUser, DEFAULT_ACCOUNT, defaultWorld, OTHER_ACCOUNT, permission, trust } from "./world.ts";

const START = new Date("2026-11-23T12:00:00.700Z");
const arnOf = (name: string, account = DEFAULT_ACCOUNT) => `acs:ram::${account}:role/${name}`;
const ALLOW_ALL = JSON.stringify(permission("Allow", "*", "*"));

let clock: Date;
let cloud: Cloud;
let broker: Required<Keys>;
beforeEach(async () => {
  clock = START;
  cloud = await startCloud({ now: () => clock });
  broker = cloud.functionRoleKeys(arnOf("acr-token-broker"));
});
afterEach(() => cloud.close());

describe("AssumeRole", () => {
  const good = { RoleArn: arnOf("acr-web"), RoleSessionName: "github@web-main", Policy: ALLOW_ALL };

  test("answers with keys, their expiry, and who they are", async () => {
    const answer = await assumeRole({ ...good, DurationSeconds: "900" });
    expect(answer).toMatchObject({ status: 200 });
    expect(answer.json).toEqual({
      RequestId: cloud.calls[0]?.requestId,
      AssumedRoleUser: {
        AssumedRoleId: expect.stringMatching(/^3\d{17}:github@web-main$/),
        Arn: `${arnOf("acr-web")}/github@web-main`,
      },
      Credentials: {
        AccessKeyId: expect.stringMatching(/^STS\./),
        AccessKeySecret: expect.any(String),
        SecurityToken: expect.any(String),
        Expiration: "2026-11-23T12:15:00Z",
      },
    });
  });

  test("without DurationSeconds a session lives an hour", async () => {
    const answer = await assumeRole(good);
    expect(answer.json["Credentials"]).toHaveProperty("Expiration", "2026-11-23T13:00:00Z");
  });

  test("names roles without regard to case", async () => {
    expect((await assumeRole({ ...good, RoleArn: arnOf("ACR-Web") })).status).toBe(200);
  });

  test("a source identity is given back, and stays with the session", async () => {
    const answer = await assumeRole({ ...good, SourceIdentity: "alice" });
    expect(answer.json["SourceIdentity"]).toBe("alice");
  });

  test.each([
    ["no role", { RoleArn: "" }, 400, "MissingRoleArn"],
    ["no session name", { RoleSessionName: "" }, 400, "MissingRoleSessionName"],
    ["a user's ARN", { RoleArn: `acs:ram::${DEFAULT_ACCOUNT}:user/tester` }, 400, "InvalidParameter.RoleArn"],
    ["an AWS ARN", { RoleArn: "arn:aws:iam::123456789012:role/x" }, 400, "InvalidParameter.RoleArn"],
    ["a role that does not exist", { RoleArn: arnOf("nobody") }, 404, "EntityNotExist.Role"],
    ["a role of no account", { RoleArn: arnOf("acr-web", "1") }, 404, "EntityNotExist.Role"],
    ["a session name of one letter", { RoleSessionName: "x" }, 400, "InvalidParameter.RoleSessionName"],
    ["a session name of 65", { RoleSessionName: "x".repeat(65) }, 400, "InvalidParameter.RoleSessionName"],
    ["a slash in the session name", { RoleSessionName: "web/app" }, 400, "InvalidParameter.RoleSessionName"],
    ["a line break after it", { RoleSessionName: "web\n" }, 400, "InvalidParameter.RoleSessionName"],
    ["899 seconds", { DurationSeconds: "899" }, 400, "InvalidParameter.DurationSeconds"],
    ["3601 seconds", { DurationSeconds: "3601" }, 400, "InvalidParameter.DurationSeconds"],
    ["no number of seconds", { DurationSeconds: "900.5" }, 400, "InvalidParameter.DurationSeconds"],
    ["an empty policy", { Policy: "" }, 400, "InvalidParameter.PolicySize"],
    ["a policy of 2049 characters", { Policy: ALLOW_ALL.padEnd(2049) }, 400, "InvalidParameter.PolicySize"],
    ["a policy that breaks the grammar", { Policy: '{"Version":"1"}' }, 400, "InvalidParameter.PolicyGrammar"],
    ["an ill-formed external id", { ExternalId: "a b" }, 400, "InvalidParameter.ExternalId"],
    ["a reserved source identity", { SourceIdentity: "acs:me" }, 400, "InvalidParameter.SourceIdentity"],
    ["a role that does not trust the caller", { RoleArn: arnOf("acr-untrusting") }, 403, "NoPermission"],
  ])("refuses %s", async (_, params, status, code) => {
    const answer = await assumeRole({ ...good, ...params });
    expect({ status: answer.status, code: answer.json["Code"] }).toEqual({ status, code });
  });

  test.each([
    ["the longest policy", { Policy: ALLOW_ALL.padEnd(2048) }],
    ["the shortest session name", { RoleSessionName: "ab" }],
    ["the longest session name", { RoleSessionName: "a.@_-Z09".padEnd(64, "x") }],
    ["the longest session", { DurationSeconds: "3600" }],
    ["no policy at all", { Policy: undefined }],
  ])("accepts %s", async (_, params) => {
    const asked = Object.entries({ ...good, ...params }).filter((pair): pair is [string, string] => !!pair[1]);
    expect((await assumeRole(Object.fromEntries(asked))).status).toBe(200);
  });

  test("needs both the caller's permission and the role's trust", async () => {
    const world = defaultWorld();
    await cloud.close();
    cloud = await startCloud({ world, now: () => clock });
    const able = addUser(world, DEFAULT_ACCOUNT, "able", [permission("Allow", "sts:AssumeRole", arnOf("trusting"))]);
    const idle = addUser(world, DEFAULT_ACCOUNT, "idle");
    addRole(world, { accountId: DEFAULT_ACCOUNT, name: "trusting", trust: trust({ RAM: [able.arn, idle.arn] }) });
    addRole(world, { accountId: DEFAULT_ACCOUNT, name: "other", trust: trust({ RAM: "acs:ram::2:root" }) });
    const code = async (user: string, role: string) => {
      const params = { RoleArn: arnOf(role), RoleSessionName: "me" };
      return (await call(cloud, { keys: cloud.userKeys(user), action: "AssumeRole", params })).json["Code"];
    };
    expect(await code(able.arn, "trusting")).toBeUndefined();
    expect(await code(idle.arn, "trusting")).toBe("NoPermission");
    expect(await code(able.arn, "other")).toBe("NoPermission");
  });

  test("reaches into another account where the role trusts it, with the external id it demands", async () => {
    const demands = { StringEquals: { "sts:ExternalId": "shared-secret" } };
    const home = trust({ RAM: `acs:ram::${OTHER_ACCOUNT}:root` }, demands);
    addRole(cloud.world, { accountId: DEFAULT_ACCOUNT, name: "partner", trust: home });
    const outsider = cloud.userKeys(`acs:ram::${OTHER_ACCOUNT}:user/outsider`);
    const params = { RoleArn: arnOf("partner"), RoleSessionName: "me" };
    const ask = (more: object) => call(cloud, { keys: outsider, action: "AssumeRole", params: { ...params, ...more } });
    expect((await ask({ ExternalId: "shared-secret" })).status).toBe(200);
    expect((await ask({ ExternalId: "guessed" })).json["Code"]).toBe("NoPermission");
    expect((await ask({})).json["Code"]).toBe("NoPermission");
  });

  test("is not for an account's root", async () => {
    const keys = cloud.userKeys(`acs:ram::${DEFAULT_ACCOUNT}:root`);
    const answer = await call(cloud, { keys, action: "AssumeRole", params: good });
    expect(answer.json).toMatchObject({ Code: "NoPermission", Message: "Roles may not be assumed by root accounts." });
  });

  test("a longer MaxSessionDuration allows longer sessions", async () => {
    const role = cloud.world.roles.find((one) => one.name === "acr-web");
    if (role) role.maxSessionSeconds = 7200;
    expect((await assumeRole({ ...good, DurationSeconds: "7200" })).status).toBe(200);
    expect((await assumeRole({ ...good, DurationSeconds: "7201" })).json["Code"]).toBe(
      "InvalidParameter.DurationSeconds",
    );
  });

  test("a session's keys work until they expire", async () => {
    const keys = await assume(cloud, broker, { RoleArn: arnOf("acr-web"), DurationSeconds: "900" });
    clock = new Date("2026-11-23T12:14:59.999Z");
    expect((await call(cloud, { keys, action: "GetCallerIdentity" })).status).toBe(200);
    clock = new Date("2026-11-23T12:15:00Z");
    expect((await call(cloud, { keys, action: "GetCallerIdentity" })).json["Code"]).toBe(
      "InvalidSecurityToken.Expired",
    );
  });

  function assumeRole(params: Record<string, string>): Promise<RawAnswer> {
    return call(cloud, { keys: broker, action: "AssumeRole", params, form: true });
  }
});

describe("GetCallerIdentity", () => {
  test("a RAM user", async () => {
    const keys = cloud.userKeys(`acs:ram::${DEFAULT_ACCOUNT}:user/tester`);
    const { json } = await call(cloud, { keys, action: "GetCallerIdentity" });
    expect(json).toEqual({
      RequestId: expect.any(String),
      AccountId: DEFAULT_ACCOUNT,
      Arn: `acs:ram::${DEFAULT_ACCOUNT}:user/tester`,
      IdentityType: "RAMUser",
      PrincipalId: json["UserId"],
      UserId: expect.stringMatching(/^2\d{17}$/),
    });
  });

  test("a role's session", async () => {
    const keys = await assume(cloud, broker, { RoleArn: arnOf("acr-web"), RoleSessionName: "ci-7" });
    const { json } = await call(cloud, { keys, action: "GetCallerIdentity" });
    expect(json).toEqual({
      RequestId: expect.any(String),
      AccountId: DEFAULT_ACCOUNT,
      Arn: `acs:ram::${DEFAULT_ACCOUNT}:assumed-role/acr-web/ci-7`,
      IdentityType: "AssumedRoleUser",
      PrincipalId: `${json["RoleId"]}:ci-7`,
      RoleId: expect.stringMatching(/^3\d{17}$/),
    });
  });

  test("an account's root", async () => {
    const keys = cloud.userKeys(`acs:ram::${OTHER_ACCOUNT}:root`);
    const { json } = await call(cloud, { keys, action: "GetCallerIdentity" });
    expect(json).toMatchObject({ AccountId: OTHER_ACCOUNT, IdentityType: "Account", PrincipalId: OTHER_ACCOUNT });
  });
});
