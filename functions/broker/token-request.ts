/** What `POST /v1/token` asks for: the same fields as JSON, as a form, or as query parameters. */

import { LRUCache } from "lru-cache";
import * as z from "zod/mini";
import { BrokerError } from "../../shared/error.ts";
import { parseStrictJson } from "../../shared/json.ts";
import { nearName } from "../../shared/near-name.ts";
import { SHORTEST_LIFETIME_SECONDS } from "../../shared/policy/grant.ts";
import { parseScope, quote, type Scope } from "../../shared/policy/scope.ts";

const FORMATS = ["json", "password", "docker-config", "env", "kubernetes-secret"] as const;
export type Format = (typeof FORMATS)[number];

/** Far more than fit into a session policy, and few enough that none of what is done for each is work worth asking for. */
const MOST_SCOPES = 100;

const name = z.string().check(z.minLength(1, "must not be empty"), z.maxLength(63, "is longer than a name may be"));
const seconds = z.int("must be a whole number of seconds");

export const tokenRequestSchema = z.strictObject({
  registry: z.optional(name),
  scope: z.optional(z.array(z.string())),
  grant: z.optional(name),
  ttl: z.optional(
    seconds.check(
      z.minimum(
        SHORTEST_LIFETIME_SECONDS,
        `must be at least ${SHORTEST_LIFETIME_SECONDS}: STS makes no shorter session`,
      ),
    ),
  ),
  min_ttl: z.optional(seconds.check(z.minimum(0, "must not be negative"))),
  format: z._default(z.enum(FORMATS, `must be one of ${FORMATS.join(", ")}`), "json"),
});

/** The fields as a caller writes them. */
export type TokenRequestFields = z.input<typeof tokenRequestSchema>;

export interface TokenRequest {
  readonly registry?: string;
  readonly wanted: { readonly scopes: readonly Scope[] } | { readonly grant: string };
  readonly ttlSeconds?: number;
  readonly minTtlSeconds?: number;
  readonly format: Format;
}

/** What texts were read as: a pipeline's jobs send the same ones, and to read them strictly takes longer than to decide. */
const known = new LRUCache<string, TokenRequest>({ max: 500 });
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
  const parsed = tokenRequestSchema.safeParse(fields);
  if (!parsed.success) {
    const issue = parsed.error.issues[0] as z.core.$ZodIssue;
    throw issue.code === "unrecognized_keys" ? unknownField(issue.keys[0] as string) : invalid(describe(issue));
  }
  const { registry, scope, grant, ttl, min_ttl: minTtl, format } = parsed.data;
  return {
    ...(registry === undefined ? {} : { registry }),
    wanted: wanted(scope, grant),
    ...(ttl === undefined ? {} : { ttlSeconds: ttl }),
    ...(minTtl === undefined ? {} : { minTtlSeconds: minTtl }),
    format,
  };
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
    if (!Object.hasOwn(tokenRequestSchema.shape, field)) throw unknownField(field);
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
  const known = Object.keys(tokenRequestSchema.shape);
  const near = nearName(field, known);
  return invalid(
    `${quote(field)} is no field of this request; ${near === undefined ? "" : `did you mean ${near}? `}the fields are ${known.join(", ")}`,
  );
}

function describe(issue: z.core.$ZodIssue): string {
  const field = issue.path.map(String).join(".");
  return `${field} ${issue.code === "invalid_type" && issue.message.startsWith("Invalid") ? `must be ${article(issue.expected)}` : issue.message}`;
}

function article(type: string): string {
  return type === "array" ? "a list of scopes" : `a ${type}`;
}

function invalid(message: string): BrokerError {
  return new BrokerError("invalid_request", message);
}
