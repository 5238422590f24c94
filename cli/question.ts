/** What is asked about a policy without a broker: from names and claims to a principal and a request. */

import type { BrokerConfig, Registry } from "../shared/config/config.ts";
import { keyProblem, refusedKey } from "../shared/identity/api-key.ts";
import { acceptedIss, memberOf, valuesIn } from "../shared/identity/issuer-template.ts";
import { principalName } from "../shared/identity/principal.ts";
import { nearName } from "../shared/near-name.ts";
import type { Claims } from "../shared/policy/condition.ts";
import type { RightsRequest } from "../shared/policy/decision.ts";
import { type Explanation, explain } from "../shared/policy/explain.ts";
import type { Principal } from "../shared/policy/grant.ts";
import type { Circumstances } from "../shared/policy/limit.ts";
import { parseScope } from "../shared/policy/scope.ts";

/** Something named is not there, or something needed is not named. `field` is what to change. */
export interface Misnomer {
  readonly field: "issuer" | "api_key" | "claims" | "scope" | "grant" | "registry";
  /** Of a list. */
  readonly index?: number;
  readonly problem: string;
}

export interface Caller extends Circumstances {
  readonly claims?: Claims | undefined;
  /** Name of a configured issuer; left out: by the claim `iss`, or the only one. */
  readonly issuer?: string | undefined;
  /** Instead of claims: the name of an API key. */
  readonly apiKey?: string | undefined;
}

export function principalOf(
  { claims, issuer, apiKey, address, time }: Caller,
  config: BrokerConfig,
): Principal | Misnomer {
  if (apiKey !== undefined) {
    const key = config.apiKeys.get(apiKey);
    if (key === undefined) return { field: "api_key", problem: unknown("API key", apiKey, config.apiKeys.keys()) };
    return { source: { apiKey }, subject: apiKey, claims: {}, address, time };
  }
  if (claims === undefined) return { field: "claims", problem: "is missing: who is asking?" };
  const source = issuerOf(claims, issuer, config);
  if (typeof source !== "string") return source;
  const { sub } = claims;
  // A signed Alibaba Cloud identity has no sub; the broker takes its ARN.
  const subject = typeof sub === "string" ? sub : typeof claims["arn"] === "string" ? claims["arn"] : "";
  return {
    source: { issuer: source },
    ...memberOf(config.issuers.get(source), claims["iss"]),
    subject,
    claims,
    address,
    time,
  };
}

function issuerOf({ iss }: Claims, named: string | undefined, { issuers }: BrokerConfig): string | Misnomer {
  const byUrl = [...issuers.values()].find((one) => acceptedIss(one).some((accepted) => accepted === iss))?.name;
  if (named !== undefined) {
    if (!issuers.has(named)) return { field: "issuer", problem: unknown("issuer", named, issuers.keys()) };
    if (iss === undefined || byUrl === named) return named;
    return { field: "issuer", problem: `the claim iss is not that of ${named}; take one of the two out` };
  }
  if (byUrl !== undefined) return byUrl;
  const [only, ...others] = issuers.keys();
  if (iss === undefined && only !== undefined && others.length === 0) return only;
  const known = [...issuers.keys()].join(", ");
  if (iss === undefined)
    return { field: "issuer", problem: `is missing, and the claims have no iss; it is one of ${known}` };
  const template = [...issuers.values()].find(
    (one) => "accepted" in one && typeof iss === "string" && valuesIn(one.template, iss) !== undefined,
  );
  const why =
    template === undefined
      ? "no configured issuer has the claims' iss"
      : `no grant of ${template.name} names the claims' iss, though it is of that template's form`;
  const ours = [...issuers.values()].flatMap((one) =>
    acceptedIss(one)
      .slice(0, 1)
      .map((url) => `${one.name} (${url})`),
  );
  return {
    field: "claims",
    problem: `${why}, so the broker would answer untrusted_issuer; it is ${JSON.stringify(iss)}, and configured are ${ours.join(", ")}`,
  };
}

export interface Wish {
  readonly scope?: readonly string[] | undefined;
  readonly grant?: string | undefined;
  readonly registry?: string | undefined;
}

export function requestOf({ scope, grant, registry }: Wish, config: BrokerConfig): RightsRequest | Misnomer {
  if (registry !== undefined && !config.registries.has(registry)) {
    return { field: "registry", problem: unknown("registry", registry, config.registries.keys()) };
  }
  if (grant !== undefined && scope !== undefined) {
    return {
      field: "grant",
      problem: "stands beside scope; it means all that the grant gives, so keep one of the two",
    };
  }
  if (grant !== undefined) {
    const found = config.grants.find(({ name }) => name === grant);
    if (found === undefined) {
      return {
        field: "grant",
        problem: unknown(
          "grant",
          grant,
          config.grants.map(({ name }) => name),
        ),
      };
    }
    if (registry !== undefined && found.registry !== registry) {
      return { field: "registry", problem: `grant ${grant} is for registry ${found.registry}, not ${registry}` };
    }
    return { grant: found };
  }
  const [only, ...others] = config.registries.keys();
  const chosen = registry ?? (others.length === 0 ? only : undefined);
  if (chosen === undefined) {
    return {
      field: "registry",
      problem: `is missing, and there are several: ${[...config.registries.keys()].join(", ")}`,
    };
  }
  const parsed = (scope ?? []).map(parseScope);
  for (const [index, one] of parsed.entries())
    if ("problem" in one) return { field: "scope", index, problem: one.problem };
  const scopes = parsed.flatMap((one) => ("scope" in one ? [one.scope] : []));
  if (scopes.length > 0) return { registry: chosen, scopes };
  return { field: "scope", problem: "is missing: nothing asked for never means everything; name a scope or a grant" };
}

/** The explanation that a broker of this policy would give. */
export function answer(principal: Principal, request: RightsRequest, config: BrokerConfig): Explanation {
  const registry = "grant" in request ? request.grant.registry : request.registry;
  const explanation = explain({
    principal,
    caller: principalName(principal),
    request,
    policy: config,
    location: config.registries.get(registry) as Registry,
  });
  const problem = apiKeyProblem(principal, config);
  return problem === undefined
    ? explanation
    : { ...explanation, refusal: { code: "invalid_api_key", detail: problem } };
}

/** With what the broker would refuse the holder of a key, whatever the policy gives him. */
function apiKeyProblem({ source, address, time }: Principal, { apiKeys }: BrokerConfig): string | undefined {
  const key = "apiKey" in source ? apiKeys.get(source.apiKey) : undefined;
  const problem = key && keyProblem(key, address, time);
  return problem && refusedKey(problem);
}

function unknown(what: string, wrong: string, known: Iterable<string>): string {
  const names = [...known];
  const near = nearName(wrong, names);
  const hint =
    near !== undefined
      ? `did you mean ${near}?`
      : names.length === 0
        ? "none is configured"
        : `there is ${names.slice(0, 20).join(", ")}`;
  return `there is no ${what} ${JSON.stringify(wrong)}; ${hint}`;
}
