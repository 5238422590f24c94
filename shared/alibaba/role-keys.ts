/**
 * The function role's temporary keys, as Function Compute hands them over.
 * Debian 9 and 10 runtimes: three request headers. Debian 11: the environment, as for every vendor tool.
 */

import { BrokerError } from "../error.ts";

export interface RoleKeys {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly securityToken?: string;
  /** Where they came from. Keys of the environment stay as they are until the process ends. */
  readonly from: "request" | "environment";
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The keys to call STS with. Headers count only inside Function Compute, which sets them itself, and only all three
 * together; anywhere else they are a stranger's words.
 * @throws BrokerError not_ready where there are none
 */
export function roleKeys(environment: Environment, headers?: Headers): RoleKeys {
  if (headers !== undefined && isFunctionCompute(environment)) {
    const accessKeyId = headers.get("x-fc-access-key-id");
    const accessKeySecret = headers.get("x-fc-access-key-secret");
    const securityToken = headers.get("x-fc-security-token");
    if (accessKeyId && accessKeySecret && securityToken) {
      return { accessKeyId, accessKeySecret, securityToken, from: "request" };
    }
  }
  const accessKeyId = environment["ALIBABA_CLOUD_ACCESS_KEY_ID"];
  const accessKeySecret = environment["ALIBABA_CLOUD_ACCESS_KEY_SECRET"];
  const securityToken = environment["ALIBABA_CLOUD_SECURITY_TOKEN"];
  if (!accessKeyId || !accessKeySecret) {
    throw new BrokerError(
      "not_ready",
      "the broker has no keys to call STS with: give the function a role (s.yaml: role), or outside Function Compute set ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and ALIBABA_CLOUD_SECURITY_TOKEN",
      { retryAfterSeconds: 30 },
    );
  }
  return { accessKeyId, accessKeySecret, ...(securityToken ? { securityToken } : {}), from: "environment" };
}

/** The account that calls, where Function Compute says it; https://www.alibabacloud.com/help/en/functioncompute/fc-2-0/user-guide/fc-environment-variables */
export function accountId(environment: Environment): string | undefined {
  const id = environment["FC_ACCOUNT_ID"];
  return id !== undefined && /^\d{16}$/.test(id) ? id : undefined;
}

/** Function Compute sets FC_FUNCTION_NAME in each instance: https://www.alibabacloud.com/help/en/functioncompute/fc-3-0/user-guide/environment-variables-1 */
export function isFunctionCompute(environment: Environment): boolean {
  return environment["FC_FUNCTION_NAME"] !== undefined;
}
