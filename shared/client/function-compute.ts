/**
 * Signs a request for a Function Compute trigger with `authType: function`, as the vendor's page does: x-acs-date and
 * x-acs-security-token (empty, of keys that have none), and nothing in place of the body.
 * https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/configure-signature-authentication-for-http-triggers
 */

import { acsDate, type RamKeys, signed } from "./acs3.ts";

/** The headers to send with it. The URL has no query, and a path without characters that could be encoded two ways. */
export async function functionComputeHeaders(
  method: string,
  { pathname }: URL,
  keys: RamKeys,
  now: Date,
): Promise<Record<string, string>> {
  const headers = { "x-acs-date": acsDate(now), "x-acs-security-token": keys.securityToken ?? "" };
  const { authorization } = await signed({ method, pathname, query: {}, headers, payload: "" }, keys);
  return { ...headers, authorization };
}
