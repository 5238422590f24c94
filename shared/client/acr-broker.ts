/** The SDK's one class: asks the broker for credentials, and keeps them as long as they are good. docs/clients/sdk.md */

import { withinDeadline } from "./attempts.ts";
import { type BrokerApi, brokerApi, ownAudience } from "./broker-api.ts";
import { type Clock, clock } from "./clock.ts";
import { Credentials } from "./credentials.ts";
import { OptionsError, RefusedError } from "./errors.ts";
import { host } from "./host.ts";
import { isPrivate } from "./http.ts";
import { detectIdentity } from "./identity/detect.ts";
import {
  type Identity,
  type IdentityContext,
  type IdentitySource,
  identitySource,
  tokenFrom,
} from "./identity/identity.ts";
import type { Outside } from "./outside.ts";
import type { RamKeySource } from "./ram/keys.ts";
import { type CredentialsRequest, readRequest, refuseUnknown, type Wanted } from "./request.ts";
import { singleFlight } from "./single-flight.ts";

export interface AcrBrokerOptions {
  /** The broker's address: https, or http on this machine. Left out: what ACR_BROKER_URL says. */
  readonly url?: string | URL;
  /** Left out: what `detectIdentity` finds when it is first needed. */
  readonly identity?: Identity;
  /** What tokens must be for. Left out: what the broker names, if that is its own address. */
  readonly audience?: string;
  /** Keys to sign with for a trigger of `authType: function`. They say nothing to the broker: `identity` does. */
  readonly functionCompute?: RamKeySource;
  /** For one call, all tries and waits in it. 30 unless said otherwise. */
  readonly deadlineSeconds?: number;
  /** For tests, and for runtimes where something has to come from elsewhere. */
  readonly outside?: Partial<Outside>;
}

const OPTIONS = ["url", "identity", "audience", "functionCompute", "deadlineSeconds", "outside"];
const DEADLINE_SECONDS = 30;
/** After a refresh beside a request has failed. */
const REFRESH_PAUSE_MS = 10_000;
/** Different requests; the least recently used goes first. */
const MOST_CACHED = 1_000;

/** One broker and one identity, so that nobody is given what another was issued; for several identities make several. */
export class AcrBroker {
  readonly url: string;
  readonly #base: URL;
  readonly #audience: string | undefined;
  readonly #deadlineMs: number;
  readonly #outside: Outside;
  readonly #clock: Clock;
  readonly #api: BrokerApi;
  readonly #cache = new Map<string, Credentials>();
  readonly #flights = singleFlight<Credentials>();
  /** How long ago a refresh failed, by request. */
  readonly #failedRefreshes = new Map<string, () => number>();
  #identity: IdentitySource | undefined;

  /** @throws OptionsError */
  constructor(options: AcrBrokerOptions = {}) {
    const { identity, audience, functionCompute, deadlineSeconds = DEADLINE_SECONDS, outside } = options;
    this.#outside = { ...host(), ...outside };
    this.#base = readUrl(options.url ?? this.#outside.environment("ACR_BROKER_URL"));
    this.url = this.#base.href;
    if (!(deadlineSeconds > 0 && deadlineSeconds <= 3600)) {
      throw new OptionsError("deadlineSeconds must be more than 0 and at most 3600");
    }
    refuseUnknown("option", options, OPTIONS);
    // A variable that is not set must not become whatever else is found.
    if (identity === "" || ("identity" in options && identity === undefined)) {
      throw new OptionsError("identity is empty; is the variable set that it comes from?");
    }
    this.#deadlineMs = deadlineSeconds * 1000;
    this.#audience = audience;
    this.#identity = identity === undefined ? undefined : identitySource(identity);
    this.#clock = clock(this.#outside);
    this.#api = brokerApi(this.#base, functionCompute, this.#clock, this.#outside);
  }

  /**
   * Credentials for what `request` names, from the cache while they live for `minTtl` seconds. Past `refreshAfter` a cached one is
   * still handed over, and a new one fetched beside it.
   * @throws AcrBrokerError; the signal's reason when that is aborted
   */
  async credentials(request: CredentialsRequest): Promise<Credentials> {
    const { signal } = request;
    const wanted = readRequest(request);
    signal?.throwIfAborted();
    const cached = this.#cached(wanted);
    if (cached === undefined) return this.#fetch(wanted, signal);
    if (cached.isDue) this.#refresh(wanted);
    return cached;
  }

