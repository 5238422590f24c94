/**
 * The gateway's door: turns a signed call into a caller, or refuses it. Holds the nonces that were seen.
 * Codes and messages: common error codes of the RPC gateway.
 */
import { ApiError } from "./answer.ts";
import type { Caller, Keyring } from "./keyring.ts";
import type { SignedCall } from "./signature.ts";

// "The timestamp is valid for 15 minutes" (V3, x-acs-date), on either side of the server's clock.
const WINDOW_MS = 15 * 60 * 1000;

export type Gate = (call: SignedCall, now: Date) => Caller;

export function createGate(keyring: Keyring): Gate {
  const seen = new Map<string, number>();

  return (call, now) => {
    const key = keyring.find(call.accessKeyId);
    if (key === undefined) {
      throw new ApiError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.");
    }
    if (Math.abs(now.getTime() - call.date.getTime()) > WINDOW_MS) {
      throw new ApiError(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.");
    }
    checkToken(call.securityToken, key.securityToken, keyring);
    if (key.caller.expiresAt !== undefined && now >= key.caller.expiresAt) {
      throw new ApiError(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.");
    }
    if (!call.isSignedWith(key.secret)) throw new ApiError(400, "SignatureDoesNotMatch", call.mismatch);
    useNonce(`${call.accessKeyId} ${call.nonce}`, call.date.getTime() + WINDOW_MS, now.getTime());
    return key.caller;
  };

  /** Only after the signature was found right, so that nobody can burn another's nonce. */
  function useNonce(nonce: string, goodUntil: number, now: number): void {
    // Oldest first, and no further than the first that still counts: a benchmark leaves a hundred thousand here.
    for (const [old, until] of seen) {
      if (until >= now) break;
      seen.delete(old);
    }
    if (seen.has(nonce)) {
      throw new ApiError(400, "SignatureNonceUsed", "Specified signature nonce was used already.");
    }
    seen.set(nonce, goodUntil);
  }
}

function checkToken(sent: string | undefined, expected: string | undefined, keyring: Keyring): void {
  if (sent === expected) return;
  if (sent === undefined) {
    throw new ApiError(400, "MissingSecurityToken", "SecurityToken is mandatory for this action.");
  }
  if (!keyring.knowsToken(sent)) {
    throw new ApiError(400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.");
  }
  throw new ApiError(
    400,
    "InvalidSecurityToken.MismatchWithAccessKey",
    "Specified SecurityToken mismatch with the AccessKey.",
  );
}
