/**
 * Alibaba Cloud's request signature, ACS3-HMAC-SHA256, with WebCrypto:
 * https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature
 */

/** Keys of a RAM user, or the temporary ones of a role, which have a token. */
export interface RamKeys {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly securityToken?: string;
}

export interface ToSign {
  readonly method: string;
  /** As it stands in the URL. */
  readonly pathname: string;
  /** Not yet encoded. */
  readonly query: Readonly<Record<string, string>>;
  /** In lower case; all of them are signed. */
  readonly headers: Readonly<Record<string, string>>;
  /** What stands for the body: its SHA-256 in hex, or nothing where it is not signed. */
  readonly payload: string;
}

const ALGORITHM = "ACS3-HMAC-SHA256";

/** The signature in hex, and the Authorization header that carries it. */
export async function signed(
  { method, pathname, query, headers, payload }: ToSign,
  { accessKeyId, accessKeySecret }: RamKeys,
): Promise<{ signature: string; authorization: string }> {
  const names = Object.keys(headers).sort();
  const canonical = [
    method,
    pathname,
    canonicalQuery(query),
    ...names.map((name) => `${name}:${headers[name]?.trim()}`),
    "",
    names.join(";"),
    payload,
  ].join("\n");
  const digest = await crypto.subtle.digest("SHA-256", bytes(canonical));
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes(accessKeySecret), hmac, false, ["sign"]);
  const signature = hex(await crypto.subtle.sign("HMAC", key, bytes(`${ALGORITHM}\n${hex(digest)}`)));
  const parts = [`Credential=${accessKeyId}`, `SignedHeaders=${names.join(";")}`, `Signature=${signature}`];
  return { signature, authorization: `${ALGORITHM} ${parts.join(",")}` };
}

export function canonicalQuery(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${percentEncode(name)}=${percentEncode(value)}`)
    .join("&");
}

/** `2026-06-01T12:00:00Z`: the form of x-acs-date, in whole seconds. */
export function acsDate(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}

/** RFC 3986: all but unreserved characters; encodeURIComponent leaves five of them alone. */
function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

export function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function hex(buffer: ArrayBuffer): string {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
