/**
 * The API in OpenAPI 3.1, made of the schemas that requests are validated with and of those that tests hold the answers to.
 * `npm run build` makes it once; no request does.
 */

import * as z from "zod/mini";
import { ERROR_STATUS, type ErrorCode } from "../../../shared/error.ts";
import { OAUTH_ERRORS, oauthErrorOf } from "../oauth-error.ts";
import { TITLES } from "../problem.ts";
import { tokenExchangeSchema, tokenRequestSchema } from "../request-schemas.ts";
import * as answers from "./answers.ts";
import * as words from "./words.ts";

/** As much of JSON Schema (2020-12) as is used here. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly oneOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly additionalProperties?: Schema | boolean;
}

export interface Parameter {
  readonly name: string;
  readonly in: "query";
  readonly description: string;
  readonly schema: Schema;
}

interface Content {
  readonly [mediaType: string]: { readonly schema: Schema; readonly example?: unknown };
}

export interface Answer {
  readonly description: string;
  readonly headers?: Readonly<Record<string, { readonly description: string; readonly schema: Schema }>>;
  readonly content?: Content;
}

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly tags: readonly string[];
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, Answer>>;
}

export interface OpenApi {
  readonly openapi: "3.1.1";
  readonly info: Readonly<Record<string, unknown>> & { readonly title: string; readonly version: string };
  readonly servers: readonly { readonly url: string }[];
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Partial<Record<"get" | "post", Operation>>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly securitySchemes: Readonly<Record<string, Readonly<Record<string, string>>>>;
  };
}

const IDENTITY: readonly ErrorCode[] = [
  "invalid_request",
  "missing_credentials",
  "invalid_token",
  "token_expired",
  "untrusted_issuer",
  "invalid_audience",
  "token_replayed",
  "invalid_api_key",
  "invalid_identity",
  "rate_limited",
  "upstream_rejected",
  "upstream_unavailable",
  "issuer_unavailable",
  "not_ready",
  "upstream_timeout",
];
const REQUEST: readonly ErrorCode[] = [
  "invalid_scope",
  "unknown_registry",
  "unknown_grant",
  "payload_too_large",
  "unsupported_media_type",
];
const ISSUING: readonly ErrorCode[] = ["access_denied", "policy_too_large"];

const FORM = "application/x-www-form-urlencoded";
const SECURITY = [{ token: [] }, { tokenBesideSignature: [] }];

export function openApi(version: string): OpenApi {
  const tokenRequest = schemaOf(tokenRequestSchema, "input", words.tokenRequest);
  return {
    openapi: "3.1.1",
    info: {
      title: "acr-token-broker",
      version,
      summary: words.SUMMARY,
      description: words.DESCRIPTION,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: words.TAGS,
    paths: {
      "/v1/token": {
        post: {
          operationId: "issueCredential",
          ...words.issueCredential,
          tags: ["Credentials"],
          security: SECURITY,
          ...fieldsAnywhere(tokenRequest, "TokenRequest"),
          responses: {
            200: {
              description: "The credential, in the format that was asked for.",
              content: {
                "application/json": {
                  schema: { oneOf: [ref("Credential"), ref("DockerConfig"), ref("KubernetesSecret")] },
                },
                "text/plain": { schema: { type: "string" } },
              },
            },
            ...problems([...IDENTITY, ...REQUEST, ...ISSUING]),
          },
        },
      },
      "/oauth2/token": {
        post: {
          operationId: "exchangeToken",
          ...words.exchangeToken,
          tags: ["Credentials"],
          requestBody: {
            required: true,
            content: { [FORM]: { schema: ref("TokenExchangeRequest"), example: words.EXCHANGE_EXAMPLE } },
          },
          responses: {
            200: json("The credential as an OAuth 2.0 answer.", "ExchangedToken"),
            ...oauthErrors([...IDENTITY, ...REQUEST, ...ISSUING]),
          },
        },
      },
      "/v1/explain": {
        post: {
          operationId: "explainDecision",
          ...words.explainDecision,
          tags: ["Decisions"],
          security: SECURITY,
          ...fieldsAnywhere(tokenRequest, "TokenRequest"),
          responses: {
            200: json("The decision, a denial too.", "Explanation"),
            ...problems([...IDENTITY, ...REQUEST]),
          },
        },
      },
      "/v1/whoami": {
        get: {
          operationId: "whoAmI",
          ...words.whoAmI,
          tags: ["Decisions"],
          security: SECURITY,
          responses: { 200: json("The caller, and the grants that match it.", "Whoami"), ...problems(IDENTITY) },
        },
      },
      "/.well-known/acr-broker": {
        get: open("discover", "Broker", words.discover, json("May be kept for 5 minutes.", "Discovery")),
      },
      "/healthz": { get: open("alive", "Broker", words.alive, json("It lives.", "Alive")) },
      "/readyz": {
        get: {
          ...open("ready", "Broker", words.ready, json("It can issue.", "Ready")),
          responses: { 200: json("It can issue.", "Ready"), ...problems(["not_ready"]) },
        },
      },
      "/version": { get: open("version", "Broker", words.version, json("What runs here.", "Version")) },
      "/metrics": {
        get: open("metrics", "Broker", words.metrics, {
          description: "The numbers; not there where `metrics.endpoint` of the configuration is false.",
          content: { "text/plain": { schema: { type: "string" } } },
        }),
      },
      "/openapi.json": {
        get: open("openApi", "Broker", words.openApi, {
          description: "This document.",
          content: { "application/json": { schema: { type: "object" } } },
        }),
      },
      "/docs": {
        get: open("docs", "Broker", words.docs, {
          description: "The page.",
          content: { "text/html": { schema: { type: "string" } } },
        }),
      },
      "/initialize": {
        post: open("initialize", "Function Compute", words.initialize, json("Done, as far as it went.", "Initialized")),
      },
      "/pre-stop": {
        get: open(
          "preStop",
          "Function Compute",
          words.preStop,
          json("Nothing is under way, or another waits.", "Stopping"),
        ),
      },
    },
    components: {
      schemas: {
        TokenRequest: tokenRequest,
        TokenExchangeRequest: schemaOf(tokenExchangeSchema, "input", words.tokenExchange),
        Credential: schemaOf(answers.credential, "output", words.credential),
        DockerConfig: schemaOf(answers.dockerConfig, "output", words.dockerConfig),
        KubernetesSecret: schemaOf(answers.kubernetesSecret, "output", {}),
        ExchangedToken: schemaOf(answers.exchanged, "output", words.exchanged),
        Explanation: schemaOf(answers.explanation, "output", words.explanation),
        Whoami: schemaOf(answers.whoami, "output", words.whoami),
        Discovery: schemaOf(answers.discovery, "output", words.discovery),
        Alive: schemaOf(answers.alive, "output", {}),
        Ready: schemaOf(answers.ready, "output", {}),
        Version: schemaOf(answers.version, "output", words.versionFields),
        Initialized: schemaOf(answers.initialized, "output", {}),
        Stopping: schemaOf(answers.stopping, "output", {}),
        Problem: schemaOf(answers.problem, "output", words.problem),
        OAuthError: schemaOf(answers.oauthError, "output", words.oauthError),
      },
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: words.TOKEN },
        tokenBesideSignature: {
          type: "apiKey",
          in: "header",
          name: "X-Acr-Broker-Authorization",
          description: words.TOKEN_BESIDE,
        },
      },
    },
  };
}

/** With a description for each field, where it needs one. */
function schemaOf(
  schema: z.core.$ZodType,
  io: "input" | "output",
  descriptions: Readonly<Record<string, string>>,
): Schema {
  const made = withoutBounds(z.toJSONSchema(schema, { io })) as Schema;
  const properties = Object.entries(made.properties ?? {}).map(([name, property]) => {
    const description = descriptions[name];
    return [name, description === undefined ? property : { ...property, description }] as const;
  });
  return { ...made, properties: Object.fromEntries(properties) };
}

