/**
 * What is asked of the cloud for a decision, and the key that its answer is remembered by. The same decision for the same caller
 * gives the same order, so it is made once: it takes longer to make than all else that a remembered credential takes.
 */

import { roleSessionName } from "../alibaba/session-name.ts";
import type { BrokerConfig, Registry } from "../config/config.ts";
import { BrokerError } from "../error.ts";
import type { SessionPolicy } from "../policy/session-policy.ts";
import { type AllowedDecision, type LifetimeWish, termsOf } from "../policy/terms.ts";
import { recent } from "../recent.ts";
import { cacheKey } from "./credential-cache.ts";

export interface Order {
  readonly registry: Registry;
  readonly lifetimeSeconds: number;
  readonly policy: SessionPolicy;
  readonly sessionName: string;
  readonly key: string;
}

/** @throws BrokerError invalid_request (min_ttl), policy_too_large */
export type OrderOf = (decision: AllowedDecision, caller: string, wish: LifetimeWish) => Order;

const MOST_ORDERS = 1_000;
/** Of all that they are found by: a caller's name may be some thousand characters long. */
const MOST_CHARACTERS = 2 * 1024 * 1024;

/** Of one policy: another one has others. */
export function orders(config: BrokerConfig): OrderOf {
  const made = recent<Order>(MOST_ORDERS, MOST_CHARACTERS);
  return (decision, caller, wish) => {
    const { rights, maxTtlSeconds } = decision;
    // All that an order hangs on. What the decision hangs on, times and addresses too, has been asked before.
    const asked = JSON.stringify([rights, maxTtlSeconds, caller, wish.ttlSeconds, wish.minTtlSeconds]);
    const known = made.get(asked);
    if (known !== undefined) return known;
    const order = newOrder(decision, caller, wish, config);
    made.set(asked, order, asked.length);
    return order;
  };
}

function newOrder(decision: AllowedDecision, caller: string, wish: LifetimeWish, config: BrokerConfig): Order {
  const { rights } = decision;
  const registry = config.registries.get(rights.registry) as Registry;
  const terms = termsOf(decision, registry, wish);
  if ("refused" in terms) throw new BrokerError(terms.refused, terms.detail);
  const { lifetimeSeconds, policy } = terms;
  const sessionName = roleSessionName(caller);
  // The caller's name beside the session name: two names may be cut to one, and their credentials are still two.
  const key = cacheKey([
    rights.roleArn,
    rights.externalId ?? "",
    registry.name,
    policy.json,
    sessionName,
    caller,
    lifetimeSeconds,
    config.digest,
  ]);
  return { registry, lifetimeSeconds, policy, sessionName, key };
}
