/**
 * How often one caller, one grant and one address with bad credentials may come to this instance, so that none of them has it to
 * itself. Each rate is kept exactly (GCRA, as shared/issuing/budget/turns.ts), with a minute's worth at once. Each instance counts for
 * itself: decision 0007.
 */

import { createHash } from "node:crypto";
import type { BrokerConfig } from "../../shared/config/config.ts";
import { BrokerError, type ErrorCode } from "../../shared/error.ts";
import type { Identity } from "../../shared/identity/identify.ts";
import { type AuthenticatedPrincipal, principalName } from "../../shared/identity/principal.ts";
import type { Grant } from "../../shared/policy/grant.ts";

/** 100 a second of one caller: more than a fleet asks under one name, less than what makes an instance busy. */
const CALLER_PER_MINUTE = 6_000;
const FAILURES_PER_MINUTE = 1_200;
const WINDOW_MS = 60_000;
/** Of callers, of addresses. Beyond it those that came least recently are forgotten, and begin anew; never one of the last 10,000. */
const MOST_KEYS = 20_000;
/** Of a key that is kept: a subject may have some thousand. */
const MOST_CHARACTERS = 200;

export interface Rate {
  /** Seconds until there is one again; undefined: there is one. */
  look(key: string): number | undefined;
  /** Takes one, if there is one. */
  take(key: string): number | undefined;
}

export function rate(perMinute: number, now: () => Date): Rate {
  const periodMs = WINDOW_MS / perMinute;
  const toleranceMs = WINDOW_MS - periodMs;
  /**
   * When each key's next would be if all came evenly; of those that came of late, and of those before them. No LRU, which makes all of its
   * places at the start, nor a Map from which a key is taken and put behind (performance/warm-path.md).
   */
  let [late, before] = [new Map<string, number>(), new Map<string, number>()];

  function at(key: string): { evenlyAt: number; waitSeconds: number | undefined } {
    const time = now().getTime();
    const known = late.get(key) ?? before.get(key) ?? 0;
    // Further ahead than it can be: the clock was put back.
    const evenlyAt = known < time || known > time + WINDOW_MS ? time : known;
    const earlyMs = evenlyAt - toleranceMs - time;
    return { evenlyAt, waitSeconds: earlyMs > 0 ? Math.ceil(earlyMs / 1000) : undefined };
  }

  return {
    look: (key) => at(short(key)).waitSeconds,
    take(given) {
      const key = short(given);
      const { evenlyAt, waitSeconds } = at(key);
      if (waitSeconds !== undefined) return waitSeconds;
      late.set(key, evenlyAt + periodMs);
      if (late.size >= MOST_KEYS / 2) [late, before] = [new Map(), late];
      return undefined;
    },
  };
}

/** As long as it may be kept: by their digests no two long ones are one. */
function short(key: string): string {
  return key.length <= MOST_CHARACTERS ? key : createHash("sha256").update(key).digest("base64url");
}

export type LimitName = "caller" | "grant" | "failures";

export interface Limits {
  /** The same, but that who comes too often is refused. Its methods throw BrokerError rate_limited, too. */
  readonly identity: (identity: Identity) => Identity;
  /** @throws BrokerError rate_limited */
  readonly grant: (grants: readonly Grant[]) => void;
  /** Counts a caller that has been identified and its grants as both of the above do; where either would refuse, nothing is counted. */
  readonly pass: (caller: string, grants: readonly Grant[], address: string | undefined) => boolean;
}

/** `refused` is told which limit somebody was beyond. */
export function limits(
  { limits: settings = {} }: BrokerConfig,
  now: () => Date,
  refused: (limit: LimitName) => void = () => {},
): Limits {
  const { callerPerMinute = CALLER_PER_MINUTE, grantPerMinute, failuresPerMinute = FAILURES_PER_MINUTE } = settings;
  const callers = rate(callerPerMinute, now);
  const failures = rate(failuresPerMinute, now);
  const grants = grantPerMinute === undefined ? undefined : rate(grantPerMinute, now);

  function beyond(...facts: Parameters<typeof tooOften>): BrokerError {
    refused(facts[1]);
    return tooOften(...facts);
  }

  function guarded<Credential>(verify: (credential: Credential, address?: string) => ReturnType<Identity["identify"]>) {
    return async (credential: Credential, address?: string) => {
      // An address that is not known is nobody's: one caller could shut out all.
      const from = address === undefined ? undefined : networkOf(address);
      const banned = from === undefined ? undefined : failures.look(from);
      if (banned !== undefined) {
        const why = "too many credentials that were not accepted came from your address; mend what sends them";
        throw beyond(why, "failures", failuresPerMinute, banned);
      }
      try {
        const principal = await verify(credential, address);
        const wait = callers.take(principalName(principal));
        if (wait === undefined) return principal;
        const why = "you ask more often than one caller may; keep a credential until its refresh_after";
        throw beyond(why, "caller", callerPerMinute, wait, principal);
      } catch (error) {
        if (from !== undefined && error instanceof BrokerError && FAILURES.has(error.code)) failures.take(from);
        throw error;
      }
    };
  }

  return {
    identity: (identity) => ({
      ...identity,
      identify: guarded(identity.identify),
      identifyToken: guarded(identity.identifyToken),
    }),
    pass(caller, deciding, address) {
      const from = address === undefined ? undefined : networkOf(address);
      const isBanned = from !== undefined && failures.look(from) !== undefined;
      if (isBanned || callers.look(caller) !== undefined) return false;
      if (grants !== undefined && grants.take(namesOf(deciding)) !== undefined) return false;
      callers.take(caller);
      return true;
    },
    grant(deciding) {
      if (grants === undefined || grantPerMinute === undefined) return;
      const wait = grants.take(namesOf(deciding));
      if (wait === undefined) return;
      const why = "the grant is used more often than it may be; keep a credential until its refresh_after";
      throw beyond(why, "grant", grantPerMinute, wait);
    },
  };
}

function namesOf(grants: readonly Grant[]): string {
  return grants.map(({ name }) => name).join(" ");
}

/** What a stranger can send without end. Not among them what sound clients do, too: no token, one that has ended, or was used. */
const FAILURES: ReadonlySet<ErrorCode> = new Set([
  "invalid_token",
  "untrusted_issuer",
  "invalid_audience",
  "invalid_api_key",
  "invalid_identity",
]);

function tooOften(
  why: string,
  name: LimitName,
  perMinute: number,
  retryAfterSeconds: number,
  caller?: AuthenticatedPrincipal,
): BrokerError {
  const message = `${why}, and try again in ${retryAfterSeconds} s`;
  return new BrokerError("rate_limited", message, {
    retryAfterSeconds,
    quota: { name, perMinute },
    ...(caller === undefined ? {} : { caller }),
  });
}

/** What one host has of addresses: of IPv6 the first 64 bits (RFC 6177). Of an address in normal form. */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  const behind = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array<string>(Math.max(0, 8 - groups.length - behind.length)).fill("0");
  return [...groups, ...zeros, ...behind].slice(0, 4).join(":");
}
