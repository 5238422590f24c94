/** What the caller of the SDK asks for, checked before anything is sent, and which requests are equal. */

import { OptionsError } from "./errors.ts";
import type { TokenFields } from "./wire.ts";

export interface CredentialsRequest {
  /** A configured registry; may be left out where there is only one, or with `grant`. */
  readonly registry?: string;
  /** Docker scopes, `repository:<namespace>/<repository>:pull`; in one text with spaces between them, or a list. */
  readonly scope?: string | readonly string[];
  /** Instead of `scope`: all that the named grant gives. */
  readonly grant?: string;
  /** Seconds that the credentials shall live, 900 or more; the grants cap it. */
  readonly ttl?: number;
  /** Seconds that they must still live when they are handed over; 60 unless said otherwise. */
  readonly minTtl?: number;
  /** Gives up waiting. Others who wait for the same credentials go on. */
  readonly signal?: AbortSignal;
}

export interface Wanted {
  readonly fields: TokenFields;
  readonly minTtlSeconds: number;
  /** Equal for requests that one credential answers, if it lives long enough. */
  readonly key: string;
}

const LEAST_LIFE_SECONDS = 60;

const FIELDS = ["registry", "scope", "grant", "ttl", "minTtl", "signal"];

/** A slip in a name must not leave out what it was to say. @throws OptionsError */
export function refuseUnknown(what: string, given: object, known: readonly string[]): void {
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new OptionsError(`${JSON.stringify(unknown)} is no ${what}; there is ${known.join(", ")}`);
  }
}

/** @throws OptionsError */
export function readRequest(request: CredentialsRequest): Wanted {
  refuseUnknown("field of a request", request, FIELDS);
  const { registry, scope, grant, ttl, minTtl } = request;
  if (registry !== undefined) checkName("registry", registry);
  const seconds = { ttl, minTtl };
  for (const [name, value] of Object.entries(seconds)) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) {
      throw new OptionsError(`${name} must be a whole number of seconds`);
    }
  }
  const fields: TokenFields = {
    ...(registry === undefined ? {} : { registry }),
    ...wanted(scope, grant),
    ...(ttl === undefined ? {} : { ttl }),
  };
  return {
    fields: minTtl === undefined ? fields : { ...fields, min_ttl: minTtl },
    minTtlSeconds: minTtl ?? LEAST_LIFE_SECONDS,
    key: JSON.stringify([registry ?? null, fields.scope ?? null, grant ?? null, ttl ?? null]),
  };
}

function wanted(scope: CredentialsRequest["scope"], grant: string | undefined): Pick<TokenFields, "scope" | "grant"> {
  if (grant !== undefined) {
    checkName("grant", grant);
    if (scope !== undefined)
      throw new OptionsError("ask for scope or grant, not both: grant means all that the grant gives");
    return { grant };
  }
  const texts: unknown = typeof scope === "string" ? [scope] : scope;
  const isList = Array.isArray(texts) && texts.every((text): text is string => typeof text === "string");
  const scopes = isList ? texts.flatMap((text) => text.split(/\s+/)).filter((text) => text !== "") : [];
  if (scopes.length === 0) {
    throw new OptionsError(
      'nothing was asked for, and that never means everything; give scope ("repository:<namespace>/<repository>:pull") or grant',
    );
  }
  return { scope: [...new Set(scopes.map(inOrder))].sort() };
}

/** `push,pull` is `pull,push`. */
function inOrder(scope: string): string {
  const colon = scope.lastIndexOf(":");
  return `${scope.slice(0, colon + 1)}${scope
    .slice(colon + 1)
    .split(",")
    .sort()
    .join(",")}`;
}

function checkName(field: string, name: unknown): void {
  if (typeof name !== "string" || name === "") throw new OptionsError(`${field} must be a name, and not empty`);
}
