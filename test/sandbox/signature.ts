/**
 * Request signatures: reads what a request claims (which key, which API, when) and says whether a secret made its signature.
 * Two schemes, told apart as the gateway does: ACS3-HMAC-SHA256 in the Authorization header
 * ("Request syntax and signature method V3"), else HMAC-SHA1 over the parameters ("RPC mechanism", SignatureVersion 1.0).
 * Knows no keys and no clock.
 */
import { createHash, createHmac } from "node:crypto";
import { ApiError, type Format, missing } from "./answer.ts";

export interface HttpRequest {
  readonly method: string;
  /** As sent: path, and the query after `?` without decoding. */
  readonly path: string;
  readonly rawQuery: string;
  /** Lower-case names; several values where a header was repeated. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly body: Buffer;
}

export interface SignedCall {
  readonly scheme: "ACS3" | "RPC";
  readonly action: string;
  readonly version: string;
  readonly accessKeyId: string;
  readonly securityToken?: string;
  readonly nonce: string;
  readonly date: Date;
  /** All parameters, from query and form together. */
  readonly params: ReadonlyMap<string, string>;
  /** Whether this secret made the signature. */
  isSignedWith(secret: string): boolean;
  /** What the real service echoes to the caller who signed wrongly. */
  readonly mismatch: string;
}

/** Reads a call, or throws the ApiError of the gateway: something mandatory absent, ill-formed, or left unsigned. */
export function readSignedCall(request: HttpRequest): SignedCall {
  const pairs = [...decodePairs(request.rawQuery), ...decodePairs(formBody(request))];
  const authorization = header(request, "authorization");
  return authorization?.startsWith("ACS3-") ? readAcs3(request, authorization, pairs) : readRpc(request, pairs);
}

/** The format that the caller asked for. XML unless asked otherwise, which is the documented default of RPC APIs. */
export function wantedFormat(request: HttpRequest): Format {
  const format = decodePairs(request.rawQuery)
    .concat(decodePairs(formBody(request)))
    .find(([name]) => name === "Format")?.[1];
  if (format !== undefined) return format.toUpperCase() === "JSON" ? "JSON" : "XML";
  return header(request, "accept")?.includes("application/json") ? "JSON" : "XML";
}

/** RFC 3986: everything but unreserved characters is escaped, `*` included, which encodeURIComponent leaves alone. */
export function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

type Pair = readonly [name: string, value: string];

const AUTHORIZATION = /^ACS3-HMAC-SHA256 +Credential=([^,\s]+), *SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{64})$/;

function readAcs3(request: HttpRequest, authorization: string, pairs: readonly Pair[]): SignedCall {
  if (!authorization.startsWith("ACS3-HMAC-SHA256 ")) {
    throw new ApiError(400, "InvalidSignatureMethod", "Specified signature method is not valid.");
  }
  const [, accessKeyId, signedHeaders, signature] = AUTHORIZATION.exec(authorization) ?? [];
  if (accessKeyId === undefined || signedHeaders === undefined || signature === undefined) throw incomplete();
  const names = signedHeaders.split(";");
  // "All common request headers except Authorization must be signed if they are present."
  const mustSign = Object.keys(request.headers).filter((name) => name === "host" || name.startsWith("x-acs-"));
  const present = names.every((name) => request.headers[name] !== undefined);
  if (!present || [...mustSign, "x-acs-content-sha256"].some((name) => !names.includes(name))) throw incomplete();

  // Taken from the body itself, so that a header which says otherwise is a wrong signature too.
  const bodyHash = createHash("sha256").update(request.body).digest("hex");
  const canonicalRequest = [
    request.method,
    request.path,
    canonicalQuery(decodePairs(request.rawQuery)),
    ...[...names].sort().map((name) => `${name}:${canonicalHeader(request, name)}`),
    "",
    signedHeaders,
    bodyHash,
  ].join("\n");
  const stringToSign = `ACS3-HMAC-SHA256\n${createHash("sha256").update(canonicalRequest).digest("hex")}`;
  const securityToken = header(request, "x-acs-security-token");
  return {
    scheme: "ACS3",
    action: header(request, "x-acs-action") ?? absent("x-acs-action"),
    version: header(request, "x-acs-version") ?? absent("x-acs-version"),
    accessKeyId,
    ...(securityToken === undefined ? {} : { securityToken }),
    nonce: header(request, "x-acs-signature-nonce") ?? absent("x-acs-signature-nonce"),
    date: readDate(header(request, "x-acs-date") ?? absent("x-acs-date")),
    params: new Map(pairs),
    isSignedWith: (secret) =>
      header(request, "x-acs-content-sha256") === bodyHash &&
      createHmac("sha256", secret).update(stringToSign).digest("hex") === signature,
    mismatch: `Specified signature does not match our calculation. server StringToSign is [${stringToSign}] server CanonicalRequest is [${canonicalRequest}]`,
  };
}

function readRpc(request: HttpRequest, pairs: readonly Pair[]): SignedCall {
  const params = new Map(pairs);
  const need = (name: string): string => params.get(name) || absent(name);
  const call = {
    action: need("Action"),
    version: need("Version"),
    accessKeyId: need("AccessKeyId"),
    signature: need("Signature"),
    nonce: need("SignatureNonce"),
    date: readDate(need("Timestamp")),
  };
  if (need("SignatureMethod") !== "HMAC-SHA1") {
    throw new ApiError(400, "InvalidSignatureMethod", "Specified signature method is not valid.");
  }
  if (need("SignatureVersion") !== "1.0") {
    throw new ApiError(400, "InvalidSignatureVersion", "Specified signature version is not valid.");
  }
  const signed = canonicalQuery(pairs.filter(([name]) => name !== "Signature"));
  const stringToSign = `${request.method}&%2F&${percentEncode(signed)}`;
  const securityToken = params.get("SecurityToken");
  return {
    scheme: "RPC",
    ...call,
    ...(securityToken ? { securityToken } : {}),
    params,
    isSignedWith: (secret) => createHmac("sha1", `${secret}&`).update(stringToSign).digest("base64") === call.signature,
    mismatch: `Specified signature is not matched with our calculation. server string to sign is:${stringToSign}`,
  };
}

/** Sorted by name, both sides percent-encoded again: how the caller escaped on the wire makes no difference. */
function canonicalQuery(pairs: readonly Pair[]): string {
  return [...pairs]
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => `${percentEncode(name)}=${percentEncode(value)}`)
    .join("&");
}

function canonicalHeader(request: HttpRequest, name: string): string {
  return [...(request.headers[name] ?? [])]
    .map((value) => value.trim())
    .sort()
    .join(",");
}

function header(request: HttpRequest, name: string): string | undefined {
  return request.headers[name]?.[0];
}

function formBody(request: HttpRequest): string {
  const isForm = header(request, "content-type")?.startsWith("application/x-www-form-urlencoded");
  return isForm ? request.body.toString("utf8") : "";
}

function decodePairs(encoded: string): readonly Pair[] {
  return [...new URLSearchParams(encoded)];
}

// The V3 and RPC documents both give yyyy-MM-ddTHH:mm:ssZ; sts-sdk sends milliseconds too, and is accepted.
const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

function readDate(text: string): Date {
  const date = new Date(DATE.test(text) ? text : Number.NaN);
  if (Number.isNaN(date.getTime())) {
    throw new ApiError(400, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.");
  }
  return date;
}

function absent(parameter: string): never {
  throw missing(parameter);
}

function incomplete(): ApiError {
  return new ApiError(400, "IncompleteSignature", "The request signature does not conform to Aliyun standards.");
}
