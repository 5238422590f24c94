import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Cloud, type RegistryLogin, startCloud } from "./cloud.ts";
import { assume, call, type Keys } from "./raw-call.ts";
import { addRole, DEFAULT_ACCOUNT, permission, type Role, trust } from "./world.ts";

const arnOf = (name: string) => `acs:ram::${DEFAULT_ACCOUNT}:role/${name}`;
const REPOSITORIES = `acs:cr:cn-hangzhou:${DEFAULT_ACCOUNT}:repository/cri-abc123`;
const LOGIN = { Effect: "Allow", Action: "cr:GetAuthorizationToken", Resource: "*" };
const statement = (Action: string | string[], path: string, Effect = "Allow") => ({
  Effect,
  Action,
  Resource: `${REPOSITORIES}/${path}`,
});

let clock: Date;
let cloud: Cloud;
let broker: Required<Keys>;
beforeEach(async () => {
  clock = new Date("2026-11-23T12:00:00.700Z");
  cloud = await startCloud({ now: () => clock });
  broker = cloud.functionRoleKeys(arnOf("acr-token-broker"));
});
afterEach(() => cloud.close());

describe("GetAuthorizationToken", () => {
  test("gives a password that lives exactly as long as the session", async () => {
    const answer = await token(await session("acr-web", [LOGIN, statement("cr:PullRepository", "web/*")]));
    const expires = Date.UTC(2026, 10, 23, 12, 15);
    expect(answer.json).toEqual({
      RequestId: expect.any(String),
      AuthorizationToken: expect.stringMatching(/^[\w-]+:[0-9a-f]{40}$/),
      TempUsername: "cr_temp_user",
      ExpireTime: expires,
      IsSuccess: true,
      Code: "success",
    });
    const password = String(answer.json["AuthorizationToken"]);
    const login = cloud.login("cr_temp_user", password);
    expect(login).toMatchObject({
      arn: `acs:ram::${DEFAULT_ACCOUNT}:assumed-role/acr-web/test`,
      instanceId: "cri-abc123",
      expiresAt: new Date(expires),
    });
    clock = new Date(expires - 1);
    expect(cloud.login("cr_temp_user", password)).toBeDefined();
    expect(login?.allows("pull", "web/app")).toBe(true);
    clock = new Date(expires);
    expect(cloud.login("cr_temp_user", password)).toBeUndefined();
    expect(login?.allows("pull", "web/app")).toBe(false);
  });

  test("a RAM user's password lives an hour", async () => {
    const answer = await token(cloud.userKeys(`acs:ram::${DEFAULT_ACCOUNT}:user/tester`));
    expect(answer.json["ExpireTime"]).toBe(clock.getTime() + 3_600_000);
  });

  test("only the right pair of user name and password is a login", async () => {
    const password = String((await token(await session("acr-web"))).json["AuthorizationToken"]);
    expect(cloud.login("cr_temp_user", password)).toBeDefined();
    expect(cloud.login("someone", password)).toBeUndefined();
    expect(cloud.login("cr_temp_user", `${password}0`)).toBeUndefined();
  });

  test("the user name is what the service says today", async () => {
    cloud.world.tempUsername = "cr_temp_user_v2";
    const { json } = await token(await session("acr-web"));
    expect(json["TempUsername"]).toBe("cr_temp_user_v2");
    expect(cloud.login("cr_temp_user_v2", String(json["AuthorizationToken"]))).toBeDefined();
  });

  test.each([
    ["a session policy without the action", [statement("cr:PullRepository", "web/*")]],
    ["a session policy that names an instance", [{ ...LOGIN, Resource: instanceArn() }]],
    ["a session policy that names every resource but not *", [{ ...LOGIN, Resource: "acs:cr:*:*:*" }]],
    ["an explicit deny", [LOGIN, { ...LOGIN, Effect: "Deny" }]],
  ])("refuses %s", async (_, statements) => {
    const answer = await token(await session("acr-web", statements));
    expect(answer).toMatchObject({ status: 403, json: { Code: "NoPermission" } });
  });

  test("refuses a role that may not, whatever the session policy says", async () => {
    const answer = await token(await session("acr-limited", [LOGIN]));
    expect(answer).toMatchObject({ status: 403, json: { Code: "NoPermission" } });
  });

  test("no instance, an unknown one, and another account's", async () => {
    const keys = await session("acr-web");
    expect(await token(keys, {})).toMatchObject({ status: 400, json: { Code: "MissingInstanceId" } });
    // The registry's own refusals come with HTTP 200 and say so in the body.
    const absent = { status: 200, json: { Code: "INSTANCE_NOT_EXIST", IsSuccess: false } };
    expect(await token(keys, { InstanceId: "cri-other" })).toMatchObject(absent);
    expect(cloud.calls.at(-1)).toMatchObject({ accepted: false, code: "INSTANCE_NOT_EXIST" });
    cloud.world.instances.push({ id: "cri-far", region: "cn-beijing", accountId: "2", namespaces: [] });
    expect(await token(keys, { InstanceId: "cri-far" })).toMatchObject(absent);
  });
});

