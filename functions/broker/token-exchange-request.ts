/**
 * What `POST /oauth2/token` asks for: the form of a token exchange (RFC 8693 section 2.1), read as RFC 6749 section 3.2 has it:
 * parameters without a value count as left out, unknown ones are passed over, and none may be there twice.
 */

import type { BrokerConfig } from "../../shared/config/config.ts";
import { BrokerError } from "../../shared/error.ts";
import { quote } from "../../shared/policy/scope.ts";
import { OAuthError } from "./oauth-error.ts";
import type { TokenExchangeFields } from "./request-schemas.ts";
import { fromFields, secondsOrText, type TokenRequest } from "./token-request.ts";

export const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange";
const TOKEN_TYPE = "urn:ietf:params:oauth:token-type:";
export const ACCESS_TOKEN = `${TOKEN_TYPE}access_token` as const;
/** RFC 8693 section 3 has two names for an OpenID Connect token, and none for our own kinds but the one for opaque tokens. */
const JWT_TYPES: readonly string[] = [`${TOKEN_TYPE}jwt`, `${TOKEN_TYPE}id_token`];
export const SUBJECT_TOKEN_TYPES = [`${TOKEN_TYPE}jwt`, `${TOKEN_TYPE}id_token`, ACCESS_TOKEN] as const;

/** All that is read; request-schemas.ts describes it. */
export const EXCHANGE_FIELDS: readonly (keyof TokenExchangeFields)[] = [
  "grant_type",
  "subject_token",
  "subject_token_type",
  "audience",
  "scope",
  "requested_token_type",
  // A public client's name of itself (RFC 6749 section 3.2.1), which proves nothing and decides nothing.
  "client_id",
  // Not RFC 8693's: as `/v1/token` has them.
  "grant",
  "ttl",
  "min_ttl",
];

/** Known, and never served: passing over them would give something else than was asked for. */
const REFUSED: Readonly<Record<string, string>> = {
  actor_token: "nobody acts for another here; send subject_token alone",
  actor_token_type: "nobody acts for another here; send subject_token alone",
  registry: "a registry is called audience here",
  format: "the answer is always JSON here; POST /v1/token has other formats",
};

const CLIENT_SECRETS = ["client_secret", "client_assertion", "client_assertion_type"];

export interface TokenExchange {
  readonly subjectToken: string;
  /** Read when it is known who asks, as everywhere else. @throws BrokerError invalid_request, invalid_scope, unknown_registry */
  request(): TokenRequest;
}

/** @throws BrokerError and OAuthError; all but the scopes, the registry and the times are checked */
export function tokenExchange(request: Request, text: string, config: BrokerConfig): TokenExchange {
  refuseClientAuthentication(request.headers);
  const mediaType = request.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (mediaType !== "application/x-www-form-urlencoded") {
    throw new BrokerError(
      "unsupported_media_type",
      `the body is ${quote(mediaType ?? "")}; send application/x-www-form-urlencoded`,
    );
  }
  if (new URL(request.url).search !== "") {
    throw invalid("the URL has a query; send all parameters in the body, since a URL is logged on its way");
  }
  const { grant_type, subject_token, subject_token_type, requested_token_type, ...asked } = fieldsOf(
    new URLSearchParams(text),
  );
  if (grant_type === undefined) throw invalid(`grant_type is missing; send ${GRANT_TYPE}`);
  if (grant_type !== GRANT_TYPE) {
    throw new OAuthError("unsupported_grant_type", "invalid_request", `grant_type must be ${GRANT_TYPE}`);
  }
  if (subject_token === undefined) {
    throw new BrokerError(
      "missing_credentials",
      `subject_token is missing; send a token for the audience ${quote(config.audience)}`,
    );
  }
  const type = SUBJECT_TOKEN_TYPES.find((known) => known === subject_token_type);
  if (type === undefined) throw invalid(`subject_token_type must be one of ${SUBJECT_TOKEN_TYPES.join(", ")}`);
  if (requested_token_type !== undefined && requested_token_type !== ACCESS_TOKEN) {
    throw invalid(`requested_token_type must be ${ACCESS_TOKEN}; nothing else is issued here`);
  }
  checkType(subject_token, type);
  return { subjectToken: subject_token, request: () => tokenRequestOf(asked, config) };
}

