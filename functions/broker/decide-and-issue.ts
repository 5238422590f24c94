/**
 * From a caller and what it asks for to a credential: decided, asked beside, issued, recorded. What `/v1/token` and `/oauth2/token`
 * do alike; how each reads its request and writes its answer is its own.
 */

import type { Context } from "hono";
import type { RoleKeys } from "../../shared/alibaba/role-keys.ts";
import { decisionEvent, failureFacts, issuedFacts } from "../../shared/audit/decision-event.ts";
import type { DecisionEvent, Log } from "../../shared/audit/log.ts";
import type { BrokerConfig, Registry } from "../../shared/config/config.ts";
import { BrokerError } from "../../shared/error.ts";
import { type AuthenticatedPrincipal, principalName } from "../../shared/identity/principal.ts";
import type { ReplayGuard } from "../../shared/identity/replay.ts";
import type { Issued, Issuer } from "../../shared/issuing/issue.ts";
import { blockedDetail, blockOf, decideUnblocked } from "../../shared/policy/blocks.ts";
import { explainDenial } from "../../shared/policy/explanation.ts";
import type { Grant } from "../../shared/policy/grant.ts";
import type { AllowedDecision } from "../../shared/policy/terms.ts";
import type { BrokerVariables } from "./app.ts";
import type { Blocks } from "./blocks.ts";
import { rightsRequest } from "./rights-request.ts";
import type { Shadow } from "./shadow.ts";
import type { TokenRequest } from "./token-request.ts";
import type { Granted } from "./token-response.ts";

export interface IssuingParts {
  readonly config: BrokerConfig;
  readonly blocks: Blocks;
  /** @throws BrokerError rate_limited */
  readonly limitGrant: (grants: readonly Grant[]) => void;
  readonly replay: ReplayGuard;
  readonly issuer: Issuer;
  /** Left out where nothing is traced. */
  readonly traceDecision?: (<T>(decide: () => T) => T) | undefined;
  readonly shadow: Shadow;
  readonly keys: (headers: Headers) => RoleKeys;
  readonly log: Log;
  /** The policy's file, for the record. */
  readonly file: string | undefined;
  /** @throws BrokerError not_ready */
  readonly written: () => Promise<void>;
  readonly now: () => Date;
}

/** @throws BrokerError as rightsRequest, access_denied, as the list of blocks, or as replay and issuing fail */
export type DecideAndIssue = (
  c: Context<{ Variables: BrokerVariables }>,
  principal: AuthenticatedPrincipal,
  request: TokenRequest,
) => Promise<Granted>;

export function decideAndIssue(parts: IssuingParts): DecideAndIssue {
  const { config, blocks, shadow, log, file, now, traceDecision } = parts;
  return async (c, principal, request) => {
    const requestId = c.get("requestId");
    const address = c.get("clientAddress");
    // Every request for a credential comes by here, between what is remembered of tokens and what is of credentials: whatever must
    // take effect at once on a caller or a grant is asked from here to `issue`, each time.
    shadow(requestId, principal, request);
    const wanted = rightsRequest(request, principal, config);
    const list = await blocks.current();
    const decide = () => decideUnblocked(list, principal, wanted, config);
    const decision = traceDecision === undefined ? decide() : traceDecision(decide);
    const audit = decisionEvent(
      { requestId, clientAddress: address, file },
      principal,
      wanted,
      decision,
      config.digest,
    );
    c.set("isDecided", true);
    const begun = c.get("begun");
    if (decision.outcome === "deny") {
      log(audit, { issued: false, code: "access_denied", duration_ms: now().getTime() - begun });
      throw new BrokerError("access_denied", explainDenial(decision.reason, principalName(principal)));
    }
    const { headers } = c.req.raw;
    const issued = await issueOrRecord(parts, principal, decision, request, { headers, address, begun }, audit);
    return {
      credential: issued.credential,
      registry: config.registries.get(decision.rights.registry) as Registry,
      scopes: decision.rights.scopes,
      grants: decision.grants.map((grant) => grant.name),
      requestId,
      now: now(),
    };
  };
}

/** Issues, and records what came of it before anything leaves. */
async function issueOrRecord(
  { config, blocks, limitGrant, replay, issuer, keys, log, written, now }: IssuingParts,
  principal: AuthenticatedPrincipal,
  decision: AllowedDecision,
  request: TokenRequest,
  { headers, address, begun }: { headers: Headers; address: string | undefined; begun: number },
  audit: DecisionEvent,
): Promise<Issued> {
  const { ttlSeconds, minTtlSeconds } = request;
  let mark: { release(): Promise<void> } | undefined;
  let waitedMs: number | undefined;
  const times = () => ({
    ...(waitedMs === undefined ? {} : { budget_wait_ms: waitedMs }),
    duration_ms: now().getTime() - begun,
  });
  try {
    limitGrant(decision.grants);
    mark = await replayMark(principal, decision, address, config, replay);
    const issued = await issuer.issue({
      decision,
      caller: principalName(principal),
      ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
      ...(minTtlSeconds === undefined ? {} : { minTtlSeconds }),
      keys: () => keys(headers),
      waited: (ms) => {
        waitedMs = (waitedMs ?? 0) + ms;
      },
      renewed: (outcome) =>
        log(
          audit,
          "error" in outcome ? { ...failureFacts(outcome.error), cache: "renewal" } : issuedFacts(outcome, now()),
        ),
    });
    // It may have waited for seconds, and a block may have come meanwhile.
    await refuseBlocked(principal, decision, blocks);
    log(audit, Object.assign(issuedFacts(issued, now()), times()));
    await written();
    return issued;
  } catch (error) {
    await mark?.release();
    log(audit, { ...failureFacts(error), ...times() });
    throw error;
  }
}

/** @throws BrokerError access_denied */
async function refuseBlocked(
  principal: AuthenticatedPrincipal,
  { grants }: AllowedDecision,
  blocks: Blocks,
): Promise<void> {
  const list = await blocks.current();
  const against = blockOf(list, principal, grants);
  if (against === undefined) return;
  throw new BrokerError("access_denied", blockedDetail(against.kind, list.askWhom), { block: against.entry });
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
