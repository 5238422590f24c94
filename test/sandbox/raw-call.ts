/**
 * Calls on the sandbox whose every part a test can spoil after it was signed. Signatures are made by the vendor's code
 * (@alicloud/openapi-core), so that the sandbox is not checked against its own reading of the rules.
 */
import { createHash } from "node:crypto";
import { request as httpRequest } from "node:http";
import { createRequire } from "node:module";
import type { Cloud } from "./cloud.ts";

const require = createRequire(import.meta.url);
const { OpenApiUtil } = require("@alicloud/openapi-core") as typeof import("@alicloud/openapi-core");

export interface Keys {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly securityToken?: string;
}
export interface RawRequest {
  method: string;
  query: Record<string, string>;
  headers: Record<string, string>;
  body: string;
}
export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The JSON body. */
  readonly json: Readonly<Record<string, unknown>>;
}
export interface Ask {
  readonly keys: Keys;
  readonly action: string;
  readonly params?: Record<string, string>;
  /** Sent as a form body; else parameters go into the query. */
  readonly form?: boolean;
  readonly version?: string;
  readonly date?: Date;
  readonly nonce?: string;
}

let nonces = 0;

/** A request signed with ACS3-HMAC-SHA256, dated by the cloud's clock. */
export function signAcs3(cloud: Cloud, ask: Ask): RawRequest {
  const params = ask.params ?? {};
  const body = ask.form ? new URLSearchParams(params).toString() : "";
  const { securityToken } = ask.keys;
  const headers: Record<string, string> = {
    host: cloud.host,
    accept: "application/json",
    "x-acs-action": ask.action,
    "x-acs-version": ask.version ?? versionOf(ask.action),
    "x-acs-date": timestamp(ask.date ?? cloud.now()),
    "x-acs-signature-nonce": ask.nonce ?? `nonce-${++nonces}`,
    "x-acs-content-sha256": createHash("sha256").update(body).digest("hex"),
    ...(ask.form ? { "content-type": "application/x-www-form-urlencoded" } : {}),
    ...(securityToken === undefined ? {} : { "x-acs-security-token": securityToken }),
  };
  const request: RawRequest = { method: "POST", query: ask.form ? {} : params, headers, body };
  return resignAcs3(request, ask.keys);
}

/** Signs again after a change; `bodyHash` as the signature's last line where it shall differ from the header's. */
export function resignAcs3(request: RawRequest, keys: Keys, bodyHash?: string): RawRequest {
  const { authorization: _, ...headers } = request.headers;
  const signable = { method: request.method, pathname: "/", query: request.query, headers };
  const authorization = OpenApiUtil.getAuthorization(
    signable as Parameters<typeof OpenApiUtil.getAuthorization>[0],
    "ACS3-HMAC-SHA256",
    bodyHash ?? headers["x-acs-content-sha256"] ?? "",
    keys.accessKeyId,
    keys.accessKeySecret,
  );
  return { ...request, headers: { ...headers, authorization } };
}

/** A GET signed with the older HMAC-SHA1 scheme. */
export function signRpc(cloud: Cloud, ask: Ask): RawRequest {
  const query: Record<string, string> = {
    ...ask.params,
    Action: ask.action,
    Version: ask.version ?? versionOf(ask.action),
    Format: "JSON",
    AccessKeyId: ask.keys.accessKeyId,
    SignatureMethod: "HMAC-SHA1",
    SignatureVersion: "1.0",
    SignatureNonce: ask.nonce ?? `nonce-${++nonces}`,
    Timestamp: timestamp(ask.date ?? cloud.now()),
    ...(ask.keys.securityToken === undefined ? {} : { SecurityToken: ask.keys.securityToken }),
  };
  query["Signature"] = OpenApiUtil.getRPCSignature(query, "GET", ask.keys.accessKeySecret);
  return { method: "GET", query, headers: {}, body: "" };
}

export function sendRaw(cloud: Cloud, raw: RawRequest): Promise<RawAnswer> {
  const query = new URLSearchParams(raw.query).toString();
  return new Promise((resolve, reject) => {
    const options = { method: raw.method, headers: raw.headers };
    const request = httpRequest(`${cloud.url}/${query && `?${query}`}`, options, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      const text = Buffer.concat(chunks).toString();
      const isJson = response.headers["content-type"]?.startsWith("application/json");
      const json = isJson ? (JSON.parse(text) as Record<string, unknown>) : {};
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
    });
    request.on("error", reject).end(raw.body);
  });
}

/** Signs with ACS3 and sends. */
export function call(cloud: Cloud, ask: Ask): Promise<RawAnswer> {
  return sendRaw(cloud, signAcs3(cloud, ask));
}

/** Assumes a role and returns the session's keys; fails the test when refused. */
export async function assume(cloud: Cloud, keys: Keys, params: Record<string, string>): Promise<Required<Keys>> {
  const answer = await call(cloud, { keys, action: "AssumeRole", params: { RoleSessionName: "test", ...params } });
  if (answer.status !== 200) throw new Error(answer.text);
  const given = answer.json["Credentials"] as Record<string, string>;
  return {
    accessKeyId: given["AccessKeyId"] ?? "",
    accessKeySecret: given["AccessKeySecret"] ?? "",
    securityToken: given["SecurityToken"] ?? "",
  };
}

function versionOf(action: string): string {
  return action === "GetAuthorizationToken" ? "2018-12-01" : "2015-04-01";
}

function timestamp(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}
