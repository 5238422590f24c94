/**
 * A decision in, a credential out: narrows the role, assumes it, asks the registry for a login, and remembers the answer
 * for equal requests. The only way from a decision to Alibaba Cloud.
 */

import { assumeRole, type Endpoint } from "../alibaba/assume-role.ts";
import { authorizationToken } from "../alibaba/authorization-token.ts";
import type { CallContext } from "../alibaba/call.ts";
import type { RoleKeys } from "../alibaba/role-keys.ts";
import type { AlibabaEndpoints, BrokerConfig, Registry } from "../config/config.ts";
import { BrokerError } from "../error.ts";
import type { AllowedDecision } from "../policy/terms.ts";
import { type CacheOutcome, type Credential, credentialCache, type FindOrMake, fingerprintOf } from "./credential-cache.ts";
import { orders } from "./order.ts";

/** How far the cloud's clock and ours may be apart: half of what STS itself forgives a request. */
const CLOCK_TOLERANCE_SECONDS = 450;

/** Waiting for another instance, both calls, their retries and the pauses between them. */
const UPSTREAM_DEADLINE_MS = 8_000;

export interface IssueRequest {
  readonly decision: AllowedDecision;
  /** The caller's whole name; see `principalName`. */
  readonly caller: string;
  /** Seconds; left out: as long as the decision allows. */
  readonly ttlSeconds?: number;
  /** Seconds that a remembered credential must still live; left out: half of its life. */
  readonly minTtlSeconds?: number;
  /** The keys to assume the role with; asked for only where nothing remembered serves. */
  readonly keys: () => RoleKeys;
}

export interface Issued {
  readonly credential: Credential;
  readonly outcome: CacheOutcome;
  readonly sessionName: string;
}

export interface Issuer {
  /** @throws BrokerError invalid_request (min_ttl), policy_too_large, or as the cloud's calls do */
  issue(request: IssueRequest): Promise<Issued>;
}

/** `findOrMake`: where instances share credentials. */
export function issuer(config: BrokerConfig, context: CallContext, findOrMake?: FindOrMake): Issuer {
  const cache = credentialCache(context.now, findOrMake);
  const orderOf = orders(config);

  return {
    async issue({ decision, caller, ttlSeconds, minTtlSeconds, keys }) {
      const { rights } = decision;
      const order = orderOf(decision, caller, { ttlSeconds, minTtlSeconds });
      const { registry, lifetimeSeconds, policy, sessionName } = order;

      const longestSeconds = lifetimeSeconds + CLOCK_TOLERANCE_SECONDS;

      async function make(roleKeys: RoleKeys, deadline: Date): Promise<Credential> {
        const session = await assumeRole(
          {
            roleArn: rights.roleArn,
            externalId: rights.externalId,
            roleSessionName: sessionName,
            policy,
            durationSeconds: lifetimeSeconds,
            keys: roleKeys,
            endpoint: stsEndpoint(config.alibaba, registry),
            deadline,
          },
          context,
        );
        const login = await authorizationToken(
          { instanceId: registry.instanceId, keys: session, endpoint: crEndpoint(config.alibaba, registry), deadline },
          context,
        );
        const expiresAt = new Date(Math.min(login.expiresAt.getTime(), session.expiresAt.getTime()));
        const livesSeconds = (expiresAt.getTime() - context.now().getTime()) / 1000;
        // One that lives on beyond what was decided is a right that nobody granted.
        if (livesSeconds <= 0 || livesSeconds > longestSeconds) {
          throw new BrokerError(
            "upstream_rejected",
            `Alibaba Cloud issued a credential that ${livesSeconds <= 0 ? "has already expired" : "lives longer than was asked for"}; compare the clocks`,
          );
        }
        return {
          username: login.username,
          password: login.password,
          issuedAt: context.now(),
          expiresAt,
          fingerprint: fingerprintOf(login.password),
          upstreamRequestIds: { assumeRole: session.requestId, authorizationToken: login.requestId },
        };
      }

      const prepare = () => {
        const roleKeys = keys();
        const deadline = new Date(context.now().getTime() + UPSTREAM_DEADLINE_MS);
        return {
          means: `${roleKeys.from} ${roleKeys.accessKeyId}`,
          longestSeconds,
          make: () => make(roleKeys, deadline),
        };
      };
      return { ...(await cache.get(order.key, minTtlSeconds ?? lifetimeSeconds / 2, prepare)), sessionName };
    },
  };
}

function stsEndpoint({ stsEndpoint }: AlibabaEndpoints, registry: Registry): Endpoint {
  return endpoint(stsEndpoint ?? `https://sts.${registry.region}.aliyuncs.com`);
}

function crEndpoint({ crEndpoint }: AlibabaEndpoints, registry: Registry): Endpoint {
  return endpoint(crEndpoint ?? `https://cr.${registry.region}.aliyuncs.com`);
}

function endpoint(origin: string): Endpoint {
  const { protocol, host } = new URL(origin);
  return { protocol: protocol === "http:" ? "http" : "https", host };
}
