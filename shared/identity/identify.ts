/**
 * Who is calling: from the Authorization header to a principal. Tells the kinds of credential apart by their form and
 * hands each to its own verifier. `iss` only selects among the configured issuers; it is never a URL to fetch.
 */

import type { BrokerConfig, OidcIssuer, TemplatedIssuer } from "../config/config.ts";
import { BrokerError } from "../error.ts";
import { quote } from "../policy/scope.ts";
import { apiKeys } from "./api-key.ts";
import type { Fetch, FetchWith } from "./bounded-fetch.ts";
import { memberOf } from "./issuer-template.ts";
import { checkClaims, isSignedNow, isStillSigned, parseToken, type SignedToken, verifyToken } from "./jwt.ts";
import { type Ask, type KeySource, keySource } from "./key-source.ts";
import type { AuthenticatedPrincipal } from "./principal.ts";
import { signedIdentities } from "./signed-identity.ts";
import { tokenMemory } from "./token-memory.ts";

export interface Identity {
  /**
   * `address` is where the request came from, left out where that is not known for certain.
   * @throws BrokerError of status 401, issuer_unavailable, or as STS GetCallerIdentity fails
   */
  identify(authorization: string | undefined, address?: string): Promise<AuthenticatedPrincipal>;
  /** The same for a token that came without a header around it. */
  identifyToken(token: string, address?: string): Promise<AuthenticatedPrincipal>;
  /** A token that was verified before; undefined for any other text. */
  known(token: string): KnownToken | undefined;
  /** Fetches issuers' keys ahead of the first request; a failure is left to that request to find. */
  warm(): Promise<void>;
  /** Of each issuer whose keys were fetched: how old they are. `issuer` is its name, for all of a template the template's. */
  keyAges(): { issuer: string; seconds: number }[];
  /** How many nonces of accepted signed identities are remembered. */
  nonces(): number;
}

export interface KnownToken {
  /** Stands for the token's text, without being it. */
  readonly id: string;
  readonly issuer: OidcIssuer;
  /** What `identify` would answer now; undefined where it would have to ask the issuer, or refuse. */
  principal(address: string | undefined): AuthenticatedPrincipal | undefined;
}

/** Runs what is asked over the network of whoever vouches for a caller: of an issuer its keys, or (undefined) STS GetCallerIdentity. */
export type WatchIdentity = <T>(issuer: string | undefined, ask: () => Promise<T>) => Promise<T>;

/** More at once would be a burst of connections that a starting instance has no use for yet. */
const MOST_WARMED = 20;

/** `fetchWith` is for the issuers that have CAs of their own. */
export function identity(
  config: BrokerConfig,
  fetch: Fetch,
  fetchWith: FetchWith,
  now: () => Date,
  watch?: WatchIdentity,
): Identity {
  const oidc = new Map<string, Trusted>();
  for (const entry of config.issuers.values()) {
    if (entry.provider === "alibaba") continue;
    const fetchKeys = entry.ca === undefined ? fetch : fetchWith(entry.ca.certificates);
    for (const issuer of eachOf(entry)) {
      const principal = { source: { issuer: entry.name }, ...memberOf(entry, issuer.issuer) };
      oidc.set(issuer.issuer, {
        issuer,
        keys: keySource(issuer, fetchKeys, now, watching(watch, entry.name)),
        principal,
      });
    }
  }

  const apiKeyHolders = apiKeys(config.apiKeys);

  const signed = signedIdentities(config, fetch, now, watching(watch, undefined));

  const remembered = tokenMemory<Known>();

  async function verify(credential: string, address: string | undefined): Promise<AuthenticatedPrincipal> {
    if (credential.startsWith("abk_")) return apiKeyHolders.verify(credential, address, now());
    if (credential.startsWith("acs1.")) return signed.verify(credential, address);
    const { known, keep } = remembered.find(credential);
    const isKnown = known !== undefined && (await isStillSigned(known.token, known.trusted.issuer, known.trusted.keys));
    const { token, trusted } = isKnown ? known : await signedToken(credential);
    const verified = checkedClaims(token, trusted, now());
    // One that is good for one credential will hardly be seen again.
    if (!isKnown && trusted.issuer.replay !== "once") keep({ token, trusted });
    const { source, member } = trusted.principal;
    // What is known first: of an object that begins with another's fields Node 20 makes a new class each time (performance/warm-path.md).
    return member === undefined ? { source, ...verified } : { source, member, ...verified };
  }

  async function signedToken(credential: string): Promise<Known> {
    const unverified = parseToken(credential);
    const trusted = oidc.get(unverified.issuer);
    if (trusted === undefined) {
      throw new BrokerError(
        "untrusted_issuer",
        `tokens of ${quote(unverified.issuer)} are not accepted here; the iss claim must equal a configured issuer to the letter`,
      );
    }
    return { token: await verifyToken(unverified, trusted.issuer, trusted.keys), trusted };
  }

  function known(text: string): KnownToken | undefined {
    const found = remembered.find(text);
    if (found.known === undefined) return undefined;
    const { token, trusted } = found.known;
    return {
      id: found.id(),
      issuer: trusted.issuer,
      principal(address) {
        if (!isSignedNow(token, trusted.issuer, trusted.keys)) return undefined;
        const time = now();
        try {
          return { address, time, ...checkClaims(token.claims, trusted.issuer, time), ...trusted.principal };
        } catch {
          return undefined; // the refusal is for whoever refuses
        }
      },
    };
  }

  async function identifyToken(token: string, address: string | undefined): Promise<AuthenticatedPrincipal> {
    const principal = await verify(withoutMistakes(token), address);
    return { address, time: now(), ...principal };
  }

  return {
    identify: async (authorization, address) =>
      identifyToken(bearerCredential(authorization, config.audience), address),
    identifyToken,
    known,
    nonces: signed.nonces,
    keyAges: () =>
      [...oidc.values()].flatMap(({ keys, principal }) => {
        const seconds = keys.ageSeconds?.();
        return seconds === undefined ? [] : [{ issuer: principal.source.issuer, seconds }];
      }),
    async warm() {
      await Promise.allSettled([...oidc.values()].slice(0, MOST_WARMED).map(({ keys }) => keys.keys(() => true)));
    },
  };
}