  #cached({ key, minTtlSeconds }: Wanted): Credentials | undefined {
    const cached = this.#cache.get(key);
    if (cached === undefined) return undefined;
    this.#cache.delete(key);
    // None of a life so short that it would have ended before it is used.
    if (cached.expiresInSeconds === 0) return undefined;
    this.#cache.set(key, cached);
    return cached.expiresInSeconds >= minTtlSeconds ? cached : undefined;
  }

  /** Whoever asks meanwhile has credentials that are good, so a failure is nobody's; it only has the next try wait. */
  #refresh(wanted: Wanted): void {
    const { key } = wanted;
    const sinceMs = this.#failedRefreshes.get(key)?.();
    if (sinceMs !== undefined && sinceMs < REFRESH_PAUSE_MS) return;
    this.#fetch(wanted, undefined).then(
      () => this.#failedRefreshes.delete(key),
      () => this.#failedRefreshes.set(key, this.#clock.begin()),
    );
  }

  #fetch(wanted: Wanted, signal: AbortSignal | undefined): Promise<Credentials> {
    const { key, fields } = wanted;
    return this.#flights(`${key} ${fields.min_ttl}`, signal, async (shared) => {
      const credentials = await withinDeadline(this.#deadlineMs, shared, this.#outside, (until) =>
        this.#attempt(wanted, until),
      );
      this.#cache.delete(key);
      this.#cache.set(key, credentials);
      const [oldest] = this.#cache.keys();
      if (this.#cache.size > MOST_CACHED) this.#forget(oldest as string);
      return credentials;
    });
  }

  #forget(key: string): void {
    this.#cache.delete(key);
    this.#failedRefreshes.delete(key);
  }

  /** With a token of its own, since it may be good only once; and with another, once, where it has been used or has ended. */
  async #attempt({ fields }: Wanted, signal: AbortSignal): Promise<Credentials> {
    const context = this.#context(signal);
    this.#identity ??= await detectIdentity(this.#outside);
    const ask = async (token: string) => {
      const ageMs = this.#clock.begin();
      return new Credentials(await this.#api.token(fields, token, signal), ageMs);
    };
    const token = await tokenFrom(this.#identity, context);
    try {
      return await ask(token);
    } catch (error) {
      if (!(error instanceof RefusedError) || !/^token_(?:expired|replayed)$/.test(error.code)) throw error;
      const another = await tokenFrom(this.#identity, context);
      if (another === token) throw error;
      return ask(another);
    }
  }

  #context(signal: AbortSignal): IdentityContext {
    const discovery = () => this.#api.discovery(signal);
    return {
      audience: async () => this.#audience ?? ownAudience(await discovery(), this.#base),
      stsHost: async () => (await discovery()).sts_host,
      now: this.#clock.now,
      signal,
      outside: this.#outside,
    };
  }
}

function readUrl(given: string | URL | undefined): URL {
  if (given === undefined) throw new OptionsError("which broker? pass url, or set ACR_BROKER_URL");
  const text = String(given);
  const full = "write it in full, as https://acr-broker.example.com";
  if (!URL.canParse(text)) throw new OptionsError(`url is ${JSON.stringify(text)}; ${full}`);
  const url = new URL(text);
  // Of `acr-broker.example.com:443` the host is the scheme. Of `user:password@…` nothing must be shown.
  if (!/^https?:$/.test(url.protocol)) throw new OptionsError(`url does not begin with https://; ${full}`);
  if (url.username !== "" || url.password !== "")
    throw new OptionsError("url has a user name or a password in it; leave them out");
  if (!isPrivate(url))
    throw new OptionsError(
      "url begins with http://; write https://: credentials go over https only, but to this machine",
    );
  // What stands behind it is signed as it is written, so nothing that could be encoded two ways.
  if (url.search !== "" || url.hash !== "" || !/^[A-Za-z0-9._~/-]*$/.test(url.pathname)) {
    throw new OptionsError("url must be the broker's address alone, without a query or a fragment");
  }
  const [route] = /\/(?:v1\/[a-z]+|oauth2\/token)\/?$/.exec(url.pathname) ?? [];
  if (route !== undefined) throw new OptionsError(`url must be the broker's address alone; leave out ${route}`);
  return url;
}