/**
 * No client is registered here: who calls is said by the subject token. Function Compute's own signature is no client's.
 * @throws OAuthError invalid_client (RFC 6749 section 5.2); BrokerError invalid_request
 */
function refuseClientAuthentication(headers: Headers): void {
  const authorization = headers.get("authorization");
  if (authorization !== null && !/^acs3-/i.test(authorization)) {
    throw invalidClient("leave Authorization out", /^basic\b/i.test(authorization) ? "Basic" : "Bearer");
  }
  if (headers.get("x-acr-broker-authorization") !== null) {
    throw invalid("the token goes into subject_token here; leave X-Acr-Broker-Authorization out");
  }
}

function invalidClient(what: string, scheme: "Basic" | "Bearer"): OAuthError {
  return new OAuthError(
    "invalid_client",
    "invalid_request",
    `clients are not authenticated here, the subject_token says who calls; ${what}`,
    scheme,
  );
}

/** @throws BrokerError invalid_request; OAuthError invalid_client, invalid_target */
function fieldsOf(parameters: URLSearchParams): Record<string, string | undefined> {
  const fields: Record<string, string | undefined> = Object.create(null);
  for (const [name, value] of parameters) {
    if (value === "") continue;
    if (CLIENT_SECRETS.includes(name)) throw invalidClient(`leave ${name} out`, "Basic");
    if (name === "resource") throw invalidTarget("resource is not taken; name a registry as audience");
    if (Object.hasOwn(REFUSED, name)) throw invalid(`${name} is not taken: ${REFUSED[name]}`);
    if (!EXCHANGE_FIELDS.some((field) => field === name)) continue;
    if (name in fields) {
      if (name === "audience") throw invalidTarget("a credential is for one registry; send one audience");
      throw invalid(
        `${name} stands there twice; send it once${name === "scope" ? ", with spaces between scopes" : ""}`,
      );
    }
    fields[name] = value;
  }
  return fields;
}

/** Whoever says wrongly what a token is has probably sent another than was meant. */
function checkType(token: string, type: string): void {
  const isJwt = !/^(?:abk_|acs1\.)/.test(token);
  if (isJwt === JWT_TYPES.includes(type)) return;
  throw invalid(
    isJwt
      ? `subject_token is no API key and no signed identity; send it as ${JWT_TYPES.join(" or ")}`
      : `subject_token is an API key or a signed identity; send it as ${ACCESS_TOKEN}`,
  );
}

function tokenRequestOf(asked: Readonly<Record<string, string | undefined>>, config: BrokerConfig): TokenRequest {
  const { audience, scope, grant, ttl, min_ttl } = asked;
  const names = [...config.registries.keys()];
  if (audience === undefined && grant === undefined && names.length > 1) {
    throw invalid(`audience is missing, and there are several registries: ${names.join(", ")}`);
  }
  return fromFields({
    ...(audience === undefined ? {} : { registry: registryOf(audience, config) }),
    ...(scope === undefined ? {} : { scope: [scope] }),
    ...(grant === undefined ? {} : { grant }),
    ...(ttl === undefined ? {} : { ttl: secondsOrText(ttl) }),
    ...(min_ttl === undefined ? {} : { min_ttl: secondsOrText(min_ttl) }),
  });
}

/** By its name, or by one of its hosts where no other registry has that. @throws BrokerError unknown_registry */
function registryOf(audience: string, { registries }: BrokerConfig): string {
  if (registries.has(audience)) return audience;
  const host = audience.toLowerCase();
  const having = [...registries.values()].filter(({ endpoints }) => endpoints.includes(host)).map(({ name }) => name);
  if (having.length === 1) return having[0] as string;
  throw new BrokerError(
    "unknown_registry",
    having.length === 0
      ? `audience ${quote(audience)} is neither a registry nor a host of one; there is ${[...registries.keys()].join(", ")}`
      : `audience ${quote(audience)} is a host of several registries; send one of ${having.join(", ")}`,
  );
}

function invalid(message: string): BrokerError {
  return new BrokerError("invalid_request", message);
}

function invalidTarget(message: string): OAuthError {
  return new OAuthError("invalid_target", "invalid_request", message);
}
