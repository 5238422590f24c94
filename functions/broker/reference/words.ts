/** What the API's description says in words; docs/api.md says more. A field that is added without any does not compile. */

import type { TokenExchangeFields, TokenRequestFields } from "../request-schemas.ts";
import type { TokenResponseBody } from "../token-response.ts";

export interface Said {
  readonly summary: string;
  readonly description: string;
}

export const SUMMARY = "Short-lived docker login credentials for Alibaba Cloud Container Registry Enterprise Edition.";
export const DESCRIPTION =
  "A caller proves who it is, names the repositories it needs, and gets a user name and a password that live minutes and reach just those. " +
  "All scopes are granted, or the request is refused. Neither scope nor grant is an error: nothing asked for never means everything.";

export const TAGS = [
  { name: "Credentials", description: "A user name and a password for `docker login`." },
  { name: "Decisions", description: "What would be decided, and who you are here. Nothing is issued." },
  { name: "Broker", description: "About the broker itself. No identity needed, nothing secret told." },
  { name: "Function Compute", description: "Hooks of the platform; harmless for anybody to call." },
];

export const TOKEN =
  "An OpenID Connect token of a configured issuer for the broker's audience alone, at most 8 KiB; a signed Alibaba Cloud identity (`acs1.…`), new for each request; or an API key (`abk_…`).";
export const TOKEN_BESIDE =
  "`Bearer <token>`, where the HTTP trigger itself demands a signature and that occupies `Authorization`. A Bearer in both is refused.";

export const issueCredential: Said = {
  summary: "Get a credential",
  description:
    "For the repositories asked for and no others. The fields go into the body, as JSON or as a form, or into the query; each into one place only. Unknown fields are refused. The body may have 16 KiB.",
};
export const exchangeToken: Said = {
  summary: "Exchange a token (RFC 8693)",
  description:
    "The same decision for OAuth 2.0 clients, and for tokens too long for a header. No client authentication: the subject token says who calls, and an `Authorization` header beside it is refused unless it is Function Compute's own.",
};
export const explainDecision: Said = {
  summary: "Explain a decision",
  description:
    "What `/v1/token` would answer to the same request, and why. Issues nothing, and leaves a token that may be used once unused. A denial is answered with 200: the question was answered.",
};
export const whoAmI: Said = {
  summary: "See who you are here",
  description: "The caller as the broker sees it, and the grants that match it.",
};
export const discover: Said = {
  summary: "Discover the broker",
  description: "What a client needs to know before it has an identity.",
};
export const alive: Said = { summary: "Ask whether it lives", description: "200 while the process lives." };
export const ready: Said = {
  summary: "Ask whether it can issue",
  description: "200 while it has keys that have not expired and is not stopping.",
};
export const metrics: Said = {
  summary: "See the numbers",
  description: "Prometheus' text format, of this instance since its start.",
};
export const version: Said = { summary: "See what runs", description: "Version and policy." };
export const openApi: Said = {
  summary: "Read the API's description",
  description: "OpenAPI 3.1. May be kept for 5 minutes; has an ETag.",
};
export const docs: Said = { summary: "Read this page", description: "The description as a page. Has an ETag." };
export const initialize: Said = {
  summary: "Warm up",
  description: "Fetches issuers' keys and loads what the first request needs. 200 whatever fails.",
};
export const preStop: Said = {
  summary: "Wait for requests under way",
  description: "Changes nothing. One such request waits at a time.",
};

export const EXAMPLE = { registry: "prod", scope: ["repository:web/app:pull,push"] };
export const EXCHANGE_EXAMPLE = {
  grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
  subject_token: "$ACR_BROKER_TOKEN",
  subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
  audience: "prod",
  scope: "repository:web/app:pull,push",
};