/** zod says of every integer that JavaScript holds it exactly, which is no limit of this API. */
function withoutBounds({ $schema: _, ...schema }: object & { $schema?: unknown }): object {
  return JSON.parse(JSON.stringify(schema), (_, value: unknown) => (isSafeBound(value) ? undefined : value)) as object;
}

function isSafeBound(value: unknown): boolean {
  return typeof value === "number" && Math.abs(value) === Number.MAX_SAFE_INTEGER;
}

function ref(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` };
}

function json(description: string, schema: string): Answer {
  return { description, content: { "application/json": { schema: ref(schema) } } };
}

/** The fields as JSON, as a form or in the query: each in one place only, so none is required of any. */
function fieldsAnywhere(schema: Schema, name: string): Pick<Operation, "parameters" | "requestBody"> {
  return {
    parameters: Object.entries(schema.properties ?? {}).map(([field, { description = "", ...rest }]) => ({
      name: field,
      in: "query",
      description,
      schema: rest,
    })),
    requestBody: {
      required: false,
      content: {
        "application/json": { schema: ref(name), example: words.EXAMPLE },
        [FORM]: { schema: ref(name) },
      },
    },
  };
}

/** A route that needs no identity and has nothing to refuse. */
function open(operationId: string, tag: string, said: words.Said, answer: Answer): Operation {
  return { operationId, ...said, tags: [tag], responses: { 200: answer, ...problems([]) } };
}

function problems(codes: readonly ErrorCode[]): Record<string, Answer> {
  return grouped(
    codes.map((code) => ({ status: ERROR_STATUS[code], code })),
    (status, named) => ({
      description: `${named.map((code) => (code === "internal_error" ? "A defect of the broker" : TITLES[code])).join("; ")}.`,
      content: {
        "application/problem+json": {
          schema: { ...ref("Problem"), properties: { status: { const: status }, code: { enum: named } } },
        },
      },
    }),
  );
}

function oauthErrors(codes: readonly ErrorCode[]): Record<string, Answer> {
  const all = codes.map((code) => ({ status: oauthErrorOf(code, ERROR_STATUS[code]).status, code }));
  return grouped([...all, { status: 401, code: "invalid_request" as const }], (status, named) => ({
    description: `RFC 6749, section 5.2: ${oauthNames(status).join(", ")}.`,
    content: {
      "application/json": {
        schema: { ...ref("OAuthError"), properties: { error: { enum: oauthNames(status) }, code: { enum: named } } },
      },
    },
  }));
}

/** Which `error` a status goes with. */
function oauthNames(status: number): string[] {
  return OAUTH_ERRORS.filter((error) => {
    if (error === "temporarily_unavailable") return [429, 503, 504].includes(status);
    if (error === "server_error") return [500, 502].includes(status);
    return status === (error === "invalid_client" ? 401 : 400);
  });
}

type AnyCode = ErrorCode | "internal_error";

/** By status, each with the headers that go with it; a defect is possible everywhere. */
function grouped(
  errors: readonly { readonly status: number; readonly code: AnyCode }[],
  answer: (status: number, codes: readonly AnyCode[]) => Answer,
): Record<string, Answer> {
  const byStatus = new Map<number, Set<AnyCode>>();
  for (const { status, code } of [...errors, { status: 500, code: "internal_error" as const }]) {
    byStatus.set(status, (byStatus.get(status) ?? new Set()).add(code));
  }
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => {
      const headers = {
        ...(status === 401
          ? { "WWW-Authenticate": { description: "How to authenticate.", schema: { type: "string" } } }
          : {}),
        ...(status === 429 || status >= 503
          ? { "Retry-After": { description: "Seconds, where waiting helps.", schema: { type: "integer" } } }
          : {}),
      };
      const withHeaders = Object.keys(headers).length === 0 ? {} : { headers };
      return [String(status), { ...answer(status, [...codes]), ...withHeaders }];
    }),
  );
}
