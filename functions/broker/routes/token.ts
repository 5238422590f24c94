/** `POST /v1/token`: credentials for the repositories asked for. */

import type { Handler } from "hono";
import type { RoleKeys } from "../../../shared/alibaba/role-keys.ts";
import type { DecisionEvent, Log } from "../../../shared/audit/log.ts";
import type { BrokerConfig, OidcIssuer, Registry } from "../../../shared/config/config.ts";
import { BrokerError } from "../../../shared/error.ts";
import type { Identity } from "../../../shared/identity/identify.ts";
import { type AuthenticatedPrincipal, principalName } from "../../../shared/identity/principal.ts";
import type { ReplayGuard } from "../../../shared/identity/replay.ts";
import type { AllowedDecision, Issued, Issuer } from "../../../shared/issuing/issue.ts";
import {
  type Decision,
  type DenyReason,
  decide,
  isHolder,
  type RightsRequest,
} from "../../../shared/policy/decision.ts";
import { explainDenial } from "../../../shared/policy/explanation.ts";
import type { Grant } from "../../../shared/policy/grant.ts";
import { formatScope } from "../../../shared/policy/scope.ts";
import type { BrokerVariables } from "../app.ts";
import { readTokenRequest, type TokenRequest } from "../token-request.ts";
import { tokenResponse } from "../token-response.ts";

export interface TokenRouteParts {
  readonly config: BrokerConfig;
  readonly identity: Identity;
  readonly replay: ReplayGuard;
  readonly issuer: Issuer;
  readonly keys: (headers: Headers) => RoleKeys;
  readonly log: Log;
  readonly now: () => Date;
}

export function tokenRoute(parts: TokenRouteParts): Handler<{ Variables: BrokerVariables }> {
  const { config, identity, log, now } = parts;
  return async (c) => {
    const requestId = c.var.requestId;
    const principal = await identity.identify(c.req.header("authorization"));
    const request = await readTokenRequest(c.req.raw);
    const wanted = resolve(request, principal, config);
    const decision = decide(principal, wanted, config.grants);
    const audit = decisionEvent(requestId, principal, wanted, decision, config.digest);
    if (decision.outcome === "deny") {
      log(audit);
      throw new BrokerError("access_denied", explainDenial(decision.reason, principalName(principal)));
    }
    const issued = await issueOrRecord(parts, principal, decision, request, c.req.raw.headers, audit);
    return tokenResponse(request.format, {
      credential: issued.credential,
      registry: config.registries.get(decision.rights.registry) as Registry,
      scopes: decision.rights.scopes,
      grants: decision.grants.map((grant) => grant.name),
      requestId,
      now: now(),
    });
  };
}

/** From the names in a request to what they name. @throws BrokerError invalid_request, unknown_registry, unknown_grant */
function resolve(request: TokenRequest, principal: AuthenticatedPrincipal, config: BrokerConfig): RightsRequest {
  const known = [...config.registries.keys()];
  if (request.registry !== undefined && !config.registries.has(request.registry)) {
    throw new BrokerError(
      "unknown_registry",
      `there is no registry ${JSON.stringify(request.registry)}; there is ${known.join(", ")}`,
    );
  }
  if ("grant" in request.wanted) {
    const { grant: name } = request.wanted;
    const grant = config.grants.find((candidate) => candidate.name === name);
    // To a stranger, another's grant is as unknown as one that does not exist.
    if (grant === undefined || !isHolder(principal, grant)) {
      throw new BrokerError("unknown_grant", `there is no grant ${JSON.stringify(name)} for callers of yours`);
    }
    if (request.registry !== undefined && request.registry !== grant.registry) {
      throw new BrokerError(
        "invalid_request",
        `grant ${name} is for registry ${grant.registry}, not ${request.registry}`,
      );
    }
    return { grant };
  }
  const registry = request.registry ?? (known.length === 1 ? known[0] : undefined);
  if (registry === undefined) {
    throw new BrokerError("invalid_request", `registry is missing, and there are several: ${known.join(", ")}`);
  }
  return { registry, scopes: request.wanted.scopes };
}

