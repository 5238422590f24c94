/**
 * A pod's RAM role by RRSA: ACK mounts a token that STS exchanges for the role's keys (AssumeRoleWithOIDC, which nothing signs).
 * Goes to STS itself and never to a host that the broker names: whoever has that token can become the role.
 * https://www.alibabacloud.com/help/en/ram/developer-reference/api-sts-2015-04-01-assumerolewithoidc
 */

import { acsDate } from "../acs3.ts";
import { IdentityError } from "../errors.ts";
import { exchange, isPassing, jsonObject } from "../http.ts";
import { readTokenFile } from "../identity/file.ts";
import type { Outside } from "../outside.ts";
import { type RamKeySource, readSessionKeys, sessionKeys } from "./keys.ts";

const PEER = { name: "STS" };
const SESSION_NAME = "acr-token-broker";

export interface RrsaOptions {
  /** Left out: STS where ALIBABA_CLOUD_STS_REGION says, else the central one. */
  readonly stsUrl?: string;
}

export function rrsa({ stsUrl }: RrsaOptions = {}): RamKeySource {
  return sessionKeys("RRSA", async ({ signal, outside, now }) => {
    const variable = (name: string): string => {
      const value = outside.environment(name);
      if (value === undefined) throw new IdentityError("no_identity", `RRSA needs ${name}, which ACK sets in the pod`);
      return value;
    };
    const url = new URL(stsUrl ?? stsOf(outside));
    const common = { Action: "AssumeRoleWithOIDC", Version: "2015-04-01", Format: "JSON", Timestamp: acsDate(now()) };
    url.search = new URLSearchParams(common).toString();
    const body = new URLSearchParams({
      RoleArn: variable("ALIBABA_CLOUD_ROLE_ARN"),
      OIDCProviderArn: variable("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"),
      OIDCToken: (await readTokenFile(variable("ALIBABA_CLOUD_OIDC_TOKEN_FILE"), outside)).trim(),
      RoleSessionName: outside.environment("ALIBABA_CLOUD_ROLE_SESSION_NAME") ?? SESSION_NAME,
    });
    const headers = { "content-type": "application/x-www-form-urlencoded", accept: "application/json" };
    const answer = await exchange(PEER, url, { method: "POST", headers, body: body.toString() }, signal, outside);
    const { Credentials, Code } = jsonObject(answer) ?? {};
    const keys = answer.status === 200 ? readSessionKeys(Credentials) : undefined;
    if (keys !== undefined) return keys;
    const code = typeof Code === "string" && /^[A-Z][A-Za-z.]{1,99}$/.test(Code) ? Code : `status ${answer.status}`;
    throw new IdentityError("identity_failed", `${PEER.name} did not give this pod its role: ${code}`, {
      status: answer.status,
      retryable: isPassing(answer.status) || answer.status >= 500,
    });
  });
}

/** As the vendor's credential packages choose it. */
function stsOf({ environment }: Outside): string {
  const region = environment("ALIBABA_CLOUD_STS_REGION");
  if (region === undefined) return "https://sts.aliyuncs.com";
  if (!/^[a-z0-9-]{1,40}$/.test(region)) {
    throw new IdentityError("identity_failed", "ALIBABA_CLOUD_STS_REGION is no region's name");
  }
  const vpc = environment("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED")?.toLowerCase() === "true" ? "-vpc" : "";
  return `https://sts${vpc}.${region}.aliyuncs.com`;
}
