/** What `POST /v1/token` asks for: the same fields as JSON, as a form, or as query parameters. */

import { BrokerError } from "../../shared/error.ts";
import { parseStrictJson } from "../../shared/json.ts";
import { nearName } from "../../shared/near-name.ts";
import { SHORTEST_LIFETIME_SECONDS } from "../../shared/policy/grant.ts";
import { parseScope, quote, type Scope } from "../../shared/policy/scope.ts";
import { recent } from "../../shared/recent.ts";
import type { TokenRequestFields } from "./request-schemas.ts";

export const FORMATS = ["json", "password", "docker-config", "env", "kubernetes-secret"] as const;
/** Characters: as long as a name of the policy may be. */
export const LONGEST_NAME = 63;
export const TTL_TOO_SHORT = `must be at least ${SHORTEST_LIFETIME_SECONDS}: STS makes no shorter session`;
export type Format = (typeof FORMATS)[number];

/** Far more than fit into a session policy, and few enough that none of what is done for each is work worth asking for. */
const MOST_SCOPES = 100;

/** What is wrong with a value of the field, if anything. request-schemas.ts says the same for the API's description; a test holds them equal. */
const PROBLEM_OF: Readonly<Record<keyof TokenRequestFields, (value: unknown) => string | undefined>> = {
  registry: problemOfName,
  scope(value) {
    if (!Array.isArray(value)) return "must be a list of scopes";
    const wrong = value.findIndex((text) => typeof text !== "string");
    return wrong === -1 ? undefined : `.${wrong} must be a string`;
  },
  grant: problemOfName,
  ttl: (value) => problemOfSeconds(value, SHORTEST_LIFETIME_SECONDS, TTL_TOO_SHORT),
  min_ttl: (value) => problemOfSeconds(value, 0, "must not be negative"),
  format: (value) => (FORMATS.some((format) => format === value) ? undefined : `must be one of ${FORMATS.join(", ")}`),
};

export const FIELDS = Object.keys(PROBLEM_OF) as (keyof TokenRequestFields)[];

function problemOfName(value: unknown): string | undefined {
  if (typeof value !== "string") return "must be a string";
  if (value === "") return "must not be empty";
  return value.length > LONGEST_NAME ? "is longer than a name may be" : undefined;
}

function problemOfSeconds(value: unknown, least: number, tooFew: string): string | undefined {
  if (!Number.isSafeInteger(value)) return "must be a whole number of seconds";
  return (value as number) < least ? tooFew : undefined;
}

export interface TokenRequest {
  readonly registry?: string;
  readonly wanted: { readonly scopes: readonly Scope[] } | { readonly grant: string };
  readonly ttlSeconds?: number;
  readonly minTtlSeconds?: number;
  readonly format: Format;
}

/** What texts were read as: a pipeline's jobs send the same ones, and to read them strictly takes longer than to decide. */
const known = recent<TokenRequest>(500);
/** Characters of a query and a body that are remembered: more is rare, and would take memory. */
const LONGEST_KNOWN = 1_000;