describe("a login's rights", () => {
  test("are the session policy's, where the role has them too", async () => {
    const login = await logIn("acr-web", [
      LOGIN,
      statement(["cr:PullRepository", "cr:PushRepository"], "web/app"),
      statement("cr:PullRepository", "base/*"),
      statement("cr:PullRepository", "secret/*"),
    ]);
    expect(login.allows("push", "web/app")).toBe(true);
    expect(login.allows("pull", "web/app")).toBe(true);
    expect(login.allows("pull", "base/alpine")).toBe(true);
    expect(login.allows("push", "base/alpine")).toBe(false);
    expect(login.allows("pull", "web/other")).toBe(false);
    expect(login.allows("pull", "secret/vault")).toBe(false); // the role has no right to it
  });

  test("without a session policy are all the role's", async () => {
    const login = await logIn("acr-web");
    expect(login.allows("push", "web/anything")).toBe(true);
    expect(login.allows("push", "base/alpine")).toBe(true);
    expect(login.allows("pull", "secret/vault")).toBe(false);
  });

  test("end with an explicit deny, in the role or in the session policy", async () => {
    const denied = await logIn("acr-web", [LOGIN, statement("cr:*", "web/*"), statement("cr:*", "web/app", "Deny")]);
    expect(denied.allows("pull", "web/app")).toBe(false);
    expect(denied.allows("pull", "web/other")).toBe(true);
    const role = addRole(cloud.world, {
      accountId: DEFAULT_ACCOUNT,
      name: "denying",
      trust: trust({ RAM: arnOf("acr-token-broker") }),
      policies: [permission("Deny", "cr:PullRepository", `${REPOSITORIES}/web/app`)],
    });
    roleNamed("acr-web").policies.push(...role.policies);
    expect((await logIn("acr-web")).allows("pull", "web/app")).toBe(false);
  });

  test("follow the role's policies as they change", async () => {
    const login = await logIn("acr-web");
    expect(login.allows("pull", "web/app")).toBe(true);
    roleNamed("acr-web").policies.length = 0;
    expect(login.allows("pull", "web/app")).toBe(false);
  });

  test("need the right instance, region and account in the policy's resource", async () => {
    for (const wrong of [
      REPOSITORIES.replace("cri-abc123", "web"),
      REPOSITORIES.replace("cn-hangzhou", "cn-beijing"),
      REPOSITORIES.replace(DEFAULT_ACCOUNT, "1"),
    ]) {
      const login = await logIn("acr-web", [
        LOGIN,
        { Effect: "Allow", Action: "cr:PullRepository", Resource: `${wrong}/web/app` },
      ]);
      expect(login.allows("pull", "web/app")).toBe(false);
    }
  });

  test("reach no unknown namespace, and only two levels", async () => {
    const login = await logInFreely();
    for (const path of ["nowhere/app", "web", "web/", "web/a/b", "/app", "web/APP", "web/*", "../web/app", ""]) {
      expect([path, login.allows("pull", path), login.allows("push", path)]).toEqual([path, false, false]);
    }
  });

  test("a push creates a repository only where AutoCreateRepo is on", async () => {
    const login = await logInFreely();
    const [web, base] = cloud.world.instances[0]?.namespaces ?? [];
    expect(login.allows("push", "base/new")).toBe(false);
    expect(login.allows("pull", "web/new")).toBe(true); // it may be pulled once it exists; asking creates nothing
    expect(web?.repositories.has("new")).toBe(false);
    expect(login.allows("push", "web/new")).toBe(true);
    expect([...(web?.repositories ?? [])]).toEqual(["new"]);
    expect([...(base?.repositories ?? [])]).toEqual(["alpine"]);
  });

  test("creating may need cr:CreateRepository, pushing to what exists never does", async () => {
    cloud.world.autoCreateNeedsPermission = true;
    const push = statement(["cr:PullRepository", "cr:PushRepository"], "web/app");
    const without = await logIn("acr-web", [LOGIN, push]);
    expect(without.allows("push", "web/app")).toBe(false);
    const creating = await logIn("acr-web", [LOGIN, push, statement("cr:CreateRepository", "web/app")]);
    expect(creating.allows("push", "web/app")).toBe(true);
    expect(without.allows("push", "web/app")).toBe(true);
  });
});

function token(keys: Keys, params: Record<string, string> = { InstanceId: "cri-abc123" }) {
  return call(cloud, { keys, action: "GetAuthorizationToken", params });
}

function session(role: string, statements?: readonly object[]): Promise<Required<Keys>> {
  const policy = statements && { Policy: JSON.stringify({ Version: "1", Statement: statements }) };
  return assume(cloud, broker, { RoleArn: arnOf(role), DurationSeconds: "900", ...policy });
}

async function logIn(role: string, statements?: readonly object[]): Promise<RegistryLogin> {
  return loginWith(await session(role, statements));
}

/** Rights on everything, so that only the registry itself says no. */
function logInFreely(): Promise<RegistryLogin> {
  return loginWith(cloud.userKeys(`acs:ram::${DEFAULT_ACCOUNT}:root`));
}

async function loginWith(keys: Keys): Promise<RegistryLogin> {
  const { json, text } = await token(keys);
  const login = cloud.login("cr_temp_user", String(json["AuthorizationToken"]));
  if (login === undefined) throw new Error(text);
  return login;
}

function roleNamed(name: string): Role {
  const role = cloud.world.roles.find((one) => one.name === name);
  if (role === undefined) throw new Error(name);
  return role;
}

function instanceArn(): string {
  return `acs:cr:cn-hangzhou:${DEFAULT_ACCOUNT}:instance/cri-abc123`;
}