function watching(watch: WatchIdentity | undefined, issuer: string | undefined): Ask {
  return watch === undefined ? (ask) => ask() : (ask) => watch(issuer, ask);
}

/** A configured issuer, the keys it has, and what is known of its callers by that alone. */
interface Trusted {
  readonly issuer: OidcIssuer;
  readonly keys: KeySource;
  readonly principal: Vouched;
}

/** A token that was verified, and whose it is. */
interface Known {
  readonly token: SignedToken;
  readonly trusted: Trusted;
}

/** As `checkClaims`, and an error says who has signed the token all the same. */
function checkedClaims({ claims }: SignedToken, { issuer, principal }: Trusted, now: Date) {
  try {
    return checkClaims(claims, issuer, now);
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    const { source, member } = principal;
    const signedBy = { issuer: source.issuer, ...(member === undefined ? {} : { member }) };
    throw new BrokerError(error.code, error.message, { ...error.facts, signedBy });
  }
}

type Vouched = { readonly source: { readonly issuer: string } } & Pick<AuthenticatedPrincipal, "member">;

/** The issuer, or each of those that a template stands for: with a name that says which. */
function eachOf(entry: OidcIssuer | TemplatedIssuer): OidcIssuer[] {
  if (!("accepted" in entry)) return [entry];
  return entry.accepted.map((iss) => ({
    ...entry,
    name: `${entry.name}/${memberOf(entry, iss).member}`,
    issuer: iss,
  }));
}

/** RFC 6750 section 2.1: `Bearer`, one space, the credential; the scheme's case does not count. */
function bearerCredential(authorization: string | undefined, audience: string): string {
  if (authorization === undefined || /^(?:bearer)?[ \t]*$/i.test(authorization)) {
    const empty = authorization ? "the token is empty; is the variable set that it comes from? " : "";
    throw new BrokerError(
      "missing_credentials",
      `${empty}send "Authorization: Bearer <token>" with a token for the audience ${quote(audience)}`,
    );
  }
  const match = /^bearer +([^\s]+)$/i.exec(authorization);
  if (match === null) {
    throw new BrokerError(
      "invalid_token",
      'the Authorization header is not "Bearer <token>" with one token and nothing behind it',
    );
  }
  return match[1] as string;
}

/** What scripts send where they found no token, or quoted it. */
function withoutMistakes(credential: string): string {
  // What jq, and a template that found nothing, write for what is not there.
  if (/^(?:null|undefined|none)$/i.test(credential)) {
    throw new BrokerError(
      "missing_credentials",
      `the token is the word ${quote(credential)}; the step that should get it found none`,
    );
  }
  if (/^["']/.test(credential))
    throw new BrokerError("invalid_token", "the token has quotes around it; send it without");
  return credential;
}
