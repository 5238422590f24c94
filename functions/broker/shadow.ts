/**
 * Shadow mode: a second policy is asked beside the one that decides, and where it would give something else, that is logged.
 * It issues nothing, and nothing that becomes of it reaches a caller. Who the caller is has been settled under the policy that
 * decides: what the second one wants of tokens otherwise (algorithms, lifetimes, replay) does not show.
 */

import type { Log, ShadowEvent, Verdict } from "../../shared/audit/log.ts";
import type { BrokerConfig, Issuer, Registry } from "../../shared/config/config.ts";
import { BrokerError } from "../../shared/error.ts";
import { acceptedIss, memberOf } from "../../shared/identity/issuer-template.ts";
import type { AuthenticatedPrincipal } from "../../shared/identity/principal.ts";
import { decide } from "../../shared/policy/decision.ts";
import type { Principal } from "../../shared/policy/grant.ts";
import { keeps } from "../../shared/policy/limit.ts";
import { formatScope } from "../../shared/policy/scope.ts";
import { termsOf } from "../../shared/policy/terms.ts";
import { rightsRequest } from "./rights-request.ts";
import type { TokenRequest } from "./token-request.ts";

/** Logs where the second policy differs. Never throws. */
export type Shadow = (requestId: string, principal: AuthenticatedPrincipal, request: TokenRequest) => void;

/** `second` left out: there is none, and nothing is done. */
export function shadow(first: BrokerConfig, second: BrokerConfig | undefined, log: Log): Shadow {
  if (second === undefined) return () => {};
  return (requestId, principal, request) => {
    try {
      const event = difference(requestId, principal, request, first, second);
      if (event !== undefined) log(event);
    } catch {
      log({
        event: "warning",
        message: `request ${requestId}: the shadow policy could not be asked, which is a defect`,
      });
    }
  };
}

function difference(
  requestId: string,
  principal: AuthenticatedPrincipal,
  request: TokenRequest,
  first: BrokerConfig,
  second: BrokerConfig,
): ShadowEvent | undefined {
  const serving = verdict(principal, request, first);
  const same = counterpart(principal, first, second);
  const shadowed: Verdict = typeof same === "string" ? { outcome: "deny", code: same } : verdict(same, request, second);
  if (rightsOf(serving) === rightsOf(shadowed)) return undefined;
  const { source, member, subject } = principal;
  return {
    event: "shadow",
    version: 1,
    request_id: requestId,
    ...("issuer" in source ? { issuer: source.issuer } : { api_key: source.apiKey }),
    ...(member === undefined ? {} : { issuer_member: member }),
    subject,
    ...(request.registry === undefined ? {} : { registry: request.registry }),
    ...("grant" in request.wanted
      ? { grant: request.wanted.grant }
      : { scope: request.wanted.scopes.map(formatScope) }),
    serving,
    shadow: shadowed,
    policy_digest: first.digest,
    shadow_digest: second.digest,
  };
}

/** What the policy makes of the request. */
function verdict(principal: Principal, request: TokenRequest, config: BrokerConfig): Verdict {
  try {
    const wanted = rightsRequest(request, principal, config);
    const decision = decide(principal, wanted, config);
    if (decision.outcome === "deny") return { outcome: "deny", code: "access_denied", reason: decision.reason.kind };
    const { rights, grants } = decision;
    const registry = config.registries.get(rights.registry) as Registry;
    const terms = termsOf(decision, registry, request);
    if ("refused" in terms) return { outcome: "deny", code: terms.refused };
    return {
      outcome: "allow",
      grants: grants.map(({ name, line }) => ({ name, line })),
      role_arn: rights.roleArn,
      ...(rights.externalId === undefined ? {} : { external_id: rights.externalId }),
      lifetime_seconds: terms.lifetimeSeconds,
      session_policy: JSON.parse(terms.policy.json) as unknown,
    };
  } catch (error) {
    if (error instanceof BrokerError) return { outcome: "deny", code: error.code };
    throw error;
  }
}

/** Two verdicts of the same are the same to their caller: names of grants are no rights, and of two refusals neither gives any. */
function rightsOf(verdict: Verdict): string {
  if (verdict.outcome === "deny") return "nothing";
  const { grants: _, ...rights } = verdict;
  return JSON.stringify(rights);
}

/** The principal as the second policy would call it; or what it would refuse the credential with. */
function counterpart(
  principal: AuthenticatedPrincipal,
  first: BrokerConfig,
  second: BrokerConfig,
): Principal | "untrusted_issuer" | "invalid_audience" | "invalid_api_key" | "invalid_identity" {
  const { source, claims } = principal;
  if ("apiKey" in source) {
    const { sha256 } = first.apiKeys.get(source.apiKey) ?? {};
    const key = [...second.apiKeys.values()].find((one) => one.sha256 === sha256);
    const { time } = principal;
    if (key === undefined || (time !== undefined && key.expires <= time)) return "invalid_api_key";
    if (key.cidrs.length > 0 && !keeps({ kind: "network", cidrs: key.cidrs }, principal)) return "invalid_api_key";
    return { ...principal, source: { apiKey: key.name }, subject: key.name };
  }
  const serving = first.issuers.get(source.issuer) as Issuer;
  const issuer = [...second.issuers.values()].find((one) =>
    one.provider === "alibaba"
      ? serving.provider === "alibaba" && one.accounts.includes(String(claims["account_id"]))
      : serving.provider !== "alibaba" && acceptedIss(one).includes(String(claims["iss"])),
  );
  if (issuer === undefined) return serving.provider === "alibaba" ? "invalid_identity" : "untrusted_issuer";
  if (issuer.audience !== serving.audience) return "invalid_audience";
  const { member: _, ...rest } = principal;
  return { ...rest, source: { issuer: issuer.name }, ...memberOf(issuer, claims["iss"]) };
}