export const tokenRequest: Record<keyof TokenRequestFields, string> = {
  registry: "A configured registry. May be left out where there is only one, or with `grant`.",
  scope:
    "Docker scopes: `repository:<namespace>/<repository>:pull`, `:push` or `:pull,push`; `repository:<namespace>/*:pull` where a grant allows the whole namespace. At most 100. One text, with spaces between several, will do, too.",
  grant: "Instead of `scope`: all that the named grant gives.",
  ttl: "Seconds, capped by the grants. Left out: as long as the grants allow.",
  min_ttl: "Seconds that the credential must still live. Left out: half of its life.",
  format: "What the answer looks like. Explanations are JSON in any case.",
};

export const tokenExchange: Record<keyof TokenExchangeFields, string> = {
  grant_type: "Which kind of grant: a token exchange.",
  subject_token: "What `/v1/token` takes as a Bearer token, at most 8 KiB.",
  subject_token_type:
    "`jwt` or `id_token` for an OpenID Connect token; `access_token` for an API key or a signed identity.",
  audience: "A registry, by its name or by one of its hosts. May be left out where there is only one, or with `grant`.",
  scope: "Docker scopes, with spaces between them.",
  requested_token_type: "Nothing else is issued.",
  client_id: "May be there, and means nothing.",
  grant: tokenRequest.grant,
  ttl: tokenRequest.ttl,
  min_ttl: tokenRequest.min_ttl,
};

export const credential: Record<keyof TokenResponseBody, string> = {
  username: "For `docker login`.",
  password: "For `docker login`.",
  registry: "The registry's name.",
  endpoints: "The hosts that the credential works at.",
  scope: "What was granted, in canonical form.",
  grants: "By which grants.",
  issued_at: "RFC 3339, in UTC.",
  expires_at: "RFC 3339, in UTC.",
  expires_in: "Seconds from now.",
  refresh_after: "From then on, asking again gives a new credential.",
  token_fingerprint: "SHA-256 of the password: what the broker's log has of it.",
  request_id: "Also the header `X-Request-Id`.",
};

export const dockerConfig = { auths: "For each of the registry's endpoints: a Docker `config.json`." };

export const exchanged = {
  access_token: "The password for `docker login`.",
  username: "The user name for `docker login`.",
  token_type: "It is not to be sent as a bearer token.",
  expires_in: "Seconds from now.",
  scope: "What was granted, in canonical form, with spaces between.",
};

export const explanation = {
  outcome: "What the policy says.",
  code: "What `/v1/token` would refuse with; not there where it would issue.",
  detail: "The words that go with the code.",
  reason: "Of a denial: `condition`, `scope`, `roles`, `denied` or `ceiling`.",
  registry: "What was asked for.",
  scope: "What was asked for, in canonical form.",
  nearest: "The grant that nearly gave it, and the claim or the limit that it failed at.",
  denial: "What overrules the grants.",
  grants: "Those that match you, or that you are near to, in the order of the policy.",
  role_arn: "If allowed: the role.",
  lifetime: "If allowed: seconds that the credential would live, and the most that the grants allow.",
  session_policy: "If allowed: what would be sent to STS.",
};

export const whoami = {
  principal: "Who you are here, until when, and the claims that conditions are compared with.",
  blocked: "Where you get nothing for now: that, and whom to ask. A grant has it where the grant alone is blocked.",
  grants: "Those that match you, and all that each gives.",
};

export const discovery = {
  audience: "What a token's `aud` must be, and what an identity must be signed for, unless the issuer has another.",
  sts_host: "The host that an identity must be signed for.",
  registries: "Each registry's hosts.",
};

export const versionFields = { policy_digest: "Of the policy that decides." };

export const problem = {
  type: "A URN, equal for equal codes.",
  title: "What kind of error it is.",
  status: "The HTTP status.",
  detail: "What to change. For people: its words may become others.",
  code: "Stable.",
  request_id: "Also the header `X-Request-Id`.",
};

export const oauthError = {
  error: "RFC 6749, section 5.2, and RFC 8693, section 2.2.2.",
  error_description: "What to change. For people: its words may become others.",
  code: "Stable, and the same as of other routes.",
  request_id: "Also the header `X-Request-Id`.",
};