/** Issues, and records what came of it before anything leaves. */
async function issueOrRecord(
  { config, replay, issuer, keys, log }: TokenRouteParts,
  principal: AuthenticatedPrincipal,
  decision: AllowedDecision,
  request: TokenRequest,
  headers: Headers,
  audit: DecisionEvent,
): Promise<Issued> {
  const { ttlSeconds, minTtlSeconds } = request;
  let mark: { release(): void } | undefined;
  try {
    mark = replayMark(principal, config, replay);
    const issued = await issuer.issue({
      decision,
      caller: principalName(principal),
      ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
      ...(minTtlSeconds === undefined ? {} : { minTtlSeconds }),
      keys: () => keys(headers),
    });
    const { credential, outcome, sessionName } = issued;
    log({
      ...audit,
      issued: true,
      session_name: sessionName,
      cache: outcome,
      token_fingerprint: credential.fingerprint,
      expires_at: credential.expiresAt.toISOString(),
      assume_role_request_id: credential.upstreamRequestIds.assumeRole,
      authorization_token_request_id: credential.upstreamRequestIds.authorizationToken,
    });
    return issued;
  } catch (error) {
    mark?.release();
    const known = error instanceof BrokerError ? error : undefined;
    const upstream = known?.facts.upstream;
    log({
      ...audit,
      issued: false,
      code: known?.code ?? "internal_error",
      ...(upstream === undefined ? {} : { upstream_code: upstream.code }),
      ...(upstream?.api === "AssumeRole" && upstream.requestId !== undefined
        ? { assume_role_request_id: upstream.requestId }
        : {}),
      ...(upstream?.api === "GetAuthorizationToken" && upstream.requestId !== undefined
        ? { authorization_token_request_id: upstream.requestId }
        : {}),
    });
    throw error;
  }
}

function replayMark(principal: AuthenticatedPrincipal, config: BrokerConfig, replay: ReplayGuard) {
  if (!("issuer" in principal.source)) return undefined;
  const { issuer: name } = principal.source;
  const issuer = config.issuers.get(name) as OidcIssuer;
  return issuer.replay === "once" ? replay.claim(principal, name) : undefined;
}

function decisionEvent(
  requestId: string,
  principal: AuthenticatedPrincipal,
  wanted: RightsRequest,
  decision: Decision,
  digest: string,
): DecisionEvent {
  const { source, subject, tokenId } = principal;
  const scopes = "grant" in wanted ? wanted.grant.allow : wanted.scopes;
  return {
    event: "decision",
    version: 1,
    request_id: requestId,
    outcome: decision.outcome,
    ...("issuer" in source ? { issuer: source.issuer } : { api_key: source.apiKey }),
    subject,
    ...(tokenId === undefined ? {} : { token_id: tokenId }),
    registry: "grant" in wanted ? wanted.grant.registry : wanted.registry,
    scope: (decision.outcome === "allow" ? decision.rights.scopes : scopes).map(formatScope),
    policy_digest: digest,
    ...(decision.outcome === "allow"
      ? { grants: decision.grants.map(nameAndLine), role_arn: decision.rights.roleArn }
      : denialFacts(decision.reason)),
  };
}

function denialFacts(reason: DenyReason): Pick<DecisionEvent, "reason" | "grants" | "failed_claim"> {
  switch (reason.kind) {
    case "condition":
      return {
        reason: reason.kind,
        grants: [nameAndLine(reason.nearest.grant)],
        failed_claim: reason.nearest.failed.claim,
      };
    case "scope":
    case "roles":
      return { reason: reason.kind, grants: reason.matching.map(nameAndLine) };
    default:
      return { reason: reason.kind, grants: [] };
  }
}

function nameAndLine({ name, line }: Grant): { name: string; line: number } {
  return { name, line };
}
