/**
 * `POST /v1/explain`: what `/v1/token` would decide for the same request, and why. Issues nothing, asks the cloud for nothing,
 * and leaves a token that may be used once unused. 200 for a denial too: the question was answered.
 */

import type { Handler } from "hono";
import { decisionEvent } from "../../../shared/audit/decision-event.ts";
import type { Log } from "../../../shared/audit/log.ts";
import type { BrokerConfig, Registry } from "../../../shared/config/config.ts";
import type { Identity } from "../../../shared/identity/identify.ts";
import { principalName } from "../../../shared/identity/principal.ts";
import { explain } from "../../../shared/policy/explain.ts";
import { callerView } from "../../../shared/policy/explanation-view.ts";
import type { BrokerVariables } from "../app.ts";
import type { Blocks } from "../blocks.ts";
import { callerCredential } from "../caller-credential.ts";
import { json } from "../http/answer.ts";
import type { Connection } from "../http/listener.ts";
import { readBody } from "../request-body.ts";
import { rightsRequest } from "../rights-request.ts";
import { tokenRequest } from "../token-request.ts";

/** More would be no explanation. */
const MOST_GRANTS = 50;

export interface ExplainRouteParts {
  readonly config: BrokerConfig;
  readonly identity: Identity;
  readonly blocks: Blocks;
  readonly log: Log;
  /** The policy's file, for the record. */
  readonly file: string | undefined;
}

export function explainRoute({
  config,
  identity,
  blocks,
  log,
  file,
}: ExplainRouteParts): Handler<{ Variables: BrokerVariables }> {
  return async (c) => {
    const requestId = c.get("requestId");
    const body = await readBody(c.env as Connection);
    const clientAddress = c.get("clientAddress");
    const principal = await identity.identify(callerCredential(c), clientAddress);
    c.set("principal", principal);
    const { ttlSeconds, minTtlSeconds, ...named } = tokenRequest(c.req.raw, body);
    const request = rightsRequest(named, principal, config);
    const registry = "grant" in request ? request.grant.registry : request.registry;
    const explanation = explain({
      principal,
      caller: principalName(principal),
      request,
      policy: config,
      blocks: await blocks.current(),
      mostGrants: MOST_GRANTS,
      location: config.registries.get(registry) as Registry,
      ttlSeconds,
      minTtlSeconds,
    });
    log({
      ...decisionEvent({ requestId, clientAddress, file }, principal, request, explanation.decision, config.digest),
      explain: true,
    });
    return json({ ...callerView(explanation), request_id: requestId }, { "cache-control": "no-store" });
  };
}
