/**
 * A signed Alibaba Cloud identity, `acs1.`: a GetCallerIdentity request that is signed with RAM keys for the broker's audience, and
 * can do nothing but say who signed it. docs/callers/alibaba.md
 */

import { acsDate, bytes, signed } from "../acs3.ts";
import { keysFrom, type RamKeySource } from "../ram/keys.ts";
import type { IdentitySource } from "./identity.ts";

/** SHA-256 of nothing. */
const EMPTY_BODY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** A new one each time: STS takes a nonce once. */
export function signedIdentity(source: RamKeySource): IdentitySource {
  return {
    name: source.name,
    async token(context) {
      // First, so that the broker has told the time by then.
      const [audience, host] = [await context.audience(), await context.stsHost()];
      const keys = await keysFrom(source, context);
      const { accessKeyId, securityToken } = keys;
      const [date, nonce] = [acsDate(context.now()), context.outside.newNonce()];
      const headers = {
        host,
        "x-acs-action": "GetCallerIdentity",
        "x-acs-content-sha256": EMPTY_BODY,
        "x-acs-date": date,
        ...(securityToken === undefined ? {} : { "x-acs-security-token": securityToken }),
        "x-acs-signature-nonce": nonce,
        "x-acs-version": "2015-04-01",
      };
      const query = { BrokerAudience: audience };
      const { signature } = await signed({ method: "POST", pathname: "/", query, headers, payload: EMPTY_BODY }, keys);
      const token = securityToken === undefined ? {} : { security_token: securityToken };
      return `acs1.${base64url(JSON.stringify({ access_key_id: accessKeyId, ...token, date, nonce, audience, signature }))}`;
    },
  };
}

function base64url(text: string): string {
  const binary = String.fromCharCode(...bytes(text));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
