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

/** The source's keys, if they have the form of such. @throws IdentityError identity_failed, which names the one that has not */
export async function keysFrom(source: RamKeySource, context: RamKeyContext): Promise<RamKeys> {
  const keys = await source.keys(context);
  const { accessKeyId, accessKeySecret, securityToken } = keys;
  // As the broker takes them. A line end, left from a file, would be signed and then lost on the way.
  const wrong = !/^[A-Za-z0-9.]{8,128}$/.test(accessKeyId)
    ? "access key id"
    : !/^[\x21-\x7e]+$/.test(accessKeySecret)
      ? "access key secret"
      : securityToken !== undefined && !/^[A-Za-z0-9+/=_.-]{1,3072}$/.test(securityToken)
        ? "security token"
        : undefined;
  if (wrong === undefined) return keys;
  throw new IdentityError(
    "identity_failed",
    `the ${wrong} of ${source.name} does not have the form of one; is it empty, or has it spaces or a line end?`,
  );
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
