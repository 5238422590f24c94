/** `POST /v1/token`: credentials for the repositories asked for. */

import type { Handler } from "hono";
import type { RoleKeys } from "../../../shared/alibaba/role-keys.ts";
import { decisionEvent, failureFacts, issuedFacts } from "../../../shared/audit/decision-event.ts";
import type { DecisionEvent, Log } from "../../../shared/audit/log.ts";
import type { AlibabaIssuer, BrokerConfig, OidcIssuer, Registry } from "../../../shared/config/config.ts";
import { BrokerError } from "../../../shared/error.ts";
import type { Identity } from "../../../shared/identity/identify.ts";
import { type AuthenticatedPrincipal, principalName } from "../../../shared/identity/principal.ts";
import type { ReplayGuard } from "../../../shared/identity/replay.ts";
import type { AllowedDecision, Issued, Issuer } from "../../../shared/issuing/issue.ts";
import { decide, isHolder, type RightsRequest } from "../../../shared/policy/decision.ts";
import { explainDenial } from "../../../shared/policy/explanation.ts";
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
    const principal = await identity.identify(c.req.header("authorization"), c.var.clientAddress);
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
    log({ ...audit, ...issuedFacts(issued) });
    return issued;
  } catch (error) {
    mark?.release();
    log({ ...audit, ...failureFacts(error) });
    throw error;
  }
}

function replayMark(principal: AuthenticatedPrincipal, config: BrokerConfig, replay: ReplayGuard) {
  if (!("issuer" in principal.source)) return undefined;
  const { issuer: name } = principal.source;
  const issuer = config.issuers.get(name) as OidcIssuer | AlibabaIssuer;
  // A signed identity's nonce was used up when it was verified.
  return issuer.provider !== "alibaba" && issuer.replay === "once" ? replay.claim(principal, name) : undefined;
}
