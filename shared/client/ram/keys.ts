/** Where RAM keys come from: what a source gets and gives. */

import type { RamKeys } from "../acs3.ts";
import { IdentityError } from "../errors.ts";
import type { IdentityContext } from "../identity/identity.ts";

/** As much of a token source's context as keys need; they are also fetched before the broker can be asked anything. */
export type RamKeyContext = Pick<IdentityContext, "now" | "signal" | "outside">;

export interface RamKeySource {
  /** For messages. */
  readonly name: string;
  readonly keys: (context: RamKeyContext) => Promise<RamKeys>;
}

/** Keys that the caller has. */
export function ramKeys(keys: RamKeys): RamKeySource {
  return { name: "the RAM keys given", keys: async () => keys };
}

/** `ALIBABA_CLOUD_ACCESS_KEY_ID`, `_SECRET` and, of temporary keys, `ALIBABA_CLOUD_SECURITY_TOKEN`, as the vendor's tools read them. */
export function environmentKeys(): RamKeySource {
  return {
    name: "the RAM keys in the environment",
    async keys({ outside: { environment } }) {
      const accessKeyId = environment("ALIBABA_CLOUD_ACCESS_KEY_ID");
      const accessKeySecret = environment("ALIBABA_CLOUD_ACCESS_KEY_SECRET");
      const securityToken = environment("ALIBABA_CLOUD_SECURITY_TOKEN");
      if (accessKeyId === undefined || accessKeySecret === undefined) {
        throw new IdentityError(
          "no_identity",
          "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, both",
        );
      }
      return { accessKeyId, accessKeySecret, ...(securityToken === undefined ? {} : { securityToken }) };
    },
  };
}

/** Temporary keys, and when they end. */
export interface SessionKeys extends Required<RamKeys> {
  readonly expiresAt: Date;
}

/** Used no longer than until then: a request that is signed now is read a little later. */
const SPARE_MS = 5 * 60_000;

/** A source that fetches its keys when those it has are about to end. */
export function sessionKeys(name: string, fetchKeys: (context: RamKeyContext) => Promise<SessionKeys>): RamKeySource {
  let last: SessionKeys | undefined;
  return {
    name,
    async keys(context) {
      if (last === undefined || last.expiresAt.getTime() - context.now().getTime() < SPARE_MS) {
        last = await fetchKeys(context);
      }
      const { accessKeyId, accessKeySecret, securityToken } = last;
      return { accessKeyId, accessKeySecret, securityToken };
    },
  };
}

/** Reads an answer that has keys in it, in the form that the metadata service and STS share; undefined where it does not. */
export function readSessionKeys(value: unknown): SessionKeys | undefined {
  const { AccessKeyId, AccessKeySecret, SecurityToken, Expiration } = (value ?? {}) as Record<string, unknown>;
  const texts = [AccessKeyId, AccessKeySecret, SecurityToken, Expiration];
  if (!texts.every((text): text is string => typeof text === "string" && text !== "")) return undefined;
  const [accessKeyId, accessKeySecret, securityToken, expiration] = texts as [string, string, string, string];
  const expiresAt = new Date(expiration);
  return Number.isNaN(expiresAt.getTime()) ? undefined : { accessKeyId, accessKeySecret, securityToken, expiresAt };
}
