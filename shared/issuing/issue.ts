/**
 * A decision in, a credential out: narrows the role, assumes it, asks the registry for a login, and remembers the answer
 * for equal requests. The only way from a decision to Alibaba Cloud.
 */

import { assumeRole, type Endpoint } from "../alibaba/assume-role.ts";
import { authorizationToken } from "../alibaba/authorization-token.ts";
import type { Allowance, CallContext } from "../alibaba/call.ts";
import type { RoleKeys } from "../alibaba/role-keys.ts";
import { type OnUpstream, upstreams } from "../alibaba/upstream.ts";
import type { AlibabaEndpoints, BrokerConfig, Registry } from "../config/config.ts";
import { BrokerError } from "../error.ts";
import type { AllowedDecision } from "../policy/terms.ts";
import { type Budget, NoTurnToSpare } from "./budget/budget.ts";
import {
  type CacheOutcome,
  type Credential,
  credentialCache,
  type FindOrMake,
  fingerprintOf,
} from "./credential-cache.ts";
import { orders } from "./order.ts";
import { renewals } from "./renewal.ts";

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
  /** Told how long this request waited in the budget; not where another one's credential serves. */
  readonly waited: (ms: number) => void;
  /** Told what came of a renewal that this request began, before anybody is given what it made; where it throws, nobody is. */
  readonly renewed: (outcome: Issued | { readonly error: unknown }) => void;
}

export interface Issued {
  readonly credential: Credential;
  readonly outcome: CacheOutcome | "renewal";
  readonly sessionName: string;
}

export interface Issuer {
  /** @throws BrokerError invalid_request (min_ttl), policy_too_large, rate_limited, or as the cloud's calls do */
  issue(request: IssueRequest): Promise<Issued>;
  /**
   * Looks for what `issue` would answer, each time it is called; undefined where that is not in memory, or `issue` would do more
   * than answer.
   * @throws BrokerError as `issue` does before it asks the cloud
   */
  fromMemory(
    request: Pick<IssueRequest, "decision" | "caller" | "ttlSeconds" | "minTtlSeconds">,
  ): () => Issued | undefined;
}

/** The two calls. */
export interface Cloud {
  readonly assumeRole: typeof assumeRole;
  readonly authorizationToken: typeof authorizationToken;
}

export interface IssuerParts {
  readonly budget: Budget;
  /** Where instances share credentials. */
  readonly findOrMake?: FindOrMake | undefined;
  readonly onUpstream?: OnUpstream;
  /** Another in its place, as in the simulation (bench/simulate.ts). */
  readonly cloud?: Cloud;
}

export function issuer(
  config: BrokerConfig,
  context: CallContext,
  { budget, findOrMake, onUpstream, cloud = { assumeRole, authorizationToken } }: IssuerParts,
): Issuer {
  const cache = credentialCache(context.now, findOrMake, renewals(context.now, context.random));
  const orderOf = orders(config);
  const upstream = upstreams(context.now, onUpstream);
  const { assumeRole: take, authorizationToken: logIn } = cloud;
  const deadlineMs = context.limits?.deadlineMs ?? UPSTREAM_DEADLINE_MS;

  return {
    fromMemory({ decision, caller, ttlSeconds, minTtlSeconds }) {
      const { key, lifetimeSeconds, sessionName } = orderOf(decision, caller, { ttlSeconds, minTtlSeconds });
      return () => {
        const credential = cache.hit(key, leastLife(minTtlSeconds, lifetimeSeconds));
        return credential && { credential, outcome: "hit", sessionName };
      };
    },
    async issue({ decision, caller, ttlSeconds, minTtlSeconds, keys, waited, renewed }) {
      const { rights, grants } = decision;
      const order = orderOf(decision, caller, { ttlSeconds, minTtlSeconds });
      const { registry, lifetimeSeconds, policy, sessionName } = order;
      const longestSeconds = lifetimeSeconds + CLOCK_TOLERANCE_SECONDS;
      const newDeadline = () => new Date(context.now().getTime() + deadlineMs);

      async function make(roleKeys: RoleKeys, deadline: Date, allowance: Allowance): Promise<Credential> {
        const [sts, cr] = [stsEndpoint(config.alibaba, registry), crEndpoint(config.alibaba, registry)];
        const registryUpstream = upstream("GetAuthorizationToken", cr.host);
        // Session keys that nothing can be done with are not asked for.
        await registryUpstream.probe();
        const refused = registryUpstream.refusal();
        if (refused !== undefined) throw refused;
        const session = await take(
          {
            roleArn: rights.roleArn,
            externalId: rights.externalId,
            roleSessionName: sessionName,
            policy,
            durationSeconds: lifetimeSeconds,
            keys: roleKeys,
            endpoint: sts,
            deadline,
            allowance,
            upstream: upstream("AssumeRole", sts.host),
          },
          context,
        );
        const login = await logIn(
          { instanceId: registry.instanceId, keys: session, endpoint: cr, deadline, upstream: registryUpstream },
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
        const deadline = newDeadline();
        const allowance = budget.of(grants.map((grant) => grant.name).join(" "), waited);
        return {
          means: `${roleKeys.from} ${roleKeys.accessKeyId}`,
          longestSeconds,
          make: () => make(roleKeys, deadline, allowance),
        };
      };
      const renew = {
        longestSeconds,
        async make() {
          try {
            const roleKeys = keys();
            const credential = await make(roleKeys, newDeadline(), await budget.spare());
            renewed({ credential, outcome: "renewal", sessionName });
            return credential;
          } catch (error) {
            if (!(error instanceof NoTurnToSpare)) renewed({ error });
            throw error;
          }
        },
      };
      const wanted = {
        minTtlSeconds: leastLife(minTtlSeconds, lifetimeSeconds),
        orWhatLives: minTtlSeconds === undefined,
      };
      const { credential, outcome } = await cache.get(order.key, wanted, prepare, renew);
      return { credential, outcome, sessionName };
    },
  };
}

/** Seconds that a remembered credential must still live. */
function leastLife(minTtlSeconds: number | undefined, lifetimeSeconds: number): number {
  return minTtlSeconds ?? lifetimeSeconds / 2;
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
