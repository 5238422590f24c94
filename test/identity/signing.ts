/**
 * Signed identities for tests, with every part open to be changed after signing. The signatures are the vendor's
 * (@alicloud/openapi-core), so that the broker is not checked against its own reading of the rules.
 */

import { createHash, randomUUID } from "node:crypto";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { OpenApiUtil } = require("@alicloud/openapi-core") as typeof import("@alicloud/openapi-core");

export interface Keys {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly securityToken?: string;
}

/** What is signed; a test changes what it likes. */
export interface Signing {
  readonly keys: Keys;
  /** Of STS. */
  readonly host: string;
  readonly audience: string;
  readonly action?: string;
  readonly date?: string;
  readonly nonce?: string;
}

/** The fields of an `acs1.` credential. */
export type Fields = Record<string, unknown>;

export function signedWithAcs3(signing: Signing): Fields {
  const { keys, host, audience, action = "GetCallerIdentity", date = timestamp(), nonce = randomUUID() } = signing;
  const payload = createHash("sha256").update("").digest("hex");
  const request = {
    method: "POST",
    pathname: "/",
    query: { BrokerAudience: audience },
    headers: {
      host,
      "x-acs-action": action,
      "x-acs-content-sha256": payload,
      "x-acs-date": date,
      "x-acs-signature-nonce": nonce,
      "x-acs-version": "2015-04-01",
      ...(keys.securityToken === undefined ? {} : { "x-acs-security-token": keys.securityToken }),
    },
  };
  const authorization = OpenApiUtil.getAuthorization(
    request as unknown as Parameters<typeof OpenApiUtil.getAuthorization>[0],
    "ACS3-HMAC-SHA256",
    payload,
    keys.accessKeyId,
    keys.accessKeySecret,
  );
  return fields(keys, { date, nonce, audience, signature: /Signature=(.+)$/.exec(authorization)?.[1] });
}

export function signedWithRpc(signing: Signing): Fields {
  const { keys, audience, action = "GetCallerIdentity", date = timestamp(), nonce = randomUUID() } = signing;
  const parameters = {
    Action: action,
    Version: "2015-04-01",
    Format: "JSON",
    BrokerAudience: audience,
    AccessKeyId: keys.accessKeyId,
    SignatureMethod: "HMAC-SHA1",
    SignatureVersion: "1.0",
    SignatureNonce: nonce,
    Timestamp: date,
    ...(keys.securityToken === undefined ? {} : { SecurityToken: keys.securityToken }),
  };
  const signature = OpenApiUtil.getRPCSignature(parameters, "POST", keys.accessKeySecret);
  return fields(keys, { date, nonce, audience, signature, algorithm: "HMAC-SHA1" });
}

function fields(keys: Keys, rest: Fields): Fields {
  return {
    access_key_id: keys.accessKeyId,
    ...(keys.securityToken === undefined ? {} : { security_token: keys.securityToken }),
    ...rest,
  };
}

/** Of fields, or of whatever text is to stand behind the prefix. */
export function credential(content: Fields | string): string {
  return `acs1.${Buffer.from(typeof content === "string" ? content : JSON.stringify(content)).toString("base64url")}`;
}

export function timestamp(offsetSeconds = 0): string {
  return new Date(Date.now() + offsetSeconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");
}
