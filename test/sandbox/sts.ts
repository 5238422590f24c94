/**
 * STS 2015-04-01: AssumeRole and GetCallerIdentity. Reference: "AssumeRole" and "GetCallerIdentity" in RAM's developer reference.
 */
import { ApiError, type Body, missing } from "./answer.ts";
import type { Caller, Keyring } from "./keyring.ts";
import { type Policy, PolicyGrammarError, parsePolicy, trusts } from "./ram.ts";
import { findRole, type Role, type World } from "./world.ts";

export const STS_VERSION = "2015-04-01";

export interface StsContext {
  readonly world: World;
  readonly keyring: Keyring;
  readonly now: Date;
  readonly caller: Caller;
  readonly params: ReadonlyMap<string, string>;
}

export function assumeRole({ world, keyring, now, caller, params }: StsContext): Body {
  const roleArn = params.get("RoleArn") || absent("RoleArn");
  const name = params.get("RoleSessionName") || absent("RoleSessionName");
  if (!/^acs:ram::\d+:role\/[A-Za-z0-9.-]{1,64}$/i.test(roleArn)) throw wronglyFormed("RoleArn");
  // 2 to 64 characters: AssumeRole, RoleSessionName.
  if (!/^[A-Za-z0-9.@_-]{2,64}$/.test(name)) throw wronglyFormed("RoleSessionName");
  const externalId = params.get("ExternalId");
  if (externalId !== undefined && !/^[\w+=,.@:/-]{2,1224}$/.test(externalId)) throw wronglyFormed("ExternalId");
  const sourceIdentity = params.get("SourceIdentity") ?? caller.sourceIdentity;
  if (sourceIdentity !== undefined && !/^(?!acs:|aliyun:|alibabacloud:)[\w+=,.@-]{2,64}$/.test(sourceIdentity)) {
    throw wronglyFormed("SourceIdentity");
  }
  const policy = readPolicy(params.get("Policy"));

  if (caller.type === "Account") throw noPermission("Roles may not be assumed by root accounts.");
  const role = findRole(world, roleArn);
  if (role === undefined) throw new ApiError(404, "EntityNotExist.Role", "The specified Role not exists .");
  const seconds = readDuration(params.get("DurationSeconds"), role);
  const context = externalId === undefined ? {} : { "sts:ExternalId": externalId };
  const mayAssume = caller.allows({ action: "sts:AssumeRole", resource: role.arn });
  if (!mayAssume || !trusts(role.trust, caller, context)) throw noPermission();

  // The answer has whole seconds, so the session ends on one.
  const expiresAt = new Date(Math.floor(now.getTime() / 1000) * 1000 + seconds * 1000);
  const session = keyring.openSession({
    role,
    name,
    expiresAt,
    ...(policy === undefined ? {} : { policy }),
    ...(sourceIdentity === undefined ? {} : { sourceIdentity }),
  });
  return {
    AssumedRoleUser: { AssumedRoleId: `${role.roleId}:${name}`, Arn: `${role.arn}/${name}` },
    Credentials: {
      SecurityToken: session.securityToken,
      Expiration: expiresAt.toISOString().replace(".000Z", "Z"),
      AccessKeySecret: session.secret,
      AccessKeyId: session.id,
    },
    ...(sourceIdentity === undefined ? {} : { SourceIdentity: sourceIdentity }),
  };
}

/** Needs no permission: it answers whoever signed. Parameters it does not know are ignored, though signed. */
export function getCallerIdentity({ caller }: Pick<StsContext, "caller">): Body {
  return {
    AccountId: caller.accountId,
    Arn: caller.arn,
    IdentityType: caller.type,
    PrincipalId: caller.principalId,
    ...(caller.userId === undefined ? {} : { UserId: caller.userId }),
    ...(caller.roleId === undefined ? {} : { RoleId: caller.roleId }),
  };
}

export function noPermission(message = "You are not authorized to do this action. You should be authorized by RAM.") {
  return new ApiError(403, "NoPermission", message);
}

function readPolicy(text: string | undefined): Policy | undefined {
  if (text === undefined) return undefined;
  // The reference limits Policy to 1 to 2,048 characters, its error message to 2,048 bytes: bytes is the stricter.
  if (text.length === 0 || Buffer.byteLength(text) > 2048) {
    throw new ApiError(400, "InvalidParameter.PolicySize", "The size of Policy must be smaller than 2048 bytes.");
  }
  try {
    return parsePolicy(text);
  } catch (error) {
    if (!(error instanceof PolicyGrammarError)) throw error;
    throw new ApiError(400, "InvalidParameter.PolicyGrammar", "The parameter Policy has not passed grammar check.");
  }
}

function readDuration(text: string | undefined, role: Role): number {
  const seconds = text === undefined ? 3600 : /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (seconds >= 900 && seconds <= role.maxSessionSeconds) return seconds;
  throw new ApiError(
    400,
    "InvalidParameter.DurationSeconds",
    `The Min/Max value of DurationSeconds is 15min/${role.maxSessionSeconds / 3600}hr.`,
  );
}

function wronglyFormed(parameter: string): ApiError {
  return new ApiError(400, `InvalidParameter.${parameter}`, `The parameter ${parameter} is wrongly formed.`);
}

function absent(parameter: string): never {
  throw missing(parameter);
}
