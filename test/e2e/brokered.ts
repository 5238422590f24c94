/**
 * The seam between the rig and whatever issues credentials. Today: the vendor's own SDKs straight against the sandbox,
 * which proves the rig by itself. To test the broker, write another function of type `Brokered` that asks it over HTTP
 * and hand that to `startRig`.
 */
import { createRequire } from "node:module";
import type { Cloud } from "../sandbox/cloud.ts";
import { DEFAULT_ACCOUNT, repositoryArn } from "../sandbox/world.ts";

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** Credentials for exactly these Docker scopes (`repository:web/app:pull,push`), living `ttlSeconds` (900). */
export type Brokered = (scopes: readonly string[], ttlSeconds?: number) => Promise<Credentials>;

// CommonJS all of them; require gives the same module shape under vitest, tsx and Node.
const require = createRequire(import.meta.url);
const sts = require("@alicloud/sts20150401") as typeof import("@alicloud/sts20150401");
const core = require("@alicloud/openapi-core") as typeof import("@alicloud/openapi-core");
type RuntimeOptions = Parameters<InstanceType<typeof core.default>["callApi"]>[2];

const BROKER_ROLE = `acs:ram::${DEFAULT_ACCOUNT}:role/acr-token-broker`;
const WEB_ROLE = `acs:ram::${DEFAULT_ACCOUNT}:role/acr-web`;

export function brokeredBySdk(cloud: Cloud): Brokered {
  const endpoint = { endpoint: cloud.host, protocol: "http", regionId: "cn-hangzhou" };
  const instance = cloud.world.instances[0];
  if (!instance) throw new Error("the sandbox has no ACR instance");

  return async (scopes, ttlSeconds = 900) => {
    const functionKeys = { type: "sts", ...cloud.functionRoleKeys(BROKER_ROLE) };
    const assumed = await new sts.default(new core.$OpenApiUtil.Config({ ...functionKeys, ...endpoint })).assumeRole(
      new sts.AssumeRoleRequest({
        roleArn: WEB_ROLE,
        roleSessionName: "e2e",
        durationSeconds: ttlSeconds,
        policy: sessionPolicy(scopes, (repository) => repositoryArn(instance, repository)),
      }),
    );
    const { accessKeyId = "", accessKeySecret = "", securityToken = "" } = assumed.body?.credentials ?? {};
    const sessionKeys = { type: "sts", accessKeyId, accessKeySecret, securityToken };
    const { body } = await new core.default(new core.$OpenApiUtil.Config({ ...sessionKeys, ...endpoint })).callApi(
      new core.$OpenApiUtil.Params({
        action: "GetAuthorizationToken",
        version: "2018-12-01",
        protocol: "HTTP",
        method: "POST",
        authType: "AK",
        pathname: "/",
        style: "RPC",
        reqBodyType: "formData",
        bodyType: "json",
      }),
      new core.$OpenApiUtil.OpenApiRequest({ query: { InstanceId: instance.id } }),
      {} as RuntimeOptions,
    );
    const login = body as { TempUsername: string; AuthorizationToken: string };
    return { username: login.TempUsername, password: login.AuthorizationToken };
  };
}

function sessionPolicy(scopes: readonly string[], arnOf: (repository: string) => string): string {
  const rights = { pull: "cr:PullRepository", push: "cr:PushRepository" };
  const statements = scopes.map((scope) => {
    const [, repository = "", actions = ""] = scope.split(":");
    const asked = actions.split(",") as (keyof typeof rights)[];
    return { Effect: "Allow", Action: asked.map((action) => rights[action]), Resource: arnOf(repository) };
  });
  const login = { Effect: "Allow", Action: "cr:GetAuthorizationToken", Resource: "*" };
  return JSON.stringify({ Version: "1", Statement: [login, ...statements] });
}
