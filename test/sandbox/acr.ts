/**
 * Container Registry Enterprise Edition (`cr` 2018-12-01): GetAuthorizationToken, and what a login that it issued may do.
 * Reference: "GetAuthorizationToken" and "RAM policies" in ACR's documentation.
 */
import { createHash } from "node:crypto";
import { type Body, missing } from "./answer.ts";
import type { Caller } from "./keyring.ts";
import { noPermission } from "./sts.ts";
import { type Instance, randomText, repositoryArn, type World } from "./world.ts";

export const ACR_VERSION = "2018-12-01";

/** A registry login, as the registry's token service sees it. */
export interface RegistryLogin {
  /** Who asked for the password: acs:ram::…:assumed-role/ROLE/SESSION or a user. */
  readonly arn: string;
  readonly instanceId: string;
  readonly expiresAt: Date;
  /** Rights as they are now, none after the expiry. Authorising a push to a repository that AutoCreateRepo covers creates it. */
  allows(action: "pull" | "push", repository: string): boolean;
}

export interface Registry {
  getAuthorizationToken(caller: Caller, params: ReadonlyMap<string, string>): Body;
  login(username: string, password: string): RegistryLogin | undefined;
  passwords(): readonly string[];
}

// A temporary password of long-lived keys is valid for one hour: GetAuthorizationToken.
const HOUR_MS = 60 * 60 * 1000;

export function createRegistry(world: World, now: () => Date): Registry {
  const logins = new Map<string, RegistryLogin>();
  return {
    getAuthorizationToken(caller, params) {
      const instanceId = params.get("InstanceId");
      if (!instanceId) throw missing("InstanceId");
      // The action supports no resource but `*`; a policy that names an instance or a repository grants nothing here.
      if (!caller.allows({ action: "cr:GetAuthorizationToken", resource: "*" })) throw noPermission();
      const instance = world.instances.find((one) => one.id === instanceId && one.accountId === caller.accountId);
      if (instance === undefined) {
        return { Code: "INSTANCE_NOT_EXIST", IsSuccess: false, Message: "instance is not exist" };
      }
      const expiresAt = caller.expiresAt ?? new Date(now().getTime() + HOUR_MS);
      const password = newPassword(instance, caller, now());
      logins.set(password, {
        arn: caller.arn,
        instanceId,
        expiresAt,
        allows: (action, repository) => now() < expiresAt && allows(world, instance, caller, action, repository),
      });
      return {
        AuthorizationToken: password,
        TempUsername: world.tempUsername,
        ExpireTime: expiresAt.getTime(),
        IsSuccess: true,
        Code: "success",
      };
    },
    login(username, password) {
      const login = logins.get(password);
      return username === world.tempUsername && login && now() < login.expiresAt ? login : undefined;
    },
    passwords: () => [...logins.keys()],
  };
}

function allows(world: World, instance: Instance, caller: Caller, action: "pull" | "push", path: string): boolean {
  // Always two levels: namespace and repository.
  const [, namespaceName, name] = /^([a-z0-9._-]+)\/([a-z0-9._-]+)$/.exec(path) ?? [];
  const namespace = instance.namespaces.find((one) => one.name === namespaceName);
  if (namespace === undefined || name === undefined) return false;
  const resource = repositoryArn(instance, path);
  // Whether it exists is the registry's to say: pull rights on a repository to come are needed to push its layers.
  if (action === "pull") return caller.allows({ action: "cr:PullRepository", resource });
  if (!caller.allows({ action: "cr:PushRepository", resource })) return false;
  if (namespace.repositories.has(name)) return true;
  if (!namespace.autoCreateRepo) return false;
  if (world.autoCreateNeedsPermission && !caller.allows({ action: "cr:CreateRepository", resource })) return false;
  namespace.repositories.add(name);
  return true;
}

/** Base64 of a JSON object, a colon, 40 hex digits: the form of real passwords. */
function newPassword(instance: Instance, caller: Caller, now: Date): string {
  const [userId] = caller.principalId.split(":");
  const claims = { instanceId: instance.id, time: String(now.getTime()), type: "sts", userId };
  const digest = createHash("sha1").update(randomText(40)).digest("hex");
  return `${Buffer.from(JSON.stringify(claims)).toString("base64url")}:${digest}`;
}
