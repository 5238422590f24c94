/**
 * Where an issuer's keys come from, and how long they are believed: a pinned file, or the network by way of discovery
 * (OpenID Connect Discovery 1.0) or a pinned URL. The caches of this file stand in docs/architecture.md.
 */

import type { OidcIssuer } from "../config/config.ts";
import { BrokerError } from "../error.ts";
import { type Fetch, fetchJson } from "./bounded-fetch.ts";
import { usableKeys, type VerificationKey } from "./jwks.ts";

/** Older keys are fetched again, beside the request that finds them old. */
const FRESH_MS = 10 * 60_000;
/** Older keys are believed only where the issuer, asked again, does not answer: it may have taken one back. */
const AGING_MS = 15 * 60_000;
/** Older keys are not believed at all. */
const STALE_MS = 12 * 3_600_000;
/** At most this often for one issuer: a caller can name any `kid`. */
const REFETCH_MS = 30_000;
/** After a failed fetch with nothing to fall back on: how long callers are told so at once. */
const FAILED_MS = 5_000;

export interface KeySource {
  /**
   * The issuer's keys, looked up again where `known` says that the one needed is not among them.
   * @throws BrokerError issuer_unavailable
   */
  keys(known: (keys: readonly VerificationKey[]) => boolean): Promise<readonly VerificationKey[]>;
  /** The keys at hand, where they are so young that `keys` would not ask for others; undefined where it might. */
  current(): readonly VerificationKey[] | undefined;
  /** Seconds until an unknown key would be looked for again. */
  retryAfterSeconds(): number;
  /** How old the keys at hand are; undefined where none were fetched, or they come from a file. */
  ageSeconds?(): number | undefined;
}

/** Runs what asks over the network, and may look at how it goes. */
export type Ask = <T>(ask: () => Promise<T>) => Promise<T>;

export function keySource(issuer: OidcIssuer, fetch: Fetch, now: () => Date, watch: Ask = (ask) => ask()): KeySource {
  if (issuer.keys.from === "file") {
    const keys = usableKeys(issuer.keys.jwks, issuer.algorithms);
    return { keys: async () => keys, current: () => keys, retryAfterSeconds: () => 0 };
  }
  return remoteKeys(issuer, fetch, now, watch);
}

function remoteKeys(issuer: OidcIssuer, fetch: Fetch, now: () => Date, watch: Ask): KeySource {
  let current: { keys: readonly VerificationKey[]; fetchedAt: number } | undefined;
  let attemptedAt = Number.NEGATIVE_INFINITY;
  let inFlight: Promise<readonly VerificationKey[]> | undefined;
  let lastFailure: [why: string, what: string] = ["the last attempt just failed", advice(issuer)];

  /** One fetch at a time; everybody who needs it waits for the same one. */
  function refresh(): Promise<readonly VerificationKey[]> {
    inFlight ??= watch(async () => {
      attemptedAt = now().getTime();
      try {
        const keys = usableKeys(await fetchJson(fetch, await jwksUrl(issuer, fetch)), issuer.algorithms);
        if (keys.length === 0) throw new Error("none of its keys is fit for use");
        current = { keys, fetchedAt: now().getTime() };
        return keys;
      } catch (cause) {
        lastFailure = reason(cause, issuer);
        throw unavailable(issuer, ...lastFailure, cause);
      } finally {
        inFlight = undefined;
      }
    });
    return inFlight;
  }

  const sinceAttempt = () => now().getTime() - attemptedAt;

  return {
    async keys(known) {
      const age = current === undefined ? Number.POSITIVE_INFINITY : now().getTime() - current.fetchedAt;
      if (current === undefined || age > STALE_MS) {
        if (inFlight === undefined && sinceAttempt() < FAILED_MS) throw unavailable(issuer, ...lastFailure);
        return refresh();
      }
      if (!known(current.keys)) {
        if (inFlight !== undefined || sinceAttempt() >= REFETCH_MS) return refresh();
        return current.keys;
      }
      const { keys } = current;
      if (age > FRESH_MS && (inFlight !== undefined || sinceAttempt() >= REFETCH_MS)) {
        const refreshed = refresh().catch(() => keys); // the keys at hand still serve; a later request tries again
        if (age > AGING_MS) return refreshed;
      }
      return keys;
    },
    current() {
      return current !== undefined && now().getTime() - current.fetchedAt <= FRESH_MS ? current.keys : undefined;
    },
    ageSeconds: () => (current === undefined ? undefined : Math.max(0, now().getTime() - current.fetchedAt) / 1000),
    retryAfterSeconds: () => Math.max(1, Math.ceil((REFETCH_MS - sinceAttempt()) / 1000)),
  };
}

/** The pinned URL, or the one that discovery names: of the same host, or a forged document could send us anywhere. */
async function jwksUrl(issuer: OidcIssuer, fetch: Fetch): Promise<string> {
  if (issuer.keys.from === "url") return issuer.keys.url;
  const document = await fetchJson(fetch, `${issuer.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  const { issuer: named, jwks_uri: url } = (document ?? {}) as Record<string, unknown>;
  // OpenID Connect Discovery 1.0 section 4.3: it MUST be identical.
  if (named !== issuer.issuer) throw new Error("its discovery document names another issuer");
  if (typeof url !== "string" || !URL.canParse(url)) throw new Error("its discovery document has no jwks_uri");
  const [theirs, ours] = [new URL(url), new URL(issuer.issuer)];
  if (theirs.protocol !== ours.protocol || theirs.host !== ours.host) {
    throw new Error("its jwks_uri is on another host; pin it with jwks_uri if that is right");
  }
  return url;
}

function unavailable({ name }: OidcIssuer, why: string, what: string, cause?: unknown): BrokerError {
  return new BrokerError("issuer_unavailable", `the keys of issuer ${name} could not be fetched (${why}); ${what}`, {
    retryAfterSeconds: FAILED_MS / 1000,
    cause,
  });
}

/** Those of a template have keys each of its own, so that no one file holds them. */
function advice({ template }: OidcIssuer): string {
  return template === undefined ? "try again, or pin them with jwks_file" : "try again";
}

/** What went wrong in our words, messages of ours as they are, of the network only their code; and what to do. */
function reason(cause: unknown, issuer: OidcIssuer): [why: string, advice: string] {
  const what = advice(issuer);
  if (!(cause instanceof Error)) return ["failed", what];
  if (cause.name === "TimeoutError") return ["no answer within 3 s", what];
  if (!(cause instanceof TypeError)) return [cause.message, what];
  const code = (cause.cause as { code?: unknown } | undefined)?.code;
  if (typeof code !== "string") return ["the connection failed or was redirected", what];
  return [code, certificateAdvice(code, issuer) ?? what];
}

/** https://nodejs.org/docs/latest-v20.x/api/tls.html#x509-certificate-error-codes */
function certificateAdvice(code: string, { ca }: OidcIssuer): string | undefined {
  switch (code) {
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "CERT_SIGNATURE_FAILURE":
      return ca === undefined
        ? "its certificate is of no public CA: name its CA in ca_file"
        : "its certificate is of no CA in ca_file: put the one that signed it there";
    case "CERT_HAS_EXPIRED":
      return "its certificate or its CA's has expired: have it renewed";
    case "CERT_NOT_YET_VALID":
      return "its certificate or its CA's is not valid yet: compare the clocks";
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return "its certificate is for other host names: have it issued for the issuer's";
    default:
      return undefined;
  }
}
