/** From a decision, and what came of it, to the event that records them. */

import { BrokerError, type ErrorFacts } from "../error.ts";
import type { AuthenticatedPrincipal } from "../identity/principal.ts";
import type { Issued } from "../issuing/issue.ts";
import { type Decision, type DenyReason, type RightsRequest, scopesOf } from "../policy/decision.ts";
import type { Denial, Grant } from "../policy/grant.ts";
import { formatScope } from "../policy/scope.ts";
import type { DecisionEvent, Outcome, RefusedEvent } from "./log.ts";

/** The request that an event is of. */
export interface Asked {
  readonly requestId: string;
  readonly clientAddress: string | undefined;
  /** The policy's file. */
  readonly file: string | undefined;
}

/** The event of a decision as it stands before anything is issued. */
export function decisionEvent(
  { requestId, clientAddress, file }: Asked,
  principal: AuthenticatedPrincipal,
  wanted: RightsRequest,
  decision: Decision,
  digest: string,
): DecisionEvent {
  const { tokenId } = principal;
  const scopes = decision.outcome === "allow" ? decision.rights.scopes : scopesOf(wanted, principal.claims);
  return {
    event: "decision",
    version: 1,
    request_id: requestId,
    ...(clientAddress === undefined ? {} : { address: clientAddress }),
    outcome: decision.outcome,
    ...callerFacts(principal),
    ...(tokenId === undefined ? {} : { token_id: tokenId }),
    registry: "grant" in wanted ? wanted.grant.registry : wanted.registry,
    scope: scopes.map(formatScope),
    ...(file === undefined ? {} : { policy_file: file }),
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

/** The event of a request that ended before it was decided. `principal`: the caller, once that was verified. */
export function refusedEvent(
  { requestId, clientAddress, route }: Omit<Asked, "file"> & { readonly route: string },
  error: unknown,
  status: number,
  principal: AuthenticatedPrincipal | undefined,
  digest: string,
  durationMs: number,
): RefusedEvent {
  const { code, facts }: Pick<BrokerError, "facts"> & Pick<RefusedEvent, "code"> =
    error instanceof BrokerError ? error : { code: "internal_error", facts: {} };
  const caller = principal ?? facts.caller;
  return {
    event: "refused",
    version: 1,
    request_id: requestId,
    ...(clientAddress === undefined ? {} : { address: clientAddress }),
    route,
    status,
    code,
    ...(facts.quota === undefined ? {} : { quota: facts.quota.name }),
    ...(caller === undefined ? issuerFacts(facts.signedBy) : callerFacts(caller)),
    policy_digest: digest,
    duration_ms: durationMs,
  };
}

function callerFacts({ source, member, subject }: NonNullable<ErrorFacts["caller"]>) {
  return {
    ...("issuer" in source ? issuerFacts({ ...source, member }) : { api_key: source.apiKey }),
    subject,
  };
}

function issuerFacts(signedBy: { issuer: string; member?: string | undefined } | undefined) {
  if (signedBy === undefined) return {};
  const { issuer, member } = signedBy;
  return { issuer, ...(member === undefined ? {} : { issuer_member: member }) };
}

/** What is known when a credential was issued. */
export function issuedFacts({ credential, outcome, sessionName }: Issued, now: Date): Outcome {
  return {
    issued: true,
    session_name: sessionName,
    cache: outcome,
    token_fingerprint: credential.fingerprint,
    expires_at: credential.expiresAt.toISOString(),
    lifetime_seconds: Math.floor((credential.expiresAt.getTime() - now.getTime()) / 1000),
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
    ...(facts.quota === undefined ? {} : { quota: facts.quota.name }),
    ...(facts.block === undefined ? {} : { block: facts.block }),
    ...(upstreamCode === undefined ? {} : { upstream_code: upstreamCode }),
    ...(requestId === undefined
      ? {}
      : api === "AssumeRole"
        ? { assume_role_request_id: requestId }
        : { authorization_token_request_id: requestId }),
  };
}
