/** The way to the broker, and what it says of the caller. A token is looked at here and sent to the broker; nothing of it but four claims is shown. */

import { type BrokerApi, brokerApi, ownAudience } from "../../shared/client/broker-api.ts";
import { type Clock, clock } from "../../shared/client/clock.ts";
import { AcrBrokerError } from "../../shared/client/errors.ts";
import { detectIdentity } from "../../shared/client/identity/detect.ts";
import { type IdentityContext, type IdentitySource, tokenFrom } from "../../shared/client/identity/identity.ts";
import type { Outside } from "../../shared/client/outside.ts";
import type { RamKeySource } from "../../shared/client/ram/keys.ts";
import { type CredentialsRequest, readRequest } from "../../shared/client/request.ts";
import { brokerErrorLine } from "../broker-error.ts";
import { type BrokerFacts, factsOf } from "../registries.ts";
import type { Step } from "./step.ts";

export interface Examined {
  readonly base: URL;
  readonly audience: string | undefined;
  readonly functionCompute: RamKeySource | undefined;
  readonly outside: Outside;
}

const NEVER = new AbortController().signal;
/** A signed identity is good for a minute, most tokens for five. */
const MOST_SKEW_MS = 30_000;

export interface BrokerExam {
  reach(): Promise<{ steps: Step[]; found?: BrokerFacts }>;
  identity(found: BrokerFacts | undefined): Promise<{ steps: Step[]; source?: IdentitySource }>;
  /** With a token each, since one may be good only once. */
  whoami(source: IdentitySource): Promise<Step>;
  explain(source: IdentitySource, request: CredentialsRequest): Promise<Step>;
}

export function brokerExam({ base, audience, functionCompute, outside: given }: Examined): BrokerExam {
  let aheadMs: number | undefined;
  const outside: Outside = {
    ...given,
    fetch: async (url, init) => {
      const response = await given.fetch(url, init);
      const date = Date.parse(response.headers.get("date") ?? "");
      if (new URL(url).host === base.host && !Number.isNaN(date)) aheadMs = given.now().getTime() - date;
      return response;
    },
  };
  const time: Clock = clock(outside);
  const api: BrokerApi = brokerApi(base, functionCompute, time, outside);
  const context: IdentityContext = {
    audience: async () => audience ?? ownAudience(await api.discovery(NEVER), base),
    stsHost: async () => (await api.discovery(NEVER)).sts_host,
    now: time.now,
    signal: NEVER,
    outside,
  };

  return {
    async reach() {
      try {
        const found = factsOf(await api.discovery(NEVER), base);
        const names = Object.keys(found.registries).join(", ");
        const says = `${base.host} answers; its audience is ${found.audience}, its registries are ${names}`;
        return { steps: [{ step: "broker", outcome: "ok", says }, clockStep(aheadMs)], found };
      } catch (error) {
        const change = reachAdvice(error, given.environment);
        return { steps: [{ step: "broker", outcome: "failed", says: wordsOf(error), change }] };
      }
    },
    async identity(found) {
      try {
        const source = await detectIdentity(outside);
        if (found === undefined && audience === undefined) {
          const says = `${source.name}; no token was made, since the broker could not be asked for its audience`;
          return { steps: [{ step: "identity", outcome: "skipped", says }] };
        }
        return { steps: tokenSteps(source.name, await tokenFrom(source, context), found, time.now()), source };
      } catch (error) {
        const change = "docs/clients/sdk.md lists where an identity is looked for, and in which order";
        return { steps: [{ step: "identity", outcome: "failed", says: wordsOf(error), change }] };
      }
    },
    async whoami(source) {
      const step = "whoami";
      try {
        const answer = await api.ask("/v1/whoami", await tokenFrom(source, context), undefined, NEVER);
        if (!isWhoami(answer)) return { step, outcome: "failed", says: STRANGE };
        const { issuer, api_key: key, subject } = answer.principal;
        const names = answer.grants.map(({ name }) => name);
        const who = key === undefined ? `${subject}, of issuer ${issuer}` : `API key ${key}`;
        if (names.length > 0) return { step, outcome: "ok", says: `${who}; grants: ${names.join(", ")}` };
        const change = "ask the broker's operator for a grant, or look at the conditions of the one you expected";
        return { step, outcome: "failed", says: `${who}; no grant is for you`, change };
      } catch (error) {
        return { step, outcome: "failed", says: wordsOf(error) };
      }
    },
    async explain(source, request) {
      const step = "explain";
      try {
        const token = await tokenFrom(source, context);
        const answer = await api.ask("/v1/explain", token, readRequest(request).fields, NEVER);
        if (!isExplanation(answer)) return { step, outcome: "failed", says: STRANGE };
        const { code, detail, scope, lifetime, grants } = answer;
        if (code !== undefined) return { step, outcome: "failed", says: `${code}: ${detail}` };
        const by = grants.filter(({ decides }) => decides).map(({ name }) => name);
        const says = `${scope.join(" ")} would be issued for ${lifetime.seconds} s, by ${by.join(", ")}`;
        return { step, outcome: "ok", says };
      } catch (error) {
        return { step, outcome: "failed", says: wordsOf(error) };
      }
    },
  };
}

const STRANGE = "the answer is not the broker's; does something else answer at this path of the url?";

/** As much of `GET /v1/whoami` as is used here. */
interface Whoami {
  readonly principal: { readonly issuer?: string; readonly api_key?: string; readonly subject: string };
  readonly grants: readonly { readonly name: string }[];
}

