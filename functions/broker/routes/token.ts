/** `POST /v1/token`: credentials for the repositories asked for. */

import type { Handler } from "hono";
import type { RoleKeys } from "../../../shared/alibaba/role-keys.ts";
import { decisionEvent, failureFacts, issuedFacts } from "../../../shared/audit/decision-event.ts";
import type { DecisionEvent, Log } from "../../../shared/audit/log.ts";
import type { BrokerConfig, Registry } from "../../../shared/config/config.ts";
import { BrokerError } from "../../../shared/error.ts";
import type { Identity } from "../../../shared/identity/identify.ts";
import { type AuthenticatedPrincipal, principalName } from "../../../shared/identity/principal.ts";
import type { ReplayGuard } from "../../../shared/identity/replay.ts";
import type { Issued, Issuer } from "../../../shared/issuing/issue.ts";
import { decide } from "../../../shared/policy/decision.ts";
import { explainDenial } from "../../../shared/policy/explanation.ts";
import type { AllowedDecision } from "../../../shared/policy/terms.ts";
import type { BrokerVariables } from "../app.ts";
import { callerCredential } from "../caller-credential.ts";
import { readBody } from "../request-body.ts";
import { rightsRequest } from "../rights-request.ts";
import type { Shadow } from "../shadow.ts";
import { type TokenRequest, tokenRequest } from "../token-request.ts";
import { tokenResponse } from "../token-response.ts";

export interface TokenRouteParts {
  readonly config: BrokerConfig;
  readonly identity: Identity;
  readonly replay: ReplayGuard;
  readonly issuer: Issuer;
  readonly shadow: Shadow;
  readonly keys: (headers: Headers) => RoleKeys;
  readonly log: Log;
  readonly now: () => Date;
}

export function tokenRoute(parts: TokenRouteParts): Handler<{ Variables: BrokerVariables }> {
  const { config, identity, shadow, log, now } = parts;
  return async (c) => {
    const requestId = c.var.requestId;
    // The body first: what is decided below must not wait for a caller who sends it slowly.
    const body = await readBody(c.req.raw);
    const principal = await identity.identify(callerCredential(c), c.var.clientAddress);
    const request = tokenRequest(c.req.raw, body);
    shadow(requestId, principal, request);
    const wanted = rightsRequest(request, principal, config);
    const decision = decide(principal, wanted, config);
    const audit = decisionEvent(requestId, principal, wanted, decision, config.digest);
    if (decision.outcome === "deny") {
      log(audit);
      throw new BrokerError("access_denied", explainDenial(decision.reason, principalName(principal)));
    }
    const issued = await issueOrRecord(
      parts,
      principal,
      decision,
      request,
      { headers: c.req.raw.headers, address: c.var.clientAddress },
      audit,
    );
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

/** Issues, and records what came of it before anything leaves. */
async function issueOrRecord(
  { config, replay, issuer, keys, log }: TokenRouteParts,
  principal: AuthenticatedPrincipal,
  decision: AllowedDecision,
  request: TokenRequest,
  { headers, address }: { headers: Headers; address: string | undefined },
  audit: DecisionEvent,
): Promise<Issued> {
  const { ttlSeconds, minTtlSeconds } = request;
  let mark: { release(): Promise<void> } | undefined;
  try {
    mark = await replayMark(principal, decision, address, config, replay);
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
    await mark?.release();
    log({ ...audit, ...failureFacts(error) });
    throw error;
  }
}

/** For a signed identity there is none: its nonce was used up when it was verified. */
function replayMark(
  principal: AuthenticatedPrincipal,
  { rights }: AllowedDecision,
  address: string | undefined,
  config: BrokerConfig,
  replay: ReplayGuard,
) {
  const issuer = "issuer" in principal.source ? config.issuers.get(principal.source.issuer) : undefined;
  if (issuer === undefined || issuer.provider === "alibaba") return undefined;
  return replay.claim(principal, issuer, JSON.stringify([rights.registry, rights.scopes, address ?? null]));
}
