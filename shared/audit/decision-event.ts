/** From a decision, and what came of it, to the event that records them. */

import { BrokerError } from "../error.ts";
import type { AuthenticatedPrincipal } from "../identity/principal.ts";
import type { Issued } from "../issuing/issue.ts";
import { type Decision, type DenyReason, type RightsRequest, scopesOf } from "../policy/decision.ts";
import type { Denial, Grant } from "../policy/grant.ts";
import { formatScope } from "../policy/scope.ts";
import type { DecisionEvent, Outcome } from "./log.ts";

/** The event of a decision as it stands before anything is issued. */
export function decisionEvent(
  requestId: string,
  principal: AuthenticatedPrincipal,
  wanted: RightsRequest,
  decision: Decision,
  digest: string,
): DecisionEvent {
  const { source, member, subject, tokenId } = principal;
  const scopes = decision.outcome === "allow" ? decision.rights.scopes : scopesOf(wanted, principal.claims);
  return {
    event: "decision",
    version: 1,
    request_id: requestId,
    outcome: decision.outcome,
    ...("issuer" in source ? { issuer: source.issuer } : { api_key: source.apiKey }),
    ...(member === undefined ? {} : { issuer_member: member }),
    subject,
    ...(tokenId === undefined ? {} : { token_id: tokenId }),
    registry: "grant" in wanted ? wanted.grant.registry : wanted.registry,
    scope: scopes.map(formatScope),
    policy_digest: digest,
    ...(decision.outcome === "allow"
      ? { grants: decision.grants.map(nameAndLine), role_arn: decision.rights.roleArn }
      : denialFacts(decision.reason)),
  };
}

function denialFacts(
  reason: DenyReason,
): Pick<DecisionEvent, "reason" | "grants" | "failed_claim" | "failed_limit" | "block"> {
  switch (reason.kind) {
    case "condition":
      return {
        reason: reason.kind,
        grants: [nameAndLine(reason.nearest.grant)],
        ...("claim" in reason.nearest.failed
          ? { failed_claim: reason.nearest.failed.claim }
          : { failed_limit: reason.nearest.failed.kind }),
      };
    case "scope":
    case "roles":
      return { reason: reason.kind, grants: reason.matching.map(nameAndLine) };
    case "denied":
      return { reason: reason.kind, grants: [nameAndLine(reason.denial)] };
    case "blocked":
      return { reason: reason.kind, block: reason.against.entry, grants: [] };
    default:
      return { reason: reason.kind, grants: [] };
  }
}

function nameAndLine({ name, line }: Grant | Denial): { name: string; line: number } {
  return { name, line };
}

/** What is known when a credential was issued. */
export function issuedFacts({ credential, outcome, sessionName }: Issued): Outcome {
  return {
    issued: true,
    session_name: sessionName,
    cache: outcome,
    token_fingerprint: credential.fingerprint,
    expires_at: credential.expiresAt.toISOString(),
    assume_role_request_id: credential.upstreamRequestIds.assumeRole,
    authorization_token_request_id: credential.upstreamRequestIds.authorizationToken,
  };
}

/** What is known when an allowed request ended without one. */
export function failureFacts(error: unknown): Outcome {
  if (!(error instanceof BrokerError)) return { issued: false, code: "internal_error" };
  const { code, facts } = error;
  const { api, code: upstreamCode, requestId } = facts.upstream ?? {};
  return {
    issued: false,
    code,
    ...(upstreamCode === undefined ? {} : { upstream_code: upstreamCode }),
    ...(requestId === undefined
      ? {}
      : api === "AssumeRole"
        ? { assume_role_request_id: requestId }
        : { authorization_token_request_id: requestId }),
  };
}