function isWhoami(answer: object): answer is Whoami {
  const { principal, grants } = answer as Partial<Whoami>;
  return typeof principal?.subject === "string" && isList(grants);
}

/** As much of `POST /v1/explain` as is used here. */
interface Explanation {
  readonly code?: string;
  readonly detail?: string;
  readonly scope: readonly string[];
  readonly lifetime: { readonly seconds: number };
  readonly grants: readonly { readonly name: string; readonly decides: boolean }[];
}

function isExplanation(answer: object): answer is Explanation {
  const { code, scope, lifetime, grants } = answer as Partial<Explanation>;
  return typeof code === "string" || (isList(scope) && isList(grants) && typeof lifetime?.seconds === "number");
}

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value) && !value.includes(null);

function clockStep(aheadMs: number | undefined): Step {
  const step = "clock";
  if (aheadMs === undefined) return { step, outcome: "skipped", says: "the broker's answer has no Date" };
  const seconds = Math.round(Math.abs(aheadMs) / 1000);
  const says = `this machine's is ${seconds} s ${aheadMs < 0 ? "behind" : "ahead of"} the broker's`;
  if (Math.abs(aheadMs) <= MOST_SKEW_MS) return { step, outcome: "ok", says };
  const change = "set it, by NTP; acr-broker reckons with it, but registries and whoever makes tokens here may not";
  return { step, outcome: "warning", says, change };
}

const CERTIFICATE =
  "the certificate is not one that this machine trusts: NODE_EXTRA_CA_CERTS=FILE adds your own authority; behind a proxy that opens TLS it is the proxy's";

/** By the system's code, which the SDK's message has in brackets. */
const REACH: Readonly<Record<string, string>> = {
  ENOTFOUND: "is the host in the url written right, and can this machine resolve it?",
  EAI_AGAIN: "this machine cannot resolve names now; look at its DNS",
  ECONNREFUSED: "nothing listens there; is the port right?",
  ERR_SSL_WRONG_VERSION_NUMBER:
    "what answers there speaks no TLS; is the port right, or is it http:// on this machine?",
  CERT_HAS_EXPIRED: "the broker's certificate has expired, or this machine's clock is wrong",
  ERR_TLS_CERT_ALTNAME_INVALID: "the certificate is another host's; use the name that it was made for",
  DEPTH_ZERO_SELF_SIGNED_CERT: CERTIFICATE,
  SELF_SIGNED_CERT_IN_CHAIN: CERTIFICATE,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: CERTIFICATE,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: CERTIFICATE,
};

function reachAdvice(error: unknown, environment: Outside["environment"]): string {
  const [, code = ""] = /\(([A-Z][A-Z0-9_]+)\)/.exec((error as Error).message) ?? [];
  const proxy = environment("HTTPS_PROXY") ?? environment("https_proxy");
  if (REACH[code] !== undefined && (proxy === undefined || code.includes("CERT"))) return REACH[code];
  return proxy === undefined
    ? "is it the broker's address, and does a firewall let this machine reach it?"
    : "HTTPS_PROXY is set, and Node uses it only where NODE_USE_ENV_PROXY=1 is set too (Node 22.21, 24 and newer)";
}

/** Of a token what it says of itself; nobody has verified it yet. */
function tokenSteps(name: string, token: string, found: BrokerFacts | undefined, now: Date): Step[] {
  const step = "identity";
  if (token.startsWith("acs1.")) return [{ step, outcome: "ok", says: `${name}: a signed Alibaba Cloud identity` }];
  if (token.startsWith("abk_")) return [{ step, outcome: "ok", says: `${name}: an API key` }];
  const claims = claimsOf(token);
  if (claims === undefined) {
    const change = "show a JWT, an API key or a signed identity; is it a token of another service, or a file's name?";
    return [
      { step, outcome: "failed", says: `${name}: what it gave is none of the three kinds of credentials`, change },
    ];
  }
  const { iss, aud, sub, exp } = claims;
  const left = typeof exp === "number" ? Math.round(exp - now.getTime() / 1000) : undefined;
  const life = left === undefined ? "without exp" : left > 0 ? `expires in ${left} s` : `expired ${-left} s ago`;
  const says = `${name}: a token of iss ${text(iss)}, sub ${text(sub)}, aud ${text(aud)}, ${life}`;
  const first: Step =
    left !== undefined && left > 0
      ? { step, outcome: "ok", says }
      : { step, outcome: "failed", says, change: "get a new one; the broker takes none that has expired" };
  return found === undefined ? [first] : [first, audienceStep(aud, found)];
}

function audienceStep(aud: unknown, { audience }: BrokerFacts): Step {
  const step = "audience";
  const all = Array.isArray(aud) ? aud : [aud];
  if (all.includes(audience)) return { step, outcome: "ok", says: `the token is for ${audience}` };
  const says = `the token is for ${text(aud)}, the broker's audience is ${audience}`;
  const change = `ask the issuer for a token for ${audience}, unless the policy names another audience for this issuer`;
  return { step, outcome: "warning", says, change };
}

function claimsOf(token: string): Readonly<Record<string, unknown>> | undefined {
  const parts = token.split(".");
  if (parts.length !== 3) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(parts[1] as string, "base64url").toString());
    return typeof claims === "object" && claims !== null ? (claims as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

const text = (value: unknown) => (typeof value === "string" ? value : (JSON.stringify(value) ?? "(none)"));

function wordsOf(error: unknown): string {
  if (error instanceof AcrBrokerError) return brokerErrorLine(error);
  throw error;
}
