/** From the names in a request to what they name in the policy: what is decided about. */

import type { BrokerConfig } from "../../shared/config/config.ts";
import { BrokerError } from "../../shared/error.ts";
import { isNearly, type RightsRequest } from "../../shared/policy/decision.ts";
import type { Principal } from "../../shared/policy/grant.ts";
import type { TokenRequest } from "./token-request.ts";

/** @throws BrokerError invalid_request, unknown_registry, unknown_grant */
export function rightsRequest(request: TokenRequest, principal: Principal, config: BrokerConfig): RightsRequest {
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
    // A grant that is not even nearly for the caller is as unknown to it as one that does not exist.
    if (grant === undefined || !isNearly(principal, grant)) {
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
