/**
 * ACR Enterprise Edition GetAuthorizationToken, `cr` 2018-12-01: the user name and password of `docker login`. Called
 * through the generic call of the vendor's OpenAPI core, since the generated package is not in the npm registry.
 * https://www.alibabacloud.com/help/en/acr/developer-reference/api-cr-2018-12-01-getauthorizationtoken
 */

import { clientConfig, type Endpoint, isText, type SessionKeys } from "./assume-role.ts";
import { type CallContext, callUpstream, MalformedAnswer, RefusedAnswer } from "./call.ts";
import { loadSdk } from "./sdk.ts";
import type { Upstream } from "./upstream.ts";

export interface RegistryLogin {
  readonly username: string;
  readonly password: string;
  readonly expiresAt: Date;
  readonly requestId: string;
}

/** @throws BrokerError upstream_rejected, upstream_unavailable, upstream_timeout */
export async function authorizationToken(
  request: { instanceId: string; keys: SessionKeys; endpoint: Endpoint; deadline: Date; upstream?: Upstream },
  context: CallContext,
): Promise<RegistryLogin> {
  const sdk = await loadSdk();
  const client = new sdk.OpenApi(new sdk.util.Config(clientConfig(request.keys, request.endpoint)));
  const params = new sdk.util.Params({
    action: "GetAuthorizationToken",
    version: "2018-12-01",
    protocol: "HTTPS",
    pathname: "/",
    method: "POST",
    authType: "AK",
    style: "RPC",
    reqBodyType: "formData",
    bodyType: "json",
  });
  const attempt = async (limitMs: number) => {
    const answer = await client.callApi(
      params,
      new sdk.util.OpenApiRequest({ query: { InstanceId: request.instanceId } }),
      sdk.within(limitMs),
    );
    const { IsSuccess, Code, RequestId, AuthorizationToken, TempUsername, ExpireTime } = (answer["body"] ??
      {}) as Record<string, unknown>;
    if (IsSuccess !== true) throw new RefusedAnswer(String(Code), String(RequestId));
    const expiresAt = new Date(typeof ExpireTime === "number" ? ExpireTime : Number.NaN);
    if (!isText(AuthorizationToken) || !isText(TempUsername) || Number.isNaN(expiresAt.getTime()))
      throw new MalformedAnswer();
    return {
      username: TempUsername,
      password: AuthorizationToken,
      expiresAt,
      requestId: isText(RequestId) ? RequestId : "",
    };
  };
  return callUpstream("GetAuthorizationToken", request.deadline, context, attempt, request);
}
