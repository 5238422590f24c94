/** The configuration as the rest of the broker sees it: checked, resolved, frozen. `load.ts` makes it from broker.yaml. */

import type { Denial, Grant } from "../policy/grant.ts";
import type { Scope } from "../policy/scope.ts";

export interface BrokerConfig {
  /** The audience of every issuer that names none of its own; what callers put into their tokens. */
  readonly audience: string;
  readonly registries: ReadonlyMap<string, Registry>;
  readonly issuers: ReadonlyMap<string, Issuer>;
  readonly apiKeys: ReadonlyMap<string, ApiKey>;
  /** In the order of the file. */
  readonly grants: readonly Grant[];
  readonly denials: readonly Denial[];
  /** What no grant exceeds; no limit where it is left out. */
  readonly ceiling?: readonly Scope[];
  readonly alibaba: AlibabaEndpoints;
  /** Where a request's own address stands, where not on its connection: in a header that the operator's gateway sets. */
  readonly clientAddress?: { readonly header: string };
  /** The file of a second policy, relative to this one, that is asked beside it. Decides nothing, and is not in the digest. */
  readonly shadow?: string;
  /** What instances share; each remembers for itself where it is left out. */
  readonly redis?: RedisSettings;
  /** How often STS is asked; see shared/issuing/budget. Decides nothing, and is not in the digest. */
  readonly budget?: BudgetSettings;
  /** How often one caller may come; see functions/broker/limits.ts. Decides nothing, and is not in the digest. */
  readonly limits?: LimitSettings;
  /** Where blocks come from beside Redis, see functions/broker/blocks.ts. They come and go without a deployment, so this is not in the digest. */
  readonly blocks?: BlockSettings;
  /** Where audit events go beside standard output; see shared/audit/sink.ts. Decides nothing, and is not in the digest. */
  readonly audit?: AuditSettings;
  /** What `GET /metrics` tells. Decides nothing, and is not in the digest. */
  readonly metrics?: MetricsSettings;
  /** Where traces go. Decides nothing, and is not in the digest. */
  readonly tracing?: TracingSettings;
  /** `sha256:` and 64 hex digits over the canonical form of the file: key order, comments and layout do not count. */
  readonly digest: string;
}

export interface Registry {
  readonly name: string;
  /** `cri-…` */
  readonly instanceId: string;
  readonly region: string;
  readonly accountId: string;
  /** Host names that clients log in to; never empty. */
  readonly endpoints: readonly string[];
}

export type Issuer = OidcIssuer | TemplatedIssuer | AlibabaIssuer;

/** Presets: what is known of a kind of issuer, in `shared/identity/providers.ts`. */
export type OidcProvider =
  | "github"
  | "gitlab"
  | "kubernetes"
  | "rrsa"
  | "buildkite"
  | "circleci"
  | "bitbucket"
  | "azure-devops"
  | "jenkins"
  | "spiffe"
  | "generic";

export interface OidcIssuer {
  readonly name: string;
  readonly provider: OidcProvider;
  /** Exactly the `iss` of its tokens. */
  readonly issuer: string;
  /** Where it is one of the many that a template stands for: that. */
  readonly template?: string;
  readonly audience: string;
  /** JWS algorithms; asymmetric only, never empty. */
  readonly algorithms: readonly JwsAlgorithm[];
  /** Where the keys are: by discovery, at a pinned URL, or in a pinned file that was read at the start. */
  readonly keys:
    | { readonly from: "discovery" }
    | { readonly from: "url"; readonly url: string }
    | { readonly from: "file"; readonly path: string; readonly jwks: { readonly keys: readonly unknown[] } };
  /** What the issuer's own certificate is verified against, and nothing else; the system's CAs where it is left out. */
  readonly ca?: PrivateCa;
  /** `exp` − `iat` may be at most this; also how old a token may be. */
  readonly maxTokenLifetimeSeconds: number;
  readonly replay: Replay;
}

/** Many issuers of one form, each with keys of its own. */
export interface TemplatedIssuer extends Omit<OidcIssuer, "issuer" | "template"> {
  /** `https://oidc.circleci.com/org/{org}`; see `shared/identity/issuer-template.ts`. */
  readonly template: string;
  /** Each `iss` that is accepted: those that grants name, sorted. */
  readonly accepted: readonly string[];
}

export interface PrivateCa {
  readonly path: string;
  /** PEM, one certificate each, never empty. */
  readonly certificates: readonly string[];
}

export type JwsAlgorithm =
  | "RS256"
  | "RS384"
  | "RS512"
  | "PS256"
  | "PS384"
  | "PS512"
  | "ES256"
  | "ES384"
  | "ES512"
  | "EdDSA";