/** Reads the body's text and the query. @throws BrokerError invalid_request, invalid_scope, unsupported_media_type */
export function tokenRequest({ url, headers }: Request, text: string): TokenRequest {
  const from = url.indexOf("?");
  const query = from === -1 ? "" : url.slice(from);
  // Neither a header nor a URL has an end of line in it. The path plays no part.
  const key = `${headers.get("content-type")}\n${query}\n${text}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const request = readRequest(query === "" ? undefined : new URL(url).searchParams, headers, text);
  if (key.length <= LONGEST_KNOWN) known.set(key, request);
  return request;
}

function readRequest(parameters: URLSearchParams | undefined, headers: Headers, text: string): TokenRequest {
  const query = parameters === undefined ? {} : fromParameters(parameters);
  const body = fromBody(text, headers.get("content-type"));
  const twice = Object.keys(body).find((field) => Object.hasOwn(query, field));
  if (twice !== undefined) throw invalid(`${quote(twice)} stands in the body and in the query; send it once`);
  return fromFields({ ...query, ...body });
}

/** The fields, from wherever they were read. @throws BrokerError invalid_request, invalid_scope */
export function fromFields(fields: Readonly<Record<string, unknown>>): TokenRequest {
  const { registry, scope, grant, ttl, min_ttl: minTtl, format = "json" } = checkedFields(fields);
  return {
    ...(registry === undefined ? {} : { registry }),
    wanted: wanted(scope, grant),
    ...(ttl === undefined ? {} : { ttlSeconds: ttl }),
    ...(minTtl === undefined ? {} : { minTtlSeconds: minTtl }),
    format,
  };
}

/** @throws BrokerError invalid_request */
export function checkedFields(fields: Readonly<Record<string, unknown>>): TokenRequestFields {
  for (const field of FIELDS) {
    const problem = fields[field] === undefined ? undefined : PROBLEM_OF[field](fields[field]);
    if (problem !== undefined) throw invalid(`${field}${problem.startsWith(".") ? "" : " "}${problem}`);
  }
  const unknown = Object.keys(fields).find((field) => !isField(field));
  if (unknown !== undefined) throw unknownField(unknown);
  return fields;
}

function isField(name: string): boolean {
  return Object.hasOwn(PROBLEM_OF, name);
}

function wanted(scope: readonly string[] | undefined, grant: string | undefined): TokenRequest["wanted"] {
  // OAuth 2.0 (RFC 6749 section 3.3) and Docker write several scopes with spaces between them.
  const texts = scope?.flatMap((text) => text.split(" ")).filter((text) => text !== "");
  if (grant !== undefined) {
    if (scope !== undefined) throw invalid("send scope or grant, not both: grant means all that the grant gives");
    return { grant };
  }
  if (texts === undefined || texts.length === 0) {
    throw invalid(
      'nothing was asked for, and that never means everything; send scope ("repository:<namespace>/<repository>:pull") or grant',
    );
  }
  if (texts.length > MOST_SCOPES)
    throw invalid(
      `${texts.length} scopes are more than ${MOST_SCOPES}, and no session policy has room for them; ask for fewer at once`,
    );
  return {
    scopes: texts.map((text) => {
      const result = parseScope(text);
      if ("problem" in result) throw new BrokerError("invalid_scope", result.problem);
      return result.scope;
    }),
  };
}

function fromBody(text: string, contentType: string | null): Record<string, unknown> {
  if (text === "") return {};
  const mediaType = contentType?.split(";")[0]?.trim().toLowerCase();
  switch (mediaType) {
    case "application/json":
      return fromJson(text);
    case "application/x-www-form-urlencoded":
      // What curl -d sends unless it is told otherwise.
      if (/^\s*\{/.test(text)) throw invalid("the body is JSON, sent as a form; send Content-Type: application/json");
      return fromParameters(new URLSearchParams(text));
    default:
      throw new BrokerError(
        "unsupported_media_type",
        `the body is ${mediaType ? quote(mediaType) : "of no declared type"}; send application/json or application/x-www-form-urlencoded`,
      );
  }
}

function fromJson(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseStrictJson(text);
  } catch (error) {
    throw invalid(`the body could not be read: ${(error as SyntaxError).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid("the body must be a JSON object");
  // A lone scope is meant as a list of one.
  const fields = value as Record<string, unknown>;
  return typeof fields["scope"] === "string" ? { ...fields, scope: [fields["scope"]] } : fields;
}

/** One pass, ending at the first name that is no field: a body of many names costs no more than one of few. */
function fromParameters(parameters: URLSearchParams): Record<string, unknown> {
  const fields: Record<string, unknown> = Object.create(null);
  const scopes: string[] = [];
  for (const [field, value] of parameters) {
    if (!isField(field)) throw unknownField(field);
    if (field === "scope") scopes.push(value);
    else if (field in fields) throw invalid(`${quote(field)} stands there twice; send it once`);
    else fields[field] = field === "ttl" || field === "min_ttl" ? secondsOrText(value) : value;
  }
  return scopes.length === 0 ? fields : { ...fields, scope: scopes };
}

/** A form has texts only; what is no number is left for the schema to refuse. */
export function secondsOrText(value: string): number | string {
  return /^\d{1,9}$/.test(value) ? Number(value) : value;
}

function unknownField(field: string): BrokerError {
  const near = nearName(field, FIELDS);
  return invalid(
    `${quote(field)} is no field of this request; ${near === undefined ? "" : `did you mean ${near}? `}the fields are ${FIELDS.join(", ")}`,
  );
}

function invalid(message: string): BrokerError {
  return new BrokerError("invalid_request", message);
}
