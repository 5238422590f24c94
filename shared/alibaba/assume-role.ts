/**
 * STS AssumeRole, 2015-04-01: temporary keys of a role, narrowed by a session policy.
 * https://www.alibabacloud.com/help/en/ram/developer-reference/api-sts-2015-04-01-assumerole
 */

import { BrokerError } from "../error.ts";
import type { SessionPolicy } from "../policy/session-policy.ts";
import { type Allowance, type CallContext, callUpstream, MalformedAnswer } from "./call.ts";
import type { RoleKeys } from "./role-keys.ts";
import { loadSdk } from "./sdk.ts";
import type { Upstream } from "./upstream.ts";

export interface AssumeRoleRequest {
  readonly roleArn: string;
  /** What the role's trust policy demands as sts:ExternalId. */
  readonly externalId?: string | undefined;
  readonly roleSessionName: string;
  /** Required here, as it is not by STS: without it the session would have all rights of the role. */
  readonly policy: SessionPolicy;
  /** 900 to the role's MaxSessionDuration. */
  readonly durationSeconds: number;
  readonly keys: RoleKeys;
  readonly endpoint: Endpoint;
  readonly deadline: Date;
  readonly allowance: Allowance;
  readonly upstream?: Upstream;
}

export interface Endpoint {
  readonly protocol: "http" | "https";
  /** Host, and port where it is not the protocol's own. */
  readonly host: string;
}

export interface SessionKeys {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly securityToken: string;
  readonly expiresAt: Date;
  readonly requestId: string;
}

/** @throws BrokerError upstream_rejected, upstream_unavailable, upstream_timeout, rate_limited; not_ready where our own keys have expired */
export async function assumeRole(request: AssumeRoleRequest, context: CallContext): Promise<SessionKeys> {
  const sdk = await loadSdk();
  const client = new sdk.Sts(new sdk.util.Config(clientConfig(request.keys, request.endpoint)));
  const attempt = async (limitMs: number) => {
    const answer = await client.assumeRoleWithOptions(
      new sdk.AssumeRoleRequest({
        roleArn: request.roleArn,
        roleSessionName: request.roleSessionName,
        policy: request.policy.json,
        durationSeconds: request.durationSeconds,
        ...(request.externalId === undefined ? {} : { externalId: request.externalId }),
      }),
      sdk.within(limitMs),
    );
    const { credentials, requestId } = answer.body ?? {};
    const { accessKeyId, accessKeySecret, securityToken, expiration } = credentials ?? {};
    const expiresAt = new Date(isText(expiration) ? expiration : Number.NaN);
    if (
      !isText(accessKeyId) ||
      !isText(accessKeySecret) ||
      !isText(securityToken) ||
      Number.isNaN(expiresAt.getTime())
    ) {
      throw new MalformedAnswer();
    }
    return { accessKeyId, accessKeySecret, securityToken, expiresAt, requestId: isText(requestId) ? requestId : "" };
  };
  return callUpstream("AssumeRole", request.deadline, context, attempt, request).catch((error: unknown) => {
    throw ownKeysExpired(error, request.keys) ?? error;
  });
}

function ownKeysExpired(error: unknown, keys: RoleKeys): BrokerError | undefined {
  if (!(error instanceof BrokerError) || error.facts.upstream?.code !== "InvalidSecurityToken.Expired")
    return undefined;
  return new BrokerError("not_ready", "the broker's own keys have expired; a fresh instance takes over, try again", {
    upstream: error.facts.upstream,
    expiredKeys: keys.from,
    retryAfterSeconds: 5,
  });
}

export function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

/** What both vendor clients are made with. */
export function clientConfig(
  keys: Pick<RoleKeys, "accessKeyId" | "accessKeySecret" | "securityToken">,
  endpoint: Endpoint,
) {
  return {
    accessKeyId: keys.accessKeyId,
    accessKeySecret: keys.accessKeySecret,
    ...(keys.securityToken === undefined ? {} : { securityToken: keys.securityToken }),
    endpoint: endpoint.host,
    protocol: endpoint.protocol,
    userAgent: "acr-token-broker",
  };
}