/** How often one token may be exchanged; see `shared/identity/replay.ts`. */
export type Replay = "once" | "bind" | "off" | { readonly count: number };

/** `acs1.` identities of these accounts only. */
export interface AlibabaIssuer {
  readonly name: string;
  readonly provider: "alibaba";
  readonly accounts: readonly string[];
  readonly audience: string;
}

export interface ApiKey {
  readonly name: string;
  /** Hex SHA-256 of the whole key, lower case. */
  readonly sha256: string;
  readonly expires: Date;
  /** Where it may be used from; empty: anywhere. */
  readonly cidrs: readonly string[];
  /** For whoever looks after the keys; nothing is decided by these two. */
  readonly created?: Date;
  readonly last4?: string;
}

/** Other endpoints than the region's public ones: VPC, other partitions, the sandbox. Origins, no path. */
export interface AlibabaEndpoints {
  readonly stsEndpoint?: string;
  readonly crEndpoint?: string;
}

export interface RedisSettings {
  /** Host name or address. */
  readonly host: string;
  readonly port: number;
  /** `ca`: what alone is believed; else the authorities that Node knows. */
  readonly tls: false | { readonly ca?: PrivateCa };
  readonly username?: string;
  /** The name of the environment variable that holds the password. */
  readonly passwordVariable?: string;
  /** What every key begins with. */
  readonly keyPrefix: string;
  /** Where Redis does not answer: go on with what this instance remembers, or refuse what cannot be counted. */
  readonly whenUnavailable: "memory" | "refuse";
  /** The environment variables with the keys that seal issued credentials there; left out: none are kept there. */
  readonly credentialKeyVariables?: readonly string[];
}

/** What is left out has its default in shared/issuing/budget/budget.ts. */
export interface BudgetSettings {
  /** By all instances together. */
  readonly assumeRolePerSecond?: number;
  /** By how many that is divided where they do not share a Redis that answers. */
  readonly instances?: number;
}

/** At each instance. What is left out has its default in functions/broker/limits.ts. */
export interface LimitSettings {
  readonly callerPerMinute?: number;
  readonly grantPerMinute?: number;
  readonly failuresPerMinute?: number;
}

export interface BlockSettings {
  /** Relative to the policy; read while the broker runs. */
  readonly file?: string;
  /** Where the list cannot be read: go on with the last that was, or issue nothing once that is too old. */
  readonly whenUnreadable: "keep" | "refuse";
  /** Whom a blocked caller is told to ask. */
  readonly contact?: string;
}

export interface AuditSettings {
  readonly to: AuditFile | AuditCollector;
  /** Where an event is not taken: no credential leaves, or it does all the same. */
  readonly whenUnavailable: "refuse" | "continue";
}

export interface AuditFile {
  /** Relative to the policy; `{instance}` in it is another name at each instance. */
  readonly file: string;
}

export interface AuditCollector {
  readonly url: string;
  /** The name of the environment variable that holds the whole Authorization header. */
  readonly authorizationVariable?: string;
  /** What alone is believed; the authorities that Node knows where it is left out. */
  readonly ca?: PrivateCa;
}

export interface TracingSettings {
  /** Where OTLP/HTTP posts go, path and all. */
  readonly endpoint: string;
  /** By header, the environment variable that holds its value. */
  readonly headerVariables: Readonly<Record<string, string>>;
  /** The part of the requests that are traced, 0 to 1. */
  readonly ratio: number;
  /** The same of those whose caller says that it traces. */
  readonly parentRatio: number;
}

export interface MetricsSettings {
  /** False: there is no `GET /metrics`. */
  readonly endpoint: boolean;
  /** Whether names of grants and issuers are labels. */
  readonly names: boolean;
}

/** One thing wrong with the file. */
export interface ConfigProblem {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  readonly column: number;
  /** What is wrong, where in the structure, and what to write instead. */
  readonly message: string;
}

/** The file cannot be used. Every problem found, in the order of the file; `message` has one a line, `FILE:LINE:COLUMN: …`. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];
  constructor(found: readonly ConfigProblem[]) {
    const problems = found.map((problem) => ({ ...problem, message: withoutKeys(problem.message) }));
    super(problems.map(({ file, line, column, message }) => `${file}:${line}:${column}: ${message}`).join("\n"));
    this.problems = problems;
  }
}

/** A message that quotes what stands in the wrong place must not carry an API key, or the secret of one, into a log. */
function withoutKeys(message: string): string {
  return message.replace(/abk_[\w-]+/gi, "abk_…").replace(/[0-9a-f]{64}/gi, "…");
}
