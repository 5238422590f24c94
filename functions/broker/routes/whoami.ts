/** `GET /v1/whoami`: the caller as the broker sees it, and which grants are its own. */

import type { Handler } from "hono";
import type { BrokerConfig } from "../../../shared/config/config.ts";
import type { Identity } from "../../../shared/identity/identify.ts";
import { blockedDetail } from "../../../shared/policy/blocks.ts";
import { grantFor, isFor } from "../../../shared/policy/decision.ts";
import { grantIndex } from "../../../shared/policy/grant-index.ts";
import { formatScope } from "../../../shared/policy/scope.ts";
import type { BrokerVariables } from "../app.ts";
import type { Blocks } from "../blocks.ts";
import { callerCredential } from "../caller-credential.ts";
import { json } from "../http/answer.ts";

export function whoamiRoute(
  config: BrokerConfig,
  identity: Identity,
  blocks: Blocks,
): Handler<{ Variables: BrokerVariables }> {
  return async (c) => {
    const principal = await identity.identify(callerCredential(c), c.get("clientAddress"));
    c.set("principal", principal);
    const { source, subject, claims, expiresAt } = principal;
    const list = await blocks.current();
    const against = list.against(principal);
    const index = grantIndex(config.grants);
    const grants = [...config.registries.keys()]
      .flatMap((registry) => index.possible(principal, registry))
      .filter((grant) => isFor(principal, grant))
      .sort((a, b) => a.line - b.line)
      .map((grant) => grantFor(grant, claims));
    return json(
      {
        principal: {
          ...("issuer" in source ? { issuer: source.issuer } : { api_key: source.apiKey }),
          subject,
          expires_at: expiresAt.toISOString(),
          claims,
        },
        ...(against === undefined ? {} : { blocked: blockedDetail(against.kind, list.askWhom) }),
        grants: grants.map((grant) => ({
          name: grant.name,
          registry: grant.registry,
          scope: grant.allow.map(formatScope),
          max_ttl: grant.maxTtlSeconds,
          ...(list.unblocked([grant]).length === 0 ? { blocked: blockedDetail("grant", list.askWhom) } : {}),
        })),
        request_id: c.get("requestId"),
      },
      { "cache-control": "no-store" },
    );
  };
}
